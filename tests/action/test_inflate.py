"""Inflation: identity on a frozen video, what padding does at its ends, and that motion changes the answer."""

import numpy as np
import pytest
import torch
from torch import nn

from cvdemo.action import compact
from cvdemo.action.clips import frozen, shuffled
from cvdemo.action.inflate import InflatedConv, PerMoment, inflate, inflated_kernel
from cvdemo.action.nets.compact_action import CompactAction
from cvdemo.classification.nets.compact_backbone import fuse_all
from cvdemo.core.context import RunContext


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def trained_looking(network, seed=0):
    """Random weights whose batch norms are fitted to noise, so that signals get through; in eval mode."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        network.train()(torch.rand(4, 3, 96, 96, generator=torch.Generator().manual_seed(seed)))
    return network.eval()


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return trained_looking(CompactAction(15))


def test_a_kernel_is_tiled_and_divided():
    kernel = torch.randn(4, 3, 3, 3)
    inflated = inflated_kernel(kernel, 5)
    assert inflated.shape == (4, 3, 5, 3, 3)
    torch.testing.assert_close(inflated.sum(2), kernel)
    torch.testing.assert_close(inflated[:, :, 0], inflated[:, :, 4])


@pytest.mark.parametrize("length", [1, 3, 5])
@pytest.mark.parametrize(
    "settings", [{}, {"stride": 2}, {"padding": 0}, {"dilation": 2, "padding": 2}, {"groups": 2}, {"bias": False}]
)
def test_one_layer_on_a_frozen_clip_is_the_picture_layer(length, settings):
    conv = nn.Conv2d(4, 6, 3, **{"padding": 1, **settings})
    picture = torch.randn(2, 4, 12, 11)
    clip = picture.unsqueeze(2).repeat(1, 1, 7, 1, 1)
    out = InflatedConv(conv, length)(clip)
    expected = conv(picture).unsqueeze(2).expand(-1, -1, 7, -1, -1)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-4)


def test_zeros_beyond_the_ends_break_the_identity_there_and_only_there():
    conv = nn.Conv2d(4, 6, 3, padding=1, bias=False)
    picture = torch.randn(1, 4, 10, 10)
    out = InflatedConv(conv, 3, "zeros")(picture.unsqueeze(2).repeat(1, 1, 6, 1, 1))
    expected = conv(picture)
    for moment in range(1, 5):
        torch.testing.assert_close(out[:, :, moment], expected, atol=1e-5, rtol=1e-4)
    for end in (0, 5):  # one of three copies is missing
        torch.testing.assert_close(out[:, :, end], expected * 2 / 3, atol=1e-5, rtol=1e-4)


def test_against_pytorchs_own_3d_convolution_on_a_moving_clip():
    conv = nn.Conv2d(3, 5, 3, padding=1)
    clip = torch.randn(2, 3, 6, 9, 9)
    own = nn.Conv3d(3, 5, 3, padding=1)
    with torch.no_grad():
        own.weight.copy_(conv.weight.unsqueeze(2).expand(-1, -1, 3, -1, -1) / 3)
        own.bias.copy_(conv.bias)
    torch.testing.assert_close(InflatedConv(conv, 3, "zeros")(clip), own(clip), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("where", ["everywhere", "late"])
@pytest.mark.parametrize("fused", [False, True])
def test_the_whole_network_is_the_identity_on_a_boring_video(network, where, fused):
    chosen = (lambda name: True) if where == "everywhere" else (lambda name: name.startswith(compact.INFLATED))
    source = fuse_all(trained_looking(CompactAction(15), 1)) if fused else network
    video_network = inflate(source, where=chosen)
    picture = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        expected = source(picture)
        for length in (1, 2, 8):
            clip = picture.unsqueeze(2).repeat(1, 1, length, 1, 1)
            torch.testing.assert_close(video_network(clip), expected, atol=2e-5, rtol=1e-4)


def test_zero_padding_is_no_identity_for_the_network(network):
    video_network = inflate(network, padding="zeros")
    picture = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        difference = (video_network(picture.unsqueeze(2).repeat(1, 1, 4, 1, 1)) - network(picture)).abs().max()
    assert difference > 1e-3


def test_the_given_network_is_untouched_and_still_takes_pictures(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    inflated = inflate(network)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert network(torch.rand(1, 3, 64, 64)).shape == (1, 15)
    kinds = [type(module) for module in inflated.modules()]
    assert InflatedConv in kinds
    assert PerMoment in kinds


def test_only_the_chosen_kernels_grow(network):
    inflated = inflate(network, where=lambda name: name.startswith("backbone.stage5"))
    grown = [name for name, module in inflated.named_modules() if isinstance(module, InflatedConv)]
    assert grown
    assert all(name.startswith("backbone.stage5") for name in grown)


def test_even_lengths_and_other_paddings_are_refused():
    with pytest.raises(ValueError, match="middle"):
        InflatedConv(nn.Conv2d(1, 1, 3, padding=1), 2)
    with pytest.raises(ValueError, match="padded"):
        InflatedConv(nn.Conv2d(1, 1, 3, padding="same"))


def test_the_model_that_ships_sees_motion_and_order():
    prepared = compact.prepare_action(trained_looking(CompactAction(15), 3))
    context = RunContext(torch.device("cpu"))
    clip = compact.example_clip(compact.ACTION_CLIP)
    rng = np.random.default_rng(0)
    clip = type(clip)(rng.integers(0, 256, clip.frames.shape, np.uint8), clip.times)
    with torch.inference_mode():
        moving, mixed, still, one = (
            compact.run_action(prepared, seen, context).logits
            for seen in (clip, shuffled(clip), frozen(clip), frozen(type(clip)(clip.frames[4:5], clip.times[4:5])))
        )
    assert np.abs(moving - mixed).max() > 1e-6
    assert np.abs(moving - still).max() > 1e-6
    np.testing.assert_allclose(still, one, atol=2e-5)
