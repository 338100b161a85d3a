import itertools
import threading

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from cvdemo.classification.sliding import (
    HEAT_KINDS,
    SlidingResult,
    SlidingSettings,
    Windows,
    best_boxes,
    classify_windows,
    count_windows,
    default_sides,
    draw_sliding,
    heatmap,
    ranked_classes,
    windows,
)
from cvdemo.core import registry
from cvdemo.core.engine import Engine
from cvdemo.core.errors import Cancelled, InputError
from cvdemo.core.registry import RANDOM_WEIGHTS_KEY, ModelSpec

SIDE = 16
NAME = "mean-colour"


class MeanColour(nn.Module):
    """Three classes: how red, green and blue the window is."""

    def __init__(self):
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(8.0))
        self.batches = []

    def forward(self, x):
        self.batches.append(len(x))
        return x.mean((2, 3)) * self.sharpness


def prepare_input(pixels):
    height, width = pixels.shape[:2]
    square = cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(square).permute(2, 0, 1)[None].float() / 255, (0.0, 0.0, float(width), float(height))


def centre_crop(pixels):
    """Sees only the middle half of each side."""
    height, width = pixels.shape[:2]
    x, y = width // 4, height // 4
    blob, _ = prepare_input(pixels[y : height - y, x : width - x])
    return blob, (float(x), float(y), float(width - x), float(height - y))


def spec_of(**changes):
    facts = {
        "name": NAME,
        "task": "classification",
        "tier": "compact",
        "title": "Mean colour",
        "family": "",
        "architecture": "",
        "year": 2024,
        "paper": "",
        "lecture": "",
        "parameters": 1,
        "categories": ("red", "green", "blue"),
        "weights": None,
        "build": MeanColour,
        "run": lambda module, value, context: module(prepare_input(value)[0]),
        "example": lambda: np.zeros((SIDE, SIDE, 3), np.uint8),
        "agrees": lambda reference, other: True,
        "extras": {RANDOM_WEIGHTS_KEY: True, "prepare_input": prepare_input},
    }
    return ModelSpec(**{**facts, **changes})


@pytest.fixture
def register():
    """Register specs for one test."""
    names = []

    def add(**changes):
        spec = registry.register(spec_of(**changes))
        names.append(spec.name)
        return spec

    yield add
    for name in names:
        registry.unregister(name)


@pytest.fixture
def engine(register):
    register()
    return Engine("cpu", tune=False)


def a_result(boxes, probabilities, height=60, width=80, **changes):
    boxes = np.asarray(boxes, np.int64).reshape(-1, 4)
    placed = Windows(boxes, np.zeros(len(boxes), np.int64), (10,), (len(boxes),))
    probabilities = np.asarray(probabilities, np.float16)
    names = tuple(f"class {index}" for index in range(probabilities.shape[1]))
    facts = {
        "windows": placed,
        "probabilities": probabilities,
        "categories": names,
        "height": height,
        "width": width,
        "seen": 1.0,
        "stages": {},
        "milliseconds": 500.0,
        "device": "cpu",
        "precision": "fp32",
        "model": NAME,
    }
    return SlidingResult(**{**facts, **changes})


def random_result(seed, count=40, classes=4, height=60, width=80):
    rng = np.random.default_rng(seed)
    start = rng.integers(0, (width - 8, height - 8), (count, 2))
    stop = np.minimum(start + rng.integers(3, 40, (count, 2)), (width, height))
    return a_result(np.concatenate([start, stop], 1), rng.dirichlet(np.ones(classes), count), height, width)


# ---------------------------------------------------------------- windows


def by_walking(height, width, side, share):
    """The windows of one side, by stepping until the edge is reached."""
    step = max(1, round(side * share))

    def starts(length):
        found, position = [], 0
        while position + side < length:
            found.append(position)
            position += step
        return [*found, length - side]

    return [(x, y, x + side, y + side) for y in starts(height) for x in starts(width)]


@pytest.mark.parametrize("seed", range(12))
def test_windows_equal_walking_over_the_picture(seed):
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(40, 140, 2))
    share = float(rng.uniform(0.2, 1.0))
    sides = [int(side) for side in rng.integers(16, 160, 3)]
    placed = windows(height, width, sides, share)
    usable = sorted({min(side, height, width) for side in sides}, reverse=True)
    expected = [by_walking(height, width, side, share) for side in usable]
    np.testing.assert_array_equal(placed.boxes, np.concatenate([np.array(rows) for rows in expected]))
    assert placed.sides == tuple(usable)
    assert placed.counts == tuple(len(rows) for rows in expected) == count_windows(height, width, sides, share)
    np.testing.assert_array_equal(np.array(placed.sides)[placed.scale], placed.boxes[:, 2] - placed.boxes[:, 0])
    covered = np.zeros((height, width), bool)
    for x1, y1, x2, y2 in placed.boxes[placed.scale == len(usable) - 1]:
        covered[y1:y2, x1:x2] = True
    assert covered.all()
    assert len(np.unique(placed.boxes, axis=0)) == len(placed)


