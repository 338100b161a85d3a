"""Frames a second of a live session, on a clock the test turns."""

import pytest

from cvdemo.ui import live


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(live, "monotonic", lambda: now[0])
    monkeypatch.setattr(live, "_times", {})
    return now


def test_a_steady_stream_has_its_own_rate(clock):
    assert live.rate("a") == 0.0, "one picture has no rate yet"
    for _ in range(60):
        clock[0] += 0.1
        measured = live.rate("a")
    assert measured == pytest.approx(10)


def test_only_the_last_seconds_count(clock):
    for _ in range(50):
        clock[0] += 0.05
        live.rate("a")
    clock[0] += 10
    assert live.rate("a") == 0.0
    clock[0] += 0.5
    assert live.rate("a") == pytest.approx(2)


def test_sessions_do_not_mix_and_are_forgotten(clock):
    live.rate("a")
    clock[0] += 0.25
    assert live.rate("b") == 0.0
    assert live.rate("a") == pytest.approx(4)
    live.forget("a")
    live.forget("never seen")
    clock[0] += 0.25
    assert live.rate("a") == 0.0
    assert live.rate("b") == pytest.approx(4)
