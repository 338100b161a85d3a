"""The engine: one shared pool of models for all tabs, sessions and the command line.

A run goes through four doors: the weights file is fetched if need be, the caller waits for a fair turn with the
model (``turns``), the model is loaded unless it is in memory (``pool``, ``precision``), and ``spec.run`` is called on
the caller's own thread in inference mode. The caller's thread is used, not a worker's, because hosted GPUs hand
themselves to the calling thread and because cancelling and progress then need no plumbing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import Any

import torch

from cvdemo.core import precision as precision_module
from cvdemo.core import registry, weights
from cvdemo.core.context import ProgressFn, RunContext
from cvdemo.core.device import configure_threads, default_memory_budget, device_title, pick_device, usable_cores
from cvdemo.core.errors import Cancelled, CvDemoError, ResourceError, WeightsError
from cvdemo.core.fetches import Fetches
from cvdemo.core.pool import Pool, Resident, module_bytes
from cvdemo.core.registry import ModelSpec
from cvdemo.core.statistics import Counters, EngineStatistics, ModelStatistics
from cvdemo.core.turns import Turns

__all__ = ["Engine", "EngineStatistics", "Ran", "RunContext", "default_engine", "set_default_engine"]

Operation = Callable[[Any, Any, RunContext], Any]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ran:
    """A finished run. stages: milliseconds, in order: "wait", "load", then the stages of the model itself."""

    output: Any
    stages: dict[str, float]
    device: str
    precision: str
    model: str


class Engine:
    """The pool of models.

    device: a torch device or its name, None to choose (`pick_device`).   memory_budget: bytes of parameters and
    buffers in memory, None for a share of the device's memory.   tune: measure which precision is fastest; False
    always uses the reference precision.   at_once: models running together, None for a number that suits the device.
    """

    def __init__(
        self,
        device: torch.device | str | None = None,
        memory_budget: int | None = None,
        *,
        tune: bool = True,
        at_once: int | None = None,
    ) -> None:
        self.device = device if isinstance(device, torch.device) else pick_device(device)
        self.tune = tune
        self._pool = Pool(default_memory_budget(self.device) if memory_budget is None else memory_budget)
        self._turns = Turns(at_once or default_at_once(self.device))
        self._counters = Counters()
        self._fetches = Fetches()
        self._notes: dict[str, dict[str, str]] = {}
        self._this_thread = threading.local()

    def run(
        self,
        name: str | ModelSpec,
        value: Any,
        *,
        user: str = "",
        cancel: threading.Event | None = None,
        progress: ProgressFn | None = None,
        operation: Operation | None = None,
    ) -> Ran:
        """Run a model on a value of its task's input type and return its output with timings.

        operation: instead of ``spec.run`` on the loaded network, such as following gradients; outside inference mode.
        user: who asks; turns are dealt round-robin over users.   cancel: raises Cancelled when set, while waiting
        and at the model's own check points.   progress(fraction 0 to 1, text).
        Raises CvDemoError (unknown name), WeightsError (no usable weights), ResourceError (memory, queue full).
        """
        spec = self._spec(name)
        arrived = perf_counter()
        self._fetch(spec, cancel, progress)
        fetched = perf_counter()
        with self._turn(user, spec, cancel):
            began = perf_counter()
            resident, hit = self._pinned(spec, cancel, progress)
            loaded = perf_counter()
            try:
                output, own_stages = self._run_pinned(resident, value, cancel, progress, operation)
            except Cancelled:
                raise
            except Exception:
                self._counters.failed()
                raise
            finally:
                self._pool.unpin(resident)
        ended = perf_counter()
        load_ms = 0.0 if hit else (fetched - arrived + loaded - began) * 1e3
        stages = {"wait": (began - fetched) * 1e3, "load": load_ms, **own_stages}
        label = resident.precision.label
        self._counters.ran(spec.name, label, stages, (ended - loaded) * 1e3, hit)
        return Ran(output, stages, str(self.device), label, spec.name)

    def preload(
        self,
        name: str | ModelSpec,
        *,
        user: str = "",
        cancel: threading.Event | None = None,
        progress: ProgressFn | None = None,
    ) -> None:
        """Fetch, load and warm up a model now, such as at import time on hosted GPUs; errors as in ``run``."""
        spec = self._spec(name)
        self._fetch(spec, cancel, progress)
        with self._turn(user, spec, cancel):
            resident, _ = self._pinned(spec, cancel, progress)
            self._pool.unpin(resident)

    def evict(self, name: str) -> bool:
        """Drop a model from memory, after its current run if there is one. False when it is not loaded."""
        found = self._pool.evict(name)
        self._empty_device_cache()
        return found

    def clear(self) -> None:
        """Drop all models, those in use after their current run."""
        for resident in self._pool.residents():
            self._pool.evict(resident.spec.name)
        self._empty_device_cache()

    def statistics(self) -> EngineStatistics:
        """A snapshot of what the engine holds and has done."""
        counters = self._counters
        return EngineStatistics(
            device=str(self.device),
            device_title=device_title(self.device),
            budget=self._pool.budget,
            used=self._pool.used(),
            waiting=self._turns.waiting,
            loads=counters.loads,
            hits=counters.hits,
            evictions=self._pool.evictions,
            failures=counters.failures,
            queue_waits=counters.queue_waits,
            wait_ms=counters.wait_ms,
            wait_ms_longest=counters.wait_ms_longest,
            models=tuple(self._model_statistics(resident) for resident in self._pool.residents()),
            last_runs=counters.last_runs(),
        )

    def _model_statistics(self, resident: Resident) -> ModelStatistics:
        name, now = resident.spec.name, monotonic()
        runs, mean_ms, stages = self._counters.means(name)
        return ModelStatistics(
            name=name,
            megabytes=resident.size / 1e6,
            age=now - resident.loaded_at,
            idle=0.0 if resident.pins else now - resident.used_at,
            runs=runs,
            mean_ms=mean_ms,
            precision=resident.precision.label,
            in_use=resident.pins > 0,
            stages=stages,
            notes=dict(self._notes.get(name, {})),
        )

    def _spec(self, name: str | ModelSpec) -> ModelSpec:
        spec = name if isinstance(name, ModelSpec) else registry.get(name)
        if getattr(self._this_thread, "running", ""):
            # A nested run would wait for a turn while holding one, and could wait for ever.
            raise RuntimeError(f"{spec.name} was asked for inside a run of {self._this_thread.running}")
        if spec.weights is None and spec.trained:
            raise WeightsError(
                f"{spec.title} has no trained weights, and an untrained network is not run.",
                hint="Train it with the recipe of its task, or choose another model.",
            )
        return spec

    @contextmanager
    def _turn(self, user: str, spec: ModelSpec, cancel: threading.Event | None) -> Iterator[None]:
        with self._turns.turn(user, spec.name, cancel):
            self._this_thread.running = spec.name
            try:
                yield
            finally:
                self._this_thread.running = ""

    def _fetch(self, spec: ModelSpec, cancel: threading.Event | None, progress: ProgressFn | None) -> None:
        """Have the weights files on this machine; before the turn, so that a long download holds up nobody."""
        if self._pool.holds(spec):
            return
        try:
            for file in spec.files.values():
                self._fetches.ensure(file, cancel, progress)
        except Cancelled:
            raise
        except Exception:
            self._counters.failed()
            raise

    def _pinned(
        self, spec: ModelSpec, cancel: threading.Event | None, progress: ProgressFn | None
    ) -> tuple[Resident, bool]:
        """The loaded model, pinned, and whether it was in memory already. The caller holds the model's turn."""
        resident = self._pool.pin(spec, cancel)
        if resident is not None:
            return resident, True
        try:
            self._pool.evict(spec.name)  # another spec of that name
            self._pool.reserve(spec.name, 4 * spec.parameters, cancel)
            try:
                resident = self._with_memory(spec, lambda: self._load(spec, cancel, progress))
                self._pool.add(resident)
            finally:
                self._pool.release(spec.name)
        except Cancelled:
            raise
        except Exception as error:
            self._counters.failed()
            self._turns.fail_waiting(spec.name, error)
            raise
        self._counters.loaded()
        return resident, False

    def _load(self, spec: ModelSpec, cancel: threading.Event | None, progress: ProgressFn | None) -> Resident:
        """Build, load weights, prepare, choose the precision, warm up."""
        context = RunContext(self.device, cancel=cancel, progress=progress)
        context.report(0.0, f"Loading {spec.title}")
        module = spec.build()
        paths = {prefix: weights.ensure(file, cancel=cancel) for prefix, file in spec.files.items()}
        if paths:
            names = " with ".join(path.name for path in paths.values())
            weights.apply_state(module, weights.joined_state(paths), names)
        module = module.eval()
        if spec.prepare is not None:
            module = spec.prepare(module).eval()
        module = module.requires_grad_(False).to(self.device)
        size = module_bytes(module)  # now: a traced graph holds its parameters as constants, which are not listed
        chosen = precision_module.Choice(spec.precisions[0])
        if self.tune:
            context.report(0.5, f"Measuring how {spec.title} runs fastest here")
            chosen = precision_module.choose(spec, module, self.device, tuple(paths.values()))
        self._notes[spec.name] = chosen.notes
        context.report(0.9, f"Warming up {spec.title}")
        value = spec.example()
        try:
            form = precision_module.in_form(spec, module, chosen.precision)
            precision_module.warm_up(spec, form, chosen.precision, self.device, value)
            precision = chosen.precision
        except Exception as error:
            if _is_out_of_memory(error) or chosen.precision == spec.precisions[0]:
                raise
            _log.warning("%s no longer runs in %s, using the reference", spec.name, chosen.precision.label)
            precision = spec.precisions[0]
            form = precision_module.in_form(spec, module, precision)
            precision_module.warm_up(spec, form, precision, self.device, value)
        return Resident(spec, form, precision, size)

    def _run_pinned(
        self,
        resident: Resident,
        value: Any,
        cancel: threading.Event | None,
        progress: ProgressFn | None,
        operation: Operation | None,
    ) -> tuple[Any, dict[str, float]]:
        spec = resident.spec

        def once() -> tuple[Any, dict[str, float]]:
            context = RunContext(self.device, resident.precision, cancel=cancel, progress=progress)
            context.check_cancelled()
            with torch.inference_mode(operation is None):
                return (operation or spec.run)(resident.module, value, context), context.stages

        return self._with_memory(spec, once)

    def _with_memory(self, spec: ModelSpec, work: Callable[[], Any]) -> Any:
        """Do the work; when memory runs out, drop all idle models and do it once more, then ResourceError."""
        try:
            return work()
        except Exception as error:
            if not _is_out_of_memory(error):
                raise
        # Outside of the except block, whose traceback keeps the failed run's tensors alive.
        dropped = self._pool.evict_idle(keep=spec.name)
        self._empty_device_cache()
        _log.warning("out of memory in %s: dropped %d idle models, trying again", spec.name, dropped)
        try:
            return work()
        except Exception as error:
            if not _is_out_of_memory(error):
                raise
            raise ResourceError(
                f"{device_title(self.device)} has not enough memory for {spec.title} on this input.",
                hint="Use a smaller picture or a smaller model, or close other programs.",
            ) from error

    def _empty_device_cache(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        elif self.device.type == "mps":
            torch.mps.empty_cache()


def default_at_once(device: torch.device) -> int:
    """Models that run together: two on a small processor, so that a long run does not block a live camera."""
    return 4 if device.type == "cuda" else max(2, min(4, usable_cores() // 4))


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, CvDemoError):
        return False
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text)


_default: Engine | None = None
_default_lock = threading.Lock()


def default_engine() -> Engine:
    """The engine shared by everything in this process, made on first use with the threads configured."""
    global _default
    with _default_lock:
        if _default is None:
            configure_threads()
            _default = Engine()
        return _default


def set_default_engine(engine: Engine | None) -> None:
    """Replace the shared engine, such as by one with a forced device; None makes a new one on next use."""
    global _default
    with _default_lock:
        _default = engine