def test_a_window_as_large_as_the_picture_is_one_window():
    assert windows(50, 50, [50, 80], 0.5).boxes.tolist() == [[0, 0, 50, 50]]


def test_too_many_windows_are_refused_with_their_number():
    with pytest.raises(InputError, match=r"makes 1,0\d\d,\d\d\d windows.*4,000 are allowed"):
        windows(1040, 1040, [32], 0.01)


@pytest.mark.parametrize(
    ("sides", "share", "message"),
    [
        ([], 0.5, "at least 16"),
        ([8], 0.5, "at least 16"),
        ([32], 0.0, "stride"),
        ([32], 1.5, "stride"),
        ([32], float("nan"), "stride"),
    ],
)
def test_unusable_windows_are_refused(sides, share, message):
    with pytest.raises(InputError, match=message):
        windows(100, 100, sides, share)


def test_default_sides_shrink_from_the_shorter_side():
    assert default_sides(200, 300) == (200, 140, 100, 70)
    six = default_sides(1000, 600, 6)
    assert len(six) == 6
    assert all(0.65 < small / large < 0.75 for large, small in itertools.pairwise(six))
    assert default_sides(30, 40) == (30, 21)
    assert default_sides(5, 9) == (5,)
    assert default_sides(100, 100, 1) == (100,)
    assert windows(5, 9, default_sides(5, 9), 1.0).counts == (2,)


# ---------------------------------------------------------------- the network


def coloured(height=64, width=96):
    rng = np.random.default_rng(0)
    return cv2.resize(rng.integers(0, 256, (4, 6, 3), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)


def test_every_window_is_classified_as_if_it_were_a_picture(engine):
    pixels = coloured()
    result = classify_windows(pixels, NAME, (48, 24), 0.5, engine)
    assert result.probabilities.shape == (len(result.boxes), 3)
    assert result.probabilities.dtype == np.float16
    network = MeanColour()
    for (x1, y1, x2, y2), found in zip(result.boxes, result.probabilities):
        logits = network(prepare_input(pixels[y1:y2, x1:x2])[0])[0].detach().numpy()
        expected = np.exp(logits) / np.exp(logits).sum()
        np.testing.assert_allclose(found, expected, atol=1e-3)
    assert result.evaluations == sum(count_windows(64, 96, (48, 24), 0.5))
    assert (result.height, result.width, result.model, result.seen) == (64, 96, NAME, 1.0)
    assert result.milliseconds == pytest.approx(result.stages["preprocess"] + result.stages["network"])


def test_windows_go_through_the_network_sixteen_at_a_time(engine):
    engine.preload(NAME)

    def batches(module, value, context):
        return list(module.batches)

    before = len(engine.run(NAME, None, operation=batches).output)
    result = classify_windows(coloured(), NAME, (24,), 0.5, engine)
    sizes = engine.run(NAME, None, operation=batches).output[before:]
    assert sum(sizes) == result.evaluations
    assert set(sizes[:-1]) == {16}


def test_choosing_classes_runs_no_network(engine):
    result = classify_windows(coloured(), NAME, engine=engine)
    runs = engine.statistics().models[0].runs
    for index in range(3):
        heatmap(result, index)
        best_boxes(result, index)
        draw_sliding(coloured(), result, index)
    ranked_classes(result)
    assert engine.statistics().models[0].runs == runs


def test_a_network_that_crops_says_how_much_it_saw(engine, register):
    register(name="crops", extras={RANDOM_WEIGHTS_KEY: True, "prepare_input": centre_crop})
    result = classify_windows(coloured(), "crops", (32,), 1.0, engine)
    assert result.seen == pytest.approx(0.25)
    assert result.sentence().endswith("the network sees the middle 25 %")


def test_progress_and_stop(engine):
    engine.preload(NAME)
    seen = []
    classify_windows(coloured(), NAME, (16,), 0.5, engine, progress=lambda *given: seen.append(given))
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert seen[1][1].startswith("16 of ")
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        classify_windows(coloured(), NAME, (16,), 0.5, engine, cancel=cancel, progress=lambda *_: cancel.set())


def test_a_model_that_takes_no_picture_is_refused(engine, register):
    register(name="numbers", title="Numbers", extras={RANDOM_WEIGHTS_KEY: True})
    with pytest.raises(InputError, match="Numbers is not a classifier"):
        classify_windows(coloured(), "numbers", engine=engine)


# ---------------------------------------------------------------- what follows from the windows


@pytest.mark.parametrize("kind", HEAT_KINDS)
@pytest.mark.parametrize("seed", range(6))
def test_heatmaps_equal_painting_every_window(kind, seed):
    result = random_result(seed)
    scores = result.probabilities[:, 1].astype(np.float32)
    stack = np.full((len(scores), 60, 80), np.nan)
    for layer, (x1, y1, x2, y2), score in zip(stack, result.boxes, scores):
        layer[y1:y2, x1:x2] = score
    covered = ~np.isnan(stack).all(0)
    expected = np.zeros((60, 80))
    expected[covered] = (np.nanmax if kind == "max" else np.nanmean)(stack[:, covered], axis=0)
    found = heatmap(result, 1, kind)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_heatmap_of_an_unknown_kind_or_class_is_refused():
    result = random_result(0)
    with pytest.raises(ValueError, match="unknown kind"):
        heatmap(result, 0, "median")
    for index in (-1, 4):
        with pytest.raises(InputError, match="no class"):
            heatmap(result, index)


def overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    inter = max(width, 0) * max(height, 0)
    return inter / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter)


