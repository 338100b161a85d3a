"""The Recognise view: what people do in a picture, in each window of a video, or in front of the camera."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from cvdemo.action import recognise_view as view
from cvdemo.action import strip, timeline_view
from cvdemo.action import tab_shared as kept
from cvdemo.action.predict import ActionSettings, clip_spec, decode, draw, settings_for
from cvdemo.action.recognise_view import LiveShown, Look
from cvdemo.action.tab_recognise_video import VIDEO, FinishedVideo, analyse, answer_of, chosen_rows
from cvdemo.action.tab_shared import RECOGNISE
from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.media import Picture
from cvdemo.ui.background import Done, follow
from cvdemo.ui.downloads import hidden_link, wire_downloads
from cvdemo.ui.memory import memory_of, picture_of
from cvdemo.ui.sessions import session_of
from cvdemo.ui.viewer import display_copy, shown, status, trouble, viewer, working
from cvdemo.ui.views import QUICK, LiveView, Refresh, Shared, VideoView, View
from cvdemo.ui.widgets import read_settings, settings_components, video_file, widget_values

NAMES = ("top_k", "threshold", "smoothing", "temperature")
LIVE_SHOWN = ("action", "live shown")
LIVE_SIDE = 480
PANEL_SECONDS = 0.35
"""Bars, timeline and strip of the camera change no more often: nobody reads faster, and captures must not wait."""
KINDS = {"json": "JSON", "csv": "CSV"}


@dataclass(frozen=True)
class Parts:
    """The view's components. ``current``: ``gr.State``, key of the picture's look in the session's memory.

    rows: ``gr.State``, the windows of the video that are inspected.
    """

    viewer: Any
    clip: Any
    status: Any
    bars: Any
    timeline: Any
    strip: Any
    settings: list[Any]
    downloads: dict[str, Any]
    hidden: Any
    current: Any
    rows: Any

    @property
    def answer(self) -> list[Any]:
        """What shows one clip."""
        return [self.viewer, self.status, self.bars, self.timeline, self.strip]


@dataclass(frozen=True, eq=False)
class Drawn:
    """What of the camera is on show: the answer for a result and settings; which of them bars, timeline and strip
    show, and since when.
    """

    key: tuple[Any, ...]
    made: LiveShown
    panels: tuple[Any, ...]
    since: float


def create_recognise_view(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    parts = _components()
    _wire_controls(parts, shared)
    _wire_timeline(parts, shared)
    wire_downloads(parts.downloads, parts.hidden, [parts.current, shared.mode, *parts.settings], _exported)
    _wire_modes(parts, shared)
    return View(
        RECOGNISE,
        live=LiveView(RECOGNISE, _step, parts.settings, parts.answer),
        refresh=Refresh(_run, [shared.picture, shared.model, *parts.settings], [parts.current, *parts.answer]),
        forget=kept.forget,
        settings=ActionSettings,
        controls=dict(zip(NAMES, parts.settings)),
        video=VideoView(
            RECOGNISE, _on_video, parts.settings,
            [parts.viewer, parts.clip, parts.status, parts.bars, parts.timeline, parts.strip, parts.rows],
        ),
    )  # fmt: skip


# ------------------------------------------------------------------ a picture


def _run(request: gr.Request, path: str, model: str, *values: Any) -> Iterator[tuple[Any, ...]]:
    """current, viewer, status, bars, timeline, strip of a picture."""
    user = session_of(request)
    skipped = (gr.skip(),) * 3
    try:
        settings = read_settings(ActionSettings, NAMES, values)
        picture = picture_of(user, path)
        for event in follow(
            lambda progress, cancel: kept.look_of(user, picture, model, progress=progress, cancel=cancel)
        ):
            if isinstance(event, Done):
                yield kept.key_of(picture, model), *drawn(event.value, settings)
            else:
                yield gr.skip(), gr.skip(), working(event.text, event.fraction), *skipped
    except CvDemoError as error:
        yield gr.skip(), gr.skip(), trouble(error), *skipped


def drawn(look: Look, settings: ActionSettings) -> tuple[Any, ...]:
    """viewer, status, bars, timeline, strip of a picture's look."""
    actions = decode(look.inference, settings)
    sentence = view.picture_words(actions)
    copy, scale = display_copy(look.clip.frames[0])
    joints = look.inference.raw.extras.get("joints")  # (T, 17, 3), of models that look at people's joints
    skeleton = None if joints is None else {"joints": joints[0] * np.array([scale, scale, 1.0])}
    pixels = draw(copy, actions, settings, extras=skeleton)
    rate = clip_spec(look.inference.model).rate
    return (
        shown(pixels, sentence),
        status(sentence, view.timing_line(look.inference, actions.milliseconds)),
        view.bars_html(actions, keys=False),
        timeline_view.EMPTY,
        strip.strip_html(look.clip, caption=strip.caption_of(look.clip, rate), kind="small"),
    )


