"""RoIPool and RoIAlign against torchvision's operators on random maps and boxes."""

import numpy as np
import pytest
import torch
from torch.nn import functional
from torchvision import ops

from cvdemo.segmentation.roi import bins, interpolation, roi_align, roi_pool


def cases(seed, count=40):
    """Random maps, boxes inside, over the border and outside, strides and output sizes."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        height, width = rng.integers(1, 20, 2).tolist()
        stride = float(rng.choice([1, 4, 16, 10.5]))
        features = rng.normal(size=(height, width))
        corners = rng.uniform(-0.4, 1.4, (2, 2)) * (width * stride, height * stride)
        low, high = corners.min(0), corners.max(0)
        yield features, (*low.tolist(), *high.tolist()), tuple(rng.integers(1, 8, 2).tolist()), 1 / stride


def tensors(features, box):
    return torch.from_numpy(features)[None, None], torch.tensor([[0.0, *box]], dtype=torch.float64)


@pytest.mark.parametrize("seed", range(6))
def test_roi_pool_is_torchvisions(seed):
    for features, box, output, scale in cases(seed):
        expected = ops.roi_pool(*tensors(features, box), output, scale)[0, 0].numpy()
        result = roi_pool(features, box, output, scale)
        np.testing.assert_array_equal(result.values, expected)
        filled = result.winners[..., 0] >= 0
        picked = features[result.winners[filled][:, 0], result.winners[filled][:, 1]]
        np.testing.assert_array_equal(picked, result.values[filled])
        assert (result.values[~filled] == 0).all()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("sampling", [0, 1, 2, 3])
@pytest.mark.parametrize("half_pixel", [False, True])
def test_roi_align_is_torchvisions(seed, sampling, half_pixel):
    for features, box, output, scale in cases(seed):
        expected = ops.roi_align(*tensors(features, box), output, scale, sampling, half_pixel)[0, 0].numpy()
        result = roi_align(features, box, output, scale, sampling, half_pixel=half_pixel)
        np.testing.assert_allclose(result.values, expected, atol=1e-10)


def test_points_are_read_as_grid_sample_reads_them():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(9, 7))
    result = roi_align(features, (2.2, 1.7, 5.9, 6.6), (3, 2), 1.0, 3, reduce="max")
    y, x = result.points[..., 0].reshape(-1), result.points[..., 1].reshape(-1)
    grid = torch.from_numpy(np.stack([2 * x / 6 - 1, 2 * y / 8 - 1], -1))[None, None]
    read = functional.grid_sample(torch.from_numpy(features)[None, None], grid, align_corners=True)
    np.testing.assert_allclose(result.point_values.reshape(-1), read.reshape(-1), atol=1e-12)
    np.testing.assert_allclose(result.values, read.reshape(3, 2, 9).amax(2), atol=1e-12)
    np.testing.assert_allclose(result.weights.sum(-1), 1)


def test_points_far_outside_have_no_weight():
    cells, weights = interpolation(np.array([[-1.5, 0], [-0.5, 0.25], [3.5, 1]]), (4, 3))
    np.testing.assert_allclose(weights.sum(-1), [0, 1, 1])
    np.testing.assert_array_equal(cells[1, 0], [0, 0])
    np.testing.assert_array_equal(cells[2, :, 0], [3, 3, 3, 3])


def test_each_axis_has_its_own_scale():
    features = np.random.default_rng(1).normal(size=(12, 12))
    one = roi_align(features, (16, 16, 80, 80), (2, 2), 1 / 8)
    two = roi_align(features, (16, 32, 80, 160), (2, 2), (1 / 8, 1 / 16))
    np.testing.assert_allclose(one.values, two.values)
    pooled = roi_pool(features, (16, 32, 80, 160), (2, 2), (1 / 8, 1 / 16))
    assert pooled.region == (2, 2, 10, 10)


def test_quantisation_moves_the_box_by_so_many_pixels():
    pooled = roi_pool(np.zeros((20, 20)), (23.0, 40.0, 150.0, 200.0), (7, 7), 1 / 16)
    # 23 / 16 = 1.44 becomes cell 1, 40 / 16 = 2.5 cell 3; the last cells are 9 and 13 (12.5 rounded up).
    assert pooled.quantised == (1, 3, 10, 14)
    np.testing.assert_allclose(pooled.shift(), (-7.0, 8.0, 10.0, 24.0))
    np.testing.assert_allclose(pooled.centre_shift(), (1.5, 16.0))
    assert pooled.quantised_box() == (16.0, 48.0, 160.0, 224.0)


def test_disjoint_sections_share_no_cell_and_leave_none_out():
    for size in range(1, 30):
        for count in range(1, 9):
            parts = bins(size, count, "disjoint")
            assert parts[0, 0] == 0
            assert parts[-1, 1] == size
            np.testing.assert_array_equal(parts[1:, 0], parts[:-1, 1])
    np.testing.assert_array_equal(bins(5, 2), [[0, 3], [2, 5]])


def test_impossible_input_is_refused():
    plane = np.zeros((4, 4))
    for broken, words in (
        ((np.zeros(4), (0, 0, 1, 1)), "feature map"),
        ((plane, (2, 0, 1, 1)), "box"),
        ((plane, (0, 0, np.nan, 1)), "box"),
        ((plane, (0, 0, 1, 1e300)), "outside"),
        ((plane, (0, 0, 1, 1), (0, 2)), "output"),
        ((plane, (0, 0, 1, 1), (2, 2), 0.0), "scale"),
    ):
        with pytest.raises(ValueError, match=words):
            roi_pool(*broken)
        with pytest.raises(ValueError, match=words):
            roi_align(*broken)
    with pytest.raises(ValueError, match="sampling points"):
        roi_align(plane, (0, 0, 1, 1), sampling=-1)
    with pytest.raises(ValueError, match="too many"):
        roi_align(plane, (0, 0, 1e5, 1e5), sampling=0)
    with pytest.raises(ValueError, match="reduction"):
        roi_align(plane, (0, 0, 1, 1), reduce="sum")
    with pytest.raises(ValueError, match="sections"):
        roi_pool(plane, (0, 0, 1, 1), sections="other")
