"""The optimisation of each visitor: one at a time, which can be stepped, paused, gone on with and forgotten."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cvdemo.core.engine import default_engine
from cvdemo.style.gatys import GatysRun

Progress = Callable[[float, str], None]


@dataclass(eq=False)
class Job:
    """One run with what the page wants to know of it.

    pictures, asked: what it was started with, files and network, and the values of the controls; whatever took effect
    while it ran counts as asked.   name: of the content picture.   notes: what was said about the pictures.
    picture: the newest one, (H, W, 3) uint8.   busy: while a thread steps it.
    """

    run: GatysRun
    pictures: tuple[str | None, ...]
    asked: tuple[Any, ...]
    name: str
    notes: list[str] = field(default_factory=list)
    picture: np.ndarray | None = None
    busy: bool = False

    def advance(self, progress: Progress, cancel: threading.Event) -> None:
        """Load the network, then step until the run is done, paused, stopped or ``cancel`` is set.

        Afterwards ``picture`` is the present one of a paused run, the best one of a run that has ended.
        """
        run, self.busy = self.run, True
        try:
            default_engine().preload(run.model, user=run.user, cancel=cancel, progress=progress)
            while not (run.finished or run.paused or cancel.is_set()):
                step = run.step(cancel)
                self.picture = step.preview
                progress(step.number / run.settings.steps, f"Step {step.number} of {run.settings.steps}")
            if run.finished and run.history:
                self.picture = run.result().pixels
                run.release()
        finally:
            self.busy = False


_jobs: dict[str, Job] = {}
_lock = threading.Lock()


def job_of(session: str) -> Job | None:
    """The visitor's present job."""
    with _lock:
        return _jobs.get(session)


def begin(session: str, job: Job) -> Job:
    """Make a job the visitor's present one; the one before is stopped within its step."""
    with _lock:
        before, _jobs[session] = _jobs.get(session), job
    if before is not None:
        before.run.stop()
    return job


def forget(session: str) -> None:
    """Stop and drop a visitor's job."""
    with _lock:
        job = _jobs.pop(session, None)
    if job is not None:
        job.run.stop()
