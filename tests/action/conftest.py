"""A stand-in for an action model that can be predicted by hand, and small videos."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from cvdemo.action.clips import example_clip
from cvdemo.action.raw import RawScores, agree, facts_of
from cvdemo.core import registry
from cvdemo.core.engine import Engine, set_default_engine
from cvdemo.core.registry import RANDOM_WEIGHTS_KEY, ModelSpec
from tests.action.helpers import CATEGORIES, SPEC, STAND_IN, coloured, write


class StandIn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.runs = 0


def run_stand_in(network, clip, context) -> RawScores:
    """Says which colour is strongest on average, or that brightness changes from frame to frame; counts its runs."""
    network.runs += 1
    context.check_cancelled()
    means = clip.frames.reshape(len(clip), -1, 3).astype(float).mean(axis=1)
    logits = np.zeros(len(CATEGORIES), np.float32)
    logits[:3] = means.mean(axis=0) / 25
    logits[3] = np.abs(np.diff(means, axis=0)).mean() / 5 if len(clip) > 1 else 0.0
    return RawScores(logits, CATEGORIES, STAND_IN, facts_of(clip))


@pytest.fixture
def stand_in() -> Iterator[ModelSpec]:
    """A registered model "stand-in-action" that wants 4 frames at 4 a second, and an engine that runs it."""
    spec = registry.register(
        ModelSpec(
            name=STAND_IN, task="action", tier="compact", title="Stand-in", family="", architecture="", year=2026,
            paper="", lecture="", parameters=1, weights=None, build=StandIn, run=run_stand_in, categories=CATEGORIES,
            example=lambda: example_clip(SPEC), agrees=agree,
            extras={RANDOM_WEIGHTS_KEY: True, "clip": SPEC, "defaults": {}},
        )
    )  # fmt: skip
    set_default_engine(Engine(device="cpu", tune=False))
    yield spec
    set_default_engine(None)
    registry.unregister(spec.name)


@pytest.fixture(scope="session")
def red_then_blue(tmp_path_factory):
    """A video of 4 seconds at 10 frames a second: two of red, two of blue."""
    path = tmp_path_factory.mktemp("video") / "red-then-blue.mp4"
    write(path, np.concatenate([coloured((220, 20, 20), 20, 48, 64), coloured((20, 20, 220), 20, 48, 64)]), 10)
    return path
