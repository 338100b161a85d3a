"""The decoder of arbitrary style transfer: from the encoder's features back to a picture.

The mirror image of the encoder (Huang and Belongie 2017, arXiv:1703.06868): nearest-neighbour enlarging instead of
transposed convolutions, whose chessboard patterns it avoids, reflected borders, and no normalisation, which would
undo the statistics that carry the style. The last two blocks are thin, because they work on the most pixels.

Features of an eighth of the picture's size do not say where an edge runs, and a small decoder cannot guess: it also
gets relu3_1 and relu2_1, given the style's statistics like relu4_1 (as Avatar-Net does, Sheng et al. 2018,
arXiv:1805.03857). Nothing of the content reaches it with its own statistics.

Sizes in comments are for a picture of 256x256.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from cvdemo.style.nets.compact_vgg import WIDTHS, CompactVgg, convolution

LAYERS = ("relu2_1", "relu3_1", "relu4_1")
"""What the decoder is given, shallow to deep."""

STRIDE = 8
CHANNELS = WIDTHS[1:4]


class AdaInDecoder(nn.Module):
    """Features of ``LAYERS``, (B, 48, 4 h, 4 w), (B, 96, 2 h, 2 w), (B, 192, h, w), h and w at least 2, to RGB.

    Returns (B, 3, 8 h, 8 w), about [0, 1] but not clipped.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv4 = convolution(CHANNELS[2], 96)
        self.skip3, self.skip2 = nn.Conv2d(CHANNELS[1], 96, 1), nn.Conv2d(CHANNELS[0], 48, 1)
        self.conv3_2, self.conv3_1 = convolution(96, 96), convolution(96, 48)
        self.conv2_2, self.conv2_1 = convolution(48, 48), convolution(48, 16)
        self.conv1_2, self.conv1_1 = convolution(16, 16), convolution(16, 3)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        half, quarter, x = features
        x = torch.relu(self.conv4(x))  # (B, 96, 32, 32)
        x = interpolate(x, scale_factor=2.0, mode="nearest") + self.skip3(quarter)  # (B, 96, 64, 64)
        x = torch.relu(self.conv3_2(x))
        x = torch.relu(self.conv3_1(x))  # (B, 48, 64, 64)
        x = interpolate(x, scale_factor=2.0, mode="nearest") + self.skip2(half)  # (B, 48, 128, 128)
        x = torch.relu(self.conv2_2(x))
        x = torch.relu(self.conv2_1(x))  # (B, 16, 128, 128)
        x = interpolate(x, scale_factor=2.0, mode="nearest")  # (B, 16, 256, 256)
        x = torch.relu(self.conv1_2(x))
        return self.conv1_1(x) + 0.5  # (B, 3, 256, 256)


class AdaInNetwork(nn.Module):
    """Encoder and decoder together; the encoder's parameters lie in a file of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = CompactVgg()
        self.decoder = AdaInDecoder()

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(encoded(self.encoder, x))


def encoded(encoder: CompactVgg, x: Tensor) -> tuple[Tensor, ...]:
    """What the decoder is given of pictures (B, 3, H, W), sides multiples of 8: their features at ``LAYERS``."""
    found = encoder.activations(x, LAYERS)
    return tuple(found[name] for name in LAYERS)
