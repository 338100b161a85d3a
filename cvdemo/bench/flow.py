"""Optical flow: milliseconds of every method on one pair of frames of 448 x 320 pixels, taking turns.

Where a model's weights are on this machine they are used; where not, the same architecture with random weights is
timed, marked "random": speed hardly depends on the weights, and nothing is predicted with them. The methods are called
in turns, one round after the other, so that a busy machine slows all of them, and compared with DIS at its medium
preset in the same rounds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import median
from time import perf_counter
from typing import Any

from cvdemo import tasks
from cvdemo.bench._options import parse
from cvdemo.bench.detection import with_weights
from cvdemo.core import registry
from cvdemo.core.device import configure_threads, device_title
from cvdemo.core.engine import Engine
from cvdemo.core.registry import ModelSpec
from cvdemo.flow.predict import TASK, FlowInference, decode, with_variational
from cvdemo.flow.raw import example_pair
from cvdemo.flow.variational import AUTO

REFERENCE = "dis-medium"
BARS_MS = {"compact-raft": 180.0, "compact-flownet": 40.0}
"""Of two cores, in milliseconds."""


def time_methods(engine: Engine, specs: Sequence[ModelSpec], rounds: int) -> list[dict[str, Any]]:
    """A row per method: median and shortest milliseconds from the two frames to the field, and the median ratio of its
    time to that of the reference in the same round, None where the reference is not among the methods."""
    pair = example_pair()
    usable = [with_weights(spec) for spec in specs]
    times: dict[str, list[float]] = {spec.name: [] for spec in specs}
    for spec, _ in usable:
        engine.run(spec, pair)  # loads the network and measures how it runs fastest
    for number in range(rounds):
        for spec, _ in usable if number % 2 else reversed(usable):
            started = perf_counter()
            ran = engine.run(spec, pair)
            found = FlowInference(ran.output, None, ran.stages, ran.device, ran.precision, ran.model)
            decode(with_variational(found, pair, AUTO))
            times[spec.name].append((perf_counter() - started) * 1e3)
    precisions = {model.name: model.precision for model in engine.statistics().models}
    reference = times.get(REFERENCE)
    return [
        {
            "model": spec.name,
            "weights": "none" if spec.tier == "classical" else "random" if random else "trained",
            "precision": "" if spec.tier == "classical" else precisions.get(spec.name, ""),
            "milliseconds": median(times[spec.name]),
            "shortest": min(times[spec.name]),
            "ratio": median(a / b for a, b in zip(times[spec.name], reference)) if reference else None,
        }
        for spec, random in usable
    ]


def main(arguments: Sequence[str]) -> int:
    """Print all measurements; exit code 0."""
    options = parse("flow", __doc__, arguments, default="the compact and the classical ones", rounds="calls")
    threads = configure_threads()
    tasks.load_all()
    engine = Engine(options.device)
    specs = [registry.get(name) for name in options.models or []]
    specs = specs or [spec for spec in registry.models(task=TASK) if spec.tier != "full"]
    report = {
        "device": f"{engine.device} ({device_title(engine.device)}), {threads} threads",
        "models": time_methods(engine, specs, options.rounds),
    }
    print(json.dumps(report, indent=1)) if options.json else _print(report)
    return 0


def _print(report: dict[str, Any]) -> None:
    bars = ", ".join(f"{name} {bar:g} ms" for name, bar in BARS_MS.items())
    print(f"Device: {report['device']}; a pair of 448 x 320 pixels; bars of two cores: {bars}\n")
    print(
        f"{'method':18s} {'weights':8s} {'median, ms':>11s} {'shortest':>9s} {'x ' + REFERENCE:>13s}  precision chosen"
    )
    for row in report["models"]:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        print(
            f"{row['model']:18s} {row['weights']:8s} {row['milliseconds']:11.1f} {row['shortest']:9.1f} {ratio:>13s}  "
            f"{row['precision']}"
        )
