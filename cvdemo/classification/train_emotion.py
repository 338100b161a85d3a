"""Train the compact emotion network on fer2013 and, if given, CK+.

``python -m cvdemo.classification.train_emotion --fer2013 DIR [--ckplus DIR] --out FOLDER --minutes 40``

``--fer2013`` is a folder with train/ and validation/, each with one sub-folder per emotion; ``--ckplus`` one with such
sub-folders (contempt, which the network does not know, is left out). Everything fits in memory; a background thread
augments. Cross-entropy with label smoothing (arXiv:1512.00567) and light mixup (arXiv:1710.09412). Schedule,
checkpoints and options as in every recipe (``cvdemo.core.training``). At the end it prints the accuracy on the
validation split; the test split is left alone. ``compact_emotion.safetensors`` in the output folder is what ships.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cvdemo.classification.emotion_data import FaceSet, augment, load_faces
from cvdemo.classification.nets.emotion_net import EMOTIONS, SIDE, EmotionNet, mirrored_logits
from cvdemo.core import training
from cvdemo.core.errors import CvDemoError

FILENAME = "compact_emotion.safetensors"
SMOOTHING = 0.1
MIXUP_SHARE, MIXUP_ALPHA = 0.3, 0.3
# (share of the budget, crop side): smaller and faster first, the size it is used at last
SIZES = ((0.0, 40), (0.45, SIDE))
CALMER_FROM = 0.9  # the last tenth is nearly free of artificial variety, closer to what the network will meet


def size_at(progress: float) -> int:
    """The crop side of a progress in [0, 1]."""
    return next(size for start, size in reversed(SIZES) if progress >= start)


def soften(labels: np.ndarray) -> np.ndarray:
    """Labels (B,) -> targets (B, 7) float32: 1 - SMOOTHING on the label, the rest spread over all classes."""
    classes = len(EMOTIONS)
    return (np.eye(classes, dtype=np.float32)[labels] * (1 - SMOOTHING) + SMOOTHING / classes).astype(np.float32)


class BatchMaker:
    """Every picture once per epoch in random order, augmented, as pixels and soft targets."""

    def __init__(self, faces: FaceSet, seed: int) -> None:
        self.faces = faces
        self.rng = np.random.default_rng(seed)
        self._order = self._endless_order()

    def _endless_order(self) -> Iterator[int]:
        while True:
            yield from self.rng.permutation(len(self.faces)).tolist()

    def batch(self, count: int, size: int, strength: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (count, size, size) float32 in [0, 1], targets (count, 7) float32 whose rows sum to 1."""
        chosen = [next(self._order) for _ in range(count)]
        pixels = np.stack([augment(self.faces.pixels[i], size, self.rng, strength) for i in chosen])
        pixels = pixels.astype(np.float32) / 255
        targets = soften(self.faces.labels[chosen])
        if self.rng.random() < MIXUP_SHARE * strength:
            share = np.float32(self.rng.beta(MIXUP_ALPHA, MIXUP_ALPHA))
            other = self.rng.permutation(count)
            pixels = share * pixels + (1 - share) * pixels[other]
            targets = share * targets + (1 - share) * targets[other]
        return pixels, targets


def loss_of(network: nn.Module, batch: tuple[np.ndarray, np.ndarray]) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy against the soft targets, and the share of faces whose best class is the target's best."""
    device = next(network.parameters()).device
    x = torch.from_numpy(batch[0]).to(device)[:, None]
    wanted = torch.from_numpy(batch[1]).to(device)
    with torch.autocast(device.type, torch.bfloat16):
        logits = network(x.contiguous(memory_format=torch.channels_last))
    logits = logits.float()
    loss = nn.functional.cross_entropy(logits, wanted)
    agreement = (logits.detach().argmax(1) == wanted.argmax(1)).float().mean()
    return loss, {"loss": float(loss.detach()), "agreement": float(agreement)}


@torch.inference_mode()
def accuracy(network: nn.Module, faces: FaceSet, *, mirror: bool = True, chunk: int = 256) -> float:
    """Share of ``faces`` labelled rightly in evaluation mode; ``mirror`` averages with the mirror images."""
    device = next(network.parameters()).device
    network.eval()
    right = 0
    for start in range(0, len(faces), chunk):
        x = torch.from_numpy(faces.pixels[start : start + chunk]).to(device)[:, None].float() / 255
        scores = mirrored_logits(network, x) if mirror else network(x)
        right += int((scores.argmax(1).cpu().numpy() == faces.labels[start : start + chunk]).sum())
    return right / len(faces)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the options, train until the time is spent, save, print the validation accuracy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fer2013", type=Path, required=True, help="folder with train/ and validation/")
    parser.add_argument("--ckplus", type=Path, help="folder with one sub-folder per emotion, added to the training")
    training.add_arguments(parser, minutes=40, batch=128, rate=2e-3)
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    network = EmotionNet()
    trainer = training.Trainer(
        network, torch.device(args.device), args.minutes * 60, args.rate, weight_decay=0.05, average_decay=0.999
    )
    try:
        faces, held_back = load_faces(args.fer2013 / "train"), load_faces(args.fer2013 / "validation")
        if args.ckplus:
            faces += load_faces(args.ckplus)
        trainer.begin(args.out, args.start)
    except CvDemoError as error:
        sys.exit(str(error))
    print(f"{len(faces)} faces, from step {trainer.step}", file=sys.stderr)
    maker = BatchMaker(faces, args.seed + trainer.step)

    def make() -> tuple[np.ndarray, np.ndarray]:
        strength = 1.0 if trainer.progress < CALMER_FROM else 0.3
        return maker.batch(args.batch, size_at(trainer.progress), strength)

    next_batch, exchange = training.prefetch(make), training.exchange_of(args)
    with training.asked_to_stop() as stopping:
        trainer.run(next_batch, loss_of, args.out, FILENAME, stopping, lambda batch: len(batch[0]), exchange)
    network.load_state_dict(trainer.averaged_state())
    single, mirrored = (round(accuracy(network, held_back, mirror=mirror), 4) for mirror in (False, True))
    epochs = round(trainer.pictures / len(faces), 1)
    print(json.dumps({"epochs": epochs, "validation": single, "validation, mirrored": mirrored}))


if __name__ == "__main__":
    main()
