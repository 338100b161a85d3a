"""Action's two halves: ``infer`` runs the network once on a clip, ``decode`` does everything a slider can change.

``timeline`` does the first half for all windows of a video; ``decode_timeline`` makes curves of them. The network sees
what ``sample_clip`` picked and nothing else, so ``clip_spec(model)`` is what a page should sample by.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from cvdemo import tasks
from cvdemo.action.clips import Clip, ClipSpec, sample_clip, still
from cvdemo.action.draw import draw_actions
from cvdemo.action.raw import ClipFacts, RawScores, softmax
from cvdemo.core import registry
from cvdemo.core.context import ProgressFn
from cvdemo.core.engine import Engine, default_engine
from cvdemo.core.errors import CvDemoError
from cvdemo.core.inputs import pixels_of
from cvdemo.core.media import Picture
from cvdemo.core.registry import ModelSpec
from cvdemo.core.settings import Settings, setting

__all__ = [
    "DEFAULT_MODEL", "TASK", "ActionInference", "ActionSettings", "Actions", "clip_spec", "decode", "draw", "infer",
    "settings_for", "smooth",
]  # fmt: skip

TASK = "action"
DEFAULT_MODEL = "compact-action"
CLIP = "clip"
"""``ModelSpec.extras[CLIP]``: the ``ClipSpec`` of what the model sees."""
NEEDS_JOINTS = "needs_joints"
"""``ModelSpec.extras[NEEDS_JOINTS]`` is True for models that look at people's joints instead of pixels."""

ANY_LENGTH = "any_length"
"""``ModelSpec.extras[ANY_LENGTH]`` is True for models that take a picture as a clip of one frame."""


@dataclass(frozen=True)
class ActionSettings(Settings):
    """Everything that acts on scores already computed."""

    top_k: int = setting(
        5, label="Actions shown", minimum=1, maximum=20, step=1, help="How many of the most probable actions are shown."
    )
    threshold: float = setting(
        0.3, label="Sure from", minimum=0.0, maximum=1.0, step=0.01,
        help="An action less probable than this is not claimed: the result says that the model is not sure.",
    )  # fmt: skip
    temperature: float = setting(
        1.0, label="Temperature", minimum=0.1, maximum=10.0, step=0.1,
        help="Scores are divided by this before the softmax: below 1 the best action gains, above 1 all become alike. "
        "The order never changes.",
    )  # fmt: skip
    smoothing: float = setting(
        1.0, label="Smoothing", minimum=0.0, maximum=5.0, step=0.1,
        help="Live and timeline: probabilities follow a change with this time constant in seconds. 0 shows each "
        "window by itself.",
    )  # fmt: skip


@dataclass(frozen=True)
class ActionInference:
    """One network run on one clip: its raw output and what it cost, milliseconds per stage in order."""

    raw: RawScores
    stages: dict[str, float]
    device: str
    precision: str
    model: str


@dataclass(frozen=True, eq=False)
class Actions:
    """What one setting makes of an inference.

    Attributes:
        top: the most probable actions, best first: (index, name, probability).
        probabilities: (C,) float64 of all actions, summing to 1.   categories: their names.
        sure: whether the best action reaches the threshold.
        clip: facts of what was seen.   model: registry name.   milliseconds: decoding took.
    """

    top: tuple[tuple[int, str, float], ...]
    probabilities: np.ndarray
    categories: tuple[str, ...]
    sure: bool
    clip: ClipFacts
    model: str
    milliseconds: float = 0.0

    def to_dict(self, name: str = "") -> dict[str, Any]:
        """JSON-ready: ``{"clip": {name, start, end, frames, width, height, note}, "model", "sure", "predictions"}``."""
        clip = self.clip
        facts = {
            "name": name or clip.source, "start": round(clip.start, 3), "end": round(clip.end, 3),
            "frames": clip.frames, "width": clip.width, "height": clip.height, "note": clip.note,
        }  # fmt: skip
        rows = [{"label": name, "index": index, "probability": round(p, 6)} for index, name, p in self.top]
        return {"clip": facts, "model": self.model, "sure": self.sure, "predictions": rows}

    def sentence(self) -> str:
        """Such as "push-up (87 %), then squat (5 %)"; says so when no action is probable."""
        named = [f"{name} ({_percent(p)})" for _, name, p in self.top[:2] if p >= 0.005]
        listed = ", then ".join(named) or self.top[0][1]
        return listed if self.sure else f"Not sure; the best guess is {listed}"


def model_spec(model: str) -> ModelSpec:
    """The registry entry of an action model; CvDemoError for a model of another task."""
    tasks.load_all()
    spec = registry.get(model)
    if spec.task != TASK:
        names = ", ".join(other.name for other in registry.models(task=TASK))
        raise CvDemoError(f"{model} does not recognise actions.", hint=f"The action models are: {names}.")
    return spec


