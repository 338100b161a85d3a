"""The Clip view: a video's flow in colours, slow motion, a calm camera, or a label that is carried along."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.detection.video import track_key
from cvdemo.flow import clip as clips
from cvdemo.flow import clip_view as view
from cvdemo.flow.clip import ClipFlow
from cvdemo.flow.clip_view import CARRY, COLOURS, HELP, MAKES, SLOW, ClipSettings
from cvdemo.flow.predict import TASK
from cvdemo.flow.propagate import Propagation, mask_at
from cvdemo.flow.tab_shared import CLIP
from cvdemo.ui.background import Done, Stop, follow
from cvdemo.ui.canvas import canvas, on_canvas
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.viewer import status, trouble, working
from cvdemo.ui.views import QUICK, Shared, VideoView, View, stop_key
from cvdemo.ui.widgets import read_settings, settings_components, video_file

NAMES = ("make", "factor", "radius", "maximum", "opacity")
PREFIX = "clip_"
WAITING = status("Choose a video on the left, then press its button", "The example is a camera that moves to and fro.")
MOST_CLIPS = 4
"""Of all visitors together: a clip's flow takes up to 150 MB. Who comes back to an older one computes it again."""
STOPPED = "Press the button again to start over."
ASK = status("Now drag a box in the first frame, or click a thing in it", "The flow of the clip is computed already.")


@dataclass(frozen=True)
class Parts:
    """The view's components."""

    canvas: Any
    clip: Any
    status: Any
    help: Any
    settings: list[Any]
    drift: Any

    @property
    def answer(self) -> list[Any]:
        """What a run fills."""
        return [self.canvas, self.clip, self.status, self.drift]


_clips: OrderedDict[str, ClipFlow] = OrderedDict()
_lock = threading.Lock()


def forget(session: str) -> None:
    """Drop a session's clip."""
    with _lock:
        _clips.pop(session, None)


