"""Run something slow while the page shows how far it is and can stop it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import gradio as gr

from cvdemo.core.errors import Cancelled
from cvdemo.ui.sessions import session_of

T = TypeVar("T")


@dataclass(frozen=True)
class Stop:
    """How running work is stopped by its visitor's button: whose and which work it is, and what to say afterwards."""

    user: str
    what: str
    words: str = "Press the button to start over."


_lock = threading.Lock()
_running: dict[tuple[str, str], list[threading.Event]] = {}


def stopping(what: str) -> Callable[[gr.Request], None]:
    """The handler of a Stop button. It has no outputs: the stopped work's own generator has the last word.

    Gradio's ``cancels`` would let the button write "Stopped", which progress still under way then overwrites for good.
    """

    def stop(request: gr.Request) -> None:
        with _lock:
            for event in _running.get((session_of(request), what), ()):
                event.set()

    return stop


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
    work: Callable[[Callable[[float, str], None], threading.Event], T], every: float = 0.2, stop: Stop | None = None
) -> Iterator[Progress | Done[T]]:
    """Run ``work(progress, cancel)`` in a thread; yield at most one ``Progress`` per ``every`` seconds, then ``Done``.

    An exception of the work is raised here. When the caller stops iterating (Gradio closes the generator of a visitor
    who left), or Cancelled is raised here because ``stopping(stop.what)`` was called for ``stop.user``, ``cancel`` is
    set and the work is expected to end by itself soon.
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

    key = (stop.user, stop.what) if stop is not None else None
    stopped = threading.Event()
    if key is not None:
        with _lock:
            _running.setdefault(key, []).append(stopped)
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
                    stopped.wait(every)  # collect what comes in the meantime: the page need not see every frame
            if kind == "done":
                yield Done(value)
                return
            if kind == "error":
                raise value
            if stop is not None and stopped.is_set():
                raise Cancelled(hint=stop.words)
            if latest is not None:
                yield latest
                latest = None
    finally:
        cancel.set()
        if key is not None:
            with _lock:
                _running[key].remove(stopped)
                if not _running[key]:
                    del _running[key]
