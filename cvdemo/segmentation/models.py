"""The segmentation models the program offers. Importing this module registers them; adding one is one entry.

The full tier is torchvision's. Its facts are written here and compared with torchvision's own weight entries by the
tests: importing torchvision takes a second and 160 MB, which the page spends only when one of its models is run.
"""

from __future__ import annotations

import functools
from typing import Any

from torch import nn

from cvdemo.core.inputs import example_picture
from cvdemo.core.registry import ModelSpec, Precision, RunContext, WeightsFile, register
from cvdemo.detection.labels import COCO_CATEGORIES
from cvdemo.segmentation import compact, compact_instances  # noqa: F401  (the compact tier registers itself, first)
from cvdemo.segmentation.labels import VOC_CLASSES
from cvdemo.segmentation.raw import RawInstances, RawSegmentation, agree, agree_instances

PRECISIONS = (Precision(), Precision(channels_last=True), Precision("bfloat16", channels_last=True))

_PUBLISHED_AT = "https://download.pytorch.org/models/"
_SEMANTIC_INPUT = "shorter side 520 px (longer at most 1333), RGB normalised with ImageNet's mean and deviation"
_INSTANCE_INPUT = "shorter side 800 px (longer at most 1333), RGB normalised with ImageNet's mean and deviation"
_LICENCE = "BSD-3-Clause (torchvision); weights trained on COCO 2017"


def build_semantic(name: str, auxiliary: bool) -> nn.Module:
    """torchvision's semantic network of that name with random weights, in eval mode, shaped like its published file.

    auxiliary: whether that file holds the classifier that only helps training.
    """
    from torchvision.models import segmentation

    options: dict[str, Any] = {"weights": None, "weights_backbone": None, "num_classes": len(VOC_CLASSES)}
    if auxiliary:
        options["aux_loss"] = True
    return getattr(segmentation, name)(**options).eval()


def build_instances(name: str, frozen: bool) -> nn.Module:
    """torchvision's Mask R-CNN of that name, likewise. frozen: its file has frozen batch norm in the backbone."""
    from torchvision.models import detection

    from cvdemo.detection.torchvision_raw import freeze_batch_norm

    model = getattr(detection, name)(weights=None, weights_backbone=None)
    return (freeze_batch_norm(model) if frozen else model).eval()


def run_semantic(model: Any, picture: Any, context: RunContext, *, name: str) -> RawSegmentation:
    """Raw logits of one picture."""
    from cvdemo.segmentation.torchvision_semantic import infer_semantic

    return infer_semantic(model, picture, context, name=name, categories=VOC_CLASSES)


def run_instances(model: Any, picture: Any, context: RunContext, *, name: str) -> RawInstances:
    """Raw objects of one picture."""
    from cvdemo.segmentation.torchvision_instances import infer_instances

    return infer_instances(model, picture, context, name=name)


def prepare(model: nn.Module) -> nn.Module:
    """Fold batch normalisation into the convolutions before it."""
    from cvdemo.core.fusing import fuse_batch_norm

    return fuse_batch_norm(model)


def semantic_spec(
    name: str, filename: str, *, miou: float, pixel_accuracy: float, auxiliary: bool = True, **facts: Any
) -> ModelSpec:
    """A registry entry for one of torchvision's semantic networks; miou and pixel_accuracy as published, in %."""
    return ModelSpec(
        name=name,
        task="segmentation",
        tier="full",
        metrics={"COCO val2017, VOC classes, mIoU": miou, "COCO val2017, VOC classes, pixel accuracy": pixel_accuracy},
        licence=_LICENCE,
        categories=VOC_CLASSES,
        input=_SEMANTIC_INPUT,
        weights=WeightsFile.from_url(_PUBLISHED_AT + filename),
        build=functools.partial(build_semantic, name, auxiliary),
        run=functools.partial(run_semantic, name=name),
        example=example_picture,
        agrees=agree,
        precisions=PRECISIONS,
        prepare=prepare,
        extras={"kind": "semantic"},
        **facts,
    )


def instance_spec(
    name: str, filename: str, *, box_ap: float, mask_ap: float, frozen: bool = False, **facts: Any
) -> ModelSpec:
    """A registry entry for one of torchvision's Mask R-CNNs; box_ap and mask_ap as published."""
    return ModelSpec(
        name=name,
        task="segmentation",
        tier="full",
        family="instances, two-stage",
        metrics={"COCO val2017 box AP": box_ap, "COCO val2017 mask AP": mask_ap},
        licence=_LICENCE,
        categories=tuple(category.name for category in COCO_CATEGORIES),
        input=_INSTANCE_INPUT,
        weights=WeightsFile.from_url(_PUBLISHED_AT + filename),
        build=functools.partial(build_instances, name, frozen),
        run=functools.partial(run_instances, name=name),
        example=example_picture,
        agrees=agree_instances,
        precisions=PRECISIONS,
        prepare=prepare,
        extras={"kind": "instances"},
        **facts,
    )


