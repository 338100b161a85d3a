"""Train a compact action model.

``python -m cvdemo.action.train --net skeleton --train GT_train_1.npz --test GT_test_1.npz --out FOLDER``
``python -m cvdemo.action.train --net stills --pictures HAR15 --backbone compact_classifier.safetensors --out FOLDER``
``python -m cvdemo.action.train --net exercise --clips CACHE --backbone compact_classifier.safetensors --out FOLDER``

The schedule runs on the clock, so the same command gives a complete, annealed model in a minute or an hour. A
checkpoint is written every few minutes; running the same command again resumes from it. At the end the weights are
measured on the data that was held back, beside baselines, and ``metrics.json`` is written.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cvdemo.core import training
from cvdemo.core.errors import CvDemoError

NETS = {
    "skeleton": "cvdemo.action.train_skeleton",
    "stills": "cvdemo.action.train_stills",
    "exercise": "cvdemo.action.train_exercise",
}


@dataclass(frozen=True)
class Job:
    """What one net brings to the common loop.

    network: to be trained.   filename: of the weights that ship.   next_batch(batch, step, progress in [0, 1]) makes
    a batch.   loss_of(network, batch) -> loss and figures.   count(batch): its number of clips.
    measure(network in eval mode) -> figures on the data held back, beside baselines.
    rate_scale: the learning rate as it suits this net, times ``--rate``.
    """

    network: nn.Module
    filename: str
    next_batch: Callable[[int, int, float], Any]
    loss_of: training.LossFn
    count: Callable[[Any], int]
    measure: Callable[[Any], dict[str, Any]]
    weight_decay: float = 0.03
    average_decay: float = 0.999
    memory_format: torch.memory_format = torch.contiguous_format


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the options, train until the time is spent, save, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", choices=sorted(NETS), required=True)
    parser.add_argument("--train", type=Path, help="skeleton: npz of the clips to train on")
    parser.add_argument("--test", type=Path, help="skeleton: npz of the clips held back")
    parser.add_argument("--pictures", type=Path, help="stills, exercise: folder with train/ and Training_set.csv")
    parser.add_argument("--clips", type=Path, help="exercise: folder made by cvdemo.action.training_data")
    parser.add_argument("--backbone", type=Path, help="weights of the compact classifier, to start from")
    parser.add_argument("--keep", type=Path, help="stills, exercise: weights whose backbone is used as it is")
    parser.add_argument("--cache", type=Path, help="folder for decoded pictures (default: OUT/cache)")
    training.add_arguments(parser, minutes=10, batch=64, rate=2e-3)
    args = parser.parse_args(arguments)

    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    try:
        job: Job = importlib.import_module(NETS[args.net]).job(args)
        trainer = training.Trainer(
            job.network, torch.device(args.device), args.minutes * 60, args.rate, weight_decay=job.weight_decay,
            average_decay=job.average_decay, memory_format=job.memory_format,
        )  # fmt: skip
        if args.keep:
            trainer.keep(args.keep, "backbone")
        trainer.begin(args.out, args.start)
    except CvDemoError as error:
        sys.exit(str(error))

    next_batch = training.prefetch(lambda: job.next_batch(args.batch, trainer.step, trainer.progress))
    with training.asked_to_stop() as stopping:
        trainer.run(next_batch, job.loss_of, args.out, job.filename, stopping, job.count, training.exchange_of(args))
    job.network.load_state_dict(trainer.averaged_state())
    figures = job.measure(job.network.eval()) | {
        "steps": trainer.step, "minutes": round(trainer.elapsed / 60, 2), "examples": trainer.pictures,
    }  # fmt: skip
    (args.out / "metrics.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
