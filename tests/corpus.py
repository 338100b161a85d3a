"""Makes good-but-odd and broken files, so that tests can throw all of them at whatever reads files.

Every file is made at test time from a few lines; nothing is fetched or stored.  Each case either decodes to the stated
pixels or must end in a `CvDemoError` whose text contains `says`; any other exception is a bug.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageCms

from tests.corpus_makers import BLUE, GREEN, RED, encoded, exif_bytes, png_bytes, quadrants, rows_of, write_video


@dataclass(frozen=True)
class CorpusCase:
    """One file.

    Attributes:
        path: where it is; its stem is a name for the case.  It need not exist.
        kind: what it would be taken for: "picture", "video" or "other" (neither).
        ok: whether it can be decoded.
        says: words that the error message contains, or, where `ok`, one of the notes ("" for no expectation).
        pixels: where `ok`, the expected (H, W, 3) uint8 picture or first frame, or None.
        tolerance: largest allowed difference of a value from `pixels`.
    """

    path: Path
    kind: Literal["picture", "video", "other"]
    ok: bool
    says: str
    pixels: np.ndarray | None = None
    tolerance: int = 0

    def matches(self, pixels: np.ndarray) -> bool:
        """Whether decoded pixels are as expected; of videos without the edges, over which their colours bleed."""
        if self.pixels is None:
            return pixels.ndim == 3 and pixels.size > 0
        if pixels.shape != self.pixels.shape or pixels.dtype != np.uint8:
            return False
        difference = np.abs(pixels.astype(int) - self.pixels).max(axis=2)
        if self.kind == "video":
            r = 4
            flat = np.pad(self.pixels, ((r, r), (r, r), (0, 0)), mode="edge")
            windows = np.lib.stride_tricks.sliding_window_view(flat, (2 * r + 1, 2 * r + 1), axis=(0, 1))
            difference = difference[(windows == self.pixels[..., None, None]).all(axis=(2, 3, 4))]
        return bool((difference <= self.tolerance).all())


def build_corpus(folder: Path) -> list[CorpusCase]:
    """Write all files into `folder` (created if missing) and describe them."""
    folder.mkdir(parents=True, exist_ok=True)
    corpus = _Corpus(folder)
    _sound_pictures(corpus)
    _deep_and_transparent_pictures(corpus)
    _turned_and_animated_pictures(corpus)
    _broken_pictures(corpus)
    _foreign_files(corpus)
    _sound_videos(corpus)
    _broken_videos(corpus)
    return corpus.cases


class _Corpus:
    def __init__(self, folder: Path) -> None:
        self.folder, self.cases = folder, list[CorpusCase]()

    def good(self, name: str, data: bytes, pixels: np.ndarray, tolerance: int = 0, says: str = "") -> None:
        (self.folder / name).write_bytes(data)
        self.cases.append(CorpusCase(self.folder / name, "picture", True, says, pixels, tolerance))

    def bad(self, name: str, data: bytes, says: str, kind: Literal["picture", "video", "other"] = "picture") -> None:
        (self.folder / name).write_bytes(data)
        self.cases.append(CorpusCase(self.folder / name, kind, False, says))

    def clip(self, name: str, says: str = "", pixels: np.ndarray | None = None, **options: Any) -> Path:
        path = write_video(self.folder / name, **options)
        if pixels is None:
            width, height = options.get("size", (96, 64))
            pixels = quadrants(height, width, (RED, GREEN, BLUE, (0, 0, 0)))
        self.cases.append(CorpusCase(path, "video", True, says, pixels, 8))
        return path


def _sound_pictures(corpus: _Corpus) -> None:
    colour = quadrants()
    grey = colour[:, :, 0]
    as_rgb = np.repeat(grey[:, :, None], 3, axis=2)
    sharp = {"quality": 98, "subsampling": 0}
    corpus.good("plain.png", encoded(colour, "PNG"), colour)
    corpus.good("plain.jpg", encoded(colour, "JPEG", **sharp), colour, 4)
    corpus.good("Ünïcode name & 100 %.JPG", encoded(colour, "JPEG", **sharp), colour, 4)
    corpus.good("progressive.jpg", encoded(colour, "JPEG", progressive=True, **sharp), colour, 4)
    corpus.good("lossless.webp", encoded(colour, "WEBP", lossless=True), colour)
    corpus.good("picture.avif", encoded(colour, "AVIF", quality=100, subsampling="4:4:4"), colour, 6)
    corpus.good("windows.bmp", encoded(colour, "BMP"), colour)
    corpus.good("plain.tiff", encoded(colour, "TIFF", compression="tiff_lzw"), colour)
    corpus.good("portable.ppm", encoded(colour, "PPM"), colour)
    corpus.good("jpeg2000.jp2", encoded(colour, "JPEG2000"), colour)
    square = quadrants(32, 32)
    corpus.good("favicon.ico", encoded(square, "ICO", sizes=[(16, 16), (32, 32)]), square)
    corpus.good("png_named.jpg", encoded(colour, "PNG"), colour)
    corpus.good("no_suffix", encoded(colour, "PNG"), colour)
    corpus.good("grey.png", encoded(grey, "PNG"), as_rgb)
    corpus.good("grey.jpg", encoded(grey, "JPEG", quality=98), as_rgb, 4)
    corpus.good("one_bit.png", encoded(Image.fromarray(grey).convert("1"), "PNG"), as_rgb)
    corpus.good(
        "palette.png", encoded(Image.fromarray(colour).convert("P", palette=Image.Palette.ADAPTIVE), "PNG"), colour
    )
    corpus.good("one_pixel.png", encoded(colour[:1, :1], "PNG"), colour[:1, :1])
    column, band = quadrants(5000, 1), quadrants(3, 20000)
    corpus.good("narrow_1x5000.png", encoded(column, "PNG"), column)
    corpus.good("flat_20000x3.png", encoded(band, "PNG"), band)
    ink = Image.fromarray(colour).convert("CMYK")
    adobe = encoded(ink, "JPEG", **sharp)
    corpus.good("cmyk_adobe_inverted.jpg", adobe, colour, 6, "CMYK")
    plain = encoded(Image.fromarray(255 - np.asarray(ink), "CMYK"), "JPEG", **sharp)
    at = plain.index(b"\xff\xee")  # without Adobe's marker the ink values are not inverted
    corpus.good(
        "cmyk_plain.jpg",
        plain[:at] + plain[at + 2 + int.from_bytes(plain[at + 2 : at + 4], "big") :],
        colour,
        6,
        "CMYK",
    )
    corpus.good("cmyk.tiff", encoded(ink, "TIFF"), colour, 0, "CMYK")
    sharp["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    corpus.good("srgb_profile.jpg", encoded(colour, "JPEG", **sharp), colour, 4)
    sharp["icc_profile"] = b"this is not a colour profile" * 8
    corpus.good("broken_profile.jpg", encoded(colour, "JPEG", **sharp), colour, 4, "profile")


def _deep_and_transparent_pictures(corpus: _Corpus) -> None:
    colour = quadrants()
    ramp = np.linspace(0, 65535, 32 * 48).reshape(32, 48)
    expected = np.repeat(np.rint(ramp.astype(np.uint16) / 257.0).astype(np.uint8)[:, :, None], 3, axis=2)
    deep = ramp.astype(np.uint16)
    corpus.good("grey_16bit.png", encoded(Image.fromarray(deep), "PNG"), expected, 0, "16-bit")
    corpus.good("grey_16bit.tiff", encoded(Image.fromarray(deep), "TIFF"), expected, 0, "16-bit")
    header = b"P5\n48 32\n65535\n"
    corpus.good("grey_16bit.pgm", header + deep.astype(">u2").tobytes(), expected, 0, "16-bit")
    rgb16 = np.repeat(deep[:, :, None], 3, axis=2)
    corpus.good("rgb_16bit.png", png_bytes(48, 32, 16, 2, rows_of(rgb16)), expected, 1, "16-bit")
    keyed = deep.copy()
    keyed[:4] = 1234
    shown = expected.copy()
    shown[:4] = 255
    key = (b"tRNS", struct.pack(">H", 1234))
    corpus.good("grey_16bit_with_key.png", png_bytes(48, 32, 16, 0, rows_of(keyed), key), shown, 0, "transparency")
    unit = (ramp / 65535).astype(np.float32)
    of_unit = np.repeat(np.rint(unit * 255).astype(np.uint8)[:, :, None], 3, axis=2)
    corpus.good("float_unit.tiff", encoded(Image.fromarray(unit), "TIFF"), of_unit, 1, "0..1")
    metres = np.float32(-40) + unit * np.float32(1000)
    corpus.good("float_metres.tiff", encoded(Image.fromarray(metres), "TIFF"), of_unit, 1, "stretched")
    hole = unit.copy()
    hole[3, 3] = np.nan
    corpus.bad("float_nan.tiff", encoded(Image.fromarray(hole), "TIFF"), "NaN")
    rgba = np.dstack([colour, np.zeros((32, 48), np.uint8)])
    rgba[:16, :, 3] = 255
    over = colour.copy()
    over[16:] = 255
    corpus.good("alpha_hides_colour.png", encoded(rgba, "PNG"), over, 0, "transparency")
    corpus.good("alpha_hides_colour.webp", encoded(rgba, "WEBP", lossless=True, exact=True), over, 0, "transparency")
    half = np.dstack([np.zeros((32, 48, 3), np.uint8), np.full((32, 48), 128, np.uint8)])
    corpus.good("alpha_half.png", encoded(half, "PNG"), np.full((32, 48, 3), 127, np.uint8), 1, "transparency")
    corpus.good("alpha_opaque.png", encoded(np.dstack([colour, colour[:, :, :1] * 0 + 255]), "PNG"), colour)
    grey_alpha = np.dstack([np.zeros((32, 48), np.uint8), rgba[:, :, 3]])
    black_white = np.repeat(255 - rgba[:, :, 3:], 3, axis=2)
    corpus.good("grey_alpha.png", encoded(Image.fromarray(grey_alpha, "LA"), "PNG"), black_white, 0, "transparency")
    indices = np.zeros((32, 48), np.uint8)
    indices[16:] = 1
    palette = Image.fromarray(indices, "P")
    palette.putpalette([0, 0, 0, 200, 30, 30])
    corpus.good("palette_transparent.png", encoded(palette, "PNG", transparency=1), black_white, 0, "transparency")
    corpus.good("palette_transparent.gif", encoded(palette, "GIF", transparency=1), black_white, 0, "transparency")
    red_key = (b"tRNS", struct.pack(">HHH", *RED))
    unkeyed = colour.copy()
    unkeyed[(colour == RED).all(axis=2)] = 255
    corpus.good("rgb_with_key.png", png_bytes(48, 32, 8, 2, rows_of(colour), red_key), unkeyed, 0, "transparency")


def _turned_and_animated_pictures(corpus: _Corpus) -> None:
    upright = quadrants(64, 96)
    # How the scene is stored for each orientation, from the definition in TIFF 6.0 of where row 0 and column 0 are.
    stored = {
        1: upright,
        2: np.fliplr(upright),
        3: np.rot90(upright, 2),
        4: np.flipud(upright),
        5: np.transpose(upright, (1, 0, 2)),
        6: np.rot90(upright, 1),
        7: np.rot90(np.transpose(upright, (1, 0, 2)), 2),
        8: np.rot90(upright, -1),
    }
    for value, pixels in stored.items():
        data = encoded(pixels.copy(), "JPEG", quality=98, subsampling=0, exif=exif_bytes(value))
        corpus.good(f"orientation_{value}.jpg", data, upright, 4, "turned" if value > 1 else "")
    corpus.good("orientation_6.png", encoded(stored[6].copy(), "PNG", exif=exif_bytes(6)), upright, 0, "turned")
    corpus.good("orientation_8.tiff", encoded(stored[8].copy(), "TIFF", tiffinfo={274: 8}), upright, 0, "turned")
    corpus.good(
        "orientation_99.jpg", encoded(upright, "JPEG", quality=98, subsampling=0, exif=exif_bytes(99)), upright, 4
    )
    damaged = b"Exif\0\0II*\0\xff\xff\xff\x7f" + b"\xaa" * 40
    data = encoded(upright, "JPEG", quality=98, subsampling=0, exif=damaged)
    corpus.good("exif_damaged.jpg", data, upright, 4)
    frames = [Image.fromarray(np.roll(upright, 7 * i, axis=1)) for i in range(3)]
    moving = {"save_all": True, "append_images": frames[1:]}
    corpus.good("animated.gif", encoded(frames[0], "GIF", duration=100, **moving), upright, 0, "first of 3 frames")
    corpus.good("animated.webp", encoded(frames[0], "WEBP", lossless=True, **moving), upright, 0, "first of 3 frames")
    corpus.good("animated.png", encoded(frames[0], "PNG", **moving), upright, 0, "first of 3 frames")
    corpus.good("pages.tiff", encoded(frames[0], "TIFF", **moving), upright, 0, "first of 3 pages")


def _broken_pictures(corpus: _Corpus) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)
    for format, suffix in (
        ("JPEG", "jpg"),
        ("PNG", "png"),
        ("WEBP", "webp"),
        ("GIF", "gif"),
        ("TIFF", "tiff"),
        ("BMP", "bmp"),
    ):
        data = encoded(noise, format)
        corpus.bad(f"truncated.{suffix}", data[: len(data) * 2 // 3], "damaged or cut short")
    avif = encoded(noise, "AVIF")
    corpus.bad("truncated.avif", avif[: len(avif) // 2], "damaged or cut short")
    corpus.bad("only_signature.png", b"\x89PNG\r\n\x1a\n", "damaged or cut short")
    corpus.bad("empty.jpg", b"", "empty")
    corpus.bad("text.jpg", b"I am a text, not a picture.\n", "text file")
    corpus.bad("web_page.jpg", b"<!DOCTYPE html><html><body>404</body></html>", "web page")
    corpus.bad("random_bytes.jpg", rng.bytes(500), "not in a format")
    corpus.bad("random_after_signature.jpg", b"\xff\xd8\xff\xe0" + rng.bytes(500), "damaged or cut short")
    corpus.bad("bomb.png", png_bytes(60000, 60000, 8, 2, b"\0" * 1000), "million")
    corpus.bad("bomb_smaller.png", png_bytes(9000, 9000, 1, 0, b"\0" * 1000), "81.0 million")
    gif = bytearray(encoded(noise, "GIF"))
    gif[6:10] = struct.pack("<HH", 65535, 65535)
    corpus.bad("bomb.gif", bytes(gif), "million")
    inner = png_bytes(30000, 30000, 1, 0, b"\0" * 1000)
    icon = struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, len(inner), 22) + inner
    corpus.bad("bomb.ico", icon, "million")
    canvas = struct.pack("<I", 16383)[:3] * 2
    riff = b"WEBPVP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + canvas
    corpus.bad("bomb.webp", b"RIFF" + struct.pack("<I", len(riff)) + riff, "bomb.webp")
    corpus.bad("zero_width.png", png_bytes(0, 10, 8, 2, b""), "zero_width.png")
    good = bytearray(encoded(noise, "PNG"))
    good[good.index(b"IDAT") + 40] ^= 0xFF
    corpus.bad("wrong_checksum.png", bytes(good), "damaged or cut short")
    lab = Image.fromarray(noise, "LAB")
    corpus.bad("lab_colours.tiff", encoded(lab, "TIFF"), "LAB")


def _foreign_files(corpus: _Corpus) -> None:
    box = struct.pack(">I", 24) + b"ftyp"
    corpus.bad("iphone.heic", box + b"heic\0\0\0\0mif1heic" + b"\0" * 200, "HEIC")
    corpus.bad("iphone_as.jpg", box + b"mif1\0\0\0\0mif1heic" + b"\0" * 200, "HEIC")
    corpus.bad("drawing.svg", b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG", "other")
    corpus.bad("paper.pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "PDF", "other")
    corpus.bad("layers.psd", b"8BPS\0\x01" + b"\0" * 100, "Photoshop", "other")
    corpus.bad("archive.zip", b"PK\x03\x04" + b"\0" * 100, "archive", "other")
    corpus.bad("camera.dng", encoded(quadrants(), "TIFF"), "raw")
    corpus.bad("song.mp3", b"ID3\x04\0\0\0\0\0\0" + b"\0" * 100, "sound file", "other")
    (corpus.folder / "folder.jpg").mkdir(exist_ok=True)
    corpus.cases.append(CorpusCase(corpus.folder / "folder.jpg", "other", False, "folder"))
    corpus.cases.append(CorpusCase(corpus.folder / "missing.jpg", "other", False, "no file"))
    corpus.cases.append(CorpusCase(corpus.folder / ("long" * 100 + ".jpg"), "other", False, "long"))
    secret = corpus.folder / "not_readable.png"
    secret.write_bytes(encoded(quadrants(), "PNG"))
    secret.chmod(0)
    if not os.access(secret, os.R_OK):  # the superuser may read everything
        corpus.cases.append(CorpusCase(secret, "picture", False, "may not be read"))


def _sound_videos(corpus: _Corpus) -> None:
    upright = quadrants(64, 96, (RED, GREEN, BLUE, (0, 0, 0)))
    corpus.clip("plain.mp4")
    corpus.clip("mp4_named.dat", container="mp4")
    corpus.clip("with_sound.mp4", audio=True)
    for angle in (90, 180, 270):  # the angle in the file is counter-clockwise
        turned = np.rot90(upright, angle // 90).copy()
        corpus.clip(f"rotated_{angle}.mp4", rotation=angle, pixels=turned)
    corpus.clip("mirrored.mp4", flip=True, pixels=np.fliplr(upright).copy())
    corpus.clip("variable_rate.mp4", times=[0, 0.1, 0.15, 0.9, 1.0, 2.5, 2.6], frames=7)
    corpus.clip("one_frame.mp4", frames=1)
    corpus.clip("odd_101x57.mkv", size=(101, 57), pixel_format="yuv444p")
    corpus.clip("motion_jpeg.avi", codec="mjpeg", pixel_format="yuvj420p")
    corpus.clip("vp9.webm", codec="libvpx-vp9")
    corpus.clip("transport.ts", container="mpegts")
    corpus.clip("high_rate.mp4", rate=1000, frames=40)
    corpus.clip("tiny_2x2.mp4", size=(2, 2))
    corpus.clip("animation.gif", codec="gif", pixel_format="rgb8")
    whole = write_video(corpus.folder / "whole.mp4", frames=60, size=(192, 128)).read_bytes()
    (corpus.folder / "whole.mp4").unlink()
    cut = corpus.folder / "cut_after_index.mp4"
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    corpus.cases.append(CorpusCase(cut, "video", True, "damaged"))
    late = write_video(corpus.folder / "late_index.mp4", movflags="+empty_moov+frag_keyframe").read_bytes()
    (corpus.folder / "late_index.mp4").write_bytes(late)
    corpus.cases.append(CorpusCase(corpus.folder / "late_index.mp4", "video", True, "", upright, 8))


def _broken_videos(corpus: _Corpus) -> None:
    plain = write_video(corpus.folder / "index_last.mp4", movflags="0").read_bytes()
    corpus.bad("index_last.mp4", plain[: plain.index(b"moov") - 4], "moov", "video")
    corpus.bad("empty.mp4", b"", "empty", "video")
    corpus.bad("text.mp4", b"This is a text.\n" * 20, "text file", "video")
    corpus.bad("playlist.mp4", b"#EXTM3U\n#EXTINF:10,\nfile:///etc/hostname\n", "text file", "video")
    corpus.bad("picture_named.mp4", encoded(quadrants(), "PNG"), "is a picture", "video")
    corpus.bad("random_bytes.mp4", np.random.default_rng(1).bytes(3000), "not in a format", "video")
    corpus.bad("random_after_header.mkv", b"\x1aE\xdf\xa3" + np.random.default_rng(2).bytes(3000), "damaged", "video")
    corpus.bad("random_after_header.avi", b"RIFF\0\0\0\0AVI " + np.random.default_rng(3).bytes(3000), ".avi", "video")
    write_video(corpus.folder / "no_frames.mp4", frames=0)
    corpus.cases.append(CorpusCase(corpus.folder / "no_frames.mp4", "video", False, "no_frames.mp4"))
    write_video(corpus.folder / "sound_only.mp4", frames=0, audio=True)
    corpus.cases.append(CorpusCase(corpus.folder / "sound_only.mp4", "video", False, "no picture track"))
    corpus.cases.append(CorpusCase(corpus.folder / "missing.mp4", "video", False, "no file"))