def create_clip_view(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    parts = _components()
    make = parts.settings[0]
    make.input(lambda name: HELP.get(name, ""), make, parts.help, **QUICK)
    running: dict[str, Any] = {
        "show_progress": "hidden", "api_visibility": "private", "concurrency_id": "flow-carry",
        "concurrency_limit": 4,
    }  # fmt: skip
    parts.canvas.select(_dragged, None, parts.answer, **running)
    parts.canvas.click(_clicked, None, parts.answer, **running)
    return View(
        CLIP,
        forget=forget,
        settings=ClipSettings,
        controls=dict(zip(NAMES, parts.settings)),
        prefix=PREFIX,
        video=VideoView(CLIP, _run, parts.settings, parts.answer),
    )


def _components() -> Parts:
    default = ClipSettings()
    make = gr.Radio(
        [(title, name) for name, title in MAKES.items()], value=default.make, show_label=False, container=False,
        elem_id="flow-make",
    )  # fmt: skip
    words = gr.Markdown(HELP[default.make], elem_id="flow-clip-help")
    with gr.Row(equal_height=False):
        with gr.Column(min_width=280):
            first = canvas("flow-clip-first", "The first frame of the video appears here.")
        with gr.Column(min_width=280):
            made = video_file(
                label="What was made of it", interactive=False, elem_id="flow-clip-result", height=420, autoplay=True,
                loop=True,
            )  # fmt: skip
    line = gr.HTML(WAITING, elem_id="flow-clip-status")
    with gr.Row():
        widgets = settings_components(ClipSettings, NAMES[1:])
    drift = gr.HTML(elem_id="flow-drift", apply_default_css=False)
    return Parts(first, made, line, words, [make, *widgets.values()], drift)


def _first(clip: ClipFlow, pixels: np.ndarray | None = None) -> dict[str, Any]:
    return on_canvas(clip.frames[0] if pixels is None else pixels, "The first frame of the clip", paint=True)


def _run(request: gr.Request, path: str, model: str, stride: int, *values: Any) -> Iterator[tuple[Any, ...]]:
    """canvas, clip, status, drift while the flow is computed and the video is made."""
    user = session_of(request)
    kept = (gr.skip(),) * 4
    try:
        settings = read_settings(ClipSettings, NAMES, values)
        source = files.claim(user, path)

        def work(progress: Any, cancel: Any) -> tuple[ClipFlow, Path | None, str]:
            clip, known = _flow_of(user, source, model, stride, progress, cancel)
            target, words = _make(user, source, clip, settings, progress, cancel)
            took = "flow was known" if known else f"flow in {clip.seconds:.1f} s"
            cut = f"; only the first {len(clip.frames)} frames" if clip.cut else ""
            return clip, target, f"{words}{took}{cut}"

        yield gr.skip(), None, working("Opening the video", None), ""
        for event in follow(work, every=0.3, stop=Stop(user, stop_key(TASK), STOPPED)):
            if isinstance(event, Done):
                clip, target, words = event.value
                line = ASK if target is None else status(clip.sentence(), words)
                yield _first(clip), None if target is None else str(target), line, ""
            else:
                yield *kept[:2], working(event.text, event.fraction), kept[3]
    except CvDemoError as error:
        yield *kept[:2], trouble(error), kept[3]


def _flow_of(
    user: str, source: Path, model: str, stride: int, progress: Any, cancel: Any
) -> tuple[ClipFlow, bool]:  # fmt: skip
    """The clip's flow and whether it was there already."""
    with _lock:
        known = _clips.get(user)
    if known is not None and known.key == track_key(source, model, stride):
        return known, True
    forget(user)  # before the next one takes as much memory
    clip = clips.analyse(
        source, model, stride, user=user, progress=lambda share, text: progress(0.8 * share, text), cancel=cancel
    )
    with _lock:
        _clips[user] = clip
        while len(_clips) > MOST_CLIPS:
            _clips.popitem(last=False)
    return clip, False


def _make(
    user: str, source: Path, clip: ClipFlow, settings: ClipSettings, progress: Any, cancel: Any
) -> tuple[Path | None, str]:  # fmt: skip
    """The video the settings ask for and words about it; None where a label must be drawn first."""
    if settings.make == CARRY:
        return None, ""
    target = files.make(user, f"{source.stem}-{settings.make}.mp4")
    watch: dict[str, Any] = {"progress": lambda share, text: progress(0.8 + 0.2 * share, text), "cancel": cancel}
    if settings.make == COLOURS:
        maximum = settings.maximum or clip.maximum()
        return clips.write_colours(clip, target, maximum, settings.opacity, **watch), f"rim {maximum:g} px; "
    if settings.make == SLOW:
        made = (settings.factor - 1) * len(clip.forward)
        return clips.write_slow(clip, target, settings.factor, **watch), f"{made} frames made in between; "
    _, zoom = clips.write_steady(clip, target, settings.radius, **watch)
    return target, f"left as taken, right calmed, enlarged by {zoom - 1:.0%}; "


def _dragged(request: gr.Request, event: gr.EventData) -> Iterator[tuple[Any, ...]]:
    """canvas, clip, status, drift for a box that was drawn."""

    def label(clip: ClipFlow) -> Propagation:
        return Propagation(view.box_from_shares((event.x1, event.y1), (event.x2, event.y2), clip.size))

    yield from _carry(request, label)


def _clicked(request: gr.Request, event: gr.EventData) -> Iterator[tuple[Any, ...]]:
    """canvas, clip, status, drift for a thing that was clicked."""

    def label(clip: ClipFlow) -> Propagation:
        height, width = clip.size
        x, y = (min(max(float(share), 0.0), 0.9999) for share in (event.x, event.y))
        mask = mask_at(clip.frames[0], int(x * width), int(y * height))
        rows, columns = np.nonzero(mask)
        if len(rows) < 12:
            raise InputError("There is no region of one colour there.", hint="Click another place, or drag a box.")
        box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float64)
        return Propagation(box, mask)

    yield from _carry(request, label)


def _carry(request: gr.Request, make: Callable[[ClipFlow], Propagation]) -> Iterator[tuple[Any, ...]]:
    user = session_of(request)
    kept = (gr.skip(),) * 4
    with _lock:
        clip = _clips.get(user)
    if clip is None:
        yield (
            *kept[:2],
            status("Press the video's button first", "The flow of the clip must be computed once."),
            kept[3],
        )
        return
    try:

        def work(progress: Any, cancel: Any) -> tuple[Path, Propagation, np.ndarray]:
            label = make(clip)
            first = clips.draw_label(clip.frames[0], label)
            target = files.make(user, "carried.mp4")
            return clips.write_carried(clip, target, label, progress=progress, cancel=cancel), label, first

        for event in follow(work, every=0.3, stop=Stop(user, stop_key(TASK), STOPPED)):
            if isinstance(event, Done):
                target, label, first = event.value
                known = [value for value in label.drift if np.isfinite(value)]
                what = "box" if label.mask is None else "region"
                line = status(
                    f"The {what} was carried through {len(clip.frames)} frames; it drifted {known[-1]:.1f} px",
                    "Draw another box, or click another thing. No network ran.",
                )
                yield _first(clip, first), str(target), line, view.drift_html(label)
            else:
                yield *kept[:2], working(event.text, event.fraction), kept[3]
    except CvDemoError as error:
        yield *kept[:2], trouble(error), kept[3]
