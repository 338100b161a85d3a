"""Flow files: Middlebury's .flo, KITTI's 16-bit PNG and numpy's .npy, read with care and written whole.

A .flo file is the number 202021.25, width and height as 32-bit integers, then u and v of each pixel as 32-bit floats,
all little-endian (Baker et al. 2011); components above 1e9 mean "unknown". KITTI's PNG holds 64 u + 32768, 64 v + 32768
and whether the pixel is known, in three channels of 16 bits.
"""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.core.files import existing_file, read_bytes, written_whole
from cvdemo.core.lazy import cv2
from cvdemo.flow.colour import known_mask

SUFFIXES: tuple[str, ...] = (".flo", ".png", ".npy")
MOST_PIXELS = 50_000_000
KITTI_LARGEST = 511.0
"""Pixels: a longer component does not fit into KITTI's 16 bits."""

_MAGIC = np.float32(202021.25)
_UNKNOWN = np.float32(1e10)
_PNG, _NPY = b"\x89PNG", b"\x93NUMPY"
_HEADER = 12
_MOST_BYTES = _HEADER + 8 * MOST_PIXELS


def read_flow(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 2) float32 and (H, W) bool, where it is known, from a .flo, KITTI .png or .npy file.

    The content decides which of them it is. InputError, with what to do, for anything else, for damaged files and for
    more than 50 million pixels, which are refused before they are read into memory.
    """
    source = existing_file(path)
    data = read_bytes(source, _MOST_BYTES)
    if data[:4] == _MAGIC.tobytes():
        flow = _from_flo(data, source.name)
    elif data[:4] == _PNG:
        return _from_kitti(data, source.name)
    elif data[:6] == _NPY:
        flow = _from_npy(data, source.name)
    else:
        raise InputError(
            f"{source.name} is not a flow file.",
            hint="Bring a Middlebury .flo, a KITTI flow PNG or a .npy of (H, W, 2).",
        )
    return flow, known_mask(flow)


def write_flow(path: str | os.PathLike[str], flow: np.ndarray, known: np.ndarray | None = None) -> None:
    """Write (H, W, 2) in the format that the name's ending says; InputError for other endings and wrong shapes.

    known: (H, W) bool; other pixels are marked as unknown (.npy: as NaN).
    """
    target = Path(path)
    makers = {".flo": flo_bytes, ".png": kitti_bytes, ".npy": npy_bytes}
    make = makers.get(target.suffix.lower())
    if make is None:
        raise InputError(f"Flow cannot be written as {target.name}.", hint=f"Use one of {', '.join(SUFFIXES)}.")
    data = make(flow, known)
    with written_whole(target) as part:
        part.write_bytes(data)


def _size(width: int, height: int, name: str) -> None:
    if width < 1 or height < 1:
        raise InputError(f"{name} claims {width} x {height} pixels.", hint="It is damaged; download it again.")
    if width * height > MOST_PIXELS:
        raise InputError(
            f"{name} claims {width} x {height} pixels; at most {MOST_PIXELS // 1_000_000} million can be read.",
            hint="It is damaged, or must be cut.",
        )


def _from_flo(data: bytes, name: str) -> np.ndarray:
    if len(data) < _HEADER:
        raise InputError(f"{name} ends within its header.", hint="It is cut short; download it again.")
    width, height = struct.unpack_from("<ii", data, 4)
    _size(width, height, name)
    wanted = _HEADER + 8 * width * height
    if len(data) < wanted:
        raise InputError(
            f"{name} is cut short: {len(data)} of {wanted} bytes for {width} x {height} pixels.",
            hint="Download it again.",
        )
    return np.frombuffer(data, "<f4", 2 * width * height, _HEADER).reshape(height, width, 2).astype(np.float32)


def _from_kitti(data: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    if len(data) >= 24:
        width, height = struct.unpack_from(">II", data, 16)  # the PNG's own header, before anything is unpacked
        _size(width, height, name)
    try:
        coded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise InputError(f"{name} cannot be decoded.", hint="It is damaged; download it again.") from error
    if coded is None:
        raise InputError(f"{name} cannot be decoded.", hint="It is damaged; download it again.")
    if coded.dtype != np.uint16 or coded.ndim != 3 or coded.shape[2] != 3:
        raise InputError(
            f"{name} is a picture, not a flow PNG.", hint="KITTI's have three channels of 16 bits: u, v and known."
        )
    flow = (coded[..., 2:0:-1].astype(np.float32) - 32768) / 64
    known = coded[..., 0] > 0
    flow[~known] = np.nan
    return flow, np.asarray(known)


def _from_npy(data: bytes, name: str) -> np.ndarray:
    try:
        values = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError, SyntaxError, MemoryError) as error:
        raise InputError(f"{name} cannot be read as an array.", hint="Save it again with numpy.save.") from error
    if values.ndim != 3 or values.shape[2] != 2 or not np.issubdtype(values.dtype, np.floating) or not values.size:
        raise InputError(f"{name} holds {values.dtype} {values.shape}.", hint="A flow is float of shape (H, W, 2).")
    return np.asarray(values, np.float32)


def _checked(flow: np.ndarray, known: np.ndarray | None) -> np.ndarray:
    """Where the field is known; InputError for arrays that are no flow."""
    if flow.ndim != 3 or flow.shape[2] != 2 or not flow.size:
        raise InputError(f"An array of shape {flow.shape} is no flow field.", hint="It must be (height, width, 2).")
    everywhere = known_mask(flow)
    if known is None:
        return everywhere
    if known.shape != flow.shape[:2]:
        raise InputError(f"A mask of {known.shape} does not fit a flow of {flow.shape[:2]}.")
    return np.asarray(everywhere & known)


def flo_bytes(flow: np.ndarray, known: np.ndarray | None = None) -> bytes:
    """A .flo file of (H, W, 2); unknown pixels as 1e10."""
    values = np.where(_checked(flow, known)[..., None], flow, _UNKNOWN).astype("<f4")
    return _MAGIC.tobytes() + np.array(flow.shape[1::-1], "<i4").tobytes() + values.tobytes()


def kitti_bytes(flow: np.ndarray, valid: np.ndarray | None = None) -> bytes:
    """A KITTI flow PNG of (H, W, 2): steps of 1/64 pixel.

    Pixels with a component beyond ``KITTI_LARGEST``, which the format cannot hold, are marked as unknown.
    """
    counted = _checked(flow, valid)
    with np.errstate(invalid="ignore"):
        counted = counted & (np.abs(flow) <= KITTI_LARGEST).all(axis=2)
    coded = np.rint(np.where(counted[..., None], flow, 0) * 64 + 32768).astype(np.uint16)
    coded[~counted] = 0
    _, data = cv2.imencode(".png", np.dstack([counted.astype(np.uint16), coded[..., 1], coded[..., 0]]))
    return bytes(data.tobytes())


def npy_bytes(flow: np.ndarray, known: np.ndarray | None = None) -> bytes:
    """A .npy file of float32; pixels outside of ``known`` as NaN."""
    values = np.asarray(flow, np.float32)
    if known is not None:
        values = np.where(_checked(flow, known)[..., None], values, np.float32(np.nan))
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()
