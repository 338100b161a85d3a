"""RawDetections' checks, and when a faster number format counts as agreeing."""

import numpy as np
import pytest

from cvdemo.detection.candidates import Candidates
from cvdemo.detection.raw import RawDetections, agree


def raw(boxes, scores, labels):
    candidates = Candidates.from_arrays(boxes, scores, labels, level=np.zeros(len(boxes), int), height=480, width=640)
    return RawDetections(candidates, None, None, ((60, 80, 8.0),), (480, 640))


def scene(count=40, seed=0):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 400, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(20, 80, (count, 2))], 1)
    return boxes, np.sort(rng.uniform(0.1, 0.9, count))[::-1], rng.integers(1, 5, count)


def test_small_differences_agree_in_any_order():
    boxes, scores, labels = scene()
    order = np.random.default_rng(1).permutation(len(boxes))
    assert agree(raw(boxes, scores, labels), raw((boxes + 0.3)[order], (scores - 0.02)[order], labels[order]))


@pytest.mark.parametrize(
    ("shift", "drop", "relabel"), [(12.0, 0.0, 0), (0.0, 0.09, 0), (0.0, 0.0, 1)], ids=["boxes", "scores", "labels"]
)
def test_large_differences_disagree(shift, drop, relabel):
    boxes, scores, labels = scene()
    assert not agree(raw(boxes, scores, labels), raw(boxes + shift, scores - drop, labels + relabel))


def test_one_lost_box_in_twenty_is_tolerated_and_five_are_not():
    boxes, scores, labels = scene(20)
    labels = np.arange(1, 21)  # no two of a class: nothing is suppressed
    reference = raw(boxes, scores, labels)
    assert agree(reference, raw(boxes[1:], scores[1:], labels[1:]))
    assert not agree(reference, raw(boxes[5:], scores[5:], labels[5:]))


def test_low_scores_do_not_decide_when_there_are_good_ones():
    boxes, scores, labels = scene(60)
    labels = np.arange(1, 61)
    scores = np.where(np.arange(60) < 15, scores, 0.03)
    assert agree(raw(boxes, scores, labels), raw(boxes[:15], scores[:15], labels[:15]))


def test_empty_agrees_only_with_empty():
    nothing, something = raw([], [], []), raw(*scene())
    assert agree(nothing, raw([], [], []))
    assert not agree(nothing, something)
    assert not agree(something, nothing)


def test_proposals_need_their_objectness():
    candidates = Candidates.empty(10, 10)
    with pytest.raises(ValueError, match="together"):
        RawDetections(candidates, np.zeros((3, 4), np.float32), None, (), (10, 10))
    with pytest.raises(ValueError, match="2 objectness values"):
        RawDetections(candidates, np.zeros((3, 4), np.float32), np.zeros(2, np.float32), (), (10, 10))


def test_levels_must_be_listed():
    candidates = Candidates.from_arrays([[0, 0, 1, 1]], [0.5], [1], level=[2], height=10, width=10)
    with pytest.raises(ValueError, match="not listed"):
        RawDetections(candidates, None, None, ((5, 5, 2.0), (3, 3, 4.0)), (10, 10))
