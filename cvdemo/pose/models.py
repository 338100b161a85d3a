"""The pose models the program offers. Importing this module registers them.

The full tier is torchvision's; its facts are written here and compared with torchvision's own weight entry by the
tests, because importing torchvision takes a second that is spent only when the model is run.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from cvdemo.core.registry import ModelSpec, Precision, RunContext, WeightsFile, register
from cvdemo.pose import compact  # noqa: F401  (the compact tier registers itself, and comes first)
from cvdemo.pose.raw import RawPoses, agree, example_people
from cvdemo.pose.skeleton import COCO_JOINTS

KEYPOINT_RCNN = "keypointrcnn_resnet50_fpn"


def build_keypoint_rcnn() -> nn.Module:
    """torchvision's Keypoint R-CNN with random weights, in eval mode, with the frozen batch norm of its file."""
    from torchvision.models import detection
    from torchvision.ops import FrozenBatchNorm2d

    from cvdemo.detection.torchvision_raw import freeze_batch_norm

    model = freeze_batch_norm(detection.keypointrcnn_resnet50_fpn(weights=None, weights_backbone=None))
    for norm in model.modules():
        if isinstance(norm, FrozenBatchNorm2d):
            norm.eps = 0.0  # the published file was trained before torchvision's frozen norm added anything
    return model.eval()


def run_keypoint_rcnn(model: Any, people: Any, context: RunContext) -> RawPoses:
    """One picture, alone or with known boxes (``People``), through the network."""
    from cvdemo.pose.torchvision_keypoints import infer_keypoints

    return infer_keypoints(model, people, context, name=KEYPOINT_RCNN)


def prepare_torchvision(model: nn.Module) -> nn.Module:
    """Fold batch normalisation into the convolutions before it."""
    from cvdemo.core.fusing import fuse_batch_norm

    return fuse_batch_norm(model)


SPEC = register(
    ModelSpec(
        name=KEYPOINT_RCNN,
        task="pose",
        tier="full",
        title="Keypoint R-CNN, ResNet-50 FPN",
        family="two-stage, one heatmap per joint in each box",
        architecture="Faster R-CNN with a third head: RoIAlign 14x14, eight convolutions, 17 maps of 56x56 cells, "
        "one softmax over all cells of a map",
        year=2017,
        paper="He et al., Mask R-CNN, arXiv:1703.06870",
        lecture="deck 003: Mask R-CNN for human pose",
        parameters=59_137_258,
        gflops=137.42,
        metrics={"COCO val2017 keypoint AP": 65.0, "COCO val2017 box AP": 54.6},
        licence="BSD-3-Clause (torchvision); weights trained on COCO 2017",
        categories=COCO_JOINTS,
        input="shorter side 800 px (longer at most 1333), RGB normalised with ImageNet's mean and deviation",
        weights=WeightsFile.from_url("https://download.pytorch.org/models/keypointrcnn_resnet50_fpn_coco-fc266e95.pth"),
        build=build_keypoint_rcnn,
        run=run_keypoint_rcnn,
        example=example_people,
        agrees=agree,
        prepare=prepare_torchvision,
        precisions=(Precision(), Precision(channels_last=True), Precision("bfloat16", channels_last=True)),
        extras={"defaults": {"box_threshold": 0.7, "decode": "own", "joint_threshold": 0.1}},
    )
)
