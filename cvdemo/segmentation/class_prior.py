"""Give the classes back the frequencies they have: refit the biases of a trained model's last layer.

``python -m cvdemo.segmentation.class_prior --classes voc --weights FILE --source PICTURES:LABELS … --out FILE``

Class weights, the Dice term, drawing rare pictures more often and pasting rare objects all teach a network to expect
rare classes more often than they come, and it sees them everywhere. Here one number per class is added to the logits:
the numbers that minimise the plain cross-entropy over the training pictures as they are (a convex problem), of which
``--strength`` is applied: at 1 the network is right most often, below it keeps finding rare classes. The correction is
that of Menon et al. 2021 (Long-tail learning via logit adjustment, arXiv:2007.07314), fitted instead of computed,
because the training's frequencies follow from no formula. Everything else in the file stays as it is.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cvdemo.core import weights
from cvdemo.core.errors import CvDemoError
from cvdemo.core.lazy import cv2
from cvdemo.core.training import write_weights
from cvdemo.segmentation.labels import IGNORE
from cvdemo.segmentation.nets.compact_unet import CompactUNet
from cvdemo.segmentation.train import RECIPES, Recipe, load_examples, parse_source
from cvdemo.segmentation.training_data import Example

BIAS = "logits.bias"
MULTIPLE = 32  # pixels that the sides of the network's input are multiples of
CELLS = 600  # drawn from each picture
RIDGE = 1e-4
"""Keeps the number of a class that never appears finite."""
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, eq=False)
class Sample:
    """Cells of many pictures: logits (N, C) float32 and true classes (N,) int64."""

    logits: Tensor
    labels: Tensor

    def cross_entropy(self, bias: Tensor) -> Tensor:
        """Mean over the cells, nats, with ``bias`` (C,) added to the logits."""
        return functional.cross_entropy(self.logits + bias, self.labels)

    def mean_iou(self, bias: Tensor) -> float:
        """Mean over the classes that appear, as truth or as answer."""
        count = self.logits.shape[1]
        answers = (self.logits + bias).argmax(1)
        table = torch.bincount(self.labels * count + answers, minlength=count * count).view(count, count).double()
        union = table.sum(0) + table.sum(1) - table.diag()
        return float((table.diag() / union.clamp(min=1))[union > 0].mean())


def cells(
    network: nn.Module, examples: Sequence[Example], long_side: int, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits (n, C) and labels (n,) of random cells of each picture, shown to the network at the size of test time."""
    rng = np.random.default_rng(seed)
    for example in examples:
        scale = long_side / max(example.labels.shape) / MULTIPLE
        height, width = (MULTIPLE * max(1, round(side * scale)) for side in example.labels.shape)
        shrinks = example.labels.shape[0] > height
        pixels = cv2.resize(
            np.asarray(example.pixels), (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        )
        x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float().div_(255)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            found = network(x.contiguous(memory_format=torch.channels_last))[0].float()
        shape = found.shape[2], found.shape[1]
        labels = cv2.resize(np.asarray(example.labels), shape, interpolation=cv2.INTER_NEAREST_EXACT).ravel()
        known = np.flatnonzero(labels != IGNORE)
        chosen = torch.from_numpy(rng.choice(known, min(CELLS, len(known)), replace=False))
        yield found.flatten(1)[:, chosen].T, torch.from_numpy(labels.astype(np.int64))[chosen]


def fitted_bias(sample: Sample) -> Tensor:
    """(C,) float32 with mean 0: what has to be added to the logits for the least cross-entropy."""
    bias = torch.zeros(sample.logits.shape[1], requires_grad=True)
    optimiser = torch.optim.LBFGS([bias], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = sample.cross_entropy(bias) + RIDGE * bias.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return (bias - bias.mean()).detach()


def network_from(path: Path, recipe: Recipe, keep: Path | None) -> tuple[nn.Module, dict[str, Tensor]]:
    """The network in eval mode and the file's own values; ``keep``: the file a part of it is borrowed from."""
    state = weights.load_state(path)
    whole = dict(state)
    if keep is not None:
        whole = {name: value for name, value in weights.load_state(keep).items() if name not in whole} | whole
    network = CompactUNet(len(recipe.classes)).eval()
    own = network.state_dict()
    weights.apply_state(network, {name: value for name, value in whole.items() if name in own}, path.name)
    return network.to(memory_format=torch.channels_last), state


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit on the pictures, print what each strength does to them, write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", choices=sorted(RECIPES), default="voc")
    parser.add_argument("--weights", type=Path, required=True, help="trained weights of this recipe")
    parser.add_argument("--keep", type=Path, help="weights of the other model, where a part of it is used")
    parser.add_argument("--source", action="append", type=parse_source, required=True, help="as in the training")
    parser.add_argument("--pictures", type=int, default=2400, help="so many of them, drawn at random")
    parser.add_argument("--strength", type=float, default=0.75, help="share of the correction that is applied")
    parser.add_argument("--cache", type=Path, help="folder for decoded pictures (default: beside the result)")
    parser.add_argument("--side", type=int, default=480, help="longest side of a cached picture, pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="file for the corrected weights")
    args = parser.parse_args(arguments)
    recipe = RECIPES[args.classes]
    args.cache = args.cache or args.out.parent / "cache"
    try:
        network, state = network_from(args.weights, recipe, args.keep)
        examples = load_examples(args, recipe, args.source)
    except CvDemoError as error:
        sys.exit(str(error))
    order = np.random.default_rng(args.seed).permutation(len(examples))[: args.pictures]
    parts = list(zip(*cells(network, [examples[index] for index in order], recipe.long_side, args.seed)))
    sample = Sample(torch.cat(parts[0]), torch.cat(parts[1]))
    bias = fitted_bias(sample)
    for strength in sorted({*STRENGTHS, args.strength}):
        loss, quality = float(sample.cross_entropy(strength * bias)), sample.mean_iou(strength * bias)
        mark = " <- written" if strength == args.strength else ""
        print(f"strength {strength:4.2f}: cross-entropy {loss:.4f}, mean IoU {quality:.4f}{mark}")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_weights({**state, BIAS: state[BIAS] + args.strength * bias}, args.out)
    print(", ".join(f"{name} {value:+.2f}" for name, value in zip(recipe.classes, (args.strength * bias).tolist())))


if __name__ == "__main__":
    main()
