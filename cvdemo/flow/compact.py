"""The compact flow models as the registry knows them: from a pair of frames to raw flow, two entries."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from cvdemo.core.registry import ModelSpec, Precision, RunContext, WeightsFile, register
from cvdemo.core.tracing import fused
from cvdemo.flow.nets.flownet_s import FLOW_UNIT, STRIDE, FlowNetS, stacked
from cvdemo.flow.raft import build_small, runner
from cvdemo.flow.raw import FramePair, RawFlow, agree, example_pair, fitted
from cvdemo.flow.variational import EXTRA

RAFT = "compact-raft"
FLOWNET = "compact-flownet"
FLOWNET_SMALLEST = 128
FLOWNET_MOST_PIXELS = 1_000_000


def run_flownet(network: Any, pair: FramePair, context: RunContext) -> RawFlow:
    """The finest of the network's predictions, a quarter of the resolution, in pixels."""
    with context.stage("preprocess"):
        first, second, working = fitted(
            pair, most_pixels=FLOWNET_MOST_PIXELS, multiple=STRIDE, smallest=FLOWNET_SMALLEST
        )
        frames = [torch.from_numpy(frame).permute(2, 0, 1)[None].float().div_(255) for frame in (first, second)]
        blob = context.tensor(stacked(frames[0].to(context.device), frames[1].to(context.device)))
    context.check_cancelled()
    with context.stage("network"), context.autocast():
        flows = network(blob)
    with context.stage("decode"):
        finest = flows[-1].float().mul(FLOW_UNIT).cpu().numpy()
        refinements = np.ascontiguousarray(finest.transpose(0, 2, 3, 1))
    return RawFlow(refinements, pair.height, pair.width, FLOWNET, working, (first.shape[0], first.shape[1]))


_COMMON: dict[str, Any] = {
    "task": "flow",
    "tier": "compact",
    "licence": "MIT",
    "example": example_pair,
    "agrees": agree,
    "extras": {EXTRA: True},
}

register(
    ModelSpec(
        name=RAFT,
        title="Compact RAFT (ships with cvdemo)",
        family="learned, recurrent refinement over all-pairs correlation",
        architecture="the layers of torchvision's raft_small, trained here from random initialisation; cells of the "
        "coarse flow lie where the strided convolutions look",
        year=2020,
        paper="Teed and Deng, RAFT: Recurrent All-Pairs Field Transforms for Optical Flow, arXiv:2003.12039",
        lecture="deck 000: FlowNet and what followed",
        parameters=990_162,
        metrics={
            "Middlebury EPE, 8 pairs": 0.366,
            "EPE on 64 scenes of our generator, motion to 60 px": 1.73,
            "Middlebury EPE without the variational refinement": 0.738,
        },
        input="sides multiples of 8 from 128 px (padded), at most 0.5 megapixels, RGB in [-1, 1]",
        weights=WeightsFile("compact_raft.safetensors"),
        build=build_small,
        run=runner(RAFT, layout="strided"),
        precisions=(Precision(), Precision("bfloat16"), Precision("bfloat16", channels_last=True)),
        **_COMMON,
    )
)
register(
    ModelSpec(
        name=FLOWNET,
        title="Compact FlowNetS (ships with cvdemo)",
        family="learned, encoder-decoder",
        architecture="two stacked frames, six strided convolutions to a 64th, transposed convolutions with skip "
        "connections back to a quarter; flow predicted at five scales",
        year=2015,
        paper="after Dosovitskiy et al., FlowNet: Learning Optical Flow with Convolutional Networks, arXiv:1504.06852",
        lecture="deck 000 and 004: FlowNet, endpoint error, Flying Chairs",
        parameters=1_151_738,
        metrics={
            "Middlebury EPE, 8 pairs": 0.476,
            "EPE on 64 scenes of our generator, motion to 60 px": 8.73,
            "Middlebury EPE without the variational refinement": 0.998,
        },
        input="sides multiples of 64 from 128 px (padded), at most 1 megapixel, the pair's mean colour taken off",
        weights=WeightsFile("compact_flownet.safetensors"),
        build=FlowNetS,
        run=run_flownet,
        prepare=fused,
        precisions=(Precision(), Precision(channels_last=True), Precision("bfloat16", channels_last=True)),
        **_COMMON,
    )
)
