"""Packed caches and random crops: labels stay on their pixels through scaling, turning, mirroring and packing."""

import json

import cv2
import numpy as np
import pytest

from cvdemo.core.errors import InputError
from cvdemo.segmentation import training_data
from cvdemo.segmentation.labels import IGNORE
from cvdemo.segmentation.training_data import (
    EXACT_WEIGHT,
    BatchMaker,
    Example,
    Source,
    class_weights,
    jitter_colour,
    load_source,
    pairs_of,
    sampling_weights,
    warp,
)

SHADES = np.array([20, 120, 220], np.uint8)  # the grey of classes 0, 1 and 2, so that pixels tell their label


def scene(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Labels (height, width): a rectangle of class 1 and a disc of class 2 on background."""
    labels = np.zeros((height, width), np.uint8)
    x, y = int(rng.integers(0, width // 2)), int(rng.integers(0, height // 2))
    labels[y : y + height // 3, x : x + width // 3] = 1
    cv2.circle(labels, (int(rng.integers(10, width - 10)), int(rng.integers(10, height - 10))), height // 6, 2, -1)
    return labels


def painted(labels: np.ndarray) -> np.ndarray:
    return np.repeat(SHADES[labels][..., None], 3, 2)


def example_of(labels: np.ndarray, classes: int = 3, weight: float = 1.0) -> Example:
    counts = np.bincount(labels[labels != IGNORE].ravel(), minlength=classes)
    shown = np.where(labels == IGNORE, 0, labels)
    return Example(painted(shown), labels, counts, weight)


@pytest.fixture
def folders(tmp_path):
    rng = np.random.default_rng(0)
    for index, (height, width) in enumerate([(60, 80), (100, 50), (40, 40), (70, 120)]):
        labels = scene(rng, height, width)
        for kind, pixels in (("pictures", painted(labels)), ("labels", labels)):
            folder = tmp_path / kind / ("deep" if index % 2 else "")
            folder.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(folder / f"p{index}.png"), pixels)
    return tmp_path


def source_of(folders, **options) -> Source:
    return Source(folders / "pictures", folders / "labels", **options)


def test_pairs_are_found_by_relative_path(folders):
    (folders / "pictures" / "p0.png").unlink()  # a label without a picture
    cv2.imwrite(str(folders / "pictures" / "lonely.png"), np.zeros((9, 9, 3), np.uint8))  # a picture without a label
    names = [picture.relative_to(folders).as_posix() for picture, _ in pairs_of(source_of(folders))]
    assert names == ["pictures/deep/p1.png", "pictures/deep/p3.png", "pictures/p2.png"]
    chosen = pairs_of(source_of(folders, stems=frozenset({"p2", "p9"})))
    assert [label.stem for _, label in chosen] == ["p2"]


def test_jpegs_go_with_png_labels(tmp_path):
    for name, pixels in (("a/x.jpg", np.full((20, 30, 3), 99, np.uint8)), ("b/x.png", np.ones((20, 30), np.uint8))):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), pixels)
    (example,) = load_source(tmp_path / "cache", Source(tmp_path / "a", tmp_path / "b"), 64, 3)
    assert example.pixels.shape == (20, 30, 3)
    assert example.counts.tolist() == [0, 600, 0]


@pytest.mark.parametrize("side", [200, 48])
def test_the_cache_gives_back_pictures_with_their_labels(folders, side):
    examples = load_source(folders / "cache", source_of(folders), side, 3)
    assert len(examples) == 4
    for example in examples:
        height, width = example.labels.shape
        assert example.pixels.shape == (height, width, 3)
        assert max(height, width) <= side
        assert example.counts.sum() == height * width
        # Shades differ by 100: apart from blended edges, each pixel tells its class.
        told = np.abs(example.pixels[..., :1].astype(int) - SHADES.astype(int)).argmin(-1)
        assert (told == example.labels).mean() > (0.999 if side == 200 else 0.93)


def test_packing_happens_once_and_again_when_labels_change(folders, monkeypatch):
    source = source_of(folders)
    first = load_source(folders / "cache", source, 64, 3)
    with monkeypatch.context() as patch:
        patch.setattr(training_data, "_read_small", lambda *_: pytest.fail("read twice"))
        again = load_source(folders / "cache", source, 64, 3)
    np.testing.assert_array_equal(again[2].labels, first[2].labels)
    cv2.imwrite(str(folders / "labels" / "p0.png"), np.full((60, 80), 2, np.uint8))
    changed = {int(e.labels.size): e for e in load_source(folders / "cache", source, 64, 3)}
    assert changed[48 * 64].counts.tolist() == [0, 0, 48 * 64]


def test_unknown_indices_and_void_are_ignored(tmp_path):
    labels = np.array([[0, 1, 2, 3], [4, 200, 255, 1]], np.uint8).repeat(10, 0).repeat(10, 1)
    for name, pixels in (("a/x.png", np.zeros((20, 40, 3), np.uint8)), ("b/x.png", labels)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), pixels)
    (example,) = load_source(tmp_path / "cache", Source(tmp_path / "a", tmp_path / "b"), 64, 4, void=(2,))
    assert np.unique(example.labels).tolist() == [0, 1, 3, IGNORE]
    assert example.counts.tolist() == [100, 200, 0, 100]


def test_a_folder_without_pictures_is_an_error_and_not_remembered(folders):
    wrong = Source(folders / "nowhere", folders / "labels")
    with pytest.raises(InputError, match="label maps"):
        load_source(folders / "cache", wrong, 64, 3)
    assert not list((folders / "cache").glob("*"))


def test_warping_by_the_identity_halves_the_labels():
    labels = np.random.default_rng(0).integers(0, 3, (64, 64)).astype(np.uint8).repeat(2, 0).repeat(2, 1)[:64, :64]
    pixels, half = warp(painted(labels), labels, np.eye(2, 3), 64)
    np.testing.assert_array_equal(pixels, painted(labels))
    np.testing.assert_array_equal(half, labels[::2, ::2])


@pytest.mark.parametrize("seed", range(8))
def test_labels_stay_on_their_pixels_under_any_similarity(seed):
    rng = np.random.default_rng(seed)
    labels = scene(rng, 150, 200)
    example = example_of(labels)
    matrix = BatchMaker([example], seed, long_side=160)._matrix(example, 128)
    pixels, half = warp(example.pixels, example.labels, matrix, 128)
    shown = cv2.resize(pixels, (64, 64), interpolation=cv2.INTER_AREA)[..., 0].astype(int)
    told = np.abs(shown[..., None] - SHADES.astype(int)).argmin(-1)
    counted = half != IGNORE
    assert counted.mean() > 0.2
    assert (told == half)[counted].mean() > 0.93
    beyond = cv2.erode((half == IGNORE).astype(np.uint8), np.ones((3, 3))) > 0
    assert (np.abs(shown[beyond] - training_data.GREY) <= 1).all()


def test_warping_against_a_brute_force_lookup():
    rng = np.random.default_rng(3)
    labels = scene(rng, 90, 110)
    matrix = np.array([[0.9, -0.2, 12.0], [0.2, 0.9, -3.0]])
    _, half = warp(painted(labels), labels, matrix, 96)
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    wrong = 0
    for row in range(48):
        for column in range(48):
            x, y, _ = inverse @ [2 * column + 0.5, 2 * row + 0.5, 1]  # the middle of 2x2 crop pixels
            x, y = round(x), round(y)
            inside = 0 <= x < 110 and 0 <= y < 90
            wrong += half[row, column] != (labels[y, x] if inside else IGNORE)
    assert wrong <= 0.02 * 48 * 48, "all but roundings at edges"


def test_batches_have_the_promised_shapes_and_repeat_with_their_seed():
    rng = np.random.default_rng(0)
    examples = [example_of(scene(rng, 60, 90)) for _ in range(5)]
    pixels, labels = BatchMaker(examples, 7, 96).batch(6, 64)
    assert pixels.shape == (6, 64, 64, 3)
    assert labels.shape == (6, 32, 32)
    assert pixels.dtype == labels.dtype == np.uint8
    assert set(np.unique(labels)) <= {0, 1, 2, IGNORE}
    again, _ = BatchMaker(examples, 7, 96).batch(6, 64)
    np.testing.assert_array_equal(again, pixels)
    other, _ = BatchMaker(examples, 8, 96).batch(6, 64)
    assert (other != pixels).any()
    assert len({crop.tobytes() for crop in pixels}) == 6


def test_crops_are_mirrored_half_the_time_and_vary_in_scale():
    labels = np.zeros((100, 100), np.uint8)
    labels[:, :50] = 1
    example = example_of(labels)
    maker = BatchMaker([example], 0, 100)
    matrices = np.stack([maker._matrix(example, 64) for _ in range(300)])
    assert 0.4 < (np.linalg.det(matrices[:, :, :2]) < 0).mean() < 0.6
    scales = np.sqrt(np.abs(np.linalg.det(matrices[:, :, :2])))
    assert scales.min() >= 0.599
    assert scales.max() <= 1.701
    assert np.ptp(scales) > 0.9


def test_nothing_grey_is_shown_when_the_picture_is_larger_than_the_crop():
    labels = np.zeros((300, 300), np.uint8)
    labels[100:200, 100:200] = 1
    maker = BatchMaker([example_of(labels)], 0, 300)
    known = np.mean([(maker.one(64)[1] != IGNORE).mean() for _ in range(40)])
    assert known > 0.93, "only turned corners and edges near the focus"


def test_rare_classes_and_exact_labels_are_drawn_more_often():
    common = [example_of(np.full((20, 20), 1, np.uint8)) for _ in range(97)]
    rare = [example_of(np.full((20, 20), 2, np.uint8))]
    empty = [example_of(np.zeros((20, 20), np.uint8))]
    exact = [example_of(np.full((20, 20), 1, np.uint8), weight=EXACT_WEIGHT)]
    weights = sampling_weights([*common, *rare, *empty, *exact], rare_share=0.04)
    assert weights[0] == pytest.approx(1.0)
    assert weights[97] == pytest.approx(np.sqrt(0.04 / 0.01))
    assert weights[98] == pytest.approx(1 / 3)
    assert weights[99] == pytest.approx(3.0)


def test_a_few_pixels_do_not_make_a_class_present():
    labels = np.ones((20, 20), np.uint8)
    labels[0, 0] = 2
    weights = sampling_weights([example_of(labels), example_of(np.ones((20, 20), np.uint8))])
    assert weights[0] == weights[1]


def test_class_weights_rise_with_rarity_and_average_to_one():
    labels = np.zeros((100, 100), np.uint8)
    labels[:20] = 1
    labels[0, :30] = 2
    example = example_of(labels)
    weights = class_weights([example])
    share = example.counts / example.counts.sum()
    assert weights[0] < weights[1] < weights[2]
    assert (share * weights).sum() == pytest.approx(1.0, abs=1e-3)
    assert weights[1] / weights[0] == pytest.approx((share[0] / share[1]) ** 0.25, rel=1e-5)
    np.testing.assert_allclose(class_weights([example], power=0), 1, rtol=1e-6)
    assert class_weights([example], power=1).max() <= 4


def test_colours_change_and_shapes_stay():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (40, 50, 3), np.uint8)
    seen = [jitter_colour(picture, rng) for _ in range(30)]
    assert all(p.shape == picture.shape and p.dtype == np.uint8 for p in seen)
    assert len({p.tobytes() for p in seen}) == 30
    greys = sum(np.ptp(p.astype(int), axis=2).mean() < 30 for p in seen)
    assert greys < 12


def test_without_examples_there_is_a_sentence():
    with pytest.raises(InputError, match="no pictures"):
        BatchMaker([], 0, 64)


def test_shapes_are_kept_as_json_beside_the_pixels(folders):
    load_source(folders / "cache", source_of(folders), 64, 3)
    (index,) = (folders / "cache").glob("*.json")
    assert sorted(json.loads(index.read_text())) == [[37, 64], [40, 40], [48, 64], [64, 32]]
