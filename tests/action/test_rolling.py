"""The rolling buffer of a camera: which frames a clip consists of, how much is kept, and threads."""

import threading

import numpy as np
import pytest

from cvdemo.action.rolling import GAP_SECONDS, RollingFrames


def capture(value, height=12, width=16):
    return np.full((height, width, 3), value, np.uint8)


def values(clip):
    return clip[0][:, 0, 0, 0].tolist()


def test_nothing_comes_out_before_a_clip_is_full():
    rolling = RollingFrames(4, 2.0)
    assert rolling.newest() is None
    assert rolling.filled() == 0.0
    for step in range(4):
        assert rolling.newest() is None
        rolling.push(capture(step), 0.5 * step)
    frames, times = rolling.newest()
    assert values((frames, times)) == [0, 1, 2, 3]
    assert times.tolist() == [0.0, 0.5, 1.0, 1.5]
    assert rolling.filled() == 1.0


@pytest.mark.parametrize("camera", [3.0, 7.5, 15.0, 30.0, 100.0])
def test_the_clip_has_the_models_own_rate_whatever_the_camera_has(camera):
    rolling = RollingFrames(8, 4.0)
    for step in range(round(5 * camera)):
        rolling.push(capture(step % 251), step / camera)
    frames, times = rolling.newest()
    last = (round(5 * camera) - 1) / camera
    wanted = last - np.arange(7, -1, -1) / 4.0
    assert len(frames) == 8
    assert times[-1] == pytest.approx(last), "the newest capture is the last frame"
    assert np.abs(times - wanted).max() <= 0.5 * max(1 / camera, 0.25) + 1e-9
    for value, time in zip(values((frames, times)), times):
        assert value == round(time * camera) % 251, "each frame is the one that was taken at its time"


def test_uneven_captures_give_the_nearest_ones():
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.uniform(0.02, 0.3, 60))
    rolling = RollingFrames(6, 2.0)
    for step, time in enumerate(times):
        rolling.push(capture(step), float(time))
    _, chosen = rolling.newest()
    wanted = times[-1] - np.arange(5, -1, -1) / 2.0
    best = np.array([np.abs(times - want).min() for want in wanted])
    # captures closer together than half an interval are thinned out, so the nearest kept one may be a little further
    assert (np.abs(chosen - wanted) <= best + 0.25 + 1e-9).all()
    assert (np.diff(chosen) >= 0).all()


@pytest.mark.parametrize("camera", [10.0, 60.0, 1000.0])
def test_memory_is_bounded(camera):
    rolling = RollingFrames(8, 4.0)
    for step in range(3000):
        rolling.push(capture(step % 256), step / camera)
        assert len(rolling) <= 2 * 8 + 4
    assert rolling.nbytes == len(rolling) * 12 * 16 * 3


def test_a_clock_that_stands_still_does_not_fill_the_memory():
    rolling = RollingFrames(4, 4.0)
    for step in range(500):
        rolling.push(capture(step % 256), 7.0)
    assert len(rolling) <= 4 * 4 + 2
    assert rolling.newest() is None


def test_large_captures_are_kept_small():
    rolling = RollingFrames(2, 1.0, most_side=64)
    source = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    rolling.push(source, 0.0)
    rolling.push(source, 1.0)
    frames, _ = rolling.newest()
    assert frames.shape == (2, 48, 64, 3)


def test_captures_are_copied():
    rolling = RollingFrames(1, 1.0)
    pixels = capture(5)
    rolling.push(pixels, 0.0)
    pixels[:] = 99
    assert values(rolling.newest()) == [5]


@pytest.mark.parametrize("pause", [GAP_SECONDS + 0.1, -0.5])
def test_a_pause_or_a_clock_that_goes_back_starts_anew(pause):
    rolling = RollingFrames(3, 2.0)
    for step in range(3):
        rolling.push(capture(step), 0.5 * step)
    rolling.push(capture(9), 1.0 + pause)
    assert len(rolling) == 1
    assert rolling.newest() is None


def test_another_size_starts_anew():
    rolling = RollingFrames(2, 2.0)
    rolling.push(capture(1), 0.0)
    rolling.push(capture(2, 20, 10), 0.5)
    assert rolling.newest() is None
    rolling.push(capture(3, 20, 10), 1.0)
    assert values(rolling.newest()) == [2, 3]


def test_another_model_asks_for_other_clips():
    rolling = RollingFrames(9, 4.0)
    for step in range(30):
        rolling.push(capture(step), step / 8)
    rolling.configure(3, 4.0)
    assert len(rolling.newest()[0]) == 3
    rolling.configure(16, 4.0)
    assert rolling.newest() is None, "the older captures are gone"
    with pytest.raises(ValueError, match="no clip"):
        rolling.configure(0, 4.0)
    with pytest.raises(ValueError, match="no clip"):
        RollingFrames(4, 0.0)


def test_clear_forgets_everything():
    rolling = RollingFrames(1, 1.0)
    rolling.push(capture(1), 0.0)
    rolling.clear()
    assert (rolling.newest(), rolling.nbytes, rolling.filled()) == (None, 0, 0.0)


def test_threads_push_and_read_together():
    rolling = RollingFrames(4, 50.0)
    wrong, stop = [], threading.Event()

    def read():
        while not stop.is_set():
            clip = rolling.newest()
            if clip is None:
                continue
            frames, times = clip
            if frames.shape != (4, 12, 16, 3) or (np.diff(times) < 0).any():
                wrong.append(times)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for step in range(400):
        rolling.push(capture(step % 256), step / 100)
        if step % 50 == 0:
            rolling.configure(4, 50.0)
    stop.set()
    for reader in readers:
        reader.join(5)
    assert wrong == []
