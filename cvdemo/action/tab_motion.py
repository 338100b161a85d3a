"""The Motion view: the same clip as it is, shuffled, frozen, reversed and slowed, each scored by the same network."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from cvdemo.action import motion as view
from cvdemo.action import strip
from cvdemo.action import tab_shared as kept
from cvdemo.action.clips import Clip, sample_clip
from cvdemo.action.motion import MotionControls, MotionTest
from cvdemo.action.predict import TASK, ActionSettings, clip_spec
from cvdemo.action.tab_shared import MOTION
from cvdemo.action.timeline import seconds_of
from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.media import Picture
from cvdemo.ui.background import Done, Stop, follow
from cvdemo.ui.memory import memory_of, picture_of
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.viewer import status, trouble, working
from cvdemo.ui.views import QUICK, LiveView, Refresh, Shared, VideoView, View, stop_key
from cvdemo.ui.widgets import read_settings, settings_components

NAMES = ("place", "factor", "seed")
TEST = ("action", "motion test")
NO_TEST = '<p class="hint">The comparison appears here.</p>'
ASK = {
    "video": "Choose a video, then press the button: the clip at the place below is tested.",
    "live": "Allow the camera and press Record, move, then press “Test the newest clip”.",
}


@dataclass(frozen=True)
class Parts:
    """The view's components. ``temperature``: of the settings that act on scores."""

    status: Any
    table: Any
    strips: Any
    settings: list[Any]
    temperature: Any
    test: Any

    @property
    def answer(self) -> list[Any]:
        """What shows one test."""
        return [self.status, self.table, self.strips]


