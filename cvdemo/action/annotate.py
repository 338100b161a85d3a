"""An annotated video: every frame with the actions of its moment drawn in. The network has run already."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cvdemo.action.predict import Actions, ActionSettings, draw, of_probabilities
from cvdemo.action.timeline import RawTimeline, decode_timeline
from cvdemo.core.context import ProgressFn

if TYPE_CHECKING:
    from cvdemo.core.video import Frame, VideoInfo

MAX_SIDE = 960


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
    source: Path,
    target: Path,
    raw: RawTimeline,
    settings: ActionSettings,
    *,
    progress: ProgressFn | None = None,
    preview: Callable[[np.ndarray, str], None] | None = None,
    cancel: threading.Event | None = None,
) -> VideoInfo:
    """Write ``target`` (.mp4, H.264) from the file that ``raw`` was made of. ``preview`` is given frame and sentence.

    Errors as in ``core.video.transform_video``.
    """
    from cvdemo.core.video import transform_video  # PyAV is 19 MB that only a video needs

    line = decode_timeline(raw, settings)

    def actions_at(time: float) -> Actions:
        return of_probabilities(at_time(line.times, line.probabilities, time), raw.raws[raw.at(time)], settings)

    def work(frame: Frame) -> np.ndarray:
        actions = actions_at(frame.time)
        drawn = draw(frame.pixels, actions, settings)
        if preview is not None:
            preview(drawn, actions.sentence())
        return drawn

    return transform_video(source, target, work, progress=progress, cancel=cancel, max_side=MAX_SIDE)
