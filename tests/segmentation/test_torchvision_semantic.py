"""Logits taken before the up-sampling, against torchvision's own preprocessing and forward pass."""

import functools
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import segmentation
from torchvision.transforms._presets import SemanticSegmentation

from cvdemo.core.context import RunContext
from cvdemo.core.errors import Cancelled
from cvdemo.segmentation.labels import VOC_CLASSES
from cvdemo.segmentation.resample import label_map, to_picture
from cvdemo.segmentation.torchvision_semantic import LONGEST, infer_semantic, input_size

BUILDERS = ("lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large", "fcn_resnet50", "deeplabv3_resnet50")


@functools.cache
def network(name):
    torch.manual_seed(0)
    model = getattr(segmentation, name)(weights=None, weights_backbone=None, num_classes=21).eval()

    def normalise(norm, inputs):
        norm.running_mean.copy_(inputs[0].mean((0, 2, 3)))
        norm.running_var.copy_(inputs[0].var((0, 2, 3), unbiased=False).clamp(min=1e-3))

    # Untrained norms let the signal fade away, and constant maps would prove nothing.
    hooks = [m.register_forward_pre_hook(normalise) for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        model(torch.from_numpy(picture(96, 128, 9)).permute(2, 0, 1)[None] / 128 - 1)
    for hook in hooks:
        hook.remove()
    return model.requires_grad_(False)


def picture(height, width, seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = np.stack([127 + 90 * np.sin(x / (5 + 3 * c) + y / (7 + c)) for c in range(3)], -1)
    return np.clip(waves + rng.normal(0, 20, waves.shape), 0, 255).astype(np.uint8)


def run(name, pixels, side):
    context = RunContext(torch.device("cpu"))
    return infer_semantic(network(name), pixels, context, name=name, categories=VOC_CLASSES, short_side=side), context


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize(("height", "width"), [(96, 128), (117, 100)])
def test_enlarged_logits_equal_torchvisions_forward(name, height, width):
    side = min(height, width)
    pixels = picture(height, width)
    blob = SemanticSegmentation(resize_size=side)(torch.from_numpy(pixels).permute(2, 0, 1))
    expected = network(name)(blob[None])["out"][0].numpy()
    raw, context = run(name, pixels, side)
    assert raw.logits.shape[1] < height / 4, "the map is the small one"
    ours = np.stack([to_picture(plane, raw.extent, height, width) for plane in raw.logits])
    scale = np.abs(expected).max()
    assert expected.std(axis=(1, 2)).mean() > 0.1, "the comparison must see something"
    np.testing.assert_allclose(ours, expected, atol=1e-3 * scale)
    labels, _ = label_map(raw.logits, raw.extent, height, width)
    assert (labels == expected.argmax(axis=0)).mean() > 0.999
    assert set(context.stages) == {"preprocess", "network", "decode"}


def test_resizing_equals_the_published_preset():
    pixels = picture(150, 211)
    blob = SemanticSegmentation(resize_size=80)(torch.from_numpy(pixels).permute(2, 0, 1))
    name = "lraspp_mobilenet_v3_large"
    expected = network(name).classifier(network(name).backbone(blob[None]))[0].numpy()
    np.testing.assert_allclose(run(name, pixels, 80)[0].logits, expected, atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 500), (3000, 20), (20, 3000), (480, 640)])
def test_no_shape_makes_the_input_huge(height, width):
    size = input_size(height, width)
    assert 1 <= min(size) <= 520
    assert max(size) <= LONGEST
    assert (size[0] <= size[1]) == (height <= width)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 500), (3000, 20)])
def test_adversarial_shapes_are_segmented(height, width):
    raw, _ = run("lraspp_mobilenet_v3_large", picture(height, width), 64)
    assert (raw.height, raw.width) == (height, width)
    assert label_map(raw.logits, raw.extent, height, width)[0].shape == (height, width)


def test_a_cancelled_run_stops():
    cancel = threading.Event()
    cancel.set()
    context = RunContext(torch.device("cpu"), cancel=cancel)
    with pytest.raises(Cancelled):
        infer_semantic(network(BUILDERS[0]), picture(32, 32), context, name="x", categories=VOC_CLASSES)
