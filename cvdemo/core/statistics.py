"""What the engine has done so far: counts, waiting times, and milliseconds per model and stage."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from time import time
from typing import Any


@dataclass(frozen=True)
class RunRecord:
    """One finished run: when (seconds since the epoch), which model, milliseconds per stage."""

    at: float
    model: str
    precision: str
    stages: Mapping[str, float]


@dataclass(frozen=True)
class ModelStatistics:
    """A loaded model. age, idle: seconds since it was loaded and last used; the means are over all its runs.

    mean_ms excludes waiting and loading; stages are mean milliseconds per stage. notes: what measuring each
    candidate precision found.
    """

    name: str
    megabytes: float
    age: float
    idle: float
    runs: int
    mean_ms: float
    precision: str
    in_use: bool
    stages: Mapping[str, float]
    notes: Mapping[str, str]


@dataclass(frozen=True)
class EngineStatistics:
    """A snapshot. budget, used: bytes; wait_ms: total and longest time requests spent waiting for their turn.

    hits are runs whose model was loaded already; queue_waits are runs that had to wait (more than a millisecond).
    models: least recently used first. last_runs: newest first.
    """

    device: str
    device_title: str
    budget: int
    used: int
    waiting: int
    loads: int
    hits: int
    evictions: int
    failures: int
    queue_waits: int
    wait_ms: float
    wait_ms_longest: float
    models: tuple[ModelStatistics, ...]
    last_runs: tuple[RunRecord, ...]

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values that serialise to JSON."""
        return asdict(self)


@dataclass
class _Total:
    runs: int = 0
    milliseconds: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)


class Counters:
    """Collects; all methods may be called from any thread."""

    def __init__(self, remembered_runs: int = 50) -> None:
        self._lock = threading.Lock()
        self._totals: dict[str, _Total] = {}
        self._last: deque[RunRecord] = deque(maxlen=remembered_runs)
        self.loads = self.hits = self.failures = self.queue_waits = 0
        self.wait_ms = self.wait_ms_longest = 0.0

    def ran(self, model: str, precision: str, stages: Mapping[str, float], milliseconds: float, hit: bool) -> None:
        """A run ended well. milliseconds: of the run itself; stages also has "wait" and "load"."""
        with self._lock:
            total = self._totals.setdefault(model, _Total())
            total.runs += 1
            total.milliseconds += milliseconds
            for name, spent in stages.items():
                total.stages[name] = total.stages.get(name, 0.0) + spent
            self.hits += hit
            wait = stages["wait"]
            self.queue_waits += wait > 1.0
            self.wait_ms += wait
            self.wait_ms_longest = max(self.wait_ms_longest, wait)
            self._last.append(RunRecord(time(), model, precision, stages))

    def loaded(self) -> None:
        """A model was loaded."""
        with self._lock:
            self.loads += 1

    def failed(self) -> None:
        """A load or a run ended with an error."""
        with self._lock:
            self.failures += 1

    def means(self, model: str) -> tuple[int, float, dict[str, float]]:
        """Runs of a model, their mean milliseconds, and the mean milliseconds per stage."""
        with self._lock:
            total = self._totals.get(model, _Total())
            runs = max(total.runs, 1)
            return total.runs, total.milliseconds / runs, {name: ms / runs for name, ms in total.stages.items()}

    def last_runs(self) -> tuple[RunRecord, ...]:
        """The newest runs, newest first."""
        with self._lock:
            return tuple(reversed(self._last))
