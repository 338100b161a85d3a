"""Frozen graphs against the networks they were recorded from."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cvdemo import tasks
from cvdemo.core import registry, weights
from cvdemo.core.context import RunContext
from cvdemo.core.device import Precision
from cvdemo.core.tracing import LIVE_PRECISIONS, frozen_graph

CPU = torch.device("cpu")
HALF = LIVE_PRECISIONS[-1]
tasks.load_all()
LIVE = [spec for spec in registry.models() if HALF in spec.precisions]


class Small(nn.Module):
    """Two outputs of a few layers, as a detector has."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.SiLU(), nn.Conv2d(16, 16, 3, padding=1))
        self.heads = nn.ModuleList([nn.Conv2d(16, 5, 1), nn.Conv2d(16, 4, 1)])

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        features = self.body(x)
        return tuple(head(features) for head in self.heads)


@pytest.mark.parametrize(("precision", "tolerance"), [(Precision(channels_last=True, traced=True), 1e-5), (HALF, 0.03)])
@pytest.mark.parametrize("shape", [(1, 3, 32, 48), (3, 3, 64, 32)])
def test_the_graph_gives_what_the_network_gives_on_other_shapes_too(precision, tolerance, shape):
    torch.manual_seed(0)
    network = Small().eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    graph = frozen_graph(network, 2, 32, 32, precision)
    blob = torch.rand(shape)
    with torch.inference_mode():
        for ours, expected in zip(graph(blob), network(blob)):
            assert ours.dtype == torch.float32
            torch.testing.assert_close(ours, expected, atol=tolerance, rtol=tolerance)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
        assert value.dtype == torch.float32


def test_half_precision_really_is_used():
    torch.manual_seed(0)
    network, blob = Small().eval(), torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        exact, rounded = network(blob)[0], frozen_graph(network, 1, 32, 32, HALF)(blob)[0]
    assert not torch.equal(exact, rounded)
    assert torch.equal(rounded, rounded.bfloat16().float())


@pytest.mark.parametrize("spec", LIVE, ids=lambda spec: spec.name)
def test_live_models_agree_with_themselves_in_half_precision(spec):
    """With the weights that ship, by the same rule that decides at run time whether a form may be used."""
    files = {prefix: weights.find(file) for prefix, file in spec.files.items()}
    paths = {prefix: path for prefix, path in files.items() if path is not None}
    if len(paths) < len(files):
        pytest.skip(f"a file of {spec.name} is not there")
    network = spec.build()
    weights.apply_state(network, weights.joined_state(paths), spec.name)
    network = spec.prepare(network.eval())
    with torch.inference_mode():
        expected = spec.run(network, spec.example(), RunContext(CPU, Precision()))
        found = spec.run(spec.extras["trace"](network, HALF), spec.example(), RunContext(CPU, HALF))
    assert spec.agrees(expected, found)
