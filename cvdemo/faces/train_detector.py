"""Train the compact face detector.

``python -m cvdemo.faces.train_detector --source LABELS.json:PICTURES[:IDS.json#KEY] … --out FOLDER --minutes 45``

Labels are what ``cvdemo.faces.pseudo_label`` wrote, with the folder their file names are relative to; image ids
restrict a source to a split. Schedule, checkpoints and options as in every recipe (``cvdemo.core.training``);
``--from`` takes any of our own compact weights and uses what fits of them.
``compact_face_detector.safetensors`` in the output folder is what ships.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cvdemo.core import training, weights
from cvdemo.core.errors import CvDemoError
from cvdemo.detection.losses import Targets
from cvdemo.detection.train import parse_source
from cvdemo.faces.losses import FaceTargets, face_loss
from cvdemo.faces.nets.face_detector import CompactFaceDetector, cell_centres, flatten_levels
from cvdemo.faces.training_data import BatchMaker, Example, load_source

FILENAME = "compact_face_detector.safetensors"
CACHE_SIDE = 512


@dataclass(frozen=True)
class Phase:
    """From ``start`` (share of the time budget) on: crop side in pixels, share of mosaics."""

    start: float
    size: int
    mosaic: float


PHASES = (Phase(0.0, 192, 0.6), Phase(0.3, 256, 0.6), Phase(0.85, 320, 0.4))


def phase_at(progress: float) -> Phase:
    """The phase of a progress in [0, 1]."""
    return next(phase for phase in reversed(PHASES) if progress >= phase.start)


def to_targets(rows: np.ndarray, device: torch.device) -> FaceTargets:
    """Rows (M, 16) of ``BatchMaker.batch`` as tensors."""
    table = torch.from_numpy(rows).to(device)
    count = len(table)
    classes = torch.zeros(count, dtype=torch.long, device=device)
    confidence = torch.ones(count, device=device)
    boxes = Targets(table[:, 0].long(), table[:, 1:5], classes, confidence, table[:, 15] > 0)
    return FaceTargets(boxes, table[:, 5:15].reshape(-1, 5, 2))


def loss_of(network: nn.Module, batch: tuple[np.ndarray, np.ndarray]) -> tuple[Tensor, dict[str, float]]:
    """The loss of one batch and its parts."""
    device = next(network.parameters()).device
    x = torch.from_numpy(batch[0]).to(device).permute(0, 3, 1, 2).float().div_(255)
    centres, strides = cell_centres(x.shape[2], x.shape[3], device)
    with torch.autocast(device.type, torch.bfloat16):
        levels = network(x.contiguous(memory_format=torch.channels_last))
    terms = face_loss(flatten_levels(levels), to_targets(batch[1], device), centres, strides)
    figures = {"score": float(terms.score), "box": float(terms.box), "landmark": float(terms.landmark)}
    return terms.total, figures | {"positives": float(terms.positives)}


def borrow(network: nn.Module, path: Path) -> int:
    """Copy every tensor that fits in name and shape from our own weights; returns how many.

    From another compact model that is the first half of the backbone, from an earlier run everything.
    """
    state = weights.load_state(path)
    own = network.state_dict()
    fits = {n: v for n, v in state.items() if n in own and v.shape == own[n].shape}
    with torch.no_grad():
        for name, value in fits.items():
            own[name].copy_(value)
    return len(fits)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the options, train until the time is spent, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", action="append", type=parse_source, required=True, help="LABELS:FOLDER[:IDS#KEY]")
    parser.add_argument("--cache", type=Path, help="folder for decoded pictures (default: OUT/cache)")
    training.add_arguments(parser, minutes=45, batch=32, rate=3e-3)
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    network = CompactFaceDetector()
    checkpoint = args.out / training.CHECKPOINT
    examples: list[Example] = []
    try:
        for labels, root, ids in args.source:
            examples += load_source(args.cache or args.out / "cache", labels, root, ids, CACHE_SIDE)
        maker = BatchMaker(examples, args.seed)
        if args.start and not checkpoint.exists():
            print(f"{borrow(network, args.start)} tensors taken from {args.start.name}", file=sys.stderr)
        trainer = training.Trainer(
            network, torch.device(args.device), args.minutes * 60, args.rate, average_decay=0.998
        )
        if checkpoint.exists():
            trainer.resume(checkpoint)
            maker.rng = np.random.default_rng(args.seed + trainer.step)
    except CvDemoError as error:
        sys.exit(str(error))
    faces = sum(int(example.sure.sum()) for example in examples)
    print(f"{len(examples)} pictures, {faces} faces, from step {trainer.step}", file=sys.stderr)

    def make() -> tuple[np.ndarray, np.ndarray]:
        phase = phase_at(trainer.progress)
        count = max(2, round(args.batch * min(1.0, (256 / phase.size) ** 2)))  # equal time a step in the last phase
        return maker.batch(count, phase.size, phase.mosaic)

    next_batch = training.prefetch(make)
    with training.asked_to_stop() as stopping:
        trainer.run(next_batch, loss_of, args.out, FILENAME, stopping, count=lambda batch: len(batch[0]))


if __name__ == "__main__":
    main()
