"""Bringing faces into one pose: the similarity that carries five landmarks onto fixed places, and the warp.

A network that reads faces wants eyes and mouth always at the same pixels. A similarity (rotation, one scale, shift)
does that without distorting the face; Umeyama's closed form (1991, IEEE TPAMI 13(4)) finds the one with the least
squared error over the five landmarks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.faces.result import Faces

TEMPLATE_SIZE = 112
# Where the five landmarks lie in a 112x112 crop, in the order of ``faces.labels.LANDMARKS``: the places that face
# recognition has used since SphereFace and ArcFace, so that crops fit published embedding networks.
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)


def umeyama(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The similarity that maps ``source`` (N, 2) to ``target`` (N, 2) with the least sum of squared distances.

    Returns (2, 3) float64 ``[scale * rotation | shift]``, never a reflection. ValueError for fewer than two points,
    shapes that differ, values that are not finite, or source points that all coincide.
    """
    a, b = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if a.shape != b.shape or a.ndim != 2 or a.shape[1] != 2 or len(a) < 2:
        raise ValueError(f"two equal lists of at least two points are needed, not {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("the points must be finite")
    mean_a, mean_b = a.mean(0), b.mean(0)
    centred_a, centred_b = a - mean_a, b - mean_b
    spread = (centred_a**2).sum() / len(a)
    if spread <= 1e-12:
        raise ValueError("the source points coincide, so there is no scale")
    u, singular, vt = np.linalg.svd(centred_b.T @ centred_a / len(a))
    sign = np.array([1.0, 1.0 if np.linalg.det(u) * np.linalg.det(vt) >= 0 else -1.0])
    rotation = u @ np.diag(sign) @ vt
    scale = float(singular @ sign) / spread
    return np.concatenate([scale * rotation, (mean_b - scale * rotation @ mean_a)[:, None]], axis=1)


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (..., 2) through a (2, 3) affine map."""
    return np.asarray(points) @ matrix[:, :2].T + matrix[:, 2]


def invert(matrix: np.ndarray) -> np.ndarray:
    """The inverse (2, 3) of a (2, 3) affine map; numpy's LinAlgError when it has none."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.concatenate([linear, (-linear @ matrix[:, 2])[:, None]], axis=1)


def template(size: int = TEMPLATE_SIZE, margin: float = 0.0) -> np.ndarray:
    """Where the five landmarks lie in a (size, size) crop, (5, 2) float64 pixels.

    margin: share of the crop added around the standard one on each side; 0.25 shows hair and chin as well.
    """
    if size < 1 or margin < 0:
        raise ValueError(f"size must be at least 1 and margin not negative, not {size} and {margin}")
    # Pixel centres lie at whole numbers: half a pixel is added before scaling and taken away after it.
    standard = (TEMPLATE + 0.5) / TEMPLATE_SIZE
    return (standard + margin) / (1 + 2 * margin) * size - 0.5


def matrix_of(landmarks: np.ndarray, size: int = TEMPLATE_SIZE, margin: float = 0.0) -> np.ndarray:
    """The (2, 3) similarity from picture pixels to the aligned crop for landmarks (5, 2); ValueError as ``umeyama``."""
    return umeyama(landmarks, template(size, margin))


def align(
    pixels: np.ndarray, landmarks: np.ndarray, size: int = TEMPLATE_SIZE, margin: float = 0.0, border: int = 0
) -> np.ndarray:
    """The aligned crop (size, size, C) of one face, dtype as ``pixels``.

    Args:
        pixels: (H, W, C) uint8.   landmarks: (5, 2) in its pixels.   size, margin: as in ``template``.
        border: grey value of what lies outside the picture, 0 to 255.
    """
    return warp(pixels, matrix_of(landmarks, size, margin), size, border)


def align_all(pixels: np.ndarray, faces: Faces, size: int = TEMPLATE_SIZE, margin: float = 0.0) -> np.ndarray:
    """Aligned crops of all faces of a picture, (N, size, size, 3) uint8."""
    crops: Sequence[np.ndarray] = [align(pixels, landmarks, size, margin) for landmarks in faces.landmarks]
    return np.stack(crops) if crops else np.zeros((0, size, size, 3), np.uint8)


def warp(pixels: np.ndarray, matrix: np.ndarray, size: int, border: int = 0) -> np.ndarray:
    """The (size, size, C) crop that ``matrix`` (2, 3), picture to crop, cuts out of ``pixels``.

    Where it shrinks by more than two, the part it needs is first shrunk by averaging: sampling alone would pick
    single pixels and turn fine texture into noise.
    """
    height, width = pixels.shape[:2]
    scale = math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))
    if 0 < scale < 0.5:
        corners = apply(invert(matrix), np.array([[0, 0], [size, 0], [0, size], [size, size]]))
        step = math.ceil(2 / scale)
        left, top = np.clip(np.floor(corners.min(0)).astype(int) - step, 0, [width, height]).tolist()
        right, bottom = np.clip(np.ceil(corners.max(0)).astype(int) + step, 0, [width, height]).tolist()
        if right > left and bottom > top:
            part = pixels[top:bottom, left:right]
            small = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
            factor = np.array([(right - left) / small[0], (bottom - top) / small[1]])
            pixels = cv2.resize(part, small, interpolation=cv2.INTER_AREA)
            # Small pixel centre -> picture: (x + 0.5) * factor - 0.5 + corner.
            shift = (factor - 1) / 2 + [left, top]
            matrix = np.concatenate([matrix[:, :2] * factor, apply(matrix, shift)[:, None]], axis=1)
    value = (border,) * 4
    pixels = np.ascontiguousarray(pixels)
    return cv2.warpAffine(pixels, matrix, (size, size), borderMode=cv2.BORDER_CONSTANT, borderValue=value)
