"""Style: a step of the optimisation, encoding, the decoder behind the slider, feed-forward networks, and frames.

Where a model's weights are on this machine they are used; where not, the same architecture with random weights is
timed, marked "random": speed hardly depends on the weights, and nothing is shown of it.
"""

from __future__ import annotations

import itertools
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
from cvdemo.core.inputs import example_picture
from cvdemo.core.registry import ModelSpec
from cvdemo.style.adain import mix
from cvdemo.style.features import fitted
from cvdemo.style.gatys import GatysRun
from cvdemo.style.models import TASK
from cvdemo.style.nets.adain_decoder import STRIDE
from cvdemo.style.raw import Decode, Encode, Encoded, random_features
from cvdemo.style.settings import StyleSettings
from cvdemo.style.styles import load_style
from cvdemo.style.video import FrameStyler

DECODER_SIZE, DECODER_BAR_MS = 384, 60.0
STEP_BAR_MS = 150.0  # 100 steps in 15 s


def time_calls(call: Callable[[], Any], rounds: int) -> float:
    """Median milliseconds of a call after one to warm up."""
    call()
    times = []
    for _ in range(rounds):
        started = perf_counter()
        call()
        times.append((perf_counter() - started) * 1e3)
    return median(times)


def time_model(engine: Engine, spec: ModelSpec, rounds: int, steps: Callable[..., Any] = GatysRun) -> dict[str, Any]:
    """One row for each thing a model is asked for: "what" and median milliseconds."""
    usable, random = with_weights(spec)
    kind = spec.extras["kind"]
    rows: dict[str, float] = {}
    if kind == "encoder":
        with _as_registered(spec, usable):
            job = steps(example_picture(), [load_style("waves")], StyleSettings(steps=1000), model=spec.name,
                        engine=engine)  # fmt: skip
            rows["step of the optimisation, 256 px"] = time_calls(job.step, rounds)
    elif kind == "adain":
        pixels = fitted(example_picture(), DECODER_SIZE, multiple=STRIDE)
        features = random_features(DECODER_SIZE)
        means, deviations = (tuple(how(value, axis=(1, 2)) for value in features) for how in (np.mean, np.std))
        seen = Encoded(features, means, deviations)
        rows["encode, 384 px"] = time_calls(lambda: engine.run(usable, Encode(pixels)), rounds)
        rows["slider: AdaIN and decoder, 384 px"] = time_calls(
            lambda: engine.run(usable, Decode(mix(seen, [seen], [1.0], 0.7))), rounds
        )
    else:
        for size in (256, 384):
            picture = fitted(example_picture(), size)
            rows[f"whole picture, {size} px"] = time_calls(lambda p=picture: engine.run(usable, p), rounds)  # type: ignore[misc]
    if kind != "encoder":
        with _as_registered(spec, usable):
            what = f"smoothed frame of a video, {DECODER_SIZE} px"
            rows[what] = time_calls(frames_through(engine, spec, kind == "adain"), rounds)
    engine.evict(usable.name)
    return {"model": spec.name, "weights": "random" if random or spec.random_weights else "trained", "ms": rows}


def frames_through(engine: Engine, spec: ModelSpec, styled: bool) -> Callable[[], Any]:
    """A call that stylises the next frame of a video: a camera that moves over the example picture to and fro."""
    picture = example_picture()
    height, width = (round(side * 0.8) for side in picture.shape[:2])
    places = itertools.cycle([*range(0, 24, 3), *range(24, 0, -3)])
    styler = FrameStyler(
        [load_style("waves")] if styled else [], spec.name, StyleSettings(size=DECODER_SIZE), engine=engine
    )  # fmt: skip

    def call() -> Any:
        left = next(places)
        return styler(np.ascontiguousarray(picture[left : left + height, left : left + width]))

    return call


class _as_registered:
    """Put a stand-in under a model's name for as long as the block lasts."""

    def __init__(self, spec: ModelSpec, stand_in: ModelSpec) -> None:
        self.spec, self.stand_in = spec, stand_in

    def __enter__(self) -> None:
        registry.unregister(self.spec.name)
        registry.register(self.stand_in)

    def __exit__(self, *_: object) -> None:
        registry.unregister(self.spec.name)
        registry.register(self.spec)


def main(arguments: Sequence[str]) -> int:
    """Print all measurements."""
    options = parse("style", __doc__, arguments, default="the compact ones", rounds="calls")
    threads = configure_threads()
    tasks.load_all()
    engine = Engine(options.device)
    chosen = [registry.get(name) for name in options.models] if options.models else []
    specs = chosen or list(registry.models(task=TASK, tier="compact"))
    report = {
        "device": f"{engine.device} ({device_title(engine.device)}), {threads} threads",
        "models": [time_model(engine, spec, options.rounds) for spec in specs],
        "bars": {"slider ms": DECODER_BAR_MS, "step ms": STEP_BAR_MS},
    }
    if options.json:
        print(json.dumps(report, indent=1))
        return 0
    print(f"Device: {report['device']}; medians\n")
    for row in report["models"]:  # type: ignore[union-attr]
        for what, milliseconds in row["ms"].items():  # type: ignore[index]
            print(f"{row['model']:20s} {row['weights']:8s} {what:36s} {milliseconds:9.1f} ms")  # type: ignore[index]
    print(f"\nBars on two cores: slider {DECODER_BAR_MS:g} ms, step {STEP_BAR_MS:g} ms")
    return 0
