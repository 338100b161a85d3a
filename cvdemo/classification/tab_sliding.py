"""The sliding-window view: one classifier on hundreds of windows, and what that costs beside a detector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from cvdemo.classification import sliding_view as view
from cvdemo.classification.sliding import SlidingSettings, classify_windows, default_sides, draw_sliding
from cvdemo.classification.sliding_view import Slid
from cvdemo.classification.tab_shared import SLIDING
from cvdemo.core.errors import Cancelled, CvDemoError
from cvdemo.core.media import Picture
from cvdemo.detection.predict import DEFAULT_MODEL as DETECTOR
from cvdemo.detection.predict import infer as detect
from cvdemo.ui.background import Done, Stop, follow, stopping
from cvdemo.ui.memory import memory_of, picture_of
from cvdemo.ui.sessions import session_of
from cvdemo.ui.viewer import display_copy, problem, shown, status, trouble, viewer, working
from cvdemo.ui.views import QUICK, Refresh, Shared, View
from cvdemo.ui.widgets import moving_menu, read_settings, settings_components

WINDOWS = ("scales", "stride_share")
MAIN = (*WINDOWS, "kind", "opacity")
MORE = ("boxes", "iou", "min_score")
NAMES = (*MAIN, *MORE)
DETECTOR_NAME = "compact detector"
PROJECTOR_SCALE = 1.6


@dataclass(frozen=True)
class Parts:
    """The view's components. ``current``: ``gr.State``, (fingerprint, key of the windows) on show."""

    viewer: Any
    status: Any
    target: Any
    settings: list[Any]
    run: Any
    halt: Any
    bill: Any
    current: Any


