"""A compact encoder in the shape of VGG: what the style losses look through.

Plain 3x3 convolutions with ReLU in five blocks with pooling between them (Simonyan and Zisserman 2014,
arXiv:1409.1556), at a quarter of VGG19's widths and half of its depth. Average pooling and reflected borders, which
leave fewer traces in pictures made by optimisation (Gatys et al. 2016, section 2 and common practice). It is trained
as a classifier with batch normalisation (``VggClassifier``), which is folded away afterwards: at run time there is
none, so a picture's features do not depend on anything but the picture.

Sizes in comments are for a 256x256 input.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d
from torch.nn.utils.fusion import fuse_conv_bn_eval

WIDTHS = (16, 48, 96, 192, 256)
DEPTHS = (2, 2, 2, 2, 1)
CONVOLUTIONS = tuple(f"{block}_{place}" for block, depth in enumerate(DEPTHS, 1) for place in range(1, depth + 1))
LAYERS = tuple(f"relu{name}" for name in CONVOLUTIONS)
"""The named activations, shallow to deep: relu1_1 … relu5_1, as the papers name VGG's."""

SMALLEST = 32
"""Pixels a side needs at least, so that the deepest layer has two cells to reflect."""

_RARE = 0.1


def normalise(x: Tensor) -> Tensor:
    """RGB in [0, 1] -> roughly zero mean and unit spread."""
    return (x - 0.45) * 4.0


def channels() -> dict[str, tuple[int, int]]:
    """(channels in, channels out) of each convolution, by its name such as "3_1"."""
    wide = {name: WIDTHS[int(name[0]) - 1] for name in CONVOLUTIONS}
    before = (3, *wide.values())
    return {name: (before[index], wide[name]) for index, name in enumerate(CONVOLUTIONS)}


def convolution(channels_in: int, channels_out: int, bias: bool = True) -> nn.Conv2d:
    """3x3 over a picture whose border is mirrored."""
    return nn.Conv2d(channels_in, channels_out, 3, padding=1, padding_mode="reflect", bias=bias)


class CompactVgg(nn.Module):
    """RGB in [0, 1], (B, 3, H, W) with H, W >= 32 -> named activations."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleDict({name: convolution(*sizes) for name, sizes in channels().items()})

    def activations(self, x: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """The asked layers' activations (B, C, h, w) by name; what lies deeper than the deepest is not computed."""
        wanted = set(layers)
        found: dict[str, Tensor] = {}
        x = normalise(x)  # (B, 3, 256, 256)
        # block 1: (B, 16, 256, 256), 2: (B, 48, 128, 128), 3: (B, 96, 64, 64), 4: (B, 192, 32, 32), 5: (B, 256, 16, 16)
        for name, conv in self.convolutions.items():
            if len(found) == len(wanted):
                break
            if name.endswith("_1") and name != "1_1":
                x = avg_pool2d(x, 2)
            x = torch.relu(conv(x))
            if f"relu{name}" in wanted:
                found[f"relu{name}"] = x
        return found

    def forward(self, x: Tensor) -> Tensor:
        return self.activations(x, LAYERS[-1:])[LAYERS[-1]]


class VggClassifier(nn.Module):
    """What is trained: the encoder with batch normalisation, one wider 1x1 convolution, average, linear layer."""

    def __init__(self, classes: int = 1000, embedding: int = 512) -> None:
        super().__init__()
        sizes = channels()
        self.convolutions = nn.ModuleDict({name: convolution(*size, bias=False) for name, size in sizes.items()})
        self.norms = nn.ModuleDict({name: nn.BatchNorm2d(size[1]) for name, size in sizes.items()})
        self.widen = nn.Conv2d(WIDTHS[-1], embedding, 1)
        self.head = nn.Linear(embedding, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = normalise(x)
        for name, conv in self.convolutions.items():
            if name.endswith("_1") and name != "1_1":
                x = avg_pool2d(x, 2)
            x = torch.relu_(self.norms[name](conv(x)))
        return self.head(torch.relu_(self.widen(x)).mean((2, 3)))

    @torch.no_grad()
    def encoder(self) -> CompactVgg:
        """The same convolutions with the normalisation folded in (by its running statistics), as a new network."""
        made = CompactVgg()
        for name, conv in self.convolutions.items():
            norm: Any = self.norms[name]
            folded: nn.Module = fuse_conv_bn_eval(conv.eval(), norm.eval())  # type: ignore[type-var]
            made.convolutions[name].load_state_dict(folded.state_dict())
            conv.train(self.training)
            norm.train(self.training)
        return made.eval()


@torch.no_grad()
def mean_activations(network: CompactVgg, batches: Iterable[Tensor]) -> dict[str, Tensor]:
    """Each filter's activation averaged over pictures and positions, (C,) float32 per layer.

    batches: (B, 3, H, W) RGB in [0, 1], at least one.
    """
    sums: dict[str, Tensor] = {}
    count = 0
    for batch in batches:
        for name, value in network.activations(batch, LAYERS).items():
            sums[name] = sums.get(name, torch.zeros(())) + value.mean((2, 3)).sum(0)
        count += len(batch)
    return {name: value / count for name, value in sums.items()}


@torch.no_grad()
def rescale(network: CompactVgg, means: dict[str, Tensor]) -> CompactVgg:
    """Scale weights in place so that filters' mean activations become 1, as Gatys et al. (2016) normalise VGG.

    ReLU and average pooling pass positive factors on, so what a filter is multiplied by, the next convolution divides
    its input by: the network computes the same up to these factors. A filter that answers less than a tenth of its
    layer's mean is treated as if it answered that much (its noise would be enlarged), and a last common factor brings
    every layer's mean to exactly 1.
    """
    before = torch.ones(3)
    layers: dict[str, Any] = dict(network.convolutions.items())
    for name, conv in layers.items():
        mean = means[f"relu{name}"]
        factor = 1 / mean.clamp(min=max(float(mean.mean()) * _RARE, 1e-12))
        factor /= (mean * factor).mean().clamp(min=1e-12)
        conv.weight.mul_(factor[:, None, None, None]).div_(before[None, :, None, None])
        conv.bias.mul_(factor)
        before = factor
    return network


def deepest(layers: Sequence[str], known: Sequence[str] = LAYERS) -> str:
    """The one of some layers that the network reaches last; ValueError for none or an unknown one."""
    return max(layers, key=list(known).index)
