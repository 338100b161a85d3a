"""The models in memory: least recently used ones leave when a budget is exceeded, those in use stay.

Sizes are bytes of parameters and buffers. Before a model is loaded its place is reserved, so that two models loading
at the same moment cannot both count on the same free memory.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from torch import nn

from cvdemo.core.device import Precision
from cvdemo.core.errors import Cancelled
from cvdemo.core.registry import ModelSpec

_CANCEL_POLL_S = 0.05


@dataclass(eq=False)
class Resident:
    """A loaded model. ``module`` is what ``spec.run`` gets: the network, or the callable made by tracing it."""

    spec: ModelSpec
    module: Any
    precision: Precision
    size: int
    loaded_at: float = field(default_factory=monotonic)
    used_at: float = field(default_factory=monotonic)
    pins: int = 0
    doomed: bool = False


def module_bytes(module: Any) -> int:
    """Bytes of the parameters and buffers of a network, shared tensors counted once; 0 for anything else."""
    if not isinstance(module, nn.Module):
        return 0
    tensors = {id(tensor): tensor for tensor in [*module.parameters(), *module.buffers()]}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


class Pool:
    """Residents by name, in order of use. All methods may be called from any thread."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.evictions = 0
        self._changed = threading.Condition()
        self._residents: OrderedDict[str, Resident] = OrderedDict()
        self._leaving: list[Resident] = []
        self._reserved: dict[str, int] = {}
        self._claims = 0

    def holds(self, spec: ModelSpec) -> bool:
        """Whether this very spec is loaded now; it may leave at any moment unless pinned."""
        with self._changed:
            return self._resident_of(spec) is not None

    def pin(self, spec: ModelSpec, cancel: threading.Event | None = None) -> Resident | None:
        """The resident of this very spec, protected from eviction until ``unpin``; None when it is not loaded.

        Idle models wait here while a model too large for the free memory waits for them to leave: otherwise a
        stream of requests for small models would keep it out for ever.
        """
        with self._changed:
            while self._claims and (resident := self._resident_of(spec)) is not None and not resident.pins:
                self._wait(cancel)
            resident = self._resident_of(spec)
            if resident is not None:
                resident.pins += 1
                self._residents.move_to_end(spec.name)
            return resident

    def unpin(self, resident: Resident) -> None:
        """End one use; an eviction asked for meanwhile happens now."""
        with self._changed:
            resident.pins -= 1
            resident.used_at = monotonic()
            if resident.pins == 0:
                if resident.doomed:
                    self._leaving.remove(resident)
                else:
                    # A model that turned out larger than announced may have overdrawn the budget.
                    self._shrink(0, keep=resident.spec.name)
                self._changed.notify_all()

    def reserve(self, name: str, size: int, cancel: threading.Event | None = None) -> None:
        """Make room for ``size`` bytes and keep it for ``name`` until ``add`` or ``release``.

        Evicts the least recently used models that are not in use, and waits for those that are. A model larger
        than the budget waits until it is alone.
        """
        with self._changed:
            self._claims += 1
            try:
                while not self._shrink(size):
                    self._wait(cancel)
                self._reserved[name] = size
            finally:
                self._claims -= 1
                self._changed.notify_all()

    def release(self, name: str) -> None:
        """Give back a reservation that did not lead to a model; nothing when there is none."""
        with self._changed:
            self._reserved.pop(name, None)
            self._changed.notify_all()

    def add(self, resident: Resident) -> None:
        """Put a loaded model, pinned once, in the place reserved for it."""
        with self._changed:
            self._reserved.pop(resident.spec.name, None)
            self._shrink(resident.size)
            resident.pins = 1
            self._residents[resident.spec.name] = resident
            self._changed.notify_all()

    def evict(self, name: str) -> bool:
        """Drop a model, at the end of its current use if need be. False when it is not loaded."""
        with self._changed:
            if name not in self._residents:
                return False
            self._drop(name)
            return True

    def evict_idle(self, keep: str = "") -> int:
        """Drop all models that are not in use except ``keep``; returns how many."""
        with self._changed:
            names = [name for name, resident in self._residents.items() if not resident.pins and name != keep]
            for name in names:
                self._drop(name)
            return len(names)

    def residents(self) -> tuple[Resident, ...]:
        """The loaded models, least recently used first."""
        with self._changed:
            return tuple(self._residents.values())

    def used(self) -> int:
        """Bytes held by loaded models, those leaving included, and by reservations."""
        with self._changed:
            return self._used()

    def _resident_of(self, spec: ModelSpec) -> Resident | None:
        resident = self._residents.get(spec.name)
        return resident if resident is not None and resident.spec is spec else None

    def _wait(self, cancel: threading.Event | None) -> None:
        if cancel is not None and cancel.is_set():
            raise Cancelled
        self._changed.wait(_CANCEL_POLL_S if cancel is not None else None)

    def _used(self) -> int:
        held = sum(resident.size for resident in [*self._residents.values(), *self._leaving])
        return held + sum(self._reserved.values())

    def _shrink(self, size: int, keep: str = "") -> bool:
        """Evict idle models except ``keep``, oldest first, until ``size`` more bytes fit or none is left to evict.

        True when they fit, or when nothing else is in memory. The caller holds the lock.
        """
        for name in list(self._residents):
            if self._used() + size <= self.budget:
                return True
            if not self._residents[name].pins and name != keep:
                self._drop(name)
        used = self._used()
        return used == 0 or used + size <= self.budget

    def _drop(self, name: str) -> None:
        resident = self._residents.pop(name)
        self.evictions += 1
        if resident.pins:
            resident.doomed = True
            self._leaving.append(resident)
        self._changed.notify_all()
