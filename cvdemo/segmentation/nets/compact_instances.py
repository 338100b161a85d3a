"""The compact instance network: masks for the boxes of the compact detector, in one stage.

After YOLACT (Bolya et al. 2019, arXiv:1904.02689): a branch shared by all objects draws K prototype maps of the whole
picture, the detector's cell that answers for an object says how to combine them, and the box cuts the result out. Three
things differ:

- The combination is not a weighted sum but two layers whose weights the cell predicts, which also see where in the box
  they are (after CondInst, Tian et al. 2020, arXiv:2003.05664): a weighted sum of maps that know nothing of the box
  cannot tell two neighbours of one colour apart.
- The cell also predicts a rough outline of its own, 14 x 14 logits stretched over the box, which the prototypes refine.
  Two small convolutions shared by all objects then look at neighbouring places of the mask, which fills its holes.
- Prototypes are read on a grid stretched over the box, so an object costs the same whatever its size. The mask comes as
  such a grid, as Mask R-CNN's does. The grid covers the box grown by a tenth on each side, so that what a hasty box
  cuts off can still be drawn; the final box is where the mask ends.

The detector is the shipped one and stays as it is. The layers that turn features into coefficients run only at the
cells that answer for something, not on the whole pyramid.

Sizes in comments are for a 320x320 input.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from cvdemo.classification.nets.compact_backbone import WIDTHS, ConvBnRelu, fuse_all
from cvdemo.detection.nets.compact_detector import STRIDES, CompactDetector, LevelOutput, cell_centres

PROTOTYPES = 24
HIDDEN = 16  # width of the layer each object brings itself
OUTLINE = 14  # side of the rough outline
GEOMETRY = 4
GROWN = 1.2  # how much larger than the box the region of its mask is
GRID = 32  # side of the mask over that region
_INPUTS = PROTOTYPES + 2  # and the place in the box, x and y from -1 to 1
COEFFICIENTS = HIDDEN * _INPUTS + HIDDEN + HIDDEN + 1


class Found(NamedTuple):
    """One forward pass: the detector's outputs, prototypes (B, K, H/4, W/4), the neck's features (B, 96, h, w)."""

    levels: list[LevelOutput]
    prototypes: Tensor
    pyramid: tuple[Tensor, Tensor, Tensor]


class Prototypes(nn.Module):
    """K maps at stride 4 from the neck's finest level (what is where) and the backbone's stride 4 (where edges are)."""

    def __init__(self, channels_fine: int, channels_neck: int, width: int = 64, count: int = PROTOTYPES) -> None:
        super().__init__()
        self.coarse = nn.Sequential(ConvBnRelu(channels_neck, width), ConvBnRelu(width, width))
        self.fine = nn.Conv2d(channels_fine, width, 1)
        self.mix = ConvBnRelu(width, 48)
        self.maps = nn.Conv2d(48, count, 1)

    def forward(self, c2: Tensor, p3: Tensor) -> Tensor:
        x = self.coarse(p3)  # (B, 64, 40, 40)
        x = nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        x = self.mix(torch.relu(x + self.fine(c2)))  # (B, 48, 80, 80)
        return self.maps(x)  # (B, K, 80, 80)


class Tower(nn.Module):
    """A 3x3 convolution at chosen cells of one pyramid level: (B, C, h, w) and M places -> (M, width)."""

    def __init__(self, channels_in: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, width, 3, bias=False)
        self.norm = nn.LayerNorm(width)  # the number of objects is too small and too changeable for batch norm

    def forward(self, level: Tensor, picture: Tensor, row: Tensor, column: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(neighbourhoods(level, picture, row, column))[:, :, 0, 0]))


def neighbourhoods(level: Tensor, picture: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """The 3x3 cells around M places of (B, C, h, w), zeros beyond the edge: (M, C, 3, 3)."""
    padded = nn.functional.pad(level, (1, 1, 1, 1)).permute(0, 2, 3, 1)
    step = torch.arange(3, device=level.device)
    around = padded[picture[:, None, None], row[:, None, None] + step[:, None], column[:, None, None] + step]
    return around.permute(0, 3, 1, 2)


class Finish(nn.Module):
    """Two convolutions over each object's grid, the same for all: (M, HIDDEN + 1, s, s) -> what to add, (M, s, s)."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.near = nn.Conv2d(HIDDEN + 1, width, 3, padding=1)
        self.far = nn.Conv2d(width, width, 3, padding=2, dilation=2)
        self.logit = nn.Conv2d(width, 1, 1)
        nn.init.zeros_(self.logit.weight)
        nn.init.zeros_(self.logit.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return self.logit(torch.relu(self.far(torch.relu(self.near(x)))))[:, 0]


class MaskBranch(nn.Module):
    """All that is added to the detector, and all that is trained."""

    def __init__(
        self, channels_fine: int = WIDTHS[1], channels_neck: int = 96, width: int = 128, prototype_width: int = 64
    ) -> None:
        super().__init__()
        self.prototypes = Prototypes(channels_fine, channels_neck, prototype_width)
        self.towers = nn.ModuleList(Tower(channels_neck, width) for _ in STRIDES)
        self.body = nn.Linear(width + GEOMETRY, width)
        self.outline = nn.Linear(width, OUTLINE * OUTLINE)
        self.coefficients = nn.Linear(width, COEFFICIENTS)
        self.finish = Finish()
        # At first every object has the same two layers and no outline: what a cell adds is learned from there.
        for head in (self.outline, self.coefficients):
            nn.init.normal_(head.weight, std=0.01)
            nn.init.zeros_(head.bias)
        with torch.no_grad():
            self.coefficients.bias[: HIDDEN * _INPUTS].normal_(std=(2 / _INPUTS) ** 0.5)
            self.coefficients.bias[-HIDDEN - 1 : -1].normal_(std=(1 / HIDDEN) ** 0.5)

    def describe(
        self, pyramid: tuple[Tensor, Tensor, Tensor], picture: Tensor, cell: Tensor, regions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Coefficients (M, P) and outlines (M, 14, 14) of M objects.

        picture (M,): which of the batch.   cell (M,): index over all levels, finest first, of the cell that answers.
        regions (M, 4): xyxy in pixels of the input, see ``grown``.
        """
        height, width = (STRIDES[0] * side for side in pyramid[0].shape[2:])
        centres, strides = cell_centres(height, width, cell.device)
        parts, order, start = [], [], 0
        for level, tower in zip(pyramid, self.towers):
            rows, columns = level.shape[2:]
            own = ((cell >= start) & (cell < start + rows * columns)).nonzero()[:, 0]
            local = cell[own] - start
            parts.append(tower(level, picture[own], local // columns, local % columns).float())
            order.append(own)
            start += rows * columns
        back = torch.cat(order).argsort()
        seen = torch.cat([torch.cat(parts)[back], geometry(regions, centres[cell], strides[cell])], 1)
        seen = torch.relu(self.body(seen))
        return self.coefficients(seen), self.outline(seen).reshape(-1, OUTLINE, OUTLINE)

    def masks(
        self,
        prototypes: Tensor,
        pyramid: tuple[Tensor, Tensor, Tensor],
        picture: Tensor,
        cell: Tensor,
        regions: Tensor,
        side: int = GRID,
    ) -> Tensor:
        """Mask logits (M, side, side) of M objects on grids stretched over their regions; arguments as in ``describe``.

        prototypes (B, K, H/4, W/4) and pyramid: of the same forward pass.
        """
        coefficients, outlines = self.describe(pyramid, picture, cell, regions)
        height, width = (STRIDES[0] * length for length in pyramid[0].shape[2:])
        read = read_maps(prototypes.float(), picture, grid_of(regions.float(), side), (height, width))
        with torch.autocast(read.device.type, enabled=False):  # places in a box need more than bfloat16's eight bits
            logits, hidden = assemble(read, coefficients.float(), outlines.float())
        return logits + self.finish(torch.cat([hidden, logits[:, None]], 1)).float()


def geometry(boxes: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """(M, 4): where in its box (M, 4) a cell's centre (M, 2) lies, -1 to 1, and log2 of the box's sides in strides."""
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1.0)
    place = (centres - boxes[:, :2]) / sides * 2 - 1
    return torch.cat([place, torch.log2(sides / strides[:, None]) - 2], 1)


def grown(boxes: Tensor, height: float, width: float) -> Tensor:
    """The regions (..., 4) in which the masks of boxes (..., 4) are drawn, cut at the edge of the picture."""
    margin = (boxes[..., 2:] - boxes[..., :2]) * ((GROWN - 1) / 2)
    low, high = boxes[..., :2] - margin, boxes[..., 2:] + margin
    return torch.cat([low.clamp(min=0), torch.minimum(high, high.new_tensor([width, height]))], -1)


def grid_of(boxes: Tensor, side: int) -> Tensor:
    """(M, side, side, 2): xy of the centres of side x side equal parts of each box (M, 4)."""
    middle = (torch.arange(side, device=boxes.device, dtype=boxes.dtype) + 0.5) / side
    x = boxes[:, None, 0] + middle * (boxes[:, None, 2] - boxes[:, None, 0])
    y = boxes[:, None, 1] + middle * (boxes[:, None, 3] - boxes[:, None, 1])
    return torch.stack([x[:, None, :].expand(-1, side, -1), y[:, :, None].expand(-1, -1, side)], -1)


def read_maps(maps: Tensor, picture: Tensor, points: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear values of maps (B, C, h, w) at points (M, s, s, 2) of an input of ``size`` (height, width).

    picture (M,): which of the batch each object's points belong to. Beyond the edge the edge's value. (M, C, s, s).
    """
    scaled = points * torch.tensor([2 / size[1], 2 / size[0]], device=points.device) - 1
    parts, order = [maps.new_zeros((0, maps.shape[1], *points.shape[1:3]))], [picture[:0]]
    for index in range(len(maps)):
        own = (picture == index).nonzero()[:, 0]
        if len(own):
            # All grids of one picture as one tall grid: the maps are not copied for each object.
            strip = scaled[own].flatten(0, 1)[None]
            read = nn.functional.grid_sample(
                maps[index : index + 1], strip, mode="bilinear", padding_mode="border", align_corners=False
            )
            parts.append(read[0].reshape(maps.shape[1], len(own), *points.shape[1:3]).transpose(0, 1))
            order.append(own)
    return torch.cat(parts)[torch.cat(order).argsort()]


def assemble(read: Tensor, coefficients: Tensor, outlines: Tensor) -> tuple[Tensor, Tensor]:
    """Mask logits (M, s, s) from prototypes read on each object's grid (M, K, s, s) and what its cell said of it.

    Returns them with the values of the hidden layer (M, HIDDEN, s, s).

    logit = w2 . relu(W1 [prototypes, x, y] + b1) + b2 + the outline, stretched bilinearly to the grid; x and y run
    from -1 to 1 over the box, and ``coefficients`` (M, P) hold W1, b1, w2, b2 in this order.
    """
    count, _, side, _ = read.shape
    place = grid_of(read.new_tensor([[-1.0, -1.0, 1.0, 1.0]]), side).permute(0, 3, 1, 2).expand(count, -1, -1, -1)
    inputs = torch.cat([read, place], 1).flatten(2)
    first, bias, second, last = coefficients.split([HIDDEN * _INPUTS, HIDDEN, HIDDEN, 1], 1)
    hidden = torch.relu(torch.baddbmm(bias[:, :, None], first.reshape(count, HIDDEN, _INPUTS), inputs))
    logits = torch.baddbmm(last[:, :, None], second[:, None, :], hidden).reshape(count, side, side)
    rough = nn.functional.interpolate(outlines[:, None], size=(side, side), mode="bilinear", align_corners=False)
    return logits + rough[:, 0], hidden.reshape(count, HIDDEN, side, side)


def fitted(logits: Tensor, regions: Tensor, boxes: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Cut masks to where they end: boxes (M, 4), and logits (M, side, side) over those.

    logits (M, s, s) over regions (M, 4); boxes (M, 4): taken instead where no cell of a mask reaches a half. The new
    boxes leave half a cell around the mask, in which its edge can fade out.
    """
    cells = logits.shape[1]
    inside = logits >= 0
    bounds = []
    for axis in (1, 2):
        along = inside.any(axis).float()  # over columns, then over rows
        first = along.argmax(1)
        last = cells - along.flip(1).argmax(1)
        bounds.append(torch.stack([first - 0.5, last + 0.5], 1).clamp(0, cells) / cells)
    low, sides = regions[:, :2], regions[:, 2:] - regions[:, :2]
    ends = torch.stack(bounds, 2)  # (M, 2, 2): first and last, xy
    exact = (low[:, None] + ends * sides[:, None]).flatten(1)
    found = torch.where(inside.flatten(1).any(1)[:, None], exact, boxes)
    points = (grid_of(found, side) - low[:, None, None]) / sides.clamp(min=1e-6)[:, None, None] * 2 - 1
    again = nn.functional.grid_sample(
        logits[:, None], points, mode="bilinear", padding_mode="border", align_corners=False
    )
    return found, again[:, 0]


class CompactInstances(MaskBranch):
    """RGB in [0, 1], (B, 3, H, W) with H and W multiples of 32 -> ``Found``; then ``masks`` of chosen cells."""

    def __init__(self) -> None:
        super().__init__()
        self.detector = CompactDetector()

    def forward(self, x: Tensor) -> Found:
        c2, levels = self.detector.pyramid(x)
        return Found(self.detector.predict(levels), self.prototypes(c2, levels[0]), levels)

    def fuse(self) -> CompactInstances:
        """Fold every batch normalisation into its convolution, in place; call once, after loading weights."""
        fuse_all(self)
        return self
