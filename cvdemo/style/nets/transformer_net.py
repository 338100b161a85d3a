"""The feed-forward network of one style: a picture in, the stylised picture out.

After Johnson et al. 2016 (arXiv:1603.08155): a wide convolution, two halvings, residual blocks, two doublings;
with instance normalisation in place of batch normalisation (Ulyanov et al. 2016, arXiv:1607.08022), nearest-neighbour
enlarging in place of transposed convolutions, half of the paper's channels and three of its five blocks. What the
network says is added to the photo, so that it starts as the identity: trained for minutes from a random picture, such
a network finds dazzling patterns which the losses cannot tell from the style.

Sizes in comments are for a 256x256 input.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

WIDTHS = (16, 32, 64)
BLOCKS = 3
STRIDE = 4
_DARKEST = 0.02  # of black, so that its logit is finite and a network can still brighten it


class ConvNorm(nn.Module):
    """Convolution over a mirrored border, then instance normalisation with a learnt scale and shift."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            channels_in, channels_out, kernel, stride, kernel // 2, padding_mode="reflect", bias=False
        )
        self.norm = nn.InstanceNorm2d(channels_out, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class Residual(nn.Module):
    """x + two convolutions of it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = ConvNorm(channels, channels), ConvNorm(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(torch.relu(self.first(x)))


class TransformerNet(nn.Module):
    """RGB in [0, 1], (B, 3, H, W), sides multiples of 4 and at least 32 -> RGB in [0, 1] of the same size."""

    def __init__(self) -> None:
        super().__init__()
        one, two, three = WIDTHS
        self.begin = ConvNorm(3, one, kernel=9)
        self.down2, self.down3 = ConvNorm(one, two, stride=2), ConvNorm(two, three, stride=2)
        self.blocks = nn.Sequential(*(Residual(three) for _ in range(BLOCKS)))
        self.up2, self.up1 = ConvNorm(three, two), ConvNorm(two, one)
        self.end = nn.Conv2d(one, 3, 9, padding=4, padding_mode="reflect")
        nn.init.zeros_(self.end.weight)
        nn.init.zeros_(self.end.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        photo = torch.logit(x, _DARKEST)
        x = (x - 0.45) * 4
        x = torch.relu(self.begin(x))  # (B, 16, 256, 256)
        x = torch.relu(self.down2(x))  # (B, 32, 128, 128)
        x = torch.relu(self.down3(x))  # (B, 64, 64, 64)
        x = self.blocks(x)  # (B, 64, 64, 64)
        x = torch.relu(self.up2(interpolate(x, scale_factor=2.0, mode="nearest")))  # (B, 32, 128, 128)
        x = torch.relu(self.up1(interpolate(x, scale_factor=2.0, mode="nearest")))  # (B, 16, 256, 256)
        return torch.sigmoid(self.end(x) + photo)  # (B, 3, 256, 256)
