"""Suppression against torchvision, OpenCV and a brute-force reading of the papers, on random boxes."""

import math
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
import torchvision

from cvdemo.detection.candidates import Candidates
from cvdemo.detection.nms import NMS_KINDS, batched_nms, filter_and_suppress, iou_matrix, nms, suppress, trace


def random_boxes(rng: np.random.Generator, n: int, *, grid: float = 0.0, spread: float = 200.0) -> np.ndarray:
    corner = rng.uniform(0, spread, (n, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0, 120, (n, 2))], axis=1)
    if grid:  # snaps corners, which makes duplicates, degenerate boxes and IoUs exactly on the threshold
        boxes = np.round(boxes / grid) * grid
    return boxes.astype(np.float32)


def random_candidates(seed: int, n: int = 120, classes: int = 5, **changes) -> Candidates:
    rng = np.random.default_rng(seed)
    boxes = random_boxes(rng, n, grid=20.0 if seed % 2 else 0.0)
    scores = rng.uniform(0.02, 1, n).astype(np.float32)
    return Candidates.from_arrays(
        boxes, scores, rng.integers(1, classes + 1, n), **{"height": 320, "width": 320, **changes}
    )


def plain_iou(a, b) -> float:
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h
    return w * h / union


def plain_soft_nms(boxes, scores, labels, kind, threshold, sigma, floor):
    """The paper's figure 2, written with lists: move the best box to D, rescore the rest, drop what falls too low."""
    rest = [(i, float(s)) for i, s in enumerate(scores) if s > floor]
    done = []
    while rest:
        best = max(rest, key=lambda item: item[1])
        rest.remove(best)
        done.append(best)
        updated = []
        for i, s in rest:
            if labels[i] == labels[best[0]]:
                iou = plain_iou(boxes[i].tolist(), boxes[best[0]].tolist())
                if kind == "soft-linear":
                    s = s * (1 - iou) if iou >= threshold else s
                else:
                    s = s * math.exp(-(iou**2) / sigma)
            if s > floor:
                updated.append((i, s))
        rest = updated
    return done


# ---------------------------------------------------------------- overlap


@pytest.mark.parametrize("seed", range(5))
def test_iou_matrix_equals_torchvision(seed):
    rng = np.random.default_rng(seed)
    a, b = random_boxes(rng, 30), random_boxes(rng, 40)
    expected = torchvision.ops.box_iou(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    assert iou_matrix(a, b) == pytest.approx(expected, abs=1e-6)


def test_iou_matrix_of_degenerate_and_missing_boxes():
    point, line, box = [5, 5, 5, 5], [0, 5, 10, 5], [0, 0, 10, 10]
    assert iou_matrix(np.array([point, line, box]), np.array([point, box])).tolist() == [[0, 0], [0, 0], [0, 1]]
    assert iou_matrix(np.zeros((0, 4)), np.array([box])).shape == (0, 1)


# ---------------------------------------------------------------- hard


@pytest.mark.parametrize("threshold", [0.0, 0.3, 1 / 3, 0.5, 0.65, 1.0])
@pytest.mark.parametrize("grid", [0.0, 10.0, 40.0])
def test_hard_equals_torchvision_with_ties_and_duplicates(threshold, grid):
    for seed in range(12):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(0, 250))
        boxes, scores, labels = random_boxes(rng, n, grid=grid), rng.uniform(0, 1, n), rng.integers(1, 91, n) // 10
        scores = (np.round(scores, 1) if seed % 2 else scores).astype(np.float32)
        b, s, k = torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(labels)
        assert np.array_equal(nms(boxes, scores, threshold), torchvision.ops.nms(b, s, threshold).numpy())
        expected = torchvision.ops.batched_nms(b, s, k, threshold).numpy()
        assert np.array_equal(batched_nms(boxes, scores, labels, threshold), expected)


