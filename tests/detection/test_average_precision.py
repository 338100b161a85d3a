"""Curves, the three kinds of AP and the matching of one picture, against plain loops."""

import numpy as np
import pytest

from cvdemo.detection.average_precision import (
    Curve,
    GroundTruth,
    average_precision,
    curve_of,
    match_image,
    precision_recall,
)
from cvdemo.detection.candidates import Detections
from cvdemo.detection.coco_evaluation import coco_metrics


def plain_curve(scores, correct, positives):
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    points, found = [], 0
    for shown, i in enumerate(order, start=1):
        found += bool(correct[i])
        points.append((found / shown, found / positives))
    return points


def plain_best_beyond(points, recall):
    return max((p for p, r in points if r >= recall), default=0.0)


@pytest.mark.parametrize("seed", range(20))
def test_curve_and_ap_equal_plain_loops(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(0, 60))
    scores, correct = rng.random(n), rng.random(n) < 0.6
    positives = int(correct.sum() + rng.integers(1, 10))
    points = plain_curve(scores, correct, positives)
    curve = precision_recall(scores, correct, positives)
    assert np.stack([curve.precision, curve.recall], axis=1) == pytest.approx(np.array(points).reshape(-1, 2))
    assert (np.diff(curve.scores) <= 0).all()

    eleven = np.mean([plain_best_beyond(points, r) for r in (tenth / 10 for tenth in range(11))])
    hundred = np.mean([plain_best_beyond(points, r) for r in np.linspace(0, 1, 101)])
    recalls = sorted({r for _, r in points if r > 0})
    area = sum((r - low) * plain_best_beyond(points, r) for low, r in zip([0.0, *recalls], recalls))
    assert average_precision(curve, "11-point") == pytest.approx(eleven)
    assert average_precision(curve, "101-point") == pytest.approx(hundred)
    assert average_precision(curve, "all-point") == pytest.approx(area)


def test_kinds_on_a_case_small_enough_for_paper():
    curve = precision_recall(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), positives=2)
    assert curve.precision == pytest.approx([1, 1 / 2, 2 / 3])
    assert curve.recall == pytest.approx([0.5, 0.5, 1.0])
    assert average_precision(curve, "all-point") == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert average_precision(curve, "11-point") == pytest.approx((6 * 1 + 5 * 2 / 3) / 11)


def test_ignored_detections_leave_the_curve_unchanged():
    scores, correct = np.array([0.9, 0.85, 0.8]), np.array([True, False, False])
    with_ignored = precision_recall(scores, correct, 2, ignored=np.array([False, True, False]))
    without = precision_recall(scores[[0, 2]], correct[[0, 2]], 2)
    assert np.array_equal(with_ignored.precision, without.precision)
    assert np.array_equal(with_ignored.scores, without.scores)


def test_nothing_to_find_gives_an_empty_curve():
    curve = precision_recall(np.array([0.5]), np.array([False]), 0)
    assert len(curve.recall) == 0
    assert all(average_precision(curve, kind) == 0 for kind in ("101-point", "11-point", "all-point"))


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="13-point"):
        average_precision(Curve(np.ones(1), np.ones(1), np.ones(1)), "13-point")  # type: ignore[arg-type]


def truth_of(*rows):
    return GroundTruth.from_coco([{"bbox": box, "category_id": label, "iscrowd": crowd} for box, label, crowd in rows])


def detections_of(*rows):
    boxes, scores, labels = ([row[i] for row in rows] for i in range(3))
    return Detections.from_arrays(boxes, scores, np.array(labels, dtype=int), height=100, width=100)


def test_match_labels_hits_duplicates_wrong_classes_and_misses():
    truth = truth_of(([0, 0, 10, 10], 1, 0), ([50, 50, 10, 10], 1, 0), ([80, 0, 10, 10], 18, 0))
    match = match_image(
        truth,
        detections_of(
            ([0, 0, 10, 9], 0.6, 1),  # second best on the first object: a duplicate
            ([0, 0, 10, 10], 0.9, 1),
            ([50, 50, 60, 60], 0.8, 18),  # right place, wrong class
            ([80, 5, 90, 15], 0.7, 18),  # IoU 1/3
        ),
    )
    assert match.status.tolist() == ["FP", "TP", "FP", "FP"]
    assert match.object_index.tolist() == [-1, 0, -1, -1]
    assert match.iou == pytest.approx([0.9, 1.0, 0.0, 1 / 3])
    assert match.found_by.tolist() == [1, -1, -1]
    assert match.missed.tolist() == [1, 2]
    assert match.counts() == {"TP": 1, "FP": 3, "FN": 2}
    looser = match_image(truth, detections_of(([80, 5, 90, 15], 0.7, 18)), iou_threshold=0.3)
    assert looser.status.tolist() == ["TP"]


def test_crowds_absorb_detections_and_are_never_missed():
    truth = truth_of(([0, 0, 100, 100], 1, 1), ([10, 10, 10, 10], 1, 0))
    inside = detections_of(([10, 10, 20, 20], 0.9, 1), ([40, 40, 50, 50], 0.8, 1), ([60, 60, 70, 70], 0.7, 1))
    match = match_image(truth, inside)
    assert match.status.tolist() == ["TP", "ignored", "ignored"]
    assert match.found_by.tolist() == [-1, 0]
    assert match.counts() == {"TP": 1, "FP": 0, "FN": 0}


def test_empty_pictures():
    nothing, box = truth_of(), detections_of(([0, 0, 5, 5], 0.5, 1))
    assert match_image(nothing, box).counts() == {"TP": 0, "FP": 1, "FN": 0}
    none = Detections.empty(10, 10)
    assert match_image(truth_of(([0, 0, 5, 5], 1, 0)), none).counts() == {"TP": 0, "FP": 0, "FN": 1}
    assert len(curve_of([]).recall) == 0


@pytest.mark.parametrize("seed", range(6))
def test_matches_of_many_pictures_give_coco_ap50_of_a_class(seed):
    """The lecture view and the data set evaluation are two paths to one number."""
    rng = np.random.default_rng(seed)
    annotations, results, matches = [], [], []
    for image_id in range(8):
        n = int(rng.integers(1, 6))
        boxes = np.concatenate([rng.integers(0, 200, (n, 2)), rng.integers(10, 80, (n, 2))], axis=1)
        labels = rng.integers(1, 3, n)
        rows = [
            {"image_id": image_id, "category_id": int(k), "bbox": b.tolist(), "iscrowd": int(rng.random() < 0.2)}
            for b, k in zip(boxes, labels)
        ]
        near = np.repeat(boxes, 2, axis=0) + rng.integers(-4, 5, (2 * n, 4))
        corners = np.concatenate([near[:, :2], near[:, :2] + np.maximum(near[:, 2:], 1)], axis=1)
        scores = rng.permutation(2 * n) / 100 + image_id / 1000
        found = Detections.from_arrays(corners, scores, np.repeat(labels, 2), height=300, width=300)
        annotations += rows
        results += found.to_coco(image_id)
        matches.append(match_image(GroundTruth.from_coco(rows), found))
    metrics = coco_metrics(annotations, results, range(8), [1, 2]).per_class()
    for label in (1, 2):
        assert average_precision(curve_of(matches, label)) == pytest.approx(metrics[label]["AP50"], abs=1e-9)
    pooled = curve_of(matches)
    assert len(pooled.recall) == sum((m.status != "ignored").sum() for m in matches)
