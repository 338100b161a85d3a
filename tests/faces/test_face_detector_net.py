"""The face network: size, shapes, fusing, and decoding against arithmetic cell by cell."""

import numpy as np
import pytest
import torch

from cvdemo.faces.detector import SPEC
from cvdemo.faces.nets.face_detector import (
    OUTPUTS,
    STRIDES,
    TYPICAL_SIDE,
    CompactFaceDetector,
    cell_centres,
    decode_boxes,
    decode_landmarks,
    flatten_levels,
)


def test_its_size():
    network = CompactFaceDetector()
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == SPEC.parameters < 450_000
    assert 2 * sum(value.numel() for value in network.state_dict().values()) < 1_000_000, "bytes in 16 bits"


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 160), (480, 640)])
def test_the_levels(height, width):
    network = CompactFaceDetector().eval()
    with torch.inference_mode():
        levels = network(torch.rand(2, 3, height, width))
    assert [tuple(level.shape) for level in levels] == [(2, OUTPUTS, height // s, width // s) for s in STRIDES]
    values = flatten_levels(levels)
    centres, strides = cell_centres(height, width)
    assert values.shape == (2, len(centres), OUTPUTS)
    assert len(strides) == len(centres)
    assert values[..., 0].sigmoid().max() < 0.1, "it starts by expecting no faces"


def test_fusing_changes_nothing_but_the_layers():
    torch.manual_seed(3)
    network = CompactFaceDetector()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    network.eval()
    x = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        before = flatten_levels(network(x))
        after = flatten_levels(network.fuse()(x))
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)


def test_cells_lie_row_by_row_finest_level_first():
    centres, strides = cell_centres(64, 96)
    expected = [((x + 0.5) * s, (y + 0.5) * s, s) for s in STRIDES for y in range(64 // s) for x in range(96 // s)]
    np.testing.assert_allclose(torch.cat([centres, strides[:, None]], 1).numpy(), expected)


def test_decoding_against_arithmetic():
    rng = np.random.default_rng(0)
    centres, strides = cell_centres(64, 64)
    values = rng.normal(0, 1, (2, len(centres), OUTPUTS)).astype(np.float32)
    boxes = decode_boxes(torch.from_numpy(values), centres, strides).numpy()
    landmarks = decode_landmarks(torch.from_numpy(values), centres, strides).numpy()
    assert boxes.shape == (2, len(centres), 4)
    assert landmarks.shape == (2, len(centres), 5, 2)
    for batch, cell in ((0, 0), (1, 17), (0, 64), (1, 81), (0, len(centres) - 1)):
        (x, y), s = centres[cell].tolist(), float(strides[cell])
        v = values[batch, cell].astype(float)
        cx, cy = x + v[1] * s, y + v[2] * s
        w, h = np.exp(v[3]) * TYPICAL_SIDE * s, np.exp(v[4]) * TYPICAL_SIDE * s
        np.testing.assert_allclose(boxes[batch, cell], [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], rtol=1e-4)
        points = [[x + v[5 + 2 * k] * s, y + v[6 + 2 * k] * s] for k in range(5)]
        np.testing.assert_allclose(landmarks[batch, cell], points, rtol=1e-4, atol=1e-4)


def test_wild_predictions_stay_finite():
    centres, strides = cell_centres(32, 32)
    values = torch.full((1, len(centres), OUTPUTS), 1e4)
    assert torch.isfinite(decode_boxes(values, centres, strides)).all()
