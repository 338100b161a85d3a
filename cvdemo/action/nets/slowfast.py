"""A small SlowFast network (Feichtenhofer et al. 2019, arXiv:1812.03982): two pathways over one clip.

The slow pathway sees few frames with many channels and knows what things look like: it is the shared compact backbone,
one picture at a time, with one convolution along time late in the network. The fast pathway sees every frame with an
eighth of the channels and convolutions along time everywhere, and knows how things move. After each stage a lateral
connection, a convolution whose stride in time is the ratio of the two rates, adds what the fast one found to the slow
one.

Convolutions in space and time are split in two, as in R(2+1)D (Tran et al. 2018, arXiv:1711.11248): on a processor
3-D kernels over few channels take ten times as long.

Sizes in comments are for 16 frames of 128x128.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cvdemo.classification.nets.compact_backbone import WIDTHS, CompactBackbone, ConvBnRelu, normalise

FRAMES = 16
ALPHA = 4
"""Frames of the fast pathway for one of the slow pathway."""
FAST_WIDTHS = (8, 8, 16, 32, 32)


def slow_indices(frames: int = FRAMES, alpha: int = ALPHA) -> tuple[int, ...]:
    """Which of the fast pathway's frames the slow one sees too: the middle one of each ``alpha``, (1, 5, 9, 13)."""
    return tuple(range((alpha - 1) // 2, frames, alpha))


def by_picture(stage: nn.Module, x: Tensor) -> Tensor:
    """Apply a 2-D network to every moment of (B, C, T, H, W), which it sees as B * T pictures."""
    batch, channels, time, height, width = x.shape
    pictures = x.transpose(1, 2).reshape(batch * time, channels, height, width)
    out = stage(pictures.contiguous(memory_format=torch.channels_last))
    return out.reshape(batch, time, *out.shape[1:]).transpose(1, 2)


class AlongTime(nn.Module):
    """Convolution along time only, (B, C, T, H, W) -> (B, C', T / stride, H, W); with normalisation and ReLU or bare.

    A 2-D convolution with a kernel of one column does it: all places of a moment lie side by side.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int = 1, bare: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, (kernel, 1), (stride, 1), (kernel // 2, 0), bias=bare)
        self.norm: nn.Module = nn.Identity() if bare else nn.BatchNorm2d(channels_out)
        self.bare = bare

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm(self.conv(x.flatten(3)))
        out = out if self.bare else torch.relu(out)
        return out.unflatten(3, (x.shape[3], x.shape[4]))

    def fuse(self) -> None:
        """Fold the normalisation into the convolution (evaluation only)."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv.eval(), self.norm.eval())
            self.norm = nn.Identity()


class SpaceTime(nn.Module):
    """A 3x3 convolution in space, which may halve the size, and one along time."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1, time: int = 3) -> None:
        super().__init__()
        self.space = ConvBnRelu(channels_in, channels_out, 3, stride)
        self.time = AlongTime(channels_out, channels_out, time)

    def forward(self, x: Tensor) -> Tensor:
        return self.time(by_picture(self.space, x))


class SlowFast(nn.Module):
    """RGB in [0, 1], (B, 3, T, H, W) with T = 16 -> scores of the actions (B, classes)."""

    def __init__(self, classes: int, dropout: float = 0.4) -> None:
        super().__init__()
        slow, fast = WIDTHS, FAST_WIDTHS
        self.backbone = CompactBackbone()
        self.fast_stem = SpaceTime(3, fast[0], 2, 5)
        self.fast_stages = nn.ModuleList(
            nn.Sequential(SpaceTime(a, b, 2), SpaceTime(b, b)) for a, b in itertools.pairwise(fast)
        )
        self.laterals = nn.ModuleList(AlongTime(f, s, 5, ALPHA, bare=True) for f, s in zip(fast[:-1], slow[:-1]))
        for parameter in self.laterals.parameters():  # the slow pathway starts as the classifier it comes from
            nn.init.zeros_(parameter)
        self.slow_time = AlongTime(slow[3], slow[3], 3)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(slow[-1] + fast[-1], classes)

    def pathways(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The last maps of both pathways: slow (B, 256, 4, 4, 4), fast (B, 32, 16, 4, 4)."""
        x = normalise(x)
        backbone = self.backbone
        fast = self.fast_stem(x)  # (B, 8, 16, 64, 64)
        slow = by_picture(backbone.stem, x[:, :, list(slow_indices(x.shape[2]))])  # (B, 16, 4, 64, 64)
        stages = (backbone.stage2, backbone.stage3, backbone.stage4, backbone.stage5)
        for number, (stage, fast_stage, lateral) in enumerate(zip(stages, self.fast_stages, self.laterals)):
            if number == 3:
                slow = slow + self.slow_time(slow)
            slow = by_picture(stage, slow + lateral(fast))  # (B, 32 .. 256, 4, 32 .. 4, 32 .. 4)
            fast = fast_stage(fast)  # (B, 8 .. 32, 16, 32 .. 4, 32 .. 4)
        return slow, fast

    def forward(self, x: Tensor) -> Tensor:
        slow, fast = self.pathways(x)
        pooled = torch.cat([slow.flatten(2).mean(2), fast.flatten(2).mean(2)], 1)  # (B, 288)
        return self.head(self.drop(pooled))

    def fuse(self) -> SlowFast:
        """Fold every batch normalisation into its convolution, in place; call once, after loading weights."""
        for module in self.modules():
            if isinstance(module, (AlongTime, ConvBnRelu)):
                module.fuse()
        return self
