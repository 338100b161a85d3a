"""From a picture to candidates: geometry by arithmetic, and the shipped weights on a real picture."""

import numpy as np
import pytest
import torch

from cvdemo.core.registry import RunContext
from cvdemo.detection import compact
from cvdemo.detection.compact import CANDIDATE_CAP, LONG_SIDE, PAD_VALUE, SCORE_FLOOR, letterbox, top_pairs
from cvdemo.detection.nets.compact_detector import DISTANCE_BINS, STRIDES, LevelOutput, cell_centres
from cvdemo.detection.predict import decode, infer, settings_for


@pytest.mark.parametrize(
    ("size", "network_size", "padded_size"),
    [
        ((480, 640), (360, 480), (384, 480)),
        ((640, 480), (480, 360), (480, 384)),
        ((480, 480), (480, 480), (480, 480)),
        ((100, 100), (480, 480), (480, 480)),
        ((1, 1), (480, 480), (480, 480)),
        ((1, 500), (1, 480), (32, 480)),
        ((5000, 20), (480, 2), (480, 32)),
        ((333, 777), (206, 480), (224, 480)),
    ],
)
def test_the_letterbox_against_arithmetic(size, network_size, padded_size):
    pixels = np.full((*size, 3), 200, np.uint8)
    padded, scale = letterbox(pixels)
    assert padded.shape == (*padded_size, 3)
    assert (padded[: network_size[0], : network_size[1]] == 200).all()
    assert (padded[network_size[0] :] == PAD_VALUE).all()
    assert (padded[:, network_size[1] :] == PAD_VALUE).all()
    assert scale == pytest.approx((network_size[1] / size[1], network_size[0] / size[0]))
    assert max(network_size) == LONG_SIDE


def test_the_letterbox_moves_a_mark_where_the_scale_says():
    pixels = np.zeros((300, 500, 3), np.uint8)
    pixels[90:120, 400:450] = 255
    padded, (scale_x, scale_y) = letterbox(pixels)
    ys, xs = np.nonzero(padded[: round(300 * scale_y), :, 0] > 127)
    found = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
    np.testing.assert_allclose(found, np.array([400, 90, 450, 120]) * np.tile([scale_x, scale_y], 2), atol=1)


