"""Flow files: Middlebury's .flo, KITTI's 16-bit PNG and numpy's .npy."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.core.files import existing_file, read_bytes
from cvdemo.core.lazy import cv2
from cvdemo.flow.colour import known_mask

_MAGIC = np.float32(202021.25)
_UNKNOWN = np.float32(1e10)
_MOST_PIXELS = 50_000_000


def read_flow(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 2) float32 and (H, W) bool, where it is known, from a .flo, .png or .npy file; InputError otherwise."""
    source = existing_file(path)
    data = read_bytes(source)
    if data[:4] == _MAGIC.tobytes():
        flow = _from_flo(data, source.name)
    elif data[:4] == b"\x89PNG":
        return _from_kitti(data, source.name)
    elif data[:6] == b"\x93NUMPY":
        flow = _from_npy(data, source.name)
    else:
        raise InputError(
            f"{source.name} is not a flow file.",
            hint="Bring a Middlebury .flo, a KITTI flow PNG or a .npy of (H, W, 2).",
        )
    return flow, known_mask(flow)


def _from_flo(data: bytes, name: str) -> np.ndarray:
    width, height = (int(value) for value in np.frombuffer(data[4:12].ljust(8, b"\0"), "<i4"))
    if width < 1 or height < 1 or width * height > _MOST_PIXELS or len(data) < 12 + 8 * width * height:
        raise InputError(f"{name} is damaged or cut short.", hint="Download it again.")
    return np.frombuffer(data, "<f4", 2 * width * height, 12).reshape(height, width, 2).astype(np.float32)


def _from_kitti(data: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    coded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if coded is None or coded.dtype != np.uint16 or coded.ndim != 3 or coded.shape[2] != 3:
        raise InputError(f"{name} is not a flow PNG.", hint="KITTI's have three channels of 16 bits: u, v and valid.")
    flow = (coded[..., 2:0:-1].astype(np.float32) - 32768) / 64
    return flow, coded[..., 0] > 0


def _from_npy(data: bytes, name: str) -> np.ndarray:
    try:
        values = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{name} cannot be read as an array.", hint="Save it again with numpy.save.") from error
    if values.ndim != 3 or values.shape[2] != 2 or not np.issubdtype(values.dtype, np.floating):
        raise InputError(f"{name} holds {values.dtype} {values.shape}.", hint="A flow is float of shape (H, W, 2).")
    return values.astype(np.float32)


def flo_bytes(flow: np.ndarray) -> bytes:
    """A .flo file; unknown pixels as 1e10."""
    known = known_mask(flow)
    values = np.where(known[..., None], flow, _UNKNOWN).astype("<f4")
    return _MAGIC.tobytes() + np.array(flow.shape[1::-1], "<i4").tobytes() + values.tobytes()


def kitti_bytes(flow: np.ndarray, valid: np.ndarray | None = None) -> bytes:
    """A KITTI flow PNG: steps of 1/64 pixel, at most 512 pixels."""
    known = known_mask(flow) if valid is None else known_mask(flow) & valid
    coded = np.clip(np.rint(np.where(known[..., None], flow, 0) * 64 + 32768), 0, 65535).astype(np.uint16)
    coded[~known] = 0
    _, data = cv2.imencode(".png", np.dstack([known.astype(np.uint16), coded[..., 1], coded[..., 0]]))
    return bytes(data.tobytes())


def npy_bytes(flow: np.ndarray) -> bytes:
    """A .npy file of float32."""
    buffer = io.BytesIO()
    np.save(buffer, flow.astype(np.float32))
    return buffer.getvalue()
