"""The decoder of arbitrary style transfer: from the encoder's relu4_1 back to a picture.

The mirror image of the encoder (Huang and Belongie 2017, arXiv:1703.06868): nearest-neighbour enlarging instead of
transposed convolutions, whose chessboard patterns it avoids, reflected borders, and no normalisation, which would
undo the statistics that carry the style. The last two blocks are thin, because they work on the most pixels.

Sizes in comments are for a picture of 256x256.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from cvdemo.style.nets.compact_vgg import WIDTHS, CompactVgg, convolution

LAYER = "relu4_1"
STRIDE = 8
CHANNELS = WIDTHS[3]


class AdaInDecoder(nn.Module):
    """Features (B, 192, h, w), h and w at least 2 -> RGB (B, 3, 8 h, 8 w), about [0, 1] but not clipped."""

    def __init__(self) -> None:
        super().__init__()
        self.conv4 = convolution(CHANNELS, 96)
        self.conv3_2, self.conv3_1 = convolution(96, 96), convolution(96, 48)
        self.conv2_2, self.conv2_1 = convolution(48, 48), convolution(48, 16)
        self.conv1_2, self.conv1_1 = convolution(16, 16), convolution(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv4(x))  # (B, 96, 32, 32)
        x = interpolate(x, scale_factor=2.0, mode="nearest")  # (B, 96, 64, 64)
        x = torch.relu(self.conv3_2(x))
        x = torch.relu(self.conv3_1(x))  # (B, 48, 64, 64)
        x = interpolate(x, scale_factor=2.0, mode="nearest")  # (B, 48, 128, 128)
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
        return self.decoder(self.encoder.activations(x, [LAYER])[LAYER])
