"""What the Recognise view makes of scores: bars, lines, selections, exports, the camera's answer, annotated videos."""

import csv
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from cvdemo.action import recognise_view as view
from cvdemo.action.clips import Clip, ClipSpec
from cvdemo.action.live import LiveState, Seen
from cvdemo.action.predict import ActionInference, ActionSettings, decode, smooth
from cvdemo.action.raw import RawScores, facts_of, softmax
from cvdemo.action.recognise_view import Look
from cvdemo.action.tab_recognise_video import FinishedVideo, chosen_rows
from cvdemo.action.timeline import RawTimeline, decode_timeline
from cvdemo.action.video import annotate, at_time

NAMES = ("run", "<jump>", "sit", "lie")
SPEC = ClipSpec(4, 2.0, 32)


def clip():
    return Clip(np.zeros((4, 12, 16, 3), np.uint8), np.arange(4) / 2, "a.mp4")


def raw(logits):
    return RawScores(np.asarray(logits, np.float32), NAMES, "model", facts_of(clip()))


def inference(logits):
    return ActionInference(raw(logits), {"preprocess": 0.2, "network": 8.0}, "cpu", "float32", "model")


def timeline(count=6, seed=0, duration=5.0):
    rng = np.random.default_rng(seed)
    raws = tuple(raw(rng.normal(0, 2, 4)) for _ in range(count))
    thumbnails = tuple(np.full((6, 8, 3), 10 * i, np.uint8) for i in range(count))
    return RawTimeline(raws, np.arange(count) * 0.6, SPEC, thumbnails, duration, {"network": 60.0, "read": 5.0}, "cpu",
                       "float32", "model", "a.mp4")  # fmt: skip


def test_bars_are_as_long_as_the_probabilities_and_escape_names():
    actions = decode(inference([2, 3, 0, -1]), ActionSettings(top_k=2))
    text = view.bars_html(actions)
    widths = [float(value) for value in re.findall(r"width:([\d.]+)%", text)]
    expected = np.exp([3, 2]) / np.exp([2, 3, 0, -1]).sum() * 100
    assert widths == pytest.approx([*expected, 100 - expected.sum()], abs=0.01)
    assert "&lt;jump&gt;" in text
    assert "<jump>" not in text
    assert "the other 2 actions" in text
    assert "unsure" in view.bars_html(decode(inference([0, 0, 0, 0]), ActionSettings(threshold=0.5)))


@pytest.mark.parametrize(
    ("share", "words"), [(1.0, "100 %"), (0.0996, "10 %"), (0.042, "4.2 %"), (0.0005, "under 0.1 %")]
)
def test_percentages_read_well(share, words):
    assert view.percent(share) == words


def test_timings_leave_out_what_took_no_time():
    assert view.timing_line(inference([0, 0, 0, 0])) == "8 ms (network 8) · cpu float32"


def test_windows_lie_where_they_were_taken():
    given = timeline(duration=5.0)
    line = view.timeline_of(given, ActionSettings(smoothing=0))
    assert np.allclose(line.spans[:, 0], given.starts)
    assert np.allclose(line.spans[:, 1], np.minimum(given.starts + 2.0, 5.0))
    assert np.allclose(line.probabilities, softmax(given.logits))
    assert line.end == 5.0


def test_a_selection_is_the_mean_of_its_windows():
    given, settings = timeline(), ActionSettings(smoothing=1.5, temperature=2.0)
    line = decode_timeline(given, settings)
    actions = view.selected(given, settings, [1, 2, 4])
    assert np.allclose(actions.probabilities, line.probabilities[[1, 2, 4]].mean(axis=0))
    assert np.allclose(view.selected(given, settings, [99]).probabilities, line.probabilities[0])
    assert view.selection_words(given, [2]) == "Window 3 of 6, 1.2 to 3.2 s"
    assert view.selection_words(given, [1, 2]) == "Windows 2 to 3 of 6, 0.6 to 3.2 s, averaged"


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        ({"from": 0.2, "to": 0.2}, (0,)),  # at 1.0 s: the first window's middle
        ({"from": 0.2, "to": 0.5}, (0, 1, 2)),
        ({"from": 1.0, "to": 1.0}, (5,)),
        ({"step": 1}, (3,)),
        ({"step": -1}, (1,)),
        ({"from": "x", "to": None}, (2,)),
        ({"from": -3, "to": 9}, (2,)),
        (None, (2,)),
        ([1, 2], (2,)),
    ],
)
def test_an_event_of_the_timeline_chooses_windows(data, rows, tmp_path):
    done = FinishedVideo("a.mp4", tmp_path / "a.mp4", None, timeline(), "key", 1.0, 6)
    assert chosen_rows(done, ActionSettings(), (2,), data) == rows


