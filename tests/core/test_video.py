from __future__ import annotations

import errno
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from cvdemo.core.errors import Cancelled, InputError
from cvdemo.core.video import probe_video, read_frames, transform_video
from tests.corpus import build_corpus
from tests.corpus_makers import numbered_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return numbered_clip(tmp_path_factory.mktemp("clip") / "clip.mp4")


def test_transform_applies_the_function_to_every_frame(clip, tmp_path):
    seen, told = [], []

    def negative(frame):
        seen.append((frame.index, frame.time))
        return 255 - frame.pixels

    target = tmp_path / "negative.mp4"
    info = transform_video(clip, target, negative, progress=lambda done, words: told.append((done, words)))
    assert (info.width, info.height, info.frames, info.codec, info.damaged) == (96, 64, 40, "h264", False)
    assert info.duration == pytest.approx(2.0, abs=0.06)
    assert [index for index, _ in seen] == list(range(40))
    done = [fraction for fraction, _ in told]
    assert done == sorted(done)
    assert done[-1] == 1
    assert told[9][1] == "frame 10 of about 40"
    frames = list(read_frames(target))
    assert [round((255 - float(f.pixels[-16:-4, -16:-4].mean())) / 6) for f in frames] == list(range(40))
    assert [f.time for f in frames] == pytest.approx([time for _, time in seen], abs=1e-3)


def test_transform_keeps_the_pace_and_may_change_the_size(clip, tmp_path):
    target = tmp_path / "part.mp4"
    info = transform_video(clip, target, lambda f: f.pixels[:33, :51], stride=4, start=1.0, stop=1.8, max_side=96)
    assert (info.width, info.height, info.frames) == (52, 34, 4)
    assert [frame.time for frame in read_frames(target)] == pytest.approx([0, 0.2, 0.4, 0.6], abs=1e-3)


def test_transform_may_replace_its_source(clip, tmp_path):
    path = tmp_path / "same.mp4"
    path.write_bytes(clip.read_bytes())
    transform_video(path, path, lambda frame: frame.pixels[:, ::-1])
    pixels = next(read_frames(path)).pixels
    assert pixels[8, 88, 0] > 230
    assert pixels[8, 8, 1] > 230


def test_cancel_leaves_nothing(clip, tmp_path):
    cancel, calls = threading.Event(), []

    def until_third(frame):
        calls.append(frame.index)
        if len(calls) == 3:
            cancel.set()
        return frame.pixels

    with pytest.raises(Cancelled):
        transform_video(clip, tmp_path / "out.mp4", until_third, cancel=cancel)
    assert calls == [0, 1, 2]
    assert list(tmp_path.iterdir()) == []


def test_cancel_before_the_beginning(clip, tmp_path):
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        transform_video(clip, tmp_path / "out.mp4", lambda frame: pytest.fail("must not be called"), cancel=cancel)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "raised", [ZeroDivisionError("mine"), OSError(errno.ENOSPC, "mine"), Cancelled(), KeyboardInterrupt()]
)
def test_what_the_function_raises_comes_through(clip, tmp_path, raised):
    def failing(frame):
        if frame.index == 2:
            raise raised
        return frame.pixels

    with pytest.raises(type(raised)) as caught:
        transform_video(clip, tmp_path / "out.mp4", failing)
    assert caught.value is raised
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("result", [None, np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_a_function_that_returns_no_picture(clip, tmp_path, result):
    with pytest.raises(InputError):
        transform_video(clip, tmp_path / "out.mp4", lambda frame: result)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_tail_costs_only_the_tail(tmp_path, tmp_path_factory):
    corpus = build_corpus(tmp_path_factory.mktemp("corpus"))
    case = next(case for case in corpus if case.path.name == "cut_after_index.mp4")
    info = transform_video(case.path, tmp_path / "out.mp4", lambda frame: frame.pixels)
    assert info.damaged
    assert any("could be read up to" in note and "of 6.0 s" in note for note in info.notes)
    assert 5 < (info.frames or 0) < 60
    assert not probe_video(tmp_path / "out.mp4").damaged


def test_many_threads_write_at_once(clip, tmp_path):
    def run(i):
        return transform_video(clip, tmp_path / f"{i}.mp4", lambda frame: frame.pixels).frames

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(6))) == [40] * 6
    assert len(list(tmp_path.iterdir())) == 6
