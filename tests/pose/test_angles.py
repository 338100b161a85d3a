"""Joint angles against the law of cosines, and repetitions on movements whose number is known."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from cvdemo.pose.angles import (
    ANGLES,
    AngleSeries,
    RepetitionCounter,
    count_repetitions,
    joint_angles,
    suggest_thresholds,
)
from cvdemo.pose.poses import Poses, no_poses
from cvdemo.pose.skeleton import COCO_JOINTS, JOINT_INDEX


def poses_of(keypoints, visible=None, tracks=None):
    keypoints = np.asarray(keypoints, np.float64)
    count = len(keypoints)
    full = np.concatenate([keypoints, np.ones((count, 17, 1))], axis=2)
    shown = np.ones((count, 17), bool) if visible is None else visible
    boxes = np.tile(np.array([[0, 0, 100, 200]], np.float32), (count, 1))
    return Poses(full, shown, boxes, np.ones(count, np.float32), np.arange(count), 300, 300, "", tracks=tracks)


def test_the_six_angles_are_spanned_by_the_right_joints():
    assert set(ANGLES) == {f"{side} {joint}" for side in ("left", "right") for joint in ("elbow", "hip", "knee")}
    assert [COCO_JOINTS[joint] for joint in ANGLES["left knee"]] == ["left hip", "left knee", "left ankle"]
    assert [COCO_JOINTS[joint] for joint in ANGLES["right elbow"]] == ["right shoulder", "right elbow", "right wrist"]
    assert [COCO_JOINTS[joint] for joint in ANGLES["right hip"]] == ["right shoulder", "right hip", "right knee"]


def test_angles_equal_the_law_of_cosines():
    points = np.random.default_rng(0).uniform(0, 200, (20, 17, 2))
    found = joint_angles(points, np.ones((20, 17), bool))
    for person in range(20):
        for column, (a, b, c) in enumerate(ANGLES.values()):
            one, two, far = (np.linalg.norm(points[person, i] - points[person, j]) for i, j in ((a, b), (b, c), (a, c)))
            cosine = (one**2 + two**2 - far**2) / (2 * one * two)
            assert found[person, column] == pytest.approx(np.degrees(np.arccos(np.clip(cosine, -1, 1))), abs=1e-4)


def test_straight_right_and_missing():
    points = np.zeros((1, 17, 2))
    points[0, JOINT_INDEX["left hip"]] = (10, 0)
    points[0, JOINT_INDEX["left knee"]] = (10, 50)
    points[0, JOINT_INDEX["left ankle"]] = (10, 100)
    visible = np.ones((1, 17), bool)
    knee = list(ANGLES).index("left knee")
    assert joint_angles(points, visible)[0, knee] == pytest.approx(180)
    points[0, JOINT_INDEX["left ankle"]] = (60, 50)
    assert joint_angles(points, visible)[0, knee] == pytest.approx(90)
    assert np.isnan(joint_angles(points, visible)[0, list(ANGLES).index("right knee")])  # its joints coincide
    visible[0, JOINT_INDEX["left ankle"]] = False
    assert np.isnan(joint_angles(points, visible)[0, knee])
    assert joint_angles(np.zeros((0, 17, 3)), np.zeros((0, 17), bool)).shape == (0, 6)


def movement(repetitions, noise, gaps, seed, fps=25.0, seconds_each=2.0):
    """A knee going from 170 to 70 degrees and back, with noise and gaps of up to half a second."""
    rng = np.random.default_rng(seed)
    times = np.arange(0, repetitions * seconds_each + 2, 1 / fps)
    phase = np.clip(times - 0.5, 0, repetitions * seconds_each) / seconds_each
    degrees = 120 + 50 * np.cos(2 * np.pi * phase) + rng.normal(0, noise, len(times))
    for start in rng.integers(0, len(times) - 25, gaps):
        degrees[start : start + rng.integers(1, 12)] = np.nan
    return times, degrees


@pytest.mark.parametrize("repetitions", [0, 1, 5, 12])
@pytest.mark.parametrize(("noise", "gaps"), [(0, 0), (8, 0), (0, 4), (8, 4)])
def test_repetitions_of_a_noisy_movement_with_gaps(repetitions, noise, gaps):
    for seed in range(3):
        times, degrees = movement(repetitions, noise, gaps, seed)
        assert count_repetitions(times, degrees) == repetitions


def test_trembling_at_a_threshold_and_single_wrong_frames_count_nothing():
    rng = np.random.default_rng(0)
    times = np.arange(0, 20, 0.04)
    for level in (100, 145):
        assert count_repetitions(times, level + rng.normal(0, 5, len(times))) == 0
    outliers = np.where(np.arange(len(times)) % 25 == 0, 30.0, 170.0)
    assert count_repetitions(times, outliers) == 0


def test_a_repetition_is_given_up_after_a_long_absence():
    counter = RepetitionCounter()
    for time in np.arange(0, 1, 0.1):
        counter.add(time, 70)
    assert counter.bent
    for time in np.arange(10, 11, 0.1):
        counter.add(time, 170)
    assert counter.count == 0
    with pytest.raises(ValueError, match="below"):
        RepetitionCounter(120, 110)


def test_thresholds_are_suggested_from_a_recording():
    times, degrees = movement(6, 4, 3, 1)
    small = 150 + (degrees - 120) * 0.4  # a shallow movement, which the default thresholds do not see
    assert count_repetitions(times, small) == 0
    low, high = suggest_thresholds(small)
    assert count_repetitions(times, small, low, high) == 6
    assert suggest_thresholds(np.full(100, 170.0)) is None
    assert suggest_thresholds(np.full(100, np.nan)) is None


def test_series_and_table():
    series = AngleSeries()
    first = poses_of(np.random.default_rng(1).uniform(0, 100, (2, 17, 2)), tracks=np.array([7, 3]))
    series.add(0.0, first)
    series.add(0.5, replace(first, visible=np.zeros((2, 17), bool)).take(np.array([1])))
    series.add(1.0, no_poses(4, 4))
    assert series.people() == [3, 7]
    times, values = series.series(3, "left knee")
    assert times.tolist() == [0, 0.5]
    assert np.isnan(values).tolist() == [False, True]
    rows = list(csv.DictReader(io.StringIO(series.to_csv())))
    assert [(row["time"], row["person"]) for row in rows] == [("0.000", "7"), ("0.000", "3"), ("0.500", "3")]
    assert float(rows[1]["left_knee"]) == pytest.approx(values[0], abs=0.06)
    assert rows[2]["left_knee"] == ""
    assert series.series(99, "left hip")[0].shape == (0,)
    with pytest.raises(KeyError):
        series.series(3, "left ear")
