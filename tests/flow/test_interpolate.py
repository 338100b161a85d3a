"""Slow motion against frames that are known; the camera's motion and its smoothing against numpy."""

from itertools import pairwise

import cv2
import numpy as np
import pytest

from cvdemo.flow.interpolate import (
    camera_motion,
    corrections,
    frame_between,
    motion_parameters,
    similarity,
    smoothed,
    stabilised,
)


def texture(height, width, seed=0):
    noise = np.random.default_rng(seed).normal(0, 1, (height, width, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 3)
    return np.clip(128 + soft / soft.std() * 40, 0, 255).astype(np.uint8)


def flow_of(matrix, height, width):
    x, y = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
    to = np.einsum("ij,jhw->ihw", matrix[:2], np.stack([x, y, np.ones_like(x)]))
    return np.stack([to[0] - x, to[1] - y], axis=2).astype(np.float32)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_a_moving_picture_is_moved_by_its_share(share):
    wide = texture(80, 140)
    first, second = wide[10:70, 20:100], wide[10:70, 28:108]  # content moves 8 px to the left
    forward = np.zeros((60, 80, 2), np.float32)
    forward[..., 0] = -8
    between = frame_between(first, second, forward, -forward, share)
    start = 20 + round(8 * share)
    expected = wide[10:70, start : start + 80]
    inner = np.abs(between.astype(int) - expected)[:, 8:-8]
    assert inner.mean() < 0.6
    assert np.abs(first.astype(int) - expected)[:, 8:-8].mean() > 10


def test_the_ends_are_the_frames_themselves():
    first, second = texture(20, 30, 1), texture(20, 30, 2)
    flow = np.ones((20, 30, 2), np.float32)
    assert (frame_between(first, second, flow, -flow, 0.0) == first).all()
    assert (frame_between(first, second, flow, -flow, 1.0) == second).all()


def test_what_only_one_frame_shows_is_taken_from_it():
    first, second = np.full((20, 30, 3), 200, np.uint8), np.full((20, 30, 3), 40, np.uint8)
    still = np.zeros((20, 30, 2), np.float32)
    hidden = np.zeros((20, 30), bool)
    hidden[:, :10] = True
    gone = frame_between(first, second, still, still, 0.5, hidden_first=hidden)
    came = frame_between(first, second, still, still, 0.5, hidden_second=hidden)
    assert (gone[:, :10] == 200).all()
    assert (came[:, :10] == 40).all()
    assert (gone[:, 10:] == 120).all()


def test_the_camera_is_what_most_pixels_follow():
    matrix = similarity(np.array([3.0, -2.0, 0.02, 0.01]))
    flow = flow_of(matrix, 120, 160)
    flow[40:80, 60:110] += (15, 9)  # a thing that goes its own way
    flow[:5] = np.nan
    assert camera_motion(flow) == pytest.approx(matrix, abs=0.02)


def test_no_shared_motion_is_no_camera_motion():
    rng = np.random.default_rng(0)
    assert camera_motion(rng.uniform(-40, 40, (120, 160, 2)).astype(np.float32)) == pytest.approx(np.eye(3))
    assert camera_motion(np.full((50, 50, 2), np.nan, np.float32)) == pytest.approx(np.eye(3))


@pytest.mark.parametrize("seed", range(3))
def test_parameters_of_a_similarity(seed):
    values = np.random.default_rng(seed).uniform(-0.3, 0.3, 4) * (100, 100, 1, 1)
    assert motion_parameters(similarity(values)) == pytest.approx(values)


@pytest.mark.parametrize(("count", "radius"), [(30, 5), (4, 10), (2, 3)])
def test_smoothing_keeps_straight_lines_and_calms_noise(count, radius):
    line = np.linspace(0, 10, count)[:, None] * np.ones(4)
    if count > radius:
        assert smoothed(line, radius) == pytest.approx(line)
    noise = np.random.default_rng(0).normal(0, 1, (count, 4))
    calm = smoothed(noise, radius)
    assert calm.shape == noise.shape
    assert np.abs(np.diff(calm, axis=0)).mean() < np.abs(np.diff(noise, axis=0)).mean()
    assert smoothed(noise, 0) == pytest.approx(noise)


def test_a_shaking_camera_is_calmed():
    rng = np.random.default_rng(2)
    scene, shake = texture(160, 220, 3), rng.integers(-6, 7, (12, 2))
    frames = [np.ascontiguousarray(scene[20 + y : 120 + y, 30 + x : 170 + x]) for x, y in shake]
    motions = []
    for (x1, y1), (x2, y2) in pairwise(shake):
        matrix = np.eye(3)
        matrix[:2, 2] = (x1 - x2, y1 - y2)
        motions.append(matrix)
    made, zoom = corrections(motions, 6, (100, 140))
    assert 1.0 <= zoom <= 1.3
    calm = [stabilised(frame, matrix)[25:-25, 25:-25].astype(int) for frame, matrix in zip(frames, made)]
    plain = [frame[25:-25, 25:-25].astype(int) for frame in frames]

    def change(clip):
        return np.mean([np.abs(a - b).mean() for a, b in pairwise(clip)])

    assert change(calm) < 0.5 * change(plain)


def test_a_still_camera_is_left_alone():
    made, zoom = corrections([np.eye(3)] * 4, 5, (60, 80))
    assert zoom == 1.0
    for matrix in made:
        assert matrix == pytest.approx(np.eye(3), abs=1e-9)
