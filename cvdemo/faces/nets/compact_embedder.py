"""The compact face embedder: an aligned face in, 128 numbers out that are close for pictures of one person.

The budget of MobileFaceNet (Chen et al. 2018, arXiv:1804.07573), about a million parameters, spent on the dense 3x3
blocks of the shared compact backbone, which train faster on CPUs than depthwise ones. From MobileFaceNet comes the
end: a depthwise convolution as large as the last map instead of averaging, because in an aligned face every place has
its meaning, then one linear layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cvdemo.classification.nets.compact_backbone import ConvBnRelu, PartialStage, fuse_all, normalise

SIZE = 112  # pixels, both sides of the aligned face
DIMENSIONS = 128
WIDTHS = (32, 64, 128, 224)
DEPTHS = (2, 3, 1)
LAST_MAP = SIZE // 16


class CompactEmbedder(nn.Module):
    """RGB in [0, 1], (B, 3, 112, 112) -> embeddings (B, 128), not yet of unit length."""

    def __init__(self) -> None:
        super().__init__()
        w1, w2, w3, w4 = WIDTHS
        self.stem = ConvBnRelu(3, w1, 3, 2)
        self.stage2 = nn.Sequential(ConvBnRelu(w1, w2, 3, 2), PartialStage(w2, w2, DEPTHS[0]))
        self.stage3 = nn.Sequential(ConvBnRelu(w2, w3, 3, 2), PartialStage(w3, w3, DEPTHS[1]))
        self.stage4 = nn.Sequential(ConvBnRelu(w3, w4, 3, 2), PartialStage(w4, w4, DEPTHS[2]))
        self.gather = nn.Conv2d(w4, w4, LAST_MAP, groups=w4, bias=False)
        self.gather_norm: nn.Module = nn.BatchNorm2d(w4)
        self.project = nn.Linear(w4, DIMENSIONS)
        # The default of a 7x7 kernel would shrink what it weighs together by half.
        nn.init.normal_(self.gather.weight, 1 / LAST_MAP**2, 0.5 / LAST_MAP)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(normalise(x))  # (B, 32, 56, 56)
        x = self.stage2(x)  # (B, 64, 28, 28)
        x = self.stage3(x)  # (B, 128, 14, 14)
        x = self.stage4(x)  # (B, 224, 7, 7)
        x = self.gather_norm(self.gather(x))  # (B, 224, 1, 1)
        return self.project(torch.flatten(x, 1))  # (B, 128)

    def fuse(self) -> CompactEmbedder:
        """Fold every batch normalisation into its convolution, in place; call once, after loading weights."""
        fuse_all(self)
        if isinstance(self.gather_norm, nn.BatchNorm2d):
            self.gather = fuse_conv_bn_eval(self.gather.eval(), self.gather_norm.eval())
            self.gather_norm = nn.Identity()
        return self
