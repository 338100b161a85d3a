"""The compact emotion network: one aligned grey face of 48x48 pixels in, seven emotion logits out.

A residual network (He et al. 2015, arXiv:1512.03385) of dense 3x3 convolutions. Folding 2x2 pixels into four channels
first (Shi et al. 2016, arXiv:1609.05158, the other way round) keeps every pixel and spares the costly full resolution.
Each picture is standardised by its own mean and spread, so the light in the room matters little.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cvdemo.classification.nets.compact_backbone import ConvBnRelu, fuse_all

# the order of the network's outputs, which is also that of fer2013's class numbers
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
SIDE = 48
WIDTHS = (48, 96, 192)


def standardise(x: Tensor) -> Tensor:
    """Each picture of (B, 1, H, W) in [0, 1] to zero mean and unit spread; a flat picture stays near zero."""
    mean = x.mean((2, 3), keepdim=True)
    spread = (x - mean).square().mean((2, 3), keepdim=True).sqrt()
    return (x - mean) / (spread + 0.02)


class ResidualPair(nn.Module):
    """x + two 3x3 convolutions of x."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvBnRelu(channels, channels)
        self.second = ConvBnRelu(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))


class EmotionNet(nn.Module):
    """Grey faces in [0, 1], (B, 1, 48, 48) -> logits (B, 7) in the order of ``EMOTIONS``.

    Any even height and width work; 48 is what it was trained for. ``dropout`` acts on the averaged features, a
    quarter of it on whole channels of the deeper maps.
    """

    def __init__(self, widths: tuple[int, int, int] = WIDTHS, dropout: float = 0.4) -> None:
        super().__init__()
        w1, w2, w3 = widths
        self.fold = nn.PixelUnshuffle(2)
        self.stage1 = nn.Sequential(ConvBnRelu(4, w1), ResidualPair(w1))
        self.stage2 = nn.Sequential(ConvBnRelu(w1, w2, 3, 2), ResidualPair(w2), nn.Dropout2d(dropout / 4))
        self.stage3 = nn.Sequential(ConvBnRelu(w2, w3, 3, 2), ResidualPair(w3), nn.Dropout2d(dropout / 4))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(w3, len(EMOTIONS))

    def features(self, x: Tensor) -> Tensor:
        """The last feature map (B, 192, H/8, W/8)."""
        x = self.fold(standardise(x))  # (B, 4, 24, 24)
        x = self.stage1(x)  # (B, 48, 24, 24)
        x = self.stage2(x)  # (B, 96, 12, 12)
        return self.stage3(x)  # (B, 192, 6, 6)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.features(x).mean((2, 3))  # (B, 192)
        return self.head(self.dropout(pooled))

    def fuse(self) -> EmotionNet:
        """Fold every batch normalisation into its convolution, in place; call once, after loading weights."""
        fuse_all(self)
        return self


def mirrored_logits(network: nn.Module, x: Tensor) -> Tensor:
    """Logits (B, 7) float32, the mean over the faces (B, 1, H, W) and their mirror images: emotions have no side."""
    logits = network(torch.cat([x, x.flip(3)])).float()
    return logits.view(2, len(x), -1).mean(0)
