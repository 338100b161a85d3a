"""Classification's two halves: ``infer`` runs the network once, ``decode`` does everything a slider can change.

``ClassificationSettings`` is the one declaration of those sliders; the page, the command line, the HTTP API and the
URL are generated from it.
"""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from cvdemo import tasks
from cvdemo.classification.raw import RawClassification, softmax
from cvdemo.core import registry
from cvdemo.core.context import ProgressFn, RunContext
from cvdemo.core.engine import Engine, default_engine
from cvdemo.core.errors import Cancelled, CvDemoError, InputError
from cvdemo.core.media import Picture
from cvdemo.core.registry import ModelSpec
from cvdemo.core.settings import Settings, setting

TASK = "classification"
DEFAULT_MODEL = "compact-classifier"
UNSURE_BELOW = 0.2


@dataclass(frozen=True)
class ClassificationSettings(Settings):
    """Everything that acts on logits already computed."""

    top_k: int = setting(
        5, label="Classes shown", minimum=1, maximum=20, step=1, help="How many of the most probable classes are shown."
    )
    temperature: float = setting(
        1.0, label="Temperature", minimum=0.1, maximum=10.0, step=0.1,
        help="Logits are divided by this before the softmax: below 1 the best class gains, above 1 all become alike. "
        "The order never changes.",
    )  # fmt: skip


@dataclass(frozen=True)
class Inference:
    """One network run on one picture: its raw output and what it cost, milliseconds per stage in order."""

    raw: RawClassification
    stages: dict[str, float]
    device: str
    precision: str
    model: str


