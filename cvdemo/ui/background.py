"""Run something slow while the page shows how far it is and can stop it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """How far a running piece of work is: a share in [0, 1] and a few words."""

    fraction: float
    text: str


@dataclass(frozen=True)
class Done(Generic[T]):
    """The result of the work; always the last thing ``follow`` yields."""

    value: T


def follow(
    work: Callable[[Callable[[float, str], None], threading.Event], T], every: float = 0.2
) -> Iterator[Progress | Done[T]]:
    """Run ``work(progress, cancel)`` in a thread; yield at most one ``Progress`` per ``every`` seconds, then ``Done``.

    An exception of the work is raised here. When the caller stops iterating (Gradio closes the generator of a
    cancelled event), ``cancel`` is set and the work is expected to end by itself soon.
    """
    events: queue.Queue[tuple[str, Any]] = queue.Queue()
    cancel = threading.Event()

    def progress(fraction: float, text: str = "") -> None:
        events.put(("progress", Progress(fraction, text)))

    def run() -> None:
        try:
            events.put(("done", work(progress, cancel)))
        except BaseException as error:  # handed over to the thread that waits below
            events.put(("error", error))

    threading.Thread(target=run, daemon=True).start()
    try:
        latest: Progress | None = None
        while True:
            try:
                kind, value = events.get(timeout=every)
            except queue.Empty:
                kind, value = "idle", None
            while kind == "progress":
                latest = value
                try:
                    kind, value = events.get_nowait()
                except queue.Empty:
                    kind = "idle"
                    cancel.wait(every)  # collect what comes in the meantime: the page need not see every frame
            if kind == "done":
                yield Done(value)
                return
            if kind == "error":
                raise value
            if latest is not None:
                yield latest
                latest = None
    finally:
        cancel.set()
