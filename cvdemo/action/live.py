"""A camera that is watched live: captures never wait, and the network always looks at the newest clip.

Captures go into a rolling buffer at the camera's own pace. A thread of its own takes the newest clip, runs the network
on it, and takes the newest clip again; whatever was captured in the meantime is passed over, so the answer is never
older than one run, however slow the machine is. The thread ends by itself when captures stop.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

import numpy as np

from cvdemo.action.rolling import RollingFrames
from cvdemo.core.errors import CvDemoError

KEPT_SECONDS = 30.0
"""How far the timeline of a live session goes back."""
IDLE_SECONDS = 3.0
"""Without captures for so long, the thread ends; the next capture starts another one."""
LEAST_SECONDS = 0.2
"""Runs begin no closer together: actions last longer, and the processor is left to the captures and to others."""
RATE_SECONDS = 2.0
"""Rates are those of the last so many seconds."""
SLOW_MOST = 600
"""Most results that are kept for the timeline, however fast they come."""

Recognise = Callable[[np.ndarray, np.ndarray, threading.Event], Any]


@dataclass(frozen=True, eq=False)
class Seen:
    """What the network said of one clip. time: when its last frame was captured.   result: what ``recognise`` gave."""

    frames: np.ndarray
    times: np.ndarray
    result: Any
    milliseconds: float

    @property
    def time(self) -> float:
        """When the clip's last frame was captured."""
        return float(self.times[-1])


@dataclass(frozen=True, eq=False)
class LiveState:
    """A live session at one moment.

    history: (time, result) of the clips of the last ``KEPT_SECONDS``, oldest first.   age: seconds since the newest
    result's last frame was captured, None without one.   captures, clips: a second.   passed: captures that completed
    a clip and were passed over because the network was busy.   filled: of the first clip, 0 to 1.   turn: number of the
    newest result.
    """

    newest: Seen | None
    history: list[tuple[float, Any]]
    now: float
    age: float | None
    captures: float
    clips: float
    passed: int
    analysed: int
    filled: float
    span: float
    turn: int


class LiveAction:
    """One visitor's camera. ``recognise(frames, times, cancel)`` runs the network on (T, H, W, 3) uint8."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._condition = threading.Condition()
        self._rolling: RollingFrames | None = None
        self._recognise: Recognise | None = None
        self._key: Any = None
        self._thread: threading.Thread | None = None
        self._cancel = threading.Event()
        self._closed = False
        self._reset()

    def _reset(self) -> None:
        self._newest: Seen | None = None
        self._history: deque[tuple[float, Any]] = deque(maxlen=SLOW_MOST)
        self._fresh = False
        self._error: CvDemoError | None = None
        self._captured: deque[float] = deque(maxlen=400)
        self._finished: deque[float] = deque(maxlen=400)
        self._last_capture = 0.0
        self._passed = self._analysed = self._turn = 0
        self._began = float("-inf")

    def capture(self, pixels: np.ndarray, key: Any, frames: int, rate: float, recognise: Recognise) -> None:
        """Take a capture and return at once. key: another one (such as another model's name) starts the session anew.

        Raises the error that the network's last run ended with, once.
        """
        now = self._clock()
        with self._condition:
            if self._closed:
                return
            if self._rolling is None or key != self._key:
                self._cancel.set()
                self._cancel = threading.Event()
                if self._rolling is None:
                    self._rolling = RollingFrames(frames, rate)
                else:  # the camera's last seconds serve the next model as well
                    self._rolling.configure(frames, rate)
                self._reset()
            self._key, self._recognise = key, recognise
        self._rolling.push(pixels, now)
        ready = self._rolling.filled() == 1.0
        with self._condition:
            self._captured.append(now)
            self._last_capture = now
            if ready:
                self._passed += self._fresh
                self._fresh = True
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._work, name="live action", daemon=True)
                self._thread.start()
            self._condition.notify_all()
            error, self._error = self._error, None
        if error is not None:
            raise error

    def _rested(self) -> bool:
        return self._closed or self._clock() - self._began >= LEAST_SECONDS

    def _work(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(self._rested, LEAST_SECONDS)
                while not self._fresh and not self._closed:
                    if not self._condition.wait(IDLE_SECONDS) and not self._fresh:
                        self._thread = None
                        return
                if self._closed:
                    self._thread = None
                    return
                self._fresh = False
                key, recognise, cancel, rolling = self._key, self._recognise, self._cancel, self._rolling
            assert recognise is not None
            assert rolling is not None
            clip = rolling.newest()
            if clip is None:
                continue
            self._began = began = self._clock()
            try:
                result = recognise(*clip, cancel)
            except CvDemoError as error:
                with self._condition:
                    if key == self._key and not cancel.is_set():
                        self._error = error
                continue
            except Exception:
                with self._condition:
                    self._thread = None  # the next capture starts another one; the traceback goes to the log
                raise
            self._keep(key, Seen(*clip, result, (self._clock() - began) * 1e3))

    def _keep(self, key: Any, seen: Seen) -> None:
        with self._condition:
            if key != self._key or self._closed:  # another model was chosen meanwhile
                return
            self._newest = seen
            self._turn += 1
            self._analysed += 1
            self._history.append((seen.time, seen.result))
            while seen.time - self._history[0][0] > KEPT_SECONDS:
                self._history.popleft()
            self._finished.append(self._clock())
            self._condition.notify_all()

    def state(self) -> LiveState:
        """How things stand now."""
        now = self._clock()
        with self._condition:
            rolling, newest = self._rolling, self._newest
            return LiveState(
                newest=newest,
                history=[entry for entry in self._history if now - entry[0] <= KEPT_SECONDS],
                now=now,
                age=None if newest is None else now - newest.time,
                captures=_rate(self._captured, now),
                clips=_rate(self._finished, now),
                passed=self._passed,
                analysed=self._analysed,
                filled=0.0 if rolling is None else rolling.filled(),
                span=0.0 if rolling is None else rolling.span,
                turn=self._turn,
            )

    def clip(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The newest clip of the camera, as the network would be given it now; None before it is full."""
        return None if self._rolling is None else self._rolling.newest()

    def wait(self, turn: int, timeout: float) -> bool:
        """Wait until there are more than ``turn`` results."""
        with self._condition:
            return self._condition.wait_for(lambda: self._turn > turn or self._closed, timeout)

    def close(self) -> None:
        """Forget everything and end the thread: the visitor has left."""
        with self._condition:
            self._closed = True
            self._cancel.set()
            self._reset()
            if self._rolling is not None:
                self._rolling.clear()
            self._recognise = None
            self._condition.notify_all()


def _rate(times: deque[float], now: float) -> float:
    """Events a second over the last ``RATE_SECONDS``."""
    recent = [time for time in times if now - time <= RATE_SECONDS]
    if len(recent) < 2:
        return 0.0
    return (len(recent) - 1) / max(recent[-1] - recent[0], 1e-6)


_live: dict[str, LiveAction] = {}
_lock = threading.Lock()


def live_of(session: str) -> LiveAction:
    """The camera of one session."""
    with _lock:
        return _live.setdefault(session, LiveAction())


def forget(session: str) -> None:
    """End a session's camera and wipe what it saw."""
    with _lock:
        gone = _live.pop(session, None)
    if gone is not None:
        gone.close()
