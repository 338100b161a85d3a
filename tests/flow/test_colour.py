"""The colour code, against torchvision's."""

import numpy as np
import pytest
import torch
from torchvision.utils import flow_to_image

from cvdemo.flow.colour import colour_wheel, flow_to_colour, nice_maximum, robust_maximum, wheel_colours, wheel_mask


def reference(flow):
    return flow_to_image(torch.from_numpy(flow).permute(2, 0, 1)).permute(1, 2, 0).numpy()


@pytest.mark.parametrize("seed", range(3))
def test_the_colours_are_torchvisions_when_the_maximum_is_the_field_s_own(seed):
    flow = np.random.default_rng(seed).normal(0, 7, (60, 80, 2)).astype(np.float32)
    largest = float(np.hypot(flow[..., 0], flow[..., 1]).max())
    difference = np.abs(flow_to_colour(flow, largest).astype(int) - reference(flow).astype(int))
    assert difference.max() <= 3
    assert difference.mean() < 0.6


def test_main_directions():
    flow = np.array([[[1, 0], [0, 1], [-1, 0], [0, -1], [0, 0]]], np.float32)
    assert np.abs(flow_to_colour(flow, 1.0).astype(int) - reference(flow).astype(int)).max() <= 3
    assert flow_to_colour(flow, 1.0)[0, 4].tolist() == [255, 255, 255]


def test_the_same_displacement_has_the_same_colour_in_every_frame():
    rng = np.random.default_rng(1)
    slow, fast = (rng.normal(0, size, (20, 20, 2)).astype(np.float32) for size in (1, 30))
    slow[3, 4] = fast[3, 4] = (2, -3)
    assert (flow_to_colour(slow, 10.0)[3, 4] == flow_to_colour(fast, 10.0)[3, 4]).all()


def test_faster_than_the_maximum_is_darker_and_unknown_is_black():
    flow = np.array([[[10, 0], [20, 0], [np.nan, 0], [0, np.inf], [1e10, 0]]], np.float32)
    inside, beyond, *unknown = flow_to_colour(flow, 10.0)[0].astype(int)
    assert beyond.sum() < inside.sum()
    assert beyond.max() == pytest.approx(0.75 * inside.max(), abs=1)
    assert not np.any(unknown)


@pytest.mark.parametrize("maximum", [0.0, -1.0, float("nan")])
def test_a_maximum_that_is_none_is_refused(maximum):
    with pytest.raises(ValueError, match="above 0"):
        flow_to_colour(np.zeros((2, 2, 2), np.float32), maximum)


def test_the_wheel_has_55_colours_and_shows_directions():
    assert wheel_colours().shape == (55, 3)
    wheel, mask = colour_wheel(101), wheel_mask(101)
    assert wheel.shape == (101, 101, 3)
    assert (wheel[~mask] == 255).all()
    assert wheel[50, 50].min() > 240  # nothing moves in the middle
    assert (wheel[50, 97].astype(int) - flow_to_colour(np.array([[[0.94, 0]]], np.float32), 1.0)[0, 0]).max() <= 3
    assert 0.75 < mask.mean() < 0.8


@pytest.mark.parametrize(
    ("value", "nice"), [(0, 1), (0.3, 1), (1, 1), (1.2, 1.5), (2, 2), (2.1, 3), (7.5, 10), (31, 50), (99, 100)]
)
def test_nice_maxima(value, nice):
    assert nice_maximum(value) == pytest.approx(nice)


def test_the_robust_maximum_passes_over_outliers_and_unknown_pixels():
    flow = np.zeros((100, 100, 2), np.float32)
    flow[..., 0] = np.linspace(0, 4, 100)
    flow[0, 0] = 500
    flow[1] = np.nan
    assert robust_maximum(flow) == 5.0
    assert robust_maximum(np.full((3, 3, 2), np.nan, np.float32)) == 1.0
