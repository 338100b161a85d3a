"""The forms our own networks run in: batch normalisation folded, and as a frozen graph."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from cvdemo.core.registry import Precision

LIVE_PRECISIONS = (
    Precision(),
    Precision(channels_last=True),
    Precision(channels_last=True, traced=True),
    Precision("bfloat16", channels_last=True),
    Precision("bfloat16", channels_last=True, traced=True),
)
"""What is tried for a network that should keep up with a webcam and has a ``trace`` by ``frozen_graph``."""


class _InFormat(nn.Module):
    """A network whose weights and values in between are of another format; float32 goes in and comes out."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.dtype = copy.deepcopy(network).to(dtype), dtype

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        output = self.network(x.to(self.dtype))
        return output.float() if isinstance(output, Tensor) else tuple(value.float() for value in output)


def fused(network: nn.Module) -> nn.Module:
    """A spec's ``prepare`` for networks that fold their own batch normalisation, in place."""
    return network.fuse()  # type: ignore[operator]


def frozen_graph(network: nn.Module, count: int, height: int, width: int, precision: Precision) -> Any:
    """The network without Python between its layers; only tensors and tuples of them may come out of it.

    In half precision the weights are rounded too, not cast at every run as under autocast: on small pictures those
    casts, and choosing them, take longer than the arithmetic. The network itself is left as it is.

    It is recorded on ``count`` pictures of ``height`` x ``width`` pixels, and works on every size that the network's
    layers take in the same order.
    """
    blob = torch.zeros(count, 3, height, width, device=next(network.parameters()).device)
    if precision.channels_last:
        blob = blob.to(memory_format=torch.channels_last)
    if precision.torch_dtype != torch.float32:
        network = _InFormat(network, precision.torch_dtype)
    with torch.no_grad():
        graph = torch.jit.trace(network.eval(), blob, check_trace=False)
        return torch.jit.optimize_for_inference(torch.jit.freeze(graph))
