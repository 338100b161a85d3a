"""A video with the actions drawn into every frame."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from cvdemo.action.predict import ActionSettings, draw, of_probabilities
from cvdemo.action.timeline import RawTimeline, decode_timeline

if TYPE_CHECKING:
    from cvdemo.core.video_file import Frame, VideoInfo

MAX_SIDE = 1280


def at_time(times: np.ndarray, probabilities: np.ndarray, time: float) -> np.ndarray:
    """(C,) probabilities at a moment: between two windows a mixture, outside those of the first or last window.

    times: (N,) seconds, rising.   probabilities: (N, C).
    """
    after = int(np.searchsorted(times, time))
    if after == 0 or after == len(times):
        return np.asarray(probabilities[min(after, len(times) - 1)])
    before = after - 1
    share = (time - times[before]) / max(times[after] - times[before], 1e-9)
    return np.asarray((1 - share) * probabilities[before] + share * probabilities[after])


def annotate(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    raw: RawTimeline,
    settings: ActionSettings | None = None,
    *,
    progress: Callable[[float, str], None] | None = None,
    preview: Callable[[np.ndarray, str], None] | None = None,
    cancel: threading.Event | None = None,
) -> VideoInfo:
    """Write ``source`` as MP4 with the actions of its moment in each frame; no network is run.

    raw: the timeline of this video.   preview: given each drawn frame and its sentence.
    Only the part that the timeline covers is written.   Errors as in ``transform_video``: ``target`` appears complete
    or not at all.
    """
    from cvdemo.core.video import transform_video

    chosen = settings or ActionSettings()
    curves = decode_timeline(raw, chosen)

    def drawn(frame: Frame) -> np.ndarray:
        probabilities = at_time(curves.times, curves.probabilities, frame.time)
        actions = of_probabilities(probabilities, raw.raws[raw.at(frame.time)], chosen)
        pixels = draw(frame.pixels, actions, chosen)
        if preview is not None:
            preview(pixels, actions.sentence())
        return pixels

    end = float(raw.starts[-1]) + raw.spec.span
    return transform_video(
        source, target, drawn, progress=progress, cancel=cancel, max_side=MAX_SIDE, start=float(raw.starts[0]),
        stop=None if raw.complete and end >= raw.duration else end,
    )  # fmt: skip
