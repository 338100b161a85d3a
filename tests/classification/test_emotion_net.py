"""The emotion network: shapes, size, what it does not depend on, and that fusing changes nothing."""

import numpy as np
import pytest
import torch

from cvdemo.classification.nets.compact_backbone import ConvBnRelu
from cvdemo.classification.nets.emotion_net import EMOTIONS, SIDE, WIDTHS, EmotionNet, mirrored_logits, standardise


@pytest.fixture
def network() -> EmotionNet:
    """Random weights and statistics that are not those of a fresh batch norm."""
    torch.manual_seed(0)
    network = EmotionNet()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return network.eval()


def test_size_and_shapes(network):
    assert sum(p.numel() for p in network.parameters()) < 1_500_000
    x = torch.rand(3, 1, SIDE, SIDE)
    with torch.inference_mode():
        assert network.features(x).shape == (3, WIDTHS[-1], SIDE // 8, SIDE // 8)
        assert network(x).shape == (3, len(EMOTIONS))
        assert network(torch.rand(2, 1, 40, 40)).shape == (2, len(EMOTIONS)), "the smaller size of the recipe"


def test_standardising_gives_zero_mean_and_unit_spread():
    x = torch.rand(4, 1, 20, 24) * 0.8 + 0.1
    y = standardise(x).numpy()
    reference = x.numpy()
    expected = (reference - reference.mean((2, 3), keepdims=True)) / (reference.std((2, 3), keepdims=True) + 0.02)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    flat = standardise(torch.full((1, 1, 8, 8), 0.7))
    assert flat.abs().max() < 1e-3, "a picture without contrast is not blown up to noise"


def test_brightness_and_contrast_hardly_matter(network):
    x = torch.rand(2, 1, SIDE, SIDE)
    with torch.inference_mode():
        difference = (network(x) - network(x * 0.8 + 0.15)).abs().max()
        spread = network(x).std()
    assert difference < 0.1 * spread


def test_fusing_keeps_the_outputs(network):
    x = torch.rand(2, 1, SIDE, SIDE)
    with torch.inference_mode():
        before = network(x)
        after = network.fuse()(x)
    torch.testing.assert_close(before, after, rtol=1e-3, atol=1e-4)
    assert not any(isinstance(m.norm, torch.nn.BatchNorm2d) for m in network.modules() if isinstance(m, ConvBnRelu))


def test_dropout_acts_in_training_only(network):
    x = torch.rand(2, 1, SIDE, SIDE)
    with torch.no_grad():
        assert torch.equal(network(x), network(x))
        network.train()
        assert not torch.equal(network(x), network(x))


def test_a_face_and_its_mirror_image_have_the_same_mirrored_logits(network):
    x = torch.rand(3, 1, SIDE, SIDE)
    with torch.inference_mode():
        both = mirrored_logits(network, x)
        torch.testing.assert_close(both, mirrored_logits(network, x.flip(3)))
        torch.testing.assert_close(both, (network(x) + network(x.flip(3))) / 2)
        assert not torch.allclose(network(x), network(x.flip(3)))


def test_every_parameter_gets_a_gradient(network):
    network.train()(torch.rand(4, 1, SIDE, SIDE)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
