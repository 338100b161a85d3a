"""What the style networks take and return, and the functions that the registry runs them by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cvdemo.core.context import RunContext
from cvdemo.core.inputs import example_picture
from cvdemo.style.features import activations, fitted, layers_of, to_pixels, to_tensor
from cvdemo.style.losses import statistics
from cvdemo.style.nets import transformer_net
from cvdemo.style.nets.adain_decoder import CHANNELS, LAYER, STRIDE

EXAMPLE_SIZE = 256
AGREE_FEATURES = 0.02
AGREE_PIXELS = 2.0


@dataclass(frozen=True, eq=False)
class Encode:
    """Ask the AdaIN network for a picture's features. pixels: (H, W, 3) uint8, sides multiples of 8."""

    pixels: np.ndarray


@dataclass(frozen=True, eq=False)
class Encoded:
    """A picture seen by the encoder at relu4_1.

    features: (C, h, w) float32.   mean, deviation: (C,) float32, over the positions.
    """

    features: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray


@dataclass(frozen=True, eq=False)
class Decode:
    """Ask the AdaIN network for the picture of features (C, h, w) float32."""

    features: np.ndarray


def run_encoder(network: Any, picture: Any, context: RunContext) -> dict[str, np.ndarray]:
    """Every activation of a picture at 256 pixels, (C, h, w) float32 by layer."""
    with context.stage("preprocess"):
        x = context.tensor(to_tensor(fitted(picture, EXAMPLE_SIZE)))
    with context.stage("network"), context.autocast():
        found = activations(network, x, layers_of(network))
    return {name: value[0].float().cpu().numpy() for name, value in found.items()}


def run_adain(network: Any, asked: Encode | Decode, context: RunContext) -> Encoded | np.ndarray:
    """A picture to features and their statistics, or features to a picture (H, W, 3) uint8."""
    if isinstance(asked, Encode):
        with context.stage("encoder"), context.autocast():
            x = context.tensor(to_tensor(asked.pixels))
            found = network.encoder.activations(x, [LAYER])[LAYER].float()
            mean, deviation = statistics(found)
        return Encoded(*(value[0].cpu().numpy() for value in (found, mean, deviation)))
    with context.stage("decoder"), context.autocast():
        x = network.decoder(context.tensor(torch.from_numpy(asked.features)[None]))
    return to_pixels(x)


def run_fast(network: Any, picture: Any, context: RunContext) -> np.ndarray:
    """(H, W, 3) uint8 -> the stylised picture of that size; sides are filled up to multiples of 4 and cut back."""
    pixels = np.asarray(getattr(picture, "pixels", picture))
    height, width = pixels.shape[:2]
    extra = [(0, -side % transformer_net.STRIDE) for side in (height, width)]
    with context.stage("preprocess"):
        x = context.tensor(to_tensor(np.pad(pixels, [*extra, (0, 0)], mode="edge")))
    with context.stage("network"), context.autocast():
        y = network(x)
    return np.ascontiguousarray(to_pixels(y)[:height, :width])


def example_small() -> np.ndarray:
    """The example picture at 256 pixels, (192, 256, 3) uint8."""
    return fitted(example_picture(), EXAMPLE_SIZE, multiple=STRIDE)


def example_decode() -> Decode:
    """Features as large as those of a 384x384 picture: decoding is what has to be fast."""
    side = 384 // STRIDE
    generator = torch.Generator().manual_seed(0)
    return Decode(torch.randn((CHANNELS, side, side), generator=generator).abs().numpy())


def agree_features(reference: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    """The same layers, none off by more than 2 % of its size."""
    return reference.keys() == other.keys() and all(
        np.linalg.norm(other[name] - value) <= AGREE_FEATURES * np.linalg.norm(value)
        for name, value in reference.items()
    )


def agree_pictures(reference: np.ndarray, other: np.ndarray) -> bool:
    """The same picture: off by at most 2 of 255 on average."""
    if reference.shape != other.shape:
        return False
    return float(np.abs(reference.astype(np.int16) - other.astype(np.int16)).mean()) <= AGREE_PIXELS


def adain(content: np.ndarray, mean: np.ndarray, deviation: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """Adaptive instance normalisation: the content's features with other means and deviations.

    (1 - s) c + s (sigma (c - mu(c)) / sigma(c) + mu), Huang and Belongie 2017, equations 8 and 14.
    content: (C, h, w) float32; mean, deviation: (C,).   strength: s, 0 to 1.
    """
    own_mean = content.mean((1, 2), keepdims=True)
    own = np.sqrt(content.var((1, 2), keepdims=True) + 1e-5)
    gain = (1 - strength) + strength * deviation[:, None, None] / own
    shift = strength * (mean[:, None, None] - deviation[:, None, None] / own * own_mean)
    return (content * gain + shift).astype(np.float32)


def features_of(network: Any, x: Tensor) -> Tensor:
    """(B, C, h, w) at the layer that AdaIN works on."""
    return network.activations(x, [LAYER])[LAYER]
