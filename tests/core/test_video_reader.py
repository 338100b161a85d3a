from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.video import VideoLimits, probe_video, read_frames
from tests.corpus import CorpusCase, build_corpus
from tests.corpus_makers import number_of, numbered_clip, quadrants, write_video


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> list[CorpusCase]:
    return build_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return numbered_clip(tmp_path_factory.mktemp("clip") / "clip.mp4")


def test_every_sound_video_decodes_to_its_first_frame(corpus):
    wrong = []
    for case in (case for case in corpus if case.kind == "video" and case.ok):
        with read_frames(case.path) as reader:
            frames = list(reader)
        noted = any(case.says in note for note in reader.notes) if case.says else not reader.notes
        times = [frame.time for frame in frames]
        if not (noted and case.matches(frames[0].pixels) and times[0] == 0 and times == sorted(set(times))):
            wrong.append((case.path.name, frames[0].pixels.shape, reader.notes, times[:5]))
        assert reader.damaged == ("damaged" in case.says)
        assert [frame.index for frame in frames] == list(range(len(frames)))
    assert wrong == []


def test_every_other_file_is_explained(corpus):
    wrong = []
    for case in (case for case in corpus if case.kind != "picture" and not case.ok):
        for function in (read_frames, probe_video):
            with pytest.raises(InputError) as caught:
                function(case.path)
            text = str(caught.value)
            if case.says not in text or case.path.stem[:20] not in text or not caught.value.hint:
                wrong.append((case.path.name, text))
    assert wrong == []


def test_pictures_are_sent_to_the_picture_input(corpus):
    for name in ("plain.png", "plain.jpg", "animated.webp"):
        path = next(case.path for case in corpus if case.path.name == name)
        with pytest.raises(InputError, match="is a picture"):
            read_frames(path)


def test_probe(clip):
    info = probe_video(clip)
    assert (info.width, info.height, info.fps, info.frames, info.codec) == (96, 64, 20.0, 40, "h264")
    assert info.duration == pytest.approx(2.0, abs=0.01)
    assert (info.rotation, info.notes, info.damaged) == (0, (), False)


@pytest.mark.parametrize(("angle", "clockwise"), [(90, 270), (180, 180), (270, 90)])
def test_rotation_is_applied_and_told(corpus, angle, clockwise):
    path = next(case.path for case in corpus if case.path.name == f"rotated_{angle}.mp4")
    info = probe_video(path)
    assert info.rotation == clockwise
    assert (info.width, info.height) == ((96, 64) if angle == 180 else (64, 96))


def test_anamorphic_pixels_become_square(tmp_path):
    with av.open(str(tmp_path / "wide.mp4"), "w") as output:
        stream = output.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 72, 64, "yuv420p"
        stream.sample_aspect_ratio = Fraction(4, 3)
        for _ in range(3):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(quadrants(64, 72), "rgb24")))
        output.mux(stream.encode(None))
    assert next(read_frames(tmp_path / "wide.mp4")).pixels.shape == (64, 96, 3)
    assert probe_video(tmp_path / "wide.mp4").width == 96


def test_variable_frame_rate_keeps_its_times(corpus):
    path = next(case.path for case in corpus if case.path.name == "variable_rate.mp4")
    assert [frame.time for frame in read_frames(path)] == pytest.approx([0, 0.1, 0.15, 0.9, 1.0, 2.5, 2.6], abs=1e-3)
    assert [frame.time for frame in read_frames(path, start=0.5, stop=2.55)] == pytest.approx([0.9, 1.0, 2.5], abs=1e-3)


@pytest.mark.parametrize("start", [0.0, 0.05, 0.5, 0.72, 1.0, 1.95])
@pytest.mark.parametrize("stop", [None, 1.5, 5.0])
def test_a_part_is_what_the_whole_has_there(clip, start, stop):
    if stop is not None and stop <= start:
        with pytest.raises(InputError, match="empty"):
            read_frames(clip, start=start, stop=stop)
        return
    expected = [i for i in range(40) if i / 20 >= start - 1e-6 and (stop is None or i / 20 < stop)]
    frames = list(read_frames(clip, start=start, stop=stop))
    assert [number_of(frame.pixels) for frame in frames] == expected
    assert [frame.time for frame in frames] == pytest.approx([i / 20 for i in expected], abs=1e-3)


