"""RAFT (Teed and Deng 2020, arXiv:2003.12039) step by step: torchvision's layers, with every refinement kept.

torchvision's ``forward`` enlarges each refinement to the full resolution, which for the small network (plain bilinear)
costs more memory than it is worth: its refinements are kept at an eighth of the resolution and enlarged when they are
looked at. The large network learned its own way of enlarging, so its refinements are kept enlarged, in float16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cvdemo.core.registry import RunContext
from cvdemo.flow.raw import FramePair, Layout, RawFlow, fitted

STRIDE = 8
SMALLEST = 128
"""The correlation pyramid has four levels of halves of an eighth; the coarsest needs two cells."""
MOST_PIXELS = 8192 * STRIDE * STRIDE
"""All pairs of cells are compared: 8192 of them make a volume of 268 MB, and its pyramid a third more."""


class SampleNorm(nn.Module):
    """Instance normalisation without parameters, as group normalisation of one channel a group.

    The same numbers; but torch's instance normalisation changes the memory layout and back around each of its calls.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape, each channel of each picture with mean 0 and deviation 1."""
        return functional.group_norm(x, x.shape[1])


def _with_sample_norm(module: nn.Module) -> nn.Module:
    for parent in module.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.InstanceNorm2d):
                setattr(parent, name, SampleNorm())
    return module


def build_small() -> nn.Module:
    """torchvision's raft_small with random weights, in eval mode."""
    from torchvision.models.optical_flow import raft_small

    return _with_sample_norm(raft_small(weights=None, progress=False)).eval()


def build_large() -> nn.Module:
    """torchvision's raft_large with random weights, in eval mode."""
    from torchvision.models.optical_flow import raft_large

    return _with_sample_norm(raft_large(weights=None, progress=False)).eval()


