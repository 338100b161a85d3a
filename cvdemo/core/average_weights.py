"""The mean of several weights files of one network.

``python -m cvdemo.core.average_weights FILE FILE … --out FILE``

Weights before and after a further training lie in one valley when the training was short and began at the former; their
mean is often better than both on pictures unlike the last ones (Wortsman et al. 2022, arXiv:2109.01903).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from cvdemo.core.errors import CvDemoError, WeightsError
from cvdemo.core.training import write_weights
from cvdemo.core.weights import load_state


def mean_of(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Each value the mean of those of its name; what is no fraction (counters) is the last one's.

    WeightsError when the states are not of one network.
    """
    first = states[0]
    for state in states[1:]:
        if {n: v.shape for n, v in state.items()} != {n: v.shape for n, v in first.items()}:
            raise WeightsError("The files are of different networks.", hint="Average weights of one recipe.")
    made = {}
    for name, value in states[-1].items():
        if value.is_floating_point():
            value = torch.stack([state[name].float() for state in states]).mean(0)
        made[name] = value
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Read, average, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    try:
        write_weights(mean_of([load_state(path) for path in args.files]), args.out)
    except CvDemoError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
