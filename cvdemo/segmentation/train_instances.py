"""Train the compact instance model: the mask branch on the frozen compact detector.

``python -m cvdemo.segmentation.train_instances --polygons COCO.json:PICTURES:SPLIT.json#KEY --clothing MASKS:PICTURES
--horses MASKS:PICTURES --pseudo COCO.json:PICTURES:TEACHER --out FOLDER --minutes 30``

Sources are those of ``instance_data``; each may be given several times, and ``:FILE.json#KEY`` at its end restricts it
to the ids (stems for clothing and horses) listed there. The detector's weights are read from ``weights/`` and never
changed. The schedule runs on the clock (cosine learning rate, growing crops), so the same command gives a complete,
annealed model in ten minutes or two hours. A checkpoint is written every few minutes; running the same command again
resumes from it. ``compact_instances.safetensors`` (fp16, the running average, the mask branch alone) is what ships.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from cvdemo.core import training, weights
from cvdemo.core.errors import CvDemoError
from cvdemo.detection.compact import LONG_SIDE
from cvdemo.detection.nets.compact_detector import CompactDetector, cell_centres, decode_boxes, flatten_levels
from cvdemo.segmentation.instance_batches import InstanceBatch, InstanceBatchMaker
from cvdemo.segmentation.instance_data import Example, Source, load_source, weighted
from cvdemo.segmentation.instance_losses import answering_cells, mask_loss, sampled_targets, training_regions
from cvdemo.segmentation.nets.compact_instances import GRID, MaskBranch
from cvdemo.segmentation.train import Phase

FILENAME, DETECTOR = "compact_instances.safetensors", "compact_detector.safetensors"
SHARES = {"polygons": 0.5, "pseudo": 0.3, "clothing": 0.15, "horses": 0.05}  # of the pictures drawn
AVERAGE_DECAY = 0.998  # half an hour on one core is about three thousand steps


PHASES = (Phase(0.0, 320), Phase(0.5, 384), Phase(0.85, 448))


def phase_at(progress: float) -> Phase:
    """The phase of a progress in [0, 1]."""
    return next(phase for phase in reversed(PHASES) if progress >= phase.start)


def make_next(maker: InstanceBatchMaker, batch: int, progress: float) -> InstanceBatch:
    """The batch that suits a progress in [0, 1]: fewer pictures when they are larger, so that steps take as long."""
    size = phase_at(progress).size
    return maker.batch(max(2, min(batch, round(batch * (320 / size) ** 2))), size)


class Loss:
    """The loss of one batch for a ``MaskBranch`` that stands on ``detector``, which is neither trained nor changed."""

    def __init__(self, detector: CompactDetector, device: torch.device) -> None:
        frozen = detector.eval().fuse().requires_grad_(False)
        self.detector = frozen.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.device = device

    def __call__(self, network: nn.Module, batch: InstanceBatch) -> tuple[Tensor, dict[str, float]]:
        assert isinstance(network, MaskBranch)
        x = torch.from_numpy(batch.pixels).to(self.device).permute(0, 3, 1, 2).float().div_(255)
        size = x.shape[3]
        picture, category, true, masks = (
            torch.from_numpy(part).to(self.device) for part in (batch.picture, batch.category, batch.boxes, batch.masks)
        )
        if not len(picture):
            return sum((p.sum() * 0 for p in network.parameters()), x.new_zeros(())), {}
        with torch.no_grad():
            with torch.autocast(self.device.type, torch.bfloat16):
                c2, levels = self.detector.pyramid(x.contiguous(memory_format=torch.channels_last))
                outputs = self.detector.predict(levels)
            logits, bins = flatten_levels(outputs)
            boxes = decode_boxes(bins, *cell_centres(size, size, self.device))
            chosen = answering_cells(logits, boxes, picture, category, true)
            regions = training_regions(true, chosen, size)
            target, known = sampled_targets(masks, regions, GRID, size)
        cells = chosen.cell.shape[1]
        with torch.autocast(self.device.type, torch.bfloat16):
            prototypes = network.prototypes(c2, levels[0])
            found = network.masks(
                prototypes, levels, picture.repeat_interleave(cells), chosen.cell.flatten(), regions.flatten(0, 1)
            )
        loss, figures = mask_loss(found.reshape(target.shape), target, known, chosen.used)
        return loss, figures | {"objects": float(chosen.used.any(1).sum())}


def parse_source(kind: str) -> Callable[[str], Source]:
    """From ``LABELS:PICTURES[:TEACHER][:FILE.json#KEY]`` to a source of that kind; only "pseudo" has a teacher."""
    paths = 3 if kind == "pseudo" else 2

    def parse(text: str) -> Source:
        parts = text.split(":")
        if len(parts) not in (paths, paths + 1):
            shape = "LABELS:PICTURES:TEACHER" if kind == "pseudo" else "LABELS:PICTURES"
            raise argparse.ArgumentTypeError(f"{text!r} is not {shape} or {shape}:IDS.json#KEY")
        ids = None
        if len(parts) > paths:
            file, _, key = parts[-1].partition("#")
            listed = json.loads(Path(file).read_text())
            ids = frozenset(str(id_) for id_ in (listed[key] if key else listed))
        return Source(kind, Path(parts[0]), Path(parts[1]), Path(parts[2]) if kind == "pseudo" else None, ids)

    return parse


def load_examples(args: argparse.Namespace) -> list[Example]:
    """All examples of the sources on the command line, drawn in the proportions of ``SHARES``."""
    cache = args.cache or args.out / "cache"
    groups = []
    for kind, share in SHARES.items():
        examples = [
            example for source in getattr(args, kind) or [] for example in load_source(cache, source, args.side)
        ]
        objects = sum(len(example.objects) for example in examples)
        print(f"{kind}: {len(examples)} pictures, {objects} objects", file=sys.stderr)
        groups.append((share, examples))
    return weighted(groups)


def load_detector(path: Path | None) -> CompactDetector:
    """The compact detector with its weights, by default those in ``weights/``; WeightsError where they are missing."""
    found = path or weights.ensure(weights.WeightsFile(DETECTOR))
    detector = CompactDetector()
    weights.apply_state(detector, weights.load_state(found), found.name)
    return detector


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the options, train until the time is spent, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for kind in SHARES:
        shape = "LABELS:PICTURES:TEACHER[:IDS#KEY]" if kind == "pseudo" else "LABELS:PICTURES[:IDS#KEY]"
        parser.add_argument(f"--{kind}", action="append", type=parse_source(kind), metavar=shape)
    parser.add_argument("--cache", type=Path, help="folder for decoded pictures and masks (default: OUT/cache)")
    parser.add_argument("--side", type=int, default=LONG_SIDE, help="longest side of a cached picture, pixels")
    parser.add_argument("--detector", type=Path, help="the compact detector's weights (default: those that ship)")
    training.add_arguments(parser, minutes=30, batch=16, rate=2e-3)
    args = parser.parse_args(arguments)
    if not any(getattr(args, kind) for kind in SHARES):
        parser.error(f"at least one source is needed: {', '.join(f'--{kind}' for kind in SHARES)}")

    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    device = torch.device(args.device)
    trainer = training.Trainer(MaskBranch(), device, args.minutes * 60, args.rate, average_decay=AVERAGE_DECAY)
    try:
        loss_of = Loss(load_detector(args.detector), device)
        examples = load_examples(args)
        trainer.begin(args.out, args.start)
        maker = InstanceBatchMaker(examples, args.seed + trainer.step, LONG_SIDE)
    except CvDemoError as error:
        sys.exit(str(error))
    print(f"{len(examples)} pictures, from step {trainer.step}", file=sys.stderr)

    next_batch = training.prefetch(lambda: make_next(maker, args.batch, trainer.progress))
    with training.asked_to_stop() as stopping:
        exchange = training.exchange_of(args)
        trainer.run(next_batch, loss_of, args.out, FILENAME, stopping, lambda batch: len(batch.pixels), exchange)


if __name__ == "__main__":
    main()
