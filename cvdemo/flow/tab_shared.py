"""What the views of the Flow tab share: their names, the pair on show, what was computed for it, and its truth."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from cvdemo.core import registry
from cvdemo.core.errors import InputError
from cvdemo.core.lazy import cv2
from cvdemo.core.media import Picture
from cvdemo.flow import metrics
from cvdemo.flow.examples import truth_file
from cvdemo.flow.files import read_flow
from cvdemo.flow.predict import FlowInference, infer, with_variational
from cvdemo.flow.raw import FramePair, pair_of, rescale_flow
from cvdemo.flow.variational import AUTO, OFF, ON, is_wanted
from cvdemo.ui.memory import memory_of, picture_of

FLOW, COMPARE, SYNTHETIC, CLIP, LECTURE = "flow", "compare", "synthetic", "clip", "lecture"
WORK_SIDE = 1024  # longer sides are shrunk to this on the page: a larger field costs more to draw than it shows
_MOST_KEPT = 12
T = TypeVar("T")
NOT_A_PAIR = "Flow needs two pictures: choose the {} frame, too."


@dataclass(frozen=True, eq=False)
class Pair:
    """Two frames of one size, at most ``WORK_SIDE`` long.

    first, second: (H, W, 3) uint8. name: of the first file. original: (height, width) of it. notes: what was done.
    key: the content's fingerprints.
    """

    first: np.ndarray
    second: np.ndarray
    name: str
    original: tuple[int, int]
    key: tuple[str, str]
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the frames as they are looked at."""
        return int(self.first.shape[0]), int(self.first.shape[1])


@dataclass(frozen=True, eq=False)
class Look:
    """A pair and what one method said about it.

    kept: what was worked out from it: moving a slider that changes the drawing alone need not decode again.
    """

    pair: Pair
    inference: FlowInference
    kept: OrderedDict[Hashable, Any] = field(default_factory=OrderedDict)

    def recall(self, key: Hashable, make: Callable[[], T]) -> T:
        """What was worked out under the key, else what ``make`` returns; the last used are kept."""
        known: T | None = self.kept.get(key)
        if known is None:
            known = self.kept[key] = make()
            while len(self.kept) > _MOST_KEPT:
                self.kept.popitem(last=False)
        else:
            self.kept.move_to_end(key)
        return known


@dataclass(frozen=True, eq=False)
class Truth:
    """A pair's true flow (H, W, 2) float32 in its working size, NaN where not known, and where it comes from."""

    flow: np.ndarray
    source: str


def pair_from(first: Picture, second: Picture) -> Pair:
    """A pair ready to be looked at; InputError where the pictures do not belong together."""
    made, notes = pair_of(first.pixels, second.pixels)
    frames, size = [made.first, made.second], (made.height, made.width)
    scale = WORK_SIDE / max(size)
    if scale < 1:
        smaller = (max(8, round(size[1] * scale)), max(8, round(size[0] * scale)))
        frames = [cv2.resize(frame, smaller, interpolation=cv2.INTER_AREA) for frame in frames]
        notes = (*notes, f"looked at in {smaller[0]} x {smaller[1]} pixels")
    return Pair(frames[0], frames[1], first.name, size, (first.fingerprint, second.fingerprint), notes)


def pair_on_show(session: str, first: str | None, second: str | None) -> Pair:
    """The pair of the two chosen files; errors as in ``read_picture``, and InputError where one is missing."""
    for path, word in ((first, "first"), (second, "second")):
        if not path:
            raise InputError(NOT_A_PAIR.format(word))
    pictures = [picture_of(session, path) for path in (first, second)]
    key = ("flow pair", *(picture.fingerprint for picture in pictures))
    pair: Pair = memory_of(session).recall(key, lambda: pair_from(pictures[0], pictures[1]))
    _note_truth_of_example(session, pair, first)
    return pair


def key_of(pair: Pair, model: str, iterations: int, variational: str = AUTO) -> Hashable:
    """Where the session's memory keeps a method's look at a pair; one-shot methods have one, whatever is asked."""
    return "flow", pair.key, model, iterations if is_iterative(model) else 0, is_wanted(model, variational)


def is_iterative(model: str) -> bool:
    """Whether a method refines its result step by step."""
    return "recurrent" in registry.get(model).family


