"""What a model's ``run`` function is given: the device, the chosen precision, stage timing, progress and cancelling."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import perf_counter

import torch

from cvdemo.core.device import Precision
from cvdemo.core.errors import Cancelled

ProgressFn = Callable[[float, str], None]


class RunContext:
    """One run of one model. ``stages`` collects milliseconds per named stage, in the order they first began."""

    def __init__(
        self,
        device: torch.device,
        precision: Precision | None = None,
        *,
        cancel: threading.Event | None = None,
        progress: ProgressFn | None = None,
    ) -> None:
        self.device = device
        self.precision = precision or Precision()
        self.stages: dict[str, float] = {}
        self._cancel = cancel
        self._progress = progress

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the milliseconds spent inside to ``stages[name]``; on CUDA the device is waited for at the end."""
        started = perf_counter()
        try:
            yield
        finally:
            # CUDA calls return before the work is done: without waiting, the network's time would be booked
            # on whichever later stage first reads a result.
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            self.stages[name] = self.stages.get(name, 0.0) + (perf_counter() - started) * 1000.0

    def autocast(self) -> AbstractContextManager[object]:
        """Lower-precision arithmetic for backbone and heads; decode boxes outside of it, in float32.

        Does nothing in float32, nor for a traced module, whose graph already holds its casts.
        """
        if self.precision.dtype == "float32" or self.precision.traced:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.precision.torch_dtype)

    def tensor(self, value: torch.Tensor) -> torch.Tensor:
        """Move a tensor to the device, 4-D ones in the memory layout of the precision."""
        if self.precision.channels_last and value.dim() == 4:
            return value.to(self.device, memory_format=torch.channels_last)
        return value.to(self.device)

    def report(self, fraction: float, text: str = "") -> None:
        """Tell the caller how far a long run is (0 to 1); raises Cancelled when the caller has given up."""
        self.check_cancelled()
        if self._progress is not None:
            self._progress(min(max(fraction, 0.0), 1.0), text)

    def check_cancelled(self) -> None:
        """Raise Cancelled when the caller has given up; long runs call this between steps."""
        if self._cancel is not None and self._cancel.is_set():
            raise Cancelled("Stopped.")
