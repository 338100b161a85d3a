"""What kind of file is this?  Decided by the first bytes; the suffix only helps where the content says nothing.

Cameras, messengers and browsers put wrong suffixes on files all the time, and a decoder that guesses is an open door,
so the kind is settled here before any library sees the data, and what cannot be decoded is explained by name.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from cvdemo.core.errors import InputError

PICTURES = frozenset({"png", "jpeg", "gif", "webp", "bmp", "tiff", "ico", "avif", "ppm", "jpeg2000"})
VIDEOS = frozenset({"mp4", "matroska", "avi", "mpegts", "mpeg", "flv", "ogg", "asf", "y4m"})
_VIDEO_SUFFIXES = "mp4 m4v mov qt mkv webm avi mpg mpeg ts mts m2ts flv ogv wmv 3gp 3g2 y4m"
_RAW_SUFFIXES = "dng nef cr2 cr3 arw orf rw2 raf pef srw 3fr iiq"
VIDEO_SUFFIXES = frozenset(f".{suffix}" for suffix in _VIDEO_SUFFIXES.split())
RAW_SUFFIXES = frozenset(f".{suffix}" for suffix in _RAW_SUFFIXES.split())
HEAD_BYTES = 4096

_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"II+\x00", "tiff"),
    (b"MM\x00+", "tiff"),
    (b"\x00\x00\x01\x00", "ico"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "jpeg2000"),
    (b"\xff\x4f\xff\x51", "jpeg2000"),
    (b"\xff\x0a", "jpegxl"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "jpegxl"),
    (b"8BPS", "psd"),
    (b"%PDF", "pdf"),
    (b"%!PS", "postscript"),
    (b"PK\x03\x04", "zip"),
    (b"\x1f\x8b", "zip"),
    (b"\x1aE\xdf\xa3", "matroska"),
    (b"\x00\x00\x01\xba", "mpeg"),
    (b"\x00\x00\x01\xb3", "mpeg"),
    (b"FLV\x01", "flv"),
    (b"OggS", "ogg"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
    (b"YUV4MPEG2", "y4m"),
    (b"ID3", "audio"),
    (b"fLaC", "audio"),
)
_BMP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"}

_REMEDIES = {
    "heic": ("an HEIC picture, which only Apple's decoders open", "Export it as JPEG (or set the camera to JPEG)."),
    "jpegxl": ("a JPEG XL picture, for which there is no decoder here", "Export it as PNG or JPEG."),
    "svg": ("an SVG drawing, which has lines instead of pixels", "Export it as PNG."),
    "pdf": ("a PDF document, not a picture", "Export the page as PNG or JPEG, or take a screenshot."),
    "postscript": ("a PostScript document, not a picture", "Export the page as PNG."),
    "psd": ("a Photoshop document", "Export it as PNG or JPEG."),
    "raw": ("a camera's raw file", "Export it as JPEG or PNG with the camera's program."),
    "zip": ("a compressed archive", "Unpack it and choose one of the files in it."),
    "html": ("a web page, not a picture or a video", "Save the picture itself: right-click it, then “Save image as”."),
    "audio": ("a sound file", "Choose a picture or a video."),
    "text": ("a text file", "Choose a picture (JPEG, PNG, WebP, …) or a video (MP4, MOV, WebM, …)."),
    "unknown": (
        "not in a format that is known here",
        "Choose a picture (JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF) or a video (MP4, MOV, MKV, WebM, AVI).",
    ),
}


def sniff(head: bytes) -> str:
    """The kind of file that starts with `head` (4096 bytes are enough).

    One of `PICTURES`, `VIDEOS`, or "heic", "jpegxl", "svg", "pdf", "postscript", "psd", "zip", "html", "audio", "text",
    "empty", "unknown".
    """
    if not head:
        return "empty"
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    if head[:4] == b"RIFF":
        return {b"WEBP": "webp", b"AVI ": "avi", b"WAVE": "audio"}.get(head[8:12], "unknown")
    if head[:2] == b"BM" and len(head) >= 18 and struct.unpack_from("<I", head, 14)[0] in _BMP_HEADERS:
        return "bmp"
    if head[:1] == b"P" and head[1:2] in b"123456f" and head[2:3].isspace():
        return "ppm"
    if head[4:8] in _BOXES:
        return _iso_media(head)
    if head[:1] == b"\x47" and len(head) > 376 and head[188] == 0x47 and head[376] == 0x47:
        return "mpegts"
    if head[:1] == b"\x00" and len(head) > 580 and head[4] == 0x47 and head[196] == 0x47 and head[388] == 0x47:
        return "mpegts"  # the 192-byte packets of camcorders (.mts)
    return _textual(head)


def _iso_media(head: bytes) -> str:
    if head[4:8] != b"ftyp":
        return "mp4"
    length = min(struct.unpack_from(">I", head)[0], len(head))
    brands = [head[8:12], *(head[i : i + 4] for i in range(16, length - 3, 4))]
    if b"avif" in brands or b"avis" in brands:
        return "avif"
    if brands[0] in _HEIC_BRANDS:
        return "heic"
    return "raw" if brands[0] == b"crx " else "mp4"


def _textual(head: bytes) -> str:
    text = head.removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="ignore")
    control = sum(1 for c in text if ord(c) < 32 and c not in "\t\r\n\f")
    if b"\x00" in head or control or len(text.encode()) < 0.9 * len(head) - 8:
        return "unknown"
    start = text.lstrip().lower()
    if "<svg" in start and start.startswith(("<?xml", "<svg", "<!--", "<!doctype svg")):
        return "svg"
    return "html" if start.startswith(("<!doctype html", "<html")) else "text"


def refusal(kind: str, name: str, wanted: str = "picture") -> InputError:
    """The error for a file of a `kind` that is not `wanted` ("picture" or "video") or has no decoder."""
    if kind == "empty":
        return InputError(f"{name} is empty (0 bytes).", hint="Copy or download it again.")
    if kind in VIDEOS and wanted == "picture":
        return InputError(f"{name} is a video, not a picture.", hint="Use the video input.")
    if kind in PICTURES and wanted == "video":
        return InputError(f"{name} is a picture ({kind.upper()}), not a video.", hint="Use the picture input.")
    what, remedy = _REMEDIES.get(kind, _REMEDIES["unknown"])
    return InputError(f"{name} is {what}.", hint=remedy)


def is_video(path: str | os.PathLike[str]) -> bool:
    """Whether a file is to be treated as a video: by its content, or by its suffix where the content says nothing.

    A damaged, empty or missing ``clip.mp4`` counts as a video, so that the error that follows speaks of a video.
    Animated GIF, WebP and PNG count as pictures (their first frame is taken).
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            kind = sniff(file.read(HEAD_BYTES))
    except (OSError, ValueError):
        kind = "unknown"
    if kind in VIDEOS:
        return True
    return kind in ("unknown", "text", "empty") and path.suffix.lower() in VIDEO_SUFFIXES


def largest_in_ico(data: bytes) -> int:
    """The most pixels that any picture inside a Windows icon declares.

    An icon's own directory holds one byte per side, but the PNG inside it may declare anything.
    """
    most, at = 0, data.find(b"\x89PNG\r\n\x1a\n")
    while at >= 0:
        if data[at + 12 : at + 16] == b"IHDR" and len(data) >= at + 24:
            width, height = struct.unpack_from(">II", data, at + 16)
            most = max(most, width * height)
        at = data.find(b"\x89PNG\r\n\x1a\n", at + 8)
    return most
