"""The loss of the semantic recipes: cross-entropy, which trains pixels, plus Dice, which trains overlaps.

Both are taken from one logarithm of the softmax with a row for each pixel, which is how a channels-last network leaves
its logits in memory: half the time of two softmaxes across planes, and the gradient arrives in the network's layout.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cvdemo.segmentation.labels import IGNORE


def _by_pixel(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """log-probabilities (N, C), those of the labels (N,), the labels (N,) int64, and (N,) 1, or 0 where ignored."""
    classes = logits.shape[1]
    label = target.reshape(-1)
    counted = (label != IGNORE).to(logits.dtype)
    rows = logits.permute(0, 2, 3, 1).reshape(-1, classes)
    logs, label = rows.log_softmax(1), label.clamp(max=classes - 1)
    return logs, logs.gather(1, label[:, None])[:, 0], label, counted


def _dice(logs: Tensor, of_label: Tensor, label: Tensor, counted: Tensor, smooth: float) -> Tensor:
    area = counted.new_zeros(logs.shape[1]).index_add(0, label, counted)
    shared = torch.zeros_like(area).index_add(0, label, of_label.exp() * counted)
    squared = counted @ (2 * logs).exp()
    dice = (2 * shared + smooth) / (squared + area + smooth)
    present = area > 0
    return (1 - dice[present]).mean() if bool(present.any()) else logs.sum() * 0


def dice_loss(logits: Tensor, target: Tensor, smooth: float = 1.0) -> Tensor:
    """Mean over the classes present of 1 - Dice, of soft masks over the whole batch (Milletari et al. 2016, V-Net).

    Dice of class c is 2 sum(p g) / (sum(p^2) + sum(g)), p its probability and g 1 where the target is c; ``smooth``
    pixels are added above and below. logits (B, C, h, w) float, target (B, h, w) int64 with 255 for ignored pixels,
    which count nowhere. 0 when every pixel is ignored.
    """
    return _dice(*_by_pixel(logits, target), smooth)


def segmentation_loss(
    logits: Tensor, target: Tensor, class_weights: Tensor | None = None, dice_share: float = 0.5
) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy + ``dice_share`` * Dice, and both as figures.

    logits (B, C, h, w) float32; target (B, h, w) int64, 255 ignored; class_weights (C,) for the cross-entropy, whose
    mean is then weighted as well.
    """
    if not bool((target != IGNORE).any()):
        return logits.sum() * 0, {"entropy": 0.0, "dice": 0.0}
    logs, of_label, label, counted = _by_pixel(logits, target)
    weight = counted if class_weights is None else class_weights[label] * counted
    entropy = -(of_label * weight).sum() / weight.sum()
    dice = _dice(logs, of_label, label, counted, smooth=1.0)
    return entropy + dice_share * dice, {"entropy": float(entropy.detach()), "dice": float(dice.detach())}
