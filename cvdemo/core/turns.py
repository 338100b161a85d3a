"""Fair turns: who of the waiting users may run which model next.

A turn is a right to run one model. Each model is in one turn at a time (networks are not thread-safe), and at most
``at_once`` turns are out together. Free turns are dealt round-robin over the users, so that a user with many
requests in the queue delays another one by a single run. Within one user the order of arrival holds, except that a
request for a busy model does not hold up a later one for a free model.
"""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager

from cvdemo.core.errors import Cancelled, ResourceError

_CANCEL_POLL_S = 0.05


class _Ticket:
    __slots__ = ("decided", "error", "model")

    def __init__(self, model: str) -> None:
        self.model = model
        self.decided = threading.Event()
        self.error: BaseException | None = None


class Turns:
    """The queue. ``at_once``: turns out together (at least 1); ``max_waiting``: requests that may queue."""

    def __init__(self, at_once: int, max_waiting: int = 256) -> None:
        self._at_once = max(1, at_once)
        self._max_waiting = max_waiting
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        self._queues: OrderedDict[str, deque[_Ticket]] = OrderedDict()
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """Requests in the queue now."""
        return self._waiting

    @contextmanager
    def turn(self, user: str, model: str, cancel: threading.Event | None = None) -> Iterator[None]:
        """Wait for a turn with ``model`` and hold it inside the ``with`` block.

        Raises Cancelled when ``cancel`` is set while waiting, ResourceError when the queue is full, and whatever
        ``fail_waiting`` was given meanwhile.
        """
        ticket = self._enter(user, model)
        if ticket is not None:
            self._wait(user, ticket, cancel)
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(model)
                self._deal()

    def fail_waiting(self, model: str, error: BaseException) -> None:
        """Raise a copy of ``error`` in every request now waiting for ``model``."""
        with self._lock:
            for user in list(self._queues):
                for ticket in [ticket for ticket in self._queues[user] if ticket.model == model]:
                    # Each thread raises its own instance: a shared one would mix their tracebacks.
                    ticket.error = twin_error(error)
                    self._remove(user, ticket)
                    ticket.decided.set()

    def _enter(self, user: str, model: str) -> _Ticket | None:
        """None when the turn is given at once, else the ticket to wait with."""
        with self._lock:
            # A free model at this point has no waiting ticket unless all turns are out, so nobody is overtaken.
            if model not in self._busy and len(self._busy) < self._at_once:
                self._busy.add(model)
                return None
            if self._waiting >= self._max_waiting:
                raise ResourceError(
                    f"Too many requests are waiting ({self._waiting}).", hint="Try again in a few seconds."
                )
            ticket = _Ticket(model)
            self._queues.setdefault(user, deque()).append(ticket)
            self._waiting += 1
            return ticket

    def _wait(self, user: str, ticket: _Ticket, cancel: threading.Event | None) -> None:
        try:
            if cancel is None:
                ticket.decided.wait()
            else:
                while not ticket.decided.wait(_CANCEL_POLL_S):
                    if cancel.is_set():
                        raise Cancelled
        except BaseException:
            self._withdraw(user, ticket)
            raise
        if ticket.error is not None:
            raise ticket.error

    def _withdraw(self, user: str, ticket: _Ticket) -> None:
        with self._lock:
            if not ticket.decided.is_set():
                self._remove(user, ticket)
            elif ticket.error is None:  # the turn came in the same moment: pass it on
                self._busy.discard(ticket.model)
                self._deal()

    def _remove(self, user: str, ticket: _Ticket) -> None:
        queue = self._queues[user]
        queue.remove(ticket)
        self._waiting -= 1
        if not queue:
            del self._queues[user]

    def _deal(self) -> None:
        """Give out free turns; the caller holds the lock. The user served goes to the end of the round."""
        while len(self._busy) < self._at_once:
            runnable = (
                (user, ticket)
                for user, queue in self._queues.items()
                for ticket in queue
                if ticket.model not in self._busy
            )
            user, ticket = next(runnable, ("", None))
            if ticket is None:
                return
            self._busy.add(ticket.model)
            self._remove(user, ticket)
            if user in self._queues:
                self._queues.move_to_end(user)
            ticket.decided.set()


def twin_error(error: BaseException) -> BaseException:
    """A copy of an exception for another thread to raise; the same one when it cannot be copied."""
    try:
        twin = copy.copy(error)
    except Exception:  # an exception class with a required argument that its args lack
        return error
    return twin if type(twin) is type(error) else error