def create_motion_view(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    parts = _components()
    _wire(parts, shared)
    return View(
        MOTION,
        live=LiveView(MOTION, _step, [], [parts.status]),
        refresh=Refresh(_on_picture, [shared.picture, shared.model, parts.temperature, *parts.settings], parts.answer),
        settings=MotionControls,
        controls=dict(zip(NAMES, parts.settings)),
        prefix="motion_",
        video=VideoView(MOTION, _on_video, [parts.temperature, *parts.settings], parts.answer),
    )


def _components() -> Parts:
    line = gr.HTML(status(), elem_id="action-motion-status", apply_default_css=False)
    table = gr.HTML(NO_TEST, css_template=view.CSS, elem_id="action-motion-table", apply_default_css=False)
    with gr.Row():
        widgets = settings_components(MotionControls, NAMES)
        temperature = gr.Slider(
            0.1, 10.0, 1.0, step=0.1, label="Temperature", buttons=[], interactive=True,
            info="Acts on scores that are there.", elem_id="action-motion-temperature",
        )  # fmt: skip
    test = gr.Button("Test the newest clip", variant="primary", visible=False, elem_id="action-motion-test")
    with gr.Accordion("What the network was given", open=True):
        strips = gr.HTML(strip.EMPTY, css_template=strip.CSS, elem_id="action-motion-strips", apply_default_css=False)
    gr.Markdown(view.DEFINITION, elem_classes="privacy")
    return Parts(line, table, strips, [widgets[name] for name in NAMES], temperature, test)


def _wire(parts: Parts, shared: Shared) -> None:
    """Place, stride and shuffle need the network and act on release; the temperature redraws."""
    inputs = [shared.mode, shared.picture, shared.model, parts.temperature, *parts.settings]
    network = {"show_progress": "hidden", "api_visibility": "private", "trigger_mode": "always_last",
               "concurrency_id": "action-motion", "concurrency_limit": 8}  # fmt: skip
    for widget in parts.settings:
        widget.release(_again, inputs, parts.answer, **network)
    parts.test.click(_newest, inputs, parts.answer, **network)

    def redraw(request: gr.Request, temperature: float) -> tuple[Any, ...]:
        test: MotionTest | None = memory_of(session_of(request)).get(TEST)
        return (gr.skip(), gr.skip()) if test is None else drawn(test, temperature)[:2]

    parts.temperature.input(redraw, parts.temperature, parts.answer[:2], trigger_mode="always_last", **QUICK)

    def enter(mode: str) -> tuple[Any, ...]:
        button = gr.Button(visible=mode == "live")
        if mode == "picture":  # which the refresh tests anew
            return button, *(gr.skip(),) * 3
        return button, status("", ASK[mode]), NO_TEST, strip.EMPTY

    shared.mode.change(enter, shared.mode, [parts.test, *parts.answer], **QUICK)


def drawn(test: MotionTest, temperature: float) -> tuple[str, str, str]:
    """status, table, strips of a test."""
    rows = view.rows_of(test, ActionSettings.from_mapping({"temperature": temperature}))
    spent = sum(sum(variant.inference.stages.values()) for variant in test.variants)
    runs = len(test.variants)
    first = test.variants[0].inference
    timing = f"{runs} network runs, {spent:.0f} ms · {first.device} {first.precision}"
    return status(view.verdict(test, rows), timing), view.table_html(test, rows), view.strips_html(test)


def _tested(
    user: str, model: str, clips: list[tuple[str, Clip]], controls: MotionControls, temperature: float
) -> Iterator[tuple[Any, ...]]:
    """Progress, then the answer; errors are shown and the last answer stays."""

    def work(progress: Any, cancel: threading.Event) -> MotionTest:
        rate = clip_spec(model).rate
        return view.run_test(clips, model, controls, rate, user=user, progress=progress, cancel=cancel)

    for event in follow(work, stop=Stop(user, stop_key(TASK))):
        if isinstance(event, Done):
            memory_of(user).put(TEST, event.value)
            yield drawn(event.value, temperature)
        else:
            yield working(event.text, event.fraction), gr.skip(), gr.skip()


def _guarded(steps: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    try:
        yield from steps
    except CvDemoError as error:
        yield trouble(error), gr.skip(), gr.skip()


def picture_clips(user: str, path: str | None, model: str, controls: MotionControls) -> list[tuple[str, Clip]]:
    """The variants of a still picture: all the same."""
    return view.variants_of(kept.clip_of(picture_of(user, path), model), controls)


def video_clips(path: Path, model: str, controls: MotionControls) -> list[tuple[str, Clip]]:
    """The variants of the clip that lies at the chosen place of a video."""
    spec, seconds = clip_spec(model), seconds_of(path)
    start = controls.place / 100 * max(0.0, seconds - spec.span)
    clip = sample_clip(path, start=start, spec=spec)
    fast = spec.strided(controls.factor)
    begin = max(0.0, min(start, seconds - fast.span))
    faster = sample_clip(path, start=begin, spec=fast) if seconds >= fast.span else None
    return view.variants_of(clip, controls, faster)


def _on_picture(
    request: gr.Request, path: str, model: str, temperature: float, *values: Any
) -> Iterator[tuple[Any, ...]]:
    user = session_of(request)

    def steps() -> Iterator[tuple[Any, ...]]:
        controls = read_settings(MotionControls, NAMES, values)
        yield from _tested(user, model, picture_clips(user, path, model, controls), controls, temperature)

    yield from _guarded(steps())


def _on_video(
    request: gr.Request, path: str, model: str, stride: int, temperature: float, *values: Any
) -> Iterator[tuple[Any, ...]]:
    user = session_of(request)

    def steps() -> Iterator[tuple[Any, ...]]:
        controls = read_settings(MotionControls, NAMES, values)
        source = files.claim(user, path)
        kept.remember_video(user, source)
        yield from _tested(user, model, video_clips(source, model, controls), controls, temperature)

    yield from _guarded(steps())


def _again(
    request: gr.Request, mode: str, path: str | None, model: str, temperature: float, *values: Any
) -> Iterator[tuple[Any, ...]]:
    """The test anew with other controls, on whatever was tested last."""
    user = session_of(request)

    def steps() -> Iterator[tuple[Any, ...]]:
        controls = read_settings(MotionControls, NAMES, values)
        if mode == "picture" and path:
            clips = picture_clips(user, path, model, controls)
        elif mode == "video" and (video := kept.video_of(user)) is not None:
            clips = video_clips(video, model, controls)
        elif mode == "live" and (test := memory_of(user).get(TEST)) is not None:
            clips = view.variants_of(test.variants[0].clip, controls)
        else:
            return
        yield from _tested(user, model, clips, controls, temperature)

    yield from _guarded(steps())


def _newest(
    request: gr.Request, mode: str, path: str | None, model: str, temperature: float, *values: Any
) -> Iterator[tuple[Any, ...]]:
    """The camera's newest clip, tested; in the other modes the test is run anew."""
    if mode != "live":
        yield from _again(request, mode, path, model, temperature, *values)
        return
    user = session_of(request)

    def steps() -> Iterator[tuple[Any, ...]]:
        controls = read_settings(MotionControls, NAMES, values)
        newest = kept.live.live_of(user).clip()
        if newest is None:
            raise InputError(
                "There is no clip of the camera yet.", hint="Press Record under the camera and wait a few seconds."
            )
        yield from _tested(user, model, view.variants_of(Clip(*newest, "webcam"), controls), controls, temperature)

    yield from _guarded(steps())


def _step(user: str, picture: Picture, model: str) -> tuple[Any, ...]:
    """status for a webcam frame: the buffer fills; a test is run when the button is pressed."""
    state = kept.watch(user, picture.pixels, model).state()
    tested: MotionTest | None = memory_of(user).get(TEST)
    if tested is not None and tested.variants[0].clip.source == "webcam":
        return (gr.skip(),)
    if state.filled < 1:
        words = f"Filling the clip: {state.filled * state.span:.1f} of {state.span:.1f} s"
    else:
        words = "The clip is full and follows the camera. Move, then press “Test the newest clip”."
    return (status(words, f"{state.captures:.0f} captures a second", announce=False),)
