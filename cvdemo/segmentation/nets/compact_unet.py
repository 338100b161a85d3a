"""The compact semantic segmentation network: a U-Net-shaped decoder on the shared backbone.

After U-Net (Ronneberger et al. 2015, arXiv:1505.04597): going down loses the place and gains the meaning; going up, the
map is doubled step by step, and at each step the features of the same size from the way down are put beside it (the
skip connection), which know where the edges are. Unlike the original, whose two paths mirror each other, nearly all
of the work is done on the way down, and the last map has a quarter of the picture's size.

Sizes in comments are for a 256x256 input.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cvdemo.classification.nets.compact_backbone import (
    DEPTHS,
    WIDTHS,
    CompactBackbone,
    ConvBnRelu,
    PartialStage,
    fuse_all,
    normalise,
)

STRIDE = 4  # of the logits
COARSEST = 32  # height and width of the input are multiples of it
SKIP_STRIDES = (4, 8, 16)
DECODER_WIDTHS = (32, 96, 160)  # at strides 4, 8, 16


class UpStep(nn.Module):
    """Double the map (bilinear), put the skip connection beside it, mix with a cross-stage partial block."""

    def __init__(self, channels_in: int, channels_skip: int, channels_out: int) -> None:
        super().__init__()
        self.reduce = ConvBnRelu(channels_in, channels_out, 1)
        self.skip = ConvBnRelu(channels_skip, channels_out, 1)
        self.mix = PartialStage(2 * channels_out, channels_out, 1, residual=False)

    def forward(self, x: Tensor, skip: Tensor, connected: bool) -> Tensor:
        x = nn.functional.interpolate(self.reduce(x), scale_factor=2.0, mode="bilinear", align_corners=False)
        side = self.skip(skip)
        if not connected:
            side = torch.zeros_like(side)
        return self.mix(torch.cat([x, side], 1))


class PictureContext(nn.Module):
    """What the whole picture is about, added to every place: global average, one layer (Liu et al. 2015, ParseNet)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.look = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.look.weight)
        nn.init.zeros_(self.look.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return x + self.look(x.mean((2, 3), keepdim=True))


class CompactUNet(nn.Module):
    """RGB in [0, 1], (B, 3, H, W) with H and W multiples of 32 -> class logits (B, classes, H/4, W/4).

    A logit belongs to the middle of its 4x4 pixels; resize bilinearly with ``align_corners=False``.
    """

    def __init__(
        self,
        classes: int = 21,
        widths: tuple[int, int, int, int, int] = WIDTHS,
        depths: tuple[int, int, int, int] = DEPTHS,
        decoder: tuple[int, int, int] = DECODER_WIDTHS,
    ) -> None:
        super().__init__()
        self.backbone = CompactBackbone(widths, depths)
        self.context = PictureContext(widths[4])
        self.up16 = UpStep(widths[4], widths[3], decoder[2])
        self.up8 = UpStep(decoder[2], widths[2], decoder[1])
        self.up4 = UpStep(decoder[1], widths[1], decoder[0])
        self.logits = nn.Conv2d(decoder[0], classes, 1)

    def forward(self, x: Tensor, skips: tuple[bool, bool, bool] = (True, True, True)) -> Tensor:
        """``skips``: which skip connections carry anything, at strides 4, 8 and 16; one that is off is all zeros."""
        c2, c3, c4, c5 = self.backbone(normalise(x))
        y = self.up16(self.context(c5), c4, skips[2])  # (B, 160, 16, 16)
        y = self.up8(y, c3, skips[1])  # (B, 96, 32, 32)
        y = self.up4(y, c2, skips[0])  # (B, 32, 64, 64)
        return self.logits(y)  # (B, classes, 64, 64)

    def fuse(self) -> CompactUNet:
        """Fold every batch normalisation into its convolution, in place; call once, after loading weights."""
        fuse_all(self)
        return self
