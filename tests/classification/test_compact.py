"""The compact classifier's registry entry on random weights: speed-ups change nothing, facts are true."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cvdemo.classification import compact
from cvdemo.classification.labels import IMAGENET_CLASSES
from cvdemo.core import registry
from cvdemo.core.context import RunContext

SPEC = registry.get(compact.SPEC_NAME)


@pytest.fixture(scope="module")
def network():
    """Random weights with batch statistics that are not those of a fresh layer, so that folding them does something."""
    torch.manual_seed(0)
    network = SPEC.build()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.8, 1.2)
    return network.eval().requires_grad_(False)


def test_facts():
    network = SPEC.build()
    assert sum(parameter.numel() for parameter in network.parameters()) == SPEC.parameters
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, 3, 160, 160))
    assert counter.get_total_flops() / 2e9 == pytest.approx(SPEC.gflops, rel=0.01)
    assert SPEC.categories is IMAGENET_CLASSES
    assert len(SPEC.categories) == 1000
    assert (SPEC.task, SPEC.tier) == ("classification", "compact")
    assert not any(precision.traced for precision in SPEC.precisions), "explanations need the layers"


def test_the_entry_runs_what_the_network_computes(network):
    picture = np.random.default_rng(0).integers(0, 256, (200, 320, 3), dtype=np.uint8)
    x, box = SPEC.extras["prepare_input"](picture)
    assert box == (60, 0, 260, 200)
    assert x.shape == (1, 3, 160, 160)
    assert 0 <= x.min() < x.max() <= 1
    with torch.inference_mode():
        raw = SPEC.run(network, picture, RunContext(torch.device("cpu")))
        np.testing.assert_allclose(raw.logits, network(x)[0].numpy(), atol=1e-5)
        np.testing.assert_allclose(raw.embedding, network.embed(x)[0].numpy(), atol=1e-5)
    assert raw.embedding.shape == (512,)
    assert raw.model == "compact-classifier"


def test_preparing_changes_nothing_but_speed(network):
    picture = SPEC.example()
    fresh = SPEC.build()
    fresh.load_state_dict(network.state_dict())
    prepared = SPEC.prepare(fresh.eval())
    assert not [m for m in prepared.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.inference_mode():
        plain = SPEC.run(network, picture, RunContext(torch.device("cpu")))
        folded = SPEC.run(prepared, picture, RunContext(torch.device("cpu")))
    np.testing.assert_allclose(folded.logits, plain.logits, atol=1e-4)
    assert SPEC.agrees(plain, folded)


def test_the_named_layers_are_there(network):
    seen = []
    handle = network.get_submodule(SPEC.extras["gradcam_layer"]).register_forward_hook(lambda *a: seen.append(a[2]))
    network(torch.zeros(1, 3, 160, 160))
    handle.remove()
    assert seen[0].shape == (1, 512, 5, 5)
    assert isinstance(network.get_submodule(SPEC.extras["head_layer"]), nn.Linear)
