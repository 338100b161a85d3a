"""What happens in the lecture views: opening and closing them, stepping and playing, loading a ground truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from cvdemo.core.errors import CvDemoError
from cvdemo.detection import lecture_nms, lecture_truth
from cvdemo.detection.predict import DetectionSettings, decode
from cvdemo.detection.tab_events import NAMES, Parts, drawn, redrawn
from cvdemo.detection.tab_lecture import NO_PICTURE, NO_TRUTH, ONLY_PICTURES, LectureParts, message
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.viewer import problem, trouble
from cvdemo.ui.widgets import read_settings

QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
FIRST = len(NAMES)  # where the values of ``LectureParts.inputs`` begin, after those of the settings


def _at_rest() -> tuple[Any, ...]:
    """Values of timer, button and state while nothing plays."""
    return gr.Timer(active=False), "Play", False


def wire_lecture(parts: Parts) -> None:
    """Open, close and move the views; ``tab_events.drawn`` redraws everything together with the open one."""
    lecture: LectureParts = parts.lecture
    inputs = [parts.picture_state, parts.projector, parts.mode, *parts.settings, *lecture.inputs]
    outputs = redrawn(parts)
    resting = [lecture.timer, lecture.play, lecture.playing]

    def redraw(state: Any, projector: bool, mode: str, *values: Any) -> tuple[Any, ...]:
        return drawn(state, projector, mode, values)

    def enter(name: str) -> Callable[..., tuple[Any, ...]]:
        def opened(state: Any, projector: bool, mode: str, *values: Any) -> tuple[Any, ...]:
            if values[FIRST] == name or (not name and not values[FIRST]):
                return (gr.skip(),) * (len(outputs) + 4)
            now = (*values[:FIRST], name, *values[FIRST + 1 :])
            return name, *drawn(state, projector, mode, now), *_at_rest()

        return opened

    for name, tab in lecture.tabs.items():
        tab.select(enter(name), inputs, [lecture.opened, *outputs, *resting], **QUICK)
    for tab in parts.plain_tabs:
        tab.select(enter(""), inputs, [lecture.opened, *outputs, *resting], **QUICK)
    for mode in ("video", "live"):
        panels = [lecture.walk, lecture.assessment, lecture.origins]
        parts.modes[mode].select(lambda: (*(ONLY_PICTURES,) * 3, *_at_rest()), None, [*panels, *resting], **QUICK)
    for widget in (lecture.iou, lecture.label, lecture.show, lecture.most, lecture.level):
        widget.input(redraw, inputs, outputs, trigger_mode="always_last", **QUICK)
    _wire_steps(parts, inputs, resting)
    _wire_truth(parts, inputs, outputs)


def _wire_steps(parts: Parts, inputs: list[Any], resting: list[Any]) -> None:
    """Previous, next, the slider and playing. The picture, its sentence and the step's own panel change."""
    lecture: LectureParts = parts.lecture
    position = FIRST + lecture.inputs.index(lecture.step)
    moved = [parts.viewer, parts.status, lecture.walk, lecture.step]

    def go_to(state: Any, projector: bool, mode: str, values: tuple[Any, ...], step: int) -> tuple[Any, ...]:
        made = drawn(state, projector, mode, (*values[:position], step, *values[position + 1 :]))
        return made[0], made[1], made[5], made[4]

    def by(change: int) -> Callable[..., tuple[Any, ...]]:
        def handler(state: Any, projector: bool, mode: str, *values: Any) -> tuple[Any, ...]:
            return go_to(state, projector, mode, values, int(values[position]) + change)

        return handler

    def dragged(state: Any, projector: bool, mode: str, *values: Any) -> tuple[Any, ...]:
        # Without the slider itself: an answer must not pull the handle out of the hand.
        return go_to(state, projector, mode, values, int(values[position]))[:3]

    def last_step(state: Any, values: tuple[Any, ...]) -> int:
        if state is None:
            return 1
        settings = read_settings(DetectionSettings, NAMES, values[:FIRST])
        return len(lecture_nms.remembered_walk(state.inference.candidates, settings).steps)

    def tick(state: Any, projector: bool, mode: str, *values: Any) -> tuple[Any, ...]:
        step = int(values[position]) + 1
        more = step < last_step(state, values)
        playing = (gr.skip(),) * 3 if more else _at_rest()
        return *go_to(state, projector, mode, values, step), *playing

    def play(playing: bool, state: Any, projector: bool, mode: str, *values: Any) -> tuple[Any, ...]:
        if playing:
            return *(gr.skip(),) * 4, *_at_rest()
        again = int(values[position]) >= last_step(state, values)  # at the end, playing starts over
        made = go_to(state, projector, mode, values, 1) if again else (gr.skip(),) * 4
        return *made, gr.Timer(active=True), "Pause", True

    lecture.previous.click(by(-1), inputs, moved, **QUICK)
    lecture.following.click(by(+1), inputs, moved, **QUICK)
    lecture.step.input(dragged, inputs, moved[:3], trigger_mode="always_last", **QUICK)
    lecture.timer.tick(tick, inputs, [*moved, *resting], **QUICK)
    lecture.play.click(play, [lecture.playing, *inputs], [*moved, *resting], **QUICK)


def _wire_truth(parts: Parts, inputs: list[Any], outputs: list[Any]) -> None:
    """Load, make up or forget a ground truth."""
    lecture: LectureParts = parts.lecture
    position = FIRST + lecture.inputs.index(lecture.truth)
    targets = [lecture.truth, *outputs]

    def with_truth(truth: Any, state: Any, projector: bool, mode: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
        return truth, *drawn(state, projector, mode, (*values[:position], truth, *values[position + 1 :]))

    def refused(text: str) -> tuple[Any, ...]:
        return gr.skip(), *(gr.skip(),) * 4, *message("truth", text)

    def load(
        request: gr.Request, path: str | None, state: Any, projector: bool, mode: str, *values: Any
    ) -> tuple[Any, ...]:
        if not path:
            return refused(NO_TRUTH)
        try:
            truth = lecture_truth.read_truth(files.claim(session_of(request), Path(path)))
        except CvDemoError as error:
            return refused(trouble(error))
        return with_truth(truth, state, projector, mode, values)

    def stand_in(state: Any, projector: bool, mode: str, *values: Any) -> tuple[Any, ...]:
        if state is None:
            return refused(NO_PICTURE)
        settings = read_settings(DetectionSettings, NAMES, values[:FIRST])
        found = decode(state.inference, settings).detections
        if not len(found):
            return refused(problem("No boxes are shown now. Lower the score threshold first."))
        truth = lecture_truth.stand_in(state.picture.name, found)
        return with_truth(truth, state, projector, mode, values)

    def forget(state: Any, projector: bool, mode: str, *values: Any) -> tuple[Any, ...]:
        return with_truth(None, state, projector, mode, values)

    lecture.upload.upload(load, [lecture.upload, *inputs], targets, **QUICK)
    lecture.stand_in.click(stand_in, inputs, targets, **QUICK)
    lecture.forget.click(forget, inputs, targets, **QUICK)
