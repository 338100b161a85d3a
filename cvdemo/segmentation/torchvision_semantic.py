"""Raw logits of torchvision's semantic networks: FCN, DeepLabV3 and LRASPP.

Their own ``forward`` ends by enlarging the logits to the size of the network's input. Here the same two halves,
``backbone`` and ``classifier``, are called one after the other, so that the small map is kept and the training-time
auxiliary classifier costs nothing. Nothing is written to the shared module.
"""

from __future__ import annotations

from typing import Any

import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as transforms

from cvdemo.core.context import RunContext
from cvdemo.core.inputs import pixels_of
from cvdemo.segmentation.raw import RawSegmentation

SHORT_SIDE = 520
LONGEST = 1333
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def input_size(height: int, width: int, short_side: int = SHORT_SIDE) -> tuple[int, int]:
    """(height, width) the picture is resized to: shorter side 520, the other in proportion.

    torchvision sets no limit to the longer side, and a 3000 x 20 strip would become 78000 pixels wide; beyond 1333 the
    whole picture is made smaller instead.
    """
    short, long = min(height, width), max(height, width)
    scaled = int(short_side * long / short)
    if scaled > LONGEST:
        short_side, scaled = max(1, round(LONGEST * short / long)), LONGEST
    return (short_side, scaled) if height <= width else (scaled, short_side)


def infer_semantic(
    model: Any,
    picture: Any,
    context: RunContext,
    *,
    name: str,
    categories: tuple[str, ...],
    short_side: int = SHORT_SIDE,
) -> RawSegmentation:
    """Run a torchvision segmentation network on one picture (``Picture`` or (H, W, 3) uint8 RGB).

    Returns logits (C, h, w) at the classifier's stride (8 of the network's input for the ResNets and LRASPP, 16 for
    DeepLabV3 MobileNetV3), which cover the whole picture.
    """
    with context.stage("preprocess"):
        pixels = pixels_of(picture)
        height, width = pixels.shape[:2]
        image = torch.from_numpy(pixels).permute(2, 0, 1)
        size = list(input_size(height, width, short_side))
        image = transforms.resize(image, size, interpolation=InterpolationMode.BILINEAR, antialias=True)
        blob = context.tensor(image[None]).float().div_(255)
        blob = context.tensor(transforms.normalize(blob, list(MEAN), list(DEVIATION)))
    context.check_cancelled()
    with context.stage("network"), torch.inference_mode(), context.autocast():
        features = model.backbone(blob)
        # LRASPP's head takes the features of two strides, the others the last ones only.
        logits = model.classifier(features if "low" in features else features["out"])
    with context.stage("decode"):
        values = logits[0].float().contiguous().cpu().numpy()
    return RawSegmentation(values, categories, (0.0, 0.0, float(width), float(height)), height, width, name)
