"""Annotating a clip with the real network: counts, redrawing without it, and stopping."""

import threading

import cv2
import numpy as np
import pytest

from cvdemo.core.errors import Cancelled, InputError
from cvdemo.core.video import VideoWriter, probe_video, read_frames
from cvdemo.detection import video
from cvdemo.detection.predict import DetectionSettings
from cvdemo.detection.video import KEPT_CANDIDATES, annotate, track_key

MODEL = "compact-detector"


@pytest.fixture(scope="module")
def clip(crowd, tmp_path_factory):
    """Six frames, 320x240: a camera moving over the crowd, and one blank frame."""
    path = tmp_path_factory.mktemp("clip") / "pan.mp4"
    with VideoWriter(path, 5.0, (320, 240)) as writer:
        for index in range(5):
            window = crowd[:, 60 * index : 60 * index + 700]
            writer.write(cv2.resize(window, (320, 240), interpolation=cv2.INTER_AREA))
        writer.write(np.full((240, 320, 3), 128, np.uint8))
    return path


@pytest.fixture(scope="module")
def result(compact_engine, clip, tmp_path_factory):
    seen = []
    target = tmp_path_factory.mktemp("out") / "out.mp4"
    made = annotate(
        clip, target, MODEL, DetectionSettings(), preview=lambda pixels, text: seen.append((pixels.shape, text))
    )
    return made, seen


def test_every_frame_is_drawn_and_counted(result, clip):
    made, seen = result
    assert made.network_runs == 6
    assert sorted(made.track.frames) == list(range(6))
    assert len(made.counts.rows) == 6
    assert [time for time, _ in made.counts.rows] == pytest.approx([i / 5 for i in range(6)], abs=0.01)
    assert made.counts.rows[0][1].get(1, 0) >= 1, "there are people in the first frame"
    assert made.counts.rows[5][1] == {}, "and none in the blank one"
    assert [shape for shape, _ in seen] == [(240, 320, 3)] * 6
    assert seen[5][1] == "No objects above the score threshold"
    info = probe_video(made.path)
    assert (info.width, info.height, info.codec, info.frames) == (320, 240, "h264", 6)
    with read_frames(clip) as frames, read_frames(made.path) as drawn:
        differences = [np.abs(a.pixels.astype(int) - b.pixels).max() for a, b in zip(frames, drawn)]
    assert differences[0] > 80, "boxes were drawn"
    assert differences[5] < 40


def test_other_settings_redraw_without_the_network(result, compact_engine, clip, tmp_path, monkeypatch):
    made, _ = result

    def refuse(*_, **__):
        raise AssertionError("the network was run")

    monkeypatch.setattr(type(compact_engine), "run", refuse)
    strict = annotate(clip, tmp_path / "b.mp4", MODEL, DetectionSettings(score_threshold=1.0), track=made.track)
    assert strict.network_runs == 0
    assert strict.track is made.track
    assert all(found == {} for _, found in strict.counts.rows)
    loose = annotate(clip, tmp_path / "c.mp4", MODEL, DetectionSettings(0.05, nms_kind="none"), track=made.track)
    assert loose.network_runs == 0
    assert sum(loose.counts.rows[0][1].values()) > sum(made.counts.rows[0][1].values())


def test_a_track_of_something_else_is_not_used(result, clip, tmp_path):
    made, _ = result
    other = annotate(clip, tmp_path / "b.mp4", MODEL, DetectionSettings(), track=made.track, stride=3)
    assert other.network_runs == 2
    assert sorted(other.track.frames) == [0, 3]
    assert len(made.track.frames) == 6


def test_what_identifies_an_analysis(clip, tmp_path):
    copy = tmp_path / "renamed.mp4"
    copy.write_bytes(clip.read_bytes())
    assert track_key(clip, MODEL, 1) == track_key(copy, MODEL, 1)
    copy.write_bytes(clip.read_bytes()[:-1] + b"?")
    keys = {track_key(clip, MODEL, 1), track_key(copy, MODEL, 1), track_key(clip, MODEL, 2), track_key(clip, "m", 1)}
    assert len(keys) == 4


def test_frames_are_remembered_lightly(result):
    made, _ = result
    for inference in made.track.frames.values():
        assert len(inference.candidates) <= KEPT_CANDIDATES
        assert inference.raw.proposals is None
        assert inference.raw.levels


def test_stopping_leaves_no_file(compact_engine, clip, tmp_path):
    cancel, seen = threading.Event(), []

    def progress(fraction, text):
        seen.append(fraction)
        if len(seen) == 2:
            cancel.set()

    with pytest.raises(Cancelled):
        annotate(clip, tmp_path / "out.mp4", MODEL, DetectionSettings(), progress=progress, cancel=cancel)
    assert len(seen) == 2
    assert list(tmp_path.iterdir()) == []


def test_large_frames_are_shrunk(compact_engine, tmp_path, monkeypatch):
    with VideoWriter(tmp_path / "in.mp4", 5.0, (400, 200)) as writer:
        writer.write(np.zeros((200, 400, 3), np.uint8))
    monkeypatch.setattr(video, "MAX_SIDE", 128)
    made = annotate(tmp_path / "in.mp4", tmp_path / "out.mp4", MODEL, DetectionSettings())
    assert (made.info.width, made.info.height) == (128, 64)


def test_what_is_no_video_is_refused(compact_engine, tmp_path):
    (tmp_path / "text.mp4").write_text("words " * 50)
    with pytest.raises(InputError, match=r"text\.mp4"):
        annotate(tmp_path / "text.mp4", tmp_path / "out.mp4", MODEL, DetectionSettings())
    with pytest.raises(InputError, match=r"missing\.mp4"):
        annotate(tmp_path / "missing.mp4", tmp_path / "out.mp4", MODEL, DetectionSettings())
    assert not (tmp_path / "out.mp4").exists()
