"""Reading videos with PyAV: frames as upright (height, width, 3) uint8 RGB with their times, whatever the container.

Done here once: display rotation and mirroring, non-square pixels, variable frame rate, seeking, limits, and damaged
files, of which everything readable is given before a note says what is missing.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.files import existing_file, explain
from cvdemo.core.samples import Pixels, turn
from cvdemo.core.video_file import (
    DEFAULT_LIMITS,
    ONLY_PIXELS,
    Frame,
    VideoInfo,
    VideoLimits,
    display_orientation,
    open_video,
    picture_track,
)

_DEGREES = {1: 0, 2: 0, 3: 180, 4: 180, 5: 90, 6: 90, 7: 270, 8: 270}
_FAILURES = (av.FFmpegError, OSError, MemoryError, ValueError)
_ITU709, _ITU601 = 1, 5
_COLOUR_MATRICES = {1: _ITU709, 4: 4, 5: _ITU601, 6: _ITU601, 7: 7, 9: 9, 10: 9}


def probe_video(path: str | os.PathLike[str]) -> VideoInfo:
    """What a video says of itself.  Its first frame is decoded, so a file that gets through can be read.

    Errors: `InputError` naming the file and the remedy.
    """
    with FrameReader(path, limits=ONLY_PIXELS) as reader:
        return reader.info


def read_frames(
    path: str | os.PathLike[str],
    *,
    start: float = 0.0,
    stop: float | None = None,
    stride: int = 1,
    max_side: int | None = None,
    limits: VideoLimits = DEFAULT_LIMITS,
) -> FrameReader:
    """Iterate over the frames whose time t satisfies start <= t < stop (seconds).

    Args:
        start, stop: the part to read; found by seeking, not by decoding everything before it.
        stride: 1 for every frame, 2 for every other, and so on.
        max_side: frames whose longer side is larger are scaled down to it.
        limits: a video that declares more is refused; one that does not declare it is cut there, with a note.

    Returns: an iterator of `Frame` that is also a context manager and closes the file at its end.

    Errors: `InputError` on the call for a file, part or size that cannot be read.  Damage further on ends the iteration
    and is told by the iterator's `damaged` and `notes`.
    """
    return FrameReader(path, start=start, stop=stop, stride=stride, max_side=max_side, limits=limits)


class FrameReader(Iterator[Frame]):
    """The iterator behind `read_frames`.

    One reader belongs to one thread at a time; any number of readers may read the same file at once.

    Attributes:
        info: the `VideoInfo`, with the remarks made so far.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        start: float = 0.0,
        stop: float | None = None,
        stride: int = 1,
        max_side: int | None = None,
        limits: VideoLimits = DEFAULT_LIMITS,
    ) -> None:
        self._path = existing_file(path)
        self._name = self._path.name
        self._start, self._stop, self._stride, self._limits = float(start), stop, stride, limits
        self._check_arguments(max_side)
        self._notes: list[str] = []
        self._damaged = False
        self._bad_packets = 0
        try:
            self._container: Any = open_video(self._path)
        except (OSError, MemoryError) as error:
            raise explain(error, self._path, "read") from error
        try:
            self._stream = picture_track(self._container, self._name)
            context = self._stream.codec_context
            self._check_pixels(context.width, context.height)
            self._decoded: Iterator[Any] = self._decode()
            first = next(self._decoded, None)
            if first is None:
                raise InputError(
                    f"{self._name} contains no frame that can be decoded.", hint="Record, export or download it again."
                )
            self._check_pixels(first.width, first.height)
            self._origin = first.time or 0.0
            self._reformatter = VideoReformatter()
            self._info = self._describe(first, max_side)
            self._check_limits()
            self._frames: Iterator[Frame] = self._produce(first)
        except BaseException as error:
            self.close()
            if isinstance(error, _FAILURES):
                raise explain(error, self._path, "read") from error
            raise

    @property
    def info(self) -> VideoInfo:
        return replace(self._info, notes=tuple(self._notes), damaged=self._damaged)

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks for the user, complete when the iteration has ended."""
        return tuple(self._notes)

    @property
    def damaged(self) -> bool:
        """Whether frames were missing or broken; known for certain when the iteration has ended."""
        return self._damaged

    def __next__(self) -> Frame:
        try:
            return next(self._frames)
        except StopIteration:
            self.close()
            raise
        except CvDemoError:
            self.close()
            raise
        except _FAILURES as error:
            self.close()
            raise explain(error, self._path, "read") from error

    def __enter__(self) -> FrameReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file; the iterator is exhausted afterwards.  May be called again."""
        self._frames = iter(())
        self._decoded = iter(())
        with contextlib.suppress(av.FFmpegError):
            self._container.close()

    def _check_arguments(self, max_side: int | None) -> None:
        if not (math.isfinite(self._start) and self._start >= 0):
            raise InputError(f"The start {self._start} s is not a time.", hint="Give seconds, 0 or more.")
        if self._stop is not None and not self._stop > self._start:
            raise InputError(
                f"The part from {self._start:g} s to {self._stop:g} s is empty.", hint="Choose a stop after the start."
            )
        if self._stride < 1 or (max_side is not None and max_side < 1):
            raise InputError("The stride and the largest side must be 1 or more.", hint="Correct the settings.")

    def _check_pixels(self, width: int, height: int) -> None:
        if width * height > self._limits.max_pixels:
            raise InputError(
                f"{self._name} has frames of {width} x {height} pixels; at most "
                f"{self._limits.max_pixels / 1e6:g} million pixels are decoded.",
                hint="Export it smaller.",
            )

    def _describe(self, first: Any, max_side: int | None) -> VideoInfo:
        stream = self._stream
        self._orientation = display_orientation(first)
        width, height = first.width, first.height
        aspect = stream.sample_aspect_ratio
        if aspect and 0.1 < aspect < 10:
            width = max(1, round(width * aspect))
        scale = min(1.0, max_side / max(width, height)) if max_side else 1.0
        self._size = max(1, round(width * scale)), max(1, round(height * scale))
        if self._orientation >= 5:
            width, height = height, width
        rate = stream.average_rate or stream.guessed_rate or stream.base_rate
        duration = None
        if stream.duration and stream.duration > 0:
            duration = float(stream.duration * stream.time_base)
        elif self._container.duration and self._container.duration > 0:
            duration = self._container.duration / av.time_base
        return VideoInfo(
            width=width,
            height=height,
            fps=float(rate) if rate and rate > 0 else 25.0,
            frames=stream.frames or None,
            duration=duration,
            codec=stream.codec_context.name,
            rotation=_DEGREES[self._orientation],
        )

    def _check_limits(self) -> None:
        duration, limits = self._info.duration, self._limits
        if duration is None:
            return
        if self._start > 0 and self._start >= duration:
            raise InputError(
                f"{self._name} lasts {duration:.1f} s; there is nothing at {self._start:g} s.", hint="Start earlier."
            )
        seconds = min(self._stop or duration, duration) - self._start
        if seconds > limits.max_seconds:
            raise InputError(
                f"{self._name} lasts {seconds:.0f} s; at most {limits.max_seconds:g} s are processed.",
                hint="Cut it, or choose a shorter part.",
            )
        frames = math.ceil(seconds * self._info.fps / self._stride - 0.5)
        if frames > limits.max_frames:
            raise InputError(
                f"{self._name} has about {frames} frames to process; at most {limits.max_frames} are.",
                hint=f"Cut it, or use a stride of {math.ceil(frames * self._stride / limits.max_frames)} or more.",
            )

    def _decode(self) -> Iterator[Any]:
        """Every frame that comes out, in display order, stepping over broken packets."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.FFmpegError, ValueError):
                self._bad_packets += 1
                packet = None  # what the file still holds cannot be reached; the decoder may hold frames
            try:
                yield from self._stream.decode(packet)
            except (av.FFmpegError, ValueError):
                self._bad_packets += packet is not None
            if packet is None:
                return

    def _time(self, frame: Any, count: int) -> float:
        return count / self._info.fps if frame.time is None else max(0.0, frame.time - self._origin)

    def _seek(self, first: Any) -> Iterator[Any]:
        """Decoded frames from a key frame at or before the start."""
        yield_first: Iterator[Any] = iter((first,))
        if self._start <= 0 or first.time is None:
            return _chain(yield_first, self._decoded)
        # Some containers land behind the wanted time; then begin earlier, at last from the very beginning.
        for before in (0.0, 5.0, self._start):
            wanted = self._origin + max(0.0, self._start - before)
            try:
                self._container.seek(int(wanted / self._stream.time_base), stream=self._stream)
            except av.FFmpegError:
                break
            self._decoded = self._decode()
            landed = next(self._decoded, None)
            if landed is not None and (self._time(landed, 0) <= self._start or before == self._start):
                return _chain(iter((landed,)), self._decoded)
        self._container.close()
        self._container = open_video(self._path)
        self._stream = picture_track(self._container, self._name)
        self._decoded = self._decode()
        return self._decoded

    def _produce(self, first: Any) -> Iterator[Frame]:
        index = given = broken = 0
        last = end = -1.0
        for count, frame in enumerate(self._seek(first)):
            time = max(self._time(frame, count), last)
            if time < self._start - 1e-6:
                continue
            if self._stop is not None and time >= self._stop:
                return self._note_damage(broken, None, 0)
            if time - self._start > self._limits.max_seconds or given >= self._limits.max_frames:
                self._notes.append(f"stopped at {time:.1f} s, the longest part that is processed")
                return self._note_damage(broken, None, 0)
            last, end = time, time + float((frame.duration or 0) * self._stream.time_base)
            broken += frame.is_corrupt
            if index % self._stride == 0:
                given += 1
                yield Frame(index, time, self._upright(frame))
            index += 1
        if index == 0:
            raise InputError(
                f"{self._name} has no frame after {self._start:g} s.", hint="Start earlier, or check the file."
            )
        self._note_damage(broken, max(end, last + 1 / self._info.fps), index)

    def _note_damage(self, broken: int, end: float | None, count: int) -> None:
        """Called when nothing more is read; `end` is the time reached, None when reading stopped on purpose."""
        declared = self._info.frames
        if end is not None and declared and self._start == 0:
            short = count < declared - max(2, declared // 100)
        else:
            # Where only the container's duration is known it may be that of the sound.
            known = self._stream.duration is not None or len(self._container.streams) == 1
            duration = self._info.duration
            short = bool(end is not None and known and duration and end < duration - max(0.5, 3 / self._info.fps))
        if short:
            of = f" of {self._info.duration:.1f} s" if self._info.duration else ""
            self._notes.append(f"the file is damaged: it could be read up to {end:.1f} s{of}")
        elif self._bad_packets or broken:
            self._notes.append("parts of the file are damaged: some frames are missing or show errors")
        self._damaged = bool(short or self._bad_packets or broken)

    def _upright(self, frame: Any) -> Pixels:
        width, height = self._size
        alpha = any(component.is_alpha for component in frame.format.components)
        # Players take BT.709 for untagged material in HD and BT.601 below.
        matrix = _COLOUR_MATRICES.get(frame.colorspace, _ITU709 if frame.height >= 720 else _ITU601)
        shrinks = width < frame.width or height < frame.height
        converted = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="rgba" if alpha else "rgb24",
            src_colorspace=matrix,
            interpolation="AREA" if shrinks else "BICUBIC",
        )
        pixels = converted.to_ndarray()
        if alpha:
            weight = pixels[:, :, 3:].astype(np.uint16)
            mixed = (pixels[:, :, :3] * weight + 255 * (255 - weight) + 127) // 255
            pixels = mixed.astype(np.uint8)
        return np.ascontiguousarray(turn(pixels, self._orientation))


def _chain(*parts: Iterator[Any]) -> Iterator[Any]:
    for part in parts:
        yield from part
