"""Raw objects of torchvision's Mask R-CNN (He et al. 2017, arXiv:1703.06870): boxes, scores and 28 x 28 masks.

Mask R-CNN is Faster R-CNN with one more head: inside each box that survived, a small convolutional network says for
every cell of a 28 x 28 grid how probable it is that the object is there. The detection half is the detection task's
own (``infer_two_stage``); the pyramid it computed is kept aside and the mask head run on it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import roi_align
from torchvision.ops.poolers import LevelMapper

from cvdemo.core.context import RunContext
from cvdemo.detection.labels import COCO_CATEGORIES, INDEX_OF_ID
from cvdemo.detection.nms import filter_and_suppress
from cvdemo.detection.raw import RawDetections
from cvdemo.detection.torchvision_two_stage import infer_two_stage
from cvdemo.segmentation.raw import RawInstances

COCO_NAMES = tuple(category.name for category in COCO_CATEGORIES)
_GRID = 28


def infer_instances(model: Any, picture: Any, context: RunContext, *, name: str) -> RawInstances:
    """Run a ``torchvision.models.detection.MaskRCNN`` on one picture (``Picture`` or (H, W, 3) uint8 RGB).

    Objects are those of the model's own settings (score above 0.05, suppression at IoU 0.5, the best 100), which are
    the loosest a slider offers; the masks are not yet pasted. Labels index COCO's 80 names.
    """
    heads = model.roi_heads
    with _output_of(model.backbone) as seen:
        found = infer_two_stage(model, picture, context, name=name)
    with context.stage("decode"):
        detections, _ = filter_and_suppress(
            found.candidates,
            score_threshold=heads.score_thresh,
            nms_kind="hard",
            iou_threshold=heads.nms_thresh,
            max_detections=heads.detections_per_img,
        )
    context.check_cancelled()
    with context.stage("network"):
        masks = _masks(heads, seen[-1], found, detections.boxes, detections.labels, context)
    with context.stage("decode"):
        return RawInstances(
            detections.boxes,
            detections.scores,
            np.array([INDEX_OF_ID[int(label)] for label in detections.labels], np.int64),
            masks.cpu().numpy(),
            COCO_NAMES,
            found.candidates.height,
            found.candidates.width,
            name,
        )


@contextmanager
def _output_of(module: nn.Module) -> Iterator[list[Any]]:
    """Collect what a module returns while the block runs. The caller holds the network's turn."""
    seen: list[Any] = []
    handle = module.register_forward_hook(lambda _, __, output: seen.append(output))
    try:
        yield seen
    finally:
        handle.remove()


@torch.inference_mode()
def _masks(
    heads: Any,
    features: Mapping[str, Tensor],
    found: RawDetections,
    boxes: np.ndarray,
    labels: np.ndarray,
    context: RunContext,
) -> Tensor:
    """(N, 28, 28) float32 probabilities of the boxes (pixels of the picture) for the class of each (COCO id)."""
    if not len(boxes):
        return torch.zeros(0, _GRID, _GRID)
    height, width = found.input_size
    scale = np.array([width / found.candidates.width, height / found.candidates.height] * 2, np.float32)
    regions = torch.from_numpy(boxes * scale).to(context.device)
    pooler = heads.mask_roi_pool
    maps = [feature for key, feature in features.items() if key in pooler.featmap_names]
    strides = [stride for *_, stride in found.levels[: len(maps)]]
    # FPN's rule by box size, with the strides of this picture: torchvision keeps those of the first it ever saw.
    mapper = LevelMapper(
        round(math.log2(strides[0])), round(math.log2(strides[-1])), pooler.canonical_scale, pooler.canonical_level
    )
    level = mapper([regions])
    pooled = torch.zeros((len(boxes), maps[0].shape[1], *pooler.output_size), device=context.device)
    with context.autocast():
        for index, (feature, stride) in enumerate(zip(maps, strides)):
            rows = (level == index).nonzero().squeeze(1)
            crops = roi_align(feature, [regions[rows]], pooler.output_size, 1.0 / stride, pooler.sampling_ratio)
            pooled[rows] = crops.float()
        logits = heads.mask_predictor(heads.mask_head(context.tensor(pooled)))
    own = torch.from_numpy(labels).to(context.device)
    return logits[torch.arange(len(own), device=context.device), own].float().sigmoid()
