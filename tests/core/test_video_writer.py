from __future__ import annotations

import errno
from pathlib import Path

import av
import numpy as np
import pytest

from cvdemo.core import video_writer
from cvdemo.core.errors import InputError, ResourceError
from cvdemo.core.video import VideoWriter, read_frames, transform_video
from tests.corpus_makers import numbered_clip, quadrants


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return numbered_clip(tmp_path_factory.mktemp("clip") / "clip.mp4")


@pytest.mark.parametrize("size", [(96, 64), (101, 57), (1, 1), (2, 500)])
def test_written_videos_play_in_browsers(tmp_path, size):
    width, height = size
    path = tmp_path / "out.mp4"
    pixels = quadrants(height, width)
    with VideoWriter(path, 30, size) as writer:
        for _ in range(9):
            writer.write(pixels)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt, stream.frames) == ("h264", "yuv420p", 9)
        assert (stream.width, stream.height) == (width + width % 2, height + height % 2)
        assert float(stream.average_rate) == pytest.approx(30)
        assert (context.colorspace, context.color_range) == (1, 1)
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert list(tmp_path.iterdir()) == [path]


def test_written_colours_come_back(tmp_path):
    with VideoWriter(tmp_path / "out.mp4", 25, (96, 64), quality=5) as writer:
        writer.write(quadrants(64, 96, ((200, 40, 60), (30, 180, 90), (20, 60, 220), (128, 128, 128))))
    pixels = next(read_frames(tmp_path / "out.mp4")).pixels.astype(int)
    for (y, x), colour in {(8, 8): (200, 40, 60), (8, 80): (30, 180, 90), (56, 8): (20, 60, 220)}.items():
        assert np.abs(pixels[y, x] - colour).max() <= 5


def test_padding_repeats_the_edge(tmp_path):
    with VideoWriter(tmp_path / "out.mp4", 25, (31, 21), quality=5) as writer:
        writer.write(np.full((21, 31, 3), 200, np.uint8))
    pixels = next(read_frames(tmp_path / "out.mp4")).pixels
    assert pixels.shape == (22, 32, 3)
    assert pixels.min() > 190


def test_times_are_kept_when_given(tmp_path):
    times = [0, 0.1, 0.15, 0.9, 0.9, 2.5]
    with VideoWriter(tmp_path / "out.mp4", 10, (32, 32)) as writer:
        for time in times:
            writer.write(quadrants(32, 32), time)
    assert [frame.time for frame in read_frames(tmp_path / "out.mp4")] == pytest.approx(times, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "fps", "size", "says"),
    [
        ("out.avi", 25, (32, 32), "written as MP4"),
        ("out.mp4", 0, (32, 32), "frames a second"),
        ("out.mp4", float("nan"), (32, 32), "frames a second"),
        ("out.mp4", 25, (0, 32), "0 x 32"),
        ("out.mp4", 25, (32, 20000), "20000"),
        ("missing/out.mp4", 25, (32, 32), "does not exist"),
    ],
)
def test_what_cannot_be_written(tmp_path, name, fps, size, says):
    with pytest.raises(InputError, match=says), VideoWriter(tmp_path / name, fps, size):
        pytest.fail("must not be entered")


@pytest.mark.parametrize(
    "wrong", [np.zeros((64, 95, 3), np.uint8), np.zeros((64, 96, 3)), np.zeros((64, 96), np.uint8), None]
)
def test_frames_of_another_kind_are_refused(tmp_path, wrong):
    def write_two():
        with VideoWriter(tmp_path / "out.mp4", 25, (96, 64)) as writer:
            writer.write(quadrants(64, 96))
            writer.write(wrong)

    with pytest.raises(InputError, match="expected uint8"):
        write_two()
    assert list(tmp_path.iterdir()) == []


def test_a_video_without_frames_is_not_left_behind(tmp_path):
    with pytest.raises(InputError, match="without frames"), VideoWriter(tmp_path / "out.mp4", 25, (96, 64)):
        pass
    assert list(tmp_path.iterdir()) == []


class FullDisk:
    """Stands for the library's output container; writing, or else closing, finds the disk full."""

    def __init__(self, container, failing: str) -> None:
        self._container, self._failing = container, failing

    def __getattr__(self, name):
        if name == self._failing:
            self._failing = ""
            return self._fail
        return getattr(self._container, name)

    def _fail(self, *_args, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("failing", ["mux", "close", "add_stream"])
def test_full_disk_while_writing(tmp_path, monkeypatch, failing, clip):
    target = tmp_path / "out.mp4"
    target.write_bytes(b"an older result")
    opened = av.open
    monkeypatch.setattr(
        video_writer.av,
        "open",
        lambda file, mode="r", **options: (
            FullDisk(opened(file, mode, **options), failing) if mode == "w" else opened(file, mode, **options)
        ),
    )
    with pytest.raises(ResourceError, match=r"out\.mp4 could not be written: the disk is full"):
        transform_video(clip, target, lambda frame: frame.pixels)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert target.read_bytes() == b"an older result"


def test_a_file_that_lost_its_end_is_noticed(tmp_path, monkeypatch):
    def cut(self):
        self._part.write_bytes(self._part.read_bytes()[:200])
        verify(self)

    verify = VideoWriter._verify
    monkeypatch.setattr(VideoWriter, "_verify", cut)
    with (
        pytest.raises(ResourceError, match="could not be written completely"),
        VideoWriter(tmp_path / "out.mp4", 25, (96, 64)) as writer,
    ):
        writer.write(quadrants(64, 96))
    assert list(tmp_path.iterdir()) == []
