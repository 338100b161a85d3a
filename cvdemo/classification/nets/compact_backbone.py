"""The compact backbone and the ImageNet classifier on it: where every compact model of this project starts.

Cross-stage partial blocks (Wang et al. 2019, arXiv:1911.11929) of dense 3x3 convolutions with ReLU: on CPUs they train
about twice as fast per multiply as depthwise ones. Channel counts are multiples of 16, which fill the matrix units of
CPUs and GPUs.

Sizes in comments are for a 224x224 input.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

WIDTHS = (16, 32, 64, 128, 256)
DEPTHS = (1, 2, 2, 1)


class ConvBnRelu(nn.Module):
    """Convolution, batch normalisation, ReLU; 'same' padding for odd kernels."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu_(self.norm(self.conv(x)))

    def fuse(self) -> None:
        """Fold the normalisation into the convolution (evaluation only; the outputs stay the same)."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv.eval(), self.norm.eval())
            self.norm = nn.Identity()


def fuse_all(network: nn.Module) -> nn.Module:
    """Fold every batch normalisation into its convolution, in place; call once, after loading weights."""
    for module in network.modules():
        if isinstance(module, ConvBnRelu):
            module.fuse()
    return network


class PartialStage(nn.Module):
    """Cross-stage partial block: half of the channels pass through ``depth`` residual pairs of 3x3 convolutions.

    Every intermediate result joins the final concatenation, so gradients reach the early layers on short paths.
    """

    def __init__(self, channels_in: int, channels_out: int, depth: int, residual: bool = True) -> None:
        super().__init__()
        half = channels_out // 2
        self.split = ConvBnRelu(channels_in, 2 * half, 1)
        self.pairs = nn.ModuleList(nn.Sequential(ConvBnRelu(half, half), ConvBnRelu(half, half)) for _ in range(depth))
        self.merge = ConvBnRelu((2 + depth) * half, channels_out, 1)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        kept, work = self.split(x).chunk(2, 1)
        parts = [kept, work]
        for pair in self.pairs:
            work = work + pair(work) if self.residual else pair(work)
            parts.append(work)
        return self.merge(torch.cat(parts, 1))


class PoolingPyramid(nn.Module):
    """Three stacked 5x5 max-poolings side by side (spatial pyramid pooling, He et al. 2014, arXiv:1406.4729)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = ConvBnRelu(channels, channels // 2, 1)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.expand = ConvBnRelu(channels // 2 * 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        views = [self.reduce(x)]
        for _ in range(3):
            views.append(self.pool(views[-1]))
        return self.expand(torch.cat(views, 1))


def normalise(x: Tensor) -> Tensor:
    """RGB in [0, 1] -> roughly zero mean and unit spread: what the backbone was trained on."""
    return (x - 0.45) * 4.0


class CompactBackbone(nn.Module):
    """Normalised picture (B, 3, H, W) -> features at strides 4, 8, 16, 32 with 32, 64, 128, 256 channels.

    H and W need not be multiples of 32, but each stage rounds up: use multiples where levels are added to each other.
    """

    def __init__(
        self, widths: tuple[int, int, int, int, int] = WIDTHS, depths: tuple[int, int, int, int] = DEPTHS
    ) -> None:
        super().__init__()
        w1, w2, w3, w4, w5 = widths
        self.stem = ConvBnRelu(3, w1, 3, 2)
        self.stage2 = nn.Sequential(ConvBnRelu(w1, w2, 3, 2), PartialStage(w2, w2, depths[0]))
        self.stage3 = nn.Sequential(ConvBnRelu(w2, w3, 3, 2), PartialStage(w3, w3, depths[1]))
        self.stage4 = nn.Sequential(ConvBnRelu(w3, w4, 3, 2), PartialStage(w4, w4, depths[2]))
        self.stage5 = nn.Sequential(ConvBnRelu(w4, w5, 3, 2), PartialStage(w5, w5, depths[3]), PoolingPyramid(w5))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x = self.stem(x)  # (B, 16, 112, 112)
        c2 = self.stage2(x)  # (B, 32, 56, 56)
        c3 = self.stage3(c2)  # (B, 64, 28, 28)
        c4 = self.stage4(c3)  # (B, 128, 14, 14)
        c5 = self.stage5(c4)  # (B, 256, 7, 7)
        return c2, c3, c4, c5


class CompactClassifier(nn.Module):
    """RGB in [0, 1], (B, 3, H, W) -> class logits (B, classes).

    The last convolution widens to ``embedding`` channels, which are averaged over the picture: ``embed`` gives that
    vector, the features a new linear head can be taught on.
    """

    def __init__(self, classes: int = 1000, embedding: int = 512) -> None:
        super().__init__()
        self.backbone = CompactBackbone()
        self.widen = ConvBnRelu(WIDTHS[-1], embedding, 1)
        self.head = nn.Linear(embedding, classes)

    def features(self, x: Tensor) -> Tensor:
        """The last feature map (B, embedding, H/32, W/32): what Grad-CAM looks at."""
        return self.widen(self.backbone(normalise(x))[-1])

    def embed(self, x: Tensor) -> Tensor:
        """The picture's feature vector (B, embedding), non-negative."""
        return self.features(x).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embed(x))

    def fuse(self) -> CompactClassifier:
        """Fold every batch normalisation into its convolution, in place; call once, after loading weights."""
        fuse_all(self)
        return self
