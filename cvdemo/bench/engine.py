"""Concurrent callers of the engine against a serial one, and its overhead over a bare call.

The two networks have seeded random weights: this measures speed and sameness of results, and nothing is predicted.
"""

from __future__ import annotations

import argparse
import json
import threading
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import nn
from torchvision.models import mobilenet_v3_small
from torchvision.models.detection import ssdlite320_mobilenet_v3_large

from cvdemo.core.context import RunContext
from cvdemo.core.device import configure_threads, device_title
from cvdemo.core.engine import Engine
from cvdemo.core.registry import RANDOM_WEIGHTS_KEY, ModelSpec

OVERHEAD_BAR = 1.03


def random_models() -> tuple[ModelSpec, ...]:
    """Two small torchvision networks with seeded random weights, not registered anywhere: a classifier, a detector.

    Both take an (H, W, 3) uint8 RGB picture; the outputs are logits (1, 1000), and (N, 6) rows of x1, y1, x2, y2 in
    pixels, score and label.
    """
    return (
        _random_spec("random_mobilenet_v3_small", lambda: mobilenet_v3_small(weights=None), _classify, 224),
        _random_spec(
            "random_ssdlite320",
            lambda: ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None),
            _detect,
            320,
        ),
    )


def random_picture(seed: int, side: int = 320) -> np.ndarray:
    """A (side, side, 3) uint8 picture of noise."""
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def _random_spec(
    name: str, architecture: Callable[[], nn.Module], run: Callable[[Any, Any, RunContext], Any], side: int
) -> ModelSpec:
    def build() -> nn.Module:
        # A generator of its own: the global one would give other weights when two models load at the same moment.
        module, generator = architecture(), torch.Generator().manual_seed(2024)
        with torch.no_grad():
            for parameter in module.parameters():
                if parameter.dim() > 1:
                    parameter.normal_(0.0, (2.0 / parameter[0].numel()) ** 0.5, generator=generator)
        return module

    return ModelSpec(
        name=name,
        task="benchmark",
        tier="compact",
        title=f"{name} (random weights)",
        family="torchvision",
        architecture=name,
        year=2019,
        paper="arXiv:1905.02244",
        lecture="none",
        parameters=sum(parameter.numel() for parameter in architecture().parameters()),
        weights=None,
        build=build,
        run=run,
        example=lambda: random_picture(0, side),
        agrees=lambda reference, other: bool(np.allclose(reference, other, atol=1e-3)),
        extras={RANDOM_WEIGHTS_KEY: True},
    )


def _classify(module: Any, picture: np.ndarray, context: RunContext) -> np.ndarray:
    with context.stage("preprocess"):
        batch = context.tensor(torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255 - 0.5)
    with context.stage("network"):
        return module(batch).cpu().numpy()


def _detect(module: Any, picture: np.ndarray, context: RunContext) -> np.ndarray:
    with context.stage("preprocess"):
        image = context.tensor(torch.from_numpy(picture).permute(2, 0, 1).float() / 255)
    with context.stage("network"):
        found = module([image])[0]
    return torch.cat([found["boxes"], found["scores"][:, None], found["labels"][:, None]], dim=1).cpu().numpy()


