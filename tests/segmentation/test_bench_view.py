"""The Up-sampling view's panels."""

import numpy as np
import pytest
import torch

from cvdemo.segmentation import bench_view as view
from cvdemo.segmentation.bench_view import KEYS, BenchSettings
from cvdemo.segmentation.feature_maps import FeatureMap
from cvdemo.segmentation.restoration import compare


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("cell", [0, 1, 4, 64])
def test_every_example_is_shown_with_its_slide(key, cell):
    words = view.example_html(BenchSettings(example=key, cell=cell))
    assert "Deck 00" in words
    assert "<table" in words or "bins of" in words


@pytest.mark.parametrize(("number", "shape", "cell"), [(0, (2, 3), None), (1, (2, 3), (0, 0)), (6, (2, 3), (1, 2)),
                                                 (7, (2, 3), None), (2, (4,), (1,))])  # fmt: skip
def test_cells_are_counted_in_reading_order(number, shape, cell):
    assert view.cell_of(number, shape) == cell


@pytest.mark.parametrize(("kernel", "stride", "padding", "output_padding"), [(3, 2, 1, 1), (2, 2, 0, 0), (3, 1, 1, 0)])
def test_the_sliders_transpose_convolution_is_torchs(kernel, stride, padding, output_padding):
    words = view.transpose_html(
        BenchSettings(size=2, kernel=kernel, stride=stride, padding=padding, output_padding=output_padding)
    )
    values = torch.tensor([[1.0, 2.0], [3.0, 4.0]])[None, None]
    ramp = torch.minimum(torch.arange(1.0, kernel + 1), torch.arange(float(kernel), 0, -1))
    weight = torch.outer(ramp, ramp)[None, None]
    reference = torch.nn.functional.conv_transpose2d(
        values, weight, stride=stride, padding=padding, output_padding=output_padding
    )
    assert f"= {reference.shape[-1]}<" in words
    assert f">{reference[0, 0, -1, -1].item():.3g}</td>" in words
    assert "matrix multiplication" in words


def test_numbers_that_do_not_fit_are_explained():
    words = view.transpose_html(BenchSettings(stride=1, output_padding=2))
    assert "do not go together" in words
    assert "more than 24 rows" in view.transpose_html(BenchSettings(size=4, kernel=5, padding=0, output_padding=0))


def test_a_real_map_is_shown_with_every_method():
    values = np.random.default_rng(1).random((12, 16)).astype(np.float32)
    shown = FeatureMap(values, 3, 1, 8, (0.125, 0.125), 1.0)
    words = view.restoration_html(shown, compare(values))
    assert words.count("<img") == 2 + 5
    assert "Bed of nails" in words
    panel = view.roi_html(shown, (10.0, 12.0, 90.0, 70.0), "A dog <found>")
    assert "RoIPool" in panel
    assert "&lt;found&gt;" in panel
