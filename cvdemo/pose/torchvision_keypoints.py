"""Keypoint R-CNN as torchvision has it (He et al. 2017, Mask R-CNN, arXiv:1703.06870), with its heatmaps kept.

torchvision's ``forward`` returns coordinates only. Here the same layers run, and the 56 x 56 map of logits of each
joint is returned beside the coordinates read from it the model's own way: enlarged bicubically to the box's size in
pixels of the network's input, then the highest pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import heatmaps_to_keypoints
from torchvision.ops import clip_boxes_to_image, nms, remove_small_boxes, roi_align

from cvdemo.core.registry import RunContext
from cvdemo.detection import torchvision_two_stage as two_stage
from cvdemo.detection.torchvision_raw import NetworkInput, network_input, pyramid, to_picture
from cvdemo.pose.raw import JOINTS, RawPoses

_SMALLEST_SIDE = 1e-2
_PERSON = 1


@torch.inference_mode()
def infer_keypoints(model: Any, value: Any, context: RunContext, *, name: str = "") -> RawPoses:
    """Run a ``torchvision.models.detection.KeypointRCNN`` on a picture and return its people with heatmaps.

    Args:
        model: in eval mode; read, never written.
        value: ``Picture``, (H, W, 3) uint8 RGB, or ``People``. People with boxes replace the first stage: the joints
            are looked for in those boxes, which keep their scores.
        name: goes into the result's ``model``.
    Returns:
        boxes by falling score, those the model itself would return (score above 0.05, suppressed at IoU 0.5, at most
        100). ``keypoints`` and ``scores`` equal torchvision's own; ``heatmaps`` (N, 17, 56, 56) are logits over each
        box; a box narrower than a pixel of the network's input has its map stretched to one, as torchvision does.
    """
    with context.stage("preprocess"):
        given = network_input(model, value, context)
    context.check_cancelled()
    with context.stage("network"):
        with context.autocast():
            features = model.backbone(given.tensor)
        context.check_cancelled()
        levels = pyramid(given, list(features.values()))
        boxes, box_scores = _known(value, given)
        if boxes is None or box_scores is None:
            boxes, box_scores = _people(model, given, features, levels, context)
        context.check_cancelled()
        maps = _heatmaps(model.roi_heads, features, levels, boxes, context)
    with context.stage("decode"):
        return _result(name, given, boxes, box_scores, maps)


def _known(value: Any, given: NetworkInput) -> tuple[Tensor | None, Tensor | None]:
    """Boxes the caller brought, in pixels of the network's input, and their scores; None without any."""
    boxes = getattr(value, "boxes", None)
    if boxes is None or not len(boxes):
        return None, None
    scale = np.array(given.size[::-1] * 2, np.float32) / np.array(given.picture[::-1] * 2, np.float32)
    device = given.tensor.device
    return torch.from_numpy(boxes * scale).to(device), torch.from_numpy(np.array(value.scores, np.float32)).to(device)


def _people(
    model: Any,
    given: NetworkInput,
    features: dict[str, Tensor],
    levels: Sequence[tuple[int, int, float]],
    context: RunContext,
) -> tuple[Tensor, Tensor]:
    """(N, 4) boxes in pixels of the network's input and (N,) scores: both stages of the detector, suppressed."""
    heads = model.roi_heads
    proposals, _ = two_stage._propose(model.rpn, given, list(features.values()), context)
    pooled = [feature for key, feature in features.items() if key in heads.box_roi_pool.featmap_names]
    level = two_stage._roi_levels(heads.box_roi_pool, proposals, [s for *_, s in levels[: len(pooled)]])
    logits, deltas = two_stage._classify(heads, pooled, levels, proposals, level, context)
    scores = logits.softmax(-1)[:, _PERSON]
    codes = deltas.view(len(proposals), -1, 4)[:, _PERSON]
    boxes = clip_boxes_to_image(heads.box_coder.decode_single(codes, proposals), given.size)
    above = scores > heads.score_thresh
    boxes, scores = boxes[above], scores[above]
    whole = remove_small_boxes(boxes, _SMALLEST_SIDE)
    boxes, scores = boxes[whole], scores[whole]
    kept = nms(boxes, scores, heads.nms_thresh)[: heads.detections_per_img]
    return boxes[kept], scores[kept]


def _heatmaps(
    heads: Any,
    features: dict[str, Tensor],
    levels: Sequence[tuple[int, int, float]],
    boxes: Tensor,
    context: RunContext,
) -> Tensor:
    """(N, 17, 56, 56) float32 logits of the joints in each box."""
    pooler = heads.keypoint_roi_pool
    pooled_from = [feature for key, feature in features.items() if key in pooler.featmap_names]
    if not len(boxes):
        return boxes.new_zeros((0, JOINTS, 1, 1))
    level = two_stage._roi_levels(pooler, boxes, [stride for *_, stride in levels[: len(pooled_from)]])
    size = pooler.output_size
    pooled = pooled_from[0].new_zeros((len(boxes), pooled_from[0].shape[1], *size))
    with context.autocast():
        for index, (feature, (_, _, stride)) in enumerate(zip(pooled_from, levels)):
            rows = (level == index).nonzero().squeeze(1)
            crops = roi_align(feature, [boxes[rows]], size, 1.0 / stride, pooler.sampling_ratio)
            pooled[rows] = crops.to(pooled.dtype)
        maps: Tensor = heads.keypoint_predictor(heads.keypoint_head(context.tensor(pooled)))
    return maps.float()


def _result(name: str, given: NetworkInput, boxes: Tensor, box_scores: Tensor, maps: Tensor) -> RawPoses:
    if len(boxes):
        points, scores = heatmaps_to_keypoints(maps, boxes)
    else:
        points, scores = boxes.new_zeros((0, JOINTS, 3)), boxes.new_zeros((0, JOINTS))
    in_picture = to_picture(boxes, given).cpu().numpy()
    regions = to_picture(torch.cat([boxes[:, :2], torch.maximum(boxes[:, 2:], boxes[:, :2] + 1)], 1), given)
    down, across = (picture / size for picture, size in zip(given.picture, given.size))
    keypoints = points[..., :2].cpu().numpy() * np.array([across, down], np.float32)
    return RawPoses(
        boxes=in_picture.astype(np.float32),
        box_scores=box_scores.float().cpu().numpy(),
        heatmaps=maps.cpu().numpy(),
        regions=regions.cpu().numpy().astype(np.float32),
        keypoints=keypoints.astype(np.float32),
        scores=scores.cpu().numpy(),
        height=given.picture[0],
        width=given.picture[1],
        model=name,
        logits=True,
    )