def test_it_does_without_torchvision() -> None:
    script = (
        "import sys; import numpy as np; from cvdemo.detection.nms import batched_nms; "
        "b = np.array([[0, 0, 9, 9], [0, 0, 9, 8]], np.float32); "
        "assert batched_nms(b, b[:, 3], np.zeros(2, np.int64), 0.5).tolist() == [0]; "
        "print('torchvision' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("n", [999, 1000, 1001, 2500])
def test_batched_equals_torchvision_on_both_sides_of_its_own_switch(n):
    rng = np.random.default_rng(n)
    boxes, labels = random_boxes(rng, n), rng.integers(1, 91, n)
    scores = rng.permutation(n).astype(np.float32) / n
    args = (torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(labels), 0.5)
    assert np.array_equal(batched_nms(boxes, scores, labels, 0.5), torchvision.ops.batched_nms(*args).numpy())


def test_batched_keeps_classes_apart_at_negative_coordinates():
    boxes = np.array([[-100, -100, -1, -1], [-100, -100, -1, -1], [-100, -100, -1, -1]], dtype=np.float32)
    kept = batched_nms(boxes, np.array([0.5, 0.9, 0.8], dtype=np.float32), np.array([1, 2, 1]), 0.5)
    assert kept.tolist() == [1, 2]


def test_ties_go_to_the_lower_row():
    c = Candidates.from_arrays([[0, 0, 10, 10]] * 3, [0.5] * 3, [1, 1, 1], height=20, width=20)
    for kind in ("hard", "class-agnostic"):
        assert suppress(c, kind)[0].tolist() == [0]
    assert suppress(c, "none")[0].tolist() == [0, 1, 2]


def test_hard_compares_within_labels_and_agnostic_across():
    boxes = [[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 8]]
    c = Candidates.from_arrays(boxes, [0.9, 0.8, 0.7], [1, 2, 1], height=20, width=20)
    assert suppress(c, "hard")[0].tolist() == [0, 1]
    assert suppress(c, "class-agnostic")[0].tolist() == [0]
    blind = Candidates.from_arrays(boxes, [0.9, 0.8, 0.7], [1, 2, 1], height=20, width=20, class_aware=False)
    assert suppress(blind, "hard")[0].tolist() == [0]


# ---------------------------------------------------------------- soft


@pytest.mark.parametrize("kind", ["soft-linear", "soft-gaussian"])
@pytest.mark.parametrize("class_aware", [True, False])
def test_soft_equals_brute_force(kind, class_aware):
    for seed in range(12):
        c = random_candidates(seed, n=90, class_aware=class_aware)
        labels = c.labels if class_aware else np.ones_like(c.labels)
        threshold, sigma, floor = [(0.3, 0.5, 0.05), (0.5, 0.3, 0.001), (0.0, 1.0, 0.2)][seed % 3]
        expected = plain_soft_nms(c.boxes, c.scores, labels, kind, threshold, sigma, floor)
        rows, scores = suppress(c, kind, threshold, sigma=sigma, score_threshold=floor)
        assert rows.tolist() == [i for i, _ in expected]
        assert scores == pytest.approx([s for _, s in expected], abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("soft-linear", cv2.dnn.SOFT_NMSMETHOD_SOFTNMS_LINEAR),
        ("soft-gaussian", cv2.dnn.SOFT_NMSMETHOD_SOFTNMS_GAUSSIAN),
    ],
)
def test_soft_equals_opencv(kind, method):
    for seed in range(0, 12, 2):
        c = random_candidates(seed, n=60, classes=1)
        whole = np.round(c.boxes).astype(int)  # OpenCV takes whole pixels
        whole[:, 2:] = np.maximum(whole[:, 2:], whole[:, :2] + 1)
        c = Candidates.from_arrays(whole, c.scores, c.labels, height=320, width=320)
        sizes = np.concatenate([whole[:, :2], whole[:, 2:] - whole[:, :2]], axis=1)
        expected, index = cv2.dnn.softNMSBoxes(sizes.tolist(), c.scores.tolist(), 0.05, 0.4, 0, 0.5, method)
        rows, scores = suppress(c, kind, 0.4, sigma=0.5, score_threshold=0.05)
        assert rows.tolist() == list(np.ravel(index))
        assert scores == pytest.approx(np.ravel(expected), abs=1e-5)


