"""Targets and losses of the compact pose models: Gaussian heatmaps, and coordinates of two stages.

Joints are (B, 17, 3) throughout: x, y as fractions of the crop (may lie outside of it) and a weight, 0 for joints that
are not labelled.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

SIGMA = 2.0  # cells, for a map 64 high; smaller maps get narrower Gaussians in cells, but wider ones on the body
SIGMA_HEIGHT = 64
BETA = 0.02  # heights of a crop: smooth-L1 is quadratic below
CLOSE = 0.04  # heights of a crop: the score of a joint this far off is exp(-1/2)


def sigma_of(height: int) -> float:
    """Spread of a target Gaussian in cells of a map that many cells high."""
    return SIGMA * math.sqrt(height / SIGMA_HEIGHT)


def inside(joints: Tensor) -> Tensor:
    """(B, 17) bool: the joint lies in the crop."""
    return ((joints[..., :2] >= 0) & (joints[..., :2] < 1)).all(-1)


def gaussian_targets(joints: Tensor, height: int, width: int) -> Tensor:
    """(B, 17, height, width): a Gaussian of height 1 around each joint, nothing for joints outside the crop.

    The centre is the joint's exact place and not the nearest cell (unbiased coordinates, Zhang et al. 2020,
    arXiv:1910.06278), so that the peak between cells can be recovered.
    """
    sigma = sigma_of(height)
    columns = torch.arange(width, device=joints.device) + 0.5
    rows = torch.arange(height, device=joints.device) + 0.5
    across = torch.exp(-((joints[..., 0:1] * width - columns) ** 2) / (2 * sigma**2))
    down = torch.exp(-((joints[..., 1:2] * height - rows) ** 2) / (2 * sigma**2))
    maps = down[..., :, None] * across[..., None, :]
    return maps * inside(joints)[..., None, None]


def heatmap_loss(maps: Tensor, joints: Tensor) -> Tensor:
    """Squared error of heatmaps (B, 17, h, w), averaged over joints by their weights.

    In units of the energy of one Gaussian: an empty map where a joint should be costs 1. Joints known to be outside the
    crop are to leave their map empty (Tompson et al. 2014, arXiv:1406.2984, introduced the regression of heatmaps).
    """
    height, width = maps.shape[2:]
    error = (maps.float() - gaussian_targets(joints, height, width)).square().sum((2, 3))
    energy = math.pi * sigma_of(height) ** 2
    weight = joints[..., 2]
    return (error * weight).sum() / (energy * weight.sum().clamp(min=1e-6))


def distance(points: Tensor, joints: Tensor, aspect: float) -> Tensor:
    """(B, 17, 2) offsets from joints to points in heights of the crop; aspect is its width / height."""
    return (points - joints[..., :2]) * points.new_tensor([aspect, 1.0])


def regression_loss(points: Tensor, joints: Tensor, aspect: float) -> Tensor:
    """Smooth-L1 (Girshick 2015, arXiv:1504.08083) of coordinates (B, 17, 2), over labelled joints in the crop."""
    weight = joints[..., 2] * inside(joints)
    apart = distance(points, joints, aspect)
    error = functional.smooth_l1_loss(apart, torch.zeros_like(apart), beta=BETA, reduction="none").sum(-1)
    return (error * weight).sum() / weight.sum().clamp(min=1e-6)


def score_loss(logits: Tensor, points: Tensor, joints: Tensor, aspect: float) -> Tensor:
    """Cross-entropy of score logits (B, 17) with how close the points (B, 17, 2) came: exp(-d^2 / (2 CLOSE^2)).

    So a score says what to expect of its joint; for joints outside the crop it is to be 0.
    """
    weight = joints[..., 2]
    squared = distance(points.detach(), joints, aspect).square().sum(-1)
    close = torch.exp(-squared / (2 * CLOSE**2)) * inside(joints)
    error = functional.binary_cross_entropy_with_logits(logits.float(), close, reduction="none")
    return (error * weight).sum() / weight.sum().clamp(min=1e-6)
