"""Opening a video safely, and what it declares before its frames are read."""

from __future__ import annotations

import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from cvdemo.core.errors import InputError
from cvdemo.core.picture_formats import HEAD_BYTES, VIDEOS, refusal, sniff
from cvdemo.core.samples import Pixels

# Playlists and image sequences are left out on purpose: they make the demuxer open other files and addresses.
_DEMUXERS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,yuv4mpegpipe,gif"


@dataclass(frozen=True)
class VideoLimits:
    """What a video may ask of this machine.

    Attributes:
        max_seconds: longest part that is read.
        max_frames: most frames handed out (after the stride).
        max_pixels: most pixels a frame may have (the default admits 8K).
    """

    max_seconds: float = 600.0
    max_frames: int = 20_000
    max_pixels: int = 36_000_000


DEFAULT_LIMITS = VideoLimits()
ONLY_PIXELS = VideoLimits(math.inf, 1 << 62)


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video.

    Attributes:
        width, height: pixels of an upright frame with square pixels.
        fps: average frames a second.
        frames: as declared by the file, None where it does not say.
        duration: seconds, as declared; None where the file does not say.
        codec: short name, e.g. "h264".
        rotation: clockwise degrees (0, 90, 180, 270) by which frames are turned to stand upright; already applied.
        notes: remarks for the user.
        damaged: some of the frames could not be read.
    """

    width: int
    height: int
    fps: float
    frames: int | None
    duration: float | None
    codec: str
    rotation: int = 0
    notes: tuple[str, ...] = ()
    damaged: bool = False


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame: `index` counts the source's frames from the start of reading, `time` is in seconds from the beginning
    of the video, `pixels` is (height, width, 3) uint8 RGB, contiguous and owned by the caller."""

    index: int
    time: float
    pixels: Pixels


def open_video(path: Path) -> Any:
    with path.open("rb") as file:
        kind = sniff(file.read(HEAD_BYTES))
    if kind not in VIDEOS and kind != "gif":
        raise refusal(kind, path.name, wanted="video")
    try:
        return av.open(
            str(path),
            mode="r",
            metadata_errors="replace",
            container_options={"format_whitelist": _DEMUXERS, "protocol_whitelist": "file"},
        )
    except (av.FFmpegError, ValueError) as error:
        if kind == "mp4" and not has_index(path):
            raise InputError(
                f"{path.name} is cut short: the index (moov) at its end is missing, so nothing of it can be played.",
                hint="Copy or download it again.",
            ) from error
        raise InputError(
            f"{path.name} is damaged and cannot be opened as a video.", hint="Record, export or download it again."
        ) from error


def picture_track(container: Any, name: str) -> Any:
    for stream in container.streams.video:
        if "attached_pic" not in str(stream.disposition):  # the cover of a song
            if stream.codec_context is None:
                raise InputError(f"{name} uses a codec without a decoder here.", hint="Export it as H.264 MP4.")
            stream.thread_type = "AUTO"
            return stream
    if len(container.streams) == 0:
        raise InputError(
            f"{name} holds neither pictures nor sound: it is damaged or was never finished.", hint="Record it again."
        )
    raise InputError(f"{name} has no picture track (sound only).", hint="Choose a file with pictures.")


def display_orientation(frame: Any) -> int:
    """EXIF orientation 1..8 equal to the display matrix of a frame (x' = a x + c y, y' = b x + d y)."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 1
    a, b, _, c, d = struct.unpack_from("<5i" if struct.pack("=i", 1)[0] else ">5i", bytes(data))
    if abs(a) >= abs(c):
        return {(False, False): 1, (True, False): 2, (True, True): 3, (False, True): 4}[a < 0, d < 0]
    return {(False, False): 5, (True, False): 6, (True, True): 7, (False, True): 8}[c < 0, b < 0]


def has_index(path: Path) -> bool:
    """Whether an MP4 or MOV file has its index, the box "moov" (ISO/IEC 14496-12), at the top level."""
    with path.open("rb") as file:
        while len(head := file.read(8)) == 8:
            size, kind = struct.unpack(">I4s", head)
            if kind == b"moov":
                return True
            if size == 1:
                size = int.from_bytes(file.read(8), "big") - 8
            if size < 8:
                return False
            file.seek(size - 8, os.SEEK_CUR)
    return False
