"""The face detector and the emotion network beside a bare call, one face recognised, and the path behind sliders.

The detector is timed on a 640x480 picture, the emotion network on the crops of its example. Calls that are compared
alternate, so that a busy machine slows both. Recognising is finding the faces of a 640x480 picture, and aligning and
embedding one face at a fixed place in it, so that networks without trained weights take as long.
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
from cvdemo.core.media import Picture
from cvdemo.core.registry import ModelSpec
from cvdemo.faces.align import align, template
from cvdemo.faces.compare_view import CompareSettings
from cvdemo.faces.detector import DEFAULT_MODEL, FaceDetectionSettings, decode_faces
from cvdemo.faces.embedder import EMBEDDER, unit
from cvdemo.faces.predict import FacesInference, FoundFaces
from cvdemo.faces.result import Faces
from cvdemo.faces.tab_compare import Shown, verdict
from cvdemo.faces.tab_shared import Look

EMOTIONS = "compact-emotion"
BAR_MS = 40.0
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


def one_face(engine: Engine, rounds: int) -> dict[str, Any]:
    """Milliseconds from a 640x480 picture to the embedding of one face, and of each step."""
    finder, embedder = (with_weights(registry.get(name))[0] for name in (DEFAULT_MODEL, EMBEDDER))
    picture = finder.example()
    landmarks = template(160) + np.array([240, 160])
    steps: dict[str, list[float]] = {"find": [], "align": [], "embed": [], "together": []}
    for turn in range(rounds + 1):
        began = perf_counter()
        decode_faces(engine.run(finder, picture).output)
        found = perf_counter()
        crop = align(picture, landmarks)
        aligned = perf_counter()
        engine.run(embedder, crop[None])
        ended = perf_counter()
        if turn:  # the first loads the networks and measures how they run fastest
            for name, ms in zip(steps, (found - began, aligned - found, ended - aligned, ended - began)):
                steps[name].append(ms * 1e3)
    return {"bar ms": BAR_MS} | {f"{name} ms": median(times) for name, times in steps.items()}


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
    looks, verdicts = [_look(shift) for shift in (0, 1)], []
    now = Shown((("", EMBEDDER), ("", EMBEDDER)))
    for step in range(SLIDER_MOVES):
        started = perf_counter()
        verdict(looks, now, CompareSettings(threshold=step / 100), EMBEDDER)
        verdicts.append((perf_counter() - started) * 1e3)
    calls = sum(model.runs for model in engine.statistics().models) - before
    return {
        "moves": SLIDER_MOVES, "decode ms": median(times), "verdict ms": median(verdicts), "network calls": calls
    }  # fmt: skip


def _look(shift: int, count: int = 7) -> Look:
    """A picture of seven faces with made-up embeddings."""
    rng = np.random.default_rng(shift)
    left = np.arange(count) * 90.0
    boxes = np.stack([left, np.full(count, 100.0), left + 80, np.full(count, 200.0)], 1).astype(np.float32)
    landmarks = (template(80)[None] + np.stack([left, np.full(count, 110.0)], 1)[:, None]).astype(np.float32)
    faces = Faces(boxes, np.full(count, 0.9, np.float32), landmarks, 480, 640)
    crops = rng.integers(0, 256, (count, 112, 112, 3), np.uint8)
    vectors = unit(rng.normal(size=(count, 128)))
    picture = Picture(rng.integers(0, 256, (480, 640, 3), np.uint8))
    found = FoundFaces(faces, crops, {}, "cpu", "")
    return Look(picture, picture.pixels, 1.0, found, FacesInference(faces, crops, vectors, {}, "cpu", "", EMBEDDER))


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
        "one face": one_face(engine, options.rounds),
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
    one = report["one face"]
    print(
        f"\nOne face, found, aligned and embedded: {one['together ms']:.1f} ms (find {one['find ms']:.1f}, align "
        f"{one['align ms']:.1f}, embed {one['embed ms']:.1f}), bar {one['bar ms']:.0f} ms"
    )
    slider = report["slider"]
    print(
        f"Behind a slider: decode {slider['decode ms']:.2f} ms, verdict {slider['verdict ms']:.2f} ms; network calls "
        f"during {slider['moves']} moves: {slider['network calls']}"
    )
    return 1 if slider["network calls"] else 0
