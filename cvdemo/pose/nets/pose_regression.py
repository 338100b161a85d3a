"""The compact regression network: coordinates of 17 joints straight from features, in a cascade of two stages.

After DeepPose (Toshev and Szegedy 2014, arXiv:1312.4659): the first stage looks at the whole crop and regresses all
joints at once; the second looks closely around each joint of the first and regresses how far off it was. DeepPose cuts
a new, sharper sub-picture for every joint and runs a whole network on it; here the second stage samples the backbone's
finer feature maps around each joint instead, so that both stages share one pass of the backbone.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
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
from cvdemo.pose.nets.pose_heatmap import JOINTS, enlarged

CROP = (256, 192)  # height and width that the first stage's linear layer is made for
WIDTH = 64
PATCH = 7  # the second stage sees PATCH x PATCH points around a joint,
SPACING = 8.0  # this many pixels of the crop apart
REFINED = 32
HIDDEN = 192


class Cascade(NamedTuple):
    """What both stages say about each joint, all (B, 17, ...).

    first, second: x, y as fractions of the crop's width and height; may leave [0, 1].
    score: logits of the similarity to the truth that the network expects of its second stage.
    """

    first: Tensor
    second: Tensor
    score: Tensor


class PoseRegression(nn.Module):
    """RGB crop in [0, 1], (B, 3, 256, 192) -> ``Cascade``."""

    def __init__(self) -> None:
        super().__init__()
        _, _, w3, w4, w5 = WIDTHS
        self.backbone = CompactBackbone()
        self.squeeze = ConvBnRelu(w5, 32, 1)
        cells = (CROP[0] // 32) * (CROP[1] // 32)
        places = nn.Linear(HIDDEN, 2 * JOINTS)
        nn.init.normal_(places.weight, std=0.01)
        nn.init.constant_(places.bias, 0.5)  # the middle of the crop
        self.whole = nn.Sequential(nn.Linear(32 * cells, HIDDEN), nn.ReLU(), places)
        self.side5, self.side4 = ConvBnRelu(w5, WIDTH, 1), ConvBnRelu(w4, WIDTH, 1)
        self.side3, self.mix = ConvBnRelu(w3, WIDTH, 1), PartialStage(WIDTH, REFINED, 1)
        # One trunk for all joints, told apart by a learned vector each and by a last layer of their own.
        self.trunk = nn.Linear(REFINED * PATCH * PATCH, HIDDEN)
        self.which = nn.Parameter(torch.zeros(JOINTS, HIDDEN))
        self.last = nn.Parameter(torch.randn(JOINTS, HIDDEN, 3) * 0.01)
        self.bias = nn.Parameter(torch.zeros(JOINTS, 3))
        offsets = (torch.arange(PATCH) - PATCH // 2) * SPACING
        grid = torch.stack(torch.meshgrid(offsets, offsets, indexing="xy"), dim=-1)  # (7, 7, 2) x, y in pixels
        self.register_buffer("offsets", grid / torch.tensor([CROP[1], CROP[0]]), persistent=False)

    offsets: Tensor

    def forward(self, x: Tensor) -> Cascade:
        _, c3, c4, c5 = self.backbone(normalise(x))
        batch = len(x)
        first = self.whole(self.squeeze(c5).flatten(1)).float().view(batch, JOINTS, 2)
        fine = enlarged(enlarged(self.side5(c5)) + self.side4(c4)) + self.side3(c3)  # (B, 64, 32, 24)
        seen = self.around(self.mix(fine), first.detach())
        hidden = functional.relu(self.trunk(seen.to(fine.dtype)).float() + self.which)  # (B, 17, 192)
        out = torch.einsum("bjh,jho->bjo", hidden, self.last.float()) + self.bias
        # Offsets count in sides of the sampled window, so that all joints and both axes start alike.
        window = self.offsets[-1, -1] - self.offsets[0, 0]
        return Cascade(first, first.detach() + out[..., :2] * window, out[..., 2])

    def around(self, features: Tensor, joints: Tensor) -> Tensor:
        """Features (B, C, h, w) sampled on a grid around joints (B, 17, 2): (B, 17, C * 49); zeros outside."""
        batch, channels = features.shape[:2]
        # A first stage gone astray still looks at the crop's rim, not at nothing.
        places = joints.clamp(0, 1)[:, :, None, None] + self.offsets  # (B, 17, 7, 7, 2)
        grid = (places * 2 - 1).reshape(batch, JOINTS * PATCH, PATCH, 2)
        sampled = functional.grid_sample(features.float(), grid.float(), align_corners=False)
        sampled = sampled.view(batch, channels, JOINTS, PATCH * PATCH)
        return sampled.permute(0, 2, 1, 3).reshape(batch, JOINTS, channels * PATCH * PATCH)

    def fuse(self) -> PoseRegression:
        """Fold every batch normalisation into its convolution, in place; call once, after loading weights."""
        fuse_all(self)
        return self
