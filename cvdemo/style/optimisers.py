"""The optimisers of a picture's pixels: Adam, and L-BFGS with steps that are kept short instead of searched for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

FIRST_MOVE, LARGEST_MOVE = 0.01, 0.05
"""L-BFGS: mean change of a pixel, of 1, at its first step and at most."""


def new_optimiser(name: str, picture: Tensor, rate: float) -> Any:
    """An optimiser without memories of a picture (1, 3, H, W); ``name``: "L-BFGS" or "Adam".

    rate: Adam's step size; for L-BFGS a share of its usual step (Liu and Nocedal 1989, ten pairs remembered).
    """
    if name == "Adam":
        return torch.optim.Adam([picture], lr=rate)
    return torch.optim.LBFGS(
        [picture],
        # torch divides the first step, down the gradient, by the gradient's sum
        lr=FIRST_MOVE * rate * picture.numel(),
        max_iter=1,
        history_size=10,
        tolerance_grad=0.0,
        tolerance_change=0.0,
    )


def rein_in(optimiser: Any, picture: Tensor, before: Tensor, rate: float) -> None:
    """Shorten a leap of L-BFGS, which runs without a line search because that would take more network runs.

    Its memory of the step is shortened with it, so what it learns of the curvature stays right.
    """
    optimiser.param_groups[0]["lr"] = rate  # after the first step, which has a size of its own
    change = picture - before
    moved = float(change.abs().mean())
    if not moved > LARGEST_MOVE:  # also where it is not a number: the run then goes back to its best picture
        return
    share = LARGEST_MOVE / moved
    picture.copy_(before + share * change)
    state = optimiser.state[picture]
    state["t"] = state["t"] * share
