"""A race: the same content and style by optimisation, AdaIN and feed-forward, judged by one network."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from cvdemo import tasks
from cvdemo.core import registry
from cvdemo.core.engine import Engine, default_engine
from cvdemo.core.errors import InputError
from cvdemo.style.features import fitted
from cvdemo.style.measure import measure
from cvdemo.style.predict import (
    ADAIN,
    COMPACT_ENCODER,
    FAST_STYLES,
    StyleSettings,
    decode,
    draw,
    fast_name,
    infer,
    optimise,
)
from cvdemo.style.result import METHODS, Losses


@dataclass(frozen=True, eq=False)
class Runner:
    """One method in the race. Without a picture, ``reason`` says why it did not start.

    seconds: from the two pictures to the result, models in memory.   losses: relative, by the judge's network.
    """

    method: str
    model: str
    pixels: np.ndarray | None = None
    seconds: float = 0.0
    losses: Losses | None = None
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Race:
    """runners: in the order of their results, the fastest first, then those that did not start.

    start: the losses of the content itself, what a method that does nothing would get.   judge: the network.
    """

    runners: tuple[Runner, ...]
    start: Losses
    judge: str

    def reduction(self, runner: Runner) -> float:
        """Share of the content picture's style loss that a method took away: 0 nothing, 1 all of it."""
        if runner.losses is None or self.start.style <= 0:
            return 0.0
        return 1 - runner.losses.style / self.start.style

    def sentence(self) -> str:
        """Who was first, in one plain sentence."""
        ran = [runner for runner in self.runners if runner.pixels is not None]
        if not ran:
            return "No method could start"
        return "; ".join(
            f"{METHODS[runner.method]}: {runner.seconds:.2g} s, {100 * self.reduction(runner):.0f} % less style loss"
            for runner in ran
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without pixels."""
        rows = [
            {
                "method": runner.method,
                "model": runner.model,
                "seconds": round(runner.seconds, 4),
                "losses": None if runner.losses is None else runner.losses.to_dict(),
                "style_loss_reduction": round(self.reduction(runner), 4),
                "reason": runner.reason or None,
            }
            for runner in self.runners
        ]
        return {"judge": self.judge, "content_itself": self.start.to_dict(), "methods": rows}


def race(
    content: Any,
    style: Any,
    settings: StyleSettings | None = None,
    *,
    style_name: str = "",
    model: str = COMPACT_ENCODER,
    judge: str = COMPACT_ENCODER,
    engine: Engine | None = None,
    user: str = "",
    cancel: threading.Event | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> Race:
    """Run the three methods one after the other on one pair and measure each.

    style_name: the program's own style that the picture is; only then a feed-forward network can take part.
    model: the encoder of the optimisation; judge: the network that measures all of them.
    """
    tasks.load_all()
    settings, engine = settings or StyleSettings(), engine or default_engine()
    options: dict[str, Any] = {"user": user, "cancel": cancel}
    own = fast_name(style_name) if style_name in FAST_STYLES else ""
    entrants = (("gatys", model), ("adain", ADAIN), ("fast", own))
    runners = []
    for number, (method, name) in enumerate(entrants):
        if progress is not None:
            progress(number / 3, METHODS[method])
        reason = _why_not(method, name, style_name)
        if reason:
            runners.append(Runner(method, name, reason=reason))
            continue
        engine.preload(name, **options)
        started = perf_counter()
        if method == "gatys":
            pixels = optimise(content, [style], settings, model=name, engine=engine, **options).pixels
        else:
            inference = infer(content, [style], name, settings, engine, **options)
            pixels = draw(inference, decode(inference, settings, None, engine, **options), settings)
        runners.append(Runner(method, name, pixels, perf_counter() - started))
    ran = [runner for runner in runners if runner.pixels is not None]
    pictures = [fitted(content, settings.size), *(runner.pixels for runner in ran if runner.pixels is not None)]
    start, *found = measure(pictures, content, style, settings, model=judge, engine=engine, **options)
    judged = [Runner(r.method, r.model, r.pixels, r.seconds, losses) for r, losses in zip(ran, found)]
    judged.sort(key=lambda runner: runner.seconds)
    return Race((*judged, *(runner for runner in runners if runner.pixels is None)), start, judge)


def _why_not(method: str, name: str, style_name: str) -> str:
    """Why a method cannot take part, "" when it can."""
    if method == "fast" and style_name not in FAST_STYLES:
        return f"A feed-forward network knows one style; there is one for {', '.join(FAST_STYLES)}."
    state = registry.availability(registry.get(name))
    return "" if state.ok else f"{state.reason.capitalize()}. {state.remedy}"


def fast_style_of(name: str) -> str:
    """The name if a feed-forward network is trained for it; InputError otherwise."""
    if name not in FAST_STYLES:
        raise InputError(f"No feed-forward network knows {name!r}.", hint=f"There are {', '.join(FAST_STYLES)}.")
    return name
