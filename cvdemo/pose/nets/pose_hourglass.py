"""The compact stacked hourglass: down to a coarse view and up again, twice, with a guess at the joints in between.

After "Stacked Hourglass Networks for Human Pose Estimation" (Newell, Yang and Deng 2016, arXiv:1603.06937): every
hourglass pools to a few cells, comes back by repetition and adds what it had at each size on the way down. The first
one's heatmaps are trained like the last one's and fed into the second, which can so repair what is inconsistent.
Blocks are the project's cross-stage partial ones; widths are chosen for the parameter budget of the other pose models.

Sizes in comments are for a crop 256 high and 192 wide.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from cvdemo.classification.nets.compact_backbone import WIDTHS, ConvBnRelu, PartialStage, fuse_all, normalise
from cvdemo.pose.nets.pose_heatmap import JOINTS, enlarged, heatmap_head

WIDTH = 64
LEVELS = 4  # halvings below stride 4: 64x48, 32x24, 16x12, 8x6, 4x3
STACKS = 2


class Hourglass(nn.Module):
    """(B, 64, h, w) -> the same shape; h and w must be multiples of 2 to the power of ``levels``."""

    def __init__(self, levels: int = LEVELS, depth: int = 1) -> None:
        super().__init__()
        self.skip = PartialStage(WIDTH, WIDTH, depth)
        self.down = PartialStage(WIDTH, WIDTH, 2)
        self.inner: nn.Module = Hourglass(levels - 1, 2) if levels > 1 else PartialStage(WIDTH, WIDTH, 2)
        self.up = PartialStage(WIDTH, WIDTH, 2)

    def forward(self, x: Tensor) -> Tensor:
        below = self.up(self.inner(self.down(functional.max_pool2d(x, 2))))
        return self.skip(x) + enlarged(below)


class PoseHourglass(nn.Module):
    """RGB crop in [0, 1], (B, 3, H, W) with multiples of 64 -> heatmaps of both stacks, each (B, 17, H/4, W/4).

    The last one is the answer. Heatmaps are as in ``PoseHeatmap``.
    """

    def __init__(self) -> None:
        super().__init__()
        _, w2, *_ = WIDTHS
        # The same first layers as the shared backbone, by the same names, so that its weights can be taken over.
        self.backbone = nn.ModuleDict(
            {
                "stem": ConvBnRelu(3, WIDTHS[0], 3, 2),
                "stage2": nn.Sequential(ConvBnRelu(WIDTHS[0], w2, 3, 2), PartialStage(w2, w2, 1)),
            }
        )
        self.widen = ConvBnRelu(w2, WIDTH, 1)
        self.hourglasses = nn.ModuleList(Hourglass() for _ in range(STACKS))
        self.after = nn.ModuleList(ConvBnRelu(WIDTH, WIDTH, 3) for _ in range(STACKS))
        self.heads = nn.ModuleList(heatmap_head(WIDTH) for _ in range(STACKS))
        self.back = nn.ModuleList(nn.Conv2d(JOINTS, WIDTH, 1) for _ in range(STACKS - 1))
        self.carry = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, 1) for _ in range(STACKS - 1))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.widen(self.backbone["stage2"](self.backbone["stem"](normalise(x))))  # (B, 64, 64, 48)
        heatmaps = []
        for index, (hourglass, after, head) in enumerate(zip(self.hourglasses, self.after, self.heads)):
            features = after(hourglass(x))
            heatmaps.append(head(features))
            if index < STACKS - 1:
                x = x + self.carry[index](features) + self.back[index](heatmaps[-1])
        return tuple(heatmaps)

    def fuse(self) -> PoseHourglass:
        """Fold every batch normalisation into its convolution, in place; call once, after loading weights."""
        fuse_all(self)
        return self
