"""Train the compact backbone as a 1,000-class ImageNet classifier by distillation.

``python -m cvdemo.classification.train --pack PACK[*SHARE] … --out FOLDER --minutes 120``

A pack is what ``cvdemo.classification.soft_labels`` wrote: pictures, crops, and a teacher's probabilities for each
crop. The student sees the same crops, jittered, and is asked for the teacher's distribution (Hinton et al. 2015,
arXiv:1503.02531); where the true class is known it is mixed in half and half. ``*SHARE`` is how often a pack is drawn
relative to its number of crops. Schedule, checkpoints and options as in every recipe (``cvdemo.core.training``);
``compact_classifier.safetensors`` in the output folder is what ships.
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

from cvdemo.classification.labels import IMAGENET_CLASSES
from cvdemo.classification.nets.compact_backbone import CompactClassifier
from cvdemo.core import training, weights
from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.lazy import cv2

FILENAME = "compact_classifier.safetensors"
TRUTH_SHARE = 0.5
# A teacher that saw the whole picture and does not list its class among the ten best has not recognised it.
SURE_TRUTH_SHARE = 0.9
WHOLE = (0.0, 0.0, 1.0, 1.0)
# (share of the budget, picture side): small and fast first, the size it is used at last
SIZES = ((0.0, 112), (0.5, 128), (0.85, 160))


def size_at(progress: float) -> int:
    """The picture side of a progress in [0, 1]."""
    return next(size for start, size in reversed(SIZES) if progress >= start)


@dataclass(frozen=True)
class Pack:
    """One pack, memory-mapped: pixels, and the tables written by ``soft_labels``."""

    pixels: np.ndarray
    offsets: np.ndarray
    tables: dict[str, np.ndarray]
    share: float

    @classmethod
    def open(cls, text: str) -> Pack:
        """``PATH`` or ``PATH*SHARE``; raises InputError when its two files do not belong together."""
        name, _, share = text.partition("*")
        path = Path(name)
        try:
            with np.load(path.with_suffix(".npz")) as loaded:
                tables = {key: loaded[key] for key in loaded.files}
            pixels = np.memmap(path.with_suffix(".rgb"), np.uint8, "r")
        except (OSError, ValueError) as error:
            raise InputError(f"{name} is not a pack ({error}).", hint="Write it with soft_labels again.") from error
        sizes = tables["shapes"].astype(np.int64).prod(1) * 3
        if sizes.sum() != len(pixels):
            raise InputError(f"The two files of {name} do not belong together.", hint="Write the pack again.")
        return cls(pixels, np.concatenate([[0], sizes.cumsum()[:-1]]), tables, float(share or 1))

    def __len__(self) -> int:
        return len(self.tables["view_picture"])

    def picture(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB view of packed picture ``index``."""
        height, width = (int(v) for v in self.tables["shapes"][index])
        start = int(self.offsets[index])
        return self.pixels[start : start + height * width * 3].reshape(height, width, 3)


def jitter_box(box: np.ndarray, rng: np.random.Generator, amount: float = 0.12) -> np.ndarray:
    """Move each side of a crop (fractions x1 y1 x2 y2) by up to ``amount`` of its extent, inside the picture."""
    extent = np.array([box[2] - box[0], box[3] - box[1]] * 2)
    return np.clip(box + rng.uniform(-amount, amount, 4) * extent, 0.0, 1.0)


def crop_and_resize(picture: np.ndarray, box: np.ndarray, size: int) -> np.ndarray:
    """The crop (fractions x1 y1 x2 y2) of an RGB picture at (size, size, 3) uint8."""
    height, width = picture.shape[:2]
    x1, y1 = int(box[0] * width), int(box[1] * height)
    x2, y2 = max(x1 + 1, round(box[2] * width)), max(y1 + 1, round(box[3] * height))
    crop = picture[y1:y2, x1:x2]
    shrinking = min(crop.shape[:2]) > size * 1.4
    return cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)


