"""Video in, video out: the names to import, and the loop that puts a function between a reader and a writer."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from cvdemo.core.errors import Cancelled, InputError
from cvdemo.core.video_file import DEFAULT_LIMITS, Frame, VideoInfo, VideoLimits
from cvdemo.core.video_reader import FrameReader, probe_video, read_frames
from cvdemo.core.video_writer import VideoWriter

__all__ = [
    "DEFAULT_LIMITS",
    "Frame",
    "FrameReader",
    "VideoInfo",
    "VideoLimits",
    "VideoWriter",
    "probe_video",
    "read_frames",
    "transform_video",
]

Progress = Callable[[float, str], None]


def transform_video(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    fn: Callable[[Frame], np.ndarray],
    *,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
    stride: int = 1,
    max_side: int | None = None,
    limits: VideoLimits = DEFAULT_LIMITS,
    start: float = 0.0,
    stop: float | None = None,
) -> VideoInfo:
    """Apply `fn` to the frames of a video and write what it returns as H.264 MP4.  The sound is not kept.

    Args:
        source, target: `target` ends in .mp4, may equal `source`, and appears complete or not at all.
        fn: takes a `Frame`, returns (h, w, 3) uint8 RGB; the size of the first one holds for all.
        progress: called after each frame with the fraction done (0..1) and a few words.
        cancel: when set, the work stops before the next frame with `Cancelled`.
        stride, max_side, limits, start, stop: as in `read_frames`.  Frames keep their times, so the pace is unchanged.

    Returns: the `VideoInfo` of the written file; `damaged` and `notes` say what could not be read of the source.

    Errors: `InputError`, `ResourceError`, `Cancelled`, and whatever `fn` raises; `target` is then left as it was.
    """
    written = 0
    with (
        read_frames(source, start=start, stop=stop, stride=stride, max_side=max_side, limits=limits) as reader,
        contextlib.ExitStack() as output,
    ):
        writer: VideoWriter | None = None
        info = reader.info
        end = min(stop or info.duration, info.duration) if info.duration else stop
        expected = max(1, round((end - start) * info.fps / stride)) if end else 0
        for frame in reader:
            _stop_if(cancel)
            pixels = fn(frame)
            if writer is None:
                if not isinstance(pixels, np.ndarray) or pixels.ndim != 3:
                    raise InputError("The function for frames returned no picture.", hint="Return (h, w, 3) uint8.")
                height, width = pixels.shape[:2]
                writer = output.enter_context(VideoWriter(target, min(1000.0, info.fps / stride), (width, height)))
            writer.write(pixels, frame.time - start)
            written += 1
            if progress is not None:
                of = f" of about {max(expected, written)}" if expected else ""
                progress(min(1.0, written / expected) if expected else 0.0, f"frame {written}{of}")
            _stop_if(cancel)
        notes, damaged = reader.notes, reader.damaged
    return replace(probe_video(target), notes=notes, damaged=damaged)


def _stop_if(cancel: threading.Event | None) -> None:
    if cancel is not None and cancel.is_set():
        raise Cancelled("The video was stopped.")
