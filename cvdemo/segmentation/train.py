"""Train a compact segmentation model.

``python -m cvdemo.segmentation.train --classes voc --source PICTURES:LABELS[:SPLIT.json#KEY] … --out FOLDER``
``python -m cvdemo.segmentation.train --classes camvid --exact PICTURES:LABELS … --out FOLDER``

A source is a folder of pictures and a folder of index PNGs of the same relative paths; ``--exact`` marks labels that
people made, which are drawn more often. The schedule runs on the clock (cosine learning rate, growing crops), so the
same command gives a complete, annealed model in ten minutes or ten hours. A checkpoint is written every few minutes;
running the same command again resumes from it. ``compact_segmentation.safetensors`` or ``compact_streets.safetensors``
(fp16, the running average of the weights) in the output folder is what ships.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cvdemo.core import training
from cvdemo.core.errors import CvDemoError
from cvdemo.segmentation.labels import CAMVID_CLASSES, IGNORE, VOC_CLASSES
from cvdemo.segmentation.losses import segmentation_loss
from cvdemo.segmentation.nets.compact_unet import CompactUNet
from cvdemo.segmentation.rare_objects import RareObjects
from cvdemo.segmentation.training_data import BatchMaker, Example, Source, class_weights, load_source

BODY = ("backbone.", "context.", "up16.", "up8.", "up4.")  # all but the last layer, which knows the classes


@dataclass(frozen=True)
class Recipe:
    """What a set of classes is called, where its weights go, and the longest side of a picture at test time."""

    classes: tuple[str, ...]
    filename: str
    long_side: int


RECIPES = {
    "voc": Recipe(VOC_CLASSES, "compact_segmentation.safetensors", 384),
    "camvid": Recipe(CAMVID_CLASSES, "compact_streets.safetensors", 480),
}


@dataclass(frozen=True)
class Phase:
    """From ``start`` (share of the time budget) on: side of the crops in pixels."""

    start: float
    size: int


PHASES = (Phase(0.0, 192), Phase(0.25, 256), Phase(0.75, 320))


def phase_at(progress: float) -> Phase:
    """The phase of a progress in [0, 1]."""
    return next(phase for phase in reversed(PHASES) if progress >= phase.start)


def make_next(maker: BatchMaker, batch: int, progress: float) -> tuple[np.ndarray, np.ndarray]:
    """The batch that suits a progress in [0, 1]: fewer pictures when they are larger, so that steps take as long."""
    size = phase_at(progress).size
    count = min(batch, max(4, round(batch * (256 / size) ** 2 / 4) * 4)) if size > 256 else batch
    return maker.batch(count, size)


class Loss:
    """The loss of one batch (pixels, labels) of ``BatchMaker.batch``; weights (C,) per class."""

    def __init__(self, weights: np.ndarray, device: torch.device) -> None:
        self.weights = torch.from_numpy(weights).to(device)

    def __call__(self, network: nn.Module, batch: tuple[np.ndarray, np.ndarray]) -> tuple[Tensor, dict[str, float]]:
        pixels, labels = batch
        device = self.weights.device
        x = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float().div_(255)
        target = torch.from_numpy(labels).to(device).long()
        with torch.autocast(device.type, torch.bfloat16):
            logits = network(x.contiguous(memory_format=torch.channels_last))
        # Compared at the labels' resolution, so that the network learns where between two cells an edge runs.
        logits = nn.functional.interpolate(
            logits.float(), size=tuple(target.shape[1:]), mode="bilinear", align_corners=False
        )
        loss, figures = segmentation_loss(logits, target, self.weights)
        with torch.no_grad():  # of every fourth row and column: a figure to watch, as expensive as a layer otherwise
            some, labels_there = logits[:, :, ::4, ::4].argmax(1), target[:, ::4, ::4]
            counted = labels_there != IGNORE
            right = (some == labels_there)[counted].float().mean() if counted.any() else torch.tensor(0)
        return loss, figures | {"accuracy": float(right)}


def parse_source(text: str) -> Source:
    """``PICTURES:LABELS[:FILE.json#KEY]`` -> source; the list under KEY names the stems to use."""
    parts = text.split(":")
    if len(parts) not in (2, 3):
        raise argparse.ArgumentTypeError(f"{text!r} is not PICTURES:LABELS or PICTURES:LABELS:STEMS.json#KEY")
    stems = None
    if len(parts) == 3:
        file, _, key = parts[2].partition("#")
        listed = json.loads(Path(file).read_text())
        stems = frozenset(str(stem) for stem in (listed[key] if key else listed))
    return Source(Path(parts[0]), Path(parts[1]), stems)


def load_examples(args: argparse.Namespace, recipe: Recipe, sources: Sequence[Source]) -> list[Example]:
    """All examples of the sources; InputError when a source has none."""
    cache = args.cache or args.out / "cache"
    return [e for source in sources for e in load_source(cache, source, args.side, len(recipe.classes))]


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the options, train until the time is spent, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", choices=sorted(RECIPES), default="voc")
    parser.add_argument("--source", action="append", type=parse_source, help="PICTURES:LABELS[:STEMS.json#KEY]")
    parser.add_argument("--exact", action="append", type=parse_source, help="the same, labelled by people")
    parser.add_argument(
        "--objects",
        action="append",
        type=parse_source,
        help="pictures to cut objects of rare classes out of, which are pasted into the others",
    )
    parser.add_argument("--cache", type=Path, help="folder for decoded pictures (default: OUT/cache)")
    parser.add_argument("--side", type=int, default=480, help="longest side of a cached picture, pixels")
    parser.add_argument("--backbone", type=Path, help="weights of the compact classifier, to start the backbone from")
    parser.add_argument("--keep", type=Path, help="weights of the other model, of which a part is used as it is")
    parser.add_argument("--part", default="backbone", help="that part (%(default)s)")
    parser.add_argument("--body", type=Path, help="weights of the other model, to start all but the last layer from")
    training.add_arguments(parser, minutes=120, batch=16, rate=1.5e-3)
    args = parser.parse_args(arguments)
    if not (args.source or args.exact):
        parser.error("at least one --source or --exact is needed")

    recipe = RECIPES[args.classes]
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    device = torch.device(args.device)
    trainer = training.Trainer(CompactUNet(len(recipe.classes)), device, args.minutes * 60, args.rate)
    try:
        exact = [replace(source, exact=True) for source in args.exact or []]
        examples = load_examples(args, recipe, [*(args.source or []), *exact])
        if args.keep:
            trainer.keep(args.keep, args.part)
        if not trainer.begin(args.out, args.start):
            for part in BODY if args.body else ():
                trainer.start_from(args.body, prefix=part)
            if args.backbone:
                trainer.start_from(args.backbone, prefix="backbone.")
        seed, paste = args.seed + trainer.step, None
        if args.objects:
            paste = RareObjects(examples, load_examples(args, recipe, args.objects), seed).paste
        maker = BatchMaker(examples, seed, recipe.long_side, paste)
    except CvDemoError as error:
        sys.exit(str(error))
    print(f"{len(examples)} pictures, from step {trainer.step}", file=sys.stderr)

    next_batch = training.prefetch(lambda: make_next(maker, args.batch, trainer.progress))
    loss_of = Loss(class_weights(examples), device)
    with training.asked_to_stop() as stopping:
        exchange = training.exchange_of(args)
        trainer.run(next_batch, loss_of, args.out, recipe.filename, stopping, lambda batch: len(batch[0]), exchange)


if __name__ == "__main__":
    main()