def look_of(
    session: str, pair: Pair, model: str, iterations: int, variational: str = AUTO, **watch: Any
) -> Look:  # fmt: skip
    """What a method says of a pair, both ways; one that has seen it is not run again. Errors as in ``infer``.

    watch: ``progress`` and ``cancel``.
    """
    memory, other = memory_of(session), OFF if is_wanted(model, variational) else ON

    def run() -> Look:
        seen: Look | None = memory.get(key_of(pair, model, iterations, other))
        if seen is not None:
            frames = FramePair(pair.first, pair.second, iterations)
            return Look(pair, with_variational(seen.inference, frames, variational))
        inference = infer(
            pair.first, pair.second, model, backward=True, iterations=iterations, variational=variational,
            user=session, **watch,
        )  # fmt: skip
        return Look(pair, inference)

    return memory.recall(key_of(pair, model, iterations, variational), run)


def forward_look_of(session: str, pair: Pair, model: str, iterations: int, **watch: Any) -> Look:
    """As ``look_of`` where the way back is not needed: half the work, unless it has been done already."""
    memory, key = memory_of(session), key_of(pair, model, iterations)
    known: Look | None = memory.get(key)
    if known is not None:
        return known

    def run() -> Look:
        return Look(pair, infer(pair.first, pair.second, model, iterations=iterations, user=session, **watch))

    return memory.recall(("forward", key), run)


def _truth_key(pair: Pair) -> Hashable:
    return "flow truth", pair.key


def _note_truth_of_example(session: str, pair: Pair, path: str | None) -> None:
    memory = memory_of(session)
    source = truth_file(path) if path else None
    if source is None or _truth_key(pair) in memory:
        return
    flow, valid = read_flow(source)
    if flow.shape[:2] == pair.original:  # a visitor's file may have an example's name
        set_truth(session, pair, flow, valid, "known exactly, the pair was composed")


def set_truth(session: str, pair: Pair, flow: np.ndarray, valid: np.ndarray | None, source: str) -> Truth:
    """Remember a pair's true flow, given in the size of its files; InputError where the sizes differ."""
    if flow.shape[:2] != pair.original:
        height, width = pair.original
        raise InputError(
            f"The true flow has {flow.shape[1]} x {flow.shape[0]} pixels, the first frame {width} x {height}.",
            hint="Bring the file that belongs to this pair.",
        )
    known = np.asarray(flow, np.float32).copy()
    if valid is not None:
        known[~valid] = np.nan
    if pair.size != pair.original:  # nearest, because unknown pixels must not spread
        scale = np.array([pair.size[1] / pair.original[1], pair.size[0] / pair.original[0]], np.float32)
        known = cv2.resize(known, (pair.size[1], pair.size[0]), interpolation=cv2.INTER_NEAREST) * scale
    return memory_of(session).put(_truth_key(pair), Truth(known, source))


def truth_of(session: str, pair: Pair) -> Truth | None:
    """A pair's true flow, None where it is not known."""
    return memory_of(session).get(_truth_key(pair)) or None


def forget_truth(session: str, pair: Pair) -> None:
    """Drop a pair's true flow."""
    memory_of(session).put(_truth_key(pair), False)


def bring_truth(session: str, pair: Pair, path: Path) -> Truth:
    """A file's true flow for a pair; errors as in ``read_flow`` and ``set_truth``."""
    flow, valid = read_flow(path)
    return set_truth(session, pair, flow, valid, path.name)


def mean_error(flow: np.ndarray, truth: np.ndarray) -> float:
    """Mean EPE in pixels where both are known; NaN where that is nowhere."""
    error = metrics.endpoint_error(flow, truth)
    known = np.isfinite(error)
    return float(error[known].mean()) if known.any() else float("nan")


def timing_line(inference: FlowInference, **more: float) -> str:
    """Such as "38 ms (flow 20, backward 18) · cpu"; steps under half a millisecond are left out."""
    steps = {**inference.stages, **more}
    parts = ", ".join(f"{name} {ms:.0f}" for name, ms in steps.items() if ms >= 0.5)
    where = " ".join(part for part in (inference.device, inference.precision) if part)
    return f"{sum(steps.values()):.0f} ms{f' ({parts})' if parts else ''}{f' · {where}' if where else ''}"


def full_size(flow: np.ndarray, pair: Pair) -> np.ndarray:
    """A field of the page in the size of the pair's files."""
    return rescale_flow(flow, *pair.original) if pair.size != pair.original else flow
