"""Smoothing over time: warps against shifts, what was uncovered, and that flicker falls."""

import cv2
import numpy as np
import pytest

from cvdemo.core.errors import InputError
from cvdemo.style import temporal


@pytest.fixture
def texture():
    rng = np.random.default_rng(0)
    return cv2.GaussianBlur(rng.integers(0, 256, (96, 128, 3), np.uint8), (0, 0), 2.5)


def constant(dx, dy, shape):
    return np.broadcast_to(np.float32([dx, dy]), (*shape, 2)).copy()


def test_a_warp_by_whole_pixels_is_a_shift(texture):
    out = temporal.warp(texture, constant(3, -2, texture.shape[:2]))
    assert (out[2:, :-3] == texture[:-2, 3:]).all()


def test_a_warp_by_half_a_pixel_is_the_mean(texture):
    out = temporal.warp(texture.astype(np.float32), constant(0.5, 0, texture.shape[:2]))
    assert np.allclose(out[:, :-1], (texture[:, :-1].astype(float) + texture[:, 1:]) / 2, atol=0.51)


def test_what_comes_from_outside_was_not_visible():
    shape = (20, 30)
    seen = temporal.visible(constant(-4, 0, shape), constant(4, 0, shape))
    assert not seen[:, :3].any()
    assert seen[:, 5:].all()


def test_what_does_not_come_back_was_covered():
    shape = (20, 30)
    forth = constant(4, 0, shape)
    forth[5:10, 5:10] = (-9, 3)
    seen = temporal.visible(constant(-4, 0, shape), forth)
    assert not seen[6:9, 10:13].any()
    assert seen[12:, 6:].all()


def test_flow_finds_a_shift(texture):
    moved = np.roll(texture, 4, axis=1)
    back = temporal.dis_flow(moved, texture)
    assert back.shape == (96, 128, 2)
    assert np.median(back[20:-20, 20:-20, 0]) == pytest.approx(-4, abs=0.4)
    assert np.median(back[20:-20, 20:-20, 1]) == pytest.approx(0, abs=0.4)


def test_flicker_falls(texture):
    rng = np.random.default_rng(1)
    frames = [np.roll(texture, 2 * step, axis=1) for step in range(5)]
    flickering = [np.clip(f.astype(int) + rng.integers(-40, 41), 0, 255).astype(np.uint8) for f in frames]
    smoother = temporal.Smoother(0.7)
    smoothed = [smoother(frame, stylised) for frame, stylised in zip(frames, flickering)]
    assert (smoothed[0] == flickering[0]).all()
    assert temporal.warp_error(frames, smoothed) < 0.5 * temporal.warp_error(frames, flickering)
    assert temporal.warp_error(frames, frames) < 3
    assert temporal.warp_error(frames[:1], frames[:1]) == 0


def test_the_mix_is_the_asked_one():
    zero = lambda first, _: np.zeros((*first.shape[:2], 2), np.float32)  # noqa: E731
    smoother = temporal.Smoother(0.6, zero)
    frame = np.zeros((8, 8, 3), np.uint8)
    smoother(frame, np.full_like(frame, 100))
    assert (smoother(frame, np.full_like(frame, 200)) == 140).all()
    smoother.reset()
    assert (smoother(frame, np.full_like(frame, 200)) == 200).all()
    larger = np.zeros((9, 9, 3), np.uint8)
    assert (smoother(larger, larger + 7) == 7).all()


def test_unusable_input():
    with pytest.raises(InputError, match="below 1"):
        temporal.Smoother(1.0)
    with pytest.raises(InputError, match="different sizes"):
        temporal.Smoother()(np.zeros((4, 4, 3), np.uint8), np.zeros((5, 4, 3), np.uint8))
