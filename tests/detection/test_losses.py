"""Assignment against a plain loop over objects and cells; what the loss charges and what it spares."""

import numpy as np
import pytest
import torch

from cvdemo.detection.losses import CELLS_PER_OBJECT, Targets, assign, detection_loss, pairs_inside
from cvdemo.detection.nets.compact_detector import (
    DISTANCE_BINS,
    CompactDetector,
    cell_centres,
    decode_boxes,
    flatten_levels,
)

SIZE, CLASSES = 96, 6


def targets_of(*rows) -> Targets:
    """Rows of (picture, x1, y1, x2, y2, class, confidence, ignored)."""
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 8)
    return Targets(table[:, 0].long(), table[:, 1:5], table[:, 5].long(), table[:, 6], table[:, 7] > 0)


def random_targets(rng: np.random.Generator, count: int, pictures: int) -> Targets:
    corners = rng.uniform(0, SIZE - 30, (count, 2))
    sides = np.exp(rng.uniform(np.log(3), np.log(60), (count, 2)))
    table = np.concatenate(
        [
            rng.integers(0, pictures, (count, 1)), corners, np.minimum(corners + sides, SIZE),
            rng.integers(0, CLASSES, (count, 1)), rng.uniform(0.4, 1, (count, 1)), rng.random((count, 1)) < 0.2,
        ],
        axis=1,
    )  # fmt: skip
    return targets_of(*table.tolist())


def iou(a, b) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    overlap = max(w, 0.0) * max(h, 0.0)
    return overlap / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap)


def assign_by_loop(logits, boxes, targets, centres):
    """{(picture, cell): (object, quality)} straight from the paper's description."""
    logits, boxes, centres = (np.asarray(t, np.float64) for t in (logits, boxes, centres))
    objects = np.asarray(targets.boxes, np.float64)
    wanted: dict[int, list[tuple[float, float, int]]] = {}
    for index, box in enumerate(objects):
        if targets.ignored[index]:
            continue
        picture, label = int(targets.image[index]), int(targets.classes[index])
        middle, half = (box[:2] + box[2:]) / 2, np.maximum((box[2:] - box[:2]) / 2, 4.0)
        found = []
        for cell, centre in enumerate(centres):
            if (abs(centre - middle) <= half).all():
                overlap = iou(boxes[picture, cell], box)
                score = 1 / (1 + np.exp(-logits[picture, cell, label]))
                found.append((score**0.5 * overlap**6, overlap, cell))
        wanted[index] = sorted(found, reverse=True)[:CELLS_PER_OBJECT]
    owner: dict[tuple[int, int], tuple[int, float, float]] = {}
    for index, found in wanted.items():
        for metric, overlap, cell in found:
            place = (int(targets.image[index]), cell)
            if place not in owner or overlap > owner[place][2]:
                owner[place] = (index, metric, overlap)
    result = {}
    for place, (index, metric, _) in owner.items():
        own = [(m, o) for i, m, o in owner.values() if i == index]
        best = max(m for m, _ in own)
        quality = metric / max(best, 1e-9) * max(o for _, o in own) * float(targets.confidence[index])
        result[place] = (index, quality)
    return result


@pytest.mark.parametrize("seed", range(8))
def test_assignment_against_a_loop(seed):
    rng = np.random.default_rng(seed)
    pictures = 3
    centres, strides = cell_centres(SIZE, SIZE)
    cells = len(centres)
    targets = random_targets(rng, int(rng.integers(1, 14)), pictures)
    # Predictions that all reach the middle of the picture overlap whatever lies there, so few metrics are zero.
    around = np.concatenate(
        [
            centres.numpy() - rng.uniform(3, 50, (pictures, cells, 2)),
            centres + rng.uniform(3, 50, (pictures, cells, 2)),
        ],
        -1,
    )
    boxes = torch.from_numpy(around).float()
    logits = torch.from_numpy(rng.normal(-1, 2, (pictures, cells, CLASSES))).float()
    found = assign(logits, boxes, targets, centres, strides)
    expected = assign_by_loop(logits, boxes, targets, centres)
    ours = {
        divmod(int(flat), cells): (int(obj), float(quality))
        for flat, obj, quality in zip(found.cell, found.object, found.quality)
    }
    assert len(ours) == len(found.cell), "a cell was assigned twice"
    assert {place: obj for place, (obj, _) in ours.items()} == {place: obj for place, (obj, _) in expected.items()}
    for place, (_, quality) in expected.items():
        assert ours[place][1] == pytest.approx(quality, rel=2e-3, abs=1e-6)


def test_an_object_smaller_than_a_cell_still_meets_one():
    centres, strides = cell_centres(SIZE, SIZE)
    for x, y in ((0, 0), (7, 9), (40.5, 41.5), (94, 94)):
        targets = targets_of((0, x, y, x + 2, y + 2, 0, 1, 0))
        _, cell = pairs_inside(targets, torch.tensor([0]), centres, strides)
        fine = cell[strides[cell] == 8]
        assert len(fine) >= 1
        assert (abs(centres[fine] - torch.tensor([x + 1.0, y + 1.0])) <= 4).all()