def test_soft_linear_removes_an_exact_duplicate():
    c = Candidates.from_arrays([[0, 0, 10, 10]] * 2, [0.9, 0.8], [1, 1], height=20, width=20)
    assert suppress(c, "soft-linear")[0].tolist() == [0]
    assert suppress(c, "soft-gaussian", sigma=0.5)[1] == pytest.approx([0.9, 0.8 * math.exp(-2)])


def test_sigma_must_be_positive():
    with pytest.raises(ValueError, match="sigma"):
        suppress(random_candidates(0), "soft-gaussian", sigma=0.0)


# ---------------------------------------------------------------- all kinds


@pytest.mark.parametrize("kind", NMS_KINDS)
def test_stopping_early_is_a_prefix_of_the_whole(kind):
    c = random_candidates(1)
    rows, scores = suppress(c, kind, 0.4)
    few_rows, few_scores = suppress(c, kind, 0.4, max_detections=7)
    assert np.array_equal(few_rows, rows[:7])
    assert np.array_equal(few_scores, scores[:7])
    assert (np.diff(scores) <= 0).all()


@pytest.mark.parametrize("kind", NMS_KINDS)
@pytest.mark.parametrize("n", [0, 1])
def test_no_candidates_and_one(kind, n):
    c = random_candidates(0, n=n)
    rows, scores = suppress(c, kind)
    assert len(rows) == len(scores) == n
    assert len(trace(c, kind)) == n


@pytest.mark.parametrize("kind", NMS_KINDS)
def test_boxes_without_area_are_kept_and_suppress_nothing(kind):
    boxes = [[5, 5, 5, 5], [5, 5, 5, 5], [0, 5, 10, 5], [0, 0, 10, 10]]
    c = Candidates.from_arrays(boxes, [0.9, 0.8, 0.7, 0.6], [1, 1, 1, 1], height=20, width=20)
    rows, scores = suppress(c, kind, 0.1)
    assert rows.tolist() == [0, 1, 2, 3]
    assert scores == pytest.approx(c.scores)


def test_unknown_kind_names_the_known():
    with pytest.raises(ValueError, match="soft-gaussian"):
        suppress(random_candidates(0), "median")  # type: ignore[arg-type]


# ---------------------------------------------------------------- trace


@pytest.mark.parametrize("kind", NMS_KINDS)
@pytest.mark.parametrize("class_aware", [True, False])
@pytest.mark.parametrize("n", [150, 1100])
def test_trace_ends_with_the_boxes_of_suppress(kind, class_aware, n):
    for seed in range(3):
        c = random_candidates(seed, n=n, class_aware=class_aware)
        for limit in (None, 10):
            rows, scores = suppress(c, kind, 0.45, score_threshold=0.05, max_detections=limit)
            steps = trace(c, kind, 0.45, score_threshold=0.05, max_detections=limit)
            assert [step.picked for step in steps] == rows.tolist()
            assert [step.score for step in steps] == pytest.approx(scores.tolist(), abs=1e-6)


def test_hard_trace_accounts_for_every_candidate_once():
    c = random_candidates(4, n=200)
    steps = trace(c, "hard", 0.4)
    lost = np.concatenate([step.affected for step in steps])
    assert sorted([*lost.tolist(), *(step.picked for step in steps)]) == list(range(200))
    for step in steps:
        assert step.removed.all()
        assert (step.after == 0).all()
        assert (step.before <= step.score).all()
        assert (c.labels[step.affected] == c.labels[step.picked]).all()
        assert (np.diff(step.iou) <= 0).all()
        for row, iou in zip(step.affected, step.iou):
            assert iou == pytest.approx(plain_iou(c.boxes[row].tolist(), c.boxes[step.picked].tolist()), abs=1e-3)
            assert iou > 0.4


