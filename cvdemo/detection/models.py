"""The detectors the program offers. Importing this module registers them; adding one is one entry.

The full tier is torchvision's. Its facts are written here and compared with torchvision's own weight entries by the
tests: importing torchvision takes a second and 160 MB, which the page spends only when one of its models is run.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

from torch import nn

from cvdemo.core.inputs import example_picture
from cvdemo.core.registry import ModelSpec, Precision, RunContext, WeightsFile, register
from cvdemo.detection import compact  # noqa: F401  (the compact tier registers itself, and comes first)
from cvdemo.detection.labels import COCO_CATEGORIES
from cvdemo.detection.raw import RawDetections, agree

PRECISIONS = (Precision(), Precision(channels_last=True), Precision("bfloat16", channels_last=True))

_PUBLISHED_AT = "https://download.pytorch.org/models/"
_LARGE = "shorter side 800 px (longer at most 1333), RGB normalised with ImageNet's mean and deviation, padded to 32 px"
_TWO_STAGE = "two-stage, anchors"
_ONE_STAGE = "one-stage, anchors"
_MODULE_OF = {
    "infer_two_stage": "cvdemo.detection.torchvision_two_stage",
    "infer_retinanet": "cvdemo.detection.torchvision_one_stage",
    "infer_fcos": "cvdemo.detection.torchvision_one_stage",
    "infer_ssd": "cvdemo.detection.torchvision_one_stage",
}


def build_torchvision(name: str, frozen: bool) -> nn.Module:
    """torchvision's detector of that name with random weights, in eval mode, shaped like its published file.

    frozen: whether that file was saved with frozen batch norm in the backbone, which torchvision itself builds only
    when it is told to fetch weights.
    """
    from torchvision.models import detection

    from cvdemo.detection.torchvision_raw import freeze_batch_norm

    model = getattr(detection, name)(weights=None, weights_backbone=None)
    return (freeze_batch_norm(model) if frozen else model).eval()


def run_torchvision(model: Any, picture: Any, context: RunContext, *, infer: str, name: str) -> RawDetections:
    """Raw candidates of one picture by the ``infer_…`` function of that name."""
    found: RawDetections = getattr(importlib.import_module(_MODULE_OF[infer]), infer)(
        model, picture, context, name=name
    )
    return found


def prepare_torchvision(model: nn.Module) -> nn.Module:
    """Fold batch normalisation into the convolutions before it."""
    from cvdemo.core.fusing import fuse_batch_norm

    return fuse_batch_norm(model)


def torchvision_spec(
    name: str,
    filename: str,
    *,
    infer: str,
    box_ap: float,
    defaults: tuple[float, float, int],
    frozen: bool = False,
    **facts: Any,
) -> ModelSpec:
    """A registry entry for torchvision's builder ``name`` and its published file.

    infer: the function that runs it, see ``run_torchvision``.   box_ap: published, on COCO val2017.
    defaults: the model's own score threshold, IoU threshold and number of detections.   frozen: see
    ``build_torchvision``.   facts: parameters, gflops, title, family, architecture, year, paper, lecture, input.
    """
    score_threshold, iou_threshold, max_detections = defaults
    return ModelSpec(
        name=name,
        task="detection",
        tier="full",
        metrics={"COCO val2017 box AP": box_ap},
        licence="BSD-3-Clause (torchvision); weights trained on COCO 2017",
        categories=tuple(category.name for category in COCO_CATEGORIES),
        weights=WeightsFile.from_url(_PUBLISHED_AT + filename),
        build=functools.partial(build_torchvision, name, frozen),
        run=functools.partial(run_torchvision, infer=infer, name=name),
        example=example_picture,
        agrees=agree,
        precisions=PRECISIONS,
        prepare=prepare_torchvision,
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
        "fasterrcnn_resnet50_fpn_v2",
        "fasterrcnn_resnet50_fpn_v2_coco-dd69338a.pth",
        infer="infer_two_stage",
        parameters=43_712_278,
        gflops=280.371,
        box_ap=46.7,
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
        "fasterrcnn_mobilenet_v3_large_fpn",
        "fasterrcnn_mobilenet_v3_large_fpn-fb6a3cc7.pth",
        infer="infer_two_stage",
        parameters=19_386_354,
        gflops=4.494,
        box_ap=32.8,
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
        "fasterrcnn_mobilenet_v3_large_320_fpn",
        "fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9.pth",
        infer="infer_two_stage",
        parameters=19_386_354,
        gflops=0.719,
        box_ap=22.8,
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
        "retinanet_resnet50_fpn_v2",
        "retinanet_resnet50_fpn_v2_coco-5905b1c5.pth",
        infer="infer_retinanet",
        parameters=38_198_935,
        gflops=152.238,
        box_ap=41.5,
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
        "fcos_resnet50_fpn",
        "fcos_resnet50_fpn_coco-99b0c9b7.pth",
        infer="infer_fcos",
        parameters=32_269_600,
        gflops=128.207,
        box_ap=39.2,
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
        "ssd300_vgg16",
        "ssd300_vgg16_coco-b556d3b4.pth",
        infer="infer_ssd",
        parameters=35_641_826,
        gflops=34.858,
        box_ap=25.1,
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
        "ssdlite320_mobilenet_v3_large",
        "ssdlite320_mobilenet_v3_large_coco-a79551df.pth",
        infer="infer_ssd",
        parameters=3_440_060,
        gflops=0.583,
        box_ap=21.3,
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
