"""One decoder for pictures: whatever a user drops becomes (height, width, 3) uint8 sRGB, or a sentence saying why not.

Done here once so that no task has to think of it: EXIF orientation, transparency over a stated background, grey,
palette, 1-bit, 16-bit and float samples scaled (never clipped), CMYK, embedded colour profiles, animations (first
frame), and a limit on the declared number of pixels that is checked before anything is decoded.
"""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageChops, ImageCms

from cvdemo.core.errors import CvDemoError, InputError, ResourceError
from cvdemo.core.files import existing_file, explain, read_bytes, written_whole
from cvdemo.core.lazy import cv2
from cvdemo.core.picture_formats import PICTURES, RAW_SUFFIXES, is_video, largest_in_ico, refusal, sniff
from cvdemo.core.samples import Pixels, array_to_uint8, grey_to_rgb, scale16, turn, wide_to_uint8

__all__ = ["MAX_PIXELS", "Picture", "encode_picture", "is_video", "read_picture", "save_picture"]

MAX_PIXELS = 50_000_000
PictureFormat = Literal["png", "jpeg", "webp"]
Background = tuple[int, int, int]

_LONGEST_SIDE = {"jpeg": 65_500, "webp": 16_383, "png": 1_000_000}
_ORIENTATION_TAG = 0x0112
_LOADING = threading.Lock()


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture.

    Attributes:
        pixels: (height, width, 3) uint8, sRGB in the order red, green, blue, C-contiguous.  Treat it as read-only: copy
            before drawing, the fingerprint is computed once.
        name: the file name, for messages and downloads.
        notes: what was done to the file to get here, e.g. "turned by its EXIF orientation".
    """

    pixels: Pixels
    name: str = "picture"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        pixels = self.pixels
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise InputError("A picture needs (height, width, 3) uint8 pixels.", hint="Use read_picture to convert.")
        if pixels.size == 0:
            raise InputError(f"{self.name} has no pixels.")
        if not pixels.flags.c_contiguous:
            object.__setattr__(self, "pixels", np.ascontiguousarray(pixels))

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @cached_property
    def fingerprint(self) -> str:
        """Hash of size and pixels, 32 hexadecimal digits; the same pixels have the same one whatever their name."""
        digest = hashlib.blake2b(repr(self.pixels.shape).encode(), digest_size=16)
        digest.update(self.pixels.data)
        return digest.hexdigest()


def read_picture(
    source: str | os.PathLike[str] | bytes | np.ndarray | Image.Image,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
    background: Background = (255, 255, 255),
) -> Picture:
    """Decode a picture from a path, from the bytes of a file, from an array or from a Pillow image.

    Args:
        source: files may be PNG, JPEG, WebP, GIF, BMP, TIFF, ICO, AVIF, PPM or JPEG 2000, whatever their suffix.
            Arrays may be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4): bool, uint8, uint16 (0..65535), other integers
            within 0..255, or float within [0, 1] or [0, 255] (a maximum up to 1 is read as [0, 1]).
        name: used in messages; the file name if not given.
        max_pixels: pictures that declare more are refused before decoding.
        background: red, green, blue (0..255) shown through transparent pixels.

    Errors: `InputError` naming the picture and the remedy; `ResourceError` when memory runs out.
    """
    label = name or "picture"
    try:
        if isinstance(source, np.ndarray):
            return _from_array(source, label, max_pixels, background)
        if isinstance(source, Image.Image):
            label = name or Path(str(getattr(source, "filename", "") or "picture")).name
            _check_size(source.width, source.height, label, max_pixels)
            with _LOADING:  # a lazily opened image is decoded on first use, and two threads must not do that at once
                source.load()
            return Picture(*_from_pillow(source, label, background, ()))
        if isinstance(source, (bytes, bytearray, memoryview)):
            return _from_bytes(bytes(source), label, max_pixels, background)
        if isinstance(source, (str, os.PathLike)):
            path = existing_file(source)
            label = name or path.name
            if path.suffix.lower() in RAW_SUFFIXES:
                raise refusal("raw", label)
            return _from_bytes(read_bytes(path), label, max_pixels, background)
    except CvDemoError:
        raise
    except MemoryError as error:
        raise explain(error, Path(label), "read") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(label, "far too many", max_pixels) from error
    except Exception as error:
        # Pillow's decoders raise whatever the broken byte led to: SyntaxError, IndexError, struct.error, zlib.error, …
        raise InputError(
            f"{label} is damaged or cut short and cannot be decoded.",
            hint="Download or export it again, or choose another picture.",
        ) from error
    raise InputError(
        f"A {type(source).__name__} is not a picture.",
        hint="Give a file path, the bytes of a file, an array or an image.",
    )


def _from_bytes(data: bytes, name: str, max_pixels: int, background: Background) -> Picture:
    kind = sniff(data[:4096])
    if kind not in PICTURES:
        raise refusal(kind, name)
    if kind == "ico" and largest_in_ico(data) > max_pixels:
        raise _too_large(name, "far too many", max_pixels)
    # The one decoder is named: Pillow would otherwise try everything it has, among it a plugin that starts Ghostscript.
    with Image.open(BytesIO(data), formats=(kind.upper(),)) as image:
        _check_size(image.width, image.height, name, max_pixels)
        deep = any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))
        turned_by_pillow = image.format == "TIFF" and _orientation(image)[0] != 1
        image.load()
        notes = ["16-bit scaled to 8-bit"] if deep and not image.mode.startswith("I;16") else []
        if turned_by_pillow:
            notes.append("turned by its EXIF orientation")
        frames = _frame_count(image)
        if frames > 1:
            notes.append(f"first of {frames} {'pages' if image.format == 'TIFF' else 'frames'}")
        return Picture(*_from_pillow(image, name, background, tuple(notes)))


def _from_pillow(
    image: Image.Image, name: str, background: Background, notes: tuple[str, ...]
) -> tuple[Pixels, str, tuple[str, ...]]:
    """Convert a loaded Pillow image of any mode; returns the arguments of `Picture`."""
    done = list(notes)
    orientation, damaged = _orientation(image)
    if damaged:
        done.append("its damaged EXIF block was ignored")
    if image.mode.startswith("I;16"):
        pixels = _grey16(image, background, done)
    elif image.mode == "I" and image.format == "PPM":  # Pillow scales the samples of a deep PGM to 0..65535
        done.append("16-bit scaled to 8-bit")
        pixels = grey_to_rgb(scale16(np.asarray(image).clip(0, 65535)))
    elif image.mode in ("I", "F"):
        pixels = grey_to_rgb(wide_to_uint8(np.asarray(image), name, done))
    else:
        pixels = np.asarray(_to_rgb(image, name, background, done))
    if orientation != 1:
        pixels = turn(pixels, orientation)
        done.append("turned by its EXIF orientation")
    return np.ascontiguousarray(pixels, dtype=np.uint8), name, tuple(done)


def _to_rgb(image: Image.Image, name: str, background: Background, notes: list[str]) -> Image.Image:
    """Any mode but the deep greys ("I", "I;16", "F") to RGB."""
    if image.mode in ("I", "F", "LAB") or image.mode.startswith("I;"):
        raise InputError(f"{name} stores its colours as {image.mode}.", hint="Export it as RGB.")
    if image.mode == "CMYK":
        if image.format == "JPEG" and "adobe" not in image.info:
            # Pillow reads every CMYK JPEG as if Adobe's programs had written it, that is, with inverted ink values.
            image = _keep_info(ImageChops.invert(image), image)
        image = _to_srgb(image, notes).convert("RGB")
        notes.append("converted from CMYK")
    # Transparency may be one colour of a palette or of RGB: it must become alpha before a profile changes the colours.
    if image.has_transparency_data:
        image = _to_srgb(image.convert("RGBA"), notes)
        if image.getchannel("A").getextrema() != (255, 255):
            notes.append(f"transparency laid over rgb{tuple(background)}")
            image = Image.alpha_composite(Image.new("RGBA", image.size, (*background, 255)), image)
        return image.convert("RGB")
    return _to_srgb(image if image.mode == "RGB" else image.convert("RGB"), notes)


def _to_srgb(image: Image.Image, notes: list[str]) -> Image.Image:
    """Apply an embedded colour profile (phones write Display P3, print shops their CMYK) unless it is sRGB already."""
    profile = image.info.get("icc_profile")
    if not profile:
        return image
    try:
        embedded = ImageCms.ImageCmsProfile(BytesIO(profile))
        space = embedded.profile.xcolor_space.strip()
        if not image.mode.startswith(space) or "srgb" in ImageCms.getProfileDescription(embedded).lower():
            return image
        mode = "RGB" if image.mode == "CMYK" else image.mode
        converted = ImageCms.profileToProfile(image, embedded, ImageCms.createProfile("sRGB"), outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        notes.append("its damaged colour profile was ignored")
        return _keep_info(image.copy(), image)
    if converted is None:
        return image
    notes.append("colours converted from its embedded profile")
    return _keep_info(converted, image)


def _keep_info(image: Image.Image, original: Image.Image) -> Image.Image:
    image.info = {k: v for k, v in original.info.items() if k != "icc_profile"}
    return image


def _grey16(image: Image.Image, background: Background, notes: list[str]) -> Pixels:
    values = np.asarray(image).astype(np.uint16)
    pixels = grey_to_rgb(scale16(values))
    notes.append("16-bit scaled to 8-bit")
    key = image.info.get("transparency")
    if isinstance(key, int) and (values == key).any():
        pixels[values == key] = background
        notes.append(f"transparency laid over rgb{tuple(background)}")
    return pixels


def _from_array(array: np.ndarray, name: str, max_pixels: int, background: Background) -> Picture:
    shape = "x".join(map(str, array.shape))
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 3, 4):
        raise InputError(f"{name} has shape {shape}: its channels come first.", hint="Use array.transpose(1, 2, 0).")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise InputError(
            f"{name} has shape {shape}, which is not a picture.",
            hint="Expected (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).",
        )
    _check_size(array.shape[1], array.shape[0], name, max_pixels)
    notes: list[str] = []
    values = array_to_uint8(array, name, notes)
    if values.ndim == 2 or values.shape[2] == 1:
        return Picture(grey_to_rgb(values.reshape(values.shape[:2])), name, tuple(notes))
    if values.shape[2] == 4:
        return Picture(np.asarray(_to_rgb(Image.fromarray(values), name, background, notes)).copy(), name, tuple(notes))
    return Picture(np.array(values, order="C"), name, tuple(notes))  # a copy: the caller may go on to write in his


def _orientation(image: Image.Image) -> tuple[int, bool]:
    """EXIF orientation 1..8 and whether the EXIF block could not be read."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # a damaged block raises anything, and a picture is worth more than its metadata
        return 1, True
    return (int(value), False) if value in range(1, 9) else (1, False)


