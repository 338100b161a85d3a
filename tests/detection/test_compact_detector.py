"""The compact detector's network: shapes, fusing and tracing change nothing, boxes against a plain loop."""

import math

import numpy as np
import pytest
import torch

from cvdemo.core import registry
from cvdemo.detection import compact
from cvdemo.detection.nets.compact_detector import (
    DISTANCE_BINS,
    STRIDES,
    CompactDetector,
    ConvBnRelu,
    cell_centres,
    decode_boxes,
    flatten_levels,
)


def with_lived_in_norms(network: CompactDetector, seed: int = 0) -> CompactDetector:
    """Give every batch normalisation statistics of its own, as if it had been trained, and switch to evaluation."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator) * 0.2)
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
            module.weight.data.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
            module.bias.data.copy_(torch.randn(module.num_features, generator=generator) * 0.2)
    return network.eval()


@pytest.fixture(scope="module")
def network() -> CompactDetector:
    torch.manual_seed(0)
    return with_lived_in_norms(CompactDetector())


def small() -> CompactDetector:
    torch.manual_seed(1)
    return with_lived_in_norms(CompactDetector(5, (8, 8, 8, 16, 16), (1, 1, 1, 1), 16, 16))


def picture(height: int, width: int, count: int = 1) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(height * 7 + width))


@pytest.mark.parametrize(
    ("count", "height", "width"), [(1, 32, 32), (2, 32, 96), (1, 160, 64), (3, 64, 64), (1, 320, 416)]
)
def test_each_level_predicts_on_its_own_grid(network, count, height, width):
    with torch.inference_mode():
        levels = network(picture(height, width, count))
    assert len(levels) == len(STRIDES)
    for level, stride in zip(levels, STRIDES):
        grid = (height // stride, width // stride)
        assert level.class_logits.shape == (count, 80, *grid)
        assert level.distance_logits.shape == (count, 4 * DISTANCE_BINS, *grid)
        assert torch.isfinite(level.class_logits).all()
    logits, bins = flatten_levels(levels)
    cells = sum((height // s) * (width // s) for s in STRIDES)
    assert logits.shape == (count, cells, 80)
    assert bins.shape == (count, cells, 4, DISTANCE_BINS)
    centres, strides = cell_centres(height, width)
    assert centres.shape == (cells, 2)
    assert strides.shape == (cells,)


def test_the_registry_states_size_and_cost():
    spec = registry.get(compact.SPEC_NAME)
    network = CompactDetector().eval()
    assert spec.parameters == sum(parameter.numel() for parameter in network.parameters())
    products = []
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda m, _, out: products.append(out.numel() * m.weight[0].numel()))
    with torch.inference_mode():
        network(picture(384, 480))
    assert spec.gflops == pytest.approx(sum(products) / 1e9, abs=0.05)


def test_sizes_that_are_no_multiple_of_32_are_refused(network):
    with pytest.raises(RuntimeError):
        network(picture(40, 40))


def test_an_untrained_network_starts_at_the_focal_prior():
    torch.manual_seed(0)
    with torch.inference_mode():
        logits, _ = flatten_levels(CompactDetector().eval()(picture(64, 64)))
    assert float(logits.sigmoid().mean()) == pytest.approx(0.01, abs=0.003)


def test_flattening_keeps_values_with_their_cells(network):
    with torch.inference_mode():
        levels = network(picture(64, 96))
    logits, bins = flatten_levels(levels)
    rng = np.random.default_rng(0)
    start = 0
    for level, stride in zip(levels, STRIDES):
        rows, columns = 64 // stride, 96 // stride
        for _ in range(5):
            y, x, side = rng.integers(rows), rng.integers(columns), int(rng.integers(4))
            cell = start + y * columns + x
            assert torch.equal(logits[0, cell], level.class_logits[0, :, y, x])
            own = level.distance_logits[0, side * DISTANCE_BINS : (side + 1) * DISTANCE_BINS, y, x]
            assert torch.equal(bins[0, cell, side], own)
        start += rows * columns


def test_fusing_changes_no_output(network):
    torch.manual_seed(0)
    fused = with_lived_in_norms(CompactDetector())
    fused.load_state_dict(network.state_dict())
    assert fused.fuse() is fused
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in fused.modules())
    blob = picture(96, 128)
    with torch.inference_mode():
        for ours, reference in zip(fused(blob), network(blob)):
            torch.testing.assert_close(ours.class_logits, reference.class_logits, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(ours.distance_logits, reference.distance_logits, atol=1e-4, rtol=1e-4)


def test_fusing_twice_is_harmless():
    block = with_lived_in_norms(torch.nn.Sequential(ConvBnRelu(3, 4)))[0]
    blob = picture(8, 8)
    reference = block(blob)
    block.fuse()
    once = block.conv
    block.fuse()
    assert block.conv is once
    torch.testing.assert_close(block(blob), reference, atol=1e-5, rtol=1e-5)


def test_the_traced_graph_accepts_other_shapes():
    network = small().fuse()
    graph = compact._trace(network, compact.Precision(channels_last=True, traced=True))
    with torch.inference_mode():
        for height, width in ((320, 416), (32, 32), (416, 320), (64, 416), (160, 96)):
            blob = picture(height, width)
            for ours, reference in zip(graph(blob), network(blob)):
                torch.testing.assert_close(ours.class_logits, reference.class_logits, atol=1e-4, rtol=1e-4)
                torch.testing.assert_close(ours.distance_logits, reference.distance_logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 32), (32, 96)])
def test_cell_centres_against_a_loop(height, width):
    expected = [
        (x * stride + stride / 2, y * stride + stride / 2, stride)
        for stride in (8, 16, 32)
        for y in range(height // stride)
        for x in range(width // stride)
    ]
    centres, strides = cell_centres(height, width)
    np.testing.assert_array_equal(torch.cat([centres, strides[:, None]], 1).numpy(), np.array(expected, np.float32))


def test_decoded_boxes_against_a_loop():
    generator = torch.Generator().manual_seed(3)
    centres, strides = cell_centres(32, 64)
    bins = torch.randn(2, len(centres), 4, DISTANCE_BINS, generator=generator) * 3
    boxes = decode_boxes(bins, centres, strides).numpy()
    for image in range(2):
        for cell in range(len(centres)):
            distances = []
            for side in range(4):
                powers = [math.exp(float(v)) for v in bins[image, cell, side]]
                mean = sum(k * p for k, p in enumerate(powers)) / sum(powers)
                distances.append(mean * float(strides[cell]))
            x, y = (float(v) for v in centres[cell])
            left, top, right, bottom = distances
            expected = [x - left, y - top, x + right, y + bottom]
            np.testing.assert_allclose(boxes[image, cell], expected, rtol=1e-4, atol=1e-3)


def test_a_certain_distribution_is_its_bin():
    centres, strides = cell_centres(32, 32)
    bins = torch.full((len(centres), 4, DISTANCE_BINS), -50.0)
    for side, bin_index in enumerate((0, 1, 3, 7)):
        bins[:, side, bin_index] = 50.0
    boxes = decode_boxes(bins, centres, strides)
    step = strides[:, None]
    expected = torch.cat([centres - step * torch.tensor([0.0, 1.0]), centres + step * torch.tensor([3.0, 7.0])], 1)
    torch.testing.assert_close(boxes, expected)
