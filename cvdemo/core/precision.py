"""The measured choice of precision: which number format and memory layout runs a model fastest on this machine.

Rules of thumb fail here: bfloat16 makes one detector twice as fast on a processor and another twice as slow. So each
candidate is timed against the reference on the model's own example, alternating with it because the machine may be
busy with something else, and kept only when it is faster by a real margin and its output agrees. The choice is
remembered on disk under everything it depends on.
"""

from __future__ import annotations

import copy
import logging
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import nn

from cvdemo import __version__
from cvdemo.core import disk_cache
from cvdemo.core.context import RunContext
from cvdemo.core.device import Precision, device_title
from cvdemo.core.registry import ModelSpec

MARGIN = 0.05
"""A candidate must take at least this share of time less than the reference."""

_SECONDS_PER_CANDIDATE = 1.5
_ROUNDS = (2, 12)
_HOPELESS = 1.3
_FILE = "precision"
_log = logging.getLogger(__name__)

Measured = tuple[float, float]
TimerFn = Callable[[Callable[[], Any], Callable[[], Any]], Measured]


@dataclass(frozen=True)
class Choice:
    """The precision to use. ``notes``: per candidate label what was found; ``measured``: now, not remembered."""

    precision: Precision
    notes: dict[str, str] = field(default_factory=dict)
    measured: bool = False


def in_form(spec: ModelSpec, module: nn.Module, precision: Precision) -> Any:
    """Bring a network (eval mode, on its device) into a precision, in place where it can be; returns what to run."""
    if precision.channels_last:
        # torch's stubs know no overload with memory_format alone
        module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if precision.traced:
        with torch.no_grad(), warnings.catch_warnings():
            # Torch advises its compiler instead of tracing, which needs a C++ compiler on the user's machine.
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            return spec.extras["trace"](module, precision)
    return module


def run_once(spec: ModelSpec, form: Any, precision: Precision, device: torch.device, value: Any) -> Any:
    """One run of a model in a given form, waiting for the device; for warm-up and measuring."""
    with torch.inference_mode():
        output = spec.run(form, value, RunContext(device, precision))
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return output


def warm_up(spec: ModelSpec, form: Any, precision: Precision, device: torch.device, value: Any) -> Any:
    """First runs, which allocate and select kernels; a traced graph optimises itself during its first three."""
    for _ in range(2 if precision.traced else 0):
        run_once(spec, form, precision, device, value)
    return run_once(spec, form, precision, device, value)


def choose(spec: ModelSpec, module: nn.Module, device: torch.device, weights: Sequence[Path]) -> Choice:
    """The remembered choice for this model on this machine, else measure now and remember.

    module: in eval mode on ``device``, in the reference form; it is left as it is.
    weights: the files its parameters came from, part of what a choice is remembered under.
    """
    if len(spec.precisions) == 1:
        return Choice(spec.precisions[0])
    key = choice_key(spec, device, weights)
    remembered = _remembered(spec, key)
    if remembered is not None:
        return remembered
    choice = measure(spec, module, device)
    disk_cache.remember(_FILE, key, {"precision": asdict(choice.precision), "notes": choice.notes})
    _log.info("%s runs in %s: %s", spec.name, choice.precision.label, choice.notes)
    return choice


def choice_key(spec: ModelSpec, device: torch.device, weights: Sequence[Path]) -> str:
    """All that a choice depends on: model, candidates, weights, versions, hardware and, on a processor, threads."""
    stamps = [(path.name, path.stat()) for path in weights]
    stamped = [f"{name} {status.st_size} {status.st_mtime_ns}" for name, status in stamps]
    identity = ", ".join(stamped) or "no weights"
    threads = f"{torch.get_num_threads()} threads" if device.type == "cpu" else ""
    candidates = ", ".join(precision.label for precision in spec.precisions)
    parts = (
        spec.name,
        candidates,
        identity,
        __version__,
        torch.__version__,
        str(device),
        device_title(device),
        threads,
    )
    return " | ".join(parts)


def _remembered(spec: ModelSpec, key: str) -> Choice | None:
    entry = disk_cache.recall(_FILE, key)
    try:
        precision, notes = Precision(**entry["precision"]), entry["notes"]
    except (TypeError, KeyError):
        return None
    if precision not in spec.precisions or not isinstance(notes, dict):
        return None
    return Choice(precision, {str(label): str(note) for label, note in notes.items()})


def measure(spec: ModelSpec, module: nn.Module, device: torch.device, *, timer: TimerFn | None = None) -> Choice:
    """Time every candidate against the reference (the first precision) and return the best that agrees.

    timer(reference, candidate) -> seconds of each: replaces the stopwatch, for tests.
    Errors of the reference are raised; a candidate that fails is noted and passed over.
    """
    reference = spec.precisions[0]
    value = spec.example()
    base = in_form(spec, module, reference)
    expected = warm_up(spec, base, reference, device, value)
    notes = {}
    best, best_ratio = reference, 1.0 - MARGIN
    for candidate in spec.precisions[1:]:
        ratio, notes[candidate.label] = _compare(spec, module, base, expected, candidate, device, value, timer)
        if ratio <= best_ratio:
            best, best_ratio = candidate, ratio
    return Choice(best, notes, measured=True)


def _compare(
    spec: ModelSpec,
    module: nn.Module,
    base: Any,
    expected: Any,
    candidate: Precision,
    device: torch.device,
    value: Any,
    timer: TimerFn | None,
) -> tuple[float, str]:
    """Time of a candidate as a share of the reference's (infinite when it cannot be used), and a note."""
    reference = spec.precisions[0]
    try:
        form = in_form(spec, copy.deepcopy(module), candidate)
        output = warm_up(spec, form, candidate, device, value)
        if not spec.agrees(expected, output):
            return math.inf, "its output differs from the reference"
        slow, fast = (timer or _time_alternating)(
            lambda: run_once(spec, base, reference, device, value),
            lambda: run_once(spec, form, candidate, device, value),
        )
    except Exception as error:  # a format the device cannot do fails in many ways; the reference always remains
        return math.inf, f"does not run here ({type(error).__name__})"
    finally:
        if device.type == "cuda":
            torch.cuda.empty_cache()
    return fast / slow, f"{fast * 1000:.1f} ms, reference {slow * 1000:.1f} ms"


def _time_alternating(reference: Callable[[], Any], candidate: Callable[[], Any]) -> Measured:
    """Shortest seconds of each over alternating rounds: other work on the machine only ever adds time."""
    slow = fast = math.inf
    started = perf_counter()
    least, most = _ROUNDS
    for done in range(1, most + 1):
        slow = min(slow, _seconds(reference))
        fast = min(fast, _seconds(candidate))
        enough = perf_counter() - started > _SECONDS_PER_CANDIDATE or fast > _HOPELESS * slow
        if done >= least and enough:
            break
    return slow, fast


def _seconds(call: Callable[[], Any]) -> float:
    started = perf_counter()
    call()
    return perf_counter() - started
