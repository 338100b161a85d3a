"""Writing H.264 in yuv420p, the one kind of MP4 that every browser plays, with the index in front (faststart)."""

from __future__ import annotations

import contextlib
import math
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from cvdemo.core.errors import Cancelled, InputError, ResourceError
from cvdemo.core.files import explain, written_whole

_TICKS = 90_000
"""Ticks a second of the time stamps, enough for 24, 25, 29.97, 30 and 60 frames a second and for variable rates."""

_ITU709, _LIMITED_RANGE = 1, 1
_MAX_SIDE = 16_384


class VideoWriter:
    """Writes frames to an MP4 file that appears complete or not at all.

    Use it as a context manager; leaving it by an exception removes what was written.

    Args:
        path: must end in .mp4; an existing file is replaced at the end.
        fps: frames a second, more than 0 and at most 1000.
        size: (width, height) of the frames handed in.  H.264 needs even sizes: a missing row or column is made by
            repeating the last one.
        quality: constant rate factor of x264, 0 (lossless) to 51; 20 is hard to tell from the original.

    Errors: `InputError` for values or places that cannot be used, `ResourceError` when the disk is full.
    """

    def __init__(
        self, path: str | os.PathLike[str], fps: float, size: tuple[int, int], *, quality: float = 20.0
    ) -> None:
        self._path = Path(path)
        width, height = size
        if self._path.suffix.lower() != ".mp4":
            raise InputError(f"Videos are written as MP4, not as {self._path.name}.", hint="Let its name end in .mp4.")
        if not (math.isfinite(fps) and 0 < fps <= 1000):
            raise InputError(f"{fps} frames a second cannot be written.", hint="Use a rate between 0 and 1000.")
        if not (1 <= width <= _MAX_SIDE and 1 <= height <= _MAX_SIDE):
            raise InputError(
                f"A video of {width} x {height} pixels cannot be written.", hint=f"Use sides from 1 to {_MAX_SIDE}."
            )
        self.fps, self.size, self.frames = float(fps), (width, height), 0
        self._padded = width + width % 2, height + height % 2
        self._quality = quality
        self._last = -1
        self._files = contextlib.ExitStack()
        self._container: Any = None

    def __enter__(self) -> VideoWriter:
        self._part = self._files.enter_context(written_whole(self._path))
        try:
            self._container = av.open(
                str(self._part), mode="w", format="mp4", container_options={"movflags": "+faststart"}
            )
            rate = Fraction(self.fps).limit_denominator(1001)
            stream = self._container.add_stream(
                "libx264", rate=rate, options={"preset": "veryfast", "crf": str(self._quality)}
            )
            stream.width, stream.height = self._padded
            stream.pix_fmt = "yuv420p"
            context = stream.codec_context
            context.time_base = Fraction(1, _TICKS)
            # Said in the file, because players guess differently for untagged colours.
            context.colorspace = context.color_primaries = context.color_trc = _ITU709
            context.color_range = _LIMITED_RANGE
        except BaseException as error:
            self._discard()
            if isinstance(error, (OSError, av.FFmpegError)):
                raise explain(error, self._path, "written") from error
            raise
        self._stream, self._reformatter = stream, VideoReformatter()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._discard()
            return
        try:
            if self.frames == 0:
                raise InputError(f"{self._path.name} would be a video without frames.", hint="Write at least one.")
            self._mux(None)
            self._container.close()
            self._container = None
            self._verify()
        except BaseException as failure:
            self._discard()
            if isinstance(failure, (OSError, av.FFmpegError)):
                raise explain(failure, self._path, "written") from failure
            raise
        self._files.close()

    def write(self, pixels: np.ndarray, time: float | None = None) -> None:
        """Append a frame.

        Args:
            pixels: (height, width, 3) uint8 RGB of the size given at the start.
            time: seconds from the beginning, increasing; if not given, frames follow each other at `fps`.
        """
        width, height = self.size
        if self._container is None:
            raise InputError("The video is not open for writing.", hint="Use the writer in a with statement.")
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape != (height, width, 3):
            found = f"{getattr(pixels, 'dtype', type(pixels).__name__)} {getattr(pixels, 'shape', '')}".strip()
            raise InputError(
                f"Frame {self.frames} is {found}; expected uint8 ({height}, {width}, 3).",
                hint="Convert every frame to RGB of one size.",
            )
        if self._padded != self.size:
            pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        ticks = round((self.frames / self.fps if time is None else time) * _TICKS)
        frame = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24"),
            format="yuv420p",
            dst_colorspace=_ITU709,
            dst_color_range=_LIMITED_RANGE,
        )
        frame.pts = self._last = max(ticks, self._last + 1)
        frame.time_base = Fraction(1, _TICKS)
        frame.duration = max(1, round(_TICKS / self.fps))
        try:
            self._mux(frame)
        except (OSError, av.FFmpegError, MemoryError) as error:
            raise explain(error, self._path, "written") from error
        self.frames += 1

    def _mux(self, frame: Any) -> None:
        for packet in self._stream.encode(frame):
            self._container.mux(packet)

    def _verify(self) -> None:
        # The last bytes go out while closing, where a full disk is not reported by every version of the library.
        try:
            with av.open(str(self._part), mode="r") as container:
                found = container.streams.video[0].frames
        except (av.FFmpegError, IndexError):
            found = 0
        if found != self.frames:
            raise ResourceError(
                f"{self._path.name} could not be written completely.", hint="Check the free space on the disk."
            )

    def _discard(self) -> None:
        if self._container is not None:
            with contextlib.suppress(av.FFmpegError, OSError):
                self._container.close()
            self._container = None
        with contextlib.suppress(Cancelled), self._files:  # leaving it by an exception removes the partial file
            raise Cancelled
