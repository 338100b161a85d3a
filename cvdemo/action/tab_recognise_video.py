"""The Recognise view on a video file: the network once per window, then curves, chosen windows, an annotated clip."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import gradio as gr
import numpy as np

from cvdemo.action import recognise_view as view
from cvdemo.action import strip, timeline_view
from cvdemo.action import tab_shared as kept
from cvdemo.action.clips import Clip, sample_clip
from cvdemo.action.predict import TASK, ActionSettings, clip_spec
from cvdemo.action.timeline import RawTimeline, timeline
from cvdemo.action.video import annotate
from cvdemo.core.errors import Cancelled, CvDemoError
from cvdemo.detection.video import track_key
from cvdemo.ui.background import Done, Stop, follow
from cvdemo.ui.memory import memory_of
from cvdemo.ui.sessions import files
from cvdemo.ui.viewer import display_copy, shown, status, working
from cvdemo.ui.views import stop_key

VIDEO = ("action", "finished video")
STEPS = 8
"""The slider counts in eighths of what the model sees at once."""
NETWORK_SHARE = 0.6
"""Of the progress line: the rest is for drawing."""
STOPPED = "Windows already seen are below. Press the button to start over."
PATIENCE = 5.0


@dataclass(frozen=True, eq=False)
class FinishedVideo:
    """A video that was looked at. ``path``: of the annotated one, None where it was not written."""

    name: str
    source: Path
    path: Path | None
    raw: RawTimeline
    key: Any
    seconds: float
    runs: int


def analyse(
    user: str, path: str, model: str, stride: int, settings: ActionSettings
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    """viewer, clip, status, bars, timeline, strip, rows: progress, then the result. Errors as in ``timeline``.

    Stop keeps the windows that were seen.
    """
    source = files.claim(user, path)
    kept.remember_video(user, source)
    target = files.make(user, f"{source.stem}-actions.mp4")
    key = track_key(source, model, stride)
    before: FinishedVideo | None = memory_of(user).get(VIDEO)
    known = before.raw if before is not None and before.key == key and before.path is not None else None
    latest: dict[str, Any] = {}
    ended = threading.Event()
    began = perf_counter()

    def work(progress: Any, cancel: Any) -> FinishedVideo:
        try:
            raw = known
            if raw is None:
                raw = timeline(
                    source, model, stride=clip_spec(model).span * stride / STEPS, user=user, cancel=cancel,
                    progress=lambda share, text: progress(NETWORK_SHARE * share, text),
                )  # fmt: skip
            runs = 0 if known is not None else len(raw)
            latest["done"] = FinishedVideo(source.name, source, None, raw, key, perf_counter() - began, runs)
            if cancel.is_set():
                raise Cancelled
            first = 0.0 if known is not None else NETWORK_SHARE
            annotate(
                source, target, raw, settings, cancel=cancel,
                preview=lambda pixels, words: latest.update(frame=(pixels, words)),
                progress=lambda share, text: progress(first + (1 - first) * share, f"Drawing {text}"),
            )  # fmt: skip
            return FinishedVideo(source.name, source, target, raw, key, perf_counter() - began, runs)
        finally:
            ended.set()

    skipped = (gr.skip(),) * 4
    yield gr.HTML(visible=True), gr.Video(visible=False), working("Opening the video", None), *skipped
    try:
        for event in follow(work, every=0.3, stop=Stop(user, stop_key(TASK), STOPPED)):
            if isinstance(event, Done):
                memory_of(user).put(VIDEO, event.value)
                yield finished(event.value, settings)
            else:
                yield preview_of(latest.get("frame")), gr.skip(), working(event.text, event.fraction), *skipped
    except Cancelled:
        ended.wait(PATIENCE)  # for the window under way
        done: FinishedVideo | None = latest.get("done")
        if done is None:
            yield gr.skip(), gr.skip(), status("Stopped", "Press the button to start over."), *skipped
            return
        memory_of(user).put(VIDEO, done)
        line = status("Stopped", f"{STOPPED} {view.video_line(done.raw, done.seconds, done.runs)}")
        _, bars, curve, frames = answer_of(done, settings, (0,))
        yield gr.skip(), gr.skip(), line, bars, curve, frames, (0,)


def preview_of(frame: tuple[np.ndarray, str] | None) -> Any:
    """The viewer's value for the frame that was drawn last."""
    return gr.skip() if frame is None else shown(display_copy(frame[0], 640)[0], frame[1], 75)


def finished(done: FinishedVideo, settings: ActionSettings) -> tuple[Any, ...]:
    """viewer, clip, status, bars, timeline, strip, rows of a finished video; its surest window is inspected first."""
    line = view.timeline_of(done.raw, settings)
    rows = (int(line.probabilities.max(axis=1).argmax()),)
    return gr.HTML(visible="hidden"), gr.Video(str(done.path), visible=True), *answer_of(done, settings, rows), rows


def answer_of(done: FinishedVideo, settings: ActionSettings, rows: Sequence[int]) -> tuple[Any, ...]:
    """status, bars, timeline, strip of a video while some of its windows are inspected; no network is touched."""
    chosen = [row for row in rows if 0 <= row < len(done.raw)] or [0]
    line = view.timeline_of(done.raw, settings)
    actions = view.selected(done.raw, settings, chosen)
    words = view.selection_words(done.raw, chosen)
    sentence = f"{words}: {actions.sentence()}{view.remark(actions)}"
    return (
        status(sentence, view.video_line(done.raw, done.seconds, done.runs)),
        f'<p class="strip-head">{words}</p>{view.bars_html(actions)}',
        timeline_view.timeline_html(line, most=settings.top_k, chosen=chosen, pick=True),
        strip_of(done, chosen),
    )


def strip_of(done: FinishedVideo, rows: Sequence[int]) -> str:
    """The frames of the chosen window; of several windows the middle frame of each."""
    if len(rows) > 1:
        frames = np.stack([done.raw.thumbnails[row] for row in rows])
        clip = Clip(frames, done.raw.times[list(rows)], done.name)
        return strip.strip_html(clip, caption="The middle frame of each window", kind="small")
    try:
        clip = sample_clip(done.source, start=float(done.raw.starts[rows[0]]), spec=done.raw.spec)
    except CvDemoError:  # the file is damaged there or gone: the window's own frame is kept
        clip = Clip(done.raw.thumbnails[rows[0]][None], done.raw.times[list(rows)], done.name)
        return strip.strip_html(clip, caption="The window's middle frame; the file can no longer be read", kind="small")
    return strip.strip_html(clip, caption=strip.caption_of(clip, done.raw.spec.rate), kind="small")


def chosen_rows(done: FinishedVideo, settings: ActionSettings, rows: Sequence[int], data: Any) -> tuple[int, ...]:
    """The windows meant by an event of the timeline, whose data anybody may have made up."""
    values = data if isinstance(data, dict) else {}
    now = [row for row in rows if 0 <= row < len(done.raw)] or [0]
    step = values.get("step")
    ends = [values.get(name) for name in ("from", "to")]
    if isinstance(step, int):
        edge = max(now) if step > 0 else min(now)
        return (min(max(edge + (1 if step > 0 else -1), 0), len(done.raw) - 1),)
    first, last = (float(value) if isinstance(value, (int, float)) else -1.0 for value in ends)
    if not (0 <= first <= 1 and 0 <= last <= 1):
        return tuple(now)
    line = view.timeline_of(done.raw, settings)
    if abs(last - first) < 0.01:
        return (line.nearest(line.at_share((first + last) / 2)),)
    return tuple(line.between(line.at_share(first), line.at_share(last)))
