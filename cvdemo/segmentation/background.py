"""What is put behind the cut-out: blur, a colour, another picture, or nothing (transparency)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cvdemo.core.lazy import cv2

Colour = tuple[int, int, int]

NAMED_COLOURS: Mapping[str, Colour] = {
    "white": (255, 255, 255),
    "black": (0, 0, 0),
    "green": (0, 177, 64),
    "blue": (0, 71, 187),
    "grey": (128, 128, 128),
    "orange": (230, 159, 0),
}


def _check(pixels: np.ndarray, alpha: np.ndarray) -> None:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"pixels must be (H, W, 3) uint8, not {pixels.shape} {pixels.dtype}")
    if alpha.shape != pixels.shape[:2] or alpha.dtype != np.float32:
        raise ValueError(f"alpha must be {pixels.shape[:2]} float32, not {alpha.shape} {alpha.dtype}")


def composite(pixels: np.ndarray, behind: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """alpha * pixels + (1 - alpha) * behind, (H, W, 3) uint8; alpha (H, W) float32 in [0, 1]."""
    _check(pixels, alpha)
    return cv2.blendLinear(np.ascontiguousarray(pixels), np.ascontiguousarray(behind), alpha, 1 - alpha)


def blurred_background(pixels: np.ndarray, alpha: np.ndarray, sigma: float = 12.0) -> np.ndarray:
    """The picture with everything but the foreground out of focus, as a wide lens aperture would show it.

    The foreground's colours are kept out of the blur (weights 1 - alpha), so no halo surrounds it. The blur is worked
    out on a copy reduced by about half the standard deviation, which no eye can tell from the real one.

    sigma: standard deviation of the blur in pixels.
    """
    _check(pixels, alpha)
    height, width = alpha.shape
    factor = max(1, min(int(sigma / 2), height, width))
    size = (max(1, width // factor), max(1, height // factor))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    weight = cv2.resize(1 - alpha, size, interpolation=cv2.INTER_AREA)
    weight = np.maximum(weight, np.float32(1e-3))  # far inside the foreground there is nothing else to show
    reduced = sigma / factor
    sums = cv2.GaussianBlur(small * weight[:, :, None], (0, 0), reduced)
    mean = sums / cv2.GaussianBlur(weight, (0, 0), reduced)[:, :, None]
    behind = cv2.resize(np.clip(mean, 0, 255).round().astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR)
    return composite(pixels, behind, alpha)


def colour_background(pixels: np.ndarray, alpha: np.ndarray, colour: Colour) -> np.ndarray:
    """The foreground on one RGB colour."""
    behind = np.empty_like(pixels)
    behind[:] = colour
    return composite(pixels, behind, alpha)


def picture_background(pixels: np.ndarray, alpha: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """The foreground before another picture (h, w, 3) uint8, which is scaled and cropped to fill the frame."""
    height, width = alpha.shape
    rows, columns = behind.shape[:2]
    scale = max(height / rows, width / columns)
    # The part of it that has the frame's shape, from its middle.
    part_height, part_width = max(1, round(height / scale)), max(1, round(width / scale))
    top, left = max(0, (rows - part_height) // 2), max(0, (columns - part_width) // 2)
    part = behind[top : top + part_height, left : left + part_width]
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return composite(pixels, cv2.resize(part, (width, height), interpolation=interpolation), alpha)


def cut_out(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """(H, W, 4) uint8 RGBA: the picture with everything but the foreground transparent."""
    _check(pixels, alpha)
    return np.dstack([pixels, cv2.convertScaleAbs(alpha, alpha=255.0)])


def on_checks(cut: np.ndarray, side: int = 12) -> np.ndarray:
    """A cut-out on a grey chessboard, the usual sign for transparency: (H, W, 3) uint8 for showing it."""
    height, width = cut.shape[:2]
    rows, columns = np.arange(height)[:, None] // side, np.arange(width)[None, :] // side
    board = np.where((rows + columns) % 2 == 0, 204, 255).astype(np.uint8)
    alpha = cut[:, :, 3].astype(np.float32) / 255
    return composite(np.ascontiguousarray(cut[:, :, :3]), cv2.merge([board, board, board]), alpha)
