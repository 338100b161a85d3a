"""Detectors beside a bare call, the engine's overhead, and the path behind a slider.

Every model is timed on the same 640x480 picture. Where a model's weights are on this machine they are used; where not,
the same architecture with random weights is timed, marked "random": speed hardly depends on the weights, and nothing
is predicted with them. Calls that are compared alternate, so that a busy machine slows both.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch

from cvdemo import tasks
from cvdemo.bench._options import parse
from cvdemo.bench.engine import OVERHEAD_BAR, alternate
from cvdemo.core import registry
from cvdemo.core.context import RunContext
from cvdemo.core.device import configure_threads, device_title
from cvdemo.core.engine import Engine
from cvdemo.core.media import Picture
from cvdemo.core.registry import RANDOM_WEIGHTS_KEY, ModelSpec
from cvdemo.detection.candidates import Candidates
from cvdemo.detection.labels import COCO_CATEGORIES
from cvdemo.detection.predict import TASK, DetectionSettings, Inference
from cvdemo.detection.raw import RawDetections
from cvdemo.detection.view import PictureView, render
from cvdemo.ui.viewer import shown

SLIDER_BAR_MS = 25.0
HEIGHT, WIDTH = 480, 640


def with_weights(spec: ModelSpec) -> tuple[ModelSpec, bool]:
    """The spec itself when its weights are here; else a copy allowed to run with random ones, and True."""
    if registry.availability(spec).local:
        return spec, False
    extras = {**spec.extras, RANDOM_WEIGHTS_KEY: True}
    return dataclasses.replace(spec, weights=None, extras=extras), True


def bare_network(spec: ModelSpec, engine: Engine) -> tuple[ModelSpec, bool, Any]:
    """What ``with_weights`` says, and the network outside of the engine (its speed does not depend on weights)."""
    usable, random = with_weights(spec)
    return usable, random, usable.build().eval().requires_grad_(False).to(engine.device)


def beside_engine(
    engine: Engine, spec: ModelSpec, picture: np.ndarray, bare: Callable[[], Any], rounds: int
) -> tuple[list[float], list[float]]:
    """Milliseconds of ``bare`` and of the same model through the engine, both warm, taking turns."""
    engine.preload(spec)
    bare()
    return alternate(bare, lambda: engine.run(spec, picture), rounds)


def time_model(engine: Engine, spec: ModelSpec, picture: np.ndarray, rounds: int) -> dict[str, Any]:
    """Our whole path in the measured best precision against the bare network in plain float32."""
    usable, random, module = bare_network(spec, engine)
    image = torch.from_numpy(picture).permute(2, 0, 1).float().div(255).to(engine.device)

    def bare() -> None:
        with torch.inference_mode():
            if spec.tier == "full":
                module([image])  # torchvision's own forward, its own suppression included
            else:
                spec.run(module, picture, RunContext(engine.device))

    bare_ms, our_ms = beside_engine(engine, usable, picture, bare, rounds)
    engine.evict(usable.name)
    runs = [run for run in engine.statistics().last_runs if run.model == spec.name]
    return {
        "model": spec.name,
        "weights": "random" if random else "trained",
        "precision": runs[0].precision if runs else "",
        "bare ms": median(bare_ms),
        "ours ms": median(our_ms),
        "ratio": median(our_ms) / median(bare_ms),
    }


def engine_overhead(spec: ModelSpec, picture: np.ndarray, rounds: int, device: str | None) -> dict[str, Any]:
    """The same function on the same network through the engine and without it."""
    engine = Engine(device, tune=False)
    usable, random, module = bare_network(spec, engine)
    if usable.prepare is not None:
        module = usable.prepare(module)

    def bare() -> None:
        with torch.inference_mode():
            usable.run(module, picture, RunContext(engine.device))

    bare_ms, our_ms = beside_engine(engine, usable, picture, bare, rounds)
    return {
        "model": spec.name,
        "weights": "random" if random else "trained",
        "ratio of medians": median(our_ms) / median(bare_ms),
        "ratio of shortest": min(our_ms) / min(bare_ms),
    }


def synthetic_view(count: int = 1000) -> PictureView:
    """A 640x480 picture with ``count`` random candidates in clusters, as if a network had returned them."""
    rng = np.random.default_rng(0)
    centres = rng.uniform((0, 0), (WIDTH, HEIGHT), (count // 8, 2))[rng.integers(0, count // 8, count)]
    middle = centres + rng.normal(0, 6, (count, 2))
    half = rng.uniform(8, 70, (count, 2))
    boxes = np.clip(np.concatenate([middle - half, middle + half], 1), 0, [WIDTH, HEIGHT, WIDTH, HEIGHT])
    labels = np.array([category.id for category in COCO_CATEGORIES])[rng.integers(0, 80, count)]
    scores = np.sort(rng.beta(1, 4, count))[::-1].astype(np.float32)
    candidates = Candidates.from_arrays(boxes, scores, labels, height=HEIGHT, width=WIDTH, level=np.zeros(count, int))
    raw = RawDetections(candidates, None, None, ((60, 80, 8.0),), (HEIGHT, WIDTH))
    pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return PictureView(Picture(pixels, "noise"), pixels, 1.0, Inference(raw, {}, "cpu", "fp32", "synthetic"))


def slider_path(rounds: int) -> list[dict[str, Any]]:
    """Milliseconds of decode and draw for 1000 candidates, and of the JPEG the page is sent."""
    view = synthetic_view()
    rows = []
    for name, settings in (
        ("defaults", DetectionSettings()),
        ("score 0.05, IoU 0.5", DetectionSettings(score_threshold=0.05, iou_threshold=0.5)),
        ("soft-gaussian, score 0.05", DetectionSettings(score_threshold=0.05, nms_kind="soft-gaussian")),
        ("no suppression, best 100", DetectionSettings(score_threshold=0.01, nms_kind="none")),
    ):
        drawn, encoded, kept = [], [], 0
        for _ in range(rounds):
            started = perf_counter()
            rendered = render(view, settings)
            middle = perf_counter()
            shown(rendered.pixels, rendered.sentence)
            drawn.append((middle - started) * 1e3)
            encoded.append((perf_counter() - middle) * 1e3)
            kept = len(rendered.decoded.detections)
        rows.append({"settings": name, "boxes": kept, "decode + draw ms": median(drawn), "jpeg ms": median(encoded)})
    return rows


def network_calls_of_sliders(spec: ModelSpec, picture: np.ndarray, device: str | None) -> int:
    """How often the network runs while 60 settings are tried on one picture that was looked at once."""
    engine = Engine(device, tune=False)
    ran = engine.run(with_weights(spec)[0], picture)
    inference = Inference(ran.output, ran.stages, ran.device, ran.precision, ran.model)
    view = PictureView(Picture(picture), picture, 1.0, inference)
    before = sum(model.runs for model in engine.statistics().models)
    for step in range(60):
        render(view, DetectionSettings(score_threshold=0.01 + step / 100, iou_threshold=1 - step / 100))
    return sum(model.runs for model in engine.statistics().models) - before


def main(arguments: Sequence[str]) -> int:
    """Print all measurements; exit code 1 when a slider ran the network."""
    options = parse("detection", __doc__, arguments, default="every detector")
    threads = configure_threads()
    tasks.load_all()
    engine = Engine(options.device)
    specs = [registry.get(name) for name in options.models] if options.models else list(registry.models(task=TASK))
    specs.sort(key=lambda spec: spec.tier != "compact")
    picture = specs[0].example()
    report: dict[str, Any] = {
        "device": f"{engine.device} ({device_title(engine.device)}), {threads} threads",
        "models": [time_model(engine, spec, picture, options.rounds) for spec in specs],
        "engine overhead": engine_overhead(specs[0], picture, 4 * options.rounds, options.device),
        "slider": slider_path(max(20, options.rounds)),
        "network calls of 60 slider moves": network_calls_of_sliders(specs[0], picture, options.device),
    }
    if options.json:
        print(json.dumps(report, indent=1))
    else:
        _print(report)
    return 1 if report["network calls of 60 slider moves"] else 0


def _print(report: dict[str, Any]) -> None:
    print(f"Device: {report['device']}; one {WIDTH}x{HEIGHT} picture, medians\n")
    print(f"{'model':38s} {'weights':8s} {'bare fp32 ms':>12s} {'ours ms':>9s} {'ratio':>6s}  precision chosen")
    for row in report["models"]:
        print(
            f"{row['model']:38s} {row['weights']:8s} {row['bare ms']:12.1f} {row['ours ms']:9.1f} {row['ratio']:6.2f}  "
            f"{row['precision']}"
        )
    overhead = report["engine overhead"]
    print(
        f"\nEngine over a bare call of the same function ({overhead['model']}): {overhead['ratio of medians']:.3f} "
        f"(of shortest {overhead['ratio of shortest']:.3f}), bar {OVERHEAD_BAR}"
    )
    print(f"\nBehind a slider, 1000 candidates (bar {SLIDER_BAR_MS:g} ms for decode and draw):")
    for row in report["slider"]:
        print(
            f"  {row['settings']:28s} {row['boxes']:4d} boxes  decode + draw {row['decode + draw ms']:5.1f} ms   "
            f"jpeg {row['jpeg ms']:4.1f} ms"
        )
    print(f"\nNetwork calls while 60 slider positions were drawn: {report['network calls of 60 slider moves']}")