# ------------------------------------------------------------------ the camera


def _step(user: str, picture: Picture, model: str, *values: Any) -> tuple[Any, ...]:
    """viewer, status, bars, timeline, strip for a webcam frame; the last three only now and then."""
    settings = read_settings(ActionSettings, NAMES, values)
    state = kept.watch(user, picture.pixels, model).state()
    pixels = display_copy(picture.pixels, LIVE_SIDE)[0]
    if state.newest is None:
        words = "Watching" if state.filled < 1 else "The first clip is full; the network is running"
        line = status(words, view.live_line(state, None), announce=False)
        return shown(pixels, words, 75), line, view.NO_BARS, timeline_view.EMPTY, strip.EMPTY
    key = (model, state.turn, *map(str, values))
    before: Drawn | None = memory_of(user).get(LIVE_SHOWN)
    made = before.made if before is not None and before.key == key else view.live_shown(state, settings)
    if made is None:  # the camera was still for half a minute
        return (gr.skip(),) * 5
    due = before is None or (before.panels != key and not 0 <= state.now - before.since < PANEL_SECONDS)
    panels, since = (key, state.now) if due or before is None else (before.panels, before.since)
    memory_of(user).put(LIVE_SHOWN, Drawn(key, made, panels, since))
    sentence = made.actions.sentence() + view.remark(made.actions)
    line = status(sentence, view.live_line(state, state.newest.result), announce=False)
    frame = shown(draw(pixels, made.actions, settings), sentence, 75)
    if not due:
        return frame, line, gr.skip(), gr.skip(), gr.skip()
    clip = kept.Clip(state.newest.frames, state.newest.times, "webcam")
    return (
        frame,
        line,
        view.bars_html(made.actions),
        timeline_view.timeline_html(made.timeline, most=settings.top_k, zero=state.now),
        strip.strip_html(clip, zero=state.newest.time, caption=strip.caption_of(clip, clip_spec(model).rate),
                         kind="small", side=72),
    )  # fmt: skip


# ------------------------------------------------------------------ a video


def _on_video(request: gr.Request, path: str, model: str, stride: int, *values: Any) -> Iterator[tuple[Any, ...]]:
    """viewer, clip, status, bars, timeline, strip, rows while a video is looked at and afterwards."""
    try:
        settings = read_settings(ActionSettings, NAMES, values)
        yield from analyse(session_of(request), path, model, stride, settings)
    except CvDemoError as error:
        yield gr.skip(), gr.skip(), trouble(error), *(gr.skip(),) * 4


# ------------------------------------------------------------------ components and wiring


def _components() -> Parts:
    with gr.Row(equal_height=False, elem_classes="answer"):
        with gr.Column(scale=5, min_width=300):
            result = viewer("action-result", "The picture appears here, with the most probable actions.")
            clip = video_file(
                label="Actions in the video", interactive=False, visible=False, elem_id="action-result-clip",
                height=420, loop=True,
            )  # fmt: skip
            line = gr.HTML(status(), elem_id="action-status", apply_default_css=False)
        with gr.Column(scale=3, min_width=260):
            bars = gr.HTML(view.NO_BARS, css_template=view.BARS_CSS, elem_id="action-bars", apply_default_css=False)
    line_of_time = gr.HTML(
        timeline_view.EMPTY, css_template=timeline_view.CSS, js_on_load=timeline_view.SCRIPT,
        elem_id="action-timeline", apply_default_css=False,
    )  # fmt: skip
    frames = gr.HTML(strip.EMPTY, css_template=strip.CSS, elem_id="action-strip", apply_default_css=False)
    with gr.Row():
        widgets = settings_components(ActionSettings, NAMES)
    with gr.Row():
        downloads = {
            kind: gr.Button(label, size="sm", scale=0, min_width=120, elem_id=f"action-{kind}")
            for kind, label in KINDS.items()
        }
        hidden = hidden_link("action-download")
    return Parts(
        result, clip, line, bars, line_of_time, frames, [widgets[name] for name in NAMES], downloads, hidden,
        gr.State(None), gr.State((0,)),
    )  # fmt: skip


