"""Train one of the compact pose models.

``python -m cvdemo.pose.train --net heatmap --source LABELS.json:PICTURES[:IDS.json#KEY] … --out FOLDER --minutes 120``

Sources are COCO keypoints json files with the folder their file names are relative to; ids restrict a source to a
split. ``cvdemo.pose.pseudo_label`` and ``cvdemo.pose.lspet`` write such files. The heatmap nets begin with small crops
and end with large ones. Schedule, checkpoints and options as in every recipe (``cvdemo.core.training``); ``--from``
takes any of our own compact weights and uses what fits of them. ``compact_pose….safetensors`` in the output folder is
what ships.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cvdemo.core import training
from cvdemo.core.errors import CvDemoError
from cvdemo.detection.train import parse_source
from cvdemo.faces.train_detector import borrow
from cvdemo.pose.crops import CROP_HEIGHT, CROP_WIDTH
from cvdemo.pose.losses import heatmap_loss, regression_loss, score_loss
from cvdemo.pose.nets.pose_heatmap import PoseHeatmap
from cvdemo.pose.nets.pose_hourglass import PoseHourglass
from cvdemo.pose.nets.pose_regression import Cascade, PoseRegression
from cvdemo.pose.training_data import BatchMaker, Example, load_source

SCORE_SHARE = 0.1
AVERAGE_DECAY = 0.999


@dataclass(frozen=True)
class Phase:
    """From ``start`` (share of the time budget) on: width and height of the crops in pixels."""

    start: float
    width: int
    height: int


FULL = Phase(0.0, CROP_WIDTH, CROP_HEIGHT)


@dataclass(frozen=True)
class Recipe:
    """What is particular to one net: how to build it, what to call its weights, its crops."""

    build: Callable[[], nn.Module]
    filename: str
    phases: tuple[Phase, ...]


RECIPES = {
    "heatmap": Recipe(
        PoseHeatmap,
        "compact_pose.safetensors",
        (Phase(0.0, 96, 128), Phase(0.3, 128, 192), Phase(0.55, CROP_WIDTH, CROP_HEIGHT)),
    ),
    # Its first stage has a linear layer, which knows one size only.
    "regression": Recipe(PoseRegression, "compact_pose_regression.safetensors", (FULL,)),
    # Multiples of 64 only, because of its coarsest level.
    "hourglass": Recipe(
        PoseHourglass,
        "compact_pose_hourglass.safetensors",
        (Phase(0.0, 128, 192), Phase(0.5, CROP_WIDTH, CROP_HEIGHT)),
    ),
}


def phase_at(phases: Sequence[Phase], progress: float) -> Phase:
    """The phase of a progress in [0, 1]."""
    return next(phase for phase in reversed(phases) if progress >= phase.start)


def make_next(maker: BatchMaker, phases: Sequence[Phase], batch: int, progress: float) -> tuple[np.ndarray, np.ndarray]:
    """The batch that suits a progress in [0, 1]: up to twice ``batch`` crops when they are small."""
    phase = phase_at(phases, progress)
    count = round(batch * min(2.0, CROP_WIDTH * CROP_HEIGHT / (phase.width * phase.height)))
    return maker.batch(count, phase.width, phase.height)


def terms_of(outputs: Tensor | Cascade | tuple[Tensor, ...], joints: Tensor, aspect: float) -> dict[str, Tensor]:
    """The weighted terms of the loss by name, for what any of the three nets returns."""
    if isinstance(outputs, Tensor):
        return {"heatmap": heatmap_loss(outputs, joints)}
    if isinstance(outputs, Cascade):
        return {
            "first": regression_loss(outputs.first, joints, aspect),
            "second": regression_loss(outputs.second, joints, aspect),
            "score": SCORE_SHARE * score_loss(outputs.score, outputs.second, joints, aspect),
        }
    # Supervision of every stack, as in the hourglass paper.
    return {f"stack {number}": heatmap_loss(maps, joints) for number, maps in enumerate(outputs, 1)}


def loss_of(network: nn.Module, batch: tuple[np.ndarray, np.ndarray]) -> tuple[Tensor, dict[str, float]]:
    """The loss of one batch (crops, joints) of ``BatchMaker.batch`` and its terms."""
    device = next(network.parameters()).device
    x = torch.from_numpy(batch[0]).to(device).permute(0, 3, 1, 2).float().div_(255)
    joints = torch.from_numpy(batch[1]).to(device)
    with torch.autocast(device.type, torch.bfloat16):
        outputs = network(x.contiguous(memory_format=torch.channels_last))
    terms = terms_of(outputs, joints, x.shape[3] / x.shape[2])
    return torch.stack(list(terms.values())).sum(), {name: float(value.detach()) for name, value in terms.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the options, train until the time is spent, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", choices=tuple(RECIPES), default="heatmap")
    parser.add_argument("--source", action="append", type=parse_source, required=True, help="LABELS:FOLDER[:IDS#KEY]")
    parser.add_argument("--cache", type=Path, help="folder for cut-out people (default: OUT/cache)")
    parser.add_argument("--keep", type=Path, help="weights of another pose model whose backbone is used as it is")
    training.add_arguments(parser, minutes=120, batch=32, rate=2e-3)
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    recipe = RECIPES[args.net]
    network = recipe.build()
    checkpoint = args.out / training.CHECKPOINT
    examples: list[Example] = []
    try:
        for source in args.source:
            examples += load_source(args.cache or args.out / "cache", source)
        if args.start and not checkpoint.exists():
            print(f"{borrow(network, args.start)} tensors taken from {args.start.name}", file=sys.stderr)
        trainer = training.Trainer(
            network, torch.device(args.device), args.minutes * 60, args.rate, average_decay=AVERAGE_DECAY
        )
        if args.keep:
            trainer.keep(args.keep, "backbone")
        if checkpoint.exists():
            trainer.resume(checkpoint)
    except CvDemoError as error:
        sys.exit(str(error))
    by_people = sum(example.truth for example in examples)
    print(f"{len(examples)} people, {by_people} labelled by people, from step {trainer.step}", file=sys.stderr)
    maker = BatchMaker(examples, args.seed + trainer.step)
    next_batch = training.prefetch(lambda: make_next(maker, recipe.phases, args.batch, trainer.progress))
    with training.asked_to_stop() as stopping:
        exchange = training.exchange_of(args)
        trainer.run(next_batch, loss_of, args.out, recipe.filename, stopping, lambda batch: len(batch[0]), exchange)


if __name__ == "__main__":
    main()