_FCN = "Long, Shelhamer and Darrell 2015, Fully convolutional networks, arXiv:1411.4038"
_DEEPLAB = "Chen et al. 2017, Rethinking atrous convolution, arXiv:1706.05587"
_MASK = "He et al. 2017, Mask R-CNN, arXiv:1703.06870"

TORCHVISION_SPECS = (
    semantic_spec(
        "lraspp_mobilenet_v3_large",
        "lraspp_mobilenet_v3_large-d234d4ea.pth",
        auxiliary=False,
        miou=57.9,
        pixel_accuracy=91.2,
        parameters=3_221_538,
        gflops=2.086,
        title="LRASPP, MobileNetV3-Large",
        family="semantic, encoder-decoder",
        architecture="MobileNetV3-Large at stride 16, global gate, and a skip from stride 8",
        year=2019,
        paper="Howard et al. 2019, Searching for MobileNetV3, arXiv:1905.02244",
        lecture="all decks: combining a coarse and a fine feature map; speed against accuracy",
    ),
    semantic_spec(
        "deeplabv3_mobilenet_v3_large",
        "deeplabv3_mobilenet_v3_large-fc3c493d.pth",
        miou=60.3,
        pixel_accuracy=91.2,
        parameters=11_029_328,
        gflops=10.452,
        title="DeepLabV3, MobileNetV3-Large",
        family="semantic, atrous",
        architecture="MobileNetV3-Large with atrous last blocks, stride 16, atrous spatial pyramid pooling",
        year=2017,
        paper=_DEEPLAB,
        lecture="all decks: DeepLab, atrous convolution",
    ),
    semantic_spec(
        "deeplabv3_resnet50",
        "deeplabv3_resnet50_coco-cd0a2569.pth",
        miou=66.4,
        pixel_accuracy=92.4,
        parameters=42_004_074,
        gflops=178.722,
        title="DeepLabV3, ResNet-50",
        family="semantic, atrous",
        architecture="ResNet-50 with atrous last stages, stride 8, atrous spatial pyramid pooling",
        year=2017,
        paper=_DEEPLAB,
        lecture="all decks: DeepLab, atrous convolution",
    ),
    semantic_spec(
        "deeplabv3_resnet101",
        "deeplabv3_resnet101_coco-586e9e4e.pth",
        miou=67.4,
        pixel_accuracy=92.4,
        parameters=60_996_202,
        gflops=258.743,
        title="DeepLabV3, ResNet-101",
        family="semantic, atrous",
        architecture="ResNet-101 with atrous last stages, stride 8, atrous spatial pyramid pooling",
        year=2017,
        paper=_DEEPLAB,
        lecture="all decks: DeepLab, atrous convolution",
    ),
    semantic_spec(
        "fcn_resnet50",
        "fcn_resnet50_coco-1167a1af.pth",
        miou=60.5,
        pixel_accuracy=91.4,
        parameters=35_322_218,
        gflops=152.717,
        title="FCN, ResNet-50",
        family="semantic, fully convolutional",
        architecture="ResNet-50 with atrous last stages, stride 8, two convolutions as head",
        year=2015,
        paper=_FCN,
        lecture="all decks: fully convolutional networks, upsampling",
    ),
    semantic_spec(
        "fcn_resnet101",
        "fcn_resnet101_coco-7ecb50ca.pth",
        miou=63.7,
        pixel_accuracy=91.9,
        parameters=54_314_346,
        gflops=232.738,
        title="FCN, ResNet-101",
        family="semantic, fully convolutional",
        architecture="ResNet-101 with atrous last stages, stride 8, two convolutions as head",
        year=2015,
        paper=_FCN,
        lecture="all decks: fully convolutional networks, upsampling",
    ),
    instance_spec(
        "maskrcnn_resnet50_fpn",
        "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth",
        frozen=True,
        box_ap=37.9,
        mask_ap=34.6,
        parameters=44_401_393,
        gflops=134.38,
        title="Mask R-CNN, ResNet-50 FPN",
        architecture="Faster R-CNN with RoIAlign and a fully convolutional mask head, 28 x 28 cells an object",
        year=2017,
        paper=_MASK,
        lecture="all decks: Mask R-CNN, RoIAlign, 28 x 28 masks",
    ),
    instance_spec(
        "maskrcnn_resnet50_fpn_v2",
        "maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth",
        box_ap=47.4,
        mask_ap=41.8,
        parameters=46_359_409,
        gflops=333.577,
        title="Mask R-CNN, ResNet-50 FPN v2",
        architecture="as Mask R-CNN ResNet-50 FPN, with batch norm in the heads and four box convolutions",
        year=2021,
        paper=_MASK + "; recipe of Li et al. 2021, arXiv:2111.11429",
        lecture="all decks: Mask R-CNN, RoIAlign, 28 x 28 masks",
    ),
)

for _spec in TORCHVISION_SPECS:
    register(_spec)