def _wire_controls(parts: Parts, shared: Shared) -> None:
    """Settings act on scores that are there; the camera reads them with its next frame."""

    def redraw(request: gr.Request, key: Any, rows: Any, mode: str, *values: Any) -> tuple[Any, ...]:
        user = session_of(request)
        settings = read_settings(ActionSettings, NAMES, values)
        if mode == "video":
            done: FinishedVideo | None = memory_of(user).get(VIDEO)
            return (gr.skip(),) * 5 if done is None else (gr.skip(), *answer_of(done, settings, rows))
        look: Look | None = memory_of(user).get(key) if key is not None and mode == "picture" else None
        return (gr.skip(),) * 5 if look is None else drawn(look, settings)

    inputs = [parts.current, parts.rows, shared.mode, *parts.settings]
    for widget in parts.settings:
        widget.input(redraw, inputs, parts.answer, trigger_mode="always_last", **QUICK)
    # Models are sure at different probabilities: a change of model brings its own defaults, before the answer is drawn.
    defaults = shared.model.input(
        lambda name: widget_values(settings_for(name), NAMES) if name else [gr.skip()] * len(NAMES),
        shared.model, parts.settings, **QUICK,
    )  # fmt: skip
    defaults.then(redraw, inputs, parts.answer, trigger_mode="always_last", **QUICK)


def _wire_timeline(parts: Parts, shared: Shared) -> None:
    """Pressing or brushing the timeline chooses windows of the video."""

    def choose(request: gr.Request, event: gr.EventData, rows: Any, mode: str, *values: Any) -> tuple[Any, ...]:
        user = session_of(request)
        done: FinishedVideo | None = memory_of(user).get(VIDEO) if mode == "video" else None
        if done is None:
            return (gr.skip(),) * 5
        settings = read_settings(ActionSettings, NAMES, values)
        chosen = chosen_rows(done, settings, rows, event._data)
        return chosen, *answer_of(done, settings, chosen)

    parts.timeline.select(
        choose, [parts.rows, shared.mode, *parts.settings],
        [parts.rows, parts.status, parts.bars, parts.timeline, parts.strip], trigger_mode="multiple", **QUICK,
    )  # fmt: skip


def _exported(user: str, kind: str, key: Any, mode: str, *values: Any) -> tuple[str, bytes]:
    name, text = _document(user, key, mode, read_settings(ActionSettings, NAMES, values), kind)
    return name, text.encode()


def _document(user: str, key: Any, mode: str, settings: ActionSettings, kind: str) -> tuple[str, str]:
    """File name and text of a download: the video's windows, or the picture's or camera's newest clip."""
    memory = memory_of(user)
    if mode == "video":
        done: FinishedVideo | None = memory.get(VIDEO)
        if done is None:
            raise InputError("There is no video to download yet.", hint="Choose one and press the button.")
        name = f"{view.stem_of(done.name)}-actions.{kind}"
        csv = kind == "csv"
        return name, view.timeline_csv(done.raw, settings) if csv else view.timeline_json(done.raw, settings, done.name)
    if mode == "live":
        newest = kept.live.live_of(user).state().newest
        look = None if newest is None else Look(
            "webcam", kept.Clip(newest.frames, newest.times, "webcam"), newest.result
        )  # fmt: skip
    else:
        look = memory.get(key) if key is not None else None
    if look is None:
        raise InputError("There is nothing to download yet.")
    name = f"{view.stem_of(look.name)}-actions.{kind}"
    return name, view.look_csv(look, settings) if kind == "csv" else view.look_json(look, settings)


def _wire_modes(parts: Parts, shared: Shared) -> None:
    """Each mode shows its own result: the picture, the finished video, or an empty place for the camera."""
    ask = {
        "video": "Choose a video, then press the button.",
        "live": "Allow the camera, then press Record.",
    }

    def enter(request: gr.Request, mode: str, rows: Any, *values: Any) -> tuple[Any, ...]:
        if mode == "picture":  # which is drawn again, with all the rest, by the refresh
            return gr.HTML(visible=True), gr.Video(visible=False), *(gr.skip(),) * 4
        done: FinishedVideo | None = memory_of(session_of(request)).get(VIDEO)
        if mode == "video" and done is not None and done.path is not None and done.path.is_file():
            settings = read_settings(ActionSettings, NAMES, values)
            return gr.HTML(visible="hidden"), gr.Video(visible=True), *answer_of(done, settings, rows)
        empty = (status("", ask[mode]), view.NO_BARS, timeline_view.EMPTY, strip.EMPTY)
        return gr.HTML(None, visible=True), gr.Video(visible=False), *empty

    outputs = [parts.viewer, parts.clip, parts.status, parts.bars, parts.timeline, parts.strip]
    shared.mode.change(enter, [shared.mode, parts.rows, *parts.settings], outputs, **QUICK)
