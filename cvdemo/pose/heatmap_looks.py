"""The four looks of the Heatmap view: which networks each needs, and the picture, words and table it gives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cvdemo.core import registry
from cvdemo.pose import heatmap_view as view
from cvdemo.pose.heatmap_view import COVER, KINDS, STAGES, HeatmapControls
from cvdemo.pose.occlude import displacements, occlude
from cvdemo.pose.poses import Poses
from cvdemo.pose.predict import PEOPLE_FLOOR, PoseInference, PoseSettings, decode, infer, settings_for
from cvdemo.pose.raw import RawPoses, of_stage
from cvdemo.pose.skeleton import COCO_JOINTS
from cvdemo.pose.tab_shared import Look, on_people, timing_line
from cvdemo.ui.canvas import on_canvas
from cvdemo.ui.memory import Memory

_EVERYBODY = 100
NOBODY = (
    "No person was found in this picture, so there is no heatmap. Choose one that shows a person at least 60 px high."
)
NO_MAPS = (
    "{} answers with coordinates and has no heatmaps. Choose the heatmap model in the menu on the left, or look at "
    "regression and heatmap side by side."
)


@dataclass(frozen=True, eq=False)
class Shown:
    """One state of the view. ``value``: of the canvas.   caption: under the picture, plain text.

    problem: why this look cannot be had here, and what to do, in the sentence's place.
    """

    value: dict[str, Any] | None
    sentence: str
    timing: str = ""
    caption: str = ""
    table: str = ""
    problem: str = ""


def people_choices(look: Look) -> list[tuple[str, int]]:
    """(label, row of the raw result) of everybody the model's own settings show, surest first."""
    poses = decode(look.inference, replace(settings_for(look.inference.model), max_people=_EVERYBODY))
    return [
        (f"{number} (score {score:.2f})", int(row))
        for number, (row, score) in enumerate(zip(poses.rows, poses.box_scores.tolist()), 1)
    ]


def one_person(raw: RawPoses, row: int, settings: PoseSettings) -> Poses:
    """The pose of one row of a raw result, alone; ``rows`` is 0, so that runs on its box can be compared with it."""
    poses = decode(raw, replace(settings, box_threshold=PEOPLE_FLOOR, max_people=_EVERYBODY))
    alone = poses.take(poses.rows == row)
    return replace(alone, rows=np.zeros(len(alone), np.int64))


def compose(
    user: str, look: Look, row: int, controls: HeatmapControls, memory: Memory | None, quality: int = 88
) -> Shown:  # fmt: skip
    """What the view shows of a person. memory: keeps further runs; None for webcam frames, which come only once.

    Where a look's model is not there, the person is shown with the reason.   Errors as in ``predict.infer``.
    """
    raw = look.inference.raw
    if not 0 <= row < len(raw):
        value = on_canvas(look.display, "The picture; nobody was found in it", quality=quality)
        return Shown(value, NOBODY, timing_line(look.inference))
    needed = {STAGES: (controls.two_stage,), KINDS: (view.REGRESSION_MODEL, view.HEATMAP_MODEL)}
    missing = [name for name in needed.get(controls.look, ()) if not registry.availability(registry.get(name)).ok]
    if missing:
        return _without(look, row, controls.look, missing, quality)
    if controls.look == STAGES:
        return _stages(user, look, row, controls, memory, quality)
    if controls.look == KINDS:
        return _kinds(user, look, row, memory, quality)
    if controls.look == COVER:
        return _cover(user, look, row, controls, memory, quality)
    return _joint(look, row, controls, quality)


def _without(look: Look, row: int, wanted: str, missing: list[str], quality: int) -> Shown:
    """The person as the present model sees it, and which model the look lacks."""
    reasons = []
    for name in missing:
        spec = registry.get(name)
        state = registry.availability(spec)
        reasons.append(f"{registry.title_of(spec, state)}: {state.reason}. {state.remedy}")
    words = f"“{view.LOOKS[wanted]}” cannot be shown here. {' '.join(reasons)}"
    poses = one_person(look.inference.raw, row, settings_for(look.inference.model))
    pixels = view.drawn_pose(view.frame_of(look.picture.pixels, look.inference.raw.regions[row]), poses)
    caption = f"The person as {registry.get(look.inference.model).title} sees it; there is nothing to compare it with."
    return Shown(on_canvas(pixels, caption, quality=quality), "", caption=caption, problem=words)


