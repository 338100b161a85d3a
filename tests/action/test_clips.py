"""Which frames a model sees: by time, with short, varying and odd videos, and the variants that spoil the motion."""

import numpy as np
import pytest

from cvdemo.action import clips
from cvdemo.action.clips import Clip, ClipSpec, pick_from_stream, sample_clip, windows
from cvdemo.core.errors import InputError
from tests.action.helpers import coloured, write


def numbered(count, height=6, width=8):
    """Frames whose pixels are their index."""
    return np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, height, width, 3)).copy()


def indices(clip):
    return clip.frames[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("seed", range(20))
def test_nearest_frames_against_brute_force(seed):
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(0, 30, rng.integers(1, 15)) / 10.0)
    wanted = rng.uniform(-1, 4, 9)
    rows = clips.nearest_frames(times, wanted)
    distances = np.abs(times[None] - wanted[:, None])
    np.testing.assert_allclose(distances[np.arange(9), rows], distances.min(axis=1))


def test_frames_are_picked_by_time_not_by_count():
    times = np.array([0.0, 0.1, 0.2, 0.9, 1.0, 1.9, 2.0, 3.0])  # a variable frame rate
    clip = sample_clip(numbered(8), times, 0.0, ClipSpec(4, 1.0, 16))
    assert indices(clip) == [0, 4, 6, 7]
    np.testing.assert_array_equal(clip.times, [0.0, 1.0, 2.0, 3.0])
    assert clip.note == ""
    assert clip.repeated == 0


def test_a_short_video_repeats_its_last_frame_and_says_so():
    clip = sample_clip(numbered(3), [0.0, 0.25, 0.5], 0.0, ClipSpec(8, 4.0, 16))
    assert indices(clip) == [0, 1, 2, 2, 2, 2, 2, 2]
    assert clip.repeated == 5
    assert "repeated 5 times after 3 frames" in clip.note


@pytest.mark.parametrize("shape", [(1, 1), (7, 1), (1, 9), (13, 5)])
def test_one_frame_of_an_odd_size(shape):
    clip = sample_clip(np.zeros((1, *shape, 3), np.uint8), [0.0], 0.0, ClipSpec(4, 4.0, 16))
    assert clip.frames.shape == (4, *shape, 3)
    assert clip.repeated == 3
    assert "after 1 frame" in clip.note


def test_a_start_within_the_video_and_behind_it():
    frames, times = numbered(20), np.arange(20) / 10
    assert indices(sample_clip(frames, times, 1.0, ClipSpec(4, 5.0, 16))) == [10, 12, 14, 16]
    with pytest.raises(InputError, match=r"ends at 1\.9 s"):
        sample_clip(frames, times, 9.0, ClipSpec(4, 5.0, 16))


@pytest.mark.parametrize(("frames", "times"), [(numbered(3), None), (numbered(3), [0.0]), ([], [])])
def test_frames_without_times_are_refused(frames, times):
    with pytest.raises(InputError, match="time"):
        sample_clip(frames, times, 0.0, ClipSpec(4, 4.0, 16))


def test_a_file_gives_the_same_as_its_frames(red_then_blue):
    clip = sample_clip(red_then_blue, start=1.0, spec=ClipSpec(8, 4.0, 16))
    assert clip.source == "red-then-blue.mp4"
    assert clip.frames.shape == (8, 48, 64, 3)
    np.testing.assert_allclose(clip.times, 1.0 + np.arange(8) / 4, atol=0.051)
    reds = clip.frames[..., 0].mean(axis=(1, 2)) > 120
    assert reds.tolist() == [True] * 4 + [False] * 4


def test_a_file_that_ends_early_is_noted(tmp_path):
    path = tmp_path / "short.mp4"
    write(path, coloured((0, 200, 0), 5), 10)
    clip = sample_clip(path, spec=ClipSpec(16, 8.0, 16))
    assert len(clip) == 16
    assert clip.repeated > 8
    assert "shorter" in clip.note


