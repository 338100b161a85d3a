"""People in a video: one run a frame, numbers that stay, angles, and redrawing without the network."""

import csv
import io

import numpy as np
import pytest

from cvdemo.core.video import VideoWriter, probe_video
from cvdemo.pose.angles import ANGLES
from cvdemo.pose.predict import PoseSettings, decode, infer
from cvdemo.pose.video import annotate, lighten

MODEL = "stand-in-pose"


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, 5.0, (320, 240)) as writer:
        for index in range(6):
            writer.write(np.full((240, 320, 3), 30 * index, np.uint8))
    return path


def test_frames_people_and_angles(clip, tmp_path, stand_in, crowd_of):
    crowd_of([[20, 20, 90, 220], [180, 30, 260, 230]])
    said = []
    result = annotate(clip, tmp_path / "out.mp4", MODEL, PoseSettings(), preview=lambda _, text: said.append(text))
    assert result.network_runs == 6
    assert probe_video(tmp_path / "out.mp4").frames == 6
    assert [index for index, *_ in result.frames] == list(range(6))
    assert all(poses.tracks.tolist() == [1, 2] for *_, poses in result.frames)
    assert said == ["2 people: 17 and 17 of 17 joints visible"] * 6
    assert result.sentence() == "6 frames; at most 2 people at once"
    rows = list(csv.DictReader(io.StringIO(result.to_csv())))
    assert len(rows) == 12
    times, knees = result.angles.series(1, "left knee")
    assert times == pytest.approx(np.arange(6) / 5, abs=0.01)
    assert (knees > 150).all()
    assert {name.replace(" ", "_") for name in ANGLES} < set(rows[0])


def test_other_settings_redraw_without_the_network(clip, tmp_path, stand_in, crowd_of):
    crowd_of([[20, 20, 90, 220]])
    first = annotate(clip, tmp_path / "a.mp4", MODEL, PoseSettings(), stride=2)
    again = annotate(
        clip, tmp_path / "b.mp4", MODEL, PoseSettings(decode="argmax", smoothing=0, joint_threshold=0.95),
        stride=2, track=first.track,
    )  # fmt: skip
    assert (first.network_runs, again.network_runs) == (3, 0)
    assert not again.frames[0][2].visible.any()
    assert (again.frames[0][2].keypoints != first.frames[0][2].keypoints).any()
    other = annotate(clip, tmp_path / "c.mp4", MODEL, PoseSettings(), stride=3, track=first.track)
    assert other.network_runs == 2


def test_without_heatmaps_every_kind_of_decoding_is_kept(stand_in, crowd_of):
    crowd_of([[20, 20, 90, 220], [180, 30, 260, 230]], [0.4, 0.9])
    inference = infer(np.zeros((240, 320, 3), np.uint8), MODEL)
    light = lighten(inference)
    for kind in ("argmax", "quarter", "sub-pixel", "own"):
        settings = PoseSettings(decode=kind, box_threshold=0.2)
        assert light[kind].raw.heatmaps is None
        full, kept = decode(inference, settings), decode(light[kind], settings)
        np.testing.assert_allclose(kept.keypoints, full.keypoints, atol=1e-3)
        np.testing.assert_array_equal(kept.visible, full.visible)


def test_a_video_without_anybody(clip, tmp_path, stand_in, crowd_of):
    crowd_of([])
    result = annotate(clip, tmp_path / "out.mp4", MODEL, PoseSettings())
    assert result.sentence() == "6 frames; at most 0 people at once"
    assert result.to_csv().count("\n") == 1
