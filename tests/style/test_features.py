"""Named activations of VGG19 against torchvision's own layers, and pictures as tensors."""

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import VGG19_Weights, vgg19

from cvdemo.core.errors import InputError
from cvdemo.style import features
from cvdemo.style.nets.compact_vgg import CompactVgg


@pytest.fixture(scope="module")
def thin_vgg():
    """VGG19's convolutional part with its layout but few channels: the real one fills half a gigabyte."""
    torch.manual_seed(0)
    with torch.device("meta"):
        published = vgg19(weights=None).features
    parts, before = [], 3
    for part in published:
        if isinstance(part, nn.Conv2d):
            parts.append(nn.Conv2d(before, part.out_channels // 32, 3, padding=1))
            before = part.out_channels // 32
        else:
            parts.append(nn.ReLU() if isinstance(part, nn.ReLU) else nn.MaxPool2d(2))
    return features.Vgg19Features(nn.Sequential(*parts)).eval()


def test_the_names_lie_where_the_papers_say(thin_vgg):
    assert thin_vgg.places["relu1_1"] == 1
    assert thin_vgg.places["relu2_1"] == 6
    assert thin_vgg.places["relu4_1"] == 20
    assert thin_vgg.places["relu4_2"] == 22
    assert thin_vgg.places["relu5_1"] == 29
    assert len(thin_vgg.places) == len(features.VGG19_LAYERS) == 16


def test_the_normalisation_is_that_of_torchvisions_weights(thin_vgg):
    transform = VGG19_Weights.DEFAULT.transforms()
    assert list(features.IMAGENET_MEAN) == transform.mean
    assert list(features.IMAGENET_STD) == transform.std


def test_activations_are_those_of_the_layers_run_one_by_one(thin_vgg):
    x = torch.rand(1, 3, 40, 32)
    found = thin_vgg.activations(x, ["relu3_2", "relu1_2"])
    value = (x - thin_vgg.mean) / thin_vgg.std
    for index, part in enumerate(thin_vgg.features[: thin_vgg.places["relu3_2"] + 1]):
        value = part(value)
        if index == thin_vgg.places["relu1_2"]:
            assert torch.allclose(found["relu1_2"], value)
    assert torch.allclose(found["relu3_2"], value)


def test_unknown_layers_are_named():
    with pytest.raises(InputError, match=r"relu7_1.*relu1_1"):
        features.activations(CompactVgg(), torch.rand(1, 3, 32, 32), ["relu7_1"])


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [((100, 200), 64, (32, 64)), ((1, 1), 256, (256, 256)), ((300, 100), 96, (96, 32)), ((10, 64), 64, (32, 64))],
)
def test_pictures_are_fitted_by_their_longer_side(shape, size, expected):
    picture = np.full((*shape, 3), 77, np.uint8)
    out = features.fitted(picture, size)
    assert out.shape == (*expected, 3)
    assert (out == 77).all()


def test_sides_can_be_multiples():
    assert features.fitted(np.zeros((333, 500, 3), np.uint8), 384, multiple=8).shape == (256, 384, 3)


def test_a_strip_is_refused():
    with pytest.raises(InputError, match="eight"):
        features.fitted(np.zeros((4, 400, 3), np.uint8), 128)


def test_pixels_survive_the_way_to_a_tensor_and_back():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    assert (features.to_pixels(features.to_tensor(pixels)) == pixels).all()
    assert features.to_pixels(torch.tensor([-0.5, 2.0, 0.5]).view(1, 3, 1, 1)).tolist() == [[[0, 255, 128]]]