def create_sliding_view(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    parts = _components()
    outputs = [parts.current, parts.target, parts.viewer, parts.status, parts.bill]
    inputs = [shared.picture, shared.model, parts.current, parts.target, shared.projector, *parts.settings]
    running = parts.run.click(
        _slide, inputs, outputs, show_progress="hidden", api_visibility="private",
        concurrency_id="classification-sliding", concurrency_limit=4,
    )  # fmt: skip
    running.then(shared.refresh_pill, None, shared.pill, **QUICK)
    parts.halt.click(stopping(SLIDING), None, None, **QUICK)
    _wire_choices(parts, shared)
    moved = [widget.input for widget in parts.settings[: len(WINDOWS)]]
    gr.on(moved, _planned, inputs, outputs, trigger_mode="always_last", **QUICK)
    return View(
        SLIDING,
        refresh=Refresh(_planned, inputs, outputs),
        settings=SlidingSettings,
        controls=dict(zip(NAMES, parts.settings)),
        prefix="sliding_",
    )


def _components() -> Parts:
    with gr.Row(equal_height=False, elem_classes="answer"):
        with gr.Column(scale=5, min_width=300):
            result = viewer("classification-sliding", "The picture appears here under the heat map of a class.")
            line = gr.HTML(status(), elem_id="classification-sliding-status")
            bill = gr.HTML(elem_id="classification-bill")
        with gr.Column(scale=3, min_width=240):
            widgets = settings_components(SlidingSettings, WINDOWS)
            with gr.Row():
                run = gr.Button("Slide the window", variant="primary", scale=3, elem_id="classification-slide")
                halt = gr.Button("Stop", scale=1, min_width=70, elem_id="classification-slide-halt")
            target = moving_menu(
                [], label="Class", filterable=True, info="Nothing is computed again for another class.",
                elem_id="classification-sliding-class",
            )  # fmt: skip
            widgets |= settings_components(SlidingSettings, MAIN[len(WINDOWS) :])
            with gr.Accordion("More", open=False):
                widgets |= settings_components(SlidingSettings, MORE)
    settings = [widgets[name] for name in NAMES]
    return Parts(result, line, target, settings, run, halt, bill, gr.State((None, None)))


def _key(picture: Picture, model: str, settings: SlidingSettings) -> tuple[Any, ...]:
    """Where a session keeps the windows of a picture."""
    return ("slid", picture.fingerprint, model, settings.scales, settings.stride_share)


def _planned(
    request: gr.Request, path: str | None, model: str, current: Any, value: str, projector: bool, *values: Any
) -> tuple[Any, ...]:
    """What was computed before for these windows; else the picture, and how many evaluations they would take."""
    if not path:
        return (gr.skip(),) * 5
    user = session_of(request)
    try:
        settings = read_settings(SlidingSettings, NAMES, values)
        picture = picture_of(user, path)
        key = _key(picture, model, settings)
        known = memory_of(user).get(key)
        if known is not None:
            return (key, path), *_finished(picture, known, current, key, value, projector, settings)
        words = view.plan(picture.height, picture.width, settings.scales, settings.stride_share)
    except CvDemoError as error:
        return gr.skip(), gr.skip(), gr.skip(), trouble(error), gr.skip()
    plain = shown(display_copy(picture.pixels)[0], "The picture, not yet searched")
    empty = gr.Dropdown(choices=[], value=None)
    return (None, path), empty, plain, status("Press “Slide the window” to search the picture", words), ""


def _slide(
    request: gr.Request, path: str | None, model: str, current: Any, value: str, projector: bool, *values: Any
) -> Iterator[tuple[Any, ...]]:
    def line(text: str) -> tuple[Any, ...]:
        return gr.skip(), gr.skip(), gr.skip(), text, gr.skip()

    if not path:
        yield line(problem("Choose a picture first."))
        return
    user = session_of(request)
    try:
        settings = read_settings(SlidingSettings, NAMES, values)
        picture = picture_of(user, path)
        key = _key(picture, model, settings)
        memory = memory_of(user)
        for event in follow(
            lambda progress, cancel: memory.recall(key, lambda: slid(user, picture, model, settings, progress, cancel)),
            stop=Stop(user, SLIDING),
        ):
            if isinstance(event, Done):
                yield (key, path), *_finished(picture, event.value, current, key, value, projector, settings)
            else:
                yield line(working(event.text, event.fraction))
    except CvDemoError as error:
        yield line(trouble(error))


def slid(user: str, picture: Picture, model: str, settings: SlidingSettings, progress: Any, cancel: Any) -> Slid:
    """Classify all windows; then run the detector once for the comparison."""
    sides = default_sides(picture.height, picture.width, settings.scales)
    result = classify_windows(picture, model, sides, settings.stride_share, user=user, progress=progress, cancel=cancel)
    try:
        # The first of two runs finds the processor's caches full of the classifier.
        spent = min(view.detector_milliseconds(detect(picture, DETECTOR, user=user, cancel=cancel)) for _ in range(2))
    except Cancelled:
        raise
    except CvDemoError:  # without a detector there is still the heat map
        return Slid(result)
    return Slid(result, DETECTOR_NAME, spent)


def _finished(
    picture: Picture, found: Slid, current: Any, key: Any, value: str, projector: bool, settings: SlidingSettings
) -> tuple[Any, ...]:
    """class menu, viewer, status, bill."""
    result = found.result
    # Another stride keeps the class that was looked at; another picture or model begins with its best one.
    same = current[0] is not None and current[0][:3] == key[:3]
    index = view.index_of(value if same else None, result)
    menu = gr.Dropdown(choices=view.class_choices(result), value=str(index))  # type: ignore[arg-type]
    return menu, *_drawn(picture, found, index, projector, settings), view.scales_html(found)


def _drawn(
    picture: Picture, found: Slid, index: int, projector: bool, settings: SlidingSettings
) -> tuple[Any, str]:  # fmt: skip
    display, _ = display_copy(picture.pixels)
    scale = PROJECTOR_SCALE if projector else 1.0
    pixels = draw_sliding(display, found.result, index, settings, text_scale=scale)
    words = view.sentence(found.result, index)
    return shown(pixels, words), status(words, f"{found.result.sentence()} · {found.result.device}")


def _wire_choices(parts: Parts, shared: Shared) -> None:
    """Class, kind of heat, opacity and boxes act on the windows that were classified."""

    def redraw(request: gr.Request, current: Any, value: str, projector: bool, *values: Any) -> tuple[Any, Any]:
        user = session_of(request)
        found = memory_of(user).get(current[0]) if current[0] else None
        if found is None:
            return gr.skip(), gr.skip()
        try:
            settings = read_settings(SlidingSettings, NAMES, values)
            picture = picture_of(user, current[1])
        except CvDemoError as error:
            return gr.skip(), trouble(error)
        return _drawn(picture, found, view.index_of(value, found.result), projector, settings)

    inputs = [parts.current, parts.target, shared.projector, *parts.settings]
    moved = [widget.input for widget in (parts.target, *parts.settings[len(WINDOWS) :])]
    gr.on(moved, redraw, inputs, [parts.viewer, parts.status], trigger_mode="always_last", **QUICK)
