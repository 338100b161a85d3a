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
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cvdemo.core import training
from cvdemo.core.errors import CvDemoError
from cvdemo.detection.losses import Targets, detection_loss
from cvdemo.detection.nets.compact_detector import CompactDetector, cell_centres, flatten_levels
from cvdemo.detection.training_data import BatchMaker, PictureCache

FILENAME = "compact_detector.safetensors"


@dataclass(frozen=True)
class Phase:
    """From ``start`` (share of the time budget) on: picture side in pixels, share of mosaics."""

    start: float
    size: int
    mosaic: float


PHASES = (Phase(0.0, 288, 0.5), Phase(0.3, 352, 0.5), Phase(0.6, 416, 0.4), Phase(0.88, 448, 0.0))


def phase_at(progress: float) -> Phase:
    """The phase of a progress in [0, 1]."""
    return next(phase for phase in reversed(PHASES) if progress >= phase.start)


def make_next(maker: BatchMaker, batch: int, progress: float) -> tuple[np.ndarray, np.ndarray]:
    """The batch that suits a progress in [0, 1]: (pixels, rows) of ``BatchMaker.batch``."""
    phase = phase_at(progress)
    # Jitter the size by one stride either way, so that no object size is tied to one pyramid level.
    size = phase.size + 32 * int(maker.rng.integers(-1, 2))
    # Equal memory and time per step: fewer pictures when they are larger.
    count = min(batch, max(8, round(batch * (256 / phase.size) / 8) * 8)) if phase.size > 256 else batch
    return maker.batch(count, size, phase.mosaic)


def to_targets(rows: np.ndarray, device: torch.device) -> Targets:
    """Rows (M, 8) of ``BatchMaker.batch`` as tensors."""
    table = torch.from_numpy(rows).to(device)
    return Targets(table[:, 0].long(), table[:, 1:5], table[:, 5].long(), table[:, 6], table[:, 7] > 0)


def loss_of(network: nn.Module, batch: tuple[np.ndarray, np.ndarray]) -> tuple[Tensor, dict[str, float]]:
    """The loss of one batch (pixels, rows), its three terms and the number of positive cells."""
    pixels, rows = batch
    device = next(network.parameters()).device
    x = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float().div_(255)
    centres, strides = cell_centres(x.shape[2], x.shape[3], device)
    with torch.autocast(device.type, torch.bfloat16):
        outputs = network(x.contiguous(memory_format=torch.channels_last))
    logits, bins = flatten_levels(outputs)
    terms = detection_loss(logits, bins, to_targets(rows, device), centres, strides)
    figures = {name: float(getattr(terms, name)) for name in ("classification", "overlap", "distribution")}
    return terms.total, figures | {"positives": float(terms.positives)}


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the options, train until the time is spent, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", action="append", type=parse_source, required=True, help="LABELS:FOLDER[:IDS#KEY]")
    parser.add_argument("--cache", type=Path, help="folder for decoded pictures (default: OUT/cache)")
    parser.add_argument("--side", type=int, default=512, help="longest side of a cached picture, pixels")
    parser.add_argument("--backbone", type=Path, help="weights of the compact classifier, to start the backbone from")
    training.add_arguments(parser, minutes=120, batch=32, rate=2e-3)
    args = parser.parse_args(arguments)

    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    trainer = training.Trainer(CompactDetector(), torch.device(args.device), args.minutes * 60, args.rate)
    try:
        cache = PictureCache(args.cache or args.out / "cache", args.source, args.side)
        resumed = trainer.begin(args.out, args.start)
        if args.backbone and not resumed:
            trainer.start_from(args.backbone, prefix="backbone.")
    except CvDemoError as error:
        sys.exit(str(error))
    print(f"{len(cache.examples)} pictures, from step {trainer.step}", file=sys.stderr)

    maker = BatchMaker(cache, args.seed + trainer.step)
    next_batch = training.prefetch(lambda: make_next(maker, args.batch, trainer.progress))
    with training.asked_to_stop() as stopping:
        exchange = training.exchange_of(args)
        trainer.run(next_batch, loss_of, args.out, FILENAME, stopping, lambda batch: len(batch[0]), exchange)


if __name__ == "__main__":
    main()
