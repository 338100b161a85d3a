"""Motion from one blurred picture: random motions are found again; sharp pictures have none."""

import numpy as np
import pytest

from cvdemo.core.errors import InputError
from cvdemo.flow.motion_blur import BlurEstimate, blur, estimate, motion_kernel


@pytest.mark.parametrize(("length", "angle"), [(0.0, 0.0), (1.5, 20.0), (9.0, 0.0), (14.3, 90.0), (31.7, 152.0)])
def test_the_kernel_is_a_line_of_that_length_and_angle(length, angle):
    kernel = motion_kernel(length, angle)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    centre = (len(kernel) - 1) / 2
    rows, columns = np.mgrid[: len(kernel), : len(kernel)] - centre
    assert (kernel * rows).sum() == pytest.approx(0, abs=1e-4)
    assert (kernel * columns).sum() == pytest.approx(0, abs=1e-4)
    # the second moments of a uniform line of length L are L²/12 along it and 0 across it, bilinear splatting adds < 1/4
    turn = np.deg2rad(angle)
    along = columns * np.cos(turn) + rows * np.sin(turn)
    across = -columns * np.sin(turn) + rows * np.cos(turn)
    assert (kernel * along**2).sum() == pytest.approx(length**2 / 12, abs=0.26)
    assert (kernel * across**2).sum() < 0.26


def test_blur_is_the_mean_of_shifted_pictures():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (60, 70, 3)).astype(np.uint8)
    blurred = blur(picture, 5.0, 0.0)
    # a horizontal motion of 5 px from -2.5 to 2.5: whole pixels inside, and what bilinear weights give at the ends
    x = ((np.arange(5000) + 0.5) / 5000 - 0.5) * 5
    weights = [np.maximum(0, 1 - np.abs(x - shift)).mean() for shift in range(-3, 4)]
    shifted = [picture[:, 10 + shift : 60 + shift].astype(float) for shift in range(-3, 4)]
    expected = sum(weight * part for weight, part in zip(weights, shifted))
    assert np.abs(blurred[:, 10:60] - expected).max() <= 2.5


def test_random_motions_are_found_again(crowd):
    rng = np.random.default_rng(5)
    misses = []
    for _ in range(8):
        length, angle = rng.uniform(6, 45), rng.uniform(0, 180)
        found = estimate(blur(crowd, length, angle))
        assert found.sure
        misses.append(found.error(length, angle))
    lengths, angles = np.array(misses).T
    assert np.median(lengths) < 0.6
    assert np.median(angles) < 1.0
    assert (lengths < 1.5).mean() >= 0.85


def test_a_sharp_picture_has_no_motion(crowd):
    found = estimate(crowd)
    assert not found.sure
    assert found.sentence().startswith("No motion blur")


def test_angles_that_differ_by_half_a_turn_are_the_same():
    found = BlurEstimate(10.0, 179.0, 9.0, np.zeros((2, 2)), np.zeros((2, 2)))
    assert found.error(10.5, 1.0) == pytest.approx((0.5, 2.0))
    assert found.error(10.0, 181.0) == pytest.approx((0.0, 2.0))
    assert found.to_dict()["sure"] is True
    assert found.sentence() == "Estimated motion: 10.0 px at 179°"


def test_small_pictures_and_impossible_lengths_are_refused():
    with pytest.raises(InputError, match="too small"):
        estimate(np.zeros((127, 400, 3), np.uint8))
    with pytest.raises(InputError, match="0 to 500"):
        motion_kernel(-1, 0)


def test_a_flat_picture_gives_no_motion():
    assert not estimate(np.full((200, 300, 3), 90, np.uint8)).sure
