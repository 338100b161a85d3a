"""Sparse tracks on motions that are known, against OpenCV's own calls."""

import cv2
import numpy as np
import pytest

from cvdemo.flow.lucas_kanade import TrackSettings, corners, follow, follow_clip
from tests.flow.conftest import moved_pair, textured


def test_a_translation_moves_every_track_alike():
    tracks = follow(*moved_pair(x=4, y=-3), settings=TrackSettings(window=11, levels=1))
    assert len(tracks) > 30
    inner = tracks.found & ((tracks.starts > 24) & (tracks.starts < (100, 70))).all(axis=1)
    assert inner.sum() > 10  # nearer to the border the windows hold content that has left
    assert np.allclose((tracks.ends - tracks.starts)[inner], (4, -3), atol=0.1)
    assert (tracks.error[tracks.found] <= TrackSettings().disagreement).all()
    assert "median motion 5.0 px" in tracks.sentence()


def test_it_is_opencvs_method():
    first, second = moved_pair()
    settings = TrackSettings(window=15, levels=2)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first, second)]
    expected = cv2.goodFeaturesToTrack(grey[0], settings.points, settings.quality, settings.distance)
    ends, status, _ = cv2.calcOpticalFlowPyrLK(*grey, expected, None, winSize=(15, 15), maxLevel=2)
    tracks = follow(first, second, settings=settings)
    assert np.array_equal(tracks.starts, expected[:, 0])
    kept = status[:, 0] == 1
    assert np.array_equal(tracks.ends[kept], ends[kept, 0])


def test_points_of_the_caller_are_followed():
    tracks = follow(*moved_pair(x=2, y=1), points=[[50, 40], [70, 60]])
    assert np.allclose(tracks.ends, [[52, 41], [72, 61]], atol=0.2)


def test_what_is_covered_is_lost():
    first, second = moved_pair(x=0, y=0)
    second[30:60, 40:80] = 0
    tracks = follow(first, second, settings=TrackSettings(window=9, levels=0))
    inside = ((tracks.starts > (48, 38)) & (tracks.starts < (72, 52))).all(axis=1)
    near = ((tracks.starts > (30, 20)) & (tracks.starts < (90, 70))).all(axis=1)
    assert inside.sum() >= 2
    assert tracks.found[inside].mean() < 0.3
    assert tracks.found[~near].mean() > 0.9


def test_a_plain_picture_has_no_corners():
    plain = np.full((40, 50, 3), 90, np.uint8)
    tracks = follow(plain, plain)
    assert len(corners(plain)) == 0
    assert tracks.sentence() == "No corner to follow was found"
    assert tracks.to_dict()["tracks"] == []


@pytest.mark.parametrize("size", [(8, 8), (9, 100)])
def test_small_frames_are_survived(size):
    tracks = follow(textured(*size), textured(*size, seed=1))
    assert tracks.starts.shape == tracks.ends.shape


def test_to_dict_lists_the_found_ones():
    tracks = follow(*moved_pair())
    rows = tracks.to_dict()["tracks"]
    assert len(rows) == len(tracks)
    assert np.allclose(rows[0]["from"], tracks.starts[tracks.found][0], atol=0.01)


def test_paths_through_a_clip():
    big = textured(140, 180)
    frames = [big[20 : 20 + 96, 40 - 3 * t : 40 - 3 * t + 128] for t in range(6)]
    paths = follow_clip(frames, TrackSettings(points=80), refill=False)
    assert paths.shape[0] == 6
    whole = np.isfinite(paths).all(axis=(0, 2))
    assert whole.sum() > 15
    steps = np.diff(paths[:, whole], axis=0)
    assert np.allclose(np.median(steps, axis=1), (3, 0), atol=0.1)


def test_lost_points_are_replaced():
    frames = [textured(96, 128, seed) for seed in range(3)]  # nothing can be followed
    fixed, refilled = (follow_clip(frames, TrackSettings(points=60), refill=refill) for refill in (False, True))
    assert np.isfinite(fixed[2, :, 0]).sum() < 30
    assert np.isfinite(refilled[2, :, 0]).sum() > 30
    assert np.isnan(refilled[0, fixed.shape[1] :]).all()
    assert follow_clip([]).shape == (0, 0, 2)
