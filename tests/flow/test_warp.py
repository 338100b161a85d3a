"""Warping against a loop over pixels and against torch; occlusion where it is known."""

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional

from cvdemo.flow.warp import (
    backward_warp,
    forward_backward_error,
    leaves_frame,
    occlusion_mask,
    pixel_grid,
    warp_error,
)

RNG = np.random.default_rng(5)


def by_hand(values, flow):
    """Bilinear lookup, pixel by pixel, zero outside."""
    height, width = flow.shape[:2]
    out = np.zeros((height, width), np.float64)
    for i in range(height):
        for j in range(width):
            x, y = j + float(flow[i, j, 0]), i + float(flow[i, j, 1])
            left, top = int(np.floor(x)), int(np.floor(y))
            for dy in (0, 1):
                for dx in (0, 1):
                    if 0 <= top + dy < height and 0 <= left + dx < width:
                        share = (1 - abs(x - left - dx)) * (1 - abs(y - top - dy))
                        out[i, j] += share * values[top + dy, left + dx]
    return out


def test_warping_is_a_bilinear_lookup():
    values = RNG.random((12, 15)).astype(np.float32)
    # OpenCV looks places up on a grid of 1/32 pixel
    flow = np.round(RNG.normal(size=(12, 15, 2)) * 3 * 32).astype(np.float32) / 32
    assert np.allclose(backward_warp(values, flow), by_hand(values, flow), atol=1e-4)


def test_warping_agrees_with_torch_inside_the_frame():
    values = RNG.random((20, 24, 3)).astype(np.float32)
    flow = (RNG.normal(size=(20, 24, 2)) * 2).astype(np.float32)
    x, y = pixel_grid(20, 24)
    grid = np.stack([(x + flow[..., 0]) / 23 * 2 - 1, (y + flow[..., 1]) / 19 * 2 - 1], axis=2)
    expected = functional.grid_sample(
        torch.from_numpy(values).permute(2, 0, 1)[None], torch.from_numpy(grid)[None], align_corners=True
    )[0]
    inside = ~leaves_frame(flow)
    found = backward_warp(values, flow)
    assert np.allclose(found[inside], expected.permute(1, 2, 0).numpy()[inside], atol=0.04)


def test_warping_is_opencvs_remap():
    values = RNG.integers(0, 256, (30, 40, 3), np.uint8)
    flow = (RNG.normal(size=(30, 40, 2)) * 4).astype(np.float32)
    y, x = np.mgrid[:30, :40].astype(np.float32)
    expected = cv2.remap(values, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR)
    assert np.array_equal(backward_warp(values, flow), expected)


def test_borders_can_be_repeated_and_undefined_flow_points_outside():
    values = np.full((6, 6), 7.0, np.float32)
    flow = np.full((6, 6, 2), 50.0, np.float32)
    flow[0, 0] = np.nan
    assert (backward_warp(values, flow) == 0).all()
    assert (backward_warp(values, flow, border=None) == 7).all()
    assert leaves_frame(flow).all()


def test_warp_error_of_the_true_flow_is_nothing():
    picture = RNG.integers(0, 256, (40, 50, 3), np.uint8)
    flow = np.full((40, 50, 2), (4, 3), np.float32)
    second = np.roll(picture, (3, 4), (0, 1))
    error = warp_error(picture, second, flow)
    assert np.isnan(error[-3:]).all()
    assert np.isnan(error[:, -4:]).all()
    assert (error[:-3, :-4] == 0).all()
    assert np.nanmean(warp_error(picture, second, np.zeros_like(flow))) > 20


def covered_scene():
    """A square moves right over a still background: forward and backward flow, and what it covers."""
    forward, backward = np.zeros((2, 40, 60, 2), np.float32)
    forward[10:30, 10:30, 0] = 8
    backward[10:30, 18:38, 0] = -8
    covered = np.zeros((40, 60), bool)
    covered[10:30, 30:38] = True
    return forward, backward, covered


def test_the_covered_strip_is_occluded_and_nothing_else():
    forward, backward, covered = covered_scene()
    assert np.array_equal(occlusion_mask(forward, backward), covered)
    error = forward_backward_error(forward, backward)
    assert (error[~covered] == 0).all()
    assert np.allclose(error[covered], 8)


def test_the_occlusion_rule_is_the_papers():
    forward = (RNG.normal(size=(30, 30, 2)) * 3).astype(np.float32)
    backward = (RNG.normal(size=(30, 30, 2)) * 3).astype(np.float32)
    back = np.stack([by_hand(backward[..., part], np.round(forward * 32) / 32) for part in (0, 1)], axis=2)
    left = np.square(forward + back).sum(axis=2)
    right = 0.05 * (np.square(forward).sum(axis=2) + np.square(back).sum(axis=2)) + 2.0
    clear = np.abs(left - right) > 0.5  # away from the threshold, where rounding of the lookup could decide
    expected = (left > right) | leaves_frame(forward)
    assert np.array_equal(occlusion_mask(forward, backward, 0.05, 2.0)[clear], expected[clear])


@pytest.mark.parametrize(("alpha", "beta", "share"), [(0.0, 0.0, 1.0), (1.0, 1e6, 0.0)])
def test_the_constants_are_limits(alpha, beta, share):
    forward = np.full((10, 10, 2), 0.25, np.float32)
    forward[:, -1], forward[-1] = 0, 0
    assert occlusion_mask(forward, forward, alpha, beta)[:-1, :-1].mean() == share
