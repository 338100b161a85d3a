"""Segmentation on a video file: the network runs once per frame, other settings only redraw."""

from __future__ import annotations

import csv
import io
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from cvdemo.core.engine import Engine
from cvdemo.core.files import existing_file
from cvdemo.detection.video import track_key
from cvdemo.segmentation.background import on_checks
from cvdemo.segmentation.draw import Colour
from cvdemo.segmentation.instances import InstanceSegmentation
from cvdemo.segmentation.predict import SegmentationInference, SegmentationSettings, decode, draw, infer
from cvdemo.segmentation.raw import RawInstances
from cvdemo.segmentation.resample import headroom
from cvdemo.segmentation.result import BACKGROUND, Segmentation, percent_in_words

if TYPE_CHECKING:
    from cvdemo.core.video import Frame, VideoInfo

MAX_SIDE = 1280  # frames are shrunk to this before drawing: larger ones cost more to encode than to look at
MEMORY = 400 << 20  # bytes of logits kept of one clip; frames beyond are computed again when settings change
NEVER = 12.0  # how far below the winner a class is set that was not worth keeping


@dataclass(frozen=True, eq=False)
class KeptFrame:
    """A frame's output in little memory: numbers in half precision, and only the classes that can win somewhere.

    Redrawing uses what is kept from the first time on, so that a redrawn clip differs only in what was changed.
    """

    shell: SegmentationInference  # the raw output with an empty array in place of its large one
    values: np.ndarray
    classes: np.ndarray
    count: int

    @classmethod
    def of(cls, inference: SegmentationInference) -> KeptFrame:
        """Reduce an inference."""
        raw = inference.raw
        if isinstance(raw, RawInstances):
            none = np.zeros(0, np.float32)
            slim = RawInstances(np.zeros((0, 4), np.float32), none, none.astype(np.int64), raw.masks[:0],
                                raw.categories, raw.height, raw.width, raw.model)  # fmt: skip
            packed = np.concatenate([raw.boxes, raw.scores[:, None]], axis=1)
            return cls(replace(inference, raw=slim), raw.masks.astype(np.float16), np.c_[packed, raw.labels], 0)
        classes = np.flatnonzero(headroom(raw.logits) >= -NEVER)
        relative = raw.logits[classes] - raw.logits.max(axis=0)
        slim_logits = np.zeros((len(raw.categories), 1, 1), np.float32)
        return cls(
            replace(inference, raw=replace(raw, logits=slim_logits)),
            np.maximum(relative, -60000).astype(np.float16), classes, len(raw.categories),
        )  # fmt: skip

    @property
    def size(self) -> int:
        """Bytes of the arrays."""
        return int(self.values.nbytes + self.classes.nbytes)

    def restored(self) -> SegmentationInference:
        """The inference again; classes that were not kept are 12 below the winner, a probability under 1e-5."""
        raw = self.shell.raw
        values = self.values.astype(np.float32)
        if isinstance(raw, RawInstances):
            table = self.classes
            full = replace(raw, boxes=table[:, :4].astype(np.float32), scores=table[:, 4].astype(np.float32),
                           labels=table[:, 5].astype(np.int64), masks=values)  # fmt: skip
            return replace(self.shell, raw=full)
        logits = np.full((self.count, *values.shape[1:]), -NEVER, np.float32)
        logits[self.classes] = values
        return replace(self.shell, raw=replace(raw, logits=logits))


@dataclass(eq=False)
class VideoTrack:
    """What the network said about each frame of one file; filled while the video is analysed, reused afterwards."""

    key: tuple[str, str, int]
    frames: dict[int, KeptFrame] = field(default_factory=dict)

    def keep(self, index: int, frame: KeptFrame) -> None:
        """Remember a frame, unless the clip's memory is full."""
        if sum(kept.size for kept in self.frames.values()) + frame.size <= MEMORY:
            self.frames[index] = frame


