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
from cvdemo.flow import classical
from cvdemo.flow.raw import rescale_flow
from cvdemo.flow.warp import backward_warp, occlusion_mask

Flow = Callable[[np.ndarray, np.ndarray], np.ndarray]
FLOW_SIDE = 320
PRESET = classical.DIS_PRESETS["dis-fast"]


def dis_flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Optical flow from one frame to another, both (H, W, 3) uint8: (H, W, 2) float32, x and y in pixels.

    The Flow tab's dense inverse search, on pictures of at most 320 pixels.
    """
    height, width = first.shape[:2]
    scale = min(1.0, FLOW_SIDE / max(height, width))
    small = (max(16, round(width * scale)), max(16, round(height * scale)))
    greys = [
        cv2.cvtColor(cv2.resize(frame, small, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        for frame in (first, second)
    ]
    return rescale_flow(classical.dis_flow(greys[0], greys[1], PRESET), height, width)


def warp(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Backward warp: out(x) = picture(x + flow(x)), bilinear, the border repeated; of the flow's size."""
    return backward_warp(picture, flow, border=None)


def visible(back: np.ndarray, forth: np.ndarray) -> np.ndarray:
    """(H, W) bool: where a pixel of the new frame was visible in the old one.

    back: flow from the new frame to the old one; forth: from the old to the new. A pixel that was there comes back to
    where it started (see ``occlusion_mask``). What would come from outside the picture was not visible.
    """
    return ~occlusion_mask(back, forth)


class Smoother:
    """Carries the last stylised frame along. One for each video; ``reset`` at a cut.

    flicker: where it is measured, for each pair of frames how much the stylised one differs from the one before, moved
    along with the picture, where that was visible: (as the network made them, smoothed), in grey levels.
    """

    def __init__(self, amount: float = 0.7, flow: Flow = dis_flow, *, measure: bool = False) -> None:
        """amount: share of the moved last frame, 0 (off) to below 1."""
        if not 0 <= amount < 1:
            raise InputError("The smoothing must be at least 0 and below 1.", hint="Try 0.7.")
        self.amount, self.flow, self.measure = amount, flow, measure
        self.flicker: list[tuple[float, float]] = []
        self.reset()

    def reset(self) -> None:
        """Forget the last frame."""
        self._frame: np.ndarray | None = None
        self._smoothed: np.ndarray | None = None
        self._plain: np.ndarray | None = None

    def __call__(self, frame: np.ndarray, stylised: np.ndarray) -> np.ndarray:
        """The stylised frame, smoothed; both (H, W, 3) uint8 of one size, which may change from frame to frame."""
        if frame.shape != stylised.shape:
            raise InputError("The frame and its stylised picture have different sizes.", hint="Resize one of them.")
        out = stylised
        last, plain, before = self._smoothed, self._plain, self._frame
        wanted = self.amount > 0 or self.measure
        if wanted and last is not None and plain is not None and before is not None and before.shape == frame.shape:
            back, forth = self.flow(frame, before), self.flow(before, frame)
            seen, moved = visible(back, forth), warp(last, back)
            share = self.amount * cv2.blur(seen.astype(np.float32), (5, 5))[..., None]
            out = np.rint(stylised * (1 - share) + moved * share).clip(0, 255).astype(np.uint8)
            if self.measure and seen.any():
                self.flicker.append((_difference(stylised, warp(plain, back), seen), _difference(out, moved, seen)))
        self._frame, self._smoothed, self._plain = frame.copy(), out, stylised
        return out


def _difference(one: np.ndarray, other: np.ndarray, where: np.ndarray) -> float:
    return float(cv2.absdiff(one, other)[where].mean())


def warp_error(frames: list[np.ndarray], stylised: list[np.ndarray], flow: Flow = dis_flow) -> float:
    """How much a stylised video flickers: mean absolute difference, in grey levels, of each stylised frame to the one
    before moved along with the picture, where that was visible. 0 for a video of one frame."""
    found = []
    for index in range(1, len(frames)):
        back, forth = flow(frames[index], frames[index - 1]), flow(frames[index - 1], frames[index])
        mask = visible(back, forth)
        if mask.any():
            found.append(_difference(stylised[index], warp(stylised[index - 1], back), mask))
    return float(np.mean(found)) if found else 0.0