@dataclass(frozen=True, eq=False)
class Classification:
    """What one setting makes of an inference.

    Attributes:
        top: the most probable classes, best first: (index, name, probability).
        probabilities: (C,) float64, of all classes, summing to 1.
        entropy_bits: 0 when one class is certain, log2(C) when all are alike.
        milliseconds: decoding took.   height, width: of the picture.   model: registry name.
    """

    top: tuple[tuple[int, str, float], ...]
    probabilities: np.ndarray
    entropy_bits: float
    milliseconds: float
    height: int
    width: int
    model: str

    @property
    def unsure(self) -> bool:
        """Whether even the best class is improbable (below 0.2)."""
        return self.top[0][2] < UNSURE_BELOW

    def to_dict(self, image_name: str = "") -> dict[str, Any]:
        """JSON-ready: ``{"image": {name, width, height}, "model", "predictions": [{label, index, probability}]}``."""
        image = {"name": image_name, "width": self.width, "height": self.height}
        rows = [{"label": name, "index": index, "probability": round(p, 6)} for index, name, p in self.top]
        return {"image": image, "model": self.model, "predictions": rows}

    def to_csv(self, image_name: str | None = None, *, header: bool = True) -> str:
        """One line per class shown: rank, label, index, probability; an ``image`` column first if named."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        first = [] if image_name is None else [image_name]
        if header:
            writer.writerow([*(["image"] if first else []), "rank", "label", "index", "probability"])
        for rank, (index, name, probability) in enumerate(self.top, 1):
            writer.writerow([*first, rank, name, index, f"{probability:.6f}"])
        return stream.getvalue()

    def sentence(self) -> str:
        """Such as "cheetah (87 %), then leopard (5 %)"; says so when no class is probable."""
        named = [f"{name} ({_percent(p)})" for _, name, p in self.top[:2] if p >= 0.005]
        listed = ", then ".join(named) or self.top[0][1]
        return f"Not sure; the best guess is {listed}" if self.unsure else listed


@dataclass(frozen=True)
class Comparison:
    """Several classifiers on one picture, in the order asked for; ``skipped`` gives the reason for those left out."""

    inferences: tuple[Inference, ...]
    skipped: Mapping[str, str]

    def __iter__(self) -> Iterator[Inference]:
        return iter(self.inferences)

    def __len__(self) -> int:
        return len(self.inferences)


def settings_for(model: str) -> ClassificationSettings:
    """The settings a model starts with."""
    return ClassificationSettings.from_mapping(dict(_classifier(model).extras.get("defaults", {})))


def infer(
    picture: Picture | np.ndarray,
    model: str = DEFAULT_MODEL,
    engine: Engine | None = None,
    *,
    user: str = "",
    cancel: threading.Event | None = None,
    progress: ProgressFn | None = None,
) -> Inference:
    """Run a classifier on one picture ((H, W, 3) uint8 RGB or ``Picture``); errors as in ``Engine.run``."""
    spec = _classifier(model)
    ran = (engine or default_engine()).run(spec, picture, user=user, cancel=cancel, progress=progress)
    return Inference(ran.output, ran.stages, ran.device, ran.precision, ran.model)


def decode(inference: Inference | RawClassification, settings: ClassificationSettings) -> Classification:
    """Softmax and the best classes; no network is touched (well under a millisecond for 1000 classes)."""
    started = perf_counter()
    raw = inference.raw if isinstance(inference, Inference) else inference
    probabilities = softmax(raw.logits, settings.temperature)
    order = np.argsort(-raw.logits, kind="stable")[: settings.top_k]
    top = tuple((int(i), raw.categories[i], float(probabilities[i])) for i in order)
    positive = probabilities[probabilities > 0]
    entropy = max(0.0, -float((positive * np.log2(positive)).sum()))
    milliseconds = (perf_counter() - started) * 1e3
    return Classification(top, probabilities, entropy, milliseconds, raw.height, raw.width, raw.model)


def compare(
    picture: Picture | np.ndarray,
    models: Sequence[str],
    engine: Engine | None = None,
    *,
    user: str = "",
    cancel: threading.Event | None = None,
    progress: ProgressFn | None = None,
) -> Comparison:
    """Several classifiers on one picture, one after the other.

    A model that cannot be used (no weights and no network, no memory) is left out and its reason kept; an unknown
    name is an error. progress(fraction over all models, text).
    """
    specs = [_classifier(name) for name in dict.fromkeys(models)]
    done: list[Inference] = []
    skipped: dict[str, str] = {}
    for number, spec in enumerate(specs):
        state = registry.availability(spec)
        if not state.ok:
            skipped[spec.name] = " ".join(filter(None, (f"{state.reason}.", state.remedy)))
            continue
        try:
            done.append(
                infer(
                    picture,
                    spec.name,
                    engine,
                    user=user,
                    cancel=cancel,
                    progress=_share(progress, number, len(specs)),
                )
            )
        except Cancelled:
            raise
        except CvDemoError as error:
            skipped[spec.name] = str(error)
    return Comparison(tuple(done), skipped)


def embed(
    pictures: Sequence[Picture | np.ndarray],
    model: str = DEFAULT_MODEL,
    engine: Engine | None = None,
    *,
    user: str = "",
    cancel: threading.Event | None = None,
    progress: ProgressFn | None = None,
) -> np.ndarray:
    """Feature vectors (N, D) float32 of N pictures: what the model's last linear layer sees, 16 pictures at a time."""
    spec = _classifier(model)
    if not len(pictures):
        raise InputError("There are no pictures to look at.", hint="Add at least one.")

    def operation(network: Any, value: Any, context: RunContext) -> np.ndarray:
        rows: np.ndarray = spec.extras["embed"](network, value, context)
        return rows

    ran = (engine or default_engine()).run(
        spec, pictures, user=user, cancel=cancel, progress=progress, operation=operation
    )
    features: np.ndarray = ran.output
    return features


def _classifier(model: str) -> ModelSpec:
    tasks.load_all()
    spec = registry.get(model)
    if spec.task != TASK:
        names = ", ".join(other.name for other in registry.models(task=TASK))
        raise CvDemoError(f"{model} does not classify pictures.", hint=f"The classifiers are: {names}.")
    return spec


def _share(progress: ProgressFn | None, number: int, count: int) -> Callable[[float, str], None] | None:
    """Progress of one model as part of the progress of all."""
    if progress is None:
        return None
    return lambda fraction, text: progress((number + fraction) / count, text)


def _percent(probability: float) -> str:
    return f"{100 * probability:.0f} %"
