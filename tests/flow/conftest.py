"""A stand-in for an iterative flow network, and pairs whose motion is known."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from cvdemo.core import registry
from cvdemo.core.engine import Engine, set_default_engine
from cvdemo.core.registry import RANDOM_WEIGHTS_KEY, ModelSpec
from cvdemo.flow.examples import disc_layers, render, true_flow
from cvdemo.flow.predict import infer
from cvdemo.flow.raw import RawFlow, agree, example_pair, fitted
from cvdemo.flow.tab_shared import Look, Pair, Truth

NAME = "stand-in-flow"


def textured(height: int, width: int, seed: int = 0) -> np.ndarray:
    """(height, width, 3) uint8 with detail everywhere, smooth enough to follow."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    blurred = cv2.GaussianBlur(noise, (0, 0), 2.0).astype(np.float32)
    return np.clip((blurred - 128) * 4 + 128, 0, 255).astype(np.uint8)


def moved_pair(height: int = 96, width: int = 128, x: int = 3, y: int = 2, seed: int = 0):
    """Two frames of which the second shows the first's content moved by whole pixels (x, y)."""
    big = textured(height + 40, width + 40, seed)
    return big[20 : 20 + height, 20 : 20 + width].copy(), big[20 - y : 20 - y + height, 20 - x : 20 - x + width].copy()


def run_stand_in(network, pair, context) -> RawFlow:
    """Refinement k of K says (k / K) (4, -2) everywhere, at an eighth of the resolution; counts its runs."""
    network.runs += 1
    first, _, working = fitted(pair, most_pixels=10_000, multiple=8, smallest=32)
    with context.stage("network"):
        shares = np.arange(1, pair.iterations + 1, dtype=np.float32)[:, None, None, None] / pair.iterations
        scale = np.array([working[1] / pair.width, working[0] / pair.height], np.float32)
        coarse = np.ones((1, first.shape[0] // 8, first.shape[1] // 8, 1), np.float32)
        refinements = shares * coarse * (np.array([4.0, -2.0], np.float32) * scale)
        context.report(1.0, "done")
    return RawFlow(refinements, pair.height, pair.width, NAME, working, first.shape[:2], "strided")


class StandIn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.runs = 0


@pytest.fixture
def stand_in() -> Iterator[ModelSpec]:
    """A registered iterative model "stand-in-flow", and an engine that runs it."""
    spec = registry.register(
        ModelSpec(
            name=NAME, task="flow", tier="compact", title="Stand-in", family="recurrent", architecture="", year=2026,
            paper="", lecture="", parameters=1, licence="", input="", weights=None, build=StandIn, run=run_stand_in,
            example=example_pair, agrees=agree, extras={RANDOM_WEIGHTS_KEY: True},
        )
    )  # fmt: skip
    set_default_engine(Engine(device="cpu", tune=False))
    yield spec
    set_default_engine(None)
    registry.unregister(spec.name)


@pytest.fixture
def processor() -> Iterator[Engine]:
    """An engine on the processor, as the default one."""
    engine = Engine(device="cpu", tune=False)
    set_default_engine(engine)
    yield engine
    set_default_engine(None)


@pytest.fixture(scope="session")
def pair():
    """The content moves 4 pixels to the right and 2 down."""
    scene = textured(120, 160, 7)
    first, second = scene[12:108, 16:144], scene[10:106, 12:140]
    return Pair(np.ascontiguousarray(first), np.ascontiguousarray(second), "moved.png", (96, 128), ("one", "two"))


@pytest.fixture(scope="session")
def truth():
    return Truth(np.tile(np.float32([4, 2]), (96, 128, 1)), "known")


@pytest.fixture(scope="session")
def look(pair):
    return Look(pair, infer(pair.first, pair.second, "dis-medium", backward=True))


@pytest.fixture(scope="session")
def layered():
    """Frames and true flow of an example's layers."""
    layers = disc_layers()
    return render(layers), render(layers, second=True), true_flow(layers)
