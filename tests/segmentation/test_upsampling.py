"""Unpooling, max unpooling and bilinear interpolation against torch, values and matrices alike."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from cvdemo.segmentation.upsampling import bed_of_nails, bilinear, max_pooling, max_unpooling, nearest_unpooling

SHAPES = [(1, 1), (2, 2), (3, 5), (7, 4), (1, 6)]


def random_map(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def torch_4d(values):
    return torch.from_numpy(np.array(values, np.float64))[None, None]


def resized(values, factor, **how):
    return functional.interpolate(torch_4d(values), scale_factor=factor, **how)[0, 0].numpy()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("factor", [1, 2, 3, 5])
def test_nearest_is_torchs_nearest(shape, factor):
    values = random_map(shape)
    result = nearest_unpooling(values, factor)
    np.testing.assert_array_equal(result.values, resized(values, factor, mode="nearest"))
    np.testing.assert_array_equal(result.map.apply(values), result.values)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("factor", [1, 2, 3])
def test_bed_of_nails_is_a_transpose_convolution_with_a_single_one(shape, factor):
    values = random_map(shape)
    nail = torch.zeros(1, 1, factor, factor, dtype=torch.float64)
    nail[..., 0, 0] = 1
    expected = functional.conv_transpose2d(torch_4d(values), nail, stride=factor)[0, 0].numpy()
    result = bed_of_nails(values, factor)
    np.testing.assert_array_equal(result.values, expected)
    np.testing.assert_array_equal(result.map.apply(values), expected)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("factor", [1, 2, 3, 4])
@pytest.mark.parametrize("align_corners", [False, True])
def test_bilinear_is_torchs_in_both_conventions(shape, factor, align_corners):
    values = random_map(shape)
    result = bilinear(values, factor, align_corners=align_corners)
    expected = resized(values, factor, mode="bilinear", align_corners=align_corners)
    np.testing.assert_allclose(result.values, expected, atol=1e-12)
    np.testing.assert_allclose(result.map.apply(values), expected, atol=1e-12)


@pytest.mark.parametrize("align_corners", [False, True])
def test_one_axis_is_torchs_linear(align_corners):
    values = random_map(6)
    tensor = torch.from_numpy(values)[None, None]
    expected = functional.interpolate(tensor, scale_factor=3, mode="linear", align_corners=align_corners)
    np.testing.assert_allclose(bilinear(values, 3, align_corners=align_corners).values, expected[0, 0], atol=1e-12)
    np.testing.assert_array_equal(nearest_unpooling([1, 2], 3).values, [1, 1, 1, 2, 2, 2])
    np.testing.assert_array_equal(bed_of_nails([1, 2], 3).values, [1, 0, 0, 2, 0, 0])


def test_bilinear_weights_of_every_output_cell_sum_to_one():
    dense = bilinear(random_map((4, 3)), 3).map.dense()
    np.testing.assert_allclose(dense.sum(1), 1)
    assert (dense > 0).sum(1).max() == 4


@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "padding"),
    [((4, 4), 2, 2, 0), ((8, 6), 2, 2, 0), ((7, 9), 3, 2, 1), ((6, 6), 3, 1, 0), ((5, 5), 2, 3, 1), ((9, 4), 4, 3, 2)],
)
@pytest.mark.parametrize("seed", range(3))
def test_max_pooling_and_unpooling_are_torchs(shape, kernel, stride, padding, seed):
    values = random_map(shape, seed)
    if seed == 2:
        values = np.round(values)  # many equal values: the same one of them must win
    expected, switches = functional.max_pool2d(torch_4d(values), kernel, stride, padding, return_indices=True)
    pooled = max_pooling(values, kernel, stride, padding)
    np.testing.assert_array_equal(pooled.values, expected[0, 0])
    np.testing.assert_array_equal(pooled.switches, switches[0, 0])
    np.testing.assert_array_equal(pooled.map.apply(values), pooled.values)

    back = max_unpooling(pooled.values, pooled.switches, shape)
    reference = functional.max_unpool2d(expected, switches, kernel, stride, padding, output_size=shape)
    np.testing.assert_array_equal(back.values, reference[0, 0])
    np.testing.assert_array_equal(back.map.apply(pooled.values), back.values)


def test_other_values_than_the_pooled_ones_use_the_same_switches():
    values, other = random_map((6, 8)), random_map((3, 4), 1)
    pooled = max_pooling(values)
    _, switches = functional.max_pool2d(torch_4d(values), 2, return_indices=True)
    reference = functional.max_unpool2d(torch_4d(other), switches, 2)
    np.testing.assert_array_equal(max_unpooling(other, pooled.switches, (6, 8)).values, reference[0, 0])


def test_values_that_meet_in_one_cell_are_counted():
    switches = np.array([[4, 4], [4, 0]])
    result = max_unpooling([[1, 2], [3, 4]], switches, (3, 3))
    np.testing.assert_array_equal(result.values, [[4, 0, 0], [0, 3, 0], [0, 0, 0]])
    assert "2 of 4" in result.note
    np.testing.assert_array_equal(result.map.apply(result.input), result.values)


def test_sources_and_targets_name_the_cells():
    layout = bilinear([[0.0, 4.0], [8.0, 12.0]]).map
    sources = layout.sources((1, 1))
    assert [share.cell for share in sources] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [share.weight for share in sources] == [0.5625, 0.1875, 0.1875, 0.0625]
    assert [share.cell for share in nearest_unpooling([[1, 2]]).map.targets((0, 1))] == [(0, 2), (0, 3), (1, 2), (1, 3)]
    with pytest.raises(ValueError, match="no cell"):
        layout.sources((4, 0))
    with pytest.raises(ValueError, match="no cell"):
        layout.targets((0,))


@pytest.mark.parametrize("make", [nearest_unpooling, bed_of_nails, bilinear])
@pytest.mark.parametrize(
    ("values", "factor", "words"),
    [
        ([[1, 2]], 0, "factor"),
        ([[1, 2]], 1.5, "factor"),
        (np.zeros((0, 3)), 2, "empty"),
        (np.zeros((1, 2, 3)), 2, "empty"),
        ([[1, np.nan]], 2, "finite"),
        (np.zeros((1000, 1000)), 2, "too large"),
    ],
)
def test_impossible_input_is_refused(make, values, factor, words):
    with pytest.raises(ValueError, match=words):
        make(values, factor)


def test_impossible_pooling_is_refused():
    with pytest.raises(ValueError, match="no pooling"):
        max_pooling(np.zeros((4, 4)), 2, 2, 2)
    with pytest.raises(ValueError, match="does not fit"):
        max_pooling(np.zeros((4, 4)), 5)
    with pytest.raises(ValueError, match="needs a map"):
        max_pooling(np.zeros(4))
    with pytest.raises(ValueError, match="switches"):
        max_unpooling(np.zeros((2, 2)), np.zeros((2, 3), int), (4, 4))
    with pytest.raises(ValueError, match="outside"):
        max_unpooling(np.zeros((1, 1)), np.array([[16]]), (4, 4))
