"""What every training recipe shares: a schedule on the clock, a running average, checkpoints, stopping politely.

A recipe brings a network, a function that makes batches and a function that turns a batch into a loss. The schedule is
a time budget, not a number of epochs: the same command gives a complete, annealed model in ten minutes or ten hours.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from cvdemo.core import weights
from cvdemo.core.device import keep_freed_memory

LossFn = Callable[[nn.Module, Any], tuple[Tensor, dict[str, float]]]
CHECKPOINT = "checkpoint.pt"
LOG_EVERY, SAVE_EVERY_S = 50, 240.0


def learning_rate(progress: float, peak: float) -> float:
    """Linear warm-up over the first 2 % of the budget, then a cosine down to 2 % of the peak."""
    if progress < 0.02:
        return peak * (0.05 + 0.95 * progress / 0.02)
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def prefetch(make: Callable[[], Any], ahead: int = 4) -> Callable[[], Any]:
    """Call ``make`` in one background thread, a few results ahead; it ends with the process.

    Returns the function that waits for the next result; it raises what making it raised.
    """
    ready: queue.Queue = queue.Queue(maxsize=ahead)

    def work() -> None:
        try:
            while True:
                ready.put(make())
        except Exception as error:  # handed to the thread that waits for the batch, which would wait for ever
            ready.put(error)

    def take() -> Any:
        made = ready.get()
        if isinstance(made, Exception):
            raise made
        return made

    threading.Thread(target=work, daemon=True).start()
    return take


@contextlib.contextmanager
def asked_to_stop() -> Iterator[threading.Event]:
    """An event that Ctrl-C or a polite kill sets, so that the step under way ends and its weights are saved."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield event
        return
    before = {number: signal.signal(number, lambda *_: event.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Trainer:
    """Network, running average, optimiser and clock; everything a checkpoint holds.

    budget: seconds of the whole schedule.   peak_rate: the highest learning rate of AdamW.
    average_decay: of the exponential moving average of the weights, which is what ships.
    memory_format: of 4-D weights; networks with 3-D convolutions need ``torch.contiguous_format``.
    """

    def __init__(
        self,
        network: nn.Module,
        device: torch.device,
        budget: float,
        peak_rate: float,
        *,
        weight_decay: float = 0.03,
        average_decay: float = 0.9995,
        memory_format: torch.memory_format = torch.channels_last,
    ) -> None:
        self.device, self.budget, self.peak_rate, self.average_decay = device, budget, peak_rate, average_decay
        if device.type == "cpu":
            keep_freed_memory()
        self.network: Any = network.to(device).to(memory_format=memory_format).train()
        self.average = self._copy_of_weights()
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        plain = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=peak_rate, betas=(0.9, 0.98))
        self.elapsed, self.step, self.pictures = 0.0, 0, 0
        self.kept: tuple[str, ...] = ()

    def keep(self, path: Path, part: str) -> None:
        """Use ``part`` ("backbone") of another of our models as it is: not trained, nor written with the rest.

        Raises WeightsError when the file does not fit.
        """
        self.start_from(path, prefix=f"{part}.")
        # Its batch normalisation keeps the statistics it has there.
        self.network.get_submodule(part).requires_grad_(False).eval()
        self.kept += (f"{part}.",)

    def _copy_of_weights(self) -> dict[str, Tensor]:
        return {name: value.detach().clone().float() for name, value in self.network.state_dict().items()}

    @property
    def progress(self) -> float:
        """Share of the budget spent, 0 to 1."""
        return min(1.0, self.elapsed / self.budget)

    def train_step(self, batch: Any, loss_of: LossFn, pictures: int) -> dict[str, float]:
        """One optimisation step on ``batch``; returns the figures ``loss_of`` reports."""
        started = time.monotonic()
        rate = learning_rate(self.progress, self.peak_rate)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        loss, figures = loss_of(self.network, batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
        self.optimiser.step()
        self.step += 1
        self.pictures += pictures
        self._update_average()
        self.elapsed += time.monotonic() - started
        return figures

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = self.average_decay * (1 - math.exp(-self.step / 1000))
        state = self.network.state_dict()
        floats = [name for name, value in state.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.average[n] for n in floats], [state[n].float() for n in floats], 1 - decay)

    def averaged_state(self) -> dict[str, Tensor]:
        """The running average as a state dict (counters as they are)."""
        state = self.network.state_dict()
        return {n: (self.average[n] if v.is_floating_point() else v).detach().clone() for n, v in state.items()}

    def save(self, folder: Path, filename: str) -> None:
        """Checkpoint for resuming, and the averaged weights in fp16 as ``filename``; both replaced atomically."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "clock": {"elapsed": self.elapsed, "step": self.step, "pictures": self.pictures},
        }
        torch.save(state, folder / "checkpoint.tmp")
        os.replace(folder / "checkpoint.tmp", folder / CHECKPOINT)
        own = {name: value for name, value in self.averaged_state().items() if not name.startswith(self.kept)}
        write_weights(own, folder / filename)

    def resume(self, path: Path) -> None:
        """Continue from a checkpoint written by ``save``."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average = {name: value.float() for name, value in state["average"].items()}
        self.optimiser.load_state_dict(state["optimiser"])
        clock = state["clock"]
        self.elapsed, self.step, self.pictures = clock["elapsed"], clock["step"], clock["pictures"]

    def begin(self, folder: Path, start: Path | None = None) -> bool:
        """Continue from the checkpoint in ``folder``, else from our own weights in ``start`` where they are given.

        Returns whether there was a checkpoint. Raises WeightsError when the weights do not fit.
        """
        checkpoint = folder / CHECKPOINT
        if checkpoint.exists():
            self.resume(checkpoint)
            return True
        if start is not None:
            self.start_from(start)
        return False

    def start_from(self, path: Path, prefix: str = "") -> None:
        """Start from earlier weights of our own (safetensors) instead of random ones; the clock starts at zero.

        With ``prefix`` ("backbone.") only the parameters under it are taken, from a file of a network that has them
        under the same names; the rest stays random. What is kept (``keep``) stays as it is. Raises WeightsError when
        they do not fit.
        """
        own, state = self.network.state_dict(), weights.load_state(path)
        if prefix:
            state = {n: v for n, v in own.items() if not n.startswith(prefix)} | {
                n: v for n, v in state.items() if n.startswith(prefix)
            }
        if self.kept:  # lies in another file, and is not in this one when it was trained beside it
            state |= {n: v for n, v in own.items() if n.startswith(self.kept)}
        weights.apply_state(self.network, state, path.name)
        self.average = self._copy_of_weights()

    def run(
        self,
        next_batch: Callable[[], Any],
        loss_of: LossFn,
        out: Path,
        filename: str,
        stopping: threading.Event,
        count: Callable[[Any], int] = len,
        exchange: Exchange | None = None,
    ) -> None:
        """Steps until the budget is spent or ``stopping`` is set; ``count(batch)`` gives its number of pictures.

        ``exchange``: other processes that train the same network.
        A row goes to ``out/log.jsonl`` every 50 steps, a checkpoint to ``out`` every four minutes and at the end.
        """
        saved = since = time.monotonic()
        sums: dict[str, float] = {}
        steps = 0
        while self.progress < 1 and not stopping.is_set():
            batch = next_batch()
            for name, value in self.train_step(batch, loss_of, count(batch)).items():
                sums[name] = sums.get(name, 0.0) + value
            steps += 1
            if exchange is not None:
                exchange.meet_when_due(self.network)
            if self.step % LOG_EVERY == 0:
                seconds = (time.monotonic() - since) / steps
                row = {"step": self.step, "minutes": round(self.elapsed / 60, 2), "seconds": round(seconds, 3)}
                _log(out, row | {name: round(value / steps, 4) for name, value in sums.items()}, self.progress)
                sums, steps, since = {}, 0, time.monotonic()
            if time.monotonic() - saved > SAVE_EVERY_S:
                self.save(out, filename)
                saved = time.monotonic()
        self.save(out, filename)
        outcome = "done" if self.progress >= 1 else "stopped; the same command goes on"
        print(f"\n{outcome}: {self.step} steps, {self.pictures} pictures, {out}", file=sys.stderr)


def write_weights(state: Mapping[str, Tensor], path: Path) -> None:
    """Write a state dict as it ships: safetensors, fractions in fp16; a file of that name is replaced atomically."""
    shipped = {
        name: (value.half() if value.is_floating_point() else value).contiguous().cpu() for name, value in state.items()
    }
    draft = path.with_suffix(".tmp")
    save_file(shipped, draft)
    draft.chmod(0o644)
    os.replace(draft, path)


class Exchange:
    """Several processes that train one network together by averaging their weights now and then.

    Local SGD (Stich 2019, arXiv:1805.09767) through files in a shared folder, without waiting for each other: every
    ``every`` seconds a process leaves its weights there and moves to the mean of its own and those that were left
    since it last looked. On a busy CPU, one process per core loses only what the other programs take, where threads
    of one process would all wait for the slowest.
    """

    def __init__(self, folder: Path, name: str, every: float = 20.0) -> None:
        self.folder, self.name, self.every = folder, name, every
        self.last = time.monotonic()
        folder.mkdir(parents=True, exist_ok=True)
        # What lies there already may be left from an earlier run.
        self.seen = {path.stem: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")}

    @torch.no_grad()
    def meet(self, network: nn.Module) -> int:
        """Leave the weights, take in those of others; returns how many others were taken in."""
        own = {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
        draft = self.folder / f"{self.name}.tmp"
        save_file({name: value.float().contiguous().cpu() for name, value in own.items()}, draft)
        os.replace(draft, self.folder / f"{self.name}.safetensors")
        others = []
        for path in sorted(self.folder.glob("*.safetensors")):
            left = path.stat().st_mtime_ns
            if path.stem != self.name and left > self.seen.get(path.stem, 0):
                others.append(weights.load_state(path))
                self.seen[path.stem] = left
        for name, value in own.items():
            for other in others:
                value.add_(other[name].to(value.device, value.dtype))
            value.div_(1 + len(others))
        self.last = time.monotonic()
        return len(others)

    def meet_when_due(self, network: nn.Module) -> None:
        """``meet`` if the last time is ``every`` seconds ago."""
        if time.monotonic() - self.last >= self.every:
            self.meet(network)


def _log(out: Path, row: Mapping[str, float], progress: float) -> None:
    with (out / "log.jsonl").open("a") as log:
        log.write(json.dumps(row) + "\n")
    print(f"\r{progress:6.1%} {dict(row)}", end="", file=sys.stderr, flush=True)


def add_arguments(parser: argparse.ArgumentParser, *, minutes: float, batch: int, rate: float) -> None:
    """The options every recipe has: --out, --minutes, --batch, --rate, --from, --device, --seed."""
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint, weights and log")
    parser.add_argument("--minutes", type=float, default=minutes, help="time budget of the whole schedule")
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--rate", type=float, default=rate, help="peak learning rate")
    parser.add_argument("--from", dest="start", type=Path, help="our own earlier weights to start from")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--together",
        type=Path,
        metavar="FOLDER",
        help="share weights through this folder with processes that run the same command with another --out and --seed",
    )


def exchange_of(args: argparse.Namespace) -> Exchange | None:
    """The exchange that ``--together`` asks for, named after the output folder."""
    return Exchange(args.together, args.out.resolve().name) if args.together else None
