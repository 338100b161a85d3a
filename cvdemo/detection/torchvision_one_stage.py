"""Raw candidates of torchvision's one-stage detectors: RetinaNet, FCOS and SSD.

Each scores every class at every anchor in one pass. torchvision drops scores up to ``score_thresh``, keeps the best
``topk_candidates`` of each pyramid level (RetinaNet, FCOS) or of each class (SSD), and suppresses what is left.

Why our candidates give the same result: thresholding and taking the best k of a group are both cuts through the same
order by score, so they can be exchanged. We cut at a lower score (``SCORE_FLOOR``, or the model's own threshold where
that is lower still) with the same k and the same groups; filtering those by any threshold above the floor leaves
exactly the pairs torchvision has with that threshold. Below the floor nothing is kept. The cap is the model's own:
levels * k for RetinaNet and FCOS (5 * 1000), classes * k for SSD (90 * 400) and SSDlite (90 * 300). SSDlite's own
threshold is 0.001, so that is its floor: with 0.01 it would return fewer boxes than torchvision.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchvision.ops import clip_boxes_to_image

from cvdemo.core.registry import RunContext
from cvdemo.detection.raw import RawDetections
from cvdemo.detection.torchvision_raw import (
    SCORE_FLOOR,
    NetworkInput,
    anchor_boxes,
    network_input,
    pyramid,
    raw_detections,
)

# How far below the floor a logit may lie and still be looked at: more than bfloat16's rounding of the floor itself.
_LOGIT_SLACK = 0.05

_Outputs = dict[str, Tensor]
_LevelScores = Callable[[_Outputs, float], tuple[Tensor, Tensor]]


@torch.inference_mode()
def infer_retinanet(model: Any, picture: Any, context: RunContext, *, name: str = "") -> RawDetections:
    """Run a ``torchvision.models.detection.RetinaNet`` up to its (anchor, class) pairs, before suppression.

    Args:
        model: in eval mode; read, never written.
        picture: ``Picture`` or (H, W, 3) uint8 RGB.
        name: goes into ``candidates.model``.
    Returns:
        candidates scoring above 0.01, at most the model's own 1000 of each level (see the module's text on why that
        loses nothing), with ``level`` (0 = P3) and the anchor as ``origins``.

    Lin et al. 2017, "Focal loss for dense object detection", arXiv:1708.02002.
    """
    return _infer_levels(model, picture, context, name, _retinanet_scores, model.box_coder.decode_single)


@torch.inference_mode()
def infer_fcos(model: Any, picture: Any, context: RunContext, *, name: str = "") -> RawDetections:
    """As :func:`infer_retinanet` for a ``torchvision.models.detection.FCOS``.

    Scores are sqrt(class probability * centre-ness). FCOS has no anchors: ``origins`` are squares of one stride
    around the points the box sides were measured from.

    Tian et al. 2019, "FCOS: Fully convolutional one-stage object detection", arXiv:1904.01355.
    """
    return _infer_levels(model, picture, context, name, _fcos_scores, model.box_coder.decode)


def _infer_levels(
    model: Any,
    picture: Any,
    context: RunContext,
    name: str,
    level_scores: _LevelScores,
    decode: Callable[[Tensor, Tensor], Tensor],
) -> RawDetections:
    given, features, outputs = _run_network(model, picture, context)
    with context.stage("decode"):
        levels = pyramid(given, features)
        anchors = anchor_boxes(model.anchor_generator, given, features)
        per_cell = model.anchor_generator.num_anchors_per_location()
        counts = [rows * columns * number for (rows, columns, _), number in zip(levels, per_cell)]
        floor = min(SCORE_FLOOR, model.score_thresh)
        found_scores, found_anchors, found_labels, found_levels = [], [], [], []
        start = 0
        for level, count in enumerate(counts):
            part = {key: value[0, start : start + count] for key, value in outputs.items()}
            scores, index = level_scores(part, floor)
            keep = scores > floor
            scores, index = scores[keep], index[keep]
            scores, order = scores.topk(min(model.topk_candidates, len(scores)))
            index = index[order]
            classes = part["cls_logits"].shape[-1]
            found_scores.append(scores)
            found_anchors.append(start + index // classes)
            found_labels.append(index % classes)
            found_levels.append(torch.full_like(index, level))
            start += count
        chosen = torch.cat(found_anchors)
        origins = anchors[chosen]
        boxes = decode(outputs["bbox_regression"][0, chosen].float(), origins)
        return raw_detections(
            name,
            given,
            levels,
            boxes=clip_boxes_to_image(boxes, given.size),
            scores=torch.cat(found_scores),
            labels=torch.cat(found_labels),
            level=torch.cat(found_levels),
            origins=origins,
        )


def _run_network(model: Any, picture: Any, context: RunContext) -> tuple[NetworkInput, list[Tensor], _Outputs]:
    with context.stage("preprocess"):
        given = network_input(model, picture, context)
    context.check_cancelled()
    with context.stage("network"), context.autocast():
        features = list(model.backbone(given.tensor).values())
        context.check_cancelled()
        outputs = model.head(features)
    context.check_cancelled()
    return given, features, outputs


def _retinanet_scores(outputs: _Outputs, floor: float) -> tuple[Tensor, Tensor]:
    """Scores and flat (anchor * classes + class) indices of at least all pairs above the floor, of one level.

    Compares logits first: a picture has some 15 million pairs, and the sigmoid of all but a few is of no interest.
    """
    logits = outputs["cls_logits"].flatten()
    index = (logits > math.log(floor / (1 - floor)) - _LOGIT_SLACK).nonzero().squeeze(1)
    return logits[index].float().sigmoid(), index


def _fcos_scores(outputs: _Outputs, floor: float) -> tuple[Tensor, Tensor]:
    centreness = outputs["bbox_ctrness"].float().sigmoid()
    scores = (outputs["cls_logits"].float().sigmoid() * centreness).sqrt().flatten()
    index = (scores > floor).nonzero().squeeze(1)
    return scores[index], index


@torch.inference_mode()
def infer_ssd(model: Any, picture: Any, context: RunContext, *, name: str = "") -> RawDetections:
    """Run a ``torchvision.models.detection.SSD`` (also SSDlite) up to its (default box, class) pairs.

    Args:
        model: in eval mode; read, never written.
        picture: ``Picture`` or (H, W, 3) uint8 RGB.
        name: goes into ``candidates.model``.
    Returns:
        candidates scoring above 0.01 (SSDlite 0.001, its own threshold), at most the model's own 400 (300) of each
        class, with ``level`` (0 = finest of six) and the default box as ``origins``.

    Liu et al. 2016, "SSD: Single shot multibox detector", arXiv:1512.02325.
    """
    given, features, outputs = _run_network(model, picture, context)
    with context.stage("decode"):
        generator = model.anchor_generator
        levels = pyramid(given, features, generator.steps)
        anchors = anchor_boxes(generator, given, features)
        counts = torch.tensor(
            [
                rows * columns * number
                for (rows, columns, _), number in zip(levels, generator.num_anchors_per_location())
            ],
            device=anchors.device,
        )
        scores = outputs["cls_logits"][0].float().softmax(-1)
        row, label = _best_per_class(scores, min(SCORE_FLOOR, model.score_thresh), model.topk_candidates)
        boxes = model.box_coder.decode_single(outputs["bbox_regression"][0].float(), anchors)
        return raw_detections(
            name,
            given,
            levels,
            boxes=clip_boxes_to_image(boxes, given.size)[row],
            scores=scores[row, label],
            labels=label,
            level=torch.arange(len(levels), device=anchors.device).repeat_interleave(counts)[row],
            origins=anchors[row],
        )


def _best_per_class(scores: Tensor, floor: float, limit: int) -> tuple[Tensor, Tensor]:
    """Rows and classes of all ``scores`` (A, C) above ``floor``, the best ``limit`` of each class, class 0 left out.

    torchvision loops over the classes; only the few classes with more than ``limit`` need ranking at all.
    """
    above = scores > floor
    above[:, 0] = False
    crowded = (above.sum(0) > limit).nonzero().squeeze(1)
    if len(crowded):
        best = scores[:, crowded].topk(limit, dim=0).indices
        # Among the best and above the floor: a crowded class has more than ``limit`` above it.
        above[:, crowded] = torch.zeros_like(above[:, crowded]).scatter_(0, best, True)
    row, label = above.nonzero(as_tuple=True)
    return row, label
