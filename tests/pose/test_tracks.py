"""People followed over frames, and the one-euro filter against its recurrence written out."""

import math

import numpy as np
import pytest

from cvdemo.pose.poses import Poses, no_poses
from cvdemo.pose.tracks import OneEuroFilter, PoseTracks


def people(places, standing, size=(100, 200), visible=None, jitter=0.0, seed=0):
    """Standing people whose boxes' upper left corners are at ``places``."""
    places = np.asarray(places, np.float64).reshape(-1, 2)
    points = places[:, None] + standing * np.array(size)
    points = points + np.random.default_rng(seed).normal(0, jitter, points.shape)
    keypoints = np.concatenate([points, np.full((len(places), 17, 1), 0.9)], axis=2)
    boxes = np.concatenate([places, places + np.array(size)], axis=1).astype(np.float32)
    shown = np.ones((len(places), 17), bool) if visible is None else visible
    scores = np.ones(len(places), np.float32)
    return Poses(keypoints, shown, boxes, scores, np.arange(len(places)), 480, 640, "")


def test_numbers_stay_when_the_order_changes(standing):
    tracks = PoseTracks()
    first = tracks.update(people([[0, 0], [300, 0]], standing), 0.0)
    assert first.tracks.tolist() == [1, 2]
    second = tracks.update(people([[310, 5], [8, 2]], standing), 0.1)
    assert second.tracks.tolist() == [2, 1]
    third = tracks.update(people([[20, 4], [150, 0], [318, 5]], standing), 0.2)
    assert third.tracks.tolist() == [1, 3, 2]
    assert tracks.update(no_poses(480, 640), 0.3).tracks.tolist() == []
    assert len(tracks) == 3
    assert tracks.update(people([[22, 4]], standing), 0.6).tracks.tolist() == [1]
    assert tracks.update(people([[22, 4]], standing), 5.0).tracks.tolist() == [4]


def test_joints_tell_overlapping_people_apart(standing):
    """Two people in nearly the same box, one with the arms up: boxes alone could not say who is who."""
    up = standing.copy()
    up[7:11, 1] -= 0.35
    tracks = PoseTracks()
    numbers = []
    for frame in range(8):
        a, b = people([[100 + frame, 50]], standing), people([[108 - frame, 50]], up)
        both = [a, b] if frame % 2 else [b, a]
        merged = Poses(
            np.concatenate([p.keypoints for p in both]), np.concatenate([p.visible for p in both]),
            np.concatenate([p.boxes for p in both]), np.ones(2, np.float32), np.arange(2), 480, 640, "",
        )  # fmt: skip
        found = tracks.update(merged, frame / 25).tracks.tolist()
        numbers.append(found if frame % 2 else found[::-1])
    assert numbers == [numbers[0]] * 8


def test_a_resting_joint_is_calmed_and_a_fast_one_is_not_late(standing):
    tracks, resting = PoseTracks(), []
    for frame in range(60):
        poses = tracks.update(people([[100, 100]], standing, jitter=2.0, seed=frame), frame / 25, 0.7)
        resting.append(poses.keypoints[0, :, :2])
    assert np.std(resting[20:], axis=0).mean() < 1.0
    tracks = PoseTracks()
    for frame in range(30):
        poses = tracks.update(people([[10 * frame, 100]], standing), frame / 25, 0.7)
    late = 10 * 29 + standing[:, 0] * 100 - poses.keypoints[0, :, 0]
    assert late.max() < 10


def test_no_smoothing_changes_nothing(standing):
    tracks = PoseTracks()
    for frame in range(4):
        given = people([[100, 100]], standing, jitter=3.0, seed=frame)
        np.testing.assert_array_equal(tracks.update(given, frame / 25, 0.0).keypoints, given.keypoints)


def test_trails_have_gaps_where_a_joint_was_not_seen(standing):
    tracks = PoseTracks()
    for frame in range(5):
        visible = np.ones((1, 17), bool)
        visible[0, 9] = frame != 2
        tracks.update(people([[10 * frame, 0]], standing, visible=visible), frame / 10, 0.0)
    (trail,) = tracks.trails().values()
    assert trail.shape == (5, 17, 2)
    assert np.isnan(trail[:, 9, 0]).tolist() == [False, False, True, False, False]
    np.testing.assert_allclose(np.diff(trail[:, 0, 0]), 10)
    for frame in range(5, 40):
        tracks.update(people([[10 * frame, 0]], standing), frame / 10, 0.0)
    assert len(next(iter(tracks.trails().values()))) == 11  # a second
    assert PoseTracks().trails() == {}


def test_one_euro_equals_its_recurrence():
    rng = np.random.default_rng(0)
    values, step = np.cumsum(rng.normal(0, 1, (50, 3, 2)), axis=0), 1 / 30
    smooth = OneEuroFilter(1.3, 0.2, 0.9)
    found = [smooth(value, index * step, scale=4.0) for index, value in enumerate(values)]

    def alpha(cutoff):
        return 1 / (1 + 1 / (2 * math.pi * cutoff * step))

    for joint in range(3):
        state, speed = values[0, joint].copy(), np.zeros(2)
        for index in range(1, 50):
            raw = (values[index, joint] - values[index - 1, joint]) / step
            speed = alpha(0.9) * raw + (1 - alpha(0.9)) * speed
            weight = alpha(1.3 + 0.2 * math.hypot(*speed) / 4.0)
            state = weight * values[index, joint] + (1 - weight) * state
            np.testing.assert_allclose(found[index][joint], state)


def test_a_joint_starts_anew_after_a_gap():
    smooth = OneEuroFilter(0.1)
    for index in range(10):
        smooth(np.zeros((2, 2)), index * 0.1)
    gone = np.array([[np.nan, np.nan], [0.0, 0.0]])
    for index in range(10, 20):
        assert np.isnan(smooth(gone, index * 0.1)[0]).all()
    back = smooth(np.array([[50.0, 50.0], [50.0, 50.0]]), 2.0)
    assert back[0].tolist() == [50, 50]
    assert back[1].max() < 10
    same = smooth(np.array([[60.0, 50.0], [50.0, 50.0]]), 2.0)  # no time has passed
    assert same[0].tolist() == pytest.approx([50, 50])
