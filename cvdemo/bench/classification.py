"""Classifiers beside a bare call, the engine's overhead, and the path behind a slider.

Every model is timed on the same 640x480 picture, which both sides prepare. Where a model's weights are on this machine
they are used; where not, the same architecture with random weights is timed, marked "random": speed hardly depends on
the weights, and nothing is predicted with them. Calls that are compared alternate, so that a busy machine slows both.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch

from cvdemo import tasks
from cvdemo.bench._options import parse
from cvdemo.bench.detection import bare_network, beside_engine, engine_overhead, with_weights
from cvdemo.bench.engine import OVERHEAD_BAR
from cvdemo.classification.predict import TASK, ClassificationSettings, Inference, decode
from cvdemo.core import registry
from cvdemo.core.device import configure_threads, device_title
from cvdemo.core.engine import Engine
from cvdemo.core.registry import ModelSpec

SLIDER_MOVES = 60


def time_model(engine: Engine, spec: ModelSpec, picture: np.ndarray, rounds: int) -> dict[str, Any]:
    """Our whole path in the measured best precision against the same preparation and the network in plain float32."""
    usable, random, module = bare_network(spec, engine)
    prepare = spec.extras["prepare_input"]

    def bare() -> None:
        with torch.inference_mode():
            module(prepare(picture)[0].to(engine.device)).softmax(1).cpu()

    bare_ms, our_ms = beside_engine(engine, usable, picture, bare, rounds)
    engine.evict(usable.name)
    runs = [run for run in engine.statistics().last_runs if run.model == spec.name]
    return {
        "model": spec.name,
        "weights": "random" if random else "trained",
        "precision": runs[0].precision if runs else "",
        "GFLOPs": spec.gflops,
        "bare ms": median(bare_ms),
        "ours ms": median(our_ms),
        "ratio": median(our_ms) / median(bare_ms),
    }


def slider_path(spec: ModelSpec, picture: np.ndarray, device: str | None) -> dict[str, Any]:
    """Milliseconds of decoding, and how often the network runs while 60 settings are tried on one inference."""
    engine = Engine(device, tune=False)
    ran = engine.run(with_weights(spec)[0], picture)
    inference = Inference(ran.output, ran.stages, ran.device, ran.precision, ran.model)
    before = sum(model.runs for model in engine.statistics().models)
    times = []
    for step in range(SLIDER_MOVES):
        started = perf_counter()
        decode(inference, ClassificationSettings(top_k=1 + step % 20, temperature=0.1 + step / 10)).to_dict()
        times.append((perf_counter() - started) * 1e3)
    calls = sum(model.runs for model in engine.statistics().models) - before
    return {"moves": SLIDER_MOVES, "decode ms": median(times), "network calls": calls}


def main(arguments: Sequence[str]) -> int:
    """Print all measurements; exit code 1 when a slider ran the network."""
    options = parse("classification", __doc__, arguments, default="every classifier")
    threads = configure_threads()
    tasks.load_all()
    engine = Engine(options.device)
    specs = [registry.get(name) for name in options.models] if options.models else list(registry.models(task=TASK))
    picture = specs[0].example()
    report: dict[str, Any] = {
        "device": f"{engine.device} ({device_title(engine.device)}), {threads} threads",
        "models": [time_model(engine, spec, picture, options.rounds) for spec in specs],
        "engine overhead": engine_overhead(specs[0], picture, 4 * options.rounds, options.device),
        "slider": slider_path(specs[0], picture, options.device),
    }
    if options.json:
        print(json.dumps(report, indent=1))
    else:
        _print(report)
    return 1 if report["slider"]["network calls"] else 0


def _print(report: dict[str, Any]) -> None:
    print(f"Device: {report['device']}; one 640x480 picture, medians\n")
    print(f"{'model':22s} {'weights':8s} {'GFLOPs':>7s} {'bare fp32 ms':>12s} {'ours ms':>9s} {'ratio':>6s}  precision")
    for row in report["models"]:
        print(
            f"{row['model']:22s} {row['weights']:8s} {row['GFLOPs'] or 0:7.3f} {row['bare ms']:12.1f} "
            f"{row['ours ms']:9.1f} {row['ratio']:6.2f}  {row['precision']}"
        )
    overhead = report["engine overhead"]
    print(
        f"\nEngine over a bare call of the same function ({overhead['model']}): {overhead['ratio of medians']:.3f} "
        f"(of shortest {overhead['ratio of shortest']:.3f}), bar {OVERHEAD_BAR}"
    )
    slider = report["slider"]
    print(
        f"\nBehind a slider: decode {slider['decode ms']:.2f} ms; network calls during {slider['moves']} moves: "
        f"{slider['network calls']}"
    )
