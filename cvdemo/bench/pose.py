"""Pose for one person and for five in a picture, the detector included, and the path behind a slider.

People are boxes at fixed places of a noise picture, so that every model is asked about the same number of them; the
detector runs on that picture too, and its time is added. Where a model's weights are on this machine they are used;
where not, the same architecture with random weights is timed, marked "random": speed hardly depends on the weights, and
nothing is predicted with them. The measurements of one and of five people alternate, so that a busy machine slows both.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from cvdemo import tasks
from cvdemo.bench._options import parse
from cvdemo.bench.detection import with_weights
from cvdemo.bench.engine import alternate
from cvdemo.core import registry
from cvdemo.core.device import configure_threads, device_title
from cvdemo.core.engine import Engine
from cvdemo.core.media import Picture
from cvdemo.core.registry import ModelSpec
from cvdemo.detection import predict as detection
from cvdemo.pose import tab_shared
from cvdemo.pose.heatmaps import DECODE_KINDS
from cvdemo.pose.predict import TASK, PoseInference, PoseSettings, decode
from cvdemo.pose.raw import TOP_DOWN, People
from cvdemo.pose.skeleton_view import render
from cvdemo.ui.viewer import shown

HEIGHT, WIDTH = 480, 640
MANY = 5
BAR_MS = {1: 35.0, MANY: 90.0}
SLIDER_BAR_MS = 30.0


def noise() -> np.ndarray:
    """The picture everything is timed on, (480, 640, 3) uint8."""
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def people_on(picture: np.ndarray, count: int) -> People:
    """``count`` people side by side, 100 px wide and 300 px high."""
    left = np.linspace(10, WIDTH - 110, max(count, 2))[:count]
    boxes = np.stack([left, np.full(count, 100.0), left + 100, np.full(count, 400.0)], axis=1).astype(np.float32)
    return People(picture, boxes, np.ones(count, np.float32))


def time_model(engine: Engine, spec: ModelSpec, rounds: int) -> dict[str, Any]:
    """Milliseconds of a whole answer, from the picture to the joints, for one person and for five."""
    picture = noise()
    usable, random = with_weights(spec)
    detector = with_weights(registry.get(detection.DEFAULT_MODEL))[0]

    def answer(count: int) -> None:
        if spec.extras.get(TOP_DOWN):
            detection.decode(_inference_of(engine.run(detector, picture)), detection.DetectionSettings())
        decode(engine.run(usable, people_on(picture, count)).output, PoseSettings())

    for count in BAR_MS:
        answer(count)  # loads the networks and measures how they run fastest
    times = dict(zip(BAR_MS, alternate(lambda: answer(1), lambda: answer(MANY), rounds)))
    runs = [run for run in engine.statistics().last_runs if run.model == spec.name]
    engine.evict(usable.name)
    return {
        "model": spec.name,
        "weights": "random" if random else "trained",
        "precision": runs[0].precision if runs else "",
        "milliseconds": {str(count): median(measured) for count, measured in times.items()},
        "shortest": {str(count): min(measured) for count, measured in times.items()},
    }


def _inference_of(ran: Any) -> detection.Inference:
    return detection.Inference(ran.output, ran.stages, ran.device, ran.precision, ran.model)


def slider_path(spec: ModelSpec, rounds: int, device: str | None) -> dict[str, Any]:
    """Milliseconds from a moved handle to the picture for the page, five people, and the network runs it took."""
    engine = Engine(device, tune=False)
    picture = noise()
    ran = engine.run(with_weights(spec)[0], people_on(picture, MANY))
    inference = PoseInference(ran.output, ran.stages, ran.device, ran.precision, ran.model)
    look = tab_shared.Look(Picture(picture, "noise"), picture, 1.0, inference)
    before = sum(model.runs for model in engine.statistics().models)
    times: dict[str, list[float]] = {kind: [] for kind in DECODE_KINDS}
    for step in range(rounds):
        for kind, measured in times.items():
            settings = PoseSettings(
                joint_threshold=step / rounds / 4, box_threshold=0.15, decode=kind, show_oks=True, show_boxes=True
            )
            started = perf_counter()
            made = render(look, settings)
            shown(made.pixels, made.sentence)
            measured.append((perf_counter() - started) * 1e3)
    calls = sum(model.runs for model in engine.statistics().models) - before
    return {"milliseconds": {kind: median(measured) for kind, measured in times.items()}, "network calls": calls}


def main(arguments: Sequence[str]) -> int:
    """Print all measurements; exit code 1 when a slider ran the network."""
    options = parse("pose", __doc__, arguments, default="the compact ones", rounds="answers")
    threads = configure_threads()
    tasks.load_all()
    engine = Engine(options.device)
    specs = [registry.get(name) for name in options.models or []] or list(registry.models(task=TASK, tier="compact"))
    report: dict[str, Any] = {
        "device": f"{engine.device} ({device_title(engine.device)}), {threads} threads",
        "models": [time_model(engine, spec, options.rounds) for spec in specs],
        "slider": slider_path(specs[0], max(10, options.rounds), options.device),
    }
    print(json.dumps(report, indent=1)) if options.json else _print(report)
    return 1 if report["slider"]["network calls"] else 0


def _print(report: dict[str, Any]) -> None:
    bars = ", ".join(f"{bar:g} ms for {count}" for count, bar in BAR_MS.items())
    print(f"Device: {report['device']}; one {WIDTH}x{HEIGHT} picture, medians (shortest); bars of two cores: {bars}\n")
    print(f"{'model':26s} {'weights':8s} {'one person, ms':>16s} {'five people, ms':>16s}  precision chosen")
    for row in report["models"]:
        cells = [f"{row['milliseconds'][str(n)]:.1f} ({row['shortest'][str(n)]:.1f})" for n in BAR_MS]
        print(f"{row['model']:26s} {row['weights']:8s} {cells[0]:>16s} {cells[1]:>16s}  {row['precision']}")
    print(f"\nBehind a slider, five people, from the handle to the encoded picture (bar {SLIDER_BAR_MS:g} ms):")
    for kind, milliseconds in report["slider"]["milliseconds"].items():
        print(f"  {kind:10s} {milliseconds:6.1f} ms")
    print(f"\nNetwork calls while sliders moved: {report['slider']['network calls']}")
