"""What is kept of one visitor of the loss playground: points that were moved, the anchor, the network in training."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from time import sleep

import numpy as np

from cvdemo.core.context import ProgressFn
from cvdemo.core.errors import Cancelled
from cvdemo.faces.mining import Batch, MiningSettings, drawn_batch
from cvdemo.faces.tiny import TinyRun, TinySettings

MOST_ROOMS = 256
BREATH = 0.01  # seconds between two steps: training is to be watched, and must leave the page time to draw it


@dataclass(eq=False)
class LossRoom:
    """In memory only, until ``forget``.

    drawn: which batch the moved points belong to.   anchor: row of the batch whose triplets are shown.   tiny: the
    network; asked: what it is trained with from its next step on.
    """

    drawn: tuple[float, int] | None = None
    points: np.ndarray | None = None
    anchor: int | None = 0
    tiny: TinyRun | None = None
    asked: TinySettings = field(default_factory=TinySettings)
    seed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def batch(self, settings: MiningSettings) -> Batch:
        """The drawn batch, its points where the visitor put them; another draw or spread starts afresh."""
        with self.lock:
            fresh = drawn_batch(settings)
            key = (settings.spread, settings.draw)
            if self.drawn != key or self.points is None:
                self.drawn, self.points = key, fresh.vectors.copy()
            places = self.points.copy()
        return Batch(places, fresh.labels, fresh.names, places)

    def move(self, row: int, place: np.ndarray) -> None:
        """Put a point of the drawn batch elsewhere."""
        with self.lock:
            if self.points is not None and 0 <= row < len(self.points):
                self.points[row] = place

    def run(self, settings: TinySettings, *, fresh: bool = False) -> TinyRun:
        """The network in training; a new one for another loss, or when a ``fresh`` one is asked for."""
        with self.lock:
            self.asked = settings
            if fresh:
                self.seed += 1
            if self.tiny is None or fresh or self.tiny.loss != settings.tiny_loss:
                self.tiny = TinyRun(settings.tiny_loss, self.seed)
            return self.tiny

    def train(self, steps: int, progress: ProgressFn | None = None, cancel: threading.Event | None = None) -> None:
        """``steps`` more steps of the network, with what is asked for at each of them; Cancelled."""
        for number in range(steps):
            if cancel is not None and cancel.is_set():
                raise Cancelled("Stopped.")
            self.run(self.asked).step(self.asked)
            sleep(BREATH)
            if progress is not None:
                progress((number + 1) / steps, f"Step {number + 1}")


_rooms: OrderedDict[str, LossRoom] = OrderedDict()
_lock = threading.Lock()


def room_of(session: str) -> LossRoom:
    """The room of a session, made on first use. Of more than 256 the one idle for longest is dropped.

    Calls without a session share nothing: each gets one of its own that nobody keeps.
    """
    if not session:
        return LossRoom()
    with _lock:
        room = _rooms.setdefault(session, LossRoom())
        _rooms.move_to_end(session)
        while len(_rooms) > MOST_ROOMS:
            _rooms.popitem(last=False)
        return room


def forget(session: str) -> None:
    """Drop everything kept of a session."""
    with _lock:
        _rooms.pop(session, None)
