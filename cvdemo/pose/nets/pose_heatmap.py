"""The compact heatmap network: where each of 17 joints is, as one small picture per joint.

After "Simple Baselines for Human Pose Estimation" (Xiao, Wu and Wei 2018, arXiv:1804.06208): a backbone for
classification, then a plain decoder back up to stride 4. Where that paper uses transposed convolutions, this decoder
enlarges by repetition and adds the backbone's own features of the same size, which costs less on a CPU.

Sizes in comments are for a crop 256 high and 192 wide.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from cvdemo.classification.nets.compact_backbone import (
    WIDTHS,
    CompactBackbone,
    ConvBnRelu,
    PartialStage,
    fuse_all,
    normalise,
)

JOINTS = 17
STRIDE = 4
WIDTH = 64


def enlarged(x: Tensor) -> Tensor:
    """Twice as high and wide, by repetition."""
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def heatmap_head(channels: int) -> nn.Conv2d:
    """1x1 convolution to one map per joint that starts near zero everywhere, as most of a heatmap is."""
    head = nn.Conv2d(channels, JOINTS, 1)
    nn.init.normal_(head.weight, std=0.01)
    assert head.bias is not None
    nn.init.zeros_(head.bias)
    return head


class Decoder(nn.Module):
    """Features at strides 4, 8, 16, 32 -> features at stride 4 with ``WIDTH`` channels, which saw all of them."""

    def __init__(self) -> None:
        super().__init__()
        _, w2, w3, w4, w5 = WIDTHS
        self.top = ConvBnRelu(w5, 2 * WIDTH, 1)
        self.side4, self.mix4 = ConvBnRelu(w4, 2 * WIDTH, 1), PartialStage(2 * WIDTH, WIDTH, 1)
        self.side3, self.mix3 = ConvBnRelu(w3, WIDTH, 1), PartialStage(WIDTH, WIDTH, 2)
        self.side2, self.mix2 = ConvBnRelu(w2, WIDTH, 1), PartialStage(WIDTH, WIDTH, 2)

    def forward(self, levels: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
        c2, c3, c4, c5 = levels
        x = self.mix4(enlarged(self.top(c5)) + self.side4(c4))  # (B, 64, 16, 12)
        x = self.mix3(enlarged(x) + self.side3(c3))  # (B, 64, 32, 24)
        return self.mix2(enlarged(x) + self.side2(c2))  # (B, 64, 64, 48)


class PoseHeatmap(nn.Module):
    """RGB crop in [0, 1], (B, 3, H, W) with multiples of 32 -> heatmaps (B, 17, H/4, W/4).

    A heatmap is trained to be a Gaussian of height 1 around the joint, and zero where the joint is not in the crop; it
    is not limited to [0, 1].
    """

    def __init__(self) -> None:
        super().__init__()
        self.backbone = CompactBackbone()
        self.decoder = Decoder()
        self.head = heatmap_head(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.decoder(self.backbone(normalise(x))))

    def fuse(self) -> PoseHeatmap:
        """Fold every batch normalisation into its convolution, in place; call once, after loading weights."""
        fuse_all(self)
        return self
