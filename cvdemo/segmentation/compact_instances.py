"""The compact instance model as the registry knows it: from a picture to boxes with masks, and its entry."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cvdemo.core.inputs import example_picture, pixels_of
from cvdemo.core.registry import ModelSpec, Precision, RunContext, WeightsFile, register
from cvdemo.core.tracing import LIVE_PRECISIONS, frozen_graph, fused
from cvdemo.detection.candidates import Candidates
from cvdemo.detection.compact import LONG_SIDE, best_cells, letterboxed
from cvdemo.detection.labels import COCO_CATEGORIES
from cvdemo.detection.nets.compact_detector import LevelOutput
from cvdemo.detection.nms import suppress
from cvdemo.segmentation.nets.compact_instances import CompactInstances, Found, fitted, grown
from cvdemo.segmentation.raw import RawInstances, agree_instances

SPEC_NAME = "compact-instances"
FILENAME = "compact_instances.safetensors"
DETECTOR_PREFIX, DETECTOR_FILENAME = "detector.", "compact_detector.safetensors"
SCORE_FLOOR = 0.05  # the lowest a slider offers
SUPPRESSION_IOU = 0.5
MOST_OBJECTS = 100
SIDE = 28  # of the masks over their final boxes

CATEGORIES = tuple(category.name for category in COCO_CATEGORIES)


def run(
    network: Any, picture: Any, context: RunContext, *, floor: float = SCORE_FLOOR, side: int = SIDE
) -> RawInstances:
    """One picture (``Picture`` or (H, W, 3) uint8 RGB) through the network: boxes, then masks of those that stay.

    Objects are the detector's (cell, class) pairs with a score above ``floor``, after suppression within each class at
    IoU 0.5, the best 100; boxes are cut at the picture's edge. Each box then moves to where its mask ends, and masks
    are ``side`` x ``side`` cells over it.
    """
    with context.stage("preprocess"):
        pixels = pixels_of(picture)
        height, width = pixels.shape[:2]
        blob, (scale_x, scale_y) = letterboxed(pixels, LONG_SIDE, context)
    context.check_cancelled()
    with context.stage("network"), context.autocast():
        found: Found = network(blob)
    with context.stage("decode"):
        best = best_cells(found.levels, (blob.shape[2], blob.shape[3]), floor)
        limits = torch.tensor([width * scale_x, height * scale_y] * 2, device=context.device)
        boxes = torch.minimum(best.box.clamp(min=0.0), limits)
        candidates = Candidates.from_arrays(
            boxes.cpu().numpy(), best.score.cpu().numpy(), best.label.cpu().numpy(), height=height, width=width
        )
        solid = np.flatnonzero((candidates.boxes[:, 2:] - candidates.boxes[:, :2] >= 1).all(axis=1))
        kept, scores = suppress(candidates.take(solid), "hard", SUPPRESSION_IOU, max_detections=MOST_OBJECTS)
        rows = torch.from_numpy(solid[kept]).to(context.device)
    with context.stage("network"), context.autocast():
        alone = torch.zeros_like(rows)
        regions = grown(boxes[rows], height * scale_y, width * scale_x)
        logits = network.masks(found.prototypes, found.pyramid, alone, best.cell[rows], regions)
    with context.stage("decode"):
        ends, logits = fitted(logits, regions, boxes[rows], side)
        masks = logits.sigmoid().cpu().numpy()
    to_picture = np.array([scale_x, scale_y, scale_x, scale_y], np.float32)
    return RawInstances(
        np.minimum(ends.cpu().numpy() / to_picture, np.array([width, height] * 2, np.float32)),
        scores,
        candidates.labels[solid[kept]],
        masks,
        CATEGORIES,
        height,
        width,
        SPEC_NAME,
    )


class _PlainOutputs(nn.Module):
    """A network whose outputs come as one flat tuple: a graph cannot return named tuples."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        found = self.network(x)
        return (*(value for level in found.levels for value in level), found.prototypes, *found.pyramid)


class _Traced:
    """A frozen graph of everything that is dense, beside the network's own ``masks``; accepts multiples of 32."""

    def __init__(self, network: Any, graph: Any) -> None:
        self.masks, self._graph = network.masks, graph

    def __call__(self, blob: Tensor) -> Found:
        flat = self._graph(blob)
        return Found([LevelOutput(*flat[k : k + 2]) for k in (0, 2, 4)], flat[6], tuple(flat[7:]))


def _trace(network: nn.Module, precision: Precision) -> Any:
    return _Traced(network, frozen_graph(_PlainOutputs(network), 1, 384, LONG_SIDE, precision))


register(
    ModelSpec(
        name=SPEC_NAME,
        task="segmentation",
        tier="compact",
        title="Compact instances, 80 classes (ships with cvdemo)",
        family="instances, one-stage",
        architecture="the compact detector, 24 prototypes at stride 4, two layers of its own for each object",
        year=2026,
        paper="after YOLACT, Bolya et al. 2019, arXiv:1904.02689, and CondInst, Tian et al. 2020, arXiv:2003.05664",
        lecture="all decks: instance segmentation; beside Mask R-CNN: one stage against two",
        parameters=2_872_158,
        gflops=2.4,  # at 480 x 384, without the at most 0.06 of 100 objects' own layers
        metrics={"COCO people test pictures with outlines, mask AP50 of person": 0.737},
        licence="MIT",
        categories=CATEGORIES,
        input="longest side 480 px, padded to multiples of 32, RGB in [0, 1]",
        weights=WeightsFile(FILENAME),
        borrowed={DETECTOR_PREFIX: WeightsFile(DETECTOR_FILENAME)},
        build=CompactInstances,
        run=run,
        example=example_picture,
        agrees=agree_instances,
        prepare=fused,
        precisions=LIVE_PRECISIONS[:4],  # its boxes need more than bfloat16's eight bits, also when traced
        extras={"defaults": {"score_threshold": 0.35}, "trace": _trace, "kind": "instances"},
    )
)
