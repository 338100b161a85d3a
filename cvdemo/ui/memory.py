"""What a visitor's session has computed and decoded, so that nothing is made twice or outlasts the page."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.core.media import Picture, read_picture
from cvdemo.ui.sessions import files

T = TypeVar("T")


class Memory:
    """What one session has computed, by picture fingerprint, model and the rest of the question; oldest goes first.

    Nothing that is still here is computed again. ``budget``: bytes of arrays that are kept. For any thread.
    """

    def __init__(self, budget: int = 256_000_000) -> None:
        self.budget = budget
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._making: dict[Hashable, tuple[threading.Lock, int]] = {}  # with the number of callers who hold or want it
        self._lock = threading.Lock()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._kept

    def get(self, key: Hashable) -> Any:
        """What was kept under the key, None when there is nothing."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key]

    def put(self, key: Hashable, value: T) -> T:
        """Keep a value, at the cost of what was not asked for the longest, and return it."""
        with self._lock:
            self._kept[key] = value
            self._kept.move_to_end(key)
            used = sum(array_bytes(kept) for kept in self._kept.values())
            while used > self.budget and len(self._kept) > 1:
                used -= array_bytes(self._kept.popitem(last=False)[1])
            return value

    def recall(self, key: Hashable, make: Callable[[], T]) -> T:
        """What was kept under the key, else what ``make`` returns, kept from now on.

        Two events of a page may ask for the same at once, its picture and its settings when it opens: the second
        waits for what the first makes. ``make`` must not recall the same key.
        """
        known = self.get(key)
        if known is not None:
            return cast(T, known)
        with self._alone(key):
            known = self.get(key)
            return self.put(key, make()) if known is None else cast(T, known)

    @contextmanager
    def _alone(self, key: Hashable) -> Iterator[None]:
        """Nobody else is in here for the same key."""
        with self._lock:
            lock, callers = self._making.get(key, (threading.Lock(), 0))
            self._making[key] = (lock, callers + 1)
        try:
            with lock:
                yield
        finally:
            with self._lock:
                _, callers = self._making.pop(key)
                if callers > 1:
                    self._making[key] = (lock, callers - 1)


def array_bytes(value: Any) -> int:
    """Bytes of the arrays in a value: an array, a dataclass, or a list, tuple or dict of such."""
    if isinstance(value, np.ndarray):
        return int(value.nbytes)
    if is_dataclass(value):
        return sum(array_bytes(getattr(value, part.name)) for part in fields(value))
    if isinstance(value, dict):
        return sum(array_bytes(part) for part in value.values())
    if isinstance(value, (list, tuple)):
        # Class names and numbers come by the thousand and hold no arrays.
        return sum(array_bytes(part) for part in value if not isinstance(part, (str, int, float)))
    return 0


_memories: dict[str, Memory] = {}
_lock = threading.Lock()


def memory_of(session: str) -> Memory:
    """The memory of one session. Not a ``gr.State``, which outlives a closed page by an hour."""
    with _lock:
        return _memories.setdefault(session, Memory())


def forget(session: str) -> None:
    """Drop what a session has computed."""
    with _lock:
        _memories.pop(session, None)


def picture_of(session: str, path: str | None) -> Picture:
    """The chosen file, decoded once per session; errors as in ``read_picture``."""
    if not path:  # removed while its turn was coming
        raise InputError("There is no picture.", hint="Choose one on the left.")
    source = files.claim(session, path)
    stamp = source.stat().st_mtime_ns if source.is_file() else 0
    return memory_of(session).recall(
        ("picture", str(source), stamp), lambda: read_picture(source, name=Path(path).name)
    )