def clip_spec(model: str) -> ClipSpec:
    """How many frames, at what rate and size a model looks at."""
    spec: ClipSpec = model_spec(model).extras[CLIP]
    return spec


def settings_for(model: str) -> ActionSettings:
    """The settings a model starts with."""
    return ActionSettings.from_mapping(dict(model_spec(model).extras.get("defaults", {})))


def fitted(clip: Clip, spec: ClipSpec) -> Clip:
    """The clip with as many frames as the model wants: sampled again from its start unless it has them already."""
    if len(clip) == spec.frames:
        return clip
    return sample_clip(clip, start=clip.start, spec=spec)


def infer(
    clip: Clip | Picture | np.ndarray,
    model: str = DEFAULT_MODEL,
    engine: Engine | None = None,
    *,
    user: str = "",
    cancel: threading.Event | None = None,
    progress: ProgressFn | None = None,
) -> ActionInference:
    """Run a model on one clip (or on a picture, which is a video in which nothing moves).

    The clip should be sampled by ``clip_spec(model)``; one with another number of frames is sampled again. Models that
    look at joints have them estimated first, by the pose task; the stage "joints" is the time of that.
    Errors as in ``Engine.run``.
    """
    spec = model_spec(model)
    engine = engine or default_engine()
    seen = clip if isinstance(clip, Clip) else still(pixels_of(clip))
    if not (len(seen) == 1 and spec.extras.get(ANY_LENGTH)):
        seen = fitted(seen, spec.extras[CLIP])
    stages: dict[str, float] = {}
    value: Any = seen
    if spec.extras.get(NEEDS_JOINTS):
        from cvdemo.action.joints import joints_of

        started = perf_counter()
        value = joints_of(seen, engine, user=user, cancel=cancel, progress=progress)
        stages["joints"] = (perf_counter() - started) * 1e3
    ran = engine.run(spec, value, user=user, cancel=cancel, progress=progress)
    return ActionInference(ran.output, {**stages, **ran.stages}, ran.device, ran.precision, ran.model)


def decode(inference: ActionInference | RawScores, settings: ActionSettings | None = None) -> Actions:
    """Softmax and the best actions; no network is touched (well under a millisecond)."""
    started = perf_counter()
    raw = inference.raw if isinstance(inference, ActionInference) else inference
    chosen = settings or ActionSettings()
    actions = of_probabilities(softmax(raw.logits, chosen.temperature), raw, chosen)
    return Actions(
        actions.top, actions.probabilities, raw.categories, actions.sure, raw.clip, raw.model,
        (perf_counter() - started) * 1e3,
    )  # fmt: skip


def of_probabilities(probabilities: np.ndarray, raw: RawScores, settings: ActionSettings) -> Actions:
    """The actions for probabilities (C,) that were changed after the softmax, such as smoothed over time."""
    order = np.argsort(-probabilities, kind="stable")[: settings.top_k]
    top = tuple((int(i), raw.categories[i], float(probabilities[i])) for i in order)
    return Actions(top, probabilities, raw.categories, top[0][2] >= settings.threshold, raw.clip, raw.model)


def smooth(probabilities: np.ndarray, times: np.ndarray, constant: float) -> np.ndarray:
    """Exponential smoothing over time: how far a value moves to the new one depends on the time that passed.

    probabilities: (N, C).   times: (N,) seconds, rising; steps may vary.   constant: seconds after which 63 % of a
    sudden change have arrived; 0 changes nothing.   Returns (N, C) float64; rows that summed to 1 still do.
    """
    given = np.asarray(probabilities, np.float64)
    if constant <= 0 or len(given) < 2:
        return given.copy()
    result = np.empty_like(given)
    result[0] = given[0]
    for row in range(1, len(given)):
        kept = np.exp(-max(0.0, float(times[row] - times[row - 1])) / constant)
        result[row] = kept * result[row - 1] + (1 - kept) * given[row]
    return result


def draw(
    pixels: np.ndarray,
    actions: Actions,
    settings: ActionSettings | None = None,
    *,
    extras: Mapping[str, Any] | None = None,
) -> np.ndarray:
    """A frame with the actions shown as labelled bars, a new (H, W, 3) uint8 array.

    extras: of the raw scores; joints (17, 3) of this frame are drawn as a skeleton.
    """
    del settings  # everything it says is in the actions already
    joints = None if extras is None else extras.get("joints")
    return draw_actions(pixels, actions.top, sure=actions.sure, joints=joints)


def _percent(probability: float) -> str:
    return f"{100 * probability:.0f} %"
