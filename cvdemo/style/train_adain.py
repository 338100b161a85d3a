"""Train the decoder of arbitrary style transfer.

``python -m cvdemo.style.train_adain --encoder compact_vgg.safetensors --pack PACK … --out FOLDER --minutes 60
[--styles FOLDER]``

As in Huang and Belongie 2017 (arXiv:1703.06868): the encoder is fixed, the decoder's picture of t = AdaIN(content,
style) must have the features t again (content loss, at relu4_1) and the style's filter statistics at relu1_1 to
relu4_1 and its colours (style loss), both relative here (``losses``). A photo that was only encoded must come back
pixel by pixel (identity loss, Park and Lee 2019, arXiv:1812.02342): without it, minutes of training end in dazzling
patterns.
Content: photos from the packs. Style: pictures drawn by the program, and crops of those in ``--styles``.
``compact_adain_decoder.safetensors`` in the output folder is what ships.
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
from cvdemo.core import training, weights
from cvdemo.core.errors import CvDemoError
from cvdemo.style import losses
from cvdemo.style.nets.adain_decoder import LAYERS, AdaInDecoder, encoded
from cvdemo.style.nets.compact_vgg import CompactVgg
from cvdemo.style.training_data import ContentMaker, StyleMaker, tensor

FILENAME = "compact_adain_decoder.safetensors"
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
Batch = tuple[np.ndarray, np.ndarray]


class DecoderOnly(nn.Module):
    """The trained half of the AdaIN network, its parameters named as in the whole."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = AdaInDecoder()

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return self.decoder(features)


def load_encoder(path: Path, device: torch.device) -> CompactVgg:
    """The encoder with its trained weights, fixed; WeightsError when the file does not fit."""
    encoder = CompactVgg()
    weights.apply_state(encoder, weights.load_state(path), path.name)
    return encoder.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload]


def adain(content: Tensor, style: Tensor) -> Tensor:
    """Features (B, C, h, w) of the content with the style's statistics."""
    mean, deviation = losses.statistics(content)
    to_mean, to_deviation = losses.statistics(style)
    scaled = (content - mean[..., None, None]) / (deviation[..., None, None].square() + 1e-5).sqrt()
    return scaled * to_deviation[..., None, None] + to_mean[..., None, None]


class AdaInLoss:
    """The loss of a batch (contents, styles), each (B, S, S, 3) uint8.

    style_weight, identity_weight, tv_weight: beside the content's, which is 1.
    """

    def __init__(self, encoder: CompactVgg, style_weight: float, identity_weight: float, tv_weight: float) -> None:
        self.encoder, self.style_weight, self.tv_weight = encoder, style_weight, tv_weight
        self.identity_weight = identity_weight

    def __call__(self, network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        device = next(network.parameters()).device
        content, style = (tensor(pictures, device) for pictures in batch)
        with torch.no_grad():
            of_style = self.encoder.activations(style, STYLE_LAYERS)
            of_content = encoded(self.encoder, content)
            aims = [adain(value, of_style[name]) for name, value in zip(LAYERS, of_content)]
            statistics = {name: losses.statistics(of_style[name]) for name in STYLE_LAYERS}
        made, same = network([torch.cat(pair) for pair in zip(aims, of_content)]).chunk(2)
        seen = self.encoder.activations(made, STYLE_LAYERS)
        content_term = losses.relative_square(seen[LAYERS[-1]], aims[-1])
        style_term = losses.statistics_loss(seen, statistics)
        colours = losses.colour_loss(made, style)
        identity = (same - content).square().mean()
        rough = losses.total_variation(made)
        # The decoder's output is clipped when it is shown, so what lies outside is an error no feature sees well.
        outside = (made - made.clamp(0, 1)).square().mean()
        total = content_term + self.style_weight * (style_term + colours) + self.tv_weight * rough + outside
        total = total + self.identity_weight * identity
        figures = {"loss": total, "content": content_term, "style": style_term, "colours": colours,
                   "identity": identity, "variation": rough}  # fmt: skip
        return total, {name: float(value.detach()) for name, value in figures.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the options, train until the time is spent, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", action="append", required=True, help="PATH or PATH*SHARE of a pack of photos")
    parser.add_argument("--encoder", type=Path, required=True, help="compact_vgg.safetensors")
    parser.add_argument("--styles", type=Path, help="folder with further style pictures, such as paintings")
    parser.add_argument("--size", type=int, default=160, help="side of the training pictures, a multiple of 8")
    parser.add_argument("--style-weight", type=float, default=3.0)
    parser.add_argument("--identity-weight", type=float, default=20.0)
    parser.add_argument("--tv-weight", type=float, default=2.0)
    training.add_arguments(parser, minutes=60, batch=6, rate=1e-3)
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    trainer = training.Trainer(
        DecoderOnly(), torch.device(args.device), args.minutes * 60, args.rate, weight_decay=0.0, average_decay=0.998
    )
    try:
        encoder = load_encoder(args.encoder, trainer.device)
        trainer.begin(args.out, args.start)
        contents = ContentMaker([Pack.open(text) for text in args.pack], args.seed + trainer.step)
        styles = StyleMaker(args.seed + trainer.step + 1, folder=args.styles)
    except CvDemoError as error:
        sys.exit(str(error))
    loss = AdaInLoss(encoder, args.style_weight, args.identity_weight, args.tv_weight)
    next_batch = training.prefetch(lambda: (contents.batch(args.batch, args.size), styles.batch(args.batch, args.size)))
    with training.asked_to_stop() as stopping:
        exchange = training.exchange_of(args)
        trainer.run(next_batch, loss, args.out, FILENAME, stopping, lambda batch: len(batch[0]), exchange)


if __name__ == "__main__":
    main()
