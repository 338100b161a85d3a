"""What the views of the Pose tab share: their names, what a session has looked at, and the people it follows live."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

import numpy as np

from cvdemo.core.media import Picture
from cvdemo.detection.video import track_key
from cvdemo.pose.angles import AngleSeries
from cvdemo.pose.poses import Poses
from cvdemo.pose.predict import PoseInference, PoseSettings, decode, infer
from cvdemo.pose.tracks import PoseTracks
from cvdemo.pose.video import PoseTrack
from cvdemo.ui.memory import Memory, memory_of
from cvdemo.ui.viewer import display_copy

SKELETON, ANGLES, HEATMAP, TRUTH = "skeleton", "angles", "heatmap", "truth"
LIVE = ("pose", "live")
SHOWN = ("pose", "shown")
"""Where the session's memory keeps the ``PoseSettings`` that the Skeleton view drew with last."""
PROJECTOR_SCALE = 1.6
LIVE_SECONDS = 60.0
"""How much of a live session the angle plot and its CSV go back."""
MOST_CLIPS = 3
AWAY_SECONDS = 10.0
"""A live session that was interrupted for longer starts anew."""
STAGE_WORDS = {"preprocess": "crop", "decode": "read out"}


@dataclass(frozen=True, eq=False)
class Look:
    """A picture, the copy the page shows (``scale`` display pixels per pixel), and the raw result of one model."""

    picture: Picture
    display: np.ndarray
    scale: float
    inference: PoseInference


@dataclass(eq=False)
class LivePeople:
    """The people in front of a session's webcam: their tracks and angles. Hold ``lock`` while using it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    tracks: PoseTracks = field(default_factory=PoseTracks)
    angles: AngleSeries = field(default_factory=AngleSeries)
    began: float = field(default_factory=monotonic)
    last: float = 0.0

    def follow(self, poses: Poses, smoothing: float) -> tuple[Poses, dict[int, np.ndarray]]:
        """The poses of a new frame, numbered and smoothed, and the trails to draw; notes their angles."""
        with self.lock:
            seconds = monotonic() - self.began
            if seconds - self.last > AWAY_SECONDS and self.angles.rows:
                self.tracks, self.angles, self.began, seconds = PoseTracks(), AngleSeries(), monotonic(), 0.0
            self.last = seconds
            followed = self.tracks.update(poses, seconds, smoothing)
            self.angles.add(seconds, followed)
            rows = self.angles.rows
            if rows and seconds - rows[0][0] > 1.2 * LIVE_SECONDS:  # not for every frame
                self.angles.rows = [row for row in rows if seconds - row[0] <= LIVE_SECONDS]
            return followed, self.tracks.trails()

    def series(self) -> AngleSeries:
        """A copy of the angles so far."""
        with self.lock:
            return AngleSeries(list(self.angles.rows))


_people: dict[str, LivePeople] = {}
# Not in the session's memory, whose arrays must not change: a clip is filled by a thread.
_clips: dict[str, OrderedDict[Hashable, PoseTrack]] = {}
_lock = threading.Lock()


def live_people(session: str) -> LivePeople:
    """The people a session follows."""
    with _lock:
        return _people.setdefault(session, LivePeople())


def forget(session: str) -> None:
    """Drop the people a session follows and the clips it has seen."""
    with _lock:
        _people.pop(session, None)
        _clips.pop(session, None)


def key_of(picture: Picture, model: str) -> Any:
    """Where the session's memory keeps a model's look at a picture."""
    return "pose", picture.fingerprint, model


def look_of(session: str, picture: Picture, model: str, **watch: Any) -> Look:
    """What a model says of a picture; networks that have seen it are not run again.

    watch: ``progress`` and ``cancel``.   Errors as in ``predict.infer``.
    """
    return memory_of(session).recall(key_of(picture, model), lambda: look_at(picture, model, session, **watch))


def look_at(picture: Picture, model: str, session: str, **watch: Any) -> Look:
    """As ``look_of`` for pictures that come only once, such as webcam frames."""
    inference = infer(picture, model, user=session, **watch)
    display, scale = display_copy(picture.pixels)
    return Look(picture, display, scale, inference)


def on_people(
    session: str, picture: Picture, model: str, boxes: np.ndarray, memory: Memory | None = None
) -> PoseInference:  # fmt: skip
    """What a model makes of given people, (N, 4) x1 y1 x2 y2; remembered when a memory is given."""
    if memory is None:
        return infer(picture, model, boxes=boxes, user=session)
    key = ("pose of", picture.fingerprint, model, boxes.astype(np.float32).tobytes())
    return memory.recall(key, lambda: infer(picture, model, boxes=boxes, user=session))


def track_of(session: str, source: Path, model: str, stride: int) -> PoseTrack:
    """What the session knows of a clip's frames: filled while a view analyses it, and shared by all views."""
    key = track_key(source, model, stride)
    with _lock:
        kept = _clips.setdefault(session, OrderedDict())
        track = kept.setdefault(key, PoseTrack(key))
        kept.move_to_end(key)
        while len(kept) > MOST_CLIPS:
            kept.popitem(last=False)
        return track


def scaled(poses: Poses, scale: float) -> Poses:
    """The same poses on a picture that was resized by ``scale``."""
    if scale == 1.0:
        return poses
    factors = np.array([scale, scale, 1.0])
    return replace(
        poses,
        keypoints=poses.keypoints * factors,
        boxes=poses.boxes * np.float32(scale),
        height=round(poses.height * scale),
        width=round(poses.width * scale),
    )


def for_projector(settings: PoseSettings, projector: bool) -> PoseSettings:
    """Thicker lines where they are seen from afar."""
    if not projector:
        return settings
    return replace(settings, line_width=min(12, round(settings.line_width * PROJECTOR_SCALE)))


def timing_line(inference: PoseInference, decoded: float = 0.0, drawn: float = 0.0) -> str:
    """Such as "38 ms (people 22, crop 1, network 12, joints 1, draw 2) · cpu float32"; steps under half a
    millisecond are left out.
    """
    steps = {STAGE_WORDS.get(name, name): ms for name, ms in inference.stages.items()}
    steps |= {"joints": decoded, "draw": drawn}
    parts = ", ".join(f"{name} {ms:.0f}" for name, ms in steps.items() if ms >= 0.5)
    where = f" · {inference.device} {inference.precision}" if inference.device else ""
    return f"{sum(steps.values()):.0f} ms{f' ({parts})' if parts else ''}{where}"


def timed_decode(inference: PoseInference, settings: PoseSettings) -> tuple[Poses, float]:
    """``decode`` and the milliseconds it took."""
    started = perf_counter()
    poses = decode(inference, settings)
    return poses, (perf_counter() - started) * 1e3
