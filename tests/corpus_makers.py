"""Small pictures, hand-written PNG files and clips with known content, for the corpus and for tests of their own."""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def quadrants(height: int = 32, width: int = 48, corners: tuple = (RED, GREEN, BLUE, WHITE)) -> np.ndarray:
    """(height, width, 3) uint8 with a colour in each corner: top left, top right, bottom left, bottom right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    y, x = (height + 1) // 2, (width + 1) // 2
    for corner, (rows, columns) in zip(corners, ((0, 0), (0, 1), (1, 0), (1, 1)), strict=True):
        pixels[slice(y, None) if rows else slice(0, y), slice(x, None) if columns else slice(0, x)] = corner
    return pixels


def png_bytes(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG file written by hand: `rows` holds the samples with a filter byte before each row."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, data) for name, data in chunks)


def rows_of(samples: np.ndarray) -> bytes:
    """Big-endian samples (H, W) or (H, W, C) with PNG's filter byte 0 before each row."""
    return b"".join(b"\0" + row.tobytes() for row in samples.astype(samples.dtype.newbyteorder(">")))


def encoded(pixels: np.ndarray | Image.Image, format: str, **options: Any) -> bytes:
    """A file made by Pillow."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def exif_bytes(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def write_video(
    path: Path,
    *,
    codec: str = "libx264",
    size: tuple[int, int] = (96, 64),
    frames: int = 10,
    rate: int = 10,
    pixel_format: str = "yuv420p",
    rotation: float = 0,
    times: list[float] | None = None,
    flip: bool = False,
    container: str | None = None,
    audio: bool = False,
    gop: int = 5,
    **options: str,
) -> Path:
    """A clip of `quadrants` whose lower right corner has the grey level 10 * frame number."""
    ticks = 1000
    with av.open(str(path), "w", format=container, container_options={"movflags": "+faststart", **options}) as output:
        stream: Any = None
        if frames or not audio:
            stream = output.add_stream(codec, rate=rate)
            stream.width, stream.height, stream.pix_fmt = *size, pixel_format
            stream.codec_context.gop_size = gop
            stream.codec_context.time_base = Fraction(1, ticks) if times else Fraction(1, rate)
            if rotation or flip:
                stream.set_display_rotation(rotation, hflip=flip)
        sound: Any = output.add_stream("aac", rate=16000) if audio else None
        output.start_encoding()
        for i in range(frames):
            level = (10 * i) % 256
            frame = av.VideoFrame.from_ndarray(quadrants(size[1], size[0], (RED, GREEN, BLUE, (level,) * 3)), "rgb24")
            frame.pts = round(times[i] * ticks) if times else i
            frame.time_base = stream.codec_context.time_base
            output.mux(stream.encode(frame))
        if frames:
            output.mux(stream.encode(None))
        if audio:
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            samples.sample_rate = 16000
            output.mux(sound.encode(samples))
            output.mux(sound.encode(None))
    return path


def numbered_clip(path: Path) -> Path:
    """Two seconds, 20 frames a second, a key frame every 5; the lower right corner has the grey level 6 * number."""
    with av.open(str(path), "w", container_options={"movflags": "+faststart"}) as output:
        stream = output.add_stream("libx264", rate=20, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.gop_size = 5
        for i in range(40):
            pixels = quadrants(64, 96, (RED, GREEN, BLUE, (6 * i,) * 3))
            output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        output.mux(stream.encode(None))
    return path


def number_of(pixels: np.ndarray) -> int:
    """Which frame of `numbered_clip` this is."""
    return round(float(pixels[-16:-4, -16:-4].mean()) / 6)
