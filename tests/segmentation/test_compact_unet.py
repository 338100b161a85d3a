"""The network: shapes, size, what its skip connections do, and that folding normalisations changes nothing."""

import copy
import itertools

import pytest
import torch
from safetensors.torch import load_file

from cvdemo.classification.nets.compact_backbone import CompactClassifier, ConvBnRelu
from cvdemo.segmentation.nets.compact_unet import STRIDE, CompactUNet


@pytest.fixture(scope="module")
def network() -> CompactUNet:
    """Random weights with normalisation statistics that are not the initial ones."""
    torch.manual_seed(0)
    made = CompactUNet(21).train()
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # the statistics of the last batch, so that features have their usual size
    with torch.no_grad():
        torch.nn.init.normal_(made.context.look.weight, std=0.05)
        made(torch.rand(4, 3, 64, 96))
    return made.eval()


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 96), (288, 384), (32, 384)])
@pytest.mark.parametrize("classes", [11, 21])
def test_logits_have_a_quarter_of_the_pictures_size(height, width, classes):
    with torch.inference_mode():
        logits = CompactUNet(classes).eval()(torch.rand(2, 3, height, width))
    assert logits.shape == (2, classes, height // STRIDE, width // STRIDE)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize(("classes", "parameters"), [(21, 1_715_781), (11, 1_715_451)])
def test_parameters_fit_the_bound_of_four_megabytes_in_16_bits(classes, parameters):
    state = CompactUNet(classes).state_dict()
    assert sum(p.numel() for p in CompactUNet(classes).parameters()) == parameters
    assert sum(2 * value.numel() for value in state.values()) < 3_900_000


def test_the_backbone_is_the_classifiers(network):
    ours = {n: v.shape for n, v in network.state_dict().items() if n.startswith("backbone.")}
    theirs = {n: v.shape for n, v in CompactClassifier().state_dict().items() if n.startswith("backbone.")}
    assert ours == theirs


def test_folding_the_normalisations_changes_nothing(network):
    x = torch.rand(1, 3, 96, 64)
    fused = copy.deepcopy(network).fuse()
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in fused.modules())
    assert sum(isinstance(module, ConvBnRelu) for module in fused.modules()) > 20
    with torch.inference_mode():
        for skips in itertools.product((True, False), repeat=3):
            torch.testing.assert_close(fused(x, skips), network(x, skips), atol=1e-3, rtol=1e-3)


def test_every_skip_connection_matters_and_only_when_it_is_on(network):
    x = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        outputs = [network(x, skips) for skips in itertools.product((True, False), repeat=3)]
        torch.testing.assert_close(outputs[0], network(x))
    for first, second in itertools.combinations(outputs, 2):
        assert (first - second).abs().max() > 1e-3


def test_a_skip_that_is_off_carries_nothing(network):
    """With all skips off, changing the shallow features in any way leaves the map as it is."""
    x = torch.rand(1, 3, 64, 64)
    changed = copy.deepcopy(network)
    with torch.no_grad():
        for step in (changed.up16, changed.up8, changed.up4):
            step.skip.conv.weight.normal_()
    off = (False, False, False)
    with torch.inference_mode():
        torch.testing.assert_close(changed(x, off), network(x, off))
        assert (changed(x) - network(x)).abs().max() > 1e-3


def test_without_skips_the_map_is_as_coarse_as_the_coarsest_features(network):
    """Shifting fine texture inside a 32-pixel cell can only reach the map's details through the skips."""
    torch.manual_seed(1)
    x = torch.rand(1, 3, 128, 128)

    def roughness(skips) -> float:
        with torch.inference_mode():
            logits = network(x, skips)
        return float((logits[..., 1:] - logits[..., :-1]).abs().mean() / logits.std())

    assert roughness((True, True, True)) > 1.5 * roughness((False, False, False))


def test_gradients_reach_every_parameter():
    torch.manual_seed(0)
    made = CompactUNet(5)
    made(torch.rand(2, 3, 64, 64)).square().mean().backward()
    without = [name for name, p in made.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert not without


def test_weights_written_in_16_bits_are_under_four_megabytes(tmp_path):
    from safetensors.torch import save_file

    state = {n: v.half() if v.is_floating_point() else v for n, v in CompactUNet(21).state_dict().items()}
    save_file(state, tmp_path / "net.safetensors")
    assert (tmp_path / "net.safetensors").stat().st_size < 4_000_000
    CompactUNet(21).load_state_dict(load_file(tmp_path / "net.safetensors"), strict=True)
