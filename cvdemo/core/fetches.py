"""One download per weights file, however many callers ask for it at the same moment."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from cvdemo.core import weights
from cvdemo.core.context import ProgressFn
from cvdemo.core.errors import Cancelled
from cvdemo.core.turns import twin_error
from cvdemo.core.weights import WeightsFile

_POLL_S = 0.05


@dataclass(eq=False)
class _Fetch:
    done: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None
    progress: tuple[int, int] = (0, 0)


class Fetches:
    """The downloads going on. The first caller fetches; the others wait, see its progress and share its failure."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._going_on: dict[str, _Fetch] = {}

    def ensure(self, file: WeightsFile, cancel: threading.Event | None, progress: ProgressFn | None) -> None:
        """Have the verified file on this machine; errors as in `weights.ensure`. A later call tries again."""
        while True:
            with self._lock:
                fetch = self._going_on.get(file.filename)
                if fetch is None:
                    mine = self._going_on[file.filename] = _Fetch()
                    break
            while not fetch.done.wait(_POLL_S):
                if cancel is not None and cancel.is_set():
                    raise Cancelled
                _report(progress, file.filename, *fetch.progress)
            if fetch.error is None:
                return
            if isinstance(fetch.error, Exception) and not isinstance(fetch.error, Cancelled):
                raise twin_error(fetch.error)
            # Whoever fetched gave up: one of us takes over.

        def note(done: int, total: int) -> None:
            mine.progress = (done, total)
            _report(progress, file.filename, done, total)

        try:
            weights.ensure(file, progress=note, cancel=cancel)
        except BaseException as error:
            mine.error = error
            raise
        finally:
            with self._lock:
                del self._going_on[file.filename]
            mine.done.set()


def _report(progress: ProgressFn | None, filename: str, done: int, total: int) -> None:
    if progress is not None and done:
        of = f" of {total / 1e6:.0f}" if total else ""
        progress(done / total if total else 0.0, f"Downloading {filename}: {done / 1e6:.0f}{of} MB")
