"""Train the compact detector.

``python -m cvdemo.detection.train --source LABELS.json:PICTURES[:IDS.json#KEY] … --out FOLDER --minutes 120``

Sources are COCO json files with the folder their file names are relative to; ids restrict a source to a split. The
schedule runs on the clock (cosine learning rate, growing picture size, mosaics off at the end), so the same command
gives a complete, annealed model in ten minutes or ten hours, on a CPU (bf16, channels_last) or a GPU. A checkpoint is
written every few minutes; running the same command again resumes from it. ``compact_detector.safetensors`` (fp16, the
running average of the weights) in the output folder is what ships.
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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from cvdemo.core import weights
from cvdemo.core.errors import CvDemoError
from cvdemo.detection.losses import Targets, detection_loss
from cvdemo.detection.nets.compact_detector import CompactDetector, cell_centres, flatten_levels
from cvdemo.detection.training_data import BatchMaker, PictureCache

AVERAGE_DECAY = 0.9995


@dataclass(frozen=True)
class Phase:
    """From ``start`` (share of the time budget) on: picture side in pixels, share of mosaics."""

    start: float
    size: int
    mosaic: float


PHASES = (Phase(0.0, 192, 0.5), Phase(0.3, 256, 0.5), Phase(0.7, 320, 0.4), Phase(0.88, 320, 0.0))


def phase_at(progress: float) -> Phase:
    """The phase of a progress in [0, 1]."""
    return next(phase for phase in reversed(PHASES) if progress >= phase.start)


def learning_rate(progress: float, peak: float) -> float:
    """Linear warm-up over the first 2 % of the budget, then a cosine down to 2 % of the peak."""
    if progress < 0.02:
        return peak * (0.05 + 0.95 * progress / 0.02)
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def start_loader(maker: BatchMaker, batch: int, progress: Callable[[], float]) -> Callable[[], tuple]:
    """Batches made in one background thread, a few ahead; it ends with the process.

    Returns the function that waits for the next batch; it raises what making the batch raised.
    """
    ready: queue.Queue = queue.Queue(maxsize=4)

    def work() -> None:
        while True:
            phase = phase_at(progress())
            # Jitter the size by one stride either way, so that no object size is tied to one pyramid level.
            size = phase.size + 32 * int(maker.rng.integers(-1, 2))
            # Equal memory and time per step: fewer pictures when they are larger.
            count = min(batch, max(8, round(batch * (256 / phase.size) / 8) * 8)) if phase.size > 256 else batch
            try:
                ready.put(maker.batch(count, size, phase.mosaic))
            except Exception as error:  # handed to the thread that waits for the batch, which would wait for ever
                ready.put(error)
                return

    def take() -> tuple:
        made = ready.get()
        if isinstance(made, Exception):
            raise made
        return made

    threading.Thread(target=work, daemon=True).start()
    return take


def to_targets(rows: np.ndarray, device: torch.device) -> Targets:
    """Rows (M, 8) of ``BatchMaker.batch`` as tensors."""
    table = torch.from_numpy(rows).to(device)
    return Targets(table[:, 0].long(), table[:, 1:5], table[:, 5].long(), table[:, 6], table[:, 7] > 0)


class Trainer:
    """Network, running average, optimiser and clock; everything a checkpoint holds."""

    def __init__(self, device: torch.device, budget: float, peak_rate: float) -> None:
        self.device, self.budget, self.peak_rate = device, budget, peak_rate
        self.network = CompactDetector().to(device).to(memory_format=torch.channels_last).train()
        self.average = {name: value.detach().clone().float() for name, value in self.network.state_dict().items()}
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        plain = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": 0.03}, {"params": plain, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=peak_rate, betas=(0.9, 0.98))
        self.elapsed, self.step, self.pictures = 0.0, 0, 0

    @property
    def progress(self) -> float:
        return min(1.0, self.elapsed / self.budget)

    def train_step(self, pixels: np.ndarray, rows: np.ndarray) -> tuple[float, float, float, int]:
        """One optimisation step; the three loss terms and the number of positive cells."""
        started = time.monotonic()
        rate = learning_rate(self.progress, self.peak_rate)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        x = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2).float().div_(255)
        centres, strides = cell_centres(x.shape[2], x.shape[3], self.device)
        with torch.autocast(self.device.type, torch.bfloat16):
            outputs = self.network(x.contiguous(memory_format=torch.channels_last))
        logits, bins = flatten_levels(outputs)
        terms = detection_loss(logits, bins, to_targets(rows, self.device), centres, strides)
        self.optimiser.zero_grad(set_to_none=True)
        terms.total.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
        self.optimiser.step()
        self.step += 1
        self.pictures += len(pixels)
        self._update_average()
        self.elapsed += time.monotonic() - started
        return float(terms.classification), float(terms.overlap), float(terms.distribution), terms.positives

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = AVERAGE_DECAY * (1 - math.exp(-self.step / 1000))
        state = self.network.state_dict()
        floats = [name for name, value in state.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.average[n] for n in floats], [state[n].float() for n in floats], 1 - decay)

    def save(self, folder: Path) -> None:
        """Checkpoint for resuming, and the averaged weights in fp16; both replaced atomically."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "clock": {"elapsed": self.elapsed, "step": self.step, "pictures": self.pictures},
        }
        torch.save(state, folder / "checkpoint.tmp")
        os.replace(folder / "checkpoint.tmp", folder / "checkpoint.pt")
        shipped = {
            name: (self.average[name].half() if value.is_floating_point() else value).contiguous().cpu()
            for name, value in self.network.state_dict().items()
        }
        save_file(shipped, folder / "compact_detector.tmp")
        (folder / "compact_detector.tmp").chmod(0o644)
        os.replace(folder / "compact_detector.tmp", folder / "compact_detector.safetensors")

    def resume(self, path: Path) -> None:
        """Continue from a checkpoint written by ``save``."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average = {name: value.float() for name, value in state["average"].items()}
        self.optimiser.load_state_dict(state["optimiser"])
        clock = state["clock"]
        self.elapsed, self.step, self.pictures = clock["elapsed"], clock["step"], clock["pictures"]

    def start_from(self, path: Path) -> None:
        """Start from earlier weights of our own (safetensors) instead of random ones; the clock starts at zero."""
        weights.apply_state(self.network, weights.load_state(path), path.name)
        self.average = {name: value.detach().clone().float() for name, value in self.network.state_dict().items()}


def parse_source(text: str) -> tuple[Path, Path, set[int] | None]:
    """``labels.json:folder[:ids.json#key]`` -> (labels, folder, ids or None)."""
    parts = text.split(":")
    if len(parts) not in (2, 3):
        raise argparse.ArgumentTypeError(f"{text!r} is not LABELS.json:FOLDER or LABELS.json:FOLDER:IDS.json#KEY")
    ids = None
    if len(parts) == 3:
        file, _, key = parts[2].partition("#")
        listed = json.loads(Path(file).read_text())
        ids = set(listed[key] if key else listed)
    return Path(parts[0]), Path(parts[1]), ids


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


def train(trainer: Trainer, next_batch: Callable[[], tuple], out: Path, stopping: threading.Event) -> None:
    """Steps until the budget is spent or ``stopping`` is set; a log line every 50 steps, a checkpoint every 4 min."""
    saved = time.monotonic()
    sums, count, since = np.zeros(4), 0, time.monotonic()
    while trainer.progress < 1 and not stopping.is_set():
        sums += trainer.train_step(*next_batch())
        count += 1
        if trainer.step % 50 == 0:
            seconds = (time.monotonic() - since) / count
            means = (sums / count).round(4).tolist()
            row = {"step": trainer.step, "minutes": round(trainer.elapsed / 60, 2), "seconds": round(seconds, 3)}
            row |= dict(zip(("classification", "overlap", "distribution", "positives"), means))
            with (out / "log.jsonl").open("a") as log:
                log.write(json.dumps(row) + "\n")
            print(f"\r{trainer.progress:6.1%} {row}", end="", file=sys.stderr, flush=True)
            sums, count, since = np.zeros(4), 0, time.monotonic()
        if time.monotonic() - saved > 240:
            trainer.save(out)
            saved = time.monotonic()
    trainer.save(out)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the options, train until the time is spent, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", action="append", type=parse_source, required=True, help="LABELS:FOLDER[:IDS#KEY]")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint, weights and log")
    parser.add_argument("--cache", type=Path, help="folder for decoded pictures (default: OUT/cache)")
    parser.add_argument("--minutes", type=float, default=120.0, help="time budget of the whole schedule")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--side", type=int, default=448, help="longest side of a cached picture, pixels")
    parser.add_argument("--from", dest="start", type=Path, help="our own earlier weights to start from")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)

    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    trainer = Trainer(torch.device(args.device), args.minutes * 60, args.rate)
    checkpoint = args.out / "checkpoint.pt"
    try:
        cache = PictureCache(args.cache or args.out / "cache", args.source, args.side)
        if checkpoint.exists():
            trainer.resume(checkpoint)
        elif args.start:
            trainer.start_from(args.start)
    except CvDemoError as error:
        sys.exit(str(error))
    print(f"{len(cache.examples)} pictures, from step {trainer.step}", file=sys.stderr)

    next_batch = start_loader(BatchMaker(cache, args.seed + trainer.step), args.batch, lambda: trainer.progress)
    with asked_to_stop() as stopping:
        train(trainer, next_batch, args.out, stopping)
    outcome = "done" if trainer.progress >= 1 else "stopped; the same command goes on"
    print(f"\n{outcome}: {trainer.step} steps, {trainer.pictures} pictures, {args.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