@dataclass(eq=False)
class FrameAreas:
    """Share of the picture of each class, frame by frame: (time in seconds, {class: per cent})."""

    rows: list[tuple[float, dict[str, float]]] = field(default_factory=list)

    def add(self, time: float, found: Segmentation | InstanceSegmentation) -> None:
        """Remember one frame."""
        if isinstance(found, Segmentation):
            shares = {area.name: area.percent for area in found.areas if area.name != BACKGROUND}
        else:
            shares = {}
            for name, crop in zip(found.names, found.crops):
                shares[name] = shares.get(name, 0.0) + 100.0 * crop.area / (found.height * found.width)
        self.rows.append((time, shares))

    def mean(self) -> dict[str, float]:
        """The average share of each class that ever occurred, largest first."""
        total: Counter[str] = Counter()
        for _, shares in self.rows:
            total.update(shares)
        return {name: value / len(self.rows) for name, value in total.most_common()}

    def sentence(self) -> str:
        """ "48 frames; on average 31 % person, 2 % dog"."""
        count = f"{len(self.rows)} frame{'' if len(self.rows) == 1 else 's'}"
        shares = [f"{percent_in_words(value)} {name}" for name, value in self.mean().items() if value >= 0.05]
        return f"{count}; on average {', '.join(shares)}" if shares else f"{count}; nothing but background"

    def to_csv(self) -> str:
        """A line per frame: time in seconds, then the per cent of each class that ever occurred."""
        names = list(self.mean())
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("time", *names))
        writer.writerows((f"{time:.3f}", *(f"{shares.get(n, 0.0):.3f}" for n in names)) for time, shares in self.rows)
        return text.getvalue()


@dataclass(frozen=True, eq=False)
class VideoResult:
    """A written video: path, facts, areas per frame, the track for redrawing, and how fast it went."""

    path: Path
    info: VideoInfo
    areas: FrameAreas
    track: VideoTrack
    network_runs: int
    seconds: float


def annotate(
    source: str | Path,
    target: str | Path,
    model: str,
    settings: SegmentationSettings,
    *,
    engine: Engine | None = None,
    track: VideoTrack | None = None,
    stride: int = 1,
    user: str = "",
    behind: np.ndarray | None = None,
    colours: Mapping[str, Colour] | None = None,
    progress: Callable[[float, str], None] | None = None,
    preview: Callable[[np.ndarray, str], None] | None = None,
    cancel: threading.Event | None = None,
) -> VideoResult:
    """Write ``target`` (.mp4, H.264) with every ``stride``-th frame drawn as the settings say.

    A ``track`` of the same file, model and stride saves the network. ``preview`` is given each drawn frame and its
    sentence. A cut-out is laid on a chessboard, because H.264 has no transparency. Errors as in
    ``core.video.transform_video`` and ``predict.infer``.
    """
    source, target = existing_file(source), Path(target)
    key = track_key(source, model, stride)
    if track is None or track.key != key:
        track = VideoTrack(key)
    areas, runs, started = FrameAreas(), 0, perf_counter()

    def work(frame: Frame) -> np.ndarray:
        nonlocal runs
        kept = track.frames.get(frame.index)
        if kept is None:
            kept = KeptFrame.of(infer(frame.pixels, model, engine, user=user, cancel=cancel))
            track.keep(frame.index, kept)
            runs += 1
        found = decode(kept.restored(), settings)
        areas.add(frame.time, found)
        drawn = draw(frame.pixels, found, settings, behind=behind, colours=colours)
        if drawn.shape[2] == 4:
            drawn = on_checks(drawn)
        if preview is not None:
            preview(drawn, found.sentence())
        return drawn

    from cvdemo.core.video import transform_video  # PyAV is 19 MB that only a video needs

    info = transform_video(source, target, work, progress=progress, cancel=cancel, stride=stride, max_side=MAX_SIDE)
    return VideoResult(target, info, areas, track, runs, perf_counter() - started)
