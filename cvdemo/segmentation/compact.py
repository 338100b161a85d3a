"""The compact segmentation models as the registry knows them: from a picture to a map of logits, and their entries."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from cvdemo.core.inputs import example_picture, pixels_of
from cvdemo.core.registry import ModelSpec, Precision, RunContext, WeightsFile, register
from cvdemo.core.tracing import LIVE_PRECISIONS, frozen_graph, fused
from cvdemo.detection.compact import letterboxed
from cvdemo.segmentation.labels import CAMVID_CLASSES, VOC_CLASSES
from cvdemo.segmentation.nets.compact_unet import COARSEST, STRIDE, CompactUNet
from cvdemo.segmentation.raw import RawSegmentation, agree

LONG_SIDE = 384
STREETS_LONG_SIDE = 480
ALL_SKIPS = (True, True, True)
SPEC_NAME, STREETS_NAME = "compact-segmentation", "compact-streets"


def run(
    network: Any,
    picture: Any,
    context: RunContext,
    *,
    name: str = SPEC_NAME,
    categories: tuple[str, ...] = VOC_CLASSES,
    long_side: int = LONG_SIDE,
    skips: tuple[bool, bool, bool] = ALL_SKIPS,
) -> RawSegmentation:
    """One picture (``Picture`` or (H, W, 3) uint8 RGB) through the network.

    The picture's longest side becomes ``long_side`` pixels; the padding to multiples of 32 is cut off the map again,
    up to whole cells of 4 pixels. ``skips``: which skip connections are on, at strides 4, 8 and 16.
    """
    with context.stage("preprocess"):
        pixels = pixels_of(picture)
        height, width = pixels.shape[:2]
        blob, (scale_x, scale_y) = letterboxed(pixels, long_side, context)
    context.check_cancelled()
    with context.stage("network"), torch.inference_mode(), context.autocast():
        output = network(blob) if skips == ALL_SKIPS else network(blob, skips)
    with context.stage("decode"):
        rows, columns = -(-round(height * scale_y) // STRIDE), -(-round(width * scale_x) // STRIDE)
        logits = output[0, :, :rows, :columns].float().contiguous().cpu().numpy()
        right, bottom = columns * STRIDE / scale_x, rows * STRIDE / scale_y
        # Division may fall short of the picture's edge by a rounding error.
        extent = (0.0, 0.0, max(right, float(width)), max(bottom, float(height)))
    return RawSegmentation(logits, categories, extent, height, width, name)


def _trace(network: nn.Module, precision: Precision, long_side: int) -> Any:
    """A frozen graph of the network without Python between its layers; it accepts every multiple of 32.

    With a skip connection off, the network itself answers: the graph only knows them all.
    """
    height = -(-long_side * 3 // 4 // COARSEST) * COARSEST
    optimised = frozen_graph(network, 1, height, long_side, precision)

    def traced(blob: Tensor, skips: tuple[bool, bool, bool] = ALL_SKIPS) -> Tensor:
        return optimised(blob) if skips == ALL_SKIPS else network(blob, skips)

    return traced


def _register(
    name: str,
    title: str,
    categories: tuple[str, ...],
    long_side: int,
    filename: str,
    parameters: int,
    gflops: float,
    metrics: dict[str, float],
    borrowed: Mapping[str, WeightsFile] = MappingProxyType({}),
) -> None:
    register(
        ModelSpec(
            name=name,
            task="segmentation",
            tier="compact",
            title=title,
            family="encoder-decoder with skip connections",
            architecture="CSP backbone, U-Net-shaped decoder: bilinear doubling and skips at strides 16, 8, 4",
            year=2026,
            paper="after U-Net, Ronneberger et al. 2015, arXiv:1505.04597",
            lecture="decks 001, 003 and 004: semantic segmentation, up-sampling, U-Net's skip connections",
            parameters=parameters,
            gflops=gflops,
            metrics=metrics,
            licence="MIT",
            categories=categories,
            input=f"longest side {long_side} px, padded to multiples of 32, RGB in [0, 1]",
            weights=WeightsFile(filename),
            borrowed=borrowed,
            build=functools.partial(CompactUNet, len(categories)),
            run=functools.partial(run, name=name, categories=categories, long_side=long_side),
            example=example_picture,
            agrees=agree,
            prepare=fused,
            precisions=LIVE_PRECISIONS,
            extras={"trace": functools.partial(_trace, long_side=long_side), "kind": "semantic"},
        )
    )


_VOC_FILENAME = "compact_segmentation.safetensors"
_register(
    SPEC_NAME,
    "Compact U-Net, 21 classes (ships with cvdemo)",
    VOC_CLASSES,
    LONG_SIDE,
    _VOC_FILENAME,
    parameters=1_715_781,
    gflops=0.75,  # at 384 x 288
    metrics={
        "clothing_ccp held-back third, IoU of person": 0.866,
        "COCO people test pictures against the teacher, mean IoU": 0.202,
    },
)
_register(
    STREETS_NAME,
    "Compact U-Net, street scenes (ships with cvdemo)",
    CAMVID_CLASSES,
    STREETS_LONG_SIDE,
    "compact_streets.safetensors",
    parameters=1_715_451,
    gflops=1.24,  # at 480 x 384
    metrics={"CamVid test, mean IoU of 11 classes": 0.584},
    borrowed={"backbone.stage5.": WeightsFile(_VOC_FILENAME)},
)
