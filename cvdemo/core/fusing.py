"""Folding batch normalisation into convolutions, for networks that are only evaluated."""

from __future__ import annotations

import itertools

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.ops import FrozenBatchNorm2d


def fuse_batch_norm(module: nn.Module) -> nn.Module:
    """Fold every batch norm that directly follows a convolution into its weights, in place; returns the module.

    At test time batch norm is one more multiplication and addition per channel, which the convolution can do as well:
    w' = w * gamma / sqrt(var + eps), b' = (b - mean) * gamma / sqrt(var + eps) + beta. Relies on what holds in all
    of torchvision's networks: a convolution and its norm are registered one after the other.
    """
    module.eval()
    for parent in module.modules():
        for (_, conv), (name, norm) in itertools.pairwise(list(parent.named_children())):
            if not isinstance(conv, nn.Conv2d) or not isinstance(norm, (nn.BatchNorm2d, FrozenBatchNorm2d)):
                continue
            mean, variance = norm.running_mean, norm.running_var
            if mean is not None and variance is not None:
                conv.weight, conv.bias = fuse_conv_bn_weights(
                    conv.weight, conv.bias, mean, variance, norm.eps, norm.weight, norm.bias
                )
                setattr(parent, name, nn.Identity())
    return module
