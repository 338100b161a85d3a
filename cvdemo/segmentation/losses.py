"""The loss of the semantic recipes: cross-entropy, which trains pixels, plus Dice, which trains overlaps."""

from __future__ import annotations

import torch
from torch import Tensor

from cvdemo.segmentation.labels import IGNORE


def dice_loss(logits: Tensor, target: Tensor, smooth: float = 1.0) -> Tensor:
    """Mean over the classes present of 1 - Dice, of soft masks over the whole batch (Milletari et al. 2016, V-Net).

    Dice of class c is 2 sum(p g) / (sum(p^2) + sum(g)), p its probability and g 1 where the target is c; ``smooth``
    pixels are added above and below. logits (B, C, h, w) float, target (B, h, w) int64 with 255 for ignored pixels,
    which count nowhere. 0 when every pixel is ignored.
    """
    classes = logits.shape[1]
    counted = target != IGNORE
    probability = logits.softmax(1).permute(0, 2, 3, 1)[counted]  # (N, C)
    label = target[counted]
    chosen = probability.gather(1, label[:, None])[:, 0]
    area = torch.bincount(label, minlength=classes).to(logits.dtype)
    shared = torch.zeros(classes, dtype=logits.dtype, device=logits.device).index_add(0, label, chosen)
    dice = (2 * shared + smooth) / (probability.square().sum(0) + area + smooth)
    present = area > 0
    return (1 - dice[present]).mean() if bool(present.any()) else logits.sum() * 0


def segmentation_loss(
    logits: Tensor, target: Tensor, class_weights: Tensor | None = None, dice_share: float = 0.5
) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy + ``dice_share`` * Dice, and both as figures.

    logits (B, C, h, w) float32; target (B, h, w) int64, 255 ignored; class_weights (C,) for the cross-entropy, whose
    mean is then weighted as well.
    """
    if not bool((target != IGNORE).any()):
        return logits.sum() * 0, {"entropy": 0.0, "dice": 0.0}
    entropy = torch.nn.functional.cross_entropy(logits, target, class_weights, ignore_index=IGNORE)
    dice = dice_loss(logits, target)
    return entropy + dice_share * dice, {"entropy": float(entropy.detach()), "dice": float(dice.detach())}