def test_bad_files_are_refused(tmp_path):
    with pytest.raises(InputError):
        sample_clip(tmp_path / "missing.mp4", spec=ClipSpec(4, 4.0, 16))
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(InputError):
        sample_clip(tmp_path / "text.mp4", spec=ClipSpec(4, 4.0, 16))


def test_windows_cover_the_video():
    spec = ClipSpec(16, 8.0, 112)  # two seconds
    np.testing.assert_allclose(windows(5.0, spec), [0, 1, 2, 3])
    np.testing.assert_allclose(windows(5.5, spec), [0, 1, 2, 3, 3.5])
    np.testing.assert_allclose(windows(0.3, spec), [0])
    np.testing.assert_allclose(windows(7.0, spec, 2.5), [0, 2.5, 5.0])
    with pytest.raises(InputError):
        windows(5.0, spec, 0.0)


@pytest.mark.parametrize("seed", range(10))
def test_a_stream_gives_what_picking_from_all_frames_gives(seed):
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.01, 0.3, 60))
    frames = numbered(60)
    spec = ClipSpec(5, float(rng.uniform(2, 9)), 16)
    starts = windows(float(times[-1]), spec, float(rng.uniform(0.1, 2)))
    streamed = list(pick_from_stream(zip(times.tolist(), frames), starts.tolist(), spec))
    assert len(streamed) == len(starts)
    for start, clip in zip(starts, streamed):
        assert indices(clip) == indices(sample_clip(frames, times, float(start), spec))


def test_windows_behind_a_damaged_end_are_left_out():
    spec = ClipSpec(4, 4.0, 16)
    pairs = list(zip((np.arange(10) / 10).tolist(), numbered(10)))
    assert len(list(pick_from_stream(pairs, [0.0, 0.5, 5.0, 9.0], spec))) == 2
    with pytest.raises(InputError, match="no frame"):
        list(pick_from_stream([], [0.0], spec))


def test_the_stream_is_not_read_further_than_needed():
    read = []

    def frames():
        for index in range(1000):
            read.append(index)
            yield index / 10, numbered(1)[0]

    assert len(list(pick_from_stream(frames(), [0.0, 0.5], ClipSpec(4, 4.0, 16)))) == 2
    assert len(read) < 20


@pytest.fixture
def clip():
    return Clip(numbered(8), np.arange(8) / 8, "numbered")


def test_variants_keep_the_frames(clip):
    mixed = clips.shuffled(clip, 3)
    assert sorted(indices(mixed)) == list(range(8))
    assert indices(mixed) != list(range(8))
    assert indices(clips.shuffled(clip, 3)) == indices(mixed)
    assert indices(clips.reversed_(clip)) == list(range(7, -1, -1))
    assert indices(clips.frozen(clip)) == [4] * 8
    assert indices(clips.frozen(clip, 0)) == [0] * 8
    assert indices(clips.strided(clip, 2)) == [0, 0, 2, 2, 4, 4, 6, 6]
    assert indices(clips.strided(clip, 1)) == list(range(8))
    assert indices(clip) == list(range(8))
    for variant in (mixed, clips.reversed_(clip), clips.frozen(clip), clips.strided(clip, 3)):
        np.testing.assert_array_equal(variant.times * 8, indices(variant))


@pytest.mark.parametrize("seed", range(30))
def test_shuffling_never_gives_the_given_order(seed):
    two = Clip(numbered(2), np.arange(2.0))
    assert indices(clips.shuffled(two, seed)) == [1, 0]


def test_impossible_variants_are_refused(clip):
    with pytest.raises(InputError):
        clips.strided(clip, 0)
    with pytest.raises(IndexError):
        clips.frozen(clip, 8)
    with pytest.raises(ValueError, match="wants"):
        ClipSpec(0, 1.0, 1)
    with pytest.raises(ValueError, match="a clip is"):
        Clip(np.zeros((0, 4, 4, 3), np.uint8), np.zeros(0))


def test_a_faster_spec_sees_a_longer_stretch():
    spec = ClipSpec(8, 4.0, 16)
    assert spec.span == 2.0
    assert spec.strided(2).span == 4.0
    assert spec.strided(2).frames == 8
