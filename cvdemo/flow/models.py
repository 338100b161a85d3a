"""The flow methods the program offers. Importing this module registers them.

The full tier is torchvision's; its facts are written here and compared with torchvision's own weight entries by the
tests, because importing torchvision takes a second that is spent only when the model is run.
"""

from __future__ import annotations

from typing import Any

from cvdemo.core.registry import ModelSpec, Precision, WeightsFile, register
from cvdemo.flow import classical, compact  # noqa: F401  (they register themselves, and come first)
from cvdemo.flow.raft import build_large, build_small, runner
from cvdemo.flow.raw import agree, example_pair
from cvdemo.flow.variational import EXTRA

_RAFT: dict[str, Any] = {
    "task": "flow",
    "tier": "full",
    "family": "learned, recurrent refinement over all-pairs correlation",
    "year": 2020,
    "paper": "Teed and Deng, RAFT: Recurrent All-Pairs Field Transforms for Optical Flow, arXiv:2003.12039",
    "lecture": "deck 000: FlowNet and what followed",
    "licence": "BSD-3-Clause (torchvision); weights trained on synthetic scenes",
    "input": "sides multiples of 8 from 128 px (padded), at most 0.5 megapixels, RGB in [-1, 1]",
    "example": example_pair,
    "agrees": agree,
    "precisions": (Precision(), Precision(channels_last=True), Precision("bfloat16", channels_last=True)),
}

register(
    ModelSpec(
        name="raft_small",
        title="RAFT, small",
        architecture="two bottleneck encoders to an eighth of the resolution, correlation pyramid of radius 3, one "
        "convolutional GRU; bilinear enlargement",
        parameters=990_162,
        gflops=47.655,
        metrics={"Sintel train clean EPE": 1.9901, "Sintel train final EPE": 3.2831, "KITTI train Fl-all %": 25.2369},
        weights=WeightsFile.from_url("https://download.pytorch.org/models/raft_small_C_T_V2-01064c6d.pth"),
        build=build_small,
        run=runner("raft_small"),
        extras={EXTRA: True},
        **_RAFT,
    )
)
register(
    ModelSpec(
        name="raft_large",
        title="RAFT, large",
        architecture="two residual encoders to an eighth of the resolution, correlation pyramid of radius 4, a "
        "separable convolutional GRU; learned convex enlargement",
        parameters=5_257_536,
        gflops=211.007,
        metrics={"Sintel test clean EPE": 1.819, "Sintel test final EPE": 3.067},
        weights=WeightsFile.from_url("https://download.pytorch.org/models/raft_large_C_T_SKHT_V2-ff5fadd5.pth"),
        build=build_large,
        run=runner("raft_large"),
        **_RAFT,
    )
)
