"""Stylised video without flicker: each frame is mixed with the last one, moved along with the picture.

The same thing in two frames is stylised differently, because style networks look at every frame anew. Optical flow
says where each pixel was in the frame before; the last stylised frame is looked up there (backward warp) and mixed in,
except where nothing can be carried over: where something was uncovered or left the picture (Ruder et al. 2016,
arXiv:1604.08610, at its simplest: a forward-backward check and one mixing weight).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.core.lazy import cv2

Flow = Callable[[np.ndarray, np.ndarray], np.ndarray]
FLOW_SIDE = 320


def dis_flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Optical flow from one frame to another, both (H, W, 3) uint8: (H, W, 2) float32, x and y in pixels.

    Dense inverse search (Kroeger et al. 2016, arXiv:1603.03590) on pictures of at most 320 pixels.
    """
    height, width = first.shape[:2]
    scale = min(1.0, FLOW_SIDE / max(height, width))
    small = (max(16, round(width * scale)), max(16, round(height * scale)))
    greys = [
        cv2.cvtColor(cv2.resize(frame, small, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        for frame in (first, second)
    ]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST).calc(greys[0], greys[1], None)  # type: ignore[call-overload]
    flow = cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR)
    return flow * np.array([width / small[0], height / small[1]], np.float32)


def warp(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Backward warp: out(x) = picture(x + flow(x)), bilinear, the border repeated; of the flow's size."""
    rows, columns = np.indices(flow.shape[:2], dtype=np.float32)
    return cv2.remap(
        picture, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def visible(back: np.ndarray, forth: np.ndarray) -> np.ndarray:
    """(H, W) bool: where a pixel of the new frame was visible in the old one.

    back: flow from the new frame to the old one; forth: from the old to the new. A pixel that was there comes back to
    where it started: |b + f(x + b)|² <= 0.01 (|b|² + |f|²) + 0.5 (Sundaram et al. 2010). What would come from outside
    the picture was not visible.
    """
    height, width = back.shape[:2]
    rows, columns = np.indices((height, width), dtype=np.float32)
    x, y = columns + back[..., 0], rows + back[..., 1]
    inside = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    there = warp(forth, back)
    off = np.square(back + there).sum(2)
    return inside & (off <= 0.01 * (np.square(back).sum(2) + np.square(there).sum(2)) + 0.5)


class Smoother:
    """Carries the last stylised frame along. One for each video; ``reset`` at a cut."""

    def __init__(self, amount: float = 0.7, flow: Flow = dis_flow) -> None:
        """amount: share of the moved last frame, 0 (off) to below 1."""
        if not 0 <= amount < 1:
            raise InputError("The smoothing must be at least 0 and below 1.", hint="Try 0.7.")
        self.amount, self.flow = amount, flow
        self._frame: np.ndarray | None = None
        self._stylised: np.ndarray | None = None

    def reset(self) -> None:
        """Forget the last frame."""
        self._frame = self._stylised = None

    def __call__(self, frame: np.ndarray, stylised: np.ndarray) -> np.ndarray:
        """The stylised frame, smoothed; both (H, W, 3) uint8 of one size, which may change from frame to frame."""
        if frame.shape != stylised.shape:
            raise InputError("The frame and its stylised picture have different sizes.", hint="Resize one of them.")
        out = stylised
        last, before = self._stylised, self._frame
        if self.amount > 0 and last is not None and before is not None and before.shape == frame.shape:
            back, forth = self.flow(frame, before), self.flow(before, frame)
            share = self.amount * cv2.blur(visible(back, forth).astype(np.float32), (5, 5))[..., None]
            out = np.rint(stylised * (1 - share) + warp(last, back) * share).clip(0, 255).astype(np.uint8)
        self._frame, self._stylised = frame.copy(), out
        return out


def warp_error(frames: list[np.ndarray], stylised: list[np.ndarray], flow: Flow = dis_flow) -> float:
    """How much a stylised video flickers: mean absolute difference, in grey levels, of each stylised frame to the one
    before moved along with the picture, where that was visible. 0 for a video of one frame."""
    found = []
    for index in range(1, len(frames)):
        back, forth = flow(frames[index], frames[index - 1]), flow(frames[index - 1], frames[index])
        mask = visible(back, forth)
        moved = warp(stylised[index - 1], back).astype(np.float32)
        if mask.any():
            found.append(float(np.abs(stylised[index].astype(np.float32) - moved)[mask].mean()))
    return float(np.mean(found)) if found else 0.0
