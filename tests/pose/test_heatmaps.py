"""Decoding of heatmaps against exact Gaussians, brute force and OpenCV."""

import cv2
import numpy as np
import pytest

from cvdemo.pose import heatmaps as module
from cvdemo.pose.heatmaps import DECODE_KINDS, as_probabilities, decode_heatmaps, find_peaks, to_picture


def gaussians(centres, size=(64, 48), sigma=2.0, height=1.0):
    """(N, J, h, w) exact Gaussians with their summits at ``centres`` (N, J, 2), in cells."""
    y, x = np.mgrid[: size[0], : size[1]]
    squared = (x - centres[..., 0, None, None]) ** 2 + (y - centres[..., 1, None, None]) ** 2
    return (height * np.exp(-squared / (2 * sigma**2))).astype(np.float32)


def random_centres(rng, people=6, joints=17, size=(64, 48), margin=8):
    return rng.uniform(margin, np.array([size[1], size[0]]) - 1 - margin, (people, joints, 2))


@pytest.mark.parametrize("sigma", [1.0, 2.0, 3.0])
def test_sub_pixel_finds_the_summit_of_a_gaussian(sigma):
    centres = random_centres(np.random.default_rng(0))
    peaks = find_peaks(gaussians(centres, sigma=sigma, height=0.7))
    assert np.abs(peaks.cells - centres).max() < 0.02
    np.testing.assert_array_equal(peaks.highest, np.round(centres))
    assert peaks.scores.max() <= 0.7 + 1e-6
    assert peaks.scores.min() > 0.7 * np.exp(-0.25 / sigma**2) - 1e-6


def test_near_the_border_it_is_exact_without_smoothing():
    rng = np.random.default_rng(1)
    centres = rng.uniform(1.6, 5.0, (4, 17, 2))
    assert np.abs(find_peaks(gaussians(centres)).cells - centres).max() < 0.02


def test_each_kind_is_nearer_than_the_one_before():
    centres = random_centres(np.random.default_rng(2), 20)
    noise = np.random.default_rng(3).normal(0, 0.003, (20, 17, 64, 48)).astype(np.float32)
    maps = gaussians(centres) + noise
    errors = [np.linalg.norm(find_peaks(maps, kind).cells - centres, axis=2).mean() for kind in DECODE_KINDS]
    assert errors[0] > 1.3 * errors[1] > 1.3 * 1.3 * errors[2]


def test_argmax_and_quarter_equal_brute_force():
    rng = np.random.default_rng(4)
    maps = rng.random((3, 17, 9, 7)).astype(np.float32)
    plain, quarter = find_peaks(maps, "argmax"), find_peaks(maps, "quarter")
    for person in range(3):
        for joint in range(17):
            one = maps[person, joint]
            row, column = np.unravel_index(one.argmax(), one.shape)
            assert plain.cells[person, joint].tolist() == [column, row]
            x, y = float(column), float(row)
            if 0 < column < 6:
                x += 0.25 if one[row, column + 1] > one[row, column - 1] else -0.25
            if 0 < row < 8:
                y += 0.25 if one[row + 1, column] > one[row - 1, column] else -0.25
            assert quarter.cells[person, joint].tolist() == [x, y]
            assert plain.scores[person, joint] == pytest.approx(one.max())


def test_modulation_is_opencvs_blur_and_the_step_is_newtons():
    rng = np.random.default_rng(5)
    centres = random_centres(rng, 2, margin=10)
    maps = gaussians(centres) * rng.uniform(0.8, 1.0, (2, 17, 64, 48)).astype(np.float32)
    peaks = find_peaks(maps)
    for person, joint in np.ndindex(2, 17):
        blurred = cv2.GaussianBlur(
            maps[person, joint].astype(np.float64), (11, 11), 2.0, borderType=cv2.BORDER_CONSTANT
        )
        log = np.log(np.maximum(blurred, 1e-10))
        column, row = peaks.highest[person, joint]
        gradient = np.array([log[row, column + 1] - log[row, column - 1], log[row + 1, column] - log[row - 1, column]])
        cross = (
            log[row + 1, column + 1] - log[row + 1, column - 1] - log[row - 1, column + 1] + log[row - 1, column - 1]
        )
        hessian = np.array([
            [log[row, column + 1] + log[row, column - 1] - 2 * log[row, column], cross / 4],
            [cross / 4, log[row + 1, column] + log[row - 1, column] - 2 * log[row, column]],
        ])  # fmt: skip
        step = np.clip(-np.linalg.solve(hessian, gradient / 2), -1, 1)
        np.testing.assert_allclose(peaks.cells[person, joint], np.array([column, row]) + step, atol=1e-6)