@pytest.mark.parametrize("kind", ["soft-linear", "soft-gaussian"])
def test_soft_trace_replays_to_the_final_scores(kind):
    c = random_candidates(6, n=120)
    score = {row: float(s) for row, s in enumerate(c.scores)}
    gone: set[int] = set()
    for step in trace(c, kind, 0.3, sigma=0.4, score_threshold=0.1):
        assert score[step.picked] == pytest.approx(step.score)
        assert step.picked not in gone
        gone.add(step.picked)
        for row, before, after, removed in zip(step.affected, step.before, step.after, step.removed):
            assert row not in gone
            assert score[row] == pytest.approx(before)
            assert after < before
            score[row] = after
            assert removed == (after <= 0.1)
            if removed:
                gone.add(int(row))


# ---------------------------------------------------------------- the whole decode


@pytest.mark.parametrize("seed", range(8))
def test_filter_and_suppress_equals_torchvisions_post_processing(seed):
    """The order of RoIHeads.postprocess_detections: score, small boxes, NMS per class, best N."""
    c = random_candidates(seed, n=400)
    boxes, scores, labels = torch.from_numpy(c.boxes), torch.from_numpy(c.scores), torch.from_numpy(c.labels)
    keep = torch.where(scores > 0.3)[0]
    keep = keep[torchvision.ops.remove_small_boxes(boxes[keep], 1e-2)]
    keep = keep[torchvision.ops.batched_nms(boxes[keep], scores[keep], labels[keep], 0.5)[:20]]
    options = {"iou_threshold": 0.5, "max_detections": 20, "min_size": 1e-2}
    detections, report = filter_and_suppress(c, score_threshold=0.3, **options)
    assert np.array_equal(detections.index, keep.numpy())
    assert np.array_equal(detections.boxes, c.boxes[keep.numpy()])
    assert report.kept == len(detections) == 20
    assert report.total == 400
    assert report.after_score == int((scores > 0.3).sum())
    assert report.after_score >= report.after_size >= report.after_nms >= report.kept


def test_score_threshold_is_strict_in_float32_like_torch():
    scores = np.array([0.05, np.nextafter(np.float32(0.05), np.float32(1))], dtype=np.float32)
    c = Candidates.from_arrays([[0, 0, 5, 5], [9, 9, 15, 15]], scores, [1, 1], height=20, width=20)
    assert filter_and_suppress(c, score_threshold=0.05)[0].index.tolist() == [1]


def test_class_filter_and_size_filter_come_before_suppression():
    boxes = [[0, 0, 10, 10], [0, 0, 10, 9], [30, 30, 31, 60]]
    c = Candidates.from_arrays(boxes, [0.9, 0.8, 0.7], [1, 18, 18], height=80, width=80)
    options = {"nms_kind": "class-agnostic", "min_size": 2.0}
    detections, report = filter_and_suppress(c, class_ids=frozenset({18}), **options)
    assert detections.index.tolist() == [1]
    assert (report.total, report.after_score, report.after_class, report.after_size, report.kept) == (3, 3, 2, 1, 1)
    assert len(filter_and_suppress(c, class_ids=frozenset(), **options)[0]) == 0
    assert filter_and_suppress(c, **options)[0].index.tolist() == [0]


@pytest.mark.parametrize("kind", NMS_KINDS)
def test_maximum_detections_and_soft_scores_reach_the_result(kind):
    c = random_candidates(2)
    detections, report = filter_and_suppress(c, score_threshold=0.1, nms_kind=kind, iou_threshold=0.3, max_detections=9)
    rows, scores = suppress(c, kind, 0.3, score_threshold=0.1)
    assert np.array_equal(detections.index, rows[:9])
    assert detections.scores == pytest.approx(scores[:9])
    assert report.kept == 9


def test_the_candidates_are_not_written_to():
    c = random_candidates(3)
    copies = [column.copy() for column in (c.boxes, c.scores, c.labels)]
    for column in (c.boxes, c.scores, c.labels, c.level):
        column.flags.writeable = False
    for kind in NMS_KINDS:
        filter_and_suppress(c, nms_kind=kind)
        trace(c, kind)
    assert all(np.array_equal(a, b) for a, b in zip(copies, (c.boxes, c.scores, c.labels)))
