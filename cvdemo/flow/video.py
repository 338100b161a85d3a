"""Flow through a video: each frame against the next one, drawn in one colour code throughout."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from cvdemo.core.engine import Engine
from cvdemo.core.errors import InputError
from cvdemo.core.files import existing_file
from cvdemo.flow.colour import robust_maximum
from cvdemo.flow.predict import FlowField, FlowSettings, decode, draw, infer

if TYPE_CHECKING:
    from cvdemo.core.video import Frame, VideoInfo

MAX_SIDE = 640  # frames are shrunk to this: a field of every frame at full size would take minutes of a short clip
HEADROOM = 1.5


@dataclass(frozen=True, eq=False)
class FlowVideo:
    """A written video: path, facts, the maximum of its colour code, and the figures of each pair of frames.

    rows: {"frame", "time", "mean", "median", "p95", "maximum", "direction", "coherence", "moving"} per pair.
    """

    path: Path
    info: VideoInfo
    maximum: float
    rows: list[dict[str, Any]]
    model: str
    seconds: float

    def sentence(self) -> str:
        """How many pairs there were and how much moved."""
        means = [row["mean"] for row in self.rows]
        fastest = max(self.rows, key=lambda row: row["mean"])
        return (
            f"{len(means)} pairs of frames, mean motion {float(np.mean(means)):.1f} px a frame, most at "
            f"{fastest['time']:.1f} s ({fastest['mean']:.1f} px)"
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"model": self.model, "maximum": self.maximum, "pairs": self.rows, "sentence": self.sentence()}


def annotate(
    source: str | Path,
    target: str | Path,
    model: str,
    settings: FlowSettings,
    *,
    engine: Engine | None = None,
    stride: int = 1,
    user: str = "",
    progress: Callable[[float, str], None] | None = None,
    preview: Callable[[np.ndarray, str], None] | None = None,
    each: Callable[[int, FlowField], None] | None = None,
    cancel: threading.Event | None = None,
) -> FlowVideo:
    """Write ``target`` (.mp4, H.264) with the flow from each ``stride``-th frame to the next drawn in.

    Frame n shows the flow from frame n - 1 to it, the first frame none. Without a maximum in the settings the first
    pair's, with half as much again, holds for the whole clip, so that colours can be compared.

    preview: given each drawn frame and its sentence.   each: given the number of each pair and its field.
    Errors as in ``core.video.transform_video`` and ``predict.infer``; InputError for a video of one frame.
    """
    source, target = existing_file(source), Path(target)
    before: np.ndarray | None = None
    chosen, rows, started = settings, [], perf_counter()

    def work(frame: Frame) -> np.ndarray:
        nonlocal before, chosen
        if before is None:
            before = frame.pixels
            return frame.pixels
        inference = infer(
            before, frame.pixels, model, engine, iterations=settings.iterations,
            variational=settings.variational, user=user, cancel=cancel,
            backward=settings.view == "occlusion" or settings.show_occlusion,
        )  # fmt: skip
        field = decode(inference, settings)
        if not chosen.maximum:
            chosen = replace(chosen, maximum=min(200.0, HEADROOM * robust_maximum(field.flow)))
        rows.append({"frame": frame.index, "time": round(frame.time, 4), **field.statistics.to_dict()})
        if each is not None:
            each(len(rows) - 1, field)
        drawn = draw(before, field, chosen)
        before = frame.pixels
        if preview is not None:
            preview(drawn, field.sentence())
        return drawn

    from cvdemo.core.video import transform_video  # PyAV is 19 MB that only a video needs

    info = transform_video(source, target, work, progress=progress, cancel=cancel, stride=stride, max_side=MAX_SIDE)
    if not rows:
        target.unlink(missing_ok=True)
        raise InputError(f"{source.name} has a single frame; motion needs two.", hint="Use a longer video.")
    return FlowVideo(target, info, chosen.maximum, rows, model, perf_counter() - started)
