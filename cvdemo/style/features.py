"""Activations by name, of the compact encoder or of torchvision's VGG19, and pictures as tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cvdemo.core.errors import InputError
from cvdemo.core.inputs import pixels_of
from cvdemo.core.lazy import cv2
from cvdemo.style.nets.compact_vgg import SMALLEST

VGG19_DEPTHS = (2, 2, 4, 4, 4)
VGG19_LAYERS = tuple(f"relu{block}_{n}" for block, depth in enumerate(VGG19_DEPTHS, 1) for n in range(1, depth + 1))
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MOST_ELONGATED = 8.0


class Vgg19Features(nn.Module):
    """The convolutional part of torchvision's VGG19, each activation under the papers' name.

    Its maximum poolings are kept as trained. RGB in [0, 1], (B, 3, H, W).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, features: nn.Sequential) -> None:
        super().__init__()
        self.features = features
        self.places = dict(zip(VGG19_LAYERS, (i for i, part in enumerate(features) if isinstance(part, nn.ReLU))))
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def activations(self, x: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """The asked layers' activations (B, C, h, w) by name; what lies deeper than the deepest is not computed."""
        wanted = {self.places[name]: name for name in layers}
        found: dict[str, Tensor] = {}
        x = (x - self.mean) / self.std
        for index in range(max(wanted, default=-1) + 1):
            x = self.features[index](x)
            if index in wanted:
                found[wanted[index]] = x
        return found

    def forward(self, x: Tensor) -> Tensor:
        return self.activations(x, VGG19_LAYERS[-1:])[VGG19_LAYERS[-1]]


def build_vgg19() -> nn.Module:
    """torchvision's VGG19 with arbitrary weights: the whole classifier, because the published file holds it."""
    from torchvision.models import vgg19

    return vgg19(weights=None, init_weights=False).eval()


def prepare_vgg19(network: Any) -> nn.Module:
    """Keep the convolutions, let go of the 0.5 GB classifier behind them."""
    for part in network.features:
        if isinstance(part, nn.ReLU):
            part.inplace = False  # an activation that was handed out must stay what it is
    return Vgg19Features(network.features)


def activations(network: Any, x: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """``network.activations`` with a check of the names; InputError names the layers there are."""
    known = layers_of(network)
    unknown = [name for name in layers if name not in known]
    if unknown:
        raise InputError(
            f"This network has no layer {unknown[0]!r}.", hint=f"It has {', '.join(known)}."
        )  # fmt: skip
    return network.activations(x, layers)


def layers_of(network: Any) -> tuple[str, ...]:
    """The names of a network's activations, shallow to deep."""
    if isinstance(network, Vgg19Features):
        return VGG19_LAYERS
    return tuple(f"relu{name}" for name in network.convolutions)


def fitted(picture: Any, size: int, *, multiple: int = 1) -> np.ndarray:
    """(h, w, 3) uint8 RGB whose longer side is ``size``; a picture or an array.

    multiple: of this both sides become.   A side is at least 32 pixels, which networks need: a 1x1 picture becomes a
    32x32 one. InputError for a picture more than eight times as long as wide, of which no side could be right.
    """
    pixels = pixels_of(picture)
    height, width = pixels.shape[:2]
    ratio = max(height, width) / min(height, width)
    if ratio > MOST_ELONGATED:
        raise InputError(
            f"The picture is {width} x {height} pixels, {ratio:.0f} times as long as wide.",
            hint="Cut a part out that is at most eight times as long as wide.",
        )
    scale = size / max(height, width)
    least = -(-SMALLEST // multiple) * multiple
    h, w = (max(least, round(side * scale / multiple) * multiple) for side in (height, width))
    if (h, w) == (height, width):
        return pixels
    return cv2.resize(pixels, (w, h), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def to_tensor(pixels: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W) float32 in [0, 1]."""
    writable = np.require(pixels, requirements=["C", "W"])  # torch warns of others, such as our style pictures
    return torch.from_numpy(writable).permute(2, 0, 1)[None].float().div_(255)


def to_pixels(x: Tensor) -> np.ndarray:
    """(1, 3, H, W), clipped to [0, 1] -> (H, W, 3) uint8."""
    values = x.detach()[0].float().clamp(0, 1).mul(255).round().to(torch.uint8)
    return np.ascontiguousarray(values.permute(1, 2, 0).cpu().numpy())
