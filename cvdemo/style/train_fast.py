"""Train the feed-forward network of one style.

``python -m cvdemo.style.train_fast --style waves --encoder compact_vgg.safetensors --pack PACK … --out FOLDER
--minutes 40``

As in Johnson et al. 2016 (arXiv:1603.08155): the network's picture of a photo must have the photo's features at
relu3_2, the style's Gram matrices and its colours, with some total variation; all relative (``losses``).
``--style`` is one of the program's own styles or a picture's file. ``style_NAME.safetensors`` in the output folder is
what ships.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cvdemo.classification.train import Pack
from cvdemo.core import training
from cvdemo.core.errors import CvDemoError
from cvdemo.core.media import read_picture
from cvdemo.style import losses
from cvdemo.style.features import fitted, to_tensor
from cvdemo.style.nets.compact_vgg import CompactVgg
from cvdemo.style.nets.transformer_net import TransformerNet
from cvdemo.style.settings import STYLE_LAYERS
from cvdemo.style.styles import STYLES, load_style
from cvdemo.style.train_adain import load_encoder
from cvdemo.style.training_data import ContentMaker, tensor

CONTENT_LAYER = "relu3_2"


class FastLoss:
    """The loss of a batch of photos (B, S, S, 3) uint8 for one style picture (H, W, 3) uint8.

    style_weight (of Gram matrices and colours), tv_weight: beside the content's, which is 1.
    """

    def __init__(self, encoder: CompactVgg, style: np.ndarray, style_weight: float, tv_weight: float) -> None:
        self.encoder, self.style_weight, self.tv_weight = encoder, style_weight, tv_weight
        device = next(encoder.parameters()).device
        self.style = to_tensor(style).to(device)
        with torch.no_grad():
            found = encoder.activations(self.style, STYLE_LAYERS)
            self.grams = {name: losses.gram(value) for name, value in found.items()}

    def __call__(self, network: nn.Module, batch: np.ndarray) -> tuple[Tensor, dict[str, float]]:
        x = tensor(batch, next(network.parameters()).device)
        with torch.no_grad():
            aim = self.encoder.activations(x, [CONTENT_LAYER])
        made = network(x)
        seen = self.encoder.activations(made, (*STYLE_LAYERS, CONTENT_LAYER))
        targets = {name: target.expand(len(x), -1, -1) for name, target in self.grams.items()}
        content, style = losses.content_loss(seen, aim), losses.style_loss(seen, targets)
        rough = losses.total_variation(made)
        colours = losses.colour_loss(made, self.style.expand(len(x), -1, -1, -1))
        total = content + self.style_weight * (style + colours) + self.tv_weight * rough
        figures = {"loss": total, "content": content, "style": style, "colours": colours, "variation": rough}
        return total, {name: float(value.detach()) for name, value in figures.items()}


def filename(style: str) -> str:
    """What the weights of a style are called: "style_brush_strokes.safetensors"."""
    return f"style_{Path(style).stem.replace('-', '_')}.safetensors"


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the options, train until the time is spent, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", action="append", required=True, help="PATH or PATH*SHARE of a pack of photos")
    parser.add_argument("--encoder", type=Path, required=True, help="compact_vgg.safetensors")
    parser.add_argument("--style", required=True, help=f"one of {', '.join(STYLES)}, or a picture's file")
    parser.add_argument("--size", type=int, default=160, help="side of the training pictures, a multiple of 4")
    parser.add_argument("--style-size", type=int, default=256, help="longer side of the style picture")
    parser.add_argument("--style-weight", type=float, default=5.0)
    parser.add_argument("--tv-weight", type=float, default=3.0)
    training.add_arguments(parser, minutes=40, batch=4, rate=1.5e-3)
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    trainer = training.Trainer(
        TransformerNet(), torch.device(args.device), args.minutes * 60, args.rate, weight_decay=0.0, average_decay=0.998
    )
    try:
        encoder = load_encoder(args.encoder, trainer.device)
        style = load_style(args.style) if args.style in STYLES else read_picture(args.style).pixels
        loss = FastLoss(encoder, fitted(style, args.style_size), args.style_weight, args.tv_weight)
        trainer.begin(args.out, args.start)
        contents = ContentMaker([Pack.open(text) for text in args.pack], args.seed + trainer.step)
    except CvDemoError as error:
        sys.exit(str(error))
    next_batch = training.prefetch(lambda: contents.batch(args.batch, args.size))
    with training.asked_to_stop() as stopping:
        exchange = training.exchange_of(args)
        trainer.run(next_batch, loss, args.out, filename(args.style), stopping, exchange=exchange)


if __name__ == "__main__":
    main()
