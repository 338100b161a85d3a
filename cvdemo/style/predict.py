"""Style transfer's doors: ``infer`` runs what need not run again, ``decode`` what a slider changes, ``draw`` the rest.

AdaIN: the content and the styles are encoded once; strength and blend run the decoder alone. Feed-forward: the network
runs once; strength mixes its picture with the content's. Optimisation has no such split: ``optimise`` runs it to its
end, ``gatys.GatysRun`` step by step.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cvdemo import tasks
from cvdemo.core import registry
from cvdemo.core.engine import Engine, default_engine
from cvdemo.core.errors import InputError
from cvdemo.style import adain, colour
from cvdemo.style.features import fitted
from cvdemo.style.gatys import GatysRun
from cvdemo.style.losses import shares_of
from cvdemo.style.models import ADAIN, COMPACT_ENCODER, FAST_STYLES, TASK, VGG19, fast_name
from cvdemo.style.nets.adain_decoder import STRIDE
from cvdemo.style.raw import Encoded
from cvdemo.style.result import StyleResult
from cvdemo.style.settings import PRESETS, StyleSettings, preset

__all__ = [
    "ADAIN",
    "COMPACT_ENCODER",
    "FAST_STYLES",
    "PRESETS",
    "TASK",
    "VGG19",
    "GatysRun",
    "StyleInference",
    "StyleResult",
    "StyleSettings",
    "decode",
    "draw",
    "fast_name",
    "infer",
    "optimise",
    "preset",
]

Progress = Callable[[float, str], None]


@dataclass(frozen=True, eq=False)
class StyleInference:
    """What is kept between moves of a slider.

    content: (h, w, 3) uint8, the content at the size of the result.   names: of the styles.
    encoded, styles: AdaIN's encodings; stylised: a feed-forward network's picture. One of the two is there.
    """

    content: np.ndarray
    model: str
    names: tuple[str, ...]
    stages: dict[str, float]
    device: str
    precision: str
    encoded: Encoded | None = None
    styles: tuple[Encoded, ...] = ()
    stylised: np.ndarray | None = None


def infer(
    content: Any,
    styles: Sequence[Any] = (),
    model: str = ADAIN,
    settings: StyleSettings | None = None,
    engine: Engine | None = None,
    *,
    names: Sequence[str] = (),
    user: str = "",
    cancel: threading.Event | None = None,
    progress: Progress | None = None,
) -> StyleInference:
    """Encode content and one to four styles (AdaIN), or run a feed-forward network, which has its style built in.

    content, styles: ``Picture`` or (H, W, 3) uint8 RGB.   settings: size, style_scale and preserve_colour count here.
    Raises InputError for a wrong number of styles and as in ``Engine.run``.
    """
    tasks.load_all()
    settings, engine = settings or StyleSettings(), engine or default_engine()
    kind = registry.get(model).extras.get("kind")
    if kind == "fast":
        return _infer_fast(content, model, settings, engine, user=user, cancel=cancel, progress=progress)
    if kind != "adain":
        raise InputError(f"{model} does not stylise in one pass.", hint="Use the optimisation, or another model.")
    if not 1 <= len(styles) <= adain.MOST_STYLES:
        raise InputError(f"{len(styles)} styles were given.", hint=f"Give one to {adain.MOST_STYLES}.")
    base = fitted(content, settings.size, multiple=STRIDE)
    small = [fitted(style, max(32, round(settings.size * settings.style_scale))) for style in styles]
    ready, small = colour.prepared(base, small, settings.preserve_colour)
    encoded, _, stages = adain.encode(engine, ready, settings.size, user=user, cancel=cancel)
    stages = dict(stages)
    kept = []
    for style in small:
        found, _, more = adain.encode(engine, style, max(style.shape[:2]), user=user, cancel=cancel)
        # Of a style only the statistics are needed, a thousandth of its features.
        kept.append(Encoded((), found.mean, found.deviation))
        for stage, ms in more.items():
            stages[stage] = stages.get(stage, 0.0) + ms
    statistics = engine.statistics().last_runs
    precision = next((run.precision for run in statistics if run.model == model), "")
    named = tuple(names) or tuple(f"style {index + 1}" for index in range(len(styles)))
    return StyleInference(base, model, named, stages, str(engine.device), precision, encoded, tuple(kept))


def _infer_fast(
    content: Any, model: str, settings: StyleSettings, engine: Engine, **options: Any
) -> StyleInference:  # fmt: skip
    if settings.preserve_colour == "covariance":
        raise InputError(
            "A feed-forward network's style cannot be recoloured.", hint="Preserve colour by luminance instead."
        )
    base = fitted(content, settings.size)
    ready = colour.grey(base) if settings.preserve_colour == "luminance" else base
    ran = engine.run(model, ready, **options)
    name = str(registry.get(model).extras["style"])
    return StyleInference(base, model, (name,), ran.stages, ran.device, ran.precision, stylised=ran.output)


def decode(
    inference: StyleInference,
    settings: StyleSettings,
    blend: Sequence[float] | None = None,
    engine: Engine | None = None,
    *,
    user: str = "",
    cancel: threading.Event | None = None,
) -> StyleResult:
    """The stylised picture for a strength and a blend: AdaIN's decoder alone runs, or no network at all.

    blend: the styles' weights, equal ones by default.
    """
    if inference.stylised is not None:
        share = settings.strength
        mixed = inference.stylised * np.float32(share) + inference.content * np.float32(1 - share)
        pixels = np.rint(mixed).astype(np.uint8)
        return StyleResult(pixels, "fast", inference.model, ((inference.names[0], 1.0),), dict(inference.stages))
    assert inference.encoded is not None
    weights = list(blend) if blend is not None else [1.0] * len(inference.styles)
    features = adain.mix(inference.encoded, inference.styles, weights, settings.strength)
    pixels, stages = adain.decode(engine or default_engine(), features, user=user, cancel=cancel)
    shares = shares_of(weights, len(inference.styles))
    return StyleResult(pixels, "adain", inference.model, tuple(zip(inference.names, shares)), stages)


def draw(inference: StyleInference, result: StyleResult, settings: StyleSettings) -> np.ndarray:
    """The result as it is shown, a new (h, w, 3) uint8 array: with the content's colours where they are preserved."""
    return colour.finished(result.pixels.copy(), inference.content, settings.preserve_colour)


def optimise(
    content: Any | None,
    styles: Sequence[Any],
    settings: StyleSettings | None = None,
    *,
    blend: Sequence[float] | None = None,
    names: Sequence[str] = (),
    model: str = COMPACT_ENCODER,
    engine: Engine | None = None,
    user: str = "",
    cancel: threading.Event | None = None,
    progress: Progress | None = None,
) -> StyleResult:
    """Run the optimisation of Gatys et al. to its end; see ``GatysRun`` for steps, previews and changes."""
    job = GatysRun(content, styles, settings, blend=blend, names=names, model=model, engine=engine, user=user)
    for step in job.run(cancel):
        if progress is not None:
            progress(step.number / job.settings.steps, f"step {step.number}, loss {step.total:.3g}")
    return job.result()
