"""The compact detector as the registry knows it: from a picture to raw candidates, and its entry."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from cvdemo.core.inputs import example_picture, pixels_of
from cvdemo.core.lazy import cv2
from cvdemo.core.registry import ModelSpec, Precision, RunContext, WeightsFile, register
from cvdemo.core.tracing import LIVE_PRECISIONS, frozen_graph, fused
from cvdemo.detection.candidates import Candidates
from cvdemo.detection.labels import COCO_CATEGORIES
from cvdemo.detection.nets.compact_detector import (
    STRIDES,
    CompactDetector,
    LevelOutput,
    cell_centres,
    decode_boxes,
    flatten_levels,
)
from cvdemo.detection.raw import RawDetections, agree

LONG_SIDE = 480
SCORE_FLOOR = 0.01
CANDIDATE_CAP = 1000
PAD_VALUE = 114  # the grey the recipe pads with

_CATEGORY_IDS = np.array([category.id for category in COCO_CATEGORIES], np.int64)


def letterbox(pixels: np.ndarray, long_side: int = LONG_SIDE) -> tuple[np.ndarray, tuple[float, float]]:
    """Resize (H, W, 3) so that its longest side is ``long_side``, then pad right and bottom to multiples of 32.

    Returns the padded picture and the exact (horizontal, vertical) scale, network pixels per picture pixel.
    """
    height, width = pixels.shape[:2]
    scale = long_side / max(height, width)
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized = cv2.resize(pixels, (new_width, new_height), interpolation=interpolation)
    step = STRIDES[-1]
    padded = np.full((-(-new_height // step) * step, -(-new_width // step) * step, 3), PAD_VALUE, np.uint8)
    padded[:new_height, :new_width] = resized
    return padded, (new_width / width, new_height / height)


def letterboxed(pixels: np.ndarray, long_side: int, context: RunContext) -> tuple[Tensor, tuple[float, float]]:
    """``letterbox`` as a network's input, (1, 3, h, w) in [0, 1] in the run's format, and the same scales."""
    padded, scales = letterbox(pixels, long_side)
    blob = torch.from_numpy(padded).to(context.device).permute(2, 0, 1)[None].float().div_(255)
    return context.tensor(blob), scales


def top_pairs(logits: Tensor, floor: float = SCORE_FLOOR, cap: int = CANDIDATE_CAP) -> tuple[Tensor, Tensor, Tensor]:
    """The best (cell, class) pairs of class logits (N, classes): cell (K,), class (K,), score (K,), best first.

    The sigmoid is monotonous, so the floor is applied to the logits and only the survivors pay for it.
    """
    flat = logits.flatten()
    above = (flat > math.log(floor / (1 - floor))).nonzero()[:, 0]
    values, order = flat[above].topk(min(cap, len(above)))
    pair = above[order]
    return pair // logits.shape[1], pair % logits.shape[1], values.sigmoid()


class Cells(NamedTuple):
    """The best (cell, class) pairs of one picture, best first, K of them.

    cell: (K,) index over all levels, finest first.   label: (K,) class index.   score: (K,) in [0, 1].
    box: (K, 4) xyxy, centre: (K, 2), stride: (K,), all in pixels of the network's input.
    """

    cell: Tensor
    label: Tensor
    score: Tensor
    box: Tensor
    centre: Tensor
    stride: Tensor


def best_cells(
    outputs: list[LevelOutput], size: tuple[int, int], floor: float = SCORE_FLOOR, cap: int = CANDIDATE_CAP
) -> Cells:
    """What ``top_pairs`` finds in the network's outputs for an input of ``size`` (height, width), with the boxes."""
    logits, bins = flatten_levels(outputs)
    centres, strides = cell_centres(*size, logits.device)
    cell, label, score = top_pairs(logits[0], floor, cap)
    box = decode_boxes(bins[0][cell], centres[cell], strides[cell])
    return Cells(cell, label, score, box, centres[cell], strides[cell])


def run(network: Any, picture: Any, context: RunContext) -> RawDetections:
    """One picture (``Picture`` or (H, W, 3) uint8 RGB) through the network.

    Candidates are the best 1000 (cell, class) pairs with a score above 0.01; ``origins`` holds the cell each one was
    predicted from, as a square of one stride, and ``level`` its pyramid level (strides 8, 16, 32).
    """
    with context.stage("preprocess"):
        pixels = pixels_of(picture)
        height, width = pixels.shape[:2]
        blob, (scale_x, scale_y) = letterboxed(pixels, LONG_SIDE, context)
    with context.stage("network"), context.autocast():
        outputs = network(blob)
    with context.stage("decode"):
        best = best_cells(outputs, (blob.shape[2], blob.shape[3]))
        half = best.stride[:, None] / 2
        origins = torch.cat([best.centre - half, best.centre + half], 1).cpu().numpy()
        to_picture = np.array([scale_x, scale_y, scale_x, scale_y], np.float32)
        limits = np.array([width, height, width, height], np.float32)
        candidates = Candidates.from_arrays(
            np.clip(best.box.cpu().numpy() / to_picture, 0, limits),
            best.score.cpu().numpy(),
            _CATEGORY_IDS[best.label.cpu().numpy()],
            level=np.searchsorted(np.array(STRIDES), best.stride.cpu().numpy()).astype(np.int16),
            origins=origins / to_picture,
            height=height,
            width=width,
            model=SPEC_NAME,
        )
    levels = tuple((blob.shape[2] // s, blob.shape[3] // s, float(s)) for s in STRIDES)
    size = (round(height * scale_y), round(width * scale_x))
    return RawDetections(candidates, None, None, levels, size)


class _PlainOutputs(nn.Module):
    """A network whose levels come as one flat tuple: a graph cannot return named tuples."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(value for level in self.network(x) for value in level)


def _trace(network: nn.Module, precision: Precision) -> Any:
    """A frozen graph of the network without Python between its layers; it accepts every multiple of 32."""
    optimised = frozen_graph(_PlainOutputs(network), 1, 384, LONG_SIDE, precision)

    def traced(blob: Tensor) -> list[LevelOutput]:
        flat = optimised(blob)
        return [LevelOutput(*pair) for pair in zip(flat[::2], flat[1::2])]

    return traced


SPEC_NAME = "compact-detector"

register(
    ModelSpec(
        name=SPEC_NAME,
        task="detection",
        tier="compact",
        title="Compact detector (ships with cvdemo)",
        family="one-stage, anchor-free",
        architecture="CSP backbone, PAN neck, decoupled heads on strides 8, 16, 32; distances as distributions",
        year=2026,
        paper="after FCOS, Tian et al. 2019, arXiv:1904.01355, and GFL, Li et al. 2020, arXiv:2006.04388",
        lecture="HUST chapter 7: detection without anchors; all decks: one-stage detectors",
        parameters=2_311_136,
        gflops=1.8,  # at 480 x 384
        metrics={"COCO people test pictures AP50 person": 0.487, "COCO people test pictures AP50, 80 classes": 0.073},
        licence="MIT",
        categories=tuple(category.name for category in COCO_CATEGORIES),
        input="longest side 480 px, padded to multiples of 32, RGB in [0, 1]",
        weights=WeightsFile("compact_detector.safetensors"),
        build=CompactDetector,
        run=run,
        example=example_picture,
        agrees=agree,
        prepare=fused,
        precisions=LIVE_PRECISIONS,
        extras={
            "defaults": {"score_threshold": 0.35, "iou_threshold": 0.6, "max_detections": 100},
            "trace": _trace,
        },
    )
)
