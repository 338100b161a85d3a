"""Real feature maps for the up-sampling bench: what our own backbone makes of a picture, at its four strides.

One run of the network returns every channel of every level; choosing a level or a channel afterwards costs nothing.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from cvdemo import tasks
from cvdemo.classification.compact import SPEC_NAME
from cvdemo.classification.nets.compact_backbone import normalise
from cvdemo.core import registry
from cvdemo.core.context import ProgressFn, RunContext
from cvdemo.core.engine import Engine, default_engine
from cvdemo.core.inputs import pixels_of
from cvdemo.core.lazy import cv2
from cvdemo.core.media import Picture

STRIDES = (4, 8, 16, 32)
LONG_SIDE = 320


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """One channel. values: (h, w) float32, not negative (after a ReLU).   channel: its index in the level.

    scale: cells per picture pixel, across and down: what ``roi_pool`` and ``roi_align`` take.   stride: of the level
    in pixels of the network's input.   variance: of the values.
    """

    values: np.ndarray
    channel: int
    level: int
    stride: int
    scale: tuple[float, float]
    variance: float

    def sentence(self) -> str:
        """What this map is, in one sentence."""
        rows, columns = self.values.shape
        return (
            f"Channel {self.channel} at stride {self.stride}: {columns} x {rows} cells, up to {self.values.max():.2f}."
        )


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """All levels of one picture.

    Attributes:
        levels: four arrays (C, h, w) float32, at strides 4, 8, 16 and 32.
        order: per level, channel indices by falling variance over the map (the first tell most apart).
        height, width: of the picture.   model, device: what ran where.   stages: milliseconds per stage.
    """

    levels: tuple[np.ndarray, ...]
    order: tuple[np.ndarray, ...]
    height: int
    width: int
    model: str
    device: str
    stages: dict[str, float]

    def ranked(self, level: int = 2, rank: int = 0) -> FeatureMap:
        """The channel with the ``rank``-th largest variance of a level (0 to 3); IndexError when there is none."""
        if not 0 <= level < len(self.levels) or not 0 <= rank < len(self.order[level]):
            raise IndexError(f"there is no channel of rank {rank} at level {level}")
        channel = int(self.order[level][rank])
        values = self.levels[level][channel]
        rows, columns = values.shape
        scale = (columns / self.width, rows / self.height)
        return FeatureMap(values, channel, level, STRIDES[level], scale, float(values.var(dtype=np.float64)))


def network_size(height: int, width: int, long_side: int = LONG_SIDE) -> tuple[int, int]:
    """Height and width the picture is resized to: multiples of 32, so that no level is padded or rounded."""
    factor = long_side / max(height, width)
    rows, columns = (max(1, round(side * factor / STRIDES[-1])) * STRIDES[-1] for side in (height, width))
    return rows, columns


def feature_maps(
    picture: Picture | np.ndarray,
    engine: Engine | None = None,
    *,
    long_side: int = LONG_SIDE,
    user: str = "",
    cancel: threading.Event | None = None,
    progress: ProgressFn | None = None,
) -> FeatureMaps:
    """Run the backbone of the compact classifier on a picture, (H, W, 3) uint8 RGB or ``Picture``.

    Raises ValueError for anything but such a picture, and as ``Engine.run`` (WeightsError without trained weights).
    """
    tasks.load_all()
    pixels = pixels_of(picture)
    height, width = pixels.shape[:2]
    rows, columns = network_size(height, width, long_side)

    def operation(network: Any, value: np.ndarray, context: RunContext) -> tuple[np.ndarray, ...]:
        with context.stage("preprocess"):
            method = cv2.INTER_AREA if rows * columns < height * width else cv2.INTER_LINEAR
            resized = cv2.resize(value, (columns, rows), interpolation=method)
            blob = torch.from_numpy(resized).to(context.device).permute(2, 0, 1)[None].float().div_(255)
            blob = context.tensor(blob)
        context.check_cancelled()
        with context.stage("network"), torch.inference_mode(), context.autocast():
            levels = network.backbone(normalise(blob))
        with context.stage("decode"):
            return tuple(level[0].float().contiguous().cpu().numpy() for level in levels)

    ran = (engine or default_engine()).run(
        registry.get(SPEC_NAME), pixels, user=user, cancel=cancel, progress=progress, operation=operation
    )
    levels: tuple[np.ndarray, ...] = ran.output
    return FeatureMaps(levels, tuple(rank_channels(level) for level in levels), height, width, ran.model, ran.device,
                       ran.stages)  # fmt: skip


def rank_channels(features: np.ndarray) -> np.ndarray:
    """Channel indices of (C, h, w) by falling variance over the map; the lower index first among equals."""
    variances = features.reshape(len(features), -1).var(axis=1, dtype=np.float64)
    return np.argsort(-variances, kind="stable")