def refine(
    model: Any, first: Tensor, second: Tensor, iterations: int, *, warm: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """The refinements of a ``torchvision.models.optical_flow.RAFT``, one after the other.

    Args:
        first, second: (B, 3, H, W) in [-1, 1], sides multiples of 8 and at least 128.
        warm: so many refinements are made before, without gradient and without being returned.
    Yields: (B, 2, H/8, W/8) float32 flow in pixels of the eighth (times 8 for the frames), and the hidden state. No
    gradient goes through the place where the correlation is looked up, as in the paper.
    """
    size, hidden = first.shape[-2:], model.update_block.hidden_state_size
    both = model.feature_encoder(torch.cat([first, second]))  # (2B, C, H/8, W/8)
    one, two = both.chunk(2)
    model.corr_block.corr_pyramid = pyramid(one, two, model.corr_block.num_levels)
    state, context = model.context_encoder(first).split_with_sizes(_context_split(model, hidden), dim=1)
    state, context = torch.tanh(state), functional.relu(context)  # (B, hidden, H/8, W/8), (B, rest, H/8, W/8)
    layout = _layout_of(state)
    units = _units(model, state, context)
    start = coordinates(len(first), size[0] // STRIDE, size[1] // STRIDE, first.device)
    at = start
    for number in range(-warm, iterations):
        with torch.set_grad_enabled(torch.is_grad_enabled() and number >= 0):
            at = at.detach()
            looked_up = look_up(model.corr_block.corr_pyramid, at, model.corr_block.radius)  # (B, 4 (2r+1)^2, h, w)
            # In the state's number format and layout: the convolutions would convert them anyway, three times each.
            flow = (at - start).to(state).contiguous(memory_format=layout)
            looked_up = looked_up.to(state).contiguous(memory_format=layout)
            motion = model.update_block.motion_encoder(flow, looked_up)
            for unit in units:
                state = unit(state, motion)
            at = at + model.update_block.flow_head(state).float()
        if number >= 0:
            yield at - start, state


class RecurrentUnit:
    """A convolutional GRU (torchvision's ``ConvGRU``) whose input is partly the same at every step.

    The convolutions are linear, so what they make of the context is computed once for all refinements and added.
    Update and reset gate look at the same input and are one convolution.

    state: (B, H, h, w), the first one, whose number format and layout the weights get.   context: (B, C, h, w).
    """

    def __init__(self, gru: Any, state: Tensor, context: Tensor) -> None:
        hidden, before = state.shape[1], state.shape[1] + context.shape[1]
        layout = _layout_of(state)
        self.padding = gru.convz.padding

        def split(*convolutions: nn.Conv2d) -> tuple[Tensor, Tensor]:
            """The weights for state and motion, and the constant part of the sum."""
            weight = torch.cat([convolution.weight for convolution in convolutions]).to(state)
            bias = torch.cat([convolution.bias for convolution in convolutions if convolution.bias is not None])
            constant = functional.conv2d(context, weight[:, hidden:before], bias.to(state), padding=self.padding)
            varying = torch.cat([weight[:, :hidden], weight[:, before:]], dim=1)
            return varying.contiguous(memory_format=layout), constant

        self.gates, self.gates_constant = split(gru.convz, gru.convr)
        self.candidate, self.candidate_constant = split(gru.convq)

    def __call__(self, state: Tensor, motion: Tensor) -> Tensor:
        """The next state; motion: (B, M, h, w), which changes from step to step."""
        gates = functional.conv2d(torch.cat([state, motion], dim=1), self.gates, padding=self.padding)
        update, reset = torch.sigmoid(gates + self.gates_constant).chunk(2, dim=1)
        seen = torch.cat([reset * state, motion], dim=1)
        candidate = functional.conv2d(seen, self.candidate, padding=self.padding) + self.candidate_constant
        return torch.lerp(state, torch.tanh(candidate), update)


def _layout_of(state: Tensor) -> torch.memory_format:
    """What the convolutions get their other inputs and weights in, so that none is converted at every step."""
    rows_first = state.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if rows_first else torch.contiguous_format


def _units(model: Any, state: Tensor, context: Tensor) -> list[RecurrentUnit]:
    """The small network has one unit, the large one a horizontal and a vertical."""
    block = model.update_block.recurrent_block
    modules = [gru for gru in (block.convgru1, block.convgru2) if isinstance(gru, nn.Module)]
    return [RecurrentUnit(gru, state, context) for gru in modules]


def pyramid(first: Tensor, second: Tensor, levels: int) -> list[Tensor]:
    """All pairs of cells compared: levels of (B h w, 1, h / 2^l, w / 2^l) float32, scalar products over sqrt(C).

    Averaging the products over cells of the second frame is multiplying with the averaged features: the coarser levels
    are made from those, at a fraction of the cost.

    first, second: (B, C, h, w).
    """
    queries = first.flatten(2).transpose(1, 2) * first.shape[1] ** -0.5  # (B, h w, C)
    made = []
    for level in range(levels):
        h, w = second.shape[-2:]
        made.append((queries @ second.flatten(2)).float().view(-1, 1, h, w))
        if level + 1 < levels:
            second = functional.avg_pool2d(second, 2)
    return made


def look_up(levels: list[Tensor], places: Tensor, radius: int) -> Tensor:
    """What the correlation is around the places: (B, L (2r+1)^2, h, w), bilinear, 0 outside of the second frame.

    The numbers and their order are those of torchvision's ``index_pyramid``, in fewer steps.

    levels: of ``pyramid``.   places: (B, 2, h, w) x, y in cells of the finest level.
    """
    batch, _, h, w = places.shape
    middle = places.permute(0, 2, 3, 1).reshape(-1, 1, 1, 2)  # (B h w, 1, 1, 2)
    offsets = torch.arange(-radius, radius + 1, device=places.device, dtype=places.dtype)
    window = torch.stack(torch.meshgrid(offsets, offsets, indexing="ij"), dim=-1)  # (2r+1, 2r+1, 2): x first
    found = []
    for number, level in enumerate(levels):
        scale = 2 / (places.new_tensor([level.shape[-1], level.shape[-2]]) - 1)  # grid_sample counts from -1 to 1
        grid = (middle * (scale / 2**number) - 1) + window * scale  # (B h w, 2r+1, 2r+1, 2)
        found.append(functional.grid_sample(level, grid, align_corners=True).view(batch, h, w, -1))
    return torch.cat(found, dim=-1).permute(0, 3, 1, 2)


def _context_split(model: Any, hidden: int) -> list[int]:
    return [hidden, model.context_encoder.output_dim - hidden]


def coordinates(count: int, height: int, width: int, device: torch.device) -> Tensor:
    """(count, 2, height, width) float32: x and y of every cell."""
    y, x = torch.meshgrid(
        torch.arange(height, device=device, dtype=torch.float32),
        torch.arange(width, device=device, dtype=torch.float32),
        indexing="ij",
    )
    return torch.stack([x, y]).expand(count, 2, height, width)


def to_input(frame: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 to (1, 3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(np.array(frame)).permute(2, 0, 1)[None].float().div_(127.5).sub_(1)


def runner(name: str, layout: Layout = "corners") -> Callable[[Any, FramePair, RunContext], RawFlow]:
    """The ``run`` of one RAFT entry; layout: where its coarse cells lie, see ``RawFlow``."""

    def run(model: Any, pair: FramePair, context: RunContext) -> RawFlow:
        with context.stage("preprocess"):
            first, second, working = fitted(pair, most_pixels=MOST_PIXELS, multiple=STRIDE, smallest=SMALLEST)
            blobs = [context.tensor(to_input(frame)) for frame in (first, second)]
        kept: list[np.ndarray] = []
        learned = model.mask_predictor is not None
        try:
            with context.stage("network"), context.autocast():
                for number, (flow, state) in enumerate(refine(model, blobs[0], blobs[1], pair.iterations), 1):
                    if learned:
                        kept.append(_enlarged(model, flow, state).half().cpu().numpy())
                    else:
                        kept.append((flow * STRIDE).float().cpu().numpy())
                    context.report(number / pair.iterations, f"refinement {number} of {pair.iterations}")
        finally:
            model.corr_block.corr_pyramid = []  # hundreds of megabytes that nobody needs until the next run
        with context.stage("decode"):
            refinements = np.ascontiguousarray(np.concatenate(kept).transpose(0, 2, 3, 1))
        padded = first.shape[0], first.shape[1]
        return RawFlow(refinements, pair.height, pair.width, name, working, padded, "areas" if learned else layout)

    return run


def _enlarged(model: Any, flow: Tensor, state: Tensor) -> Tensor:
    """The large network's own convex upsampling: (1, 2, H, W) from (1, 2, H/8, W/8)."""
    from torchvision.models.optical_flow._utils import upsample_flow

    return upsample_flow(flow=flow, up_mask=model.mask_predictor(state).float())
