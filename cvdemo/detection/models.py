"""The detectors the program offers. Importing this module registers them; adding one is one entry.

The full tier is torchvision's: parameters, operations, accuracy, address and file name are read from torchvision's own
weight entries, so they cannot drift apart from the file. What torchvision does not know (year, paper, lecture, input in
words) is written here, with the thresholds each model is published with, which its tests compare with the built model.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from torch import nn
from torchvision.models import WeightsEnum
from torchvision.models import detection as torchvision_detection

from cvdemo.core.registry import ModelSpec, Precision, WeightsFile, register
from cvdemo.detection.raw import RawDetections, agree
from cvdemo.detection.torchvision_one_stage import infer_fcos, infer_retinanet, infer_ssd
from cvdemo.detection.torchvision_raw import freeze_batch_norm, fuse_batch_norm
from cvdemo.detection.torchvision_two_stage import infer_two_stage

PRECISIONS = (Precision(), Precision(channels_last=True), Precision("bfloat16", channels_last=True))

_LARGE = "shorter side 800 px (longer at most 1333), RGB normalised with ImageNet's mean and deviation, padded to 32 px"
_UNNAMED = ("__background__", "N/A")
_TWO_STAGE = "two-stage, anchors"
_ONE_STAGE = "one-stage, anchors"


def example_picture() -> np.ndarray:
    """(480, 640, 3) uint8: soft random blobs with some hard-edged boxes, always the same, for warm-up and measuring."""
    rng = np.random.default_rng(0)
    picture = cv2.resize(rng.integers(0, 256, (12, 16, 3), np.uint8), (640, 480), interpolation=cv2.INTER_CUBIC)
    for x, y, width, height, *colour in rng.integers(0, (560, 420, 160, 160, 256, 256, 256), (8, 7)).tolist():
        cv2.rectangle(picture, (x, y), (x + 20 + width, y + 20 + height), colour, thickness=-1)
    return picture


def build_torchvision(builder: Callable[..., nn.Module], frozen: bool) -> nn.Module:
    """A torchvision detector with random weights, in eval mode, shaped like its published file.

    frozen: whether that file was saved with frozen batch norm in the backbone, which torchvision itself builds only
    when it is told to fetch weights.
    """
    model = builder(weights=None, weights_backbone=None)
    return (freeze_batch_norm(model) if frozen else model).eval()


def torchvision_spec(
    weights: WeightsEnum,
    builder: Callable[..., nn.Module],
    infer: Callable[..., RawDetections],
    *,
    defaults: tuple[float, float, int],
    frozen: bool = False,
    **facts: Any,
) -> ModelSpec:
    """A registry entry from torchvision's weight entry and builder.

    defaults: the model's own score threshold, IoU threshold and number of detections.
    frozen: see :func:`build_torchvision`.   facts: title, family, architecture, year, paper, lecture, input.
    """
    meta = weights.meta
    name = builder.__name__
    score_threshold, iou_threshold, max_detections = defaults
    return ModelSpec(
        name=name,
        task="detection",
        tier="full",
        parameters=meta["num_params"],
        gflops=meta["_ops"],
        metrics={"COCO val2017 box AP": meta["_metrics"]["COCO-val2017"]["box_map"]},
        licence="BSD-3-Clause (torchvision); weights trained on COCO 2017",
        categories=tuple(category for category in meta["categories"] if category not in _UNNAMED),
        weights=WeightsFile.from_url(weights.url),
        build=functools.partial(build_torchvision, builder, frozen),
        run=functools.partial(infer, name=name),
        example=example_picture,
        agrees=agree,
        precisions=PRECISIONS,
        prepare=fuse_batch_norm,
        extras={
            "defaults": {
                "score_threshold": score_threshold,
                "iou_threshold": iou_threshold,
                "max_detections": max_detections,
            }
        },
        **facts,
    )


TORCHVISION_SPECS = (
    torchvision_spec(
        torchvision_detection.FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1,
        torchvision_detection.fasterrcnn_resnet50_fpn_v2,
        infer_two_stage,
        defaults=(0.05, 0.5, 100),
        title="Faster R-CNN, ResNet-50 FPN v2",
        family=_TWO_STAGE,
        architecture="ResNet-50, FPN, region proposal network, RoIAlign and a box head of four convolutions",
        year=2015,
        paper="Ren et al., Faster R-CNN, arXiv:1506.01497; recipe of Li et al. 2021, arXiv:2111.11429",
        lecture="UNSW part 2, HUST chapter 7, Sydney, DeepMind: Faster R-CNN (anchors, proposals, refinement)",
        input=_LARGE,
    ),
    torchvision_spec(
        torchvision_detection.FasterRCNN_MobileNet_V3_Large_FPN_Weights.COCO_V1,
        torchvision_detection.fasterrcnn_mobilenet_v3_large_fpn,
        infer_two_stage,
        defaults=(0.05, 0.5, 100),
        frozen=True,
        title="Faster R-CNN, MobileNetV3-Large FPN",
        family=_TWO_STAGE,
        architecture="MobileNetV3-Large, FPN, region proposal network, RoIAlign and a box head of two linear layers",
        year=2019,
        paper="Ren et al. 2015, Faster R-CNN, arXiv:1506.01497; Howard et al., MobileNetV3, arXiv:1905.02244",
        lecture="UNSW part 2, HUST chapter 7, Sydney, DeepMind: Faster R-CNN; Michigan: speed against accuracy",
        input=_LARGE,
    ),
    torchvision_spec(
        torchvision_detection.FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1,
        torchvision_detection.fasterrcnn_mobilenet_v3_large_320_fpn,
        infer_two_stage,
        defaults=(0.05, 0.5, 100),
        frozen=True,
        title="Faster R-CNN, MobileNetV3-Large 320 FPN",
        family=_TWO_STAGE,
        architecture="as Faster R-CNN MobileNetV3-Large FPN, on smaller pictures with 150 instead of 1000 proposals",
        year=2019,
        paper="Ren et al. 2015, Faster R-CNN, arXiv:1506.01497; Howard et al., MobileNetV3, arXiv:1905.02244",
        lecture="UNSW part 2, HUST chapter 7, Sydney, DeepMind: Faster R-CNN; Michigan: speed against accuracy",
        input=_LARGE.replace("800", "320").replace("1333", "640"),
    ),
    torchvision_spec(
        torchvision_detection.RetinaNet_ResNet50_FPN_V2_Weights.COCO_V1,
        torchvision_detection.retinanet_resnet50_fpn_v2,
        infer_retinanet,
        defaults=(0.05, 0.5, 300),
        title="RetinaNet, ResNet-50 FPN v2",
        family=_ONE_STAGE,
        architecture="ResNet-50, FPN P3 to P7, nine anchors a cell, two heads of four convolutions, focal loss",
        year=2017,
        paper="Lin et al., Focal loss, arXiv:1708.02002; recipe of Zhang et al. 2019 (ATSS), arXiv:1912.02424",
        lecture="UNSW part 2, HUST chapter 7, DeepMind: RetinaNet (feature pyramid, imbalance, focal loss)",
        input=_LARGE,
    ),
    torchvision_spec(
        torchvision_detection.FCOS_ResNet50_FPN_Weights.COCO_V1,
        torchvision_detection.fcos_resnet50_fpn,
        infer_fcos,
        defaults=(0.2, 0.6, 100),
        frozen=True,
        title="FCOS, ResNet-50 FPN",
        family="one-stage, anchor-free",
        architecture="ResNet-50, FPN P3 to P7, distances to the four sides at each point, centre-ness",
        year=2019,
        paper="Tian et al., FCOS, arXiv:1904.01355",
        lecture="HUST chapter 7: one-stage detection without anchors",
        input=_LARGE,
    ),
    torchvision_spec(
        torchvision_detection.SSD300_VGG16_Weights.COCO_V1,
        torchvision_detection.ssd300_vgg16,
        infer_ssd,
        defaults=(0.01, 0.45, 200),
        title="SSD300, VGG-16",
        family=_ONE_STAGE,
        architecture="VGG-16 with added convolutions, default boxes on six feature maps, one convolution as head",
        year=2016,
        paper="Liu et al., SSD, arXiv:1512.02325",
        lecture="HUST chapter 7, Michigan: single-stage detectors, YOLO and SSD; UNSW part 2: one-stage methods",
        input="300x300 px whatever the picture's shape, RGB in [0, 255] minus VGG's mean",
    ),
    torchvision_spec(
        torchvision_detection.SSDLite320_MobileNet_V3_Large_Weights.COCO_V1,
        torchvision_detection.ssdlite320_mobilenet_v3_large,
        infer_ssd,
        defaults=(0.001, 0.55, 300),
        title="SSDlite320, MobileNetV3-Large",
        family=_ONE_STAGE,
        architecture="MobileNetV3-Large with added depthwise convolutions, default boxes on six feature maps",
        year=2019,
        paper="Howard et al., MobileNetV3, arXiv:1905.02244; SSDlite: Sandler et al. 2018, arXiv:1801.04381",
        lecture="HUST chapter 7, Michigan: single-stage detectors, YOLO and SSD; speed against accuracy",
        input="320x320 px whatever the picture's shape, RGB in [-1, 1]",
    ),
)

for _spec in TORCHVISION_SPECS:
    register(_spec)

# The compact tier: our own network registers itself when its module is imported.
from cvdemo.detection import compact  # noqa: E402, F401
