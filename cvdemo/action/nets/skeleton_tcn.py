"""Temporal convolutions over joints: which action a person does, from how 15 points move.

The joints of one moment are the channels of a one-dimensional signal; residual blocks of convolutions along time see
ever longer stretches of it (temporal convolutional networks, Bai et al. 2018, arXiv:1803.01271; for skeletons Kim and
Reiter 2017, arXiv:1704.04516).

Sizes in comments are for 32 steps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cvdemo.action.skeletons import CHANNELS


class Block(nn.Module):
    """Two convolutions along time with a short cut round them; ``stride`` 2 halves the number of steps."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Conv1d(channels_in, channels_out, 5, stride, 2, bias=False)
        self.first_norm = nn.BatchNorm1d(channels_out)
        self.second = nn.Conv1d(channels_out, channels_out, 5, 1, 2, bias=False)
        self.second_norm = nn.BatchNorm1d(channels_out)
        plain = stride == 1 and channels_in == channels_out
        self.short = nn.Identity() if plain else nn.Conv1d(channels_in, channels_out, 1, stride)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.drop(torch.relu(self.first_norm(self.first(x))))
        return torch.relu(self.second_norm(self.second(inner)) + self.short(x))


class SkeletonTcn(nn.Module):
    """Features of a moving skeleton (B, 79, T) -> scores of the actions (B, classes)."""

    def __init__(self, classes: int, width: int = 72, dropout: float = 0.3) -> None:
        super().__init__()
        self.enter = nn.Conv1d(CHANNELS, width, 1)
        self.blocks = nn.Sequential(
            Block(width, width, 1, dropout),
            Block(width, 2 * width, 2, dropout),
            Block(2 * width, 2 * width, 2, dropout),
        )
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(4 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.enter(x))  # (B, 72, 32)
        x = self.blocks(x)  # (B, 144, 8)
        pooled = torch.cat([x.mean(2), x.amax(2)], 1)  # (B, 288): how it is on average, and the most striking moment
        return self.head(self.drop(pooled))
