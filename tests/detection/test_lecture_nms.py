"""The stepper: against decoding, and against a replay written as plain loops."""

import gc

import numpy as np
import pytest
from torchvision.ops import box_iou

from cvdemo.detection import lecture_nms
from cvdemo.detection.candidates import Candidates
from cvdemo.detection.lecture_nms import (
    STEP_STYLES,
    draw_moment,
    filtered,
    moment,
    remembered_walk,
    rows,
    sentence,
    walk,
)
from cvdemo.detection.nms import NMS_KINDS
from cvdemo.detection.predict import DetectionSettings, decode

HEIGHT, WIDTH = 240, 320


def random_candidates(seed: int, count: int = 80) -> Candidates:
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, 150, (count, 2))
    boxes = np.concatenate([start, start + rng.uniform(3, 90, (count, 2))], 1)
    return Candidates.from_arrays(
        boxes, rng.uniform(0, 1, count), rng.choice([1, 18, 32], count), height=HEIGHT, width=WIDTH
    )


def candidates_of(*table) -> Candidates:
    """Rows of (x1, y1, x2, y2, score, category id)."""
    array = np.array(table, float).reshape(-1, 6)
    return Candidates.from_arrays(array[:, :4], array[:, 4], array[:, 5].astype(int), height=HEIGHT, width=WIDTH)


PEOPLE = candidates_of(
    (10, 10, 110, 210, 0.9, 1), (12, 12, 110, 210, 0.8, 1), (10, 10, 108, 205, 0.7, 1), (200, 10, 300, 210, 0.6, 1),
    (11, 11, 110, 210, 0.5, 32), (0, 0, 2, 2, 0.95, 1), (5, 5, 50, 50, 0.1, 1),
)  # fmt: skip


@pytest.mark.parametrize("kind", NMS_KINDS)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("most", [5, 100])
def test_the_picks_are_exactly_what_decoding_shows(kind, seed, most):
    candidates = random_candidates(seed)
    settings = DetectionSettings(
        score_threshold=0.2,
        nms_kind=kind,
        iou_threshold=0.4,
        max_detections=most,
        min_size=8,
        classes=("person", "dog"),
    )
    walked = walk(candidates, settings)
    shown = decode(candidates, settings).detections
    picked = [step.picked for step in walked.steps]
    np.testing.assert_array_equal(walked.candidates.boxes[picked], shown.boxes)
    np.testing.assert_allclose([step.score for step in walked.steps], shown.scores, rtol=1e-6)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("across", [False, True])
def test_every_moment_of_hard_suppression_against_a_replay(seed, across):
    import torch

    kind = "class-agnostic" if across else "hard"
    walked = walk(random_candidates(seed), DetectionSettings(0.1, iou_threshold=0.3, nms_kind=kind))
    part = walked.candidates
    overlap = box_iou(torch.from_numpy(part.boxes), torch.from_numpy(part.boxes)).numpy()
    left, kept = sorted(range(len(part)), key=lambda row: -part.scores[row]), []
    for number in range(1, len(walked.steps) + 1):
        best, *rest = left
        lost = {row for row in rest if overlap[best, row] > 0.3 and (across or part.labels[row] == part.labels[best])}
        left = [row for row in rest if row not in lost]
        at = moment(walked, number)
        assert at.step.picked == best
        assert set(at.step.affected.tolist()) == lost
        np.testing.assert_allclose(at.step.iou, overlap[best, at.step.affected], atol=2e-4)
        assert (np.diff(at.step.iou) <= 0).all(), "the highest IoU comes first"
        assert at.kept.tolist() == kept
        assert set(at.waiting.tolist()) == set(left)
        kept.append(best)
    assert not left


@pytest.mark.parametrize("kind", ["soft-linear", "soft-gaussian"])
@pytest.mark.parametrize("seed", range(3))
def test_scores_at_every_moment_of_soft_suppression_against_a_replay(kind, seed):
    import torch

    settings = DetectionSettings(0.15, iou_threshold=0.3, nms_kind=kind, sigma=0.4)
    walked = walk(random_candidates(seed, 40), settings)
    part = walked.candidates
    overlap = box_iou(torch.from_numpy(part.boxes), torch.from_numpy(part.boxes)).numpy().astype(float)
    scores, left = part.scores.astype(float), set(range(len(part)))
    for number in range(1, len(walked.steps) + 1):
        best = max(left, key=lambda row: scores[row])
        left.remove(best)
        for row in list(left):
            if part.labels[row] == part.labels[best]:
                iou = overlap[best, row]
                scores[row] *= (1 - iou if iou >= 0.3 else 1) if kind == "soft-linear" else np.exp(-iou * iou / 0.4)
            if scores[row] <= 0.15:
                left.remove(row)
        at = moment(walked, number)
        assert at.step.picked == best
        assert set(at.waiting.tolist()) == left
        alive = sorted(left)
        np.testing.assert_allclose(at.scores[alive], scores[alive], rtol=1e-4)


def test_filters_come_before_suppression():
    kept = filtered(PEOPLE, DetectionSettings(0.3, min_size=10, classes=("person",)))
    assert kept.scores.tolist() == pytest.approx([0.9, 0.8, 0.7, 0.6])


def test_steps_beyond_the_ends_are_clipped_and_without_steps_there_is_no_moment():
    walked = walk(PEOPLE, DetectionSettings(0.3, min_size=10))
    assert len(walked.steps) == 3
    assert moment(walked, -5).number == 1
    assert moment(walked, 99).number == 3
    with pytest.raises(ValueError, match="no step"):
        moment(walk(PEOPLE, DetectionSettings(1.0)), 1)