def _frame_count(image: Image.Image) -> int:
    if image.format not in ("GIF", "WEBP", "PNG", "AVIF", "TIFF"):
        return 1  # an MPO's further pictures are depth or gain maps
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # the tail of an animation may be damaged; its first frame was decoded all the same
        return 1


def _check_size(width: int, height: int, name: str, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise InputError(f"{name} has no pixels ({width} x {height}).", hint="Choose another picture.")
    if width * height > max_pixels:
        raise _too_large(name, f"{width} x {height} = {width * height / 1e6:.1f} million", max_pixels)


def _too_large(name: str, size: str, max_pixels: int) -> InputError:
    return InputError(
        f"{name} has {size} pixels; at most {max_pixels / 1e6:g} million are decoded.",
        hint="Make it smaller in a picture editor.",
    )


def encode_picture(pixels: np.ndarray, format: PictureFormat = "png", quality: int = 92) -> bytes:
    """The bytes of a picture file.

    Args:
        pixels: (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA, uint8.
        format: "png" (lossless; masks, flow), "jpeg" (photographs, streams; transparency is laid over white) or "webp".
        quality: 1..100 for jpeg and webp.
    """
    if format not in _LONGEST_SIDE:
        raise InputError(f"{format!r} is not a picture format.", hint="Use png, jpeg or webp.")
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
        raise InputError("Only uint8 arrays can be encoded.", hint="Scale to 0..255 and use .astype(np.uint8).")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.size == 0 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (3, 4)):
        raise InputError(
            f"An array of shape {pixels.shape} is not a picture.", hint="Use (H, W), (H, W, 3) or (H, W, 4)."
        )
    if max(pixels.shape[:2]) > _LONGEST_SIDE[format]:
        raise InputError(
            f"A {format} picture has at most {_LONGEST_SIDE[format]} pixels a side, this one {max(pixels.shape[:2])}.",
            hint="Use png." if format != "png" else "Make it smaller.",
        )
    if format == "png":
        # OpenCV writes a 1080p photograph in a quarter of Pillow's time, at nearly the same size.
        code = {2: None, 3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}[2 if pixels.ndim == 2 else pixels.shape[2]]
        ok, data = cv2.imencode(".png", np.ascontiguousarray(pixels) if code is None else cv2.cvtColor(pixels, code))
        if not ok:
            raise ResourceError("The picture could not be encoded.", hint="Try again or use jpeg.")
        return data.tobytes()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if format == "jpeg":
        image = _to_rgb(image, "picture", (255, 255, 255), []) if image.mode == "RGBA" else image
    options: dict[str, Any] = {"method": 0} if format == "webp" else {}
    buffer = BytesIO()
    image.save(buffer, format.upper(), quality=int(min(max(quality, 1), 100)), **options)
    return buffer.getvalue()


def save_picture(path: str | os.PathLike[str], pixels: np.ndarray, quality: int = 92) -> None:
    """Write a picture; its format follows from the suffix (.png, .jpg, .jpeg, .webp).

    The file appears complete or not at all.  Errors: `InputError` (suffix, folder, permission), `ResourceError` (disk
    full).
    """
    formats: dict[str, PictureFormat] = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
    suffix = Path(path).suffix.lower()
    if suffix not in formats:
        raise InputError(f"{Path(path).name} has no suffix that says how to save it.", hint="Use .png, .jpg or .webp.")
    data = encode_picture(pixels, formats[suffix], quality)
    with written_whole(path) as part:
        part.write_bytes(data)
