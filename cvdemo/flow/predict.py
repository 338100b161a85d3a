"""Flow's two halves: ``infer`` runs a method once on a pair of frames, ``decode`` and ``draw`` do the rest.

``FlowSettings`` is the one declaration of what a slider can change; the page, the command line, the HTTP API and the
URL are generated from it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from cvdemo import tasks
from cvdemo.core import registry
from cvdemo.core.context import ProgressFn
from cvdemo.core.engine import Engine, default_engine
from cvdemo.core.media import Picture
from cvdemo.core.settings import Settings, setting
from cvdemo.flow import draw as drawing
from cvdemo.flow import variational as energy
from cvdemo.flow.colour import robust_maximum
from cvdemo.flow.field import FlowField
from cvdemo.flow.raw import DEFAULT_ITERATIONS, MOST_ITERATIONS, FramePair, RawFlow, pair_of
from cvdemo.flow.warp import ALPHA, BETA, occlusion_mask

__all__ = [
    "DEFAULT_MODEL", "TASK", "VIEWS", "FlowField", "FlowInference", "FlowSettings", "decode", "draw", "infer",
    "settings_for",
]  # fmt: skip

TASK = "flow"
DEFAULT_MODEL = "dis-medium"
VIEWS: tuple[str, ...] = ("colour", "arrows", "magnitude", "occlusion")
CLASSICAL = "classical"
BACKWARD, VARIATIONAL = "backward", "variational"
"""Names of stages: see ``FlowInference``."""

_VIEW_HELP = (
    "colour: hue is the direction, strength the speed; arrows: every few pixels; magnitude: speed alone; occlusion: "
    "pixels without a counterpart, which needs the backward flow."
)


@dataclass(frozen=True)
class FlowSettings(Settings):
    """Everything that acts on flow already computed, and how often an iterative network refines it."""

    view: str = setting("colour", label="View", choices=VIEWS, help=_VIEW_HELP)
    maximum: float = setting(
        0.0, label="Full colour at (px)", minimum=0.0, maximum=200.0, step=0.5,
        help="The speed drawn in full colour. 0 takes the field's own 99th percentile, which is stated.",
    )  # fmt: skip
    iteration: int = setting(
        0, label="Refinement", minimum=0, maximum=MOST_ITERATIONS + 1, step=1,
        help="Which refinement of a network to show, from 1; 0 is the last, after the variational one.",
    )  # fmt: skip
    opacity: float = setting(
        1.0, label="Opacity", minimum=0.0, maximum=1.0, step=0.05,
        help="1 shows the flow alone, 0 the first frame alone.",
    )  # fmt: skip
    arrow_spacing: int = setting(
        16, label="Arrow spacing", minimum=6, maximum=64, step=1, help="Pixels between two arrows."
    )
    arrow_scale: float = setting(
        1.0, label="Arrow length", minimum=0.25, maximum=10.0, step=0.25, advanced=True,
        help="Arrows are drawn this many times as long as the motion.",
    )  # fmt: skip
    show_occlusion: bool = setting(
        False, label="Mark occlusion", advanced=True, help="Darken pixels without a counterpart in the second frame."
    )
    alpha: float = setting(
        ALPHA, label="Occlusion: share of the motion", minimum=0.0, maximum=0.1, step=0.001, advanced=True,
        help="Forward-backward check: squared disagreement allowed per squared motion (Sundaram et al. 2010).",
    )  # fmt: skip
    beta: float = setting(
        BETA, label="Occlusion: square pixels", minimum=0.0, maximum=10.0, step=0.1, advanced=True,
        help="Forward-backward check: squared disagreement always allowed.",
    )  # fmt: skip
    iterations: int = setting(
        DEFAULT_ITERATIONS, label="Refinements", minimum=1, maximum=MOST_ITERATIONS, step=1, network=True,
        advanced=True, help="How often an iterative network refines the flow; others ignore it.",
    )  # fmt: skip
    variational: str = setting(
        energy.AUTO, label="Variational refinement", choices=energy.CHOICES, network=True, advanced=True,
        help="Make the result exact by minimising Brox's energy over both frames. auto: for networks that gain by it.",
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class FlowInference:
    """One run of a method on a pair: its raw output and what it cost, milliseconds per stage in order.

    backward: the flow from the second frame to the first, None unless asked for; its time is the stage "backward".
        The variational refinement's is "variational", of the way back "backward variational".
    notes: what was done to the frames.
    """

    raw: RawFlow
    backward: RawFlow | None
    stages: dict[str, float]
    device: str
    precision: str
    model: str
    notes: tuple[str, ...] = ()


def settings_for(model: str) -> FlowSettings:
    """The settings a model starts with."""
    return FlowSettings.from_mapping(dict(registry.get(model).extras.get("defaults", {})))


def infer(
    first: Picture | np.ndarray,
    second: Picture | np.ndarray,
    model: str = DEFAULT_MODEL,
    engine: Engine | None = None,
    *,
    backward: bool = False,
    iterations: int = DEFAULT_ITERATIONS,
    max_side: int = 0,
    variational: str = energy.AUTO,
    user: str = "",
    cancel: threading.Event | None = None,
    progress: ProgressFn | None = None,
) -> FlowInference:
    """Run a method on two frames ((H, W, 3) uint8 RGB or ``Picture``).

    A second frame of another size is scaled to the first one's. Frames too small or too large for the method are
    scaled, and the flow back to their size (``RawFlow.notes`` says so).

    Args:
        backward: also compute the flow from the second to the first frame, for the occlusion check.
        iterations: refinements of an iterative network.   max_side: shrink the frames to this side first, 0 not.
        variational: "auto", "on" or "off", see ``FlowSettings``.
    Errors: InputError for frames of different proportions or under 8 pixels, otherwise as in ``Engine.run``.
    """
    tasks.load_all()
    engine = engine or default_engine()
    spec = registry.get(model)
    pair, notes = pair_of(first, second, iterations, max_side)
    there = _part_of(progress, 0.0, 0.5) if backward else progress
    ran = engine.run(spec, pair, user=user, cancel=cancel, progress=there)
    stages, back = dict(ran.stages), None
    if backward:
        again = engine.run(spec, pair.reversed(), user=user, cancel=cancel, progress=_part_of(progress, 0.5, 1.0))
        back, stages[BACKWARD] = again.output, sum(again.stages.values())
    on_processor = spec.tier == CLASSICAL
    found = FlowInference(
        ran.output,
        back,
        stages,
        "cpu" if on_processor else ran.device,
        "" if on_processor else ran.precision,
        ran.model,
        notes + ran.output.notes,
    )
    return with_variational(found, pair, variational)


def with_variational(inference: FlowInference, pair: FramePair, choice: str) -> FlowInference:
    """An inference with or without the variational refinement of both ways, as the choice says; the network rests.

    pair: the frames it was computed from.
    """
    raw, back = inference.raw, inference.backward
    if energy.is_wanted(inference.model, choice) == (raw.variational is not None):
        return inference
    stages = {name: ms for name, ms in inference.stages.items() if not name.endswith(VARIATIONAL)}
    if raw.variational is not None:
        plain = None if back is None else replace(back, variational=None)
        return replace(inference, raw=replace(raw, variational=None), backward=plain, stages=stages)
    started = perf_counter()
    raw = energy.refined(raw, pair)
    stages[VARIATIONAL] = (perf_counter() - started) * 1e3
    if back is not None:
        started = perf_counter()
        back = energy.refined(back, pair.reversed())
        stages[f"{BACKWARD} {VARIATIONAL}"] = (perf_counter() - started) * 1e3
    return replace(inference, raw=raw, backward=back, stages=stages)


def _part_of(progress: ProgressFn | None, start: float, end: float) -> ProgressFn | None:
    """Progress of one of two runs as that of the whole."""
    if progress is None:
        return None
    return lambda fraction, text: progress(start + (end - start) * fraction, text)


def decode(inference: FlowInference, settings: FlowSettings | None = None) -> FlowField:
    """The flow field the settings choose; no network is touched."""
    started = perf_counter()
    chosen = settings or FlowSettings()
    raw, back = inference.raw, inference.backward
    count = len(raw)
    number = min(chosen.iteration, count) if chosen.iteration else count
    flow = raw.at(number - 1)
    occluded = None
    if back is not None:
        other = back.at(min(number, len(back)) - 1)
        occluded = occlusion_mask(flow, other, chosen.alpha, chosen.beta)
    milliseconds = (perf_counter() - started) * 1e3
    last = raw.variational is not None and number == count
    return FlowField(flow, raw.model, occluded, number, count, inference.notes, milliseconds, last)


def draw(pixels: np.ndarray, field: FlowField, settings: FlowSettings | None = None) -> np.ndarray:
    """The first frame with the flow drawn in as the settings say, a new (H, W, 3) uint8 array.

    The occlusion view without a backward flow is the frame in grey: nothing is known about occlusion.
    """
    chosen = settings or FlowSettings()
    maximum = chosen.maximum or robust_maximum(field.flow)
    if chosen.view == "occlusion":
        nowhere = np.zeros(field.flow.shape[:2], bool)
        return drawing.draw_occlusion(pixels, nowhere if field.occluded is None else field.occluded)
    if chosen.view == "arrows":
        drawn = drawing.draw_arrows(pixels, field.flow, maximum, chosen.arrow_spacing, chosen.arrow_scale, 1)
    elif chosen.view == "magnitude":
        drawn = drawing.blend(pixels, drawing.draw_magnitude(field.flow, maximum), chosen.opacity)
    else:
        drawn = drawing.draw_colour(pixels, field.flow, maximum, chosen.opacity)
    if chosen.show_occlusion and field.occluded is not None:
        drawn[field.occluded] //= 4
    return drawn
