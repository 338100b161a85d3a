"""The shared backbone: its shapes, its budget, and that folding normalisations changes nothing."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cvdemo.classification.nets.compact_backbone import (
    CompactBackbone,
    CompactClassifier,
    ConvBnRelu,
    PoolingPyramid,
    normalise,
)


def settled(network: nn.Module) -> nn.Module:
    """Give the normalisations statistics that are not the initial zeros and ones."""
    torch.manual_seed(3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
    return network.eval()


@pytest.mark.parametrize(("height", "width"), [(224, 224), (160, 96), (64, 320)])
def test_features_come_at_four_strides(height, width):
    levels = CompactBackbone().eval()(torch.zeros(2, 3, height, width))
    expected = [(2, c, height // s, width // s) for c, s in ((32, 4), (64, 8), (128, 16), (256, 32))]
    assert [tuple(level.shape) for level in levels] == expected


def test_the_classifier_keeps_its_budget():
    network = CompactClassifier()
    parameters = sum(p.numel() for p in network.parameters())
    assert 1.5e6 < parameters < 3e6
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, 3, 224, 224))
    assert counter.get_total_flops() / 2 / 1e9 <= 0.25, "multiply-adds in units of 1e9"


def test_folding_the_normalisations_changes_nothing():
    torch.manual_seed(0)
    network = settled(CompactClassifier(classes=7))
    x = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        before = network(x)
        after = network.fuse()(x)
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    with torch.no_grad():
        assert torch.equal(network.fuse()(x), after), "folding twice does nothing"


def test_logits_are_a_linear_head_on_the_embedding():
    network = settled(CompactClassifier(classes=5, embedding=32))
    x = torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        embedding, features = network.embed(x), network.features(x)
        logits = network(x)
    assert features.shape == (3, 32, 2, 2)
    assert (embedding >= 0).all()
    torch.testing.assert_close(embedding, features.flatten(2).mean(2))
    with torch.no_grad():
        torch.testing.assert_close(logits, embedding @ network.head.weight.T + network.head.bias)


def test_gradients_reach_every_parameter():
    network = CompactClassifier(classes=4)
    network(torch.rand(2, 3, 64, 64)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.backbone.parameters())


def test_the_pooling_pyramid_pools_over_growing_windows():
    pyramid = PoolingPyramid(4).eval()
    x = torch.rand(1, 4, 20, 20)
    with torch.no_grad():
        reduced = pyramid.reduce(x)
        views = [reduced] + [nn.functional.max_pool2d(reduced, k, 1, k // 2) for k in (5, 9, 13)]
        expected = pyramid.expand(torch.cat(views, 1))
        torch.testing.assert_close(pyramid(x), expected)


def test_normalising_centres_pictures():
    assert float(normalise(torch.tensor(0.45))) == pytest.approx(0)
    assert float(normalise(torch.tensor(1.0))) == pytest.approx(2.2)


def test_a_block_is_convolution_normalisation_and_rectifier():
    block = settled(ConvBnRelu(3, 8, 3, 2))
    x = torch.rand(2, 3, 9, 9)
    with torch.no_grad():
        expected = block.norm(nn.functional.conv2d(x, block.conv.weight, stride=2, padding=1)).clamp(min=0)
        torch.testing.assert_close(block(x), expected)