@pytest.mark.parametrize(
    "name",
    ["plain.mp4", "odd_101x57.mkv", "vp9.webm", "motion_jpeg.avi", "transport.ts", "animation.gif", "late_index.mp4"],
)
def test_seeking_gives_the_same_pixels_in_every_container(corpus, name):
    path = next(case.path for case in corpus if case.path.name == name)
    whole = [frame for frame in read_frames(path) if frame.time >= 0.6 - 1e-6]
    part = list(read_frames(path, start=0.6))
    assert [frame.time for frame in part] == pytest.approx([frame.time for frame in whole], abs=2e-3)
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(part, whole, strict=True))
    assert len(part) == 4


def test_seeking_does_not_decode_what_lies_before(tmp_path):
    path = write_video(tmp_path / "long.mp4", frames=600, rate=30, gop=10)
    reader = read_frames(path, start=19.0)
    decoded = 0
    source = reader._decode

    def counted():
        nonlocal decoded
        for frame in source():
            decoded += 1
            yield frame

    reader._decode = counted
    assert len(list(reader)) == 30
    assert decoded <= 60


def test_stride_and_largest_side(clip):
    frames = list(read_frames(clip, stride=7, max_side=48))
    assert [frame.index for frame in frames] == [0, 7, 14, 21, 28, 35]
    assert [number_of(frame.pixels) for frame in frames] == [0, 7, 14, 21, 28, 35]
    assert {frame.pixels.shape for frame in frames} == {(32, 48, 3)}
    assert next(read_frames(clip, max_side=5000)).pixels.shape == (64, 96, 3)


def test_the_largest_side_holds_for_turned_videos(corpus):
    path = next(case.path for case in corpus if case.path.name == "rotated_90.mp4")
    assert next(read_frames(path, max_side=48)).pixels.shape == (48, 32, 3)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"start": -1}, "not a time"),
        ({"start": float("nan")}, "not a time"),
        ({"start": 2.5}, "lasts 2.0 s"),
        ({"stop": 0.0}, "empty"),
        ({"stop": float("nan")}, "empty"),
        ({"stride": 0}, "1 or more"),
        ({"max_side": 0}, "1 or more"),
        ({"limits": VideoLimits(max_seconds=1.5)}, "at most 1.5 s"),
        ({"limits": VideoLimits(max_frames=39)}, "about 40 frames"),
        ({"limits": VideoLimits(max_pixels=6000)}, "96 x 64"),
    ],
)
def test_parts_and_limits_that_are_refused(clip, options, says):
    with pytest.raises(InputError, match=says) as caught:
        read_frames(clip, **options)
    assert caught.value.hint


def test_limits_count_only_what_is_read(clip):
    limits = VideoLimits(max_seconds=0.5, max_frames=5)
    assert len(list(read_frames(clip, start=1.0, stop=1.5, stride=2, limits=limits))) == 5


def test_a_limit_the_file_did_not_declare_cuts_with_a_note(tmp_path):
    live = write_video(tmp_path / "live.webm", codec="libvpx-vp9", container="webm", frames=20, live="1")
    with read_frames(live, limits=VideoLimits(max_frames=8)) as reader:
        assert reader.info.duration is None
        assert len(list(reader)) == 8
    assert any("longest part" in note for note in reader.notes)
    assert not reader.damaged


def test_frames_belong_to_the_caller(clip):
    frames = list(read_frames(clip, stop=0.2))
    frames[0].pixels[:] = 7
    assert frames[0].pixels.flags.c_contiguous
    assert number_of(frames[1].pixels) == 1


def test_closing_ends_the_iteration(clip):
    reader = read_frames(clip)
    next(reader)
    reader.close()
    reader.close()
    assert list(reader) == []


def test_many_threads_read_one_file(clip):
    def sums(_):
        return [int(frame.pixels.sum()) for frame in read_frames(clip, start=0.5)]

    alone = sums(None)
    with ThreadPoolExecutor(8) as pool:
        assert all(result == alone for result in pool.map(sums, range(16)))
    assert len(alone) == 30


@pytest.mark.parametrize("seed", range(3))
def test_damaged_bytes_never_raise_anything_else(corpus, tmp_path, seed):
    rng = np.random.default_rng(seed)
    outcomes = []
    for case in (case for case in corpus if case.kind == "video" and case.ok):
        data = bytearray(case.path.read_bytes())
        for at in rng.integers(0, len(data), size=12):
            data[at] = rng.integers(256)
        path = tmp_path / case.path.name
        path.write_bytes(data)
        try:
            outcomes.append(len(list(read_frames(path, max_side=300))) > 0)
        except CvDemoError as error:
            outcomes.append(case.path.name in str(error))
    assert all(outcomes)
    assert len(outcomes) > 15
