"""Flow in front of the camera: each visitor's previous capture is remembered, and the newest is held against it."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from time import monotonic

import numpy as np

from cvdemo.core import registry
from cvdemo.core.lazy import cv2
from cvdemo.core.media import Picture
from cvdemo.flow.colour import robust_maximum
from cvdemo.flow.predict import decode, infer
from cvdemo.flow.tab_shared import Look, Pair
from cvdemo.flow.variational import AUTO

SIDE = 384  # captures are shrunk to this: what is lost in detail is won in pictures a second
AWAY_SECONDS = 2.0
"""A capture older than this is no frame of the same movement."""
FAST = "dis-fast"
MOST_REFINEMENTS = 6
_RECENT = 24


@dataclass(eq=False)
class Watch:
    """What is remembered of one visitor's camera. Hold ``lock`` while using it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    previous: np.ndarray | None = None
    seen: float = 0.0
    maxima: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))

    def exchange(self, pixels: np.ndarray) -> np.ndarray | None:
        """Remember a capture; returns the one before it, None where there is none of the same size and movement."""
        with self.lock:
            now = monotonic()
            before = self.previous if now - self.seen <= AWAY_SECONDS else None
            self.previous, self.seen = pixels, now
            return before if before is not None and before.shape == pixels.shape else None

    def steady(self, flow: np.ndarray) -> float:
        """The maximum of the colour code: the largest of the last ones, so that colours do not flash."""
        with self.lock:
            self.maxima.append(robust_maximum(flow))
            return max(self.maxima)


_watches: dict[str, Watch] = {}
_lock = threading.Lock()


def watch_of(session: str) -> Watch:
    """What is remembered of a session's camera."""
    with _lock:
        return _watches.setdefault(session, Watch())


def forget(session: str) -> None:
    """Drop it."""
    with _lock:
        _watches.pop(session, None)


def small(pixels: np.ndarray) -> np.ndarray:
    """A capture in the size that is looked at."""
    scale = SIDE / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    size = (max(8, round(pixels.shape[1] * scale)), max(8, round(pixels.shape[0] * scale)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def live_model(model: str) -> str:
    """The chosen method where it is fast enough to follow a camera, else a fast classical one."""
    return FAST if registry.get(model).tier == "full" else model


def look(
    session: str, picture: Picture, model: str, iterations: int, variational: str = AUTO
) -> tuple[Look, float] | None:
    """What the newest capture says when it is held against the one before, and the maximum of its colours.

    None for the first capture. Errors as in ``infer``.
    """
    watch = watch_of(session)
    newest = small(picture.pixels)
    before = watch.exchange(newest)
    if before is None:
        return None
    inference = infer(
        before, newest, live_model(model), iterations=min(iterations, MOST_REFINEMENTS), variational=variational,
        user=session,
    )  # fmt: skip
    pair = Pair(before, newest, "webcam", (before.shape[0], before.shape[1]), ("live", "live"))
    return Look(pair, inference), watch.steady(decode(inference).flow)
