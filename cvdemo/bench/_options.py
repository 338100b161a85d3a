"""The command-line options that the benchmarks of models share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def parse(
    name: str, description: str | None, arguments: Sequence[str], *, default: str, rounds: str = "calls"
) -> argparse.Namespace:
    """models, rounds, device, json of ``python -m cvdemo.bench NAME``.

    default: which models are measured when none is named, in words.   rounds: what alternates.
    """
    parser = argparse.ArgumentParser(prog=f"python -m cvdemo.bench {name}", description=description)
    parser.add_argument("--models", nargs="*", help=f"only these (default: {default})")
    parser.add_argument("--rounds", type=int, default=15, help=f"alternating {rounds} per model")
    parser.add_argument("--device", default=None, help="cuda, mps or cpu")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args(arguments)
