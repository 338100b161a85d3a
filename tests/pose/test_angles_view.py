"""The Angles view: curve, count, thresholds, arcs."""

import re

import numpy as np
import pytest

from cvdemo.core.errors import SettingsError
from cvdemo.pose import angles_view as view
from cvdemo.pose.angles import ANGLES, AngleSeries, count_repetitions
from cvdemo.pose.angles_view import AngleControls, ClipAngles
from cvdemo.pose.poses import Poses
from cvdemo.pose.predict import PoseSettings, infer
from cvdemo.pose.video import PoseTrack, lighten

TIMES = np.arange(0, 8, 0.05)
BENDING = 120 - 50 * np.cos(2 * np.pi * TIMES / 2)  # 70 to 170 degrees, once in two seconds


def series_of(*people, angle="left elbow"):
    column = list(ANGLES).index(angle)
    series = AngleSeries()
    for index, time in enumerate(TIMES.tolist()):
        for number, values in enumerate(people, 1):
            if index < len(values):
                degrees = np.full(6, np.nan)
                degrees[column] = values[index]
                series.rows.append((time, number, degrees))
    return series


def test_repetitions_are_marked_where_they_are_counted():
    controls = AngleControls(low=100, high=145)
    found = view.repetition_times(TIMES, BENDING, controls)
    assert len(found) == count_repetitions(TIMES, BENDING, 100, 145) == 4
    np.testing.assert_allclose(np.diff(found), 2.0, atol=0.11)
    assert found[0] < 1.2
    text = view.plot_html(series_of(BENDING), view.MOST_SEEN, controls)
    assert text.count('class="rep"') == text.count('class="at"') == 4
    assert "4 repetitions" in text
    assert "<b>4</b> repetitions" in view.summary_html(series_of(BENDING), view.MOST_SEEN, controls)


def test_thresholds_the_wrong_way_round_are_explained_and_still_drawn():
    controls = AngleControls(low=150, high=100)
    with pytest.raises(SettingsError, match="below the upper"):
        view.repetition_times(TIMES, BENDING, controls)
    assert "must lie below" in view.summary_html(series_of(BENDING), view.MOST_SEEN, controls)
    assert 'class="rep"' not in view.plot_html(series_of(BENDING), view.MOST_SEEN, controls)


def test_the_curve_breaks_in_gaps_and_keeps_its_scale():
    values = BENDING.copy()
    values[40:60] = np.nan
    text = view.plot_html(series_of(values), 1, AngleControls())
    path = re.search(r'class="line" d="([^"]*)"', text).group(1)
    assert path.count("M") == 2
    places = np.array([[float(v) for v in pair.split()] for pair in re.findall(r"[ML]([\d.]+ [\d.]+)", path)])
    assert len(places) == len(TIMES) - 20
    np.testing.assert_allclose(places[:, 1], 180 - values[np.isfinite(values)], atol=0.06)
    assert places[0, 0] == 0
    assert places[-1, 0] == 1000


def test_people_are_chosen_by_number_or_by_how_often_they_are_seen():
    series = series_of(BENDING[:20], BENDING)
    assert view.chosen_person(series, view.MOST_SEEN) == 2
    assert view.chosen_person(series, 1) == 1
    assert view.chosen_person(series, 99) == 2
    assert view.chosen_person(AngleSeries(), 1) is None
    assert [value for _, value in view.person_choices(series)] == [0, 2, 1]
    assert view.plot_html(AngleSeries(), 0, AngleControls()) == view.EMPTY
    assert view.summary_html(AngleSeries(), 0, AngleControls()) == ""
    assert "never measured" in view.summary_html(series, 2, AngleControls(angle="right hip"))


def pose_with(standing, *, bend=90.0):
    """One person whose left elbow is bent by so many degrees."""
    points = np.array(standing) * 200
    shoulder, elbow = points[5], points[7]
    along = np.arctan2(*(shoulder - elbow)[::-1]) + np.radians(bend)
    points[9] = elbow + 40 * np.array([np.cos(along), np.sin(along)])
    keypoints = np.concatenate([points, np.ones((17, 1))], axis=1)[None]
    return Poses(keypoints, np.ones((1, 17), bool), np.array([[0, 0, 200, 200]], np.float32), np.ones(1, np.float32),
                 np.zeros(1, np.int64), 220, 220, "m")  # fmt: skip


def test_the_picture_shows_the_arc_and_the_table_the_degrees(standing):
    poses = pose_with(standing, bend=72)
    assert view.picture_sentence(poses, "left elbow") == "1 person; left elbow 72°"
    assert "72°" in view.poses_table(poses)
    pixels = np.full((220, 220, 3), 128, np.uint8)
    drawn = view.draw_angles(pixels, poses, "left elbow")
    changed = np.argwhere((drawn != pixels).any(axis=2))
    assert len(changed)
    elbow = poses.keypoints[0, 7, :2][::-1]
    assert np.linalg.norm(changed - elbow, axis=1).min() < 40
    hidden = Poses(poses.keypoints, np.zeros((1, 17), bool), poses.boxes, poses.box_scores, poses.rows, 220, 220, "m")
    assert (view.draw_angles(pixels, hidden, "left elbow") == pixels).all()
    assert "shoulder, elbow and wrist must all be seen" in view.picture_sentence(hidden, "left elbow")
    assert "hip, knee and ankle must all be seen" in view.picture_sentence(hidden, "right knee")
    far = Poses(poses.keypoints * 1e7, poses.visible, poses.boxes, poses.box_scores, poses.rows, 220, 220, "m")
    assert view.draw_angles(pixels, far, "left elbow").shape == pixels.shape


def test_a_clip_is_measured_again_without_the_network(stand_in, crowd_of):
    crowd_of([[20, 20, 120, 220]])
    found = infer(np.zeros((240, 160, 3), np.uint8), stand_in.name)
    track = PoseTrack(("k", stand_in.name, 1), {index: lighten(found) for index in range(5)})
    clip = ClipAngles(track, tuple((index, index / 10) for index in range(5)), PoseSettings(), "clip.mp4")
    series = clip.series(AngleControls(confidence=0.3))
    assert len(series.rows) == 5
    assert series.people() == [1]
    assert np.isfinite(series.series(1, "left knee")[1]).all()
    assert np.isnan(clip.series(AngleControls(confidence=0.99)).series(1, "left knee")[1]).all()
    assert view.frames_sentence(series, [index / 10 for index in range(5)]) == "5 frames in 0.4 s, 1 person followed"
    assert view.series_csv(series).startswith(b"time,person,left_elbow")
