"""The recipe of the everyday-actions model: har15_stills, four fifths of them, measured on the fifth held back."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cvdemo.action.baselines import majority, nearest_neighbour, top_k
from cvdemo.action.duplicates import signatures, twins
from cvdemo.action.nets.compact_action import CompactAction
from cvdemo.action.train import Job
from cvdemo.action.training_data import Pictures, middle_square, pack, random_crop, read_labels
from cvdemo.classification.train import blur_by_size, jitter_colour
from cvdemo.core import weights
from cvdemo.core.errors import InputError

FILENAME = "compact_action.safetensors"
SIDE = 160
SIZES = ((0.0, 112), (0.3, 128), (0.75, 160))
"""From this share of the budget on: side of the crops in pixels."""
MIXED, PLAIN_FROM = 0.2, 0.5
"""Pictures are mixed in the first half of the budget; from then on crops keep at least half of a picture, too."""


def size_at(progress: float) -> int:
    """The crops' side at a progress in [0, 1]."""
    return next(size for start, size in reversed(SIZES) if progress >= start)


class StillBatches:
    """Endless batches: (B, S, S, 3) uint8 pictures and (B, C) float32 targets.

    Two pictures and their targets are mixed now and then (mixup, Zhang et al. 2018, arXiv:1710.09412).
    """

    def __init__(self, pictures: Pictures, rows: np.ndarray, seed: int) -> None:
        self.pictures, self.rows = pictures, rows
        self.rng = np.random.default_rng(seed)
        self.left: list[int] = []

    def batch(self, count: int, progress: float) -> tuple[np.ndarray, np.ndarray]:
        """A batch that suits a progress in [0, 1]."""
        plain = progress >= PLAIN_FROM
        drawn = [self._one(size_at(progress), 0.5 if plain else 0.3) for _ in range(count)]
        pixels = np.stack([picture for picture, _ in drawn])
        targets = np.zeros((count, len(self.pictures.classes)), np.float32)
        targets[np.arange(count), [label for _, label in drawn]] = 1
        if not plain and self.rng.random() < 0.5:
            share = self.rng.beta(MIXED, MIXED)
            pixels = np.rint(pixels * share + pixels[::-1] * (1 - share)).astype(np.uint8)
            targets = (targets * share + targets[::-1] * (1 - share)).astype(np.float32)
        return pixels, targets

    def _one(self, size: int, least: float) -> tuple[np.ndarray, int]:
        if not self.left:
            self.left = self.rng.permutation(self.rows).tolist()
        row = self.left.pop()
        picture = blur_by_size(random_crop(self.pictures[row], size, self.rng, least), self.rng)
        return jitter_colour(picture, self.rng), int(self.pictures.labels[row])


def job(args: argparse.Namespace) -> Job:
    """The backbone of ``--backbone`` and a new head on ``--pictures``."""
    if args.pictures is None:
        raise InputError("The everyday-actions model needs --pictures.", hint="Give the har15_stills folder.")
    pictures = pack(args.cache or args.out / "cache", read_labels(args.pictures))
    held_back = pictures.held_back()
    train = without_twins(pictures, held_back)
    batches = StillBatches(pictures, train, args.seed)
    network = CompactAction(len(pictures.classes))
    start_from_classifier(network, args)
    device = torch.device(args.device)

    def loss_of(net: nn.Module, batch: tuple[np.ndarray, np.ndarray]) -> tuple[Tensor, dict[str, float]]:
        pixels, targets = (torch.from_numpy(part).to(device) for part in batch)
        x = pixels.permute(0, 3, 1, 2).float().div_(255).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16):
            logits = net(x)
        loss = nn.functional.cross_entropy(logits.float(), targets, label_smoothing=0.1)
        right = (logits.detach().argmax(1) == targets.argmax(1)).float().mean()
        return loss, {"loss": float(loss.detach()), "accuracy": float(right)}

    return Job(
        network,
        FILENAME,
        lambda count, step, progress: batches.batch(count, progress),
        loss_of,
        lambda batch: len(batch[0]),
        lambda net: measure(net, pictures, train, np.flatnonzero(held_back), args),
        memory_format=torch.channels_last,
    )


def without_twins(pictures: Pictures, held_back: np.ndarray) -> np.ndarray:
    """Rows to train on: neither held back nor the same picture, under another name, as one that is."""
    looks = signatures(pictures[row] for row in range(len(pictures)))
    rows = np.flatnonzero(~held_back)
    kept: np.ndarray = rows[~twins(looks[rows], looks[held_back])]
    return kept


def start_from_classifier(network: CompactAction, args: argparse.Namespace) -> None:
    """Take over everything but the head from the compact classifier's file."""
    if args.backbone is None:
        return
    state = {n: v for n, v in weights.load_state(args.backbone).items() if not n.startswith("head.")}
    own = {n: v for n, v in network.state_dict().items() if n.startswith("head.")}
    weights.apply_state(network, own | state, args.backbone.name)


@torch.inference_mode()
def _embeddings(network: CompactAction, pictures: Pictures, rows: np.ndarray) -> np.ndarray:
    """(N, 512) float32 of the middle squares."""
    device = next(network.parameters()).device
    found = []
    for start in range(0, len(rows), 64):
        squares = np.stack([middle_square(pictures[row], SIDE) for row in rows[start : start + 64]])
        x = torch.from_numpy(squares).to(device).permute(0, 3, 1, 2).float().div_(255)
        with torch.autocast(device.type, torch.bfloat16):
            found.append(network.embed(x.contiguous(memory_format=torch.channels_last)).float().cpu().numpy())
    return np.concatenate(found)


@torch.inference_mode()
def measure(
    network: Any, pictures: Pictures, train: np.ndarray, test: np.ndarray, args: argparse.Namespace
) -> dict[str, Any]:
    """Accuracy on the fifth held back, beside the commonest class and the nearest neighbour by untrained features."""
    labels = pictures.labels
    seen = torch.from_numpy(_embeddings(network, pictures, test)).to(next(network.parameters()).device)
    logits = network.head(seen).cpu().numpy()
    right = logits.argmax(axis=1) == labels[test]
    figures: dict[str, Any] = {
        "pictures": len(train),
        "held_back": len(test),
        "accuracy": float(right.mean()),
        "top5": top_k(logits, labels[test], 5),
        "per_class": {
            name: round(float(right[labels[test] == row].mean()), 3) for row, name in enumerate(pictures.classes)
        },
        "baseline_majority": majority(labels[train], labels[test]),
    }
    if args.backbone is not None:
        frozen = CompactAction(len(pictures.classes)).to(next(network.parameters()).device).eval()
        start_from_classifier(frozen, args)
        known, asked = (_embeddings(frozen, pictures, rows) for rows in (train, test))
        figures["baseline_nearest_backbone_features"] = nearest_neighbour(known, labels[train], asked, labels[test])
    return figures
