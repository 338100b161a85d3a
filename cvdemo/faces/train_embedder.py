"""Train the compact face embedder.

``python -m cvdemo.faces.train_embedder --pack PACK [--pack PACK …] --out FOLDER --minutes 240``

Packs are what ``cvdemo.faces.embed_label`` wrote. Two things are learned at once: to embed every face as the teacher
does (distillation), and to part known people by an angular margin (ArcFace), whose prototypes start at the people's
mean teacher embeddings. ``--apart-from PACK`` leaves out everybody who looks like somebody of that pack, which keeps
people of the test set out where data sets number people instead of naming them. Schedule, checkpoints and options as in
every recipe (``cvdemo.core.training``). ``compact_faces.safetensors`` in the output folder is what ships.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cvdemo.core import training, weights
from cvdemo.core.errors import CvDemoError
from cvdemo.faces.embed_data import PERSON_LIKE, Example, FaceBatches, join, load_pack, people_alike
from cvdemo.faces.metric_losses import angular_margin_loss, distillation_loss
from cvdemo.faces.nets.compact_embedder import DIMENSIONS, CompactEmbedder

FILENAME = "compact_faces.safetensors"
HELD_OUT = 50  # every so many-th face is kept from training, to measure on
MARGIN, SCALE = 0.3, 24.0
DISTILLATION_WEIGHT = 10.0

Batch = tuple[np.ndarray, np.ndarray, np.ndarray]


class Learner(nn.Module):
    """The embedder and, for training only, a prototype (a direction) of each known person."""

    def __init__(self, prototypes: Tensor) -> None:
        super().__init__()
        self.embedder = CompactEmbedder()
        self.prototypes = nn.Parameter(prototypes.clone())

    def forward(self, x: Tensor) -> Tensor:
        return self.embedder(x)


class EmbedderTrainer(training.Trainer):
    """Ships the embedder alone: the prototypes are of the people in the training set."""

    def averaged_state(self) -> dict[str, Tensor]:
        """The running average of the embedder's weights, under its own names."""
        prefix = "embedder."
        state = super().averaged_state()
        return {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}


def as_input(faces: np.ndarray, device: torch.device) -> Tensor:
    """(N, 112, 112, 3) uint8 -> (N, 3, 112, 112) float32 in [0, 1], channels last in memory."""
    return torch.from_numpy(faces).to(device).permute(0, 3, 1, 2).float().div_(255)


def loss_of(network: nn.Module, batch: Batch, margin_weight: float) -> tuple[Tensor, dict[str, float]]:
    """The loss of one batch and its parts."""
    faces, teacher, labels = batch
    prototypes = network.get_parameter("prototypes")
    device = prototypes.device
    with torch.autocast(device.type, torch.bfloat16):
        vectors = network(as_input(faces, device).contiguous(memory_format=torch.channels_last))
    vectors = vectors.float()
    target = torch.from_numpy(labels).to(device)
    known = target >= 0
    copied = distillation_loss(vectors, torch.from_numpy(teacher).to(device))
    parted = angular_margin_loss(vectors[known], prototypes, target[known], MARGIN, SCALE)
    total = DISTILLATION_WEIGHT * copied + margin_weight * parted
    return total, {"teacher": 1 - float(copied.detach()), "margin": float(parted.detach())}


def prototypes_of(examples: Sequence[Example], classes: int) -> Tensor:
    """(classes, 128) float32: the mean of the teacher's embeddings of each person."""
    total = np.zeros((max(classes, 1), DIMENSIONS), np.float32)
    for example in examples:
        if example.label >= 0:
            total[example.label] += example.teacher
    return nn.functional.normalize(torch.from_numpy(total), dim=1)


@torch.no_grad()
def agreement(state: dict[str, Tensor], examples: Sequence[Example], device: torch.device) -> float:
    """The mean cosine between the embedder's and the teacher's embeddings of faces it has not seen."""
    network = CompactEmbedder().to(device).eval()
    network.load_state_dict(state)
    cosines = []
    for start in range(0, len(examples), 64):
        part = examples[start : start + 64]
        vectors = network(as_input(np.stack([e.pixels for e in part]), device))
        teacher = torch.from_numpy(np.stack([e.teacher for e in part])).to(device)
        cosines.append(nn.functional.cosine_similarity(vectors, teacher, dim=1))
    return float(torch.cat(cosines).mean())


def gather(packs: Sequence[Path], apart: Path | None, alike: float) -> tuple[list[Example], list[Example], int]:
    """(examples to learn from, held-out examples, number of people) of the packs; InputError when unusable."""
    loaded = [load_pack(path) for path in packs]
    without: list[list[int]] = [[] for _ in loaded]
    if apart is not None:
        others = load_pack(apart)
        without = [people_alike(pack, others, alike) for pack in loaded]
        for path, left_out in zip(packs, without):
            print(f"{path.name}: {len(left_out)} people look like somebody of {apart.name}", file=sys.stderr)
    examples, classes = join(loaded, without)
    held = examples[::HELD_OUT] if len(examples) >= 2 * HELD_OUT else []
    kept = [e for row, e in enumerate(examples) if row % HELD_OUT] if held else examples
    return kept, held, classes


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the options, train until the time is spent, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", action="append", type=Path, required=True, help="faces to learn from; repeatable")
    parser.add_argument("--apart-from", type=Path, metavar="PACK", help="leave out people who look like these")
    parser.add_argument("--alike", type=float, default=PERSON_LIKE, help="cosine from which they do (%(default)s)")
    parser.add_argument("--margin-weight", type=float, default=0.1, help="of the margin loss (%(default)s)")
    parser.add_argument("--known-share", type=float, default=0.4, help="of a batch: faces of known people")
    training.add_arguments(parser, minutes=240, batch=64, rate=3e-3)
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    checkpoint = args.out / training.CHECKPOINT
    device = torch.device(args.device)
    try:
        examples, held, classes = gather(args.pack, args.apart_from, args.alike)
        batches = FaceBatches(examples, args.seed, args.known_share)
        network = Learner(prototypes_of(examples, classes))
        if args.start and not checkpoint.exists():
            weights.apply_state(network.embedder, weights.load_state(args.start), args.start.name)
        trainer = EmbedderTrainer(network, device, args.minutes * 60, args.rate)
        if checkpoint.exists():
            trainer.resume(checkpoint)
            batches.rng = np.random.default_rng(args.seed + trainer.step)
    except CvDemoError as error:
        sys.exit(str(error))
    known = sum(e.label >= 0 for e in examples)
    print(f"{len(examples)} faces, {known} of {classes} people, from step {trainer.step}", file=sys.stderr)
    next_batch = training.prefetch(lambda: batches.batch(args.batch))
    with training.asked_to_stop() as stopping:
        trainer.run(
            next_batch, functools.partial(loss_of, margin_weight=args.margin_weight), args.out, FILENAME, stopping,
            count=lambda batch: len(batch[0]), exchange=training.exchange_of(args),
        )  # fmt: skip
    if held:
        cosine = agreement(trainer.averaged_state(), held, device)
        print(f"{len(held)} held-out faces: mean cosine with the teacher {cosine:.4f}", file=sys.stderr)


if __name__ == "__main__":
    main()
