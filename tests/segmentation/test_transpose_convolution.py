"""Transpose convolution as stamps and as a matrix, against torch's conv_transpose and fold."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from cvdemo.segmentation import transpose_convolution as tc
from cvdemo.segmentation.upsampling import bilinear

RNG = np.random.default_rng(3)
CASES = [
    (shape, kernel, stride, padding, extra)
    for shape in [(2, 2), (1, 4), (5, 3)]
    for kernel in [(1, 1), (2, 2), (3, 3), (4, 4), (5, 2)]
    for stride in (1, 2, 3)
    for padding in (0, 1, 2)
    for extra in (0, 1)
    if extra < stride and min((n - 1) * stride - 2 * padding + k + extra for n, k in zip(shape, kernel)) > 0
]


def batched(values):
    return torch.from_numpy(np.asarray(values, np.float64))[None, None]


def test_there_are_many_cases():
    assert len(CASES) > 100


@pytest.mark.parametrize(("shape", "kernel", "stride", "padding", "extra"), CASES)
def test_two_axes_are_torchs(shape, kernel, stride, padding, extra):
    values, weights = RNG.normal(size=shape), RNG.normal(size=kernel)
    result = tc.transpose_convolution(values, weights, stride, padding, extra)
    expected = functional.conv_transpose2d(
        batched(values), batched(weights), stride=stride, padding=padding, output_padding=extra
    )[0, 0].numpy()
    np.testing.assert_allclose(result.values, expected, atol=1e-12)
    np.testing.assert_allclose(result.map.apply(values), expected, atol=1e-12)
    # The slide's statement: the transpose of the matrix of the convolution with the same numbers.
    if min(n + 2 * padding - k for n, k in zip(expected.shape, kernel)) >= 0:
        matrix = tc.convolution_map(expected.shape, weights, stride, padding).dense()
        np.testing.assert_allclose(matrix.T @ values.reshape(-1), expected.reshape(-1), atol=1e-12)


@pytest.mark.parametrize(("shape", "kernel", "stride", "padding", "extra"), CASES[::4])
def test_counts_are_what_fold_makes_of_ones(shape, kernel, stride, padding, extra):
    counts = tc.overlap_counts(shape, kernel, stride, padding, extra)
    if extra == 0:
        columns = torch.ones(1, kernel[0] * kernel[1], shape[0] * shape[1])
        folded = functional.fold(columns, counts.shape, kernel, padding=padding, stride=stride)[0, 0].numpy()
        np.testing.assert_array_equal(counts, folded)
    ones = tc.transpose_convolution(np.ones(shape), np.ones(kernel), stride, padding, extra)
    np.testing.assert_array_equal(counts, ones.values)


def test_transpose_convolution_is_fold_of_the_stamps():
    values, weights = RNG.normal(size=(4, 3)), RNG.normal(size=(3, 3))
    stamps = torch.from_numpy(np.outer(weights.reshape(-1), values.reshape(-1)))[None]
    result = tc.transpose_convolution(values, weights, 2, 1)
    folded = functional.fold(stamps, result.values.shape, 3, padding=1, stride=2)[0, 0]
    np.testing.assert_allclose(result.values, folded, atol=1e-12)


@pytest.mark.parametrize("size", [1, 4, 7])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (4, 2, 0), (2, 3, 0), (5, 2, 2)])
def test_one_axis_is_torchs(size, kernel, stride, padding):
    values, weights = RNG.normal(size=size), RNG.normal(size=kernel)
    for extra in range(stride):
        result = tc.transpose_convolution(values, weights, stride, padding, extra)
        expected = functional.conv_transpose1d(
            batched(values), batched(weights), stride=stride, padding=padding, output_padding=extra
        )
        np.testing.assert_allclose(result.values, expected[0, 0], atol=1e-12)
        np.testing.assert_allclose(result.map.apply(values), result.values, atol=1e-12)
    if size + 2 * padding >= kernel:
        result = tc.convolution(values, weights, stride, padding)
        expected = functional.conv1d(batched(values), batched(weights), stride=stride, padding=padding)
        np.testing.assert_allclose(result.values, expected[0, 0], atol=1e-12)
        np.testing.assert_allclose(result.map.apply(values), result.values, atol=1e-12)


@pytest.mark.parametrize("shape", [(4, 4), (7, 5), (3, 6)])
@pytest.mark.parametrize("kernel", [(1, 1), (2, 3), (3, 3)])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1])
def test_convolution_and_its_matrix_are_torchs(shape, kernel, stride, padding):
    values, weights = RNG.normal(size=shape), RNG.normal(size=kernel)
    expected = functional.conv2d(batched(values), batched(weights), stride=stride, padding=padding)[0, 0].numpy()
    result = tc.convolution(values, weights, stride, padding)
    np.testing.assert_allclose(result.values, expected, atol=1e-12)
    np.testing.assert_allclose(result.map.dense() @ values.reshape(-1), expected.reshape(-1), atol=1e-12)
    padded = tc.convolution_map(shape, weights, stride, padding, with_padding=True)
    np.testing.assert_allclose(padded.apply(np.pad(values, padding)), expected, atol=1e-12)


def test_the_matrix_is_sparse_and_knows_its_taps():
    layout = tc.convolution_map((4,), [7.0, 8.0, 9.0], 1, 1, with_padding=True)
    np.testing.assert_array_equal(
        layout.dense(),
        [[7, 8, 9, 0, 0, 0], [0, 7, 8, 9, 0, 0], [0, 0, 7, 8, 9, 0], [0, 0, 0, 7, 8, 9]],
    )
    np.testing.assert_array_equal(layout.dense_taps()[1], [-1, 0, 1, 2, -1, -1])
    assert len(layout.weights) == 12
    stamped = tc.transpose_convolution([[1.0, 2.0]], [[1.0, 10.0, 100.0]], 2)
    share = stamped.map.sources((0, 2))
    assert [(s.cell, s.tap, s.weight) for s in share] == [((0, 0), (0, 2), 100.0), ((0, 1), (0, 0), 1.0)]


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_the_bilinear_kernel_interpolates_away_from_the_border(factor):
    values = RNG.normal(size=(6, 7))
    padding = -(-(factor - 1) // 2)
    learnt = tc.transpose_convolution(values, tc.bilinear_kernel(factor), factor, padding).values
    plain = bilinear(values, factor).values
    inside = tuple(slice(factor, -factor) for _ in range(2))
    assert learnt.shape == plain.shape
    np.testing.assert_allclose(learnt[inside], plain[inside], atol=1e-12)


@pytest.mark.parametrize("kernel", range(1, 7))
@pytest.mark.parametrize("stride", range(1, 5))
def test_the_interior_is_even_exactly_when_the_stride_divides_the_kernel(kernel, stride):
    pattern = tc.interior_counts(kernel, stride)
    counts = tc.overlap_counts((20,), kernel, stride)
    np.testing.assert_array_equal(counts[8 * stride : 9 * stride], pattern)
    assert (len(set(pattern)) == 1) == (kernel % stride == 0)
    sentence = tc.checkerboard_sentence(kernel, stride)
    assert ("is a multiple" in sentence) == (kernel % stride == 0)
    assert ("stay 0" in sentence) == (0 in pattern)


def test_impossible_numbers_are_refused():
    with pytest.raises(ValueError, match="output padding"):
        tc.output_size(2, 3, 2, 1, 2)
    with pytest.raises(ValueError, match="cuts everything off"):
        tc.transpose_convolution([[1.0]], [[1.0]], 1, 1)
    with pytest.raises(ValueError, match="no transpose convolution"):
        tc.output_size(2, 3, 0)
    with pytest.raises(ValueError, match="does not fit into"):
        tc.convolution_output_size(2, 5, 1)
    with pytest.raises(ValueError, match="no convolution"):
        tc.convolution_output_size(0, 5, 1)
    with pytest.raises(ValueError, match="kernel of shape"):
        tc.transpose_convolution([[1.0]], [1.0])
    with pytest.raises(ValueError, match="kernel of shape"):
        tc.convolution_map((2, 2), [1.0])
    with pytest.raises(ValueError, match="too large"):
        tc.transpose_convolution(np.zeros((600, 600)), np.ones((2, 2)), 2)
    with pytest.raises(ValueError, match="at least 1"):
        tc.bilinear_kernel(0)
