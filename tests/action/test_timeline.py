"""A video window by window: which windows there are, the curves, segments, and stopping half-way."""

import threading

import numpy as np
import pytest

from cvdemo.action.clips import Clip
from cvdemo.action.predict import ActionSettings
from cvdemo.action.timeline import decode_timeline, seconds_of, timeline
from cvdemo.action.video import annotate
from cvdemo.core.engine import default_engine
from cvdemo.core.errors import Cancelled, InputError
from cvdemo.core.video import read_frames
from tests.action.helpers import CATEGORIES, STAND_IN, coloured, write

PLAIN = ActionSettings(smoothing=0.0)


def test_a_file_gives_two_segments(stand_in, red_then_blue):
    raw = timeline(red_then_blue, STAND_IN)
    np.testing.assert_allclose(raw.starts, [0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0])
    assert raw.complete
    assert raw.source == "red-then-blue.mp4"
    assert raw.logits.shape == (7, len(CATEGORIES))
    assert [thumb.shape for thumb in raw.thumbnails] == [(48, 64, 3)] * 7
    curves = decode_timeline(raw, PLAIN)
    assert [segment[2] for segment in curves.segments if segment[2] in ("red", "blue")] == ["red", "blue"]
    assert curves.segments[0][0] == 0.0
    assert curves.segments[-1][1] == pytest.approx(4.0, abs=0.1)
    for before, after in zip(curves.segments, curves.segments[1:]):
        assert before[1] == pytest.approx(after[0])
    assert curves.sentence().startswith("red 0.0 to ")
    np.testing.assert_allclose(curves.probabilities.sum(axis=1), 1)


def test_settings_act_without_the_network(stand_in, red_then_blue):
    raw = timeline(red_then_blue, STAND_IN)
    runs = [model.runs for model in default_engine().statistics().models]
    jumps = [
        np.abs(np.diff(decode_timeline(raw, ActionSettings(smoothing=s)).probabilities, axis=0)).max()
        for s in (0.0, 0.5, 3.0)
    ]
    assert jumps[0] > jumps[1] > jumps[2]
    assert len(decode_timeline(raw, ActionSettings(top_k=2)).best) == 2
    assert decode_timeline(raw, ActionSettings(threshold=1.0)).segments == ()
    assert "No action" in decode_timeline(raw, ActionSettings(threshold=1.0)).sentence()
    assert [model.runs for model in default_engine().statistics().models] == runs


def test_the_dictionary(stand_in, red_then_blue):
    answer = decode_timeline(timeline(red_then_blue, STAND_IN, stride=2.0), PLAIN).to_dict()
    assert answer["video"]["name"] == "red-then-blue.mp4"
    assert [set(row) for row in answer["windows"]] == [{"time", "sure", "predictions"}] * len(answer["windows"])
    assert {"start", "end", "label", "probability"} == set(answer["segments"][0])


def test_a_part_of_a_video(stand_in, red_then_blue):
    raw = timeline(red_then_blue, STAND_IN, start=2.2, stop=3.6)
    assert raw.starts[0] == 2.2
    curves = decode_timeline(raw, PLAIN)
    assert {segment[2] for segment in curves.segments} == {"blue"}
    assert raw.at(0.0) == 0
    assert raw.at(99.0) == len(raw) - 1


def test_a_clip_in_memory_and_a_very_short_one(stand_in):
    frames = np.concatenate([coloured((200, 0, 0), 10), coloured((0, 200, 0), 10)])
    raw = timeline(Clip(frames, np.arange(20) / 5, "live"), STAND_IN)
    assert [raw.raws[row].logits[:3].argmax() for row in (0, -1)] == [0, 1]
    one = timeline(Clip(coloured((200, 0, 0), 1), np.zeros(1)), STAND_IN)
    assert len(one) == 1
    assert "repeated" in one.raws[0].clip.note
    assert decode_timeline(one).windows[0].top[0][1] == "red"


def test_stopping_keeps_what_was_done(stand_in, red_then_blue):
    cancel = threading.Event()

    def progress(fraction, text):
        if fraction > 0.4:
            cancel.set()

    raw = timeline(red_then_blue, STAND_IN, cancel=cancel, progress=progress)
    assert not raw.complete
    assert 0 < len(raw) < 7
    assert decode_timeline(raw, PLAIN).segments[0][2] == "red"
    with pytest.raises(Cancelled):
        timeline(red_then_blue, STAND_IN, cancel=cancel)


def test_bad_videos(stand_in, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(InputError):
        timeline(tmp_path / "text.mp4", STAND_IN)
    path = tmp_path / "one.mp4"
    write(path, coloured((200, 0, 0), 1, 17, 23), 10)
    assert len(timeline(path, STAND_IN)) == 1
    assert seconds_of(path) == pytest.approx(0.1, abs=0.1)


def test_a_truncated_video_is_used_as_far_as_it_goes(stand_in, red_then_blue, tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (60, 96, 128, 3), np.uint8)
    whole = tmp_path / "whole.mp4"
    write(whole, frames, 10)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.7)])
    raw = timeline(cut, STAND_IN)
    assert 1 <= len(raw) < 11
    assert raw.notes


def test_annotated_video(stand_in, red_then_blue, tmp_path):
    raw = timeline(red_then_blue, STAND_IN)
    runs = [model.runs for model in default_engine().statistics().models]
    target = tmp_path / "out.mp4"
    info = annotate(red_then_blue, target, raw, PLAIN)
    assert [model.runs for model in default_engine().statistics().models] == runs
    assert (info.width, info.height) == (64, 48)
    with read_frames(target) as reader:
        assert sum(1 for _ in reader) == 40