def concurrency(engine: Engine, specs: Sequence[ModelSpec], callers: int, runs: int) -> dict[str, Any]:
    """Runs a second of one caller and of ``callers`` threads on the same pictures, and whether results are equal."""
    jobs = [(specs[index % len(specs)], random_picture(index)) for index in range(callers * runs)]
    for spec in specs:
        engine.preload(spec)
        engine.run(spec, jobs[0][1])
    started = perf_counter()
    serial = [engine.run(spec, picture).output for spec, picture in jobs]
    serial_s = perf_counter() - started
    together: list[Any] = [None] * len(jobs)
    barrier = threading.Barrier(callers + 1)

    def caller(number: int) -> None:
        barrier.wait()
        for index in range(number, len(jobs), callers):
            spec, picture = jobs[index]
            together[index] = engine.run(spec, picture, user=f"caller {number}").output

    threads = [threading.Thread(target=caller, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    barrier.wait()
    started = perf_counter()
    for thread in threads:
        thread.join()
    together_s = perf_counter() - started
    return {
        "callers": callers,
        "runs": len(jobs),
        "serial runs/s": len(jobs) / serial_s,
        "concurrent runs/s": len(jobs) / together_s,
        "throughput ratio": serial_s / together_s,
        "identical results": all(np.array_equal(one, other) for one, other in zip(serial, together)),
    }


def alternate(first: Callable[[], Any], second: Callable[[], Any], rounds: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each call, the two taking turns in changing order."""
    times: dict[Callable[[], Any], list[float]] = {first: [], second: []}
    for number in range(rounds):
        for call in (first, second) if number % 2 else (second, first):
            started = perf_counter()
            call()
            times[call].append((perf_counter() - started) * 1e3)
    return times[first], times[second]


def overhead(engine: Engine, spec: ModelSpec, rounds: int) -> dict[str, Any]:
    """Time of a run through the engine as a ratio to calling the network directly, alternating; shortest and median."""
    picture, device = random_picture(0), engine.device
    module = spec.build().eval().requires_grad_(False).to(device)

    def bare() -> Any:
        with torch.inference_mode():
            return spec.run(module, picture, RunContext(device))

    def through_engine() -> Any:
        return engine.run(spec, picture).output

    engine.preload(spec)
    same = np.array_equal(bare(), through_engine())
    bare_ms, engine_ms = alternate(bare, through_engine, rounds)
    return {
        "model": spec.name,
        "bare ms": min(bare_ms),
        "engine ms": min(engine_ms),
        "ratio of shortest": min(engine_ms) / min(bare_ms),
        "ratio of medians": median(engine_ms) / median(bare_ms),
        "identical results": same,
    }


def own_cost(engine: Engine, rounds: int = 2000) -> float:
    """Microseconds the engine adds to a run: the median time of running a network that does nothing."""
    spec = _random_spec("nothing", nn.Identity, lambda module, value, context: value, 8)
    engine.preload(spec)
    times = []
    for _ in range(rounds):
        started = perf_counter()
        engine.run(spec, None)
        times.append((perf_counter() - started) * 1e6)
    engine.evict(spec.name)
    return median(times)


def main(arguments: Sequence[str]) -> int:
    """Print both measurements; exit code 1 when concurrent results differ from serial ones."""
    parser = argparse.ArgumentParser(prog="python -m cvdemo.bench engine", description=__doc__)
    parser.add_argument("--callers", type=int, default=16, help="threads that call at the same time")
    parser.add_argument("--runs", type=int, default=4, help="runs of each caller")
    parser.add_argument("--rounds", type=int, default=40, help="alternating calls to measure the overhead")
    parser.add_argument("--device", default=None, help="cuda, mps or cpu")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    threads = configure_threads()
    engine = Engine(options.device, tune=False)
    specs = random_models()
    report: dict[str, Any] = {
        "device": f"{engine.device} ({device_title(engine.device)}), {threads} threads",
        "concurrency": concurrency(engine, specs, options.callers, options.runs),
        "own cost us": own_cost(engine),
        "overhead": [overhead(engine, spec, options.rounds) for spec in specs],
    }
    if options.json:
        print(json.dumps(report, indent=1))
    else:
        _print(report)
    return 0 if report["concurrency"]["identical results"] else 1


def _print(report: dict[str, Any]) -> None:
    print("The networks have random weights: only speed and sameness of results are measured here.")
    print(f"Device: {report['device']}\n")
    many = report["concurrency"]
    print(f"{many['callers']} concurrent callers against one, {many['runs']} runs over both networks:")
    print(f"  serial      {many['serial runs/s']:6.1f} runs/s")
    print(f"  concurrent  {many['concurrent runs/s']:6.1f} runs/s   ratio {many['throughput ratio']:.2f}")
    print(f"  identical results: {'yes' if many['identical results'] else 'NO'}\n")
    print(f"The engine's own cost: {report['own cost us']:.0f} microseconds a run")
    print(f"Engine over a bare call (bar {OVERHEAD_BAR}):")
    for row in report["overhead"]:
        print(
            f"  {row['model']:28s} bare {row['bare ms']:6.2f} ms  engine {row['engine ms']:6.2f} ms  "
            f"ratio {row['ratio of shortest']:.3f} (of medians {row['ratio of medians']:.3f})"
        )
