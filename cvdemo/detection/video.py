"""Detection on a video file: the network runs once per frame, other settings only redraw."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from cvdemo.core.engine import Engine
from cvdemo.core.files import existing_file
from cvdemo.detection.predict import DetectionSettings, Inference, decode, draw, infer
from cvdemo.detection.raw import RawDetections
from cvdemo.detection.view import Counts

if TYPE_CHECKING:
    from cvdemo.core.video import Frame, VideoInfo

MAX_SIDE = 1280  # frames are shrunk to this before drawing: larger ones cost more to encode than to look at
KEPT_CANDIDATES = 300  # per frame, best first: enough for every slider, a few kilobytes


@dataclass(eq=False)
class VideoTrack:
    """What the network said about each frame of one file; filled while the video is analysed, reused afterwards."""

    key: tuple[str, str, int]
    frames: dict[int, Inference] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class VideoResult:
    """A written video: path, facts, counts per frame, the track for redrawing, and how fast it went."""

    path: Path
    info: VideoInfo
    counts: Counts
    track: VideoTrack
    network_runs: int
    seconds: float


def track_key(source: Path, model: str, stride: int) -> tuple[str, str, int]:
    """Identity of an analysis: content of the file, model, frame stride."""
    digest = hashlib.blake2b(digest_size=16)
    with source.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest(), model, stride


def annotate(
    source: str | Path,
    target: str | Path,
    model: str,
    settings: DetectionSettings,
    *,
    engine: Engine | None = None,
    track: VideoTrack | None = None,
    stride: int = 1,
    user: str = "",
    progress: Callable[[float, str], None] | None = None,
    preview: Callable[[np.ndarray, str], None] | None = None,
    cancel: threading.Event | None = None,
) -> VideoResult:
    """Write ``target`` (.mp4, H.264) with the objects of every ``stride``-th frame drawn in.

    A ``track`` of the same file, model and stride saves the network. ``preview`` is given each drawn frame and its
    sentence. Errors as in ``core.video.transform_video`` and ``predict.infer``.
    """
    source, target = existing_file(source), Path(target)
    key = track_key(source, model, stride)
    if track is None or track.key != key:
        track = VideoTrack(key)
    counts, runs, started = Counts(), 0, perf_counter()

    def work(frame: Frame) -> np.ndarray:
        nonlocal runs
        inference = track.frames.get(frame.index)
        if inference is None:
            inference = _light(infer(frame.pixels, model, engine, user=user, cancel=cancel))
            track.frames[frame.index] = inference
            runs += 1
        decoded = decode(inference, settings)
        counts.add(frame.time, decoded.detections)
        drawn = draw(frame.pixels, decoded, settings)
        if preview is not None:
            preview(drawn, decoded.detections.sentence())
        return drawn

    from cvdemo.core.video import transform_video  # PyAV is 19 MB that only a video needs

    info = transform_video(
        source, target, work, progress=progress, cancel=cancel, stride=stride, max_side=MAX_SIDE
    )  # fmt: skip
    return VideoResult(target, info, counts, track, runs, perf_counter() - started)


def _light(inference: Inference) -> Inference:
    """The inference without what only lessons on single pictures draw, so that long videos stay small in memory."""
    raw = inference.raw
    best = raw.candidates.take(np.arange(min(KEPT_CANDIDATES, len(raw.candidates))))
    slim = RawDetections(best, None, None, raw.levels, raw.input_size)
    return Inference(slim, inference.stages, inference.device, inference.precision, inference.model)
