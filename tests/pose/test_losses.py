"""Targets peak where the joint is, losses equal plain formulas, and only labelled joints count."""

import math

import numpy as np
import pytest
import torch

from cvdemo.pose.heatmaps import decode_heatmaps
from cvdemo.pose.losses import (
    BETA,
    CLOSE,
    gaussian_targets,
    heatmap_loss,
    inside,
    regression_loss,
    score_loss,
    sigma_of,
)


def random_joints(seed: int, low: float = 0.15, high: float = 0.85, count: int = 5) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    joints = np.concatenate([rng.uniform(low, high, (count, 17, 2)), np.ones((count, 17, 1))], axis=2)
    return torch.tensor(joints, dtype=torch.float32)


def test_targets_are_gaussians_around_the_exact_place():
    joints = random_joints(0, count=1)
    maps = gaussian_targets(joints, 64, 48)[0]
    sigma = sigma_of(64)
    for map_, (x, y, _) in zip(maps.numpy(), joints[0].numpy()):
        rows, columns = np.mgrid[:64, :48] + 0.5
        expected = np.exp(-((columns - x * 48) ** 2 + (rows - y * 64) ** 2) / (2 * sigma**2))
        np.testing.assert_allclose(map_, expected, atol=1e-5)


def test_the_decoder_finds_the_joints_again():
    joints = random_joints(1)
    regions = np.tile(np.array([[10.0, 20.0, 202.0, 276.0]]), (5, 1))
    found, scores = decode_heatmaps(gaussian_targets(joints, 64, 48).numpy(), regions, "sub-pixel")
    expected = joints[..., :2].numpy() * (192, 256) + (10, 20)
    np.testing.assert_allclose(found, expected, atol=0.3)
    assert scores.min() > 0.9


def test_joints_outside_the_crop_have_empty_targets():
    joints = torch.tensor([[[-0.1, 0.5, 1.0], [0.5, 1.2, 1.0], [0.5, 0.5, 1.0]]])
    assert inside(joints).tolist() == [[False, False, True]]
    maps = gaussian_targets(joints, 32, 24)[0]
    assert maps[:2].abs().max() == 0
    assert maps[2].max() > 0.8


@pytest.mark.parametrize("size", [(64, 48), (32, 24)])
def test_an_empty_map_costs_about_one_and_a_perfect_one_nothing(size):
    joints = random_joints(2)
    target = gaussian_targets(joints, *size)
    assert heatmap_loss(target, joints) == pytest.approx(0, abs=1e-9)
    assert float(heatmap_loss(torch.zeros_like(target), joints)) == pytest.approx(1.0, rel=0.02)


def test_weights_average_the_heatmap_loss_over_joints():
    joints = random_joints(3, count=2)
    joints[..., 2] = torch.rand(2, 17)
    joints[0, :8, 2] = 0
    maps = torch.rand(2, 17, 16, 12)
    squared = (maps - gaussian_targets(joints, 16, 12)).square().sum((2, 3)).numpy()
    weight = joints[..., 2].numpy()
    expected = (squared * weight).sum() / weight.sum() / (math.pi * sigma_of(16) ** 2)
    assert float(heatmap_loss(maps, joints)) == pytest.approx(float(expected), rel=1e-5)
    maps[0, :8] = 99
    assert float(heatmap_loss(maps, joints)) == pytest.approx(float(expected), rel=1e-5), "unlabelled joints"


def test_smooth_l1_of_offsets_in_crop_heights():
    joints = random_joints(4, count=3)
    points = joints[..., :2] + torch.randn(3, 17, 2) * 0.05
    offset = (points - joints[..., :2]).numpy() * (0.75, 1.0)
    size = np.abs(offset)
    expected = np.where(size < BETA, 0.5 * size**2 / BETA, size - 0.5 * BETA).sum(2).mean()
    assert float(regression_loss(points, joints, 0.75)) == pytest.approx(float(expected), rel=1e-4)


def test_regression_leaves_out_what_is_outside_or_not_labelled():
    joints = random_joints(5, count=1)
    joints[0, 0, :2] = 1.3
    joints[0, 1, 2] = 0
    points = joints[..., :2].clone()
    points[0, :2] += 9
    assert float(regression_loss(points, joints, 0.75)) == 0
    joints[..., 2] = 0
    assert float(regression_loss(points, joints, 0.75)) == 0, "a batch without labels"
    assert float(heatmap_loss(torch.rand(1, 17, 8, 6), joints)) == 0


def test_the_best_score_is_the_closeness():
    joints = random_joints(6, count=4)
    points = joints[..., :2] + torch.randn(4, 17, 2) * 0.03
    offset = (points - joints[..., :2]) * torch.tensor([0.75, 1.0])
    close = torch.exp(-offset.square().sum(-1) / (2 * CLOSE**2)).clamp(1e-4, 1 - 1e-4)
    best = score_loss(torch.logit(close), points, joints, 0.75)
    for shift in (-0.5, 0.5):
        assert score_loss(torch.logit(close) + shift, points, joints, 0.75) > best
    points.requires_grad_()
    logits = torch.zeros(4, 17, requires_grad=True)
    score_loss(logits, points, joints, 0.75).backward()
    assert points.grad is None, "a score does not move its joint"
    assert logits.grad.abs().sum() > 0
