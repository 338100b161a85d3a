"""A video from beginning to end: one network run per window, then curves of probability over time."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from cvdemo.action.clips import MAX_SIDE, Clip, ClipSpec, Video, pick_from_stream, windows
from cvdemo.action.predict import Actions, ActionSettings, clip_spec, infer, of_probabilities, smooth
from cvdemo.action.raw import RawScores, softmax
from cvdemo.core.context import ProgressFn
from cvdemo.core.engine import Engine
from cvdemo.core.errors import Cancelled
from cvdemo.core.samples import Pixels

THUMBNAIL = 160
"""Longer side in pixels of the one frame that is kept of every window."""


@dataclass(frozen=True, eq=False)
class RawTimeline:
    """Raw scores of the N windows of a video, N >= 1.

    Attributes:
        raws: one result per window, in order.   starts: (N,) seconds.   spec: what the model saw of each window.
        thumbnails: the middle frame of each window, small.   duration: of the video in seconds.
        stages: milliseconds over all windows.   source: name of the video.   notes: remarks for the user.
    """

    raws: tuple[RawScores, ...]
    starts: np.ndarray
    spec: ClipSpec
    thumbnails: tuple[np.ndarray, ...]
    duration: float
    stages: dict[str, float]
    device: str
    precision: str
    model: str
    source: str = ""
    notes: tuple[str, ...] = ()
    complete: bool = True

    def __len__(self) -> int:
        return len(self.raws)

    @property
    def logits(self) -> np.ndarray:
        """(N, C) float32."""
        return np.stack([raw.logits for raw in self.raws])

    @property
    def times(self) -> np.ndarray:
        """(N,) seconds: the middle of each window, where its value belongs on a time axis."""
        return self.starts + np.minimum(self.spec.span, max(self.duration, 1e-6)) / 2

    def at(self, seconds: float) -> int:
        """The window whose middle is nearest to a time."""
        return int(np.abs(self.times - seconds).argmin())


@dataclass(frozen=True, eq=False)
class ActionTimeline:
    """What one setting makes of a timeline.

    Attributes:
        times: (N,) seconds, middle of each window.   probabilities: (N, C) float64, smoothed.   categories: C names.
        best: indices of the actions worth a curve, the one with the highest peak first.
        windows: (N,) actions of each window, of the smoothed probabilities.
        segments: (start, end, action, mean probability) in seconds; the stretches over which one action is the most
            probable and reaches the threshold.
    """

    times: np.ndarray
    probabilities: np.ndarray
    categories: tuple[str, ...]
    best: tuple[int, ...]
    windows: tuple[Actions, ...]
    segments: tuple[tuple[float, float, str, float], ...]
    duration: float
    model: str
    source: str = ""
    notes: tuple[str, ...] = ()

    def to_dict(self, name: str = "") -> dict[str, Any]:
        """JSON-ready: windows with their best actions, and the segments."""
        rows = [
            {
                "time": round(float(time), 3),
                **{k: v for k, v in actions.to_dict().items() if k in ("sure", "predictions")},
            }
            for time, actions in zip(self.times, self.windows)
        ]
        segments = [
            {"start": round(start, 3), "end": round(end, 3), "label": label, "probability": round(p, 6)}
            for start, end, label, p in self.segments
        ]
        video = {"name": name or self.source, "duration": round(self.duration, 3), "notes": list(self.notes)}
        return {"video": video, "model": self.model, "windows": rows, "segments": segments}

    def sentence(self) -> str:
        """Such as "push-up 0.0 to 4.2 s, squat 5.1 to 9.0 s"."""
        if not self.segments:
            return "No action is probable enough to be claimed"
        listed = [f"{label} {start:.1f} to {end:.1f} s" for start, end, label, _ in self.segments[:4]]
        more = len(self.segments) - 4
        return ", ".join(listed) + (f" and {more} more" if more > 0 else "")


def timeline(
    video: Video | Clip,
    model: str,
    engine: Engine | None = None,
    *,
    stride: float | None = None,
    start: float = 0.0,
    stop: float | None = None,
    user: str = "",
    cancel: threading.Event | None = None,
    progress: ProgressFn | None = None,
) -> RawTimeline:
    """Run a model on every window of a video (a file, or a ``Clip`` of any length).

    stride: seconds between windows, half of what the model sees unless given.   start, stop: the part looked at.
    When ``cancel`` is set after the first window, what was done so far is returned with ``complete`` False; before
    it, Cancelled. progress(fraction, text). Errors as in ``read_frames`` and ``Engine.run``.
    """
    spec = clip_spec(model)
    begun = perf_counter()
    collected = _Collected()
    with _opened(video, start, stop) as (frames, duration, name, remarks):
        starts = start + windows(duration, spec, stride)
        try:
            for number, clip in enumerate(pick_from_stream(frames, starts.tolist(), spec)):
                if cancel is not None and cancel.is_set():
                    raise Cancelled("Stopped.")
                if progress is not None:
                    progress(number / len(starts), f"Window {number + 1} of {len(starts)}")
                ran = infer(replace(clip, source=name), model, engine, user=user, cancel=cancel)
                collected.add(ran.raw, ran.stages, clip)
                collected.device, collected.precision = ran.device, ran.precision
        except Cancelled:
            if not collected.raws:
                raise
        notes = tuple(dict.fromkeys(remarks()))
    count = len(collected.raws)
    collected.stages["read"] = (perf_counter() - begun) * 1e3 - sum(collected.stages.values())
    return RawTimeline(
        tuple(collected.raws), starts[:count], spec, tuple(collected.thumbnails), start + duration, collected.stages,
        collected.device, collected.precision, model, name, notes, count == len(starts),
    )  # fmt: skip


@dataclass
class _Collected:
    raws: list[RawScores] = field(default_factory=list)
    thumbnails: list[np.ndarray] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)
    device: str = ""
    precision: str = ""

    def add(self, raw: RawScores, stages: dict[str, float], clip: Clip) -> None:
        self.raws.append(raw)
        self.thumbnails.append(_thumbnail(clip.frames[len(clip) // 2]))
        for stage, milliseconds in stages.items():
            self.stages[stage] = self.stages.get(stage, 0.0) + milliseconds


def _thumbnail(pixels: np.ndarray) -> np.ndarray:
    from cvdemo.core.lazy import cv2

    scale = THUMBNAIL / max(pixels.shape[:2])
    if scale >= 1:
        return pixels.copy()
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    small: np.ndarray = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return small


@contextmanager
def _opened(video: Video | Clip, start: float, stop: float | None) -> Iterator[tuple[Any, float, str, Any]]:
    """(time, pixels) pairs from ``start`` on, their duration, the video's name, and a function that gives remarks."""
    if isinstance(video, Clip):
        inside = (video.times >= start) & (video.times < (np.inf if stop is None else stop))
        order = np.flatnonzero(inside)[np.argsort(video.times[inside], kind="stable")]
        pairs = ((float(video.times[row]), video.frames[row]) for row in order)
        step = float(np.median(np.diff(np.sort(video.times)))) if len(video) > 1 else 0.0
        yield pairs, max(0.0, video.times.max() + step - start), video.source, lambda: filter(None, [video.note])
        return
    from cvdemo.core.video_reader import read_frames

    duration = seconds_of(video) if stop is None else min(stop, seconds_of(video))
    with read_frames(video, start=start, stop=stop, max_side=MAX_SIDE) as reader:
        pairs_of_file: Iterator[tuple[float, Pixels]] = ((frame.time, frame.pixels) for frame in reader)
        yield pairs_of_file, max(0.0, duration - start), Path(os.fspath(video)).name, lambda: reader.notes


