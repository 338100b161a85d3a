"""The Detection tab's lecture views: suppression step by step, ground truth, and where boxes come from.

They draw into the page's large result. Only the view whose sub-tab is open is computed, and none needs the network.
What happens when somebody opens or moves them is in ``tab_lecture_events``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from cvdemo.core import registry
from cvdemo.core.errors import CvDemoError
from cvdemo.detection import lecture_nms, lecture_origins, lecture_panels, lecture_truth
from cvdemo.detection.candidates import name_of
from cvdemo.detection.draw import draw_match
from cvdemo.detection.labels import COCO_CATEGORIES
from cvdemo.detection.predict import Decoded, DetectionSettings
from cvdemo.detection.view import PROJECTOR_SCALE, PictureView, resized
from cvdemo.ui.viewer import trouble
from cvdemo.ui.widgets import handle, moving_menu, upload_button

ALL = "all classes"
NO_GRID = -1
SECONDS_A_STEP = 1.2
ONLY_PICTURES = lecture_panels.said("This view takes a single picture apart: choose one in the Picture mode.")
NO_PICTURE = lecture_panels.said("Choose a picture first.")
NO_TRUTH = lecture_panels.said(
    "Load the true boxes of this picture as a COCO json (one or many pictures, matched by file name) to see what is "
    "right, wrong and missed. Without a file, the boxes shown now can stand in for the truth: then move the sliders."
)
_ID_OF_NAME = {category.name: category.id for category in COCO_CATEGORIES}


@dataclass(frozen=True)
class LectureParts:
    """Components of the three views. ``inputs`` are what ``look`` reads, ``outputs`` what it fills, in its order."""

    tabs: dict[str, Any]
    opened: Any
    step: Any
    previous: Any
    play: Any
    following: Any
    timer: Any
    playing: Any
    walk: Any
    truth: Any
    upload: Any
    stand_in: Any
    forget: Any
    iou: Any
    label: Any
    assessment: Any
    show: Any
    most: Any
    level: Any
    origins: Any

    @property
    def inputs(self) -> list[Any]:
        return [self.opened, self.step, self.truth, self.iou, self.label, self.show, self.most, self.level]

    @property
    def outputs(self) -> list[Any]:
        return [self.step, self.walk, self.label, self.assessment, self.level, self.origins]


@dataclass(frozen=True)
class Given:
    """The values of ``LectureParts.inputs``."""

    opened: str
    step: int
    truth: lecture_truth.TruthFile | None
    iou: float
    label: str
    show: str
    most: int
    level: int


# ------------------------------------------------------------------ components


def lecture_tabs() -> LectureParts:
    """The three sub-tabs, built inside the current ``gr.Tabs``."""
    with gr.Tab("NMS steps", id="nms", elem_id="lecture-nms-tab") as nms_tab:
        with gr.Row(equal_height=False, elem_classes="lecture"):
            previous = gr.Button("Previous", size="sm", min_width=96, elem_id="lecture-previous")
            play = gr.Button("Play", size="sm", min_width=96, elem_id="lecture-play")
            following = gr.Button("Next", size="sm", min_width=96, elem_id="lecture-next")
            step = handle(1, 2, 1, step=1, label="Step", scale=4, min_width=220, elem_id="lecture-step")
        walk = gr.HTML(elem_id="lecture-walk")
        timer = gr.Timer(SECONDS_A_STEP, active=False)
    with gr.Tab("Ground truth", id="truth", elem_id="lecture-truth-tab") as truth_tab:
        with gr.Row(equal_height=False, elem_classes="lecture"):
            upload = upload_button(
                "Load a COCO json", file_types=[".json"], size="sm", min_width=150, elem_id="lecture-upload"
            )
            stand_in = gr.Button("Use the boxes shown now", size="sm", min_width=180, elem_id="lecture-stand-in")
            forget = gr.Button("Forget it", size="sm", min_width=96, elem_id="lecture-forget")
        with gr.Row(equal_height=False, elem_classes="lecture"):
            iou = gr.Slider(
                0.05, 0.95, 0.5, step=0.05, label="A hit needs an IoU of", buttons=[], min_width=220,
                elem_id="lecture-iou",
            )  # fmt: skip
            label = moving_menu([ALL], value=ALL, label="Look at", filterable=False, elem_id="lecture-label")
        assessment = gr.HTML(elem_id="lecture-truth")
    with gr.Tab("Anchors", id="origins", elem_id="lecture-origins-tab") as origins_tab:
        with gr.Row(equal_height=False, elem_classes="lecture"):
            show = gr.Dropdown(
                [("found objects", "found"), ("best candidates", "best"), ("proposals (two-stage)", "proposals")],
                value="found", label="Trace back", filterable=False, elem_id="lecture-show",
            )  # fmt: skip
            most = gr.Slider(
                1, 300, 20, step=1, label="How many, best first", buttons=[], min_width=220, elem_id="lecture-most"
            )
            level = moving_menu(
                [("none", NO_GRID)], value=NO_GRID, label="Grid of one level", filterable=False, elem_id="lecture-level"
            )
        origins = gr.HTML(elem_id="lecture-origins")
    return LectureParts(
        tabs={"nms": nms_tab, "truth": truth_tab, "origins": origins_tab}, opened=gr.State(""), step=step,
        previous=previous, play=play, following=following, timer=timer, playing=gr.State(False), walk=walk,
        truth=gr.State(None, time_to_live=3600), upload=upload, stand_in=stand_in, forget=forget, iou=iou,
        label=label, assessment=assessment, show=show, most=most, level=level, origins=origins,
    )  # fmt: skip


# ------------------------------------------------------------------ what a view shows


@dataclass(frozen=True, eq=False)
class Look:
    """What one view shows: the picture (None: the plain result), its sentence ("": the plain one), its outputs."""

    pixels: np.ndarray | None
    outputs: tuple[Any, ...]
    sentence: str = ""


def closed() -> Look:
    """No view is open: nothing to compute, nothing to change."""
    return Look(None, (gr.skip(),) * 6)


def look(
    view: PictureView, settings: DetectionSettings, decoded: Decoded, projector: bool, given: Given, fresh: bool
) -> Look:
    """The open view of a picture. ``fresh``: the picture or the model is new, so stepping starts again."""
    style = {
        "line_width": min(12, settings.line_width * 2) if projector else settings.line_width,
        "text_scale": PROJECTOR_SCALE if projector else 1.0,
    }
    if given.opened == "nms":
        return _look_at_walk(view, settings, 1 if fresh else given.step, style)
    if given.opened == "truth":
        return _look_at_truth(view, settings, given, style)
    if given.opened == "origins":
        return _look_at_origins(view, settings, decoded, given, style)
    return closed()


def message(opened: str, text: str) -> tuple[Any, ...]:
    """Outputs that say something in the open view instead of a result."""
    panel = {"nms": 1, "truth": 3, "origins": 5}.get(opened)
    return tuple(text if position == panel else gr.skip() for position in range(6))


def _look_at_walk(view: PictureView, settings: DetectionSettings, step: int, style: dict[str, Any]) -> Look:
    walked = lecture_nms.remembered_walk(view.inference.candidates, settings)
    count = len(walked.steps)
    at = lecture_nms.moment(walked, step) if count else None
    slider = gr.Slider(value=at.number if at else 1, maximum=max(2, count), interactive=count > 1)
    panel = lecture_panels.walk_panel(walked, at)
    pixels = view.display
    if at is not None:
        pixels = lecture_nms.draw_moment(view.display, walked, at, scale=view.scale, **style)
    sentence = lecture_nms.sentence(walked, at) if at else ""
    return Look(pixels, (slider, panel, *(gr.skip(),) * 4), sentence)


def _look_at_truth(view: PictureView, settings: DetectionSettings, given: Given, style: dict[str, Any]) -> Look:
    if given.truth is None:
        return Look(None, message("truth", NO_TRUTH))
    candidates = view.inference.candidates
    try:
        truth, remark = given.truth.of(view.picture.name, candidates.height, candidates.width)
    except CvDemoError as error:
        return Look(None, message("truth", trouble(error)))
    chosen = _ID_OF_NAME.get(given.label)
    result = lecture_truth.assess(candidates, truth, settings, given.iou, chosen)
    known = {score.label for score in result.classes}
    if chosen is not None and chosen not in known:  # the class chosen for the picture before does not occur in this one
        chosen, result = None, lecture_truth.assess(candidates, truth, settings, given.iou)
    names = [name_of(score.label) for score in result.classes]
    menu = gr.Dropdown(choices=[ALL, *names], value=name_of(chosen) if chosen else ALL)
    panel = lecture_panels.truth_panel(result, given.truth.source, (remark, given.truth.note), settings.score_threshold)
    shown = resized(result.detections, view.scale, view.display.shape[:2])
    pixels = draw_match(view.display, lecture_truth.scaled(result.truth, view.scale), shown, result.match, **style)
    sentence = lecture_panels.truth_sentence(result, settings.score_threshold)
    return Look(pixels, (gr.skip(), gr.skip(), menu, panel, gr.skip(), gr.skip()), sentence)


def _look_at_origins(
    view: PictureView, settings: DetectionSettings, decoded: Decoded, given: Given, style: dict[str, Any]
) -> Look:
    raw = view.inference.raw
    family = next((s.family for s in registry.models() if s.name == view.inference.model), "")
    word = lecture_origins.origin_word(raw, family)
    level = given.level if 0 <= given.level < len(raw.levels) else NO_GRID
    grids = [(f"stride {stride:g}: {rows} x {columns} cells", index)
             for index, (rows, columns, stride) in enumerate(raw.levels)]  # fmt: skip
    menu = gr.Dropdown(choices=[("none", NO_GRID), *grids], value=level)
    pixels = view.display
    if level != NO_GRID:
        pixels = lecture_origins.draw_grid(pixels, raw, level, scale=view.scale)
    if given.show == "proposals":
        panel = lecture_panels.proposals_panel(raw)
        sentence = lecture_panels.proposals_sentence(raw, given.most)
        if raw.proposals is not None:
            pixels = lecture_origins.draw_proposals(pixels, raw, given.most, scale=view.scale, **style)
        return Look(pixels, (*(gr.skip(),) * 4, menu, panel), sentence)
    if given.show == "found":
        rows = decoded.detections.index[: given.most]
    else:
        rows = lecture_origins.best_rows(raw.candidates, given.most, settings.class_ids)
    if raw.candidates.origins is not None and len(rows):
        strides = tuple(stride for *_, stride in raw.levels)
        pixels = lecture_origins.draw_origins(pixels, raw.candidates, rows, strides, scale=view.scale, **style)
    panel = lecture_panels.origins_panel(raw, rows, word)
    sentence = lecture_panels.origins_sentence(raw, rows, given.show)
    return Look(pixels, (*(gr.skip(),) * 4, menu, panel), sentence)
