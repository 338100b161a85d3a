"""A stand-in for a top-down pose model, and people drawn so that the detector need not find them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from cvdemo.core import registry
from cvdemo.core.engine import Engine, set_default_engine
from cvdemo.core.registry import RANDOM_WEIGHTS_KEY, ModelSpec
from cvdemo.detection.candidates import Candidates
from cvdemo.pose.raw import TOP_DOWN, RawPoses, agree, example_people

STANDING = np.array(
    [[0.50, 0.08], [0.54, 0.06], [0.46, 0.06], [0.58, 0.08], [0.42, 0.08], [0.68, 0.22], [0.32, 0.22], [0.74, 0.37],
     [0.26, 0.37], [0.76, 0.50], [0.24, 0.50], [0.60, 0.52], [0.40, 0.52], [0.61, 0.73], [0.39, 0.73], [0.62, 0.93],
     [0.38, 0.93]]
)  # fmt: skip


@pytest.fixture(scope="session")
def standing() -> np.ndarray:
    """(17, 2) joints of a standing person, in shares of its box."""
    return STANDING


def run_stand_in(network, people, context) -> RawPoses:
    """Exact Gaussians where a standing person in each box has its joints; counts its runs on the network."""
    network.runs += 1
    boxes = np.asarray(people.boxes, np.float64)
    centres, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) * 1.25
    regions = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)
    cells = (0.1 + 0.8 * STANDING) * np.array([48, 64]) - 0.5
    y, x = np.mgrid[:64, :48]
    one = np.exp(-((x - cells[:, 0, None, None]) ** 2 + (y - cells[:, 1, None, None]) ** 2) / 8)
    heatmaps = np.repeat(0.9 * one[None], len(boxes), axis=0).astype(np.float32)
    height, width = people.pixels.shape[:2]
    return RawPoses(
        people.boxes, people.scores, heatmaps, regions.astype(np.float32), None, None, height, width, "stand-in-pose"
    )


class StandIn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.runs = 0


@pytest.fixture
def stand_in() -> Iterator[ModelSpec]:
    """A registered top-down model "stand-in-pose", and an engine that runs it."""
    spec = registry.register(
        ModelSpec(
            name="stand-in-pose",
            task="pose",
            tier="compact",
            title="Stand-in",
            family="",
            architecture="",
            year=2026,
            paper="",
            lecture="",
            parameters=1,
            gflops=None,
            licence="",
            input="",
            weights=None,
            build=StandIn,
            run=run_stand_in,
            example=example_people,
            agrees=agree,
            extras={RANDOM_WEIGHTS_KEY: True, TOP_DOWN: True},
        )
    )
    set_default_engine(Engine(device="cpu", tune=False))
    yield spec
    set_default_engine(None)
    registry.unregister(spec.name)


@pytest.fixture
def crowd_of(monkeypatch):
    """``crowd_of(boxes, scores)``: from now on the detector finds these people, and a dog, in every picture."""

    def find(boxes, scores=None):
        boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
        scores = np.full(len(boxes), 0.9) if scores is None else np.asarray(scores)

        def infer(picture, model, engine=None, **_):
            height, width = np.asarray(getattr(picture, "pixels", picture)).shape[:2]
            everything = np.concatenate([boxes, [[0, 0, 1, 1]]])
            labels = np.append(np.ones(len(boxes), int), 18)
            return Candidates.from_arrays(everything, np.append(scores, 0.99), labels, height=height, width=width)

        monkeypatch.setattr("cvdemo.pose.predict.detection.infer", infer)
        return boxes

    return find
