"""Train one of the compact flow models from random initialisation on synthetic pairs.

``python -m cvdemo.flow.train --net raft --photos FOLDER[#LIMIT] … --out FOLDER --minutes 35``

The pairs are drawn while training (``cvdemo.flow.synthetic``), their textures cut from the photographs; no labelled
flow of anybody is used. Crops, motions and the number of refinements grow over the time budget; ``--from`` goes on with
the last size and a larger one. Schedule, checkpoints and options as in every recipe (``cvdemo.core.training``);
``compact_….safetensors`` in the output folder is what ships.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cvdemo.core import training
from cvdemo.core.errors import CvDemoError
from cvdemo.flow.losses import matching_loss, matching_share, sequence_loss
from cvdemo.flow.nets.flownet_s import FlowNetS, endpoint_loss, stacked
from cvdemo.flow.raft import build_small, refine
from cvdemo.flow.training_data import Batch, BatchMaker, Phase, load_photos, parse_source, phase_at

AVERAGE_DECAY = 0.999
COLD_SHARE, MOST_WARM = 0.4, 8
"""Share of RAFT's steps that begin with no motion; the others, with up to so many refinements already made."""


@dataclass(frozen=True)
class Recipe:
    """What is particular to one net: how to build it, what to call its weights, its phases, its learning rate."""

    build: Callable[[], nn.Module]
    filename: str
    phases: tuple[Phase, ...]
    rate: float


RECIPES = {
    "raft": Recipe(
        build_small,
        "compact_raft.safetensors",
        (
            Phase(0.0, 128, 160, 10.0, 6, 4),
            Phase(0.15, 160, 192, 20.0, 4, 4),
            Phase(0.45, 192, 256, 32.0, 3, 5),
            Phase(0.75, 256, 320, 48.0, 2, 6),
        ),
        8e-4,
    ),
    "flownet": Recipe(
        FlowNetS,
        "compact_flownet.safetensors",
        (Phase(0.0, 128, 192, 10.0, 16), Phase(0.25, 192, 256, 24.0, 10), Phase(0.7, 256, 384, 40.0, 6)),
        1.5e-3,
    ),
}


def tensors_of(batch: Batch, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """first, second: (B, 3, H, W) in [0, 1]; flow (B, 2, H, W); visible (B, H, W) bool."""
    first, second = (
        torch.from_numpy(frames).to(device).permute(0, 3, 1, 2).float().div_(255)
        for frames in (batch.first, batch.second)
    )
    flow = torch.from_numpy(batch.flow).to(device).permute(0, 3, 1, 2).contiguous()
    return first, second, flow, torch.from_numpy(batch.visible).to(device)


def flownet_loss(network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
    """Endpoint error at every scale; "epe" is that of the finest."""
    device = next(network.parameters()).device
    first, second, flow, _ = tensors_of(batch, device)
    with torch.autocast(device.type, torch.bfloat16):
        flows = network(stacked(first, second).contiguous(memory_format=torch.channels_last))
    terms = endpoint_loss(flows, flow)
    return torch.stack(list(terms.values())).sum(), {"epe": float(terms["1/4"].detach())}


def raft_loss(network: Any, batch: Batch, progress: float, warm: int = 0) -> tuple[Tensor, dict[str, float]]:
    """Sequence loss over the refinements plus the matching loss; "epe" is that of the last refinement.

    warm: refinements made without gradient before. Trained on its first few refinements alone, the network does not
    learn to stay where it has arrived, and drifts away from there when it is refined more often.
    """
    device = next(network.parameters()).device
    first, second, flow, visible = tensors_of(batch, device)
    frames = [x.contiguous().mul_(2).sub_(1) for x in (first, second)]
    with torch.autocast(device.type, torch.bfloat16):
        found = [coarse for coarse, _ in refine(network, frames[0], frames[1], batch.phase.iterations, warm=warm)]
    loss, error = sequence_loss(found, flow)
    match = matching_loss(network.corr_block.corr_pyramid[0], flow, visible)
    network.corr_block.corr_pyramid = []
    still = flow.square().sum(dim=1).sqrt().mean()
    figures = {"epe": float(error), "match": float(match.detach()), "zero": float(still)}
    return loss + matching_share(progress) * match, figures


def continued(phases: Sequence[Phase]) -> tuple[Phase, ...]:
    """The last phase and one with larger crops and motions, half of the time each: what is left to learn for weights
    that were trained before. With smaller motions they forget the large ones faster than they gain on the small."""
    last = phases[-1]
    larger = replace(last, start=0.5, height=last.height + 64, width=last.width + 64, motion=last.motion * 4 / 3)
    return replace(last, start=0.0), larger


def scaled(phases: Sequence[Phase], share: float) -> tuple[Phase, ...]:
    """The phases with batches ``share`` times as large."""
    return tuple(replace(phase, batch=max(1, round(phase.batch * share))) for phase in phases)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the options, train until the time is spent, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", choices=tuple(RECIPES), default="raft")
    parser.add_argument("--photos", action="append", type=parse_source, required=True, help="FOLDER[#LIMIT]")
    parser.add_argument("--cache", type=Path, help="folder for the decoded photographs (default: OUT/cache)")
    training.add_arguments(parser, minutes=35, batch=0, rate=0.0)
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    recipe = RECIPES[args.net]
    phases = continued(recipe.phases) if args.start else recipe.phases
    phases = scaled(phases, args.batch / phases[0].batch) if args.batch else phases
    try:
        photos = load_photos(args.photos, args.cache or args.out / "cache")
        trainer = training.Trainer(
            recipe.build(),
            torch.device(args.device),
            args.minutes * 60,
            args.rate or recipe.rate,
            average_decay=AVERAGE_DECAY,
            weight_decay=0.01,
        )
        trainer.begin(args.out, args.start)
    except CvDemoError as error:
        sys.exit(str(error))
    if args.net == "raft":  # instance normalisation is twice as fast, backwards ten times, in the plain layout
        trainer.network.to(memory_format=torch.contiguous_format)
    print(f"{len(photos)} photographs, from step {trainer.step}", file=sys.stderr)
    maker, draw = BatchMaker(photos, args.seed + trainer.step), np.random.default_rng(args.seed + trainer.step)
    next_batch = training.prefetch(lambda: maker.batch(phase_at(phases, trainer.progress)))

    def loss_of(network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        if args.net == "flownet":
            return flownet_loss(network, batch)
        warm = int(draw.integers(1, MOST_WARM + 1)) if draw.random() > COLD_SHARE else 0
        return raft_loss(network, batch, trainer.progress, warm)

    with training.asked_to_stop() as stopping:
        exchange = training.exchange_of(args)
        trainer.run(next_batch, loss_of, args.out, recipe.filename, stopping, len, exchange)


if __name__ == "__main__":
    main()
