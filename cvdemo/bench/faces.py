"""The face detector and the emotion network beside a bare call, and the path behind their sliders.

The detector is timed on a 640x480 picture, the emotion network on the crops of its example. Calls that are compared
alternate, so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch

from cvdemo import tasks
from cvdemo.bench.detection import bare_network, beside_engine, with_weights
from cvdemo.core import registry
from cvdemo.core.context import RunContext
from cvdemo.core.device import configure_threads, device_title
from cvdemo.core.engine import Engine
from cvdemo.core.registry import ModelSpec
from cvdemo.faces.detector import DEFAULT_MODEL, FaceDetectionSettings, decode_faces

EMOTIONS = "compact-emotion"
SLIDER_MOVES = 60


def time_model(engine: Engine, spec: ModelSpec, rounds: int) -> dict[str, Any]:
    """Our whole path in the measured best precision against the same function in plain float32, unfused."""
    usable, random, module = bare_network(spec, engine)
    value = usable.example()

    def bare() -> None:
        with torch.inference_mode():
            spec.run(module, value, RunContext(engine.device))

    bare_ms, our_ms = beside_engine(engine, usable, value, bare, rounds)
    engine.evict(usable.name)
    runs = [run for run in engine.statistics().last_runs if run.model == spec.name]
    return {
        "model": spec.name,
        "weights": "random" if random else "trained",
        "input": "x".join(map(str, np.shape(value))),
        "precision": runs[0].precision if runs else "",
        "bare ms": median(bare_ms),
        "ours ms": median(our_ms),
        "ratio": median(our_ms) / median(bare_ms),
    }


def slider_path(spec: ModelSpec, device: str | None) -> dict[str, Any]:
    """Milliseconds of decoding faces, and how often the network runs while 60 settings are tried on one inference."""
    engine = Engine(device, tune=False)
    raw = engine.run(with_weights(spec)[0], spec.example()).output
    before = sum(model.runs for model in engine.statistics().models)
    times = []
    for step in range(SLIDER_MOVES):
        started = perf_counter()
        decode_faces(raw, FaceDetectionSettings(score_threshold=step / 100, iou_threshold=1 - step / 100)).to_dict()
        times.append((perf_counter() - started) * 1e3)
    calls = sum(model.runs for model in engine.statistics().models) - before
    return {"moves": SLIDER_MOVES, "decode ms": median(times), "network calls": calls}


def main(arguments: Sequence[str]) -> int:
    """Print all measurements; exit code 1 when a slider ran the network."""
    parser = argparse.ArgumentParser(prog="python -m cvdemo.bench faces", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="alternating calls per model")
    parser.add_argument("--device", default=None, help="cuda, mps or cpu")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    threads = configure_threads()
    tasks.load_all()
    engine = Engine(options.device)
    report: dict[str, Any] = {
        "device": f"{engine.device} ({device_title(engine.device)}), {threads} threads",
        "models": [time_model(engine, registry.get(name), options.rounds) for name in (DEFAULT_MODEL, EMOTIONS)],
        "slider": slider_path(registry.get(DEFAULT_MODEL), options.device),
    }
    if options.json:
        print(json.dumps(report, indent=1))
        return 1 if report["slider"]["network calls"] else 0
    print(f"Device: {report['device']}; medians\n")
    for row in report["models"]:
        print(
            f"{row['model']:22s} {row['weights']:8s} input {row['input']:12s} bare fp32 {row['bare ms']:6.1f} ms  ours "
            f"{row['ours ms']:6.1f} ms   ratio {row['ratio']:.2f}   {row['precision']}"
        )
    slider = report["slider"]
    print(
        f"\nBehind a slider: decode {slider['decode ms']:.2f} ms; network calls during {slider['moves']} moves: "
        f"{slider['network calls']}"
    )
    return 1 if slider["network calls"] else 0
