"""Suppression one pick at a time: what the stepper shows of ``nms.trace`` on a picture's own candidates.

A ``Walk`` is the whole trace under one setting; a ``Moment`` is where everything stands after one of its steps. Both
are plain arithmetic on candidates that were computed once: stepping never touches the network.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from cvdemo.detection.candidates import Candidates, name_of
from cvdemo.detection.draw import PALETTE, PATTERNS, Style, draw_boxes, make_style
from cvdemo.detection.nms import Step, trace
from cvdemo.detection.predict import DetectionSettings

STEP_STYLES: dict[str, Style] = {
    "picked": make_style(PALETTE[0], PATTERNS[0]),
    "affected": make_style(PALETTE[6], PATTERNS[1]),
    "kept": make_style(PALETTE[2], PATTERNS[0]),
    "waiting": make_style((190, 190, 190), PATTERNS[2]),
}
MOST_LISTED = 6  # IoUs written out in the sentence; the picture and the table show them all
MOST_ROWS = 40
MOST_PLATES = 20  # labels on boxes that one step affects, those that overlap most; more would cover the picture


@dataclass(frozen=True, eq=False)
class Walk:
    """Every step of suppression on the candidates that passed the filters.

    candidates: (N) those that take part.   steps: in order; ``picked`` and ``affected`` are rows of ``candidates``.
    soft: whether scores are lowered instead of boxes removed.   limit: where it stops, whoever still waits.
    """

    candidates: Candidates
    steps: tuple[Step, ...]
    kind: str
    limit: int

    @property
    def soft(self) -> bool:
        return self.kind.startswith("soft")


@dataclass(frozen=True, eq=False)
class Moment:
    """Where everything stands after step ``number`` (from 1) of a walk.

    step: the pick itself.   kept: rows picked before, in that order.   waiting: rows neither picked nor removed so far
    (what this step lowered but did not remove waits on).   scores: (N,) float64 at this moment.
    """

    number: int
    step: Step
    kept: np.ndarray
    waiting: np.ndarray
    scores: np.ndarray


def filtered(candidates: Candidates, settings: DetectionSettings) -> Candidates:
    """The candidates that take part in suppression: above the score threshold, of a chosen class, large enough."""
    keep = candidates.scores > settings.score_threshold
    if settings.class_ids is not None:
        keep &= np.isin(candidates.labels, list(settings.class_ids))
    keep &= (candidates.boxes[:, 2:] - candidates.boxes[:, :2] >= settings.min_size).all(axis=1)
    return candidates.take(keep)


def walk(candidates: Candidates, settings: DetectionSettings) -> Walk:
    """Trace suppression under these settings; ``[step.picked ...]`` are exactly the boxes ``decode`` shows."""
    part = filtered(candidates, settings)
    steps = trace(
        part,
        settings.nms_kind,  # type: ignore[arg-type]
        settings.iou_threshold,
        sigma=settings.sigma,
        score_threshold=settings.score_threshold,
        max_detections=settings.max_detections,
    )
    return Walk(part, steps, settings.nms_kind, settings.max_detections)


_latest: WeakKeyDictionary[Candidates, tuple[Any, Walk]] = WeakKeyDictionary()
_lock = threading.Lock()


def remembered_walk(candidates: Candidates, settings: DetectionSettings) -> Walk:
    """``walk``, but the latest one of each picture is kept: going from step to step traces nothing again.

    Forgotten together with the candidates. How boxes are drawn is no reason to trace again.
    """
    key = replace(settings, line_width=2, show_labels=True, show_scores=True)
    with _lock:
        known = _latest.get(candidates)
    if known is not None and known[0] == key:
        return known[1]
    made = walk(candidates, settings)
    with _lock:
        _latest[candidates] = (key, made)
    return made


def moment(walked: Walk, number: int) -> Moment:
    """Where everything stands after step ``number``, which is clipped to 1 ... number of steps.

    ValueError when there is no step at all.
    """
    if not walked.steps:
        raise ValueError("nothing passed the filters, so there is no step to show")
    number = min(max(int(number), 1), len(walked.steps))
    scores = walked.candidates.scores.astype(np.float64)
    waiting = np.ones(len(scores), dtype=bool)
    for step in walked.steps[:number]:
        waiting[step.picked] = False
        waiting[step.affected[step.removed]] = False
        scores[step.affected] = step.after
        scores[step.picked] = step.score
    kept = np.array([step.picked for step in walked.steps[: number - 1]], dtype=np.int64)
    return Moment(number, walked.steps[number - 1], kept, np.flatnonzero(waiting), scores)


def sentence(walked: Walk, at: Moment) -> str:
    """ "Step 3 of 12: person 0.83 picked, suppresses 4 boxes (IoU 0.91, 0.88, ...)." and what follows from it."""
    step, labels = at.step, walked.candidates.labels
    text = f"Step {at.number} of {len(walked.steps)}: {name_of(labels[step.picked])} {step.score:.2f} picked, "
    count = len(step.affected)
    if walked.kind == "none":
        text += "nothing is compared (suppression is off)."
    elif not count:
        text += f"{'lowers' if walked.soft else 'suppresses'} nothing."
    elif walked.soft:
        removed = int(step.removed.sum())
        lowered = [f"{b:.2f} → {a:.2f} at IoU {iou:.2f}" for b, a, iou in zip(step.before, step.after, step.iou)]
        text += f"lowers {_count(count, 'score')} ({_listed(lowered, 2)})"
        text += f", {removed} of them below the threshold." if removed else "."
    else:
        foreign = int((labels[step.affected] != labels[step.picked]).sum())
        other = f", {foreign} of another class" if foreign else ""
        ious = _listed([f"{iou:.2f}" for iou in step.iou], MOST_LISTED)
        text += f"suppresses {_count(count, 'box', 'boxes')} (IoU {ious}){other}."
    if at.number < len(walked.steps):
        return text + f" {_count(len(at.waiting), 'box', 'boxes')} still {'waits' if len(at.waiting) == 1 else 'wait'}."
    if len(at.waiting):
        return text + f" It stops here, at the most boxes allowed ({walked.limit}); {len(at.waiting)} still waited."
    return text + " Nothing waits any more: done."


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _listed(values: Sequence[str], most: int) -> str:
    return ", ".join(values[:most]) + (", …" if len(values) > most else "")


def rows(walked: Walk, at: Moment) -> list[tuple[str, str, str, str]]:
    """What the step did to each box, highest IoU first: (label, IoU, score, what became of it); at most 40 rows."""
    step, labels = at.step, walked.candidates.labels
    listed = []
    for row, iou, before, after, removed in zip(
        step.affected[:MOST_ROWS], step.iou, step.before, step.after, step.removed
    ):
        fate = "removed" if removed else f"lowered to {after:.2f}"
        if removed and walked.soft:
            fate = f"lowered to {after:.2f}: removed"
        listed.append((name_of(labels[row]), f"{iou:.2f}", f"{before:.2f}", fate))
    return listed


def draw_moment(
    pixels: np.ndarray,
    walked: Walk,
    at: Moment,
    *,
    scale: float = 1.0,
    line_width: int = 2,
    text_scale: float = 1.0,
) -> np.ndarray:
    """The picture at one step, a new (H, W, 3) uint8 array.

    Picked: solid blue, thick and tinted. What it affects: dashed red with the IoU, or with the lowered score where
    suppression is soft. Kept before: solid green. Still waiting: dotted grey. ``scale``: pixels of ``pixels`` per pixel
    of the candidates' picture.
    """
    step, candidates = at.step, walked.candidates
    affected = step.affected[::-1]  # the highest IoU on top
    waiting = np.setdiff1d(at.waiting, step.affected)
    order = np.concatenate([waiting[::-1], at.kept, affected, [step.picked]]).astype(np.int64)
    groups = (("waiting", len(waiting)), ("kept", len(at.kept)), ("affected", len(affected)), ("picked", 1))
    names = [name for name, count in groups for _ in range(count)]
    texts = [_lowered(candidates, at, row) for row in waiting[::-1]]
    texts += [f"kept {at.scores[row]:.2f}" for row in at.kept]
    plates = [f"{b:.2f} -> {a:.2f}" if walked.soft else f"IoU {iou:.2f}"
              for iou, b, a in zip(step.iou[:MOST_PLATES], step.before, step.after)]  # fmt: skip
    texts += [*[""] * (len(affected) - len(plates)), *reversed(plates)]
    texts.append(f"{name_of(candidates.labels[step.picked])} {step.score:.2f}")
    return draw_boxes(
        pixels,
        candidates.boxes[order] * np.float32(scale),
        [STEP_STYLES[name] for name in names],
        texts,
        emphasised=[name == "picked" for name in names],
        line_width=line_width,
        text_scale=text_scale,
    )


def _lowered(candidates: Candidates, at: Moment, row: int) -> str:
    """A waiting box says its score only where an earlier step lowered it; hundreds of plates would hide the picture."""
    before, now = float(candidates.scores[row]), float(at.scores[row])
    return f"{before:.2f} -> {now:.2f}" if now < before - 0.005 else ""
