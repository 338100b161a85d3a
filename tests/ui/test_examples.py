"""The example pictures and the clip: made or copied once, readable, and never half there."""

from pathlib import Path

import numpy as np
import pytest

from cvdemo.core.media import read_picture
from cvdemo.core.video import probe_video, read_frames
from cvdemo.ui import examples


def test_the_composed_crowd_is_always_the_same():
    portrait = np.random.default_rng(0).integers(0, 256, (60, 50, 3), np.uint8)
    scene = examples.compose_crowd(portrait, 300, 500)
    assert scene.shape == (300, 500, 3)
    assert scene.dtype == np.uint8
    np.testing.assert_array_equal(examples.compose_crowd(portrait, 300, 500), scene)
    assert scene[:60].std() < 20, "a plain wall above"
    assert scene[200:].std() > 30, "people below"


def test_pictures_lie_in_the_folder_and_can_be_read(tmp_path):
    folder = tmp_path / "examples"
    found = examples.pictures(folder)
    names = [example.name for example in found]
    assert names[0] == "crowd", "composed by the project, so it is always there"
    assert len(set(names)) == len(names)
    for example in found:
        assert example.path.parent == folder
        assert example.title
        assert min(read_picture(example.path).pixels.shape[:2]) > 100
    before = {example.path: example.path.stat().st_mtime_ns for example in found}
    assert [example.path for example in examples.pictures(folder)] == list(before)
    assert all(path.stat().st_mtime_ns == time for path, time in before.items()), "nothing is copied twice"
    assert len(list(folder.iterdir())) == len(found), "no drafts are left"


def test_what_is_missing_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(examples, "_package_file", lambda *parts: None)
    assert [example.name for example in examples.pictures(tmp_path)] == ["crowd"]
    monkeypatch.setattr(examples, "ASSETS", tmp_path / "nowhere")
    assert examples.pictures(tmp_path) == []
    assert examples.clips(tmp_path) == []
    assert examples.load_portrait() is None
    with pytest.raises(SystemExit, match="portrait"):
        examples.main()


def test_an_unknown_package_has_no_files():
    assert examples._package_file("no_such_package_at_all", "a.jpg") is None
    assert examples._package_file("numpy", "no-such-file.jpg") is None


def test_the_clip_that_ships_plays_in_browsers(tmp_path):
    (clip,) = examples.clips(tmp_path)
    info = probe_video(clip.path)
    assert info.codec == "h264"
    assert info.duration == pytest.approx(6, abs=0.5)


def test_the_clip_pans_there_and_back(tmp_path, crowd):
    path = tmp_path / "pan.mp4"
    examples.write_pan(crowd, path, seconds=1.0, fps=10.0)
    info = probe_video(path)
    assert (info.width, info.height, info.codec, info.frames) == (640, 480, "h264", 10)
    with read_frames(path) as frames:
        pixels = [frame.pixels.astype(int) for frame in frames]
    assert np.abs(pixels[5] - pixels[0]).mean() > 10, "it moved"
    assert np.abs(pixels[9] - pixels[1]).mean() < 5, "and came back"


def test_a_copy_is_whole_or_not_there(tmp_path, monkeypatch):
    original = tmp_path / "a.png"
    original.write_bytes(b"whole")

    def fail(source, target):
        Path(target).write_bytes(b"half")
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(examples.shutil, "copyfile", fail)
        with pytest.raises(OSError, match="disk full"):
            examples._copied(original, tmp_path / "folder")
    assert list((tmp_path / "folder").iterdir()) == []
    assert examples._copied(original, tmp_path / "folder").read_bytes() == b"whole"
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["a.png"]