def scene() -> tuple[torch.Tensor, Targets]:
    """Two pictures with one flat rectangle each."""
    pixels = torch.full((2, 3, SIZE, SIZE), 0.4)
    pixels[0, 0, 16:64, 24:72] = 1.0
    pixels[1, 2, 40:88, 8:40] = 1.0
    return pixels, targets_of((0, 24, 16, 72, 64, 1, 1, 0), (1, 8, 40, 40, 88, 4, 1, 0))


def test_the_loss_falls_and_the_boxes_close_in_on_a_fixed_batch():
    torch.manual_seed(0)
    network = CompactDetector(CLASSES, (8, 8, 16, 16, 16), (1, 1, 1, 1), 16, 16).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=6e-3)
    pixels, targets = scene()
    centres, strides = cell_centres(SIZE, SIZE)
    totals, overlaps = [], []
    for _ in range(25):
        logits, bins = flatten_levels(network(pixels))
        terms = detection_loss(logits, bins, targets, centres, strides)
        optimiser.zero_grad()
        terms.total.backward()
        optimiser.step()
        totals.append(float(terms.total.detach()))
        found = assign(logits.detach(), decode_boxes(bins, centres, strides).detach(), targets, centres, strides)
        overlaps.append(float(found.quality.max()))
    assert all(np.isfinite(totals))
    assert terms.positives > 0
    assert np.mean(totals[-5:]) < 0.6 * np.mean(totals[:5])
    assert max(overlaps[-5:]) > overlaps[0] + 0.1


def predictions(pictures: int = 2, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    centres, strides = cell_centres(SIZE, SIZE)
    logits = torch.randn(pictures, len(centres), CLASSES, generator=generator).requires_grad_()
    bins = torch.randn(pictures, len(centres), 4, DISTANCE_BINS, generator=generator).requires_grad_()
    return logits, bins, centres, strides


def test_ignored_regions_are_neither_punished_nor_asked_for():
    logits, bins, centres, strides = predictions()
    targets = targets_of((1, 16, 16, 80, 80, 3, 0.2, 1))
    terms = detection_loss(logits, bins, targets, centres, strides)
    terms.total.backward()
    inside = ((centres >= 16) & (centres <= 80)).all(1)
    assert inside.any()
    assert terms.positives == 0
    assert (logits.grad[1, inside, 3] == 0).all(), "the ignored class inside the region"
    others = [c for c in range(CLASSES) if c != 3]
    assert (logits.grad[1, inside][:, others] > 0).all(), "other classes there are background"
    assert (logits.grad[1, ~inside] > 0).all()
    assert (logits.grad[0] > 0).all(), "the other picture has no ignored region"
    assert bins.grad is None or (bins.grad == 0).all()


def test_an_object_inside_an_ignored_region_of_its_class_is_still_learnt():
    logits, bins, centres, strides = predictions()
    targets = targets_of((0, 0, 0, SIZE, SIZE, 2, 0.2, 1), (0, 24, 24, 72, 72, 2, 1, 0))
    terms = detection_loss(logits, bins, targets, centres, strides)
    terms.total.backward()
    assert terms.positives > 0
    assert int((logits.grad[0, :, 2] != 0).sum()) == terms.positives
    assert int((bins.grad != 0).any(-1).any(-1).sum()) == terms.positives


@pytest.mark.parametrize("pictures", [1, 2])
def test_a_batch_without_objects_has_a_finite_loss(pictures):
    logits, bins, centres, strides = predictions(pictures)
    terms = detection_loss(logits, bins, targets_of(), centres, strides)
    terms.total.backward()
    assert torch.isfinite(terms.total)
    assert float(terms.overlap) == float(terms.distribution) == 0
    assert terms.positives == 0
    assert (logits.grad > 0).all(), "everything is background"


def test_the_best_cell_is_asked_for_its_overlap_times_the_confidence():
    logits, bins, centres, strides = predictions(1)
    boxes = decode_boxes(bins, centres, strides).detach()
    row = (0, 20, 20, 76, 60, 1, 1, 0)
    sure = assign(logits.detach(), boxes, targets_of(row), centres, strides)
    unsure = assign(logits.detach(), boxes, targets_of((*row[:6], 0.5, 0)), centres, strides)
    overlaps = [iou(boxes[0, int(cell)].tolist(), row[1:5]) for cell in sure.cell]
    assert float(sure.quality.max()) == pytest.approx(max(overlaps), rel=1e-4)
    torch.testing.assert_close(unsure.quality, sure.quality / 2)


def test_distances_beyond_the_last_bin_cost_the_last_bin():
    centres, strides = cell_centres(SIZE, SIZE)
    bins = torch.full((1, len(centres), 4, DISTANCE_BINS), -30.0)
    bins[..., -1] = 30.0  # every side as far as it goes
    logits = torch.zeros(1, len(centres), CLASSES)
    far = targets_of((0, -2000, -2000, 2000, 2000, 0, 1, 0))
    terms = detection_loss(logits, bins, far, centres, strides)
    assert torch.isfinite(terms.total)
    assert float(terms.distribution) < 0.1
