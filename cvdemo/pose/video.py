"""Pose on a video file: the network runs once per frame, other settings only redraw."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from cvdemo.core.engine import Engine
from cvdemo.core.files import existing_file
from cvdemo.detection.video import track_key
from cvdemo.pose.angles import AngleSeries
from cvdemo.pose.heatmaps import DECODE_KINDS
from cvdemo.pose.poses import Poses
from cvdemo.pose.predict import OWN_DECODE, PEOPLE_FLOOR, PoseInference, PoseSettings, decode, draw, infer
from cvdemo.pose.tracks import PoseTracks

if TYPE_CHECKING:
    from cvdemo.core.video import Frame, VideoInfo

MAX_SIDE = 1280  # frames are shrunk to this before drawing: larger ones cost more to encode than to look at
MOST_PEOPLE = 30  # of one frame


@dataclass(eq=False)
class PoseTrack:
    """What the network said about each frame of one file; filled while the video is analysed, reused afterwards.

    Of the heatmaps, a megabyte for five people, only the joints are kept, by kind of decoding (see ``lighten``).
    """

    key: tuple[str, str, int]
    frames: dict[int, dict[str, PoseInference]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class PoseVideo:
    """A written video: path, facts, (time, poses) of every frame, angles, the track for redrawing, and the effort."""

    path: Path
    info: VideoInfo
    frames: list[tuple[int, float, Poses]]
    angles: AngleSeries
    track: PoseTrack
    network_runs: int
    seconds: float

    def sentence(self) -> str:
        """How many frames and people there were."""
        most = max((len(poses) for *_, poses in self.frames), default=0)
        return f"{len(self.frames)} frames; at most {most} {'person' if most == 1 else 'people'} at once"

    def to_csv(self) -> str:
        """Per-frame joint angles, see ``AngleSeries.to_csv``."""
        return self.angles.to_csv()


def lighten(inference: PoseInference) -> dict[str, PoseInference]:
    """By kind of decoding, the inference with its joints instead of its heatmaps: videos stay small in memory."""
    raw = inference.raw
    everything = PoseSettings(joint_threshold=0.0, box_threshold=PEOPLE_FLOOR, max_people=MOST_PEOPLE)
    if raw.heatmaps is None:
        return dict.fromkeys((*DECODE_KINDS, OWN_DECODE), inference)
    light: dict[str, PoseInference] = {}
    for kind in (*DECODE_KINDS, OWN_DECODE):
        poses = decode(raw, replace(everything, decode=kind))
        slim = replace(
            raw,
            boxes=poses.boxes,
            box_scores=poses.box_scores,
            regions=raw.regions[poses.rows],
            heatmaps=None,
            keypoints=poses.keypoints[..., :2].astype(np.float32),
            scores=poses.keypoints[..., 2].astype(np.float32),
            logits=False,
            stages_extra={},
        )
        light[kind] = replace(inference, raw=slim)
    return light


def annotate(
    source: str | Path,
    target: str | Path,
    model: str,
    settings: PoseSettings,
    *,
    engine: Engine | None = None,
    track: PoseTrack | None = None,
    stride: int = 1,
    user: str = "",
    progress: Callable[[float, str], None] | None = None,
    preview: Callable[[np.ndarray, str], None] | None = None,
    cancel: threading.Event | None = None,
) -> PoseVideo:
    """Write ``target`` (.mp4, H.264) with the people of every ``stride``-th frame drawn in, each followed over time.

    A ``track`` of the same file, model and stride saves the network. ``preview`` is given each drawn frame and its
    sentence. Errors as in ``core.video.transform_video`` and ``predict.infer``.
    """
    source, target = existing_file(source), Path(target)
    key = track_key(source, model, stride)
    if track is None or track.key != key:
        track = PoseTrack(key)
    angles, tracks, runs, started = AngleSeries(), PoseTracks(), 0, perf_counter()
    frames: list[tuple[int, float, Poses]] = []

    def work(frame: Frame) -> np.ndarray:
        nonlocal runs
        kept = track.frames.get(frame.index)
        if kept is None:
            kept = lighten(infer(frame.pixels, model, engine, most=MOST_PEOPLE, user=user, cancel=cancel))
            track.frames[frame.index] = kept
            runs += 1
        poses = tracks.update(decode(kept[settings.decode], settings), frame.time, settings.smoothing)
        angles.add(frame.time, poses)
        frames.append((frame.index, frame.time, poses))
        drawn = draw(frame.pixels, poses, settings, tracks.trails())
        if preview is not None:
            preview(drawn, poses.sentence())
        return drawn

    from cvdemo.core.video import transform_video  # PyAV is 19 MB that only a video needs

    info = transform_video(
        source, target, work, progress=progress, cancel=cancel, stride=stride, max_side=MAX_SIDE
    )  # fmt: skip
    return PoseVideo(target, info, frames, angles, track, runs, perf_counter() - started)