def seconds_of(video: Video) -> float:
    """How long a video file lasts; read through when it does not say."""
    from cvdemo.core.video_reader import probe_video, read_frames

    info = probe_video(video)
    if info.duration is not None:
        return info.duration
    with read_frames(video, max_side=16) as reader:
        return max(frame.time for frame in reader) + 1.0 / info.fps


def decode_timeline(raw: RawTimeline, settings: ActionSettings | None = None) -> ActionTimeline:
    """Curves, windows and segments as the settings say; no network is touched (milliseconds for a minute of video)."""
    chosen = settings or ActionSettings()
    times = raw.times
    probabilities = smooth(softmax(raw.logits, chosen.temperature), times, chosen.smoothing)
    categories = raw.raws[0].categories
    peaks = probabilities.max(axis=0)
    best = tuple(int(i) for i in np.argsort(-peaks, kind="stable")[: chosen.top_k])
    actions = tuple(of_probabilities(row, one, chosen) for row, one in zip(probabilities, raw.raws))
    segments = _segments(raw, times, probabilities, chosen.threshold)
    return ActionTimeline(
        times, probabilities, categories, best, actions, segments, raw.duration, raw.model, raw.source, raw.notes
    )


def _segments(
    raw: RawTimeline, times: np.ndarray, probabilities: np.ndarray, threshold: float
) -> tuple[tuple[float, float, str, float], ...]:
    """Runs of windows with the same sure action; they meet halfway between the middles of neighbouring windows."""
    winners = probabilities.argmax(axis=1)
    edges = np.concatenate([[raw.starts[0]], (times[1:] + times[:-1]) / 2, [max(raw.duration, raw.starts[0])]])
    found: list[tuple[float, float, str, float]] = []
    first = 0
    for row in range(1, len(winners) + 1):
        if row < len(winners) and winners[row] == winners[first]:
            continue
        mean = float(probabilities[first:row, winners[first]].mean())
        if mean >= threshold:
            name = raw.raws[0].categories[winners[first]]
            found.append((float(edges[first]), float(edges[row]), name, mean))
        first = row
    return tuple(found)
