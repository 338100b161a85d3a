"""Encoders and decoders with arbitrary weights, marked as such: the algorithms are tested, nothing is predicted."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType

import numpy as np
import pytest
import torch

from cvdemo import tasks
from cvdemo.core import registry
from cvdemo.core.engine import Engine
from cvdemo.style import models
from cvdemo.style.nets import compact_vgg


def seeded(build):
    def make():
        torch.manual_seed(0)
        network = build()
        for part in network.modules():
            if isinstance(part, torch.nn.Conv2d):  # so that what goes in can be seen in what comes out
                torch.nn.init.kaiming_normal_(part.weight)
        if isinstance(network, compact_vgg.CompactVgg):
            generator = torch.Generator().manual_seed(1)
            pictures = [torch.rand(1, 3, 32, 32, generator=generator)]
            compact_vgg.rescale(network, compact_vgg.mean_activations(network, pictures))
        return network

    return make


@pytest.fixture(scope="module")
def random_models():
    """The registry's style entries replaced by ones that run without trained weights."""
    tasks.load_all()
    kept = {spec.name: spec for spec in registry.models(task=models.TASK)}
    for name, spec in kept.items():
        if spec.tier == "full":
            continue
        registry.unregister(name)
        registry.register(
            dataclasses.replace(
                spec,
                weights=None,
                borrowed=MappingProxyType({}),
                build=seeded(spec.build),
                extras={**spec.extras, registry.RANDOM_WEIGHTS_KEY: True},
            )
        )
    yield
    for name, spec in kept.items():
        registry.unregister(name)
        registry.register(spec)


@pytest.fixture(scope="module")
def engine(random_models):
    return Engine(device="cpu", tune=False)


@pytest.fixture
def content():
    picture = np.zeros((40, 48, 3), np.uint8)
    picture[:] = np.linspace(30, 220, 48, dtype=np.uint8)[None, :, None]
    picture[10:30, 12:30] = (200, 60, 40)
    return picture


@pytest.fixture
def style():
    board = (np.indices((40, 40)).sum(0) // 3 % 2).astype(np.uint8)
    return np.stack([40 + 180 * board, 90 * board, 200 - 150 * board], 2).astype(np.uint8)
