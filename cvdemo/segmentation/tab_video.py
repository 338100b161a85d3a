"""The Overlay view on a video file: every frame drawn as the controls say, with progress, previews and Stop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np

from cvdemo.core.errors import CvDemoError
from cvdemo.segmentation import video
from cvdemo.segmentation.over_time_view import areas_html
from cvdemo.segmentation.predict import TASK
from cvdemo.segmentation.tab_shared import OVERLAY, legend_value, options
from cvdemo.ui.background import Done, Stop, follow
from cvdemo.ui.layered_viewer import layers
from cvdemo.ui.memory import memory_of
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.viewer import display_copy, status, trouble, working
from cvdemo.ui.views import NOT_KEPT, QUICK, Shared, VideoView, stop_key

PREVIEW_SIDE = 960
CLIP = ("segmentation", "clip")
WAITING = {
    "video": status("", "Choose a video, then press the button."),
    "live": status("", "Allow the camera, then press Record."),
}
NO_LEGEND = legend_value(())
NO_CLIP = '<p class="hint">Segment a video: the area of each class is drawn over time here.</p>'


def create_video(shared: Shared, parts: Any) -> VideoView:
    """Wire the change of modes, and return what the workbench's video button runs. parts: the view's components."""
    outputs = [parts.current, parts.legend, parts.viewer, parts.clip, parts.status, parts.over_time]

    def run(
        request: gr.Request, path: str, model: str, stride: int, *how: Any
    ) -> Iterator[tuple[Any, ...]]:  # fmt: skip
        user, latest = session_of(request), {}
        kept = (gr.skip(),) * len(outputs)
        try:
            settings, _, colours, behind = options(user, how)
            source = files.claim(user, path)
            target = files.make(user, f"{source.stem}-segmented.mp4")
            known = memory_of(user).get(CLIP)

            def preview(pixels: np.ndarray, sentence: str) -> None:
                latest["frame"] = (pixels, sentence)

            def work(progress: Any, cancel: Any) -> video.VideoResult:
                return video.annotate(
                    source, target, model, settings, track=known.track if known is not None else None, stride=stride,
                    user=user, behind=behind, colours=colours, progress=progress, preview=preview, cancel=cancel,
                )  # fmt: skip

            yield (
                None,
                NO_LEGEND,
                gr.HTML(visible=True),
                gr.Video(visible=False),
                working("Opening the video", None),
                NO_CLIP,
            )
            for event in follow(work, every=0.3, stop=Stop(user, stop_key(TASK), NOT_KEPT)):
                if isinstance(event, Done):
                    memory_of(user).put(CLIP, event.value)
                    yield finished(event.value)
                else:
                    shown = _preview(latest.get("frame"))
                    yield *kept[:2], shown, kept[3], working(event.text, event.fraction), kept[5]
        except CvDemoError as error:
            yield *kept[:4], trouble(error), kept[5]

    def change(request: gr.Request, mode: str) -> tuple[Any, ...]:
        known = memory_of(session_of(request)).get(CLIP)
        if mode == "picture":  # which is drawn anew by the view's refresh
            return gr.skip(), gr.skip(), gr.HTML(visible=True), gr.Video(visible=False), gr.skip(), gr.skip()
        if mode == "video" and known is not None and known.path.is_file():
            return finished(known)
        return None, NO_LEGEND, gr.HTML(None, visible=True), gr.Video(visible=False), WAITING[mode], gr.skip()

    shared.mode.change(change, shared.mode, outputs, **QUICK)
    return VideoView(OVERLAY, run, parts.how, outputs)


def _preview(frame: tuple[np.ndarray, str] | None) -> Any:
    if frame is None:
        return gr.skip()
    pixels, sentence = frame
    copy = display_copy(pixels, PREVIEW_SIDE)[0]
    return layers(copy, sentence, (copy.shape[1], copy.shape[0]), quality=80)


def finished(result: video.VideoResult) -> tuple[Any, ...]:
    """current, legend, viewer, clip, status, areas over time of a written video."""
    return (
        None, NO_LEGEND, gr.HTML(visible="hidden"), gr.Video(str(result.path), visible=True), video_line(result),
        areas_html(result.areas.rows),
    )  # fmt: skip


def video_line(result: video.VideoResult) -> str:
    """The line under a finished clip."""
    frames = len(result.areas.rows)
    how = f"{result.network_runs} network runs" if result.network_runs else "redrawn without the network"
    timing = f"{frames} frames in {result.seconds:.1f} s ({frames / max(result.seconds, 1e-6):.1f} a second), {how}"
    notes = f" · {'; '.join(result.info.notes)}" if result.info.notes else ""
    return status(result.areas.sentence(), timing + notes)
