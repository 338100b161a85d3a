"""Models as data: ``ModelSpec``, the registry of all models, filters, availability and model cards.

The registry knows no task: each task's ``models`` module registers its entries when it is imported
(``cvdemo.tasks.load_all`` imports them all).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from torch import nn

from cvdemo.core import weights as weights_module
from cvdemo.core.context import RunContext
from cvdemo.core.device import Precision
from cvdemo.core.errors import CvDemoError
from cvdemo.core.weights import WeightsFile

Tier = Literal["compact", "full", "classical"]
RANDOM_WEIGHTS_KEY = "random_weights_for_tests"
SHIPS = " (ships with cvdemo)"
"""How the titles of the compact models end."""

__all__ = [
    "RANDOM_WEIGHTS_KEY",
    "Availability",
    "ModelSpec",
    "Precision",
    "RunContext",
    "WeightsFile",
    "availability",
    "get",
    "model_card",
    "models",
    "register",
    "register_model",
    "title_of",
    "unregister",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelSpec:
    """Everything the program knows about one model. Keyword-only; compared by identity.

    name: unique lower-case identifier, as typed on the command line.   task: the tab it belongs to.
    tier: "compact" ships in the repository, "full" is the publisher's own file, "classical" is a method that learned
    nothing: it has no weights and no parameters, and computes on the processor whatever the engine's device.
    year, paper, lecture: where it comes from, and the deck and topic that teach it.
    parameters: count.   gflops: multiply-adds in units of 1e9 for the published input size, None when unknown.
    metrics: published or measured figures with their data set in the key, such as {"COCO val2017 box AP": 37.0}.
    input: plain words on size, layout and normalisation.   categories: label names, () when the task fixes them.
    weights: the file with the trained parameters.
    borrowed: further files that belong to other models and hold part of this network's parameters, by the prefix
    that part has here: {"detector.": ...} fills ``network.detector`` and leaves the rest to ``weights``; with all of
    the file, or with the part of it that has the prefix there too.

    build() -> nn.Module: the architecture, randomly initialised; strict loading, eval mode and device follow.
    run(module, value, context) -> output: from the task's input to the raw output, with ``context.stage`` timing.
    example() -> value: an input for the warm-up and for measuring precisions.
    agrees(reference, other) -> bool: may a faster precision with output ``other`` replace the reference's output?
    precisions: candidates; the first is the reference and always runs.
    prepare(module) -> module: applied after the weights are loaded, such as fusing conv and batch norm.
    extras: further facts. ``extras["trace"](module, precision) -> callable`` is required when a precision is
    traced; ``extras["random_weights_for_tests"] = True`` allows ``weights=None``.
    """

    name: str
    task: str
    tier: Tier
    title: str
    family: str
    architecture: str
    year: int
    paper: str
    lecture: str
    parameters: int
    gflops: float | None = None
    metrics: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    licence: str = ""
    categories: tuple[str, ...] = ()
    input: str = ""
    weights: WeightsFile | None
    borrowed: Mapping[str, WeightsFile] = field(default_factory=lambda: MappingProxyType({}))
    build: Callable[[], nn.Module]
    run: Callable[[Any, Any, RunContext], Any]
    example: Callable[[], Any]
    agrees: Callable[[Any, Any], bool]
    precisions: tuple[Precision, ...] = (Precision(),)
    prepare: Callable[[nn.Module], nn.Module] | None = None
    extras: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if not self.precisions:
            raise ValueError(f"model {self.name!r}: at least one precision is needed")
        if any(precision.traced for precision in self.precisions) and "trace" not in self.extras:
            raise ValueError(f"model {self.name!r}: a traced precision needs extras['trace']")
        if self.tier == "classical" and (self.weights is not None or self.parameters or len(self.precisions) > 1):
            raise ValueError(f"model {self.name!r}: a classical method has no weights and one precision")
        if self.precisions[0].traced:
            raise ValueError(f"model {self.name!r}: the reference precision cannot be a traced one")

    @property
    def random_weights(self) -> bool:
        """Whether this entry exists for tests and benchmarks and runs without trained weights."""
        return bool(self.extras.get(RANDOM_WEIGHTS_KEY))

    @property
    def trained(self) -> bool:
        """Whether it needs trained weights to run: everything but classical methods and entries for tests."""
        return self.tier != "classical" and not self.random_weights

    @property
    def megabytes(self) -> float:
        """Size of the weights files in MB (1e6 bytes), estimated from the parameter count when not published."""
        sizes = [file.size for file in self.files.values()]
        return (sum(sizes) if sizes and all(sizes) else 4 * self.parameters) / 1e6

    @property
    def files(self) -> dict[str, WeightsFile]:
        """Every weights file the model needs, by the prefix of its parameters: its own under "", then the borrowed."""
        return {} if self.weights is None else {"": self.weights, **self.borrowed}


@dataclass(frozen=True)
class Availability:
    """Whether a model can be used now. ``reason`` and ``remedy`` are sentences, empty when there is nothing to say.

    ok: it runs, possibly after a download.   local: its weights are on this machine already.
    """

    ok: bool
    reason: str
    remedy: str
    megabytes: float
    local: bool = False


_models: dict[str, ModelSpec] = {}


def register(spec: ModelSpec) -> ModelSpec:
    """Add a model; ValueError when another one already has its name. Returns the spec."""
    if spec.name in _models:
        raise ValueError(f"a model named {spec.name!r} is already registered")
    _models[spec.name] = spec
    return spec


def register_model(**facts: Any) -> Callable[[Callable[[], nn.Module]], Callable[[], nn.Module]]:
    """Decorator for a builder function: ``@register_model(name=..., task=..., ...)``; returns it unchanged."""

    def decorate(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
        register(ModelSpec(build=build, **facts))
        return build

    return decorate


def unregister(name: str) -> None:
    """Remove a model if it is there (for tests and plug-ins)."""
    _models.pop(name, None)


def get(name: str) -> ModelSpec:
    """The model of that name; CvDemoError naming the nearest ones otherwise."""
    spec = _models.get(name)
    if spec is not None:
        return spec
    near = difflib.get_close_matches(name, _models, n=3, cutoff=0.4)
    listed = near or sorted(_models)
    lead = "Did you mean" if near else "The models are"
    hint = f"{lead}: {', '.join(listed)}{'?' if near else '.'}" if listed else "No models are registered."
    raise CvDemoError(f"There is no model named {name!r}.", hint=hint)


def models(task: str | None = None, tier: str | None = None, available: bool | None = None) -> tuple[ModelSpec, ...]:
    """All models in the order of registration, filtered by task, tier and whether they can be used now."""
    return tuple(
        spec
        for spec in _models.values()
        if (task is None or spec.task == task)
        and (tier is None or spec.tier == tier)
        and (available is None or availability(spec).ok == available)
    )


def availability(spec: ModelSpec) -> Availability:
    """Whether the model can be used now, and if not why and what to do. Cheap: looks at file sizes only."""
    files = tuple(spec.files.values())
    size = spec.megabytes
    if not files:
        if spec.tier == "classical":
            return Availability(True, "", "", 0.0, local=True)
        if spec.random_weights:
            return Availability(True, "random weights, for tests and benchmarks only", "", size, local=True)
        return Availability(False, "no trained weights", "Train it with the recipe of its task.", size)
    found = {file: weights_module.find(file) for file in files}
    missing = [file for file, path in found.items() if path is None]
    if not missing:
        return Availability(True, "", "", sum(path.stat().st_size for path in found.values() if path) / 1e6, local=True)
    remedy = " ".join(weights_module.remedy(file) for file in missing)
    shipped = [file for file in missing if not file.url]
    if shipped:
        return Availability(False, _what_is_wrong(shipped, named=len(files) > 1), remedy, size)
    if weights_module.is_offline():
        return Availability(False, f"needs {size:.0f} MB, offline", remedy, size)
    failure = next(filter(None, map(weights_module.recent_failure, missing)), "")
    if failure:
        return Availability(False, f"needs {size:.0f} MB, {failure}", remedy, size)
    return Availability(True, f"fetched on first use, {size:.0f} MB", "", size)


def _what_is_wrong(files: list[WeightsFile], named: bool) -> str:
    states = ["damaged" if weights_module.find_damaged(file) else "missing" for file in files]
    if not named:
        return f"its file is {states[0]}"
    return " and ".join(f"{file.filename} is {state}" for file, state in zip(files, states))


def title_of(spec: ModelSpec, state: Availability) -> str:
    """The model's title, without the claim that it ships with the program where its file is not there."""
    return spec.title if state.ok else spec.title.removesuffix(SHIPS)