def test_steps_stop_at_the_ends(tmp_path):
    done = FinishedVideo("a.mp4", tmp_path / "a.mp4", None, timeline(), "key", 1.0, 6)
    assert chosen_rows(done, ActionSettings(), (5,), {"step": 1}) == (5,)
    assert chosen_rows(done, ActionSettings(), (0, 1), {"step": -1}) == (0,)
    assert chosen_rows(done, ActionSettings(), (77,), {"step": 1}) == (1,)


def test_a_videos_csv_and_json_hold_every_window():
    given, settings = timeline(), ActionSettings(smoothing=0, top_k=2)
    rows = list(csv.reader(io.StringIO(view.timeline_csv(given, settings))))
    assert rows[0] == ["start", "time", "best", *NAMES]
    assert len(rows) == 7
    assert [float(value) for value in rows[3][3:]] == pytest.approx(softmax(given.logits)[2].tolist(), abs=1e-6)
    document = json.loads(view.timeline_json(given, settings, "a.mp4"))
    assert len(document["windows"]) == 6
    assert document["settings"]["top_k"] == 2
    assert document["video"]["name"] == "a.mp4"


def test_a_clips_csv_and_json_hold_its_actions():
    look = Look("a.png", clip(), inference([2, 3, 0, -1]))
    lines = view.look_csv(look, ActionSettings()).splitlines()
    assert lines[0] == "action,probability"
    assert [line.rsplit(",", 1)[0] for line in lines[1:]] == ["<jump>", "run", "sit", "lie"]
    document = json.loads(view.look_json(look, ActionSettings(top_k=1)))
    assert document["predictions"][0]["label"] == "<jump>"
    assert document["clip"]["name"] == "a.png"


def state(history, now=100.0, **changed):
    newest = None
    if history:
        newest = Seen(clip().frames, history[-1][0] + np.arange(-3, 1) / 2, history[-1][1], 8.0)
    age = None if newest is None else now - newest.time
    made = LiveState(newest, history, now, age, 12.0, 4.0, 30, 9, 1.0, 1.5, len(history))
    return replace(made, **changed)


def test_the_cameras_answer_is_smoothed_over_its_history():
    rng = np.random.default_rng(2)
    history = [(90.0 + step, inference(rng.normal(0, 2, 4))) for step in range(8)]
    settings = ActionSettings(smoothing=2.0, temperature=1.5)
    made = view.live_shown(state(history), settings)
    logits = np.stack([result.raw.logits for _, result in history])
    expected = smooth(softmax(logits, 1.5), np.arange(8) + 90.0, 2.0)
    assert np.allclose(made.timeline.probabilities, expected)
    assert np.allclose(made.actions.probabilities, expected[-1])
    assert (made.timeline.begin, made.timeline.end) == (70.0, 100.0)
    assert view.live_shown(state([]), settings) is None


def test_the_cameras_line_tells_age_and_what_was_passed_over():
    history = [(99.4, inference([0, 0, 0, 1]))]
    words = view.live_line(state(history), history[0][1])
    assert "12 captures a second; 4.0 clips a second; newest result 0.6 s old; 9 clips seen, 30 passed over" in words
    assert "filling the first clip: 0.6 of 1.5 s" in view.live_line(state([], filled=0.4), None)


def test_between_two_windows_probabilities_are_mixed():
    values = np.array([[1.0, 0.0], [0.0, 1.0]])
    times = np.array([1.0, 3.0])
    assert at_time(times, values, 0.0).tolist() == [1, 0]
    assert at_time(times, values, 9.0).tolist() == [0, 1]
    for time in (1.0, 1.5, 2.0, 2.9, 3.0):
        expected = [np.interp(time, times, values[:, column]) for column in range(2)]
        assert at_time(times, values, time) == pytest.approx(expected)
    assert at_time(times[:1], values[:1], 5.0).tolist() == [1, 0]


def test_the_annotated_video_has_every_frame_and_its_bars(tmp_path):
    from cvdemo.core.video import VideoWriter, read_frames

    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    with VideoWriter(source, 10, (320, 240)) as writer:
        for _ in range(12):
            writer.write(np.full((240, 320, 3), 128, np.uint8))
    said = []
    info = annotate(source, target, timeline(), ActionSettings(), preview=lambda pixels, words: said.append(words))
    assert info.codec == "h264"
    assert len(said) == 12
    with read_frames(target) as frames:
        kept = [frame.pixels for frame in frames]
    assert len(kept) == 12
    assert kept[0].shape == (240, 320, 3)
    assert kept[0][120:, :160].std() > 20, "the lower left bears the bars"
    assert kept[0][:60, 240:].std() < 3
