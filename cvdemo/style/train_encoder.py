"""Train the compact VGG encoder as an ImageNet classifier by distillation, then fold and rescale it.

``python -m cvdemo.style.train_encoder --pack PACK[*SHARE] … --out FOLDER --minutes 25``

The packs and the loss are those of the compact classifier (``cvdemo.classification.train``): a published teacher's
probabilities for fixed crops, with the true class mixed in. What ships is not the classifier but the convolutions
behind it, ``compact_vgg.safetensors``: batch normalisation folded in, each filter's mean activation over photos
brought to 1 as Gatys et al. (2016) do with VGG.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cvdemo.classification.train import BatchMaker, Pack, loss_of
from cvdemo.core import training
from cvdemo.core.errors import CvDemoError
from cvdemo.style.nets.compact_vgg import CompactVgg, VggClassifier, mean_activations, rescale
from cvdemo.style.training_data import ContentMaker, tensor

CLASSIFIER, ENCODER = "vgg_classifier.safetensors", "compact_vgg.safetensors"
# (share of the budget, picture side)
SIZES = ((0.0, 96), (0.6, 128))
RESCALING_PICTURES, RESCALING_SIZE = 320, 160


def size_at(progress: float) -> int:
    """The picture side of a progress in [0, 1]."""
    return next(size for start, size in reversed(SIZES) if progress >= start)


def finished(state: dict[str, Tensor], photos: Iterable[Tensor]) -> CompactVgg:
    """A trained classifier's state and photos (B, 3, S, S) in [0, 1] -> the encoder, folded and rescaled."""
    classifier = VggClassifier()
    classifier.load_state_dict(state)
    encoder = classifier.eval().encoder()
    return rescale(encoder, mean_activations(encoder, photos))


def save_encoder(encoder: CompactVgg, path: Path) -> None:
    """As safetensors in half precision."""
    training.write_weights(encoder.state_dict(), path)
    path.chmod(0o644)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the options, train until the time is spent, save classifier and encoder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", action="append", required=True, help="PATH or PATH*SHARE of a pack")
    training.add_arguments(parser, minutes=25, batch=64, rate=3e-3)
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    trainer = training.Trainer(VggClassifier(), torch.device(args.device), args.minutes * 60, args.rate)
    try:
        packs = [Pack.open(text) for text in args.pack]
        trainer.begin(args.out, args.start)
    except CvDemoError as error:
        sys.exit(str(error))
    print(f"{sum(len(pack) for pack in packs)} crops, from step {trainer.step}", file=sys.stderr)
    maker = BatchMaker(packs, args.seed + trainer.step)
    next_batch = training.prefetch(lambda: maker.batch(args.batch, size_at(trainer.progress)))
    with training.asked_to_stop() as stopping:
        exchange = training.exchange_of(args)
        trainer.run(next_batch, loss_of, args.out, CLASSIFIER, stopping, lambda batch: len(batch[0]), exchange)
    photos = ContentMaker(packs, args.seed)
    device = torch.device("cpu")
    batches = (tensor(photos.batch(16, RESCALING_SIZE), device) for _ in range(RESCALING_PICTURES // 16))
    state = {name: value.cpu() for name, value in trainer.averaged_state().items()}
    encoder = finished(state, batches)
    save_encoder(encoder, args.out / ENCODER)
    largest = max(float(np.abs(value.numpy()).max()) for value in encoder.state_dict().values())
    print(f"{args.out / ENCODER}: largest weight {largest:.1f}", file=sys.stderr)


if __name__ == "__main__":
    main()
