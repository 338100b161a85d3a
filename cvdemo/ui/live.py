"""Live sessions: how long one may last, and how many pictures a second it gets, over its last two seconds."""

from __future__ import annotations

import threading
from collections import deque
from time import monotonic

WINDOW = 2.0
TIME_LIMIT = 1800  # seconds after which a stream ends by itself: longer than a demonstration, but a forgotten one ends

_times: dict[str, deque[float]] = {}
_lock = threading.Lock()


def rate(session: str) -> float:
    """Note one finished picture of a session and return its pictures per second over the last ``WINDOW`` seconds."""
    now = monotonic()
    with _lock:
        times = _times.setdefault(session, deque(maxlen=240))
        times.append(now)
        while now - times[0] > WINDOW:
            times.popleft()
        span = now - times[0]
        return (len(times) - 1) / span if span > 0 else 0.0


def forget(session: str) -> None:
    """Drop what is kept of a session."""
    with _lock:
        _times.pop(session, None)
