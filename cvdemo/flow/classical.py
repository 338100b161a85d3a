"""Classical dense flow, which needs no weights: DIS at three presets and Farneback, by OpenCV."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import nn

from cvdemo.core.lazy import cv2
from cvdemo.core.registry import ModelSpec, RunContext, register
from cvdemo.flow.raw import FramePair, RawFlow, agree, example_pair, fitted

DIS_PRESETS: dict[str, int] = {"dis-ultrafast": 0, "dis-fast": 1, "dis-medium": 2}
"""Registry name to OpenCV's preset number."""
FARNEBACK = "farneback"
MOST_PIXELS = 2_000_000
SMALLEST = 64
LARGEST_ASPECT = 2
"""OpenCV's DIS takes the depth of its pyramid from the longer side and reads outside of a much shorter one."""

_MIDDLEBURY, _SCENES = "Middlebury EPE, 8 pairs", "EPE on 64 scenes of our generator, motion to 60 px"
_MEASURED: dict[str, dict[str, float]] = {
    "dis-medium": {_MIDDLEBURY: 0.606, _SCENES: 3.12},
    "dis-fast": {_MIDDLEBURY: 0.747, _SCENES: 3.74},
    FARNEBACK: {_MIDDLEBURY: 1.701, _SCENES: 9.87},
}
_PYRAMID_SCALE, _LEVELS, _WINDOW, _ROUNDS, _POLY_N, _POLY_SIGMA = 0.5, 5, 15, 3, 7, 1.5


def dis_flow(first: np.ndarray, second: np.ndarray, preset: int) -> np.ndarray:
    """Dense inverse search (Kroeger et al. 2016, arXiv:1603.03590).

    Args:
        first, second: (H, W) uint8 grey.   preset: 0 ultrafast, 1 fast, 2 medium.
    Returns: (H, W, 2) float32.
    """
    height, width = first.shape
    down = max(SMALLEST, -(-width // LARGEST_ASPECT)) - height
    right = max(SMALLEST, -(-height // LARGEST_ASPECT)) - width
    if down > 0 or right > 0:
        border = 0, max(down, 0), 0, max(right, 0), cv2.BORDER_REPLICATE
        first, second = cv2.copyMakeBorder(first, *border), cv2.copyMakeBorder(second, *border)
    flow = cv2.DISOpticalFlow.create(preset).calc(first, second, None)  # type: ignore[call-overload]  # None makes a new field
    return np.ascontiguousarray(flow[:height, :width], np.float32)


def farneback_flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Polynomial expansion (Farneback 2003): (H, W) uint8 grey frames to (H, W, 2) float32."""
    flow = cv2.calcOpticalFlowFarneback(  # type: ignore[call-overload]  # None makes a new field
        first, second, None, _PYRAMID_SCALE, _LEVELS, _WINDOW, _ROUNDS, _POLY_N, _POLY_SIGMA, 0
    )
    return np.ascontiguousarray(flow, np.float32)


def _runner(name: str, method: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[..., RawFlow]:
    def run(_: Any, pair: FramePair, context: RunContext) -> RawFlow:
        with context.stage("preprocess"):
            first, second, working = fitted(pair, most_pixels=MOST_PIXELS, multiple=1, smallest=16)
            grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first, second)]
        context.check_cancelled()
        with context.stage("flow"):
            flow = method(grey[0], grey[1])
        return RawFlow(flow[None], pair.height, pair.width, name, working, (flow.shape[0], flow.shape[1]))

    return run


def _register(name: str, title: str, method: Callable[[np.ndarray, np.ndarray], np.ndarray], **facts: Any) -> None:
    register(
        ModelSpec(
            name=name,
            task="flow",
            tier="classical",
            title=title,
            lecture="deck 000: optical flow, brightness constancy",
            parameters=0,
            metrics=_MEASURED.get(name, {}),
            licence="Apache-2.0 (OpenCV)",
            input="grey frames, at most 2 megapixels",
            weights=None,
            build=nn.Identity,
            run=_runner(name, method),
            example=example_pair,
            agrees=agree,
            **facts,
        )
    )


for _name, _preset in reversed(DIS_PRESETS.items()):
    _register(
        _name,
        f"DIS, {_name.removeprefix('dis-')}",
        lambda first, second, preset=_preset: dis_flow(first, second, preset),  # type: ignore[misc]
        family="classical, patches",
        architecture="inverse search of patches over a pyramid, densified"
        + (", then variational refinement" if _preset else ""),
        year=2016,
        paper="Kroeger et al., Fast Optical Flow using Dense Inverse Search, arXiv:1603.03590",
    )
_register(
    FARNEBACK,
    "Farnebäck",
    farneback_flow,
    family="classical, polynomial expansion",
    architecture="each neighbourhood as a quadratic polynomial, its displacement solved for, over a pyramid",
    year=2003,
    paper="Farnebäck, Two-Frame Motion Estimation Based on Polynomial Expansion, SCIA 2003",
)
