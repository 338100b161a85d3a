"""Action: milliseconds per clip of each model whose weights are here, and the path behind a slider.

A clip is what the model itself looks at, of noise that moves, 640x360. For the skeleton model the time without the pose
model is given, because the joints may be known already, and the time with it beside. The measurements of all models
alternate in one run, so that a busy machine slows all of them; "relative" is the time over that of the first model.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from cvdemo import tasks
from cvdemo.action import predict
from cvdemo.action.clips import Clip, ClipSpec
from cvdemo.action.raw import ClipFacts, RawScores
from cvdemo.action.timeline import RawTimeline, decode_timeline
from cvdemo.action.torchvision_video import kinetics_classes
from cvdemo.bench._options import parse
from cvdemo.core import registry
from cvdemo.core.device import configure_threads, device_title
from cvdemo.core.engine import Engine
from cvdemo.core.registry import ModelSpec

HEIGHT, WIDTH = 360, 640
BAR_MS = 120.0
SLIDER_BAR_MS = 30.0
WINDOWS = 120


def moving_noise(spec: ClipSpec) -> Clip:
    """A clip of soft noise that slides to the left, (T, 360, 640, 3) uint8."""
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return Clip(np.stack([np.roll(noise, -4 * k, axis=1) for k in range(spec.frames)]), spec.offsets(), "noise")


def answer_of(engine: Engine, spec: ModelSpec) -> Callable[[], Any]:
    """A whole answer, from the clip to the actions; for the skeleton model from joints that are known."""
    seen = spec.example() if spec.extras.get(predict.NEEDS_JOINTS) else moving_noise(spec.extras[predict.CLIP])

    def answer() -> Any:
        return predict.decode(engine.run(spec, seen).output)

    return answer


def time_models(engine: Engine, specs: Sequence[ModelSpec], rounds: int) -> list[dict[str, Any]]:
    """Milliseconds per clip, medians over alternating rounds."""
    answers = {spec.name: answer_of(engine, spec) for spec in specs}
    for answer in answers.values():
        answer()  # loads the network and measures how it runs fastest
    times: dict[str, list[float]] = {name: [] for name in answers}
    for _ in range(rounds):
        for name, answer in answers.items():
            started = perf_counter()
            answer()
            times[name].append((perf_counter() - started) * 1e3)
    first = median(times[specs[0].name])
    chosen = {run.model: run.precision for run in engine.statistics().last_runs}
    return [
        {
            "model": spec.name,
            "milliseconds": median(times[spec.name]),
            "shortest": min(times[spec.name]),
            "relative": median(times[spec.name]) / first,
            "precision": chosen.get(spec.name, ""),
        }
        for spec in specs
    ]


def with_joints(engine: Engine, rounds: int) -> float | None:
    """Milliseconds of the skeleton model with the pose model, on a clip without people."""
    specs = [spec for spec in registry.models(task=predict.TASK) if spec.extras.get(predict.NEEDS_JOINTS)]
    if not specs or not registry.availability(specs[0]).local:
        return None
    clip = moving_noise(specs[0].extras[predict.CLIP])
    predict.infer(clip, specs[0].name, engine)
    times = []
    for _ in range(max(1, rounds // 5)):
        started = perf_counter()
        predict.infer(clip, specs[0].name, engine)
        times.append((perf_counter() - started) * 1e3)
    return median(times)


def slider_path(rounds: int) -> float:
    """Milliseconds from a moved handle to new curves, 120 windows of 400 actions."""
    rng = np.random.default_rng(0)
    names = kinetics_classes()
    facts = ClipFacts(16, 0.0, 1.0, HEIGHT, WIDTH)
    raws = tuple(RawScores(rng.normal(0, 2, len(names)).astype(np.float32), names, "", facts) for _ in range(WINDOWS))
    spec = ClipSpec(16, 15.0, 112)
    raw = RawTimeline(raws, np.arange(WINDOWS) / 2, spec, (), WINDOWS / 2, {}, "", "", "")
    times = []
    for step in range(rounds):
        settings = predict.ActionSettings(smoothing=step / rounds * 5, threshold=0.01)
        started = perf_counter()
        decode_timeline(raw, settings)
        times.append((perf_counter() - started) * 1e3)
    return median(times)


def main(arguments: Sequence[str]) -> int:
    """Print all measurements."""
    options = parse("action", __doc__, arguments, default="those whose weights are here", rounds="answers")
    threads = configure_threads()
    tasks.load_all()
    engine = Engine(options.device)
    specs = [predict.model_spec(name) for name in options.models or []] or [
        spec for spec in registry.models(task=predict.TASK) if registry.availability(spec).local
    ]
    report: dict[str, Any] = {
        "device": f"{engine.device} ({device_title(engine.device)}), {threads} threads",
        "models": time_models(engine, specs, options.rounds) if specs else [],
        "skeleton_with_pose": with_joints(engine, options.rounds),
        "slider": slider_path(max(10, options.rounds)),
    }
    print(json.dumps(report, indent=1)) if options.json else _print(report)
    return 0


def _print(report: dict[str, Any]) -> None:
    print(f"Device: {report['device']}; medians (shortest); bar of the compact models on two cores: {BAR_MS:g} ms\n")
    print(f"{'model':20s} {'one clip, ms':>18s} {'relative':>9s}  precision chosen")
    for row in report["models"]:
        cell = f"{row['milliseconds']:.1f} ({row['shortest']:.1f})"
        print(f"{row['model']:20s} {cell:>18s} {row['relative']:8.2f}x  {row['precision']}")
    if report["skeleton_with_pose"] is not None:
        print(f"\nSkeleton model with looking for people in the clip: {report['skeleton_with_pose']:.0f} ms")
    print(f"Behind a slider, {WINDOWS} windows of 400 actions: {report['slider']:.1f} ms (bar {SLIDER_BAR_MS:g})")
