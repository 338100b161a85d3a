"""Variational refinement: a coarse flow made exact by minimising an energy over the two frames.

A network's flow has an eighth or a quarter of the frames' resolution, and its edges are those of its cells. Brox et al.
(2004, "High Accuracy Optical Flow Estimation Based on a Theory for Warping") look for the flow that keeps brightness
and its gradient along the motion and is smooth except where it must not be; started from a network's flow the minimum
is a few steps away. FlowNet's authors write "+v" for the same step (Dosovitskiy et al. 2015, arXiv:1504.06852).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cvdemo.core import registry
from cvdemo.core.lazy import cv2
from cvdemo.flow.raw import FramePair, RawFlow, rescale_flow

AUTO, ON, OFF = "auto", "on", "off"
CHOICES: tuple[str, ...] = (AUTO, ON, OFF)
EXTRA = "variational"
"""Key of ``ModelSpec.extras``: a method whose flow is refined where nobody chose, because it was measured to gain."""
SCALES = (0.125**0.5, 0.5, 0.5**0.5, 1.0)
"""Of the frames, from coarse to fine: what is wrong by a cell of the network is too far for the finest alone."""
SMOOTHNESS, BRIGHTNESS, GRADIENT = 20.0, 1.0, 20.0
"""Weights of the terms. The light may change between two frames, the gradient hardly feels that."""
SOLUTIONS, SWEEPS = 5, 5
"""Linearisations at each scale, and sweeps of successive over-relaxation for each."""
_SMALLEST = 16


def variational_refinement(first: np.ndarray, second: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Descend from ``flow`` to a near minimum of Brox's energy, over four scales.

    Args:
        first, second: (H, W, 3) uint8 RGB.   flow: (H, W, 2), x and y in pixels.
    Returns: (H, W, 2) float32, a new array; the flow as it was where it is not finite throughout.
    """
    current: np.ndarray = np.array(flow, np.float32)
    if not np.isfinite(current).all():
        return current
    height, width = first.shape[:2]
    frames = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first, second)]
    for scale in SCALES:
        size = round(height * scale), round(width * scale)
        if scale < 1 and min(size) < _SMALLEST:
            continue
        scaled = frames
        if scale < 1:
            scaled = [cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA) for frame in frames]
        current = _solver().calc(scaled[0], scaled[1], rescale_flow(current, *size))
    return np.ascontiguousarray(current, np.float32)


def _solver() -> cv2.VariationalRefinement:
    solver = cv2.VariationalRefinement.create()
    solver.setAlpha(SMOOTHNESS)
    solver.setDelta(BRIGHTNESS)
    solver.setGamma(GRADIENT)
    solver.setFixedPointIterations(SOLUTIONS)
    solver.setSorIterations(SWEEPS)
    return solver


def is_wanted(model: str, choice: str) -> bool:
    """Whether the flow of a method (registry name) is refined; ValueError for a choice that is not in ``CHOICES``."""
    if choice not in CHOICES:
        raise ValueError(f"variational is {choice!r}, not one of {', '.join(CHOICES)}")
    return choice == ON or (choice == AUTO and bool(registry.get(model).extras.get(EXTRA)))


def refined(raw: RawFlow, pair: FramePair) -> RawFlow:
    """``raw`` with its last refinement made exact on the frames it was computed from.

    At the size the method worked at, or the frames' own where that is smaller: what a method did not see for its cost
    is not paid for here.
    """
    height, width = min(raw.working, (pair.height, pair.width))
    start = rescale_flow(raw.worked(), height, width)
    frames = [pair.first, pair.second]
    if (height, width) != (pair.height, pair.width):
        frames = [cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in frames]
    return replace(raw, variational=variational_refinement(frames[0], frames[1], start))
