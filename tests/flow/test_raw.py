"""Pairs, raw results and their way to and from the size a method works at."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from cvdemo.core.errors import InputError
from cvdemo.flow import raw
from cvdemo.flow.raw import FramePair, RawFlow, enlarge, fitted, pair_of, rescale_flow

RNG = np.random.default_rng(0)


def frames(height, width):
    return RNG.integers(0, 256, (height, width, 3), np.uint8), RNG.integers(0, 256, (height, width, 3), np.uint8)


def test_a_pair_needs_equal_shapes_and_pixels():
    with pytest.raises(ValueError, match="shapes"):
        FramePair(frames(20, 30)[0], frames(20, 31)[0])
    with pytest.raises(InputError, match="at least 8"):
        FramePair(*frames(7, 30))
    with pytest.raises(InputError, match="1 to 32"):
        FramePair(*frames(20, 30), iterations=0)
    pair = FramePair(*frames(20, 30), iterations=5)
    assert (pair.height, pair.width) == (20, 30)
    assert pair.reversed().first is pair.second
    assert pair.reversed().iterations == 5


@pytest.mark.parametrize(("second", "fits"), [((40, 60), True), ((10, 15), True), ((20, 31), False), ((30, 20), False)])
def test_frames_of_other_sizes_are_scaled_when_their_proportions_agree(second, fits):
    first, other = frames(20, 30)[0], frames(*second)[0]
    if not fits:
        with pytest.raises(InputError, match="proportions"):
            pair_of(first, other)
        return
    pair, notes = pair_of(first, other)
    assert pair.second.shape == first.shape
    assert "scaled" in notes[0]


def test_raw_flow_checks_its_shape():
    with pytest.raises(ValueError, match=r"not \(K, h, w, 2\)"):
        RawFlow(np.zeros((4, 5, 2), np.float32), 4, 5, "m")
    with pytest.raises(ValueError, match=r"not \(K, h, w, 2\)"):
        RawFlow(np.zeros((0, 4, 5, 2), np.float32), 4, 5, "m")


@pytest.mark.parametrize(
    ("height", "width", "limits"),
    [
        (37, 53, {"most_pixels": 10**6, "multiple": 8, "smallest": 128}),
        (480, 640, {"most_pixels": 50_000, "multiple": 8, "smallest": 128}),
        (9, 300, {"most_pixels": 10**6, "multiple": 64, "smallest": 128}),
        (128, 128, {"most_pixels": 10**6, "multiple": 8, "smallest": 128}),
    ],
)
def test_fitted_frames_suit_the_method(height, width, limits):
    first, second, (h, w) = fitted(FramePair(*frames(height, width)), **limits)
    assert first.shape == second.shape
    assert all(side % limits["multiple"] == 0 and side >= limits["smallest"] for side in first.shape[:2])
    assert h <= first.shape[0]
    assert w <= first.shape[1]
    assert h * w <= limits["most_pixels"] * 1.02
    assert abs(h / w - height / width) < 0.1 * height / width
    assert (first[h:, :w] == first[h - 1 : h, :w]).all()  # padding repeats the border


def test_the_longest_side_can_be_limited():
    _, _, working = fitted(
        FramePair(*frames(100, 200), max_side=100), most_pixels=10**6, multiple=1, smallest=16
    )  # fmt: skip
    assert working == (50, 100)


def test_a_field_of_scaled_frames_gets_longer_vectors():
    flow = np.full((10, 20, 2), (2.0, 3.0), np.float32)
    assert np.allclose(rescale_flow(flow, 40, 60), (6.0, 12.0))


def test_padding_is_cut_off_and_the_scale_undone():
    refinements = np.zeros((2, 16, 24, 2), np.float16)
    refinements[1, :12, :20] = (4, 2)
    refinements[1, 12:], refinements[1, :, 20:] = 99, 99
    flow = RawFlow(refinements, 24, 40, "m", working=(12, 20), padded=(16, 24))
    assert np.allclose(flow.at(), (8, 4))
    assert np.allclose(flow.at(0), 0)
    assert flow.at().dtype == np.float32
    assert flow.notes == ("computed at 20 x 12 pixels and scaled back",)
    assert RawFlow(refinements, 16, 24, "m").notes == ()


def test_enlarging_with_corners_is_torchs_align_corners():
    coarse = RNG.normal(size=(5, 7, 2)).astype(np.float32)
    expected = functional.interpolate(
        torch.from_numpy(coarse).permute(2, 0, 1)[None], (40, 56), mode="bilinear", align_corners=True
    )[0]
    assert np.allclose(enlarge(coarse, 40, 56, "corners"), expected.permute(1, 2, 0).numpy(), atol=1e-5)


def test_enlarging_areas_is_torchs_default():
    coarse = RNG.normal(size=(5, 7, 2)).astype(np.float32)
    expected = functional.interpolate(
        torch.from_numpy(coarse).permute(2, 0, 1)[None], (20, 28), mode="bilinear", align_corners=False
    )[0]
    assert np.allclose(enlarge(coarse, 20, 28, "areas"), expected.permute(1, 2, 0).numpy(), atol=1e-5)


def test_enlarging_strided_cells_puts_each_on_its_pixel():
    y, x = np.mgrid[:5, :7].astype(np.float32)
    full = enlarge(np.stack([x, y], axis=2), 40, 56, "strided")
    rows, columns = np.mgrid[:40, :56] / 8
    assert np.allclose(full[..., 0], np.minimum(columns, 6), atol=1e-5)
    assert np.allclose(full[..., 1], np.minimum(rows, 4), atol=1e-5)


def test_agree_compares_the_last_refinement():
    one = RawFlow(np.zeros((1, 8, 8, 2), np.float32), 8, 8, "m")
    near = RawFlow(np.full((1, 8, 8, 2), 0.02, np.float32), 8, 8, "m")
    far = RawFlow(np.full((1, 8, 8, 2), 0.2, np.float32), 8, 8, "m")
    broken = RawFlow(np.full((1, 8, 8, 2), np.nan, np.float32), 8, 8, "m")
    assert raw.agree(one, near)
    assert not raw.agree(one, far)
    assert not raw.agree(one, broken)


def test_the_example_moved_as_it_says():
    pair = raw.example_pair()
    assert (pair.height, pair.width) == (320, 448)
    assert (pair.first[:-3, :-5] == pair.second[3:, 5:]).all()
