"""The losses of style transfer, normalised so that their weights mean the same for every size and network.

Each loss is relative: the squared distance to its target divided by the squared size of the target. So

* content loss 0 is the content's own features, 1 is as wrong as features that are all zero;
* style loss 0 is the style's own Gram matrices, 1 is as wrong as Gram matrices that are all zero;
* total variation 0 is one flat colour, 1 is a chessboard of single black and white pixels.

A factor that a network multiplies a layer by cancels out, and so does the number of pixels and channels: "style weight
ten times content weight" says the same at 128 pixels with the compact encoder as at 1024 with VGG19.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

_CELL = 4
_TINY = 1e-8


def gram(features: Tensor) -> Tensor:
    """Features (B, C, H, W) -> Gram matrices (B, C, C): mean product of each two filters over the positions.

    G = F F^T / (H W) with F the (C, H W) matrix of activations (Gatys et al. 2015, arXiv:1505.07376).
    """
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (population) of each filter over the positions, (B, C) each."""
    flat = features.flatten(2)
    return flat.mean(2), (flat.var(2, unbiased=False) + 1e-10).sqrt()


def relative_square(value: Tensor, target: Tensor) -> Tensor:
    """|value - target|² / |target|², a scalar: 0 equal, 1 as far as zero is."""
    return (value - target).square().sum() / target.square().sum().clamp(min=_TINY)


def content_loss(features: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
    """The mean over the layers of ``targets`` of the relative squared distance of features (Gatys et al. 2016)."""
    return torch.stack([relative_square(features[name], target) for name, target in targets.items()]).mean()


def style_loss(features: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
    """The same of Gram matrices; ``targets``: Gram matrices (B, C, C) by layer."""
    return torch.stack([relative_square(gram(features[name]), target) for name, target in targets.items()]).mean()


def statistics_loss(features: Mapping[str, Tensor], targets: Mapping[str, tuple[Tensor, Tensor]]) -> Tensor:
    """The same of filter means and deviations, AdaIN's style loss (Huang and Belongie 2017, arXiv:1703.06868).

    ``targets``: (means, deviations), (B, C) each, by layer. The features may be of a batch that matches theirs.
    """
    terms = []
    for name, pair in targets.items():
        terms.append(relative_square(torch.stack(statistics(features[name])), torch.stack(pair)))
    return torch.stack(terms).mean()


def colour_loss(picture: Tensor, style: Tensor) -> Tensor:
    """The same of the means and deviations of colours, (B, 3, H, W) each, averaged over cells of 4x4 pixels first.

    What the recipes add to the losses of features: an encoder that was trained to name things hardly cares for colours,
    and cells keep a network from making up for them with patterns too fine to be seen.
    """
    found, wanted = (torch.stack(statistics(avg_pool2d(x, _CELL))) for x in (picture, style))
    return relative_square(found, wanted)


def total_variation(picture: Tensor) -> Tensor:
    """Mean squared difference of neighbouring pixels of (B, 3, H, W) RGB in [0, 1], half of each direction's.

    The squared form (Mahendran and Vedaldi 2015, arXiv:1412.0035, with beta = 2).
    """
    across = (picture[..., :, 1:] - picture[..., :, :-1]).square().mean()
    down = (picture[..., 1:, :] - picture[..., :-1, :]).square().mean()
    return (across + down) / 2


def blended(targets: Sequence[Mapping[str, Tensor]], weights: Sequence[float]) -> dict[str, Tensor]:
    """Weighted mean of several styles' Gram matrices per layer.

    Approaching it is the same as approaching all of them at once: sum w |G - A_i|² and |G - sum w A_i|² differ by a
    constant when the weights sum to 1. ValueError when no weight is positive or one is negative.
    """
    shares = shares_of(weights, len(targets))
    return {
        name: torch.stack([share * target[name] for share, target in zip(shares, targets)]).sum(0)
        for name in targets[0]
    }


def shares_of(weights: Sequence[float], count: int) -> tuple[float, ...]:
    """Blend weights scaled to sum to 1; ValueError unless there are ``count``, none negative and one positive."""
    total = float(sum(weights))
    if len(weights) != count or min(weights, default=-1.0) < 0 or not total > 0:
        raise ValueError(f"{count} weights that are not negative, one of them positive, are needed, not {weights}")
    return tuple(float(weight) / total for weight in weights)


def ratio_text(content_weight: float, style_weight: float) -> str:
    """The two weights as people say them: "style : content = 10 : 1", and what a zero means."""
    if content_weight <= 0 and style_weight <= 0:
        return "neither content nor style counts"
    if style_weight <= 0:
        return "content only: feature inversion"
    if content_weight <= 0:
        return "style only: texture synthesis"
    ratio = style_weight / content_weight
    return f"style : content = {ratio:.3g} : 1" if ratio >= 1 else f"style : content = 1 : {1 / ratio:.3g}"
