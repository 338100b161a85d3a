"""The Detection tab's moving pictures: video files, the webcam, and the change between the three modes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np

from cvdemo.core.errors import CvDemoError
from cvdemo.core.media import Picture
from cvdemo.detection import video, view
from cvdemo.detection.predict import TASK, DetectionSettings
from cvdemo.detection.tab_events import NAMES, Parts, look_at, run_on
from cvdemo.ui import live
from cvdemo.ui.background import Done, Stop, follow, stopping
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.viewer import display_copy, problem, shown, status, trouble, working
from cvdemo.ui.views import NOT_KEPT, QUICK, stop_key
from cvdemo.ui.widgets import read_settings

CLEAR_TABLE: list[list[Any]] = []


def wire_video(parts: Parts) -> None:
    """A video file is annotated with progress and Stop; once looked at, other settings need no network."""

    def run(
        request: gr.Request, path: str | None, model: str, state: Any, step: int, projector: bool, *values: Any
    ) -> Iterator[tuple[Any, ...]]:
        if not path:
            yield state, gr.skip(), gr.skip(), problem("Choose a video file first, or the example."), gr.skip()
            return
        user, latest = session_of(request), {}
        track = state.track if state is not None else None
        try:
            settings = read_settings(DetectionSettings, NAMES, values)
            source = files.claim(user, path)
            target = files.make(user, f"{source.stem}-detections.mp4")

            def preview(pixels: np.ndarray, sentence: str) -> None:
                latest["frame"] = (pixels, sentence)

            def work(progress: Any, cancel: Any) -> video.VideoResult:
                return video.annotate(source, target, model, settings, track=track, stride=int(step), user=user,
                                      progress=progress, preview=preview, cancel=cancel)  # fmt: skip

            opening = working("Opening the video", None)
            yield state, gr.HTML(visible=True), gr.Video(visible=False), opening, gr.skip()
            for event in follow(work, every=0.3, stop=Stop(user, stop_key(TASK), NOT_KEPT)):
                if isinstance(event, Done):
                    yield event.value, *_finished(event.value)
                else:
                    frame = latest.get("frame")
                    picture = shown(display_copy(frame[0], 960)[0], frame[1]) if frame else gr.skip()
                    yield state, picture, gr.skip(), working(event.text, event.fraction), gr.skip()
        except CvDemoError as error:
            yield state, gr.skip(), gr.skip(), trouble(error), gr.skip()

    parts.start.click(
        run,
        [parts.clip, parts.model, parts.clip_state, parts.stride, parts.projector, *parts.settings],
        [parts.clip_state, parts.viewer, parts.result_clip, parts.status, parts.over_time],
        show_progress="hidden", api_visibility="private", concurrency_id="detection-video", concurrency_limit=4,
    )  # fmt: skip
    parts.stop.click(stopping(stop_key(TASK)), None, None, **QUICK)


def video_line(result: video.VideoResult) -> str:
    frames = len(result.counts.rows)
    how = f"{result.network_runs} network runs" if result.network_runs else "redrawn without the network"
    timing = f"{frames} frames in {result.seconds:.1f} s ({frames / max(result.seconds, 1e-6):.1f} a second), {how}"
    notes = f" · {'; '.join(result.info.notes)}" if result.info.notes else ""
    return status(result.counts.sentence(), timing + notes)


def _finished(result: video.VideoResult) -> tuple[Any, Any, str, Any]:
    import pandas  # comes with gradio; imported late because only a finished video needs it

    series = pandas.DataFrame(result.counts.series(), columns=["time", "class", "objects"])
    return gr.HTML(visible="hidden"), gr.Video(str(result.path), visible=True), video_line(result), series


def wire_live(parts: Parts, user_limit: int) -> None:
    """Webcam frames go through the network as they come; only the newest waits."""

    def step(
        request: gr.Request, frame: np.ndarray | None, model: str, state: Any, mode: str, projector: bool, *values: Any
    ) -> tuple[Any, Any, Any]:
        if frame is None or mode != "live":  # a stream may outlast the visitor's change to another mode by a moment
            return gr.skip(), gr.skip(), gr.skip()
        try:
            settings = read_settings(DetectionSettings, NAMES, values)
            seen = look_at(Picture(np.ascontiguousarray(frame[..., :3]), "webcam"), model, session_of(request))
            rendered = view.render(seen, settings, projector=projector)
        except CvDemoError as error:
            return state, gr.skip(), trouble(error)
        rate = live.rate(session_of(request))
        timing = f"{rate:.1f} frames a second · {rendered.timing}"
        return seen, shown(rendered.pixels, rendered.sentence, 80), status(rendered.sentence, timing, announce=False)

    parts.camera.stream(
        step,
        [parts.camera, parts.model, parts.picture_state, parts.mode, parts.projector, *parts.settings],
        [parts.picture_state, parts.viewer, parts.status],
        stream_every=0.05,
        time_limit=live.TIME_LIMIT,
        concurrency_limit=user_limit,
        concurrency_id="detection-live",
        show_progress="hidden",
        api_visibility="private",
    )


def wire_modes(parts: Parts, run: Any) -> None:
    """Each mode shows its own result: the picture again, the finished clip, or an empty place for the webcam."""
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    outputs = [parts.mode, parts.viewer, parts.result_clip, parts.status, parts.table, parts.numbers]
    empty = (gr.HTML(value=None, visible=True), gr.Video(visible=False))

    def enter_video(clip: video.VideoResult | None) -> tuple[Any, ...]:
        if clip is None:
            return "video", *empty, status("", "Choose a video, then press the button."), CLEAR_TABLE, ""
        return "video", gr.HTML(visible="hidden"), gr.Video(visible=True), video_line(clip), CLEAR_TABLE, ""

    def enter_live() -> tuple[Any, ...]:
        return "live", *empty, status("", "Allow the camera, then press Record."), CLEAR_TABLE, ""

    back = parts.modes["picture"].select(lambda: ("picture", *empty, status(), CLEAR_TABLE, ""), None, outputs, **quick)
    run_on(back.then, parts, run)
    parts.modes["video"].select(enter_video, parts.clip_state, outputs, **quick)
    parts.modes["live"].select(enter_live, None, outputs, **quick)
    for mode in ("picture", "video"):
        parts.modes[mode].select(None, None, None, js="() => window.cvdemo.stopCamera('detection-camera')", **quick)
