"""What happens in the Detection tab when somebody picks a picture, moves a slider or asks for a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import gradio as gr

from cvdemo.core import registry
from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.media import Picture, read_picture
from cvdemo.detection import view
from cvdemo.detection.predict import DEFAULT_MODEL, TASK, DetectionSettings, decode, infer, settings_for
from cvdemo.detection.tab_lecture import NO_PICTURE, ONLY_PICTURES, Given, LectureParts, closed, look, message
from cvdemo.ui.background import Done, Stop, follow, stopping
from cvdemo.ui.downloads import wire_downloads
from cvdemo.ui.lesson_view import LessonView
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.viewer import display_copy, problem, shown, status, trouble, working
from cvdemo.ui.views import QUICK
from cvdemo.ui.widgets import address_script, read_settings, widget_values

MAIN = ("score_threshold", "iou_threshold", "nms_kind", "classes")
MORE = ("max_detections", "min_size", "sigma", "line_width", "show_labels", "show_scores")
NAMES = (*MAIN, *MORE)


@dataclass(frozen=True)
class Parts:
    """Every component of the tab that an event reads or changes."""

    # left: what goes in
    modes: dict[str, Any]
    picture: Any
    find: Any
    halt: Any
    clip: Any
    stride: Any
    start: Any
    stop: Any
    camera: Any
    model: Any
    card: Any
    settings: list[Any]
    own: Any
    # right: what comes out
    viewer: Any
    result_clip: Any
    status: Any
    table: Any
    numbers: Any
    over_time: Any
    lecture: LectureParts
    plain_tabs: list[Any]
    lesson: LessonView
    downloads: dict[str, Any]
    counts_button: Any
    hidden_download: Any
    # the page around, and what a session remembers
    projector: Any
    pill: Any
    picture_state: Any
    view_cache: Any
    clip_state: Any
    mode: Any


def drawn(
    state: view.PictureView | None, projector: bool, mode: str, values: tuple[Any, ...], *, fresh: bool = False
) -> tuple[Any, ...]:
    """viewer, status, table, numbers and the lecture views' outputs for the current settings.

    Nothing changes when there is no picture yet. ``values``: of the settings, then of ``LectureParts.inputs``.
    ``fresh``: the picture or the model is new. Of the lecture views only an open one is computed.
    """
    unchanged = (gr.skip(),) * 4
    given = Given(*values[len(NAMES) :])
    if mode == "video" or state is None:  # a finished clip is annotated again on request, not redrawn
        return *unchanged, *message(given.opened, NO_PICTURE if mode == "picture" else ONLY_PICTURES)
    try:
        settings = read_settings(DetectionSettings, NAMES, values[: len(NAMES)])
    except CvDemoError as error:
        return gr.skip(), trouble(error), gr.skip(), gr.skip(), *closed().outputs
    lecture = closed()
    if given.opened and mode == "picture":
        decoded = decode(state.inference, settings)
        started = perf_counter()
        lecture = look(state, settings, decoded, projector, given, fresh)
        timing = view.timing_line(state.inference, decoded, (perf_counter() - started) * 1e3)
    if lecture.pixels is None:
        rendered = view.render(state, settings, projector=projector)
        pixels, timing, decoded = rendered.pixels, rendered.timing, rendered.decoded
    else:
        pixels = lecture.pixels
    sentence = lecture.sentence or decoded.detections.sentence()
    return (
        shown(pixels, sentence),
        status(sentence, timing),
        view.table_rows(decoded.detections),
        view.numbers_html(decoded.report, state.inference.candidates, state.inference.raw.levels),
        *lecture.outputs,
    )


def look_at(picture: Picture, model: str, user: str, **watch: Any) -> view.PictureView:
    """Run the network on a picture and remember what a session needs to redraw it."""
    display, scale = display_copy(picture.pixels)
    return view.PictureView(picture, display, scale, infer(picture, model, user=user, **watch))


def wire_picture(parts: Parts, refresh_pill: Callable[[], str]) -> Any:
    """Pictures and models run the network; returns the function that runs it again."""

    def run(
        request: gr.Request,
        path: str | None,
        model: str,
        state: Any,
        cache: view.ViewCache,
        mode: str,
        projector: bool,
        *values: Any,
    ) -> Iterator[tuple[Any, ...]]:
        if not path:
            yield _only_line(state, problem("Choose a picture first: drop a file, paste one, or use the camera."))
            return
        user = session_of(request)
        try:
            picture = read_picture(files.claim(user, path), name=Path(path).name)
            known = cache.get(picture, model)
            if known is not None:
                yield known, *drawn(known, projector, mode, values, fresh=True)
                return
            for event in follow(
                lambda progress, cancel: look_at(picture, model, user, progress=progress, cancel=cancel),
                stop=Stop(user, TASK, "What was downloaded so far is kept for the next try."),
            ):
                if isinstance(event, Done):
                    cache.put(event.value)
                    yield event.value, *drawn(event.value, projector, mode, values, fresh=True)
                else:
                    yield _only_line(state, working(event.text, event.fraction))
        except CvDemoError as error:
            yield _only_line(state, trouble(error))

    # A cleared input is no reason to complain: only a press on the button reports a missing picture.
    ran = [
        run_on(parts.find.click, parts, run),
        run_on(parts.picture.change, parts, _if_picture(run)),
        run_on(parts.model.change, parts, _if_picture(run)),
    ]
    for event in ran:
        event.then(refresh_pill, None, parts.pill, show_progress="hidden", api_visibility="private")
    parts.halt.click(stopping(TASK), None, None, **QUICK)
    parts.model.change(
        lambda name: registry.model_card(registry.get(name)), parts.model, parts.card, queue=False,
        show_progress="hidden", api_visibility="private",
    )  # fmt: skip
    parts.model.input(
        None, parts.model, None, js=address_script(["model"], [DEFAULT_MODEL]), queue=False, api_visibility="private"
    )
    return _if_picture(run)


def _only_line(state: Any, line: str) -> tuple[Any, ...]:
    """Outputs of ``run_on`` that change nothing but the line under the result."""
    return state, gr.skip(), line, gr.skip(), gr.skip(), *closed().outputs


def redrawn(parts: Parts) -> list[Any]:
    """The outputs of ``drawn``."""
    return [parts.viewer, parts.status, parts.table, parts.numbers, *parts.lecture.outputs]


def run_on(trigger: Any, parts: Parts, run: Any) -> Any:
    """Run the network on the chosen picture when ``trigger`` fires."""
    remembered = [parts.picture_state, parts.view_cache, parts.mode]
    return trigger(
        run,
        [parts.picture, parts.model, *remembered, parts.projector, *parts.settings, *parts.lecture.inputs],
        [parts.picture_state, *redrawn(parts)],
        show_progress="hidden",
        trigger_mode="always_last",
        api_visibility="private",
        concurrency_id="detection-picture",
        concurrency_limit=8,
    )


def _if_picture(run: Any) -> Any:
    """``run`` where there is a picture and its mode is open; changes of the model concern the other modes too."""

    def guarded(request: gr.Request, path: str | None, *rest: Any) -> Iterator[tuple[Any, ...]]:
        mode = rest[3]
        if path and mode == "picture":
            yield from run(request, path, *rest)
        else:
            yield (gr.skip(), gr.skip(), gr.skip(), gr.skip(), gr.skip(), *closed().outputs)

    return guarded


def wire_sliders(parts: Parts) -> None:
    """Settings redraw what is there, remember themselves in the address, and can be set by a lesson."""

    def redraw(state: Any, projector: bool, mode: str, *values: Any) -> tuple[Any, ...]:
        return drawn(state, projector, mode, values)

    outputs = redrawn(parts)
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    inputs = [parts.picture_state, parts.projector, parts.mode, *parts.settings, *parts.lecture.inputs]
    defaults = widget_values(DetectionSettings(), NAMES)
    remember = address_script(NAMES, defaults)
    moved = [widget.input for widget in parts.settings]
    gr.on(moved, redraw, inputs, outputs, trigger_mode="always_last", **quick)
    gr.on(moved, None, parts.settings, None, js=remember, **quick)
    parts.projector.input(redraw, inputs, outputs, **quick)

    def set_to(settings: DetectionSettings) -> list[Any]:
        return widget_values(settings, NAMES)

    def attempt(event: gr.EventData) -> list[Any]:
        return set_to(DetectionSettings.from_query(parts.lesson.query(event)))

    chained = [
        parts.own.click(lambda name: set_to(settings_for(name)), parts.model, parts.settings, **quick),
        parts.lesson.list.click(attempt, None, parts.settings, **quick),
    ]
    for event in chained:
        after = event.then(redraw, inputs, outputs, trigger_mode="always_last", **quick)
        after.then(None, parts.settings, None, js=remember, **quick)


def wire_exports(parts: Parts) -> None:
    """The picture and its objects, and the counts of the video."""

    def exported(_user: str, kind: str, state: view.PictureView | None, *values: Any) -> tuple[str, bytes]:
        if state is None:
            raise InputError("There is nothing to download yet.", hint="Choose a picture first.")
        return view.export(state, read_settings(DetectionSettings, NAMES, values), kind)

    def counts(_user: str, _kind: str, state: Any) -> tuple[str, bytes]:
        if state is None:
            raise InputError("There are no counts yet.", hint="Find objects in a video first.")
        return "counts.csv", state.counts.to_csv().encode()

    wire_downloads(parts.downloads, parts.hidden_download, [parts.picture_state, *parts.settings], exported)
    wire_downloads({"counts": parts.counts_button}, parts.hidden_download, [parts.clip_state], counts)
