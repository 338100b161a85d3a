"""The compact pose models as the registry knows them: from a picture and people's boxes to raw poses, three entries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cvdemo.core.inputs import pixels_of
from cvdemo.core.registry import ModelSpec, Precision, RunContext, WeightsFile, register
from cvdemo.core.tracing import LIVE_PRECISIONS, frozen_graph, fused
from cvdemo.pose.crops import CROP_HEIGHT, CROP_WIDTH, crops_of, regions_of, to_picture
from cvdemo.pose.nets.pose_heatmap import PoseHeatmap
from cvdemo.pose.nets.pose_hourglass import PoseHourglass
from cvdemo.pose.nets.pose_regression import PoseRegression
from cvdemo.pose.raw import TOP_DOWN, People, RawPoses, agree, example_people, no_people
from cvdemo.pose.skeleton import COCO_JOINTS

HEATMAP = "compact-pose"
REGRESSION = "compact-pose-regression"
HOURGLASS = "compact-pose-hourglass"
FIRST_STAGE = "stage 1"
"""Key of ``RawPoses.stages_extra``: keypoints of the regression's first stage, heatmaps of the first hourglass."""
AT_ONCE = 16  # crops in one forward pass; more people take several, so that a crowd does not fill the memory


def _crops(people: People, context: RunContext) -> tuple[np.ndarray, Tensor]:
    """Regions (N, 4) in pixels of the picture and their crops (N, 3, 256, 192) in [0, 1] on the device."""
    with context.stage("preprocess"):
        regions = regions_of(people.boxes)
        crops = torch.from_numpy(crops_of(pixels_of(people.pixels), regions)).to(context.device)
        return regions, context.tensor(crops.permute(0, 3, 1, 2).float().div_(255))


def _forward(network: Any, blob: Tensor, context: RunContext) -> list[np.ndarray]:
    """Every output of the network for all crops, (N, ...) float32 each."""
    parts: list[tuple[Tensor, ...]] = []
    with context.stage("network"), context.autocast():
        for chunk in blob.split(AT_ONCE):
            context.check_cancelled()
            out = network(chunk)
            parts.append((out,) if isinstance(out, Tensor) else tuple(out))
    return [torch.cat(output).float().cpu().numpy() for output in zip(*parts)]


def _runner(
    name: str, outputs_to_fields: Callable[[list[np.ndarray], np.ndarray], dict[str, Any]]
) -> Callable[[Any, People, RunContext], RawPoses]:
    """The ``run`` of one entry: (network, people, context) -> ``RawPoses``, all people in one batch."""

    def run(network: Any, people: People, context: RunContext) -> RawPoses:
        height, width = people.pixels.shape[:2]
        if not len(people.boxes):
            return no_people(height, width, name)
        regions, blob = _crops(people, context)
        outputs = _forward(network, blob, context)
        with context.stage("decode"):
            fields = {"heatmaps": None, "keypoints": None, "scores": None} | outputs_to_fields(outputs, regions)
            return RawPoses(
                boxes=np.asarray(people.boxes, np.float32),
                box_scores=np.asarray(people.scores, np.float32),
                regions=regions,
                height=height,
                width=width,
                model=name,
                **fields,
            )

    return run


def _heatmap_fields(outputs: list[np.ndarray], _: np.ndarray) -> dict[str, Any]:
    return {"heatmaps": outputs[0]}


def _hourglass_fields(outputs: list[np.ndarray], _: np.ndarray) -> dict[str, Any]:
    return {"heatmaps": outputs[-1], "stages_extra": {FIRST_STAGE: outputs[0]}}


def _regression_fields(outputs: list[np.ndarray], regions: np.ndarray) -> dict[str, Any]:
    first, second, logits = outputs  # in the order of ``Cascade``
    return {
        "keypoints": to_picture(second, regions).astype(np.float32),
        "scores": (1 / (1 + np.exp(-logits))).astype(np.float32),
        "stages_extra": {FIRST_STAGE: to_picture(first, regions).astype(np.float32)},
    }


def _trace(network: nn.Module, precision: Precision) -> Any:
    """A frozen graph of the network without Python between its layers; it takes any number of crops."""
    return frozen_graph(network, 2, CROP_HEIGHT, CROP_WIDTH, precision)


_COMMON: dict[str, Any] = {
    "task": "pose",
    "tier": "compact",
    "year": 2026,
    "licence": "MIT",
    "categories": COCO_JOINTS,
    "input": "each person's box x 1.25, widened to 3:4, as a crop 192 px wide and 256 px high, RGB in [0, 1]",
    "example": example_people,
    "agrees": agree,
    "prepare": fused,
}

register(
    ModelSpec(
        name=HEATMAP,
        title="Compact pose, heatmaps (ships with cvdemo)",
        family="top-down, one heatmap per joint",
        architecture="CSP backbone, decoder up to stride 4 with skips, 17 maps of 48x64 cells",
        paper="after Simple Baselines, Xiao et al. 2018, arXiv:1804.06208",
        lecture="deck 003: heatmaps for human pose",
        parameters=1_462_305,
        metrics={"COCO people test pictures PCK@0.2, true boxes": 0.704},
        weights=WeightsFile("compact_pose.safetensors"),
        build=PoseHeatmap,
        run=_runner(HEATMAP, _heatmap_fields),
        precisions=LIVE_PRECISIONS,
        extras={TOP_DOWN: True, "trace": _trace, "defaults": {"decode": "sub-pixel"}},
        **_COMMON,
    )
)
register(
    ModelSpec(
        name=REGRESSION,
        title="Compact pose, regression in two stages (ships with cvdemo)",
        family="top-down, coordinates by regression, cascade",
        architecture="CSP backbone; stage 1: one linear layer over the whole crop; stage 2: features around each joint",
        paper="after DeepPose, Toshev and Szegedy 2014, arXiv:1312.4659",
        lecture="deck 003: DeepPose, regression and cascade",
        parameters=1_934_373,
        metrics={"COCO people test pictures PCK@0.2, true boxes": 0.625},
        weights=WeightsFile("compact_pose_regression.safetensors"),
        borrowed={"backbone.": WeightsFile("compact_pose.safetensors")},
        build=PoseRegression,
        run=_runner(REGRESSION, _regression_fields),
        precisions=LIVE_PRECISIONS[:2] + LIVE_PRECISIONS[3:4],
        extras={TOP_DOWN: True, "defaults": {}},
        **_COMMON,
    )
)
register(
    ModelSpec(
        name=HOURGLASS,
        title="Compact pose, two stacked hourglasses (ships with cvdemo)",
        family="top-down, one heatmap per joint, refined once",
        architecture="stem to stride 4, two hourglasses of four halvings, 17 maps of 48x64 cells after each",
        paper="after Stacked Hourglass, Newell et al. 2016, arXiv:1603.06937",
        lecture="deck 003: stacked hourglass",
        parameters=1_346_226,
        metrics={"COCO people test pictures PCK@0.2, true boxes": 0.566},
        weights=WeightsFile("compact_pose_hourglass.safetensors"),
        build=PoseHourglass,
        run=_runner(HOURGLASS, _hourglass_fields),
        precisions=LIVE_PRECISIONS,
        extras={TOP_DOWN: True, "trace": _trace, "defaults": {"decode": "sub-pixel"}},
        **_COMMON,
    )
)