@pytest.mark.parametrize("seed", range(6))
def test_best_boxes_are_the_greedy_choice(seed):
    result = random_result(seed)
    scores = result.probabilities[:, 2].astype(np.float32)
    expected = []
    for row in sorted(range(len(scores)), key=lambda row: (-scores[row], row)):
        if scores[row] >= 0.1 and all(overlap(result.boxes[row], result.boxes[kept]) <= 0.3 for kept in expected):
            expected.append(row)
    boxes, found = best_boxes(result, 2, 0.3, 5, min_score=0.1)
    np.testing.assert_array_equal(boxes, result.boxes[expected[:5]])
    np.testing.assert_array_equal(found, scores[expected[:5]])


def test_no_box_is_good_enough():
    boxes, scores = best_boxes(random_result(0), 0, min_score=1.0)
    assert (boxes.shape, scores.shape) == ((0, 4), (0,))


def test_classes_are_ranked_by_their_best_window():
    result = a_result([[0, 0, 10, 10], [5, 5, 25, 25]], [[0.2, 0.7, 0.1], [0.6, 0.1, 0.3]])
    found = ranked_classes(result, 2)
    assert [(index, name) for index, name, _ in found] == [(1, "class 1"), (0, "class 0")]
    assert found[0][2] == pytest.approx(0.7, abs=1e-3)


def test_words_and_json():
    result = a_result([[0, 0, 10, 10], [5, 5, 25, 25]], [[0.2, 0.7, 0.1], [0.6, 0.1, 0.3]])
    assert result.sentence() == "2 windows at 1 scale in 0.5 s, 250.0 ms each"
    found = result.to_dict("a.png", top=1)
    assert found["image"] == {"name": "a.png", "width": 80, "height": 60}
    assert found["evaluations"] == 2
    assert found["classes"] == [{"label": "class 1", "index": 1, "probability": 0.7002, "box": [0, 0, 10, 10]}]


# ---------------------------------------------------------------- drawing


def test_the_hottest_part_is_brightest_and_framed():
    result = a_result([[0, 0, 40, 60], [40, 0, 80, 60]], [[0.9, 0.1], [0.05, 0.95]])
    pixels = np.full((60, 80, 3), 120, np.uint8)
    bare = draw_sliding(pixels, result, 0, SlidingSettings(boxes=0, opacity=1.0))
    assert bare[30, 20].sum() > 3 * bare[30, 60].sum()
    framed = draw_sliding(pixels, result, 0, SlidingSettings(opacity=1.0))
    assert (framed != bare).any(-1)[:, :42].sum() > 50
    assert (pixels == 120).all()


def test_improbable_classes_stay_dark_and_unframed():
    pixels = np.zeros((60, 80, 3), np.uint8)
    faint = draw_sliding(pixels, a_result([[0, 0, 40, 40]], [[0.01, 0.99]]), 0, SlidingSettings(opacity=1.0))
    sure = draw_sliding(pixels, a_result([[0, 0, 40, 40]], [[0.09, 0.91]]), 0, SlidingSettings(opacity=1.0))
    assert faint[20, 20].sum() < sure[20, 20].sum() / 3


def test_drawing_fits_resized_copies_of_the_picture():
    drawn = draw_sliding(np.zeros((120, 160, 3), np.uint8), random_result(0), 0)
    assert drawn.shape == (120, 160, 3)
    assert drawn.any()


def test_settings_know_which_of_them_need_the_network():
    needs = {field.name for field in SlidingSettings.fields_of() if field.network}
    assert needs == {"scales", "stride_share"}
