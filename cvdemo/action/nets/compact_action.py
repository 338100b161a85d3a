"""The everyday-actions network: the shared backbone with a head for actions, on pictures or, inflated, on clips.

It is written so that the same code runs on (B, 3, H, W) and, once ``inflate`` has given every kernel a length in time,
on (B, 3, T, H, W): nothing in it names the number of axes.

Sizes in comments are for 160x160 pictures.
"""

from __future__ import annotations

from torch import Tensor, nn

from cvdemo.classification.nets.compact_backbone import WIDTHS, CompactBackbone, ConvBnRelu, fuse_all, normalise


class CompactAction(nn.Module):
    """RGB in [0, 1], (B, 3, H, W) or (B, 3, T, H, W) when inflated -> scores of the actions (B, classes)."""

    def __init__(self, classes: int, embedding: int = 512, dropout: float = 0.2) -> None:
        super().__init__()
        self.backbone = CompactBackbone()
        self.widen = ConvBnRelu(WIDTHS[-1], embedding, 1)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(embedding, classes)

    def features(self, x: Tensor) -> Tensor:
        """The last feature map: (B, 512, H/32, W/32), or (B, 512, T, H/32, W/32)."""
        return self.widen(self.backbone(normalise(x))[-1])

    def embed(self, x: Tensor) -> Tensor:
        """(B, 512): features averaged over space, and over time where there is one."""
        return self.features(x).flatten(2).mean(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.drop(self.embed(x)))

    def fuse(self) -> CompactAction:
        """Fold every batch normalisation into its convolution, in place; call once, after loading weights."""
        fuse_all(self)
        return self