@pytest.mark.parametrize(
    ("changes", "number", "words"),
    [
        ({}, 1, "Step 1 of 3: person 0.90 picked, suppresses 2 boxes (IoU 0.97, 0.96). 2 boxes still wait."),
        ({}, 2, "Step 2 of 3: person 0.60 picked, suppresses nothing. 1 box still waits."),
        ({}, 3, "Step 3 of 3: tie 0.50 picked, suppresses nothing. Nothing waits any more: done."),
        ({"nms_kind": "class-agnostic"}, 1,
         "Step 1 of 2: person 0.90 picked, suppresses 3 boxes (IoU 0.99, 0.97, 0.96), 1 of another class. "
         "1 box still waits."),
        ({"nms_kind": "none"}, 1, "Step 1 of 5: person 0.90 picked, nothing is compared (suppression is off). "
         "4 boxes still wait."),
        ({"max_detections": 1}, 1, "Step 1 of 1: person 0.90 picked, suppresses 2 boxes (IoU 0.97, 0.96). It stops "
         "here, at the most boxes allowed (1); 2 still waited."),
        ({"nms_kind": "soft-linear"}, 1, "Step 1 of 3: person 0.90 picked, lowers 2 scores (0.80 → 0.02 at IoU 0.97, "
         "0.70 → 0.03 at IoU 0.96), 2 of them below the threshold. 2 boxes still wait."),
        ({"nms_kind": "soft-gaussian", "sigma": 2.0}, 1, "Step 1 of 4: person 0.90 picked, lowers 2 scores (0.80 → "
         "0.50 at IoU 0.97, 0.70 → 0.44 at IoU 0.96). 4 boxes still wait."),
    ],
)  # fmt: skip
def test_sentences(changes, number, words):
    walked = walk(PEOPLE, DetectionSettings(0.3, min_size=10, **changes))
    assert sentence(walked, moment(walked, number)) == words


def test_long_lists_of_overlaps_are_cut_in_the_sentence_and_whole_in_the_table():
    shifted = [(10 + i, 10, 110 + i, 110, 0.9 - 0.01 * i, 1) for i in range(9)]
    walked = walk(candidates_of(*shifted), DetectionSettings(0.3, iou_threshold=0.5))
    at = moment(walked, 1)
    assert "suppresses 8 boxes (IoU 0.98, 0.96, 0.94, 0.92, 0.90, 0.89, …)." in sentence(walked, at)
    assert [row[1] for row in rows(walked, at)] == ["0.98", "0.96", "0.94", "0.92", "0.90", "0.89", "0.87", "0.85"]
    assert rows(walked, at)[0] == ("person", "0.98", "0.89", "removed")


def test_rows_of_soft_suppression_tell_lowered_from_removed():
    settings = DetectionSettings(0.46, min_size=10, nms_kind="soft-gaussian", sigma=2.0)
    walked = walk(PEOPLE, settings)
    assert rows(walked, moment(walked, 1)) == [
        ("person", "0.97", "0.80", "lowered to 0.50"), ("person", "0.96", "0.70", "lowered to 0.44: removed"),
    ]  # fmt: skip


def test_drawing_shows_the_four_roles_and_leaves_the_picture_alone():
    pixels = np.full((HEIGHT, WIDTH, 3), 77, np.uint8)
    walked = walk(PEOPLE, DetectionSettings(0.3, min_size=10, iou_threshold=0.965))
    first, second = (draw_moment(pixels, walked, moment(walked, number)) for number in (1, 2))
    assert (pixels == 77).all()

    def has(picture, role):
        return bool((picture == np.array(STEP_STYLES[role].colour, np.uint8)).all(2).any())

    assert [has(first, role) for role in ("picked", "affected", "kept", "waiting")] == [True, True, False, True]
    assert [has(second, role) for role in ("picked", "kept", "waiting")] == [True, True, True]


def test_roles_differ_in_more_than_colour():
    patterns = {name: style.pattern for name, style in STEP_STYLES.items()}
    assert len({patterns[name] for name in ("picked", "affected", "waiting")}) == 3
    walked = walk(PEOPLE, DetectionSettings(0.3, min_size=10))
    plain, thick = (np.full((HEIGHT, WIDTH, 3), 77, np.uint8) for _ in range(2))
    picture = draw_moment(plain, walked, moment(walked, 2))
    kept, picked = (int((picture[120] == np.array(STEP_STYLES[n].colour)).all(1).sum()) for n in ("kept", "picked"))
    assert picked > kept > 0, "picked is thicker than kept"
    assert (thick == plain).all()


def test_boxes_follow_a_smaller_copy():
    walked = walk(PEOPLE, DetectionSettings(0.3, min_size=10, classes=("person",)))
    picture = draw_moment(np.zeros((HEIGHT // 2, WIDTH // 2, 3), np.uint8), walked, moment(walked, 2), scale=0.5)
    blue = (picture == np.array(STEP_STYLES["picked"].colour, np.uint8)).all(2)
    xs = np.nonzero(blue[60])[0]
    assert abs(xs.min() - 100) <= 3
    assert abs(xs.max() - 150) <= 3


def test_the_latest_walk_is_remembered_and_forgotten_with_its_candidates():
    candidates = random_candidates(0)
    settings = DetectionSettings()
    first = remembered_walk(candidates, settings)
    assert remembered_walk(candidates, DetectionSettings(line_width=7, show_labels=False)) is first
    assert remembered_walk(candidates, DetectionSettings(iou_threshold=0.2)) is not first
    assert remembered_walk(random_candidates(0), DetectionSettings(iou_threshold=0.2)) is not first
    gc.collect()
    before = len(lecture_nms._latest)
    del candidates, first
    gc.collect()
    assert len(lecture_nms._latest) == before - 1
