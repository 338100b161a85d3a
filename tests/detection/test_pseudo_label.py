"""Weighted boxes fusion and the teachers' candidates, by hand-made numbers and a plain reference."""

import numpy as np
import pytest

from cvdemo.detection.pseudo_label import TEACHER_SIZE, _candidates, _cell_centres, fuse, label_picture

NOTHING = (np.zeros((0, 4)), np.zeros(0), np.zeros(0, int))


def of(*rows):
    """(boxes, scores, classes) from rows of (x1, y1, x2, y2, score, class)."""
    table = np.array(rows, float).reshape(-1, 6)
    return table[:, :4], table[:, 4], table[:, 5].astype(int)


def iou(a, b) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    overlap = max(w, 0) * max(h, 0)
    return overlap / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap)


def test_agreement_keeps_the_mean_score_and_averages_the_box_by_score():
    ((box, score, label),) = fuse([of((0, 0, 10, 20, 0.8, 3)), of((2, 0, 12, 20, 0.4, 3))])
    np.testing.assert_allclose(box, [2 / 3, 0, 32 / 3, 20])
    assert score == pytest.approx(0.6)
    assert label == 3


def test_a_box_only_one_teacher_saw_keeps_half_its_score():
    found = fuse([of((0, 0, 10, 10, 0.9, 0)), of((100, 100, 120, 120, 0.5, 0))])
    assert sorted((score, box.tolist()) for box, score, _ in found) == [
        (0.25, [100, 100, 120, 120]),
        (0.45, [0, 0, 10, 10]),
    ]


def test_classes_are_not_fused_with_each_other():
    found = fuse([of((0, 0, 10, 10, 0.8, 0)), of((0, 0, 10, 10, 0.8, 1))])
    assert [(score, label) for _, score, label in found] == [(0.4, 0), (0.4, 1)]


def test_two_boxes_of_the_same_teacher_stay_apart():
    found = fuse([of((0, 0, 10, 10, 0.8, 0), (1, 0, 11, 10, 0.6, 0)), NOTHING])
    assert [score for _, score, _ in found] == pytest.approx([0.4, 0.3])


def test_too_little_overlap_is_no_agreement():
    boxes = of((0, 0, 10, 10, 0.8, 0)), of((3, 0, 13, 10, 0.8, 0))
    assert iou([0, 0, 10, 10], [3, 0, 13, 10]) < 0.55
    assert len(fuse(list(boxes))) == 2
    assert len(fuse(list(boxes), iou=0.5)) == 1


def test_nothing_in_nothing_out():
    assert fuse([NOTHING, NOTHING]) == []
    assert len(fuse([NOTHING, of((0, 0, 5, 5, 0.5, 2))])) == 1


@pytest.mark.parametrize("seed", range(6))
def test_fusing_loses_no_score_and_stays_between_its_members(seed):
    """Total score, split over the teachers, is kept; a fused box lies within the hull of what was fused."""
    rng = np.random.default_rng(seed)
    predictions = []
    for _ in range(3):
        corner = rng.uniform(0, 60, (8, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(10, 40, (8, 2))], 1)
        predictions.append((boxes, rng.uniform(0.1, 1, 8), rng.integers(0, 2, 8)))
    found = fuse(predictions)
    assert sum(score for _, score, _ in found) == pytest.approx(sum(p[1].sum() for p in predictions) / 3)
    for label in (0, 1):
        members = np.concatenate([p[0][p[2] == label] for p in predictions])
        for box, score, name in found:
            if name == label:
                assert (box >= members.min(0) - 1e-9).all()
                assert (box <= members.max(0) + 1e-9).all()
                assert 0 < score <= 1


def candidates_by_loop(boxes, scores, floor):
    """Greedy suppression at an IoU of 0.6, class by class."""
    kept = []
    for label in range(scores.shape[1]):
        rows = [i for i in np.argsort(-scores[:, label], kind="stable") if scores[i, label] > floor]
        while rows:
            best, *rest = rows
            kept.append((best, label))
            rows = [i for i in rest if iou(boxes[best], boxes[i]) <= 0.6]
    return {(row, label) for row, label in kept}


@pytest.mark.parametrize("seed", range(5))
def test_candidates_against_a_loop(seed):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(-5, 50, (40, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(10, 40, (40, 2))], 1).astype(np.float32)
    scores = rng.random((40, 4)).astype(np.float32) ** 2
    found_boxes, found_scores, labels = _candidates(boxes, scores, 0.3)
    rows = [int(np.flatnonzero((boxes == box).all(1))[0]) for box in found_boxes]
    assert set(zip(rows, labels.tolist())) == candidates_by_loop(boxes, scores, 0.3)
    np.testing.assert_array_equal(found_scores, scores[rows, labels])


def test_no_candidates_above_the_floor():
    boxes, scores, labels = _candidates(np.zeros((5, 4)), np.full((5, 80), 0.1), 0.2)
    assert boxes.shape == (0, 4)
    assert len(scores) == len(labels) == 0


@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_cell_positions(offset):
    points, step = _cell_centres((8, 64), offset)
    rows = [((x + offset) * s, (y + offset) * s, s) for s in (8, 64) for y in range(-(-TEACHER_SIZE // s))
            for x in range(-(-TEACHER_SIZE // s))]  # fmt: skip
    np.testing.assert_array_equal(np.concatenate([points, step], 1), np.array(rows, np.float32))


def test_a_picture_is_labelled_and_an_unreadable_one_is_not(tmp_path):
    import cv2

    assert cv2.imwrite(str(tmp_path / "a.png"), np.zeros((50, 80, 3), np.uint8))
    (tmp_path / "b.png").write_bytes(b"nothing")
    scores = np.zeros((3, 80), np.float32)
    scores[0, 5], scores[1, 7], scores[2, 9] = 0.9, 0.15, 0.9
    boxes = np.array([[-10, 5, 40, 30], [0, 0, 20, 20], [10, 10, 11, 40]], np.float32)
    size, found = label_picture(tmp_path / "a.png", [lambda picture: (boxes, scores)] * 2, 0.08, 0.2)
    assert size == (80, 50)
    ((box, score, label),) = found  # one too unsure, one too narrow
    assert box.tolist() == [0, 5, 40, 30], "clipped to the picture"
    assert (score, label) == (pytest.approx(0.9), 5)
    assert label_picture(tmp_path / "b.png", [], 0.08, 0.2) is None