def test_places_in_the_picture():
    regions = np.array([[10.0, 20.0, 106.0, 148.0], [-30.0, -5.0, 18.0, 59.0]])
    cells = np.array([[[0.0, 0.0], [47.0, 63.0]], [[23.5, 31.5], [10.0, 20.0]]])
    points = to_picture(cells, regions, (64, 48))
    np.testing.assert_allclose(points[0], [[11, 21], [105, 147]])
    np.testing.assert_allclose(points[1], [[-6, 27], [-19.5, 15.5]])
    decoded, scores = decode_heatmaps(gaussians(cells[1:]), regions[1:])
    np.testing.assert_allclose(decoded[0], points[1], atol=0.05)
    assert scores.shape == (1, 2)


@pytest.mark.parametrize("kind", DECODE_KINDS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, -3.0])
def test_an_empty_or_undefined_map_scores_nothing_in_the_middle(kind, value):
    maps = np.full((2, 17, 64, 48), value, np.float32)
    for logits in (False, True) if not np.isfinite(value) else (False,):
        peaks = find_peaks(maps, kind, logits=logits)
        assert (peaks.scores == 0).all()
        np.testing.assert_array_equal(peaks.cells, np.broadcast_to([24.0, 32.0], (2, 17, 2)))


def test_single_undefined_cells_are_passed_over():
    centres = random_centres(np.random.default_rng(6), 1)
    maps = gaussians(centres)
    maps[..., ::16, ::16] = np.nan
    peaks = find_peaks(maps)
    assert np.isfinite(peaks.cells).all()
    assert np.abs(peaks.cells - centres).max() < 1.1


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (3, 200)])
@pytest.mark.parametrize("kind", DECODE_KINDS)
def test_tiny_maps(size, kind):
    maps = np.random.default_rng(7).random((2, 17, *size)).astype(np.float32)
    peaks = find_peaks(maps, kind)
    assert np.isfinite(peaks.cells).all()
    assert (np.abs(peaks.cells - peaks.highest) <= 1).all()


def test_two_hundred_people_and_nobody():
    centres = random_centres(np.random.default_rng(8), 200)
    assert np.abs(find_peaks(gaussians(centres)).cells - centres).max() < 0.02
    nobody = find_peaks(np.zeros((0, 17, 64, 48), np.float32))
    assert nobody.cells.shape == (0, 17, 2)
    assert nobody.scores.shape == (0, 17)


def test_logits_become_probabilities_that_sum_to_one():
    rng = np.random.default_rng(9)
    logits = rng.normal(0, 30, (2, 17, 56, 56)).astype(np.float32)
    maps = as_probabilities(logits, logits=True)
    np.testing.assert_allclose(maps.sum(axis=(2, 3)), 1, atol=1e-5)
    expected = np.exp(logits.astype(np.float64) - logits.max())
    np.testing.assert_allclose(maps[0, 0], expected[0, 0] / expected[0, 0].sum(), atol=1e-6)
    logits[0, 0, 0, 0] = np.nan
    assert np.isfinite(as_probabilities(logits, logits=True)).all()


def test_the_score_of_logits_is_the_mass_around_the_peak():
    centres = np.array([[[20.0, 30.0], [0.0, 0.0]]])
    sharp = np.log(gaussians(centres, (56, 56), sigma=0.7) + 1e-9)
    wide = np.log(gaussians(centres, (56, 56), sigma=8.0) + 1e-9)
    sure, unsure = find_peaks(sharp, logits=True).scores, find_peaks(wide, logits=True).scores
    assert (sure > 0.95).all()
    assert (unsure < 0.3).all()
    np.testing.assert_allclose(
        unsure[0, 0], as_probabilities(wide, True)[0, 0, 28:33, 18:23].sum(dtype=np.float64), rtol=1e-5
    )


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="not one of"):
        find_peaks(np.zeros((1, 17, 4, 4), np.float32), "centre")
    with pytest.raises(ValueError, match="must be"):
        find_peaks(np.zeros((17, 4, 4), np.float32))
    assert module.DECODE_KINDS == ("argmax", "quarter", "sub-pixel")
