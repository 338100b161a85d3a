"""Segmentation of one 640x480 picture from the picture to the label map or the masks, and the path behind a slider.

Where a model's weights are on this machine they are used; where not, the same architecture with random weights is
timed, marked "random": speed hardly depends on the weights, and nothing is predicted with them. Models take turns, so
that a busy machine slows all of them. The slider is moved over the page's scene of people, at 640x480 and at 1280x960.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from cvdemo import tasks
from cvdemo.bench._options import parse
from cvdemo.bench.detection import with_weights
from cvdemo.core import registry
from cvdemo.core.device import configure_threads, device_title
from cvdemo.core.engine import Engine
from cvdemo.core.lazy import cv2
from cvdemo.core.media import Picture
from cvdemo.core.registry import ModelSpec
from cvdemo.segmentation import overlay_tables
from cvdemo.segmentation.overlay_view import Look, OverlaySettings, render
from cvdemo.segmentation.predict import TASK, SegmentationInference, SegmentationSettings, decode
from cvdemo.ui.examples import compose_crowd, load_portrait
from cvdemo.ui.viewer import shown

HEIGHT, WIDTH = 480, 640
BAR_MS = 60.0
SLIDER_BAR_MS = 30.0
MOVES: dict[str, Callable[[float], dict[str, Any]]] = {
    "opacity": lambda share: {"opacity": share},
    "temperature": lambda share: {"temperature": 0.5 + share},
    "confidence asked": lambda share: {"min_confidence": 0.9 * share + 0.05},
    "smallest region": lambda share: {"min_region": 0.05 + share},
    "entropy, temperature": lambda share: {"show": "entropy", "temperature": 0.5 + share},
    "blur": lambda share: {"background": "blur", "blur": 5 + round(10 * share)},
}
"""Name of a slider -> the settings for its handle at a share of its way, 0 to 1."""


def scene() -> np.ndarray:
    """The picture everything is timed on, (480, 640, 3) uint8: the page's scene of people, or noise without it."""
    portrait = load_portrait()
    if portrait is None:
        return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return cv2.resize(compose_crowd(portrait), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def answers(engine: Engine, specs: Sequence[ModelSpec], rounds: int) -> list[dict[str, Any]]:
    """Milliseconds of whole answers of the models, which take turns: through the engine, then decoded."""
    picture, usable = scene(), [with_weights(spec) for spec in specs]
    times: list[list[float]] = [[] for _ in specs]
    precisions = [""] * len(specs)

    def answer(index: int) -> float:
        started = perf_counter()
        ran = engine.run(usable[index][0], picture)
        decode(_inference_of(ran), SegmentationSettings())
        precisions[index] = ran.precision
        return (perf_counter() - started) * 1e3

    for index in range(len(specs)):
        answer(index)  # loads the network and measures how it runs fastest
    for _ in range(rounds):
        for index, measured in enumerate(times):
            measured.append(answer(index))
    return [
        {
            "model": spec.name,
            "weights": "random" if random else "trained",
            "precision": precision,
            "milliseconds": median(measured),
            "shortest": min(measured),
        }
        for spec, (_, random), precision, measured in zip(specs, usable, precisions, times)
    ]


def _inference_of(ran: Any) -> SegmentationInference:
    return SegmentationInference(ran.output, ran.stages, ran.device, ran.precision, ran.model)


def slider_path(spec: ModelSpec, rounds: int, device: str | None, enlarged: int) -> dict[str, Any]:
    """Milliseconds from a moved handle to all the page shows, by slider, and the network runs it took."""
    engine = Engine(device, tune=False)
    picture = cv2.resize(scene(), (WIDTH * enlarged, HEIGHT * enlarged), interpolation=cv2.INTER_CUBIC)
    inference = _inference_of(engine.run(with_weights(spec)[0], picture))
    look = Look.of(Picture(np.asarray(picture, np.uint8), "scene"), picture, inference)
    before = sum(model.runs for model in engine.statistics().models)
    times: dict[str, list[float]] = {name: [] for name in MOVES}
    for name, values in MOVES.items():
        for step in range(rounds):
            settings = OverlaySettings(**values(step / rounds))
            started = perf_counter()
            made = render(look, settings)
            shown(made.pixels, made.sentence)
            overlay_tables.results_html(look, made.found)
            overlay_tables.numbers_html(look, made.found)
            times[name].append((perf_counter() - started) * 1e3)
    calls = sum(model.runs for model in engine.statistics().models) - before
    size = f"{picture.shape[1]}x{picture.shape[0]}"
    return {"size": size, "milliseconds": {name: median(ms) for name, ms in times.items()}, "network calls": calls}


def main(arguments: Sequence[str]) -> int:
    """Print all measurements; exit code 1 when a slider ran the network."""
    options = parse("segmentation", __doc__, arguments, default="the compact ones", rounds="answers")
    threads = configure_threads()
    tasks.load_all()
    engine = Engine(options.device)
    specs = [registry.get(name) for name in options.models or []] or list(registry.models(task=TASK, tier="compact"))
    report: dict[str, Any] = {
        "device": f"{engine.device} ({device_title(engine.device)}), {threads} threads",
        "models": answers(engine, specs, options.rounds),
        "sliders": [slider_path(specs[0], max(3, options.rounds), options.device, size) for size in (1, 2)],
    }
    print(json.dumps(report, indent=1)) if options.json else _print(report)
    return 1 if any(row["network calls"] for row in report["sliders"]) else 0


def _print(report: dict[str, Any]) -> None:
    print(
        f"Device: {report['device']}; one {WIDTH}x{HEIGHT} picture, medians (shortest); bar of 2 cores: {BAR_MS:g} ms\n"
    )
    print(f"{'model':34s} {'weights':8s} {'milliseconds':>16s}  precision chosen")
    for row in report["models"]:
        cell = f"{row['milliseconds']:.1f} ({row['shortest']:.1f})"
        print(f"{row['model']:34s} {row['weights']:8s} {cell:>16s}  {row['precision']}")
    for row in report["sliders"]:
        print(f"\nBehind a slider, {row['size']}, from the handle to the encoded picture (bar {SLIDER_BAR_MS:g} ms):")
        for name, milliseconds in row["milliseconds"].items():
            print(f"  {name:22s} {milliseconds:6.1f} ms")
        print(f"Network calls while the handle moved: {row['network calls']}")
