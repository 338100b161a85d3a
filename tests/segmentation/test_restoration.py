"""Pooling and enlarging a map: errors against a direct computation with torch, sizes, and the picture of a map."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from cvdemo.segmentation.restoration import compare, map_picture, matching_padding
from cvdemo.segmentation.transpose_convolution import output_size
from cvdemo.segmentation.upsampling import METHODS


def test_errors_are_those_of_torchs_operators():
    values = np.maximum(np.random.default_rng(0).normal(size=(17, 20)), 0)
    found = compare(values, 2)
    original = torch.from_numpy(values[:16])[None, None]
    pooled, switches = functional.max_pool2d(original, 2, return_indices=True)
    kernel = torch.full((1, 1, 3, 3), 4 / 9, dtype=torch.float64)
    expected = {
        "nearest": functional.interpolate(pooled, scale_factor=2),
        "max unpooling": functional.max_unpool2d(pooled, switches, 2),
        "bilinear": functional.interpolate(pooled, scale_factor=2, mode="bilinear"),
        "transpose convolution": functional.conv_transpose2d(pooled, kernel, stride=2, padding=1, output_padding=1),
    }
    assert tuple(found.restorations) == METHODS
    for name, answer in expected.items():
        np.testing.assert_allclose(found.restorations[name].upsampled.values, answer[0, 0], atol=1e-12)
        error = float((answer - original).pow(2).mean().sqrt() / original.std(correction=0))
        assert found.restorations[name].error == pytest.approx(error)
    assert found.restorations["bed of nails"].zeros >= 0.75
    best = min(METHODS, key=lambda name: found.restorations[name].error)
    assert f"{best} comes closest" in found.sentence()


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5, 6])
def test_every_method_makes_the_maps_own_size(factor, kernel):
    found = compare(np.random.default_rng(1).random((13, 25)), factor, kernel)
    shape = (13 // factor * factor, 25 // factor * factor)
    assert {restored.upsampled.values.shape for restored in found.restorations.values()} == {shape}
    assert output_size(7, kernel, factor, *matching_padding(kernel, factor)) == 7 * factor


def test_a_constant_map_has_no_division_by_zero():
    found = compare(np.ones((4, 4)))
    assert found.restorations["nearest"].error == 0
    assert all(np.isfinite(restored.error) for restored in found.restorations.values())


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="at least 4 x 4"):
        compare(np.ones((3, 9)), 4)
    with pytest.raises(ValueError, match="output padding"):
        matching_padding(2, 1)
    with pytest.raises(ValueError, match="must be"):
        map_picture(np.ones(4))


def test_pictures_have_hard_edged_cells_on_one_scale():
    picture = map_picture(np.array([[0.0, 1.0], [2.0, 4.0]]), 40)
    assert picture.shape == (40, 40, 3)
    assert (picture[:20, :20] == picture[0, 0]).all()
    assert (map_picture(np.array([[2.0]]), 10, high=4.0)[0, 0] == picture[39, 0]).all()
    assert (map_picture(np.zeros((2, 2)), 10) == picture[0, 0]).all()
