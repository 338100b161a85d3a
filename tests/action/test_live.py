"""Live sessions: captures never wait, the newest clip is analysed, visitors do not share anything."""

import threading
from time import sleep

import numpy as np
import pytest

from cvdemo.action import live
from cvdemo.action.live import KEPT_SECONDS, LiveAction
from cvdemo.core.errors import CvDemoError

PATIENCE = 20.0


def capture(value, height=8, width=8):
    return np.full((height, width, 3), value, np.uint8)


def last_value(frames, times, cancel):
    return int(frames[-1, 0, 0, 0])


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def feed(session, clock, values, recognise, key="model", frames=2, rate=10.0, step=0.1):
    for value in values:
        clock.now += step
        session.capture(capture(value), key, frames, rate, recognise)


def test_the_first_result_comes_when_the_clip_is_full():
    clock = Clock()
    session = LiveAction(clock)
    assert session.state().age is None
    feed(session, clock, [1], last_value)
    assert (session.state().newest, session.clip()) == (None, None)
    feed(session, clock, [2], last_value)
    assert session.wait(0, PATIENCE)
    state = session.state()
    assert state.newest.result == 2
    assert state.newest.frames[:, 0, 0, 0].tolist() == [1, 2]
    assert (state.age, state.analysed, state.passed) == (0.0, 1, 0)
    clock.now += 0.75
    assert session.state().age == pytest.approx(0.75)
    session.close()


def test_a_slow_network_never_holds_up_captures_and_then_sees_the_newest():
    gate, seen = threading.Semaphore(0), []

    def slow(frames, times, cancel):
        seen.append(int(frames[-1, 0, 0, 0]))
        assert gate.acquire(timeout=PATIENCE)
        return seen[-1]

    clock = Clock()
    session = LiveAction(clock)
    feed(session, clock, [0, 1], slow)
    while not seen:  # the network has begun with the first clip
        sleep(0.005)
    feed(session, clock, range(2, 52), slow)  # returns although the network is stuck
    state = session.state()
    assert state.newest is None
    assert state.passed == 49, "of fifty complete clips only the newest still waits"
    gate.release()
    gate.release()
    assert session.wait(1, PATIENCE)
    assert seen == [1, 51]
    assert session.state().analysed == 2
    session.close()
    gate.release()


def test_rates_and_history_are_of_the_last_seconds():
    clock = Clock()
    session = LiveAction(clock)
    for value in range(120):
        turn = session.state().turn
        feed(session, clock, [value % 200], last_value, rate=2.0, step=0.5)
        if value:
            assert session.wait(turn, PATIENCE)
    state = session.state()
    assert state.captures == pytest.approx(2.0)
    assert state.clips == pytest.approx(2.0)
    times = [time for time, _ in state.history]
    assert times == sorted(times)
    assert clock.now - times[0] <= KEPT_SECONDS
    assert len(times) == KEPT_SECONDS * 2 + 1
    session.close()


def test_another_model_starts_the_session_anew_and_keeps_the_camera():
    clock = Clock()
    session = LiveAction(clock)
    feed(session, clock, [1, 2, 3], last_value)
    assert session.wait(0, PATIENCE)
    feed(session, clock, [4], lambda frames, times, cancel: "other", key="other")
    assert session.wait(0, PATIENCE)
    state = session.state()
    assert [result for _, result in state.history] == ["other"] * len(state.history)
    session.close()


def test_what_the_old_model_says_late_is_thrown_away():
    gate = threading.Event()
    cancelled = []

    def late(frames, times, cancel):
        assert gate.wait(PATIENCE)
        cancelled.append(cancel.is_set())
        return "late"

    clock = Clock()
    session = LiveAction(clock)
    feed(session, clock, [1, 2], late)
    sleep(0.05)
    feed(session, clock, [3], last_value, key="other")
    gate.set()
    assert session.wait(0, PATIENCE)
    assert session.state().newest.result == 3
    assert cancelled in ([], [True])
    session.close()


def test_an_error_of_the_network_is_told_once_with_the_next_capture():
    calls = threading.Semaphore(0)

    def fails(frames, times, cancel):
        calls.release()
        raise CvDemoError("The file is missing.", hint="Get it.")

    clock = Clock()
    session = LiveAction(clock)
    feed(session, clock, [1, 2], fails)
    assert calls.acquire(timeout=PATIENCE)
    told = []
    for _ in range(400):
        try:
            feed(session, clock, [3], last_value, rate=10.0, step=0.0)
        except CvDemoError as error:
            told.append(str(error))
            break
        sleep(0.01)
    assert "missing" in "".join(told)
    feed(session, clock, [4], last_value)
    assert session.wait(0, PATIENCE)
    session.close()


def test_two_visitors_see_only_their_own_camera():
    ones, twos = live.live_of("one"), live.live_of("two")
    assert live.live_of("one") is ones
    assert ones is not twos
    for step in range(12):
        ones.capture(capture(10 + step), "model", 2, 100.0, last_value)
        twos.capture(capture(110 + step), "model", 2, 100.0, last_value)
        sleep(0.012)
    assert ones.wait(0, PATIENCE)
    assert twos.wait(0, PATIENCE)
    assert 10 <= ones.state().newest.result < 30
    assert 110 <= twos.state().newest.result < 130
    live.forget("one")
    assert (ones.clip(), ones.state().newest, ones.state().history) == (None, None, [])
    ones.capture(capture(5), "model", 2, 100.0, last_value)  # a late frame of somebody who left
    assert ones.clip() is None
    assert twos.state().newest is not None
    live.forget("two")
    live.forget("nobody")


def test_the_thread_ends_when_captures_stop(monkeypatch):
    monkeypatch.setattr(live, "IDLE_SECONDS", 0.05)
    clock = Clock()
    session = LiveAction(clock)
    feed(session, clock, [1, 2], last_value)
    assert session.wait(0, PATIENCE)
    for _ in range(400):
        if session._thread is None:
            break
        sleep(0.01)
    assert session._thread is None
    feed(session, clock, [3], last_value)
    assert session.wait(1, PATIENCE)
    assert session.state().newest.result == 3
    session.close()
