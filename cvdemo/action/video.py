"""A video with the actions drawn into every frame."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import numpy as np

from cvdemo.action.predict import ActionSettings, draw
from cvdemo.action.timeline import RawTimeline, decode_timeline
from cvdemo.core.video_file import Frame, VideoInfo

MAX_SIDE = 1280


def annotate(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    raw: RawTimeline,
    settings: ActionSettings | None = None,
    *,
    progress: Callable[[float, str], None] | None = None,
    cancel: threading.Event | None = None,
) -> VideoInfo:
    """Write ``source`` as MP4 with the actions of the nearest window in each frame; no network is run.

    raw: the timeline of this video.   Only the part that the timeline covers is written.   Errors as in
    ``transform_video``: ``target`` appears complete or not at all.
    """
    from cvdemo.core.video import transform_video

    chosen = settings or ActionSettings()
    curves = decode_timeline(raw, chosen)

    def drawn(frame: Frame) -> np.ndarray:
        return draw(frame.pixels, curves.windows[raw.at(frame.time)], chosen)

    end = float(raw.starts[-1]) + raw.spec.span
    return transform_video(
        source, target, drawn, progress=progress, cancel=cancel, max_side=MAX_SIDE, start=float(raw.starts[0]),
        stop=None if raw.complete and end >= raw.duration else end,
    )  # fmt: skip
