"""Warping by a flow field, and what follows from it: warp error, occlusion by the forward-backward check."""

from __future__ import annotations

import numpy as np

from cvdemo.core.lazy import cv2

ALPHA, BETA = 0.01, 0.5
"""Constants of the forward-backward check in Sundaram et al. 2010: 1 % of the motion, plus half a square pixel."""


def pixel_grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Column and row numbers of every pixel, each (height, width) float32."""
    x = np.broadcast_to(np.arange(width, dtype=np.float32), (height, width))
    y = np.broadcast_to(np.arange(height, dtype=np.float32)[:, None], (height, width))
    return x, y


def backward_warp(values: np.ndarray, flow: np.ndarray, *, border: float | None = 0.0) -> np.ndarray:
    """Fetch for each pixel of the first frame what it became: out(x, y) = values(x + u, y + v), bilinearly.

    Args:
        values: (H, W) or (H, W, C) uint8 or float32 that belong to the second frame.
        flow: (H, W, 2) of the first frame.   border: value outside of the frame; None repeats the frame's border.
    Returns: as ``values``, a new array. Undefined flow counts as pointing outside.
    """
    x, y = pixel_grid(*flow.shape[:2])
    far = -1e6
    map_x = np.nan_to_num(x + flow[..., 0], nan=far, posinf=far, neginf=far).astype(np.float32)
    map_y = np.nan_to_num(y + flow[..., 1], nan=far, posinf=far, neginf=far).astype(np.float32)
    mode = cv2.BORDER_REPLICATE if border is None else cv2.BORDER_CONSTANT
    fill = (0.0 if border is None else border,) * 4
    return np.asarray(cv2.remap(values, map_x, map_y, cv2.INTER_LINEAR, borderMode=mode, borderValue=fill))


def leaves_frame(flow: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels that the flow carries out of the second frame, or nowhere."""
    height, width = flow.shape[:2]
    x, y = pixel_grid(height, width)
    with np.errstate(invalid="ignore"):
        to_x, to_y = x + flow[..., 0], y + flow[..., 1]
        inside = (to_x >= 0) & (to_x <= width - 1) & (to_y >= 0) & (to_y <= height - 1)
    return np.asarray(~inside)


def warp_error(first: np.ndarray, second: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """How badly the warped second frame explains the first: (H, W) float32 mean absolute difference, 0 to 255.

    first, second: (H, W, 3) uint8. Pixels that leave the frame are NaN: nothing can be said about them.
    """
    warped = backward_warp(second, flow)
    difference = cv2.absdiff(warped, first).mean(axis=2, dtype=np.float32)
    difference[leaves_frame(flow)] = np.nan
    return np.asarray(difference)


def forward_backward_error(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """(H, W) float32 pixels: how far from its start a point ends that follows the flow there and back.

    Infinite where the forward flow leaves the frame.
    """
    back = backward_warp(np.ascontiguousarray(backward, np.float32), forward)
    error = np.hypot(*np.moveaxis(forward + back, 2, 0)).astype(np.float32)
    error[leaves_frame(forward)] = np.inf
    return np.asarray(error)


def occlusion_mask(
    forward: np.ndarray, backward: np.ndarray, alpha: float = ALPHA, beta: float = BETA
) -> np.ndarray:  # fmt: skip
    """Pixels of the first frame without a counterpart in the second: (H, W) bool.

    A pixel is occluded when |w + w'|^2 > alpha (|w|^2 + |w'|^2) + beta, with w its forward flow and w' the backward
    flow where it arrives (Sundaram, Brox and Keutzer, Dense Point Trajectories by GPU-accelerated Large Displacement
    Optical Flow, ECCV 2010), or when it leaves the frame.

    forward, backward: (H, W, 2) float32 of the same size.   beta: in square pixels.
    """
    back = backward_warp(np.ascontiguousarray(backward, np.float32), forward)
    both = np.square(forward + back).sum(axis=2)
    length = np.square(forward).sum(axis=2) + np.square(back).sum(axis=2)
    with np.errstate(invalid="ignore"):
        consistent = both <= alpha * length + beta
    return np.asarray(~consistent | leaves_frame(forward))