def model_card(spec: ModelSpec) -> str:
    """The model's facts as Markdown: a heading, a table of facts, and how to get it when it is not available."""
    state = availability(spec)
    filenames = " and ".join(file.filename for file in spec.files.values())
    facts: list[tuple[str, str]] = [
        ("Task", spec.task),
        ("Tier", spec.tier),
        ("Family", spec.family),
        ("Architecture", spec.architecture),
        ("Paper", f"{spec.paper} ({spec.year})"),
        ("Lecture", spec.lecture),
        ("Parameters", f"{spec.parameters / 1e6:.2f} million" if spec.parameters else "none"),
        ("GFLOPs", f"{spec.gflops:g}" if spec.gflops is not None else ""),
        *[(name, f"{value:g}") for name, value in spec.metrics.items()],
        ("Input", spec.input),
        ("Labels", f"{len(spec.categories)}: {_shortened(spec.categories)}" if spec.categories else ""),
        ("Licence", spec.licence),
        ("Weights", f"{filenames}, {state.megabytes:.1f} MB" if filenames else "none"),
        ("Available", "yes" + (f" ({state.reason})" if state.reason else "") if state.ok else f"no: {state.reason}"),
    ]
    rows = "\n".join(f"| {name} | {_cell(value)} |" for name, value in facts if value)
    remedy = f"\n\n{state.remedy}" if state.remedy else ""
    return f"### {title_of(spec, state)}\n\n| | |\n|---|---|\n{rows}{remedy}\n"


def _shortened(names: tuple[str, ...], limit: int = 8) -> str:
    return ", ".join(names[:limit]) + (", …" if len(names) > limit else "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
