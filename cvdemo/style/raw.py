"""What the style networks take and return, and the functions that the registry runs them by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from cvdemo.core.context import RunContext
from cvdemo.core.inputs import example_picture
from cvdemo.style.features import activations, fitted, layers_of, to_pixels, to_tensor
from cvdemo.style.losses import statistics
from cvdemo.style.nets import transformer_net
from cvdemo.style.nets.adain_decoder import CHANNELS, STRIDE, encoded

EXAMPLE_SIZE = 256
AGREE_FEATURES = 0.02
AGREE_PIXELS = 2.0


@dataclass(frozen=True, eq=False)
class Encode:
    """Ask the AdaIN network for a picture's features. pixels: (H, W, 3) uint8, sides multiples of 8."""

    pixels: np.ndarray


@dataclass(frozen=True, eq=False)
class Encoded:
    """A picture seen by the encoder, by ``LAYERS``, shallow to deep.

    features: (C, h, w) float32 each, none where only the statistics are kept.   mean, deviation: (C,) float32 each,
    over the positions.
    """

    features: tuple[np.ndarray, ...]
    mean: tuple[np.ndarray, ...]
    deviation: tuple[np.ndarray, ...]


@dataclass(frozen=True, eq=False)
class Decode:
    """Ask the AdaIN network for the picture of features (C, h, w) float32, by ``LAYERS``."""

    features: tuple[np.ndarray, ...]


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
            found = [value.float() for value in encoded(network.encoder, x)]
            of_layers = [statistics(value) for value in found]
        mean, deviation = ([pair[place] for pair in of_layers] for place in range(2))
        return Encoded(*(tuple(value[0].cpu().numpy() for value in values) for values in (found, mean, deviation)))
    with context.stage("decoder"), context.autocast():
        x = network.decoder([context.tensor(torch.from_numpy(value)[None]) for value in asked.features])
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
    return Decode(random_features(384))


def random_features(size: int) -> tuple[np.ndarray, ...]:
    """Numbers in the place of the features of a picture of ``size`` x ``size`` pixels."""
    generator = torch.Generator().manual_seed(0)
    sides = [size // STRIDE << shift for shift in reversed(range(len(CHANNELS)))]
    return tuple(
        torch.randn((width, side, side), generator=generator).abs().numpy() for width, side in zip(CHANNELS, sides)
    )


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


def adain(
    content: np.ndarray, mean: np.ndarray, deviation: np.ndarray, strength: float = 1.0,
    own: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:  # fmt: skip
    """Adaptive instance normalisation: the content's features with other means and deviations.

    (1 - s) c + s (sigma (c - mu(c)) / sigma(c) + mu), Huang and Belongie 2017, equations 8 and 14.
    content: (C, h, w) float32; mean, deviation: (C,).   strength: s, 0 to 1.   own: the content's mean and deviation,
    where they are known.
    """
    own_mean, own_deviation = own or (content.mean((1, 2)), content.std((1, 2)))
    ratio = deviation / np.sqrt(own_deviation**2 + 1e-5)
    gain = (1 - strength) + strength * ratio
    shift = strength * (mean - ratio * own_mean)
    result = content * gain.astype(np.float32)[:, None, None]
    result += shift.astype(np.float32)[:, None, None]
    return result
