"""The flow of a clip and the videos made of it: a picture that moves by a known amount."""

import threading

import numpy as np
import pytest

from cvdemo.core.errors import Cancelled, InputError
from cvdemo.core.video import VideoWriter, probe_video, read_frames
from cvdemo.flow import clip as clips
from cvdemo.flow import clip_view as view
from cvdemo.flow.clip_view import ClipSettings
from cvdemo.flow.propagate import Propagation
from tests.flow.conftest import textured

STEP = 3


def write_clip(path, frames=6, fps=10):
    scene = textured(140, 260, 4)
    with VideoWriter(path, fps, (160, 120)) as writer:
        for index in range(frames):
            start = 60 - STEP * index  # content moves to the right
            writer.write(np.ascontiguousarray(scene[10:130, start : start + 160]))
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clip") / "moving.mp4")


@pytest.fixture(scope="module")
def clip(source):
    return clips.analyse(source, "dis-medium")


def test_the_flow_of_a_clip(clip):
    assert len(clip.frames) == 6
    assert len(clip.forward) == len(clip.backward) == 5
    for forward, backward in zip(clip.forward, clip.backward):
        assert np.median(forward.reshape(-1, 2), axis=0) == pytest.approx([STEP, 0], abs=0.2)
        assert np.median(backward.reshape(-1, 2), axis=0) == pytest.approx([-STEP, 0], abs=0.2)
    assert clip.sentence().startswith("6 frames; pixels move 3")
    assert clip.maximum() in (3.0, 5.0, 7.0)


def test_long_clips_are_cut_and_strides_double_the_motion(source, monkeypatch):
    monkeypatch.setattr(clips, "MOST_FRAMES", 3)
    cut = clips.analyse(source, "dis-fast")
    assert cut.cut
    assert len(cut.frames) == 3
    strided = clips.analyse(source, "dis-fast", 2)
    assert np.median(strided.forward[0][..., 0]) == pytest.approx(2 * STEP, abs=0.4)
    assert strided.fps == pytest.approx(5, abs=0.1)


def test_one_frame_is_explained(tmp_path):
    with pytest.raises(InputError, match="one frame only"):
        clips.analyse(write_clip(tmp_path / "one.mp4", 1), "dis-fast")


@pytest.mark.parametrize("content", [b"", b"not a video", b"\x00\x00\x00\x18ftypisom"])
def test_bad_files_are_explained(content, tmp_path):
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.mp4"):
        clips.analyse(path, "dis-fast")


def test_stop_ends_the_work_and_leaves_no_file(source, clip, tmp_path):
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(Cancelled):
        clips.analyse(source, "dis-fast", cancel=stopped)
    target = tmp_path / "out.mp4"
    with pytest.raises(Cancelled):
        clips.write_colours(clip, target, 5.0, cancel=stopped)
    assert not target.exists()


def test_coloured_flow(clip, tmp_path):
    told = []
    path = clips.write_colours(clip, tmp_path / "c.mp4", 5.0, progress=lambda share, text: told.append(share))
    info = probe_video(path)
    assert (info.width, info.height, info.codec) == (160, 120, "h264")
    assert told[-1] == 1.0
    with read_frames(path) as reader:
        frames = [frame.pixels for frame in reader]
    assert len(frames) == 5
    red, green, _ = frames[2][60, 40].astype(int)  # content that moves to the right is red
    assert red > green + 40


def test_slow_motion_makes_the_frames_in_between(clip, tmp_path):
    path = clips.write_slow(clip, tmp_path / "s.mp4", 3)
    with read_frames(path) as reader:
        frames = [frame.pixels.astype(int) for frame in reader]
    assert len(frames) == 5 * 3 + 1
    scene = textured(140, 260, 4).astype(int)
    for index in (4, 8):
        start = 60 - index  # a third of 3 pixels for each frame in between
        expected = scene[10:130, start : start + 160]
        inner = np.abs(frames[index] - expected)[10:-10, 10:-10].mean()
        neighbour = np.abs(frames[index] - scene[10:130, start + 2 : start + 162])[10:-10, 10:-10].mean()
        assert inner < 0.6 * neighbour


def test_a_calm_camera_stands_beside_the_taken_one(clip, tmp_path):
    path, zoom = clips.write_steady(clip, tmp_path / "k.mp4", 3)
    assert probe_video(path).width == 2 * 160 + 8
    assert 1.0 <= zoom <= 1.3


@pytest.mark.parametrize("with_mask", [False, True])
def test_a_label_is_carried(clip, tmp_path, with_mask):
    mask = np.zeros((120, 160), bool)
    mask[40:80, 30:70] = True
    label = Propagation(np.array([30.0, 40, 70, 80]), mask if with_mask else None)
    path = clips.write_carried(clip, tmp_path / "l.mp4", label)
    assert probe_video(path).frames == 6
    assert label.box[0] == pytest.approx(30 + 5 * STEP, abs=1.5)
    assert label.drift[-1] < 0.5
    text = view.drift_html(label)
    assert "<polyline" in text
    assert "nan" not in text


def test_a_label_that_left_is_told():
    label = Propagation(np.array([1.0, 1, 20, 20]))
    label.drift += [2.0, float("nan")]
    label.area += [300.0, 300.0]
    assert "From frame 3 on" in view.drift_html(label)
    assert view.drift_html(None) == ""


@pytest.mark.parametrize(
    ("one", "other", "box"),
    [
        ((0.25, 0.5), (0.5, 0.25), (40, 30, 80, 60)),
        ((-1.0, -1.0), (2.0, 2.0), (0, 0, 160, 120)),
        ((1.0, 1.0), (1.0, 1.0), (152, 112, 160, 120)),
    ],
)
def test_boxes_from_the_mouse(one, other, box):
    assert view.box_from_shares(one, other, (120, 160)) == pytest.approx(box)


def test_settings_are_valid_and_helped():
    assert ClipSettings().make in view.MAKES
    assert set(view.HELP) == set(view.MAKES)