def _joint(look: Look, row: int, controls: HeatmapControls, quality: int) -> Shown:
    raw = look.inference.raw
    poses = one_person(raw, row, settings_for(look.inference.model))
    frame = view.frame_of(look.picture.pixels, None if controls.whole else raw.regions[row])
    places = [
        (x, y, joint)
        for joint, (x, y) in enumerate(frame.shares(poses.keypoints[0, :, :2]).tolist() if len(poses) else [])
        if 0 <= x <= 1 and 0 <= y <= 1
    ]
    if raw.heatmaps is None:
        words = NO_MAPS.format(registry.get(look.inference.model).title)
        return Shown(on_canvas(view.drawn_pose(frame, poses), words, quality=quality), words)
    sentence = view.joint_sentence(raw, row, controls.joint_index)
    value = on_canvas(view.drawn_joint(frame, raw, row, controls), sentence, places, quality=quality)
    table = view.joint_table(raw, row, controls.joint_index)
    return Shown(value, sentence, timing_line(look.inference), "", table)


def _stages(
    user: str, look: Look, row: int, controls: HeatmapControls, memory: Memory | None, quality: int
) -> Shown:  # fmt: skip
    model = controls.two_stage
    ran = on_people(user, look.picture, model, look.inference.raw.boxes[[row]], memory)
    raw, settings = ran.raw, settings_for(model)
    names = list(raw.stages_extra)
    if not len(raw) or not names:
        return Shown(None, f"{registry.get(model).title} returned no earlier stage for this person.")
    early = of_stage(raw, names[0])
    frame = view.frame_of(look.picture.pixels, raw.regions[0])
    first, second = (one_person(each, 0, settings) for each in (early, raw))
    if early.heatmaps is not None and raw.heatmaps is not None:
        pictures = [view.drawn_joint(frame, each, 0, controls) for each in (early, raw)]
        what = f"the heatmap of the {controls.joint}"
    else:
        pictures = [view.drawn_pose(frame, poses) for poses in (first, second)]
        what = "the skeleton"
    sentence, table = view.comparison(first, second, ("stage 1", "stage 2"), settings.joint_threshold)
    caption = f"Left: {what} after stage 1. Right: after stage 2. {registry.get(model).title}."
    value = on_canvas(view.side_by_side(*pictures), f"{caption} {sentence}", quality=quality)
    return Shown(value, sentence, timing_line(ran), caption, table)


def _kinds(user: str, look: Look, row: int, memory: Memory | None, quality: int) -> Shown:
    boxes = look.inference.raw.boxes[[row]]
    models = (view.REGRESSION_MODEL, view.HEATMAP_MODEL)
    runs = [on_people(user, look.picture, model, boxes, memory) for model in models]
    found = [one_person(run.raw, 0, settings_for(model)) for run, model in zip(runs, models)]
    if not all(len(poses) for poses in found):
        return Shown(None, "This person's box has no area, so no network can look at it.")
    frame = view.frame_of(look.picture.pixels, runs[1].raw.regions[0])
    pictures = [view.drawn_pose(frame, poses) for poses in found]
    threshold = settings_for(models[1]).joint_threshold
    sentence, table = view.comparison(found[0], found[1], ("regression", "heatmap"), threshold)
    shown = [int(poses.visible.sum()) for poses in found]
    caption = (
        f"Left: regression ({shown[0]} of {len(COCO_JOINTS)} joints above the confidence). "
        f"Right: heatmaps ({shown[1]})."
    )
    times = " · ".join(f"{name}: {timing_line(run)}" for name, run in zip(("regression", "heatmap"), runs))
    return Shown(on_canvas(view.side_by_side(*pictures), f"{caption} {sentence}", quality=quality), sentence, times,
                 caption, table)  # fmt: skip


def _cover(
    user: str, look: Look, row: int, controls: HeatmapControls, memory: Memory | None, quality: int
) -> Shown:  # fmt: skip
    raw, model, pixels = look.inference.raw, look.inference.model, look.picture.pixels
    rectangle = view.frame_of(pixels, raw.regions[row]).rectangle(controls)
    covered = occlude(pixels, [rectangle], controls.fill)

    def run() -> PoseInference:
        return infer(covered, model, boxes=raw.boxes[[row]], user=user)

    key = ("pose covered", look.picture.fingerprint, model, row, rectangle, controls.fill)
    ran = run() if memory is None else memory.recall(key, run)
    settings = settings_for(model)
    before, after = one_person(raw, row, settings), one_person(ran.raw, 0, settings)
    frame = view.frame_of(covered, raw.regions[row])
    if ran.raw.heatmaps is not None and len(ran.raw):
        frame = replace(frame, pixels=view.drawn_joint(frame, ran.raw, 0, controls))
    moved = displacements(before, after)[0] if len(before) else np.full(len(COCO_JOINTS), np.nan)
    sentence, table = view.moves_text(before, after, moved)
    value = on_canvas(view.draw_moves(frame, before, after, rectangle), sentence, paint=True, quality=quality)
    caption = "White crosses: where the joints were on the picture as it is. Yellow: what is covered."
    return Shown(value, sentence, timing_line(ran), caption, table)
