"""Raw candidates of torchvision's Faster R-CNN (Ren et al. 2015, arXiv:1506.01497; FPN: Lin et al. 2017).

Stage one, the region proposal network (RPN), scores anchors for "some object", moves them and suppresses duplicates;
stage two pools features inside each proposal (RoIAlign), classifies it and refines its box once per class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection.rpn import concat_box_prediction_layers
from torchvision.ops import clip_boxes_to_image, remove_small_boxes, roi_align
from torchvision.ops.poolers import LevelMapper

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

# Softmax scores of one proposal add up to 1, so at most 19 exceed the models' own threshold of 0.05, and 1000
# proposals give at most 19,000: the cap costs nothing at that threshold, and only an untrained network reaches it.
MAX_CANDIDATES = 20_000
_SMALLEST_SIDE = 1e-2


@torch.inference_mode()
def infer_two_stage(model: Any, picture: Any, context: RunContext, *, name: str = "") -> RawDetections:
    """Run a ``torchvision.models.detection.FasterRCNN`` up to its (proposal, class) pairs, before suppression.

    Args:
        model: in eval mode; read, never written.
        picture: ``Picture`` or (H, W, 3) uint8 RGB.
        name: goes into ``candidates.model``.
    Returns:
        candidates: every pair of a proposal and a class scoring above 0.01, at most the best 20,000. ``origins`` are
        the proposals, ``level`` the feature map RoIAlign pooled each from. Boxes thinner than 0.01 pixel of the
        network's input are left out, as torchvision does. proposals and objectness: those the model itself would
        classify (after the RPN's own suppression, the model's own number), best first.

    Filtering the candidates by any score threshold of at least 0.01 and suppressing them within each class gives what
    torchvision returns with that threshold set on the model, because a proposal's pairs do not depend on the threshold
    (below 0.05 as long as the cap is not reached).
    """
    with context.stage("preprocess"):
        given = network_input(model, picture, context)
    context.check_cancelled()
    with context.stage("network"):
        with context.autocast():
            features = model.backbone(given.tensor)
        context.check_cancelled()
        proposals, objectness = _propose(model.rpn, given, list(features.values()), context)
        context.check_cancelled()
        pooler = model.roi_heads.box_roi_pool
        pooled_from = [feature for key, feature in features.items() if key in pooler.featmap_names]
        levels = pyramid(given, list(features.values()))
        level = _roi_levels(pooler, proposals, [stride for *_, stride in levels[: len(pooled_from)]])
        logits, deltas = _classify(model.roi_heads, pooled_from, levels, proposals, level, context)
    with context.stage("decode"):
        return _decode(model, name, given, levels, proposals, objectness, level, logits, deltas)


def _propose(rpn: Any, given: NetworkInput, features: Sequence[Tensor], context: RunContext) -> tuple[Tensor, Tensor]:
    """Proposals (P, 4) in input pixels and their objectness (P,), best first, after the RPN's own suppression."""
    with context.autocast():
        objectness, deltas = rpn.head(features)
    per_level = [int(scores[0].numel()) for scores in objectness]
    scores, codes = concat_box_prediction_layers(objectness, deltas)
    scores, codes = scores.flatten().float(), codes.float()
    anchors = anchor_boxes(rpn.anchor_generator, given, features)
    # torchvision decodes every anchor and then keeps the best of each level; the other way round is far less work.
    starts = [sum(per_level[:index]) for index in range(len(per_level))]
    limit = rpn.pre_nms_top_n()
    best = [
        start + scores[start : start + count].topk(min(limit, count)).indices for start, count in zip(starts, per_level)
    ]
    chosen = torch.cat(best)
    boxes = rpn.box_coder.decode_single(codes[chosen], anchors[chosen])
    kept, probabilities = rpn.filter_proposals(
        boxes[None], scores[chosen][None], [given.size], [len(rows) for rows in best]
    )
    return kept[0], probabilities[0]


def _roi_levels(pooler: Any, proposals: Tensor, strides: Sequence[float]) -> Tensor:
    """(P,) level each proposal is pooled from: FPN's k = floor(4 + log2(sqrt(area) / 224)) within the levels there are.

    The strides are those of the padded input. torchvision estimates them from the first picture a model ever sees and
    keeps them for all later ones, and estimates them wrong when that picture is a narrow strip.
    """
    if len(strides) == 1:
        return torch.zeros(len(proposals), dtype=torch.int64, device=proposals.device)
    finest, coarsest = (round(math.log2(stride)) for stride in (strides[0], strides[-1]))
    mapper = LevelMapper(finest, coarsest, pooler.canonical_scale, pooler.canonical_level)
    return mapper([proposals])


def _classify(
    heads: Any,
    features: Sequence[Tensor],
    levels: Sequence[tuple[int, int, float]],
    proposals: Tensor,
    level: Tensor,
    context: RunContext,
) -> tuple[Tensor, Tensor]:
    """Class logits (P, C) and box deltas (P, C * 4), float32."""
    pooler = heads.box_roi_pool
    size = pooler.output_size
    pooled = features[0].new_zeros((len(proposals), features[0].shape[1], *size))
    with context.autocast():
        for index, (feature, (_, _, stride)) in enumerate(zip(features, levels)):
            rows = (level == index).nonzero().squeeze(1)
            crops = roi_align(feature, [proposals[rows]], size, 1.0 / stride, pooler.sampling_ratio)
            pooled[rows] = crops.to(pooled.dtype)
        logits, deltas = heads.box_predictor(heads.box_head(context.tensor(pooled)))
    return logits.float(), deltas.float()


def _decode(
    model: Any,
    name: str,
    given: NetworkInput,
    levels: tuple[tuple[int, int, float], ...],
    proposals: Tensor,
    objectness: Tensor,
    level: Tensor,
    logits: Tensor,
    deltas: Tensor,
) -> RawDetections:
    heads = model.roi_heads
    scores = logits.softmax(-1)
    classes = scores.shape[1]
    floor = min(SCORE_FLOOR, heads.score_thresh)
    row, label = (scores[:, 1:] > floor).nonzero(as_tuple=True)
    label = label + 1
    score = scores[row, label]
    if len(score) > MAX_CANDIDATES:
        best = score.topk(MAX_CANDIDATES).indices.sort().values
        row, label, score = row[best], label[best], score[best]
    codes = deltas.view(len(proposals), classes, 4)[row, label]
    origins = proposals[row]
    boxes = clip_boxes_to_image(heads.box_coder.decode_single(codes, origins), given.size)
    keep = remove_small_boxes(boxes, _SMALLEST_SIDE)
    return raw_detections(
        name,
        given,
        levels,
        boxes=boxes[keep],
        scores=score[keep],
        labels=label[keep],
        level=level[row[keep]],
        origins=origins[keep],
        proposals=proposals,
        objectness=objectness,
    )