@pytest.mark.parametrize(("cells", "classes", "cap"), [(50, 80, 1000), (200, 80, 300), (7, 3, 5), (30, 4, 1)])
def test_the_best_pairs_against_a_sort(cells, classes, cap):
    logits = np.random.default_rng(cells).normal(-3, 2, (cells, classes)).astype(np.float32)
    cell, label, score = (t.numpy() for t in top_pairs(torch.from_numpy(logits), cap=cap))
    probability = 1 / (1 + np.exp(-logits.astype(np.float64)))
    order = np.argsort(-probability, axis=None)
    order = order[probability.ravel()[order] > SCORE_FLOOR][:cap]
    np.testing.assert_array_equal(cell, order // classes)
    np.testing.assert_array_equal(label, order % classes)
    np.testing.assert_allclose(score, probability.ravel()[order], rtol=1e-5)


def test_no_pair_above_the_floor():
    cell, label, score = top_pairs(torch.full((20, 80), -9.0))
    assert len(cell) == len(label) == len(score) == 0


class OneBox(torch.nn.Module):
    """Answers every picture with one certain box: 3, 2, 4, 1 strides around one cell of one level."""

    def __init__(self, level: int, row: int, column: int, label: int) -> None:
        super().__init__()
        self.place = (level, row, column, label)

    def forward(self, x):
        level, row, column, label = self.place
        outputs = []
        for index, stride in enumerate(STRIDES):
            grid = (x.shape[2] // stride, x.shape[3] // stride)
            logits = torch.full((1, 80, *grid), -12.0)
            bins = torch.full((1, 4 * DISTANCE_BINS, *grid), -40.0)
            if index == level:
                logits[0, label, row, column] = 4.0
                for side, distance in enumerate((3, 2, 4, 1)):
                    bins[0, side * DISTANCE_BINS + distance, row, column] = 40.0
            outputs.append(LevelOutput(logits, bins))
        return outputs


@pytest.mark.parametrize(("level", "row", "column"), [(0, 20, 30), (1, 9, 17), (2, 4, 6)])
def test_boxes_come_back_in_pixels_of_the_picture(level, row, column):
    height, width, stride = 480, 640, STRIDES[level]
    context = RunContext(torch.device("cpu"))
    raw = compact.run(OneBox(level, row, column, 16), np.zeros((height, width, 3), np.uint8), context)
    found = raw.candidates
    assert len(found) == 1
    assert found.labels.tolist() == [18], "class index 16 is dog, COCO's category 18"
    assert found.scores[0] == pytest.approx(1 / (1 + np.exp(-4)))
    assert found.level.tolist() == [level]
    centre = np.array([column + 0.5, row + 0.5]) * stride
    box = np.concatenate([centre - np.array([3, 2]) * stride, centre + np.array([4, 1]) * stride])
    scale = np.tile([width / 480, height / 360], 2)
    np.testing.assert_allclose(found.boxes[0], np.clip(box * scale, 0, [640, 480] * 2), rtol=1e-5)
    cell = np.concatenate([centre - stride / 2, centre + stride / 2])
    np.testing.assert_allclose(found.origins[0], cell * scale, rtol=1e-5)
    assert raw.input_size == (360, 480)
    assert raw.levels == ((48, 60, 8.0), (24, 30, 16.0), (12, 15, 32.0))
    assert list(context.stages) == ["preprocess", "network", "decode"]


def test_pictures_of_any_shape_work(compact_engine):
    for height, width in ((1, 1), (1, 500), (5000, 20), (33, 31), (700, 1100)):
        pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
        candidates = infer(pixels).candidates
        assert (candidates.height, candidates.width) == (height, width)
        assert len(candidates) <= CANDIDATE_CAP
        assert ((candidates.boxes >= 0) & (candidates.boxes <= [width, height, width, height])).all()
        assert (candidates.scores > SCORE_FLOOR * 0.999).all()
        assert (np.diff(candidates.scores) <= 0).all(), "best first"


def test_the_shipped_weights_find_the_people_of_the_crowd(compact_engine, crowd):
    inference = infer(crowd)
    found = decode(inference, settings_for("compact-detector")).detections
    people = found.take((found.labels == 1) & (found.scores > 0.3))
    height, width = crowd.shape[:2]
    left, top, right, bottom = people.boxes.T
    # Every copy is taller than a third of the scene and stands on its lower edge (those behind may look shorter).
    plausible = (bottom - top > 0.3 * height) & (bottom > 0.9 * height) & (right - left < 0.8 * width)
    assert plausible.sum() >= 3
    assert len(found) <= 14, "seven copies, not dozens of boxes"


def test_the_picture_may_be_upside_down_in_memory(compact_engine, crowd):
    """A view with negative strides is the same picture as its copy."""
    mirrored = crowd[:, ::-1]
    ours, reference = infer(mirrored).candidates, infer(np.ascontiguousarray(mirrored)).candidates
    np.testing.assert_array_equal(ours.boxes, reference.boxes)


def test_the_traced_form_agrees_with_the_reference_on_a_real_picture(compact_engine, crowd):
    from cvdemo.core import precision, registry, weights
    from cvdemo.core.registry import Precision

    spec = registry.get(compact.SPEC_NAME)
    network = spec.build()
    network.load_state_dict(weights.load_state(weights.find(spec.weights)))
    network = spec.prepare(network.eval()).requires_grad_(False)
    cpu = torch.device("cpu")
    reference = precision.run_once(spec, network, Precision(), cpu, crowd)
    traced = [candidate for candidate in spec.precisions if candidate.traced]
    assert {candidate.dtype for candidate in traced} == {"float32", "bfloat16"}
    for candidate in traced:
        form = precision.in_form(spec, network, candidate)
        assert spec.agrees(reference, precision.run_once(spec, form, candidate, cpu, crowd)), candidate.label
    centres, _ = cell_centres(288, 480)
    assert len(reference.candidates) > 4
    assert reference.levels[0][:2] == (36, 60)
    assert len(centres) == sum(rows * columns for rows, columns, _ in reference.levels)