def jitter_colour(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random brightness, contrast, saturation and tint, as one affine map of the colours."""
    saturation = rng.uniform(0.5, 1.5) if rng.random() > 0.1 else 0.0
    matrix = saturation * np.eye(3, dtype=np.float32) + (1 - saturation) / 3
    gain = rng.uniform(0.6, 1.4)
    matrix = matrix * gain * rng.uniform(0.85, 1.15, (3, 1))
    offset = np.full((3, 1), rng.uniform(-25, 25) + 115 * (1 - gain), np.float32)
    return cv2.transform(picture, np.concatenate([matrix, offset], 1).astype(np.float32))


def blur_by_size(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Now and then (a third of the draws) a picture that has lost its fine detail, by shrinking and enlarging it.

    Some packs hold thumbnails and others photographs. Without this the sharpness of a picture tells which pack it is
    from, and with that which classes are likely: any sharp animal is then called after the few sharp animals seen.
    """
    if rng.random() > 1 / 3:
        return picture
    side = picture.shape[0]
    small = max(16, round(side * rng.uniform(0.25, 0.7)))
    return cv2.resize(
        cv2.resize(picture, (small, small), interpolation=cv2.INTER_AREA), (side, side), interpolation=cv2.INTER_LINEAR
    )


class BatchMaker:
    """Draws crops from the packs and makes pixels and soft targets."""

    def __init__(self, packs: Sequence[Pack], seed: int) -> None:
        self.packs = packs
        self.rng = np.random.default_rng(seed)
        amount = np.array([len(pack) * pack.share for pack in packs], np.float64)
        self.cumulative = np.cumsum(amount / amount.sum())

    def _one(self, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, bool]:
        rng = self.rng
        pack = self.packs[min(int(np.searchsorted(self.cumulative, rng.random())), len(self.packs) - 1)]
        view = int(rng.integers(len(pack)))
        tables = pack.tables
        index = int(tables["view_picture"][view])
        box = jitter_box(tables["view_box"][view].astype(np.float64), rng)
        pixels = blur_by_size(crop_and_resize(pack.picture(index), box, size), rng)
        if rng.random() < 0.5:
            pixels = pixels[:, ::-1]
        pixels = jitter_colour(np.ascontiguousarray(pixels), rng)
        truth, labelled = int(tables["classes"][index]), tables["view_box"][view]
        whole = bool((labelled == WHOLE).all())
        return pixels, tables["top_class"][view], tables["top_probability"][view], truth, whole

    def batch(self, count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (count, size, size, 3) uint8, targets (count, 1000) float32 whose rows sum to 1."""
        classes = len(IMAGENET_CLASSES)
        targets = np.zeros((count, classes), np.float32)
        pictures = []
        for row in range(count):
            pixels, top, probability, truth, whole = self._one(size)
            pictures.append(pixels)
            known = probability.astype(np.float32)
            targets[row] = max(0.0, 1.0 - float(known.sum())) / classes  # the tail the teacher's top ten leave
            targets[row, top] += known
            if truth >= 0:
                share = TRUTH_SHARE if truth in top or not whole else SURE_TRUTH_SHARE
                targets[row] *= 1 - share
                targets[row, truth] += share
            targets[row] /= targets[row].sum()
        return np.stack(pictures), targets


def loss_of(network: nn.Module, batch: tuple[np.ndarray, np.ndarray]) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy against the soft targets, and the share of crops whose best class is the target's best."""
    device = next(network.parameters()).device
    x = torch.from_numpy(batch[0]).to(device).permute(0, 3, 1, 2).float().div_(255)
    wanted = torch.from_numpy(batch[1]).to(device)
    with torch.autocast(device.type, torch.bfloat16):
        logits = network(x.contiguous(memory_format=torch.channels_last))
    logits = logits.float()
    loss = nn.functional.cross_entropy(logits, wanted)
    agreement = (logits.detach().argmax(1) == wanted.argmax(1)).float().mean()
    return loss, {"loss": float(loss.detach()), "agreement": float(agreement)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the options, train until the time is spent, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", action="append", required=True, help="PATH or PATH*SHARE of a pack")
    parser.add_argument(
        "--keep-backbone",
        action="store_true",
        help="train only what lies above the backbone of --from, which other models borrow",
    )
    training.add_arguments(parser, minutes=120, batch=128, rate=3e-3)
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    trainer = training.Trainer(CompactClassifier(), torch.device(args.device), args.minutes * 60, args.rate)
    try:
        packs = [Pack.open(text) for text in args.pack]
        if not trainer.begin(args.out) and args.start:
            # Of a classifier everything is taken over, of another network what they share.
            whole = any(name.startswith("widen.") for name in weights.load_state(args.start))
            trainer.start_from(args.start, prefix="" if whole else "backbone.")
        if args.keep_backbone:  # its batch normalisation keeps the statistics it has, which are of the last size
            trainer.network.backbone.requires_grad_(False).eval()
    except CvDemoError as error:
        sys.exit(str(error))
    print(f"{sum(len(pack) for pack in packs)} crops, from step {trainer.step}", file=sys.stderr)
    maker = BatchMaker(packs, args.seed + trainer.step)

    def next_size() -> int:
        return SIZES[-1][1] if args.keep_backbone else size_at(trainer.progress)

    next_batch = training.prefetch(lambda: maker.batch(args.batch, next_size()))
    with training.asked_to_stop() as stopping:
        exchange = training.exchange_of(args)
        trainer.run(next_batch, loss_of, args.out, FILENAME, stopping, lambda batch: len(batch[0]), exchange)


if __name__ == "__main__":
    main()
