"""The compact encoder: its layers, that folding and rescaling leave its function alone, and its size."""

import pytest
import torch
from torch.nn import functional

from cvdemo.style.nets import compact_vgg
from cvdemo.style.nets.compact_vgg import LAYERS, WIDTHS, CompactVgg, VggClassifier


@pytest.fixture
def network():
    torch.manual_seed(0)
    return CompactVgg().eval()


def test_layers_are_named_as_in_the_papers():
    assert LAYERS[0] == "relu1_1"
    assert {"relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1"} <= set(LAYERS)
    assert compact_vgg.deepest(["relu4_1", "relu1_2", "relu3_1"]) == "relu4_1"
    with pytest.raises(ValueError, match="relu9_9"):
        compact_vgg.deepest(["relu9_9"])


def test_shapes_halve_from_block_to_block(network):
    found = network.activations(torch.rand(2, 3, 64, 48), LAYERS)
    assert tuple(found) == LAYERS
    for name, value in found.items():
        block = int(name[4])
        assert value.shape == (2, WIDTHS[block - 1], 64 >> (block - 1), 48 >> (block - 1))
        assert float(value.min()) >= 0


def test_the_smallest_picture_reaches_the_deepest_layer(network):
    assert network(torch.rand(1, 3, compact_vgg.SMALLEST, compact_vgg.SMALLEST)).shape == (1, WIDTHS[-1], 2, 2)


def test_it_stops_at_the_deepest_layer_asked(network):
    ran = []
    for name, conv in network.convolutions.items():
        conv.register_forward_hook(lambda *_, name=name: ran.append(name))
    assert set(network.activations(torch.rand(1, 3, 32, 32), ["relu2_1", "relu1_1"])) == {"relu1_1", "relu2_1"}
    assert ran == ["1_1", "1_2", "2_1"]


def test_the_first_layer_is_a_convolution_over_a_mirrored_picture(network):
    x = torch.rand(1, 3, 32, 40)
    conv = network.convolutions["1_1"]
    padded = functional.pad((x - 0.45) * 4, (1, 1, 1, 1), mode="reflect")
    expected = functional.conv2d(padded, conv.weight, conv.bias).relu()
    assert torch.allclose(network.activations(x, ["relu1_1"])["relu1_1"], expected, atol=1e-5)


def test_folding_the_normalisation_changes_nothing():
    torch.manual_seed(1)
    trained = VggClassifier(classes=7).train()
    x = torch.rand(4, 3, 32, 32)
    for _ in range(3):
        trained(x)  # running statistics that are not the initial ones
    encoder = trained.encoder()
    assert all(norm.training for norm in trained.norms.values())
    deep = functional.relu(trained.eval().widen(encoder(x))).mean((2, 3))
    assert torch.allclose(trained.head(deep), trained(x), atol=1e-4)


def test_rescaling_brings_the_mean_activations_to_one_and_keeps_the_function(network):
    pictures = [torch.rand(2, 3, 32, 32), torch.rand(1, 3, 32, 32)]
    before = network.activations(pictures[0], LAYERS)
    means = compact_vgg.mean_activations(network, pictures)
    whole = torch.cat(pictures)
    for name, value in network.activations(whole, LAYERS).items():
        assert torch.allclose(means[name], value.mean((0, 2, 3)), atol=1e-5)
    compact_vgg.rescale(network, means)
    after = compact_vgg.mean_activations(network, pictures)
    for mean in after.values():
        assert float(mean.mean()) == pytest.approx(1.0, abs=1e-3)
    for name, value in network.activations(pictures[0], LAYERS).items():
        for filter_ in range(0, value.shape[1], 13):  # each filter is its old self times a number
            old, new = before[name][:, filter_], value[:, filter_]
            one, other = new * old.sum(), old * new.sum()
            assert torch.allclose(one, other, rtol=1e-3, atol=1e-3 * float(other.max()))


def test_it_is_small_enough_to_ship(network):
    assert sum(p.numel() for p in network.parameters()) * 2 < 5e6
