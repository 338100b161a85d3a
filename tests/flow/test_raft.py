"""RAFT step by step against torchvision's own forward, and the facts of its entries."""

import threading

import numpy as np
import pytest
import torch

from cvdemo.core import registry
from cvdemo.core.device import Precision
from cvdemo.core.errors import Cancelled
from cvdemo.core.registry import RunContext
from cvdemo.flow import compact, models, raft
from cvdemo.flow.losses import upsample_strided
from cvdemo.flow.raw import FramePair
from tests.flow.conftest import textured

CPU = torch.device("cpu")


def small_pair(height=128, width=136, iterations=3):
    first = textured(height, width)
    return FramePair(first, np.roll(first, (2, 3), (0, 1)), iterations)


@pytest.fixture(scope="module", params=["small", "large"])
def both(request):
    """torchvision's network and ours with the same random parameters."""
    from torchvision.models import optical_flow

    torch.manual_seed(0)
    theirs = getattr(optical_flow, f"raft_{request.param}")(weights=None, progress=False).eval()
    ours = getattr(raft, f"build_{request.param}")()
    ours.load_state_dict(theirs.state_dict())
    return request.param, theirs, ours


def test_every_refinement_is_torchvisions(both):
    size, theirs, ours = both
    pair = small_pair()
    with torch.inference_mode():
        expected = theirs(raft.to_input(pair.first), raft.to_input(pair.second), num_flow_updates=3)
        found = raft.runner("r")(ours, pair, RunContext(CPU))
    assert len(found) == 3
    for k in range(3):
        reference = expected[k][0].permute(1, 2, 0).numpy()
        scale = max(1.0, float(np.abs(reference).max()))
        assert np.abs(found.at(k) - reference).max() / scale < (2e-3 if size == "large" else 1e-4)
    assert ours.corr_block.corr_pyramid == []


def test_gradients_are_torchvisions(both):
    _, theirs, ours = both
    torch.manual_seed(1)
    first, second = (torch.rand(2, 3, 128, 136) * 2 - 1 for _ in range(2))
    # The first refinement alone: from the second on, rounding moves the places that are looked up.
    coarse = [flow for flow, _ in raft.refine(ours, first, second, 1)][-1]
    coarse.square().sum().backward()
    ours.corr_block.corr_pyramid = []
    features = theirs.feature_encoder(torch.cat([first, second])).chunk(2)
    theirs.corr_block.build_pyramid(*features)
    hidden = theirs.update_block.hidden_state_size
    state, context = theirs.context_encoder(first).split([hidden, theirs.context_encoder.output_dim - hidden], dim=1)
    places = raft.coordinates(2, 16, 17, CPU)
    looked_up = theirs.corr_block.index_pyramid(centroids_coords=places)
    _, change = theirs.update_block(torch.tanh(state), torch.relu(context), looked_up, torch.zeros_like(places))
    change.square().sum().backward()
    compared = 0
    for (name, parameter), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        if other.grad is None:  # the large network's upsampling is not part of a coarse refinement
            assert parameter.grad is None
            continue
        apart = float((parameter.grad - other.grad).norm() / (other.grad.norm() + 1e-3))
        assert apart < 0.01, name  # rounding switches a few rectified values on or off
        compared += 1
    assert compared > 30
    ours.zero_grad()
    theirs.zero_grad()


def test_the_parameters_are_counted(both):
    size, _, ours = both
    assert sum(p.numel() for p in ours.parameters()) == registry.get(f"raft_{size}").parameters


@pytest.mark.parametrize("size", ["small", "large"])
def test_the_entries_say_what_torchvision_says(size):
    from torchvision.models.optical_flow import Raft_Large_Weights, Raft_Small_Weights

    assert models is not None
    entry = (Raft_Small_Weights if size == "small" else Raft_Large_Weights).DEFAULT
    spec, meta = registry.get(f"raft_{size}"), entry.meta
    assert spec.weights.url == entry.url
    assert spec.parameters == meta["num_params"]
    assert spec.gflops == meta["_ops"]
    published = {
        f"{name.split('-')[0].replace('Kitti', 'KITTI')} {name.split('-')[1].lower()} "
        f"{name.split('-')[2].removesuffix('pass').lower() + ' ' if 'pass' in name else ''}"
        f"{'EPE' if key == 'epe' else 'Fl-all %'}": value
        for name, figures in meta["_metrics"].items()
        for key, value in figures.items()
        if key in ("epe", "fl_all")
    }
    assert dict(spec.metrics) == published


def test_refinements_are_in_pixels_of_the_original_frames():
    network = raft.build_small()
    pair = small_pair(100, 90, 2)  # enlarged and padded for the network
    with torch.inference_mode():
        found = raft.runner("r", layout="strided")(network, pair, RunContext(CPU))
    assert found.at().shape == (100, 90, 2)
    assert found.padded[0] >= raft.SMALLEST
    assert found.notes


def test_the_strided_layout_is_the_one_it_was_trained_with():
    network = raft.build_small()
    pair = small_pair()
    with torch.inference_mode():
        found = raft.runner("r", layout="strided")(network, pair, RunContext(CPU))
        coarse = [flow for flow, _ in raft.refine(network, raft.to_input(pair.first), raft.to_input(pair.second), 3)]
        expected = upsample_strided(coarse[-1], 128, 136)[0].permute(1, 2, 0).numpy()
    assert np.allclose(found.at(), expected, atol=1e-4)


def test_cancelling_stops_between_refinements():
    cancel, seen = threading.Event(), []

    def progress(fraction, text):
        seen.append(text)
        cancel.set()

    with pytest.raises(Cancelled), torch.inference_mode():
        raft.runner("r")(raft.build_small(), small_pair(), RunContext(CPU, cancel=cancel, progress=progress))
    assert seen == ["refinement 1 of 3"]


def test_the_pyramid_is_torchvisions():
    from torchvision.models.optical_flow.raft import CorrBlock

    first, second = torch.randn(2, 2, 12, 17, 21)
    block = CorrBlock(num_levels=3, radius=3)
    block.build_pyramid(first, second)
    for ours, theirs in zip(raft.pyramid(first, second, 3), block.corr_pyramid, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_looking_up_is_torchvisions():
    from torchvision.models.optical_flow.raft import CorrBlock

    first, second = torch.randn(2, 2, 12, 17, 21)
    block = CorrBlock(num_levels=3, radius=2)
    block.build_pyramid(first, second)
    places = raft.coordinates(2, 17, 21, CPU) + 12 * torch.randn(2, 2, 17, 21)
    found = raft.look_up(block.corr_pyramid, places, 2)
    assert torch.allclose(found, block.index_pyramid(places), atol=1e-4)


def test_sample_norm_is_instance_norm():
    x = torch.randn(2, 5, 7, 9)
    assert torch.allclose(raft.SampleNorm()(x), torch.nn.functional.instance_norm(x), atol=1e-5)


def test_flownet_runs_at_every_size():
    network = compact.FlowNetS().fuse().eval()
    with torch.inference_mode():
        found = compact.run_flownet(network, small_pair(90, 150), RunContext(CPU, Precision()))
    assert found.at().shape == (90, 150, 2)
    assert found.refinements.shape[0] == 1
    assert sum(p.numel() for p in compact.FlowNetS().parameters()) == registry.get("compact-flownet").parameters
    assert sum(p.numel() for p in raft.build_small().parameters()) == registry.get("compact-raft").parameters
