"""Arbitrary style in one forward pass (Huang and Belongie 2017, arXiv:1703.06868), split for the slider.

``encode`` runs the encoder once a picture. What a style is for AdaIN are the means and deviations of its features: a
few hundred numbers a layer. ``mix`` makes features of a content, up to four styles and a strength without any network,
and the decoder makes a picture of them.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from cvdemo.core.engine import Engine
from cvdemo.core.errors import InputError
from cvdemo.style.features import fitted
from cvdemo.style.losses import shares_of
from cvdemo.style.models import ADAIN
from cvdemo.style.nets.adain_decoder import STRIDE
from cvdemo.style.raw import Decode, Encode, Encoded, adain

MOST_STYLES = 4


Statistics = tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]
"""Means and deviations, (C,) each, by layer."""


def blended_statistics(styles: Sequence[Encoded], weights: Sequence[float]) -> Statistics:
    """Weighted means of the styles' means and deviations.

    AdaIN is linear in both, so this gives exactly what the paper's equation 15 does, the weighted mean of the features
    made with each style. InputError for weights that cannot be used.
    """
    try:
        shares = np.array(shares_of(weights, len(styles)), np.float32)
    except ValueError as error:
        raise InputError(f"The styles cannot be blended like that: {error}.", hint="Raise one weight.") from error
    means = tuple(shares @ np.stack(of_layer) for of_layer in zip(*(style.mean for style in styles)))
    deviations = tuple(shares @ np.stack(of_layer) for of_layer in zip(*(style.deviation for style in styles)))
    return means, deviations


def mix(
    content: Encoded, styles: Sequence[Encoded], weights: Sequence[float], strength: float
) -> tuple[np.ndarray, ...]:
    """Features (C, h, w) float32 by layer, with the blended styles' statistics; no network."""
    means, deviations = blended_statistics(styles, weights)
    layers = zip(content.features, means, deviations, zip(content.mean, content.deviation))
    return tuple(adain(features, mean, deviation, strength, own) for features, mean, deviation, own in layers)


def encode(
    engine: Engine, picture: Any, size: int, *, user: str = "", cancel: threading.Event | None = None
) -> tuple[Encoded, np.ndarray, dict[str, float]]:
    """A picture's features, its pixels as the encoder saw them (longer side ``size``), and milliseconds by stage."""
    pixels = fitted(picture, size, multiple=STRIDE)
    ran = engine.run(ADAIN, Encode(pixels), user=user, cancel=cancel)
    return ran.output, pixels, ran.stages


def decode(
    engine: Engine, features: tuple[np.ndarray, ...], *, user: str = "", cancel: threading.Event | None = None
) -> tuple[np.ndarray, dict[str, float]]:
    """The picture of features by layer, (8 h, 8 w, 3) uint8, and milliseconds by stage."""
    ran = engine.run(ADAIN, Decode(features), user=user, cancel=cancel)
    return ran.output, ran.stages
