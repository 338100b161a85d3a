"""A linear head on frozen features: transfer learning in seconds (Donahue et al. 2014, arXiv:1310.1531).

The backbone has turned N pictures into features (N, D). What is learnt here is one matrix and one bias: softmax
regression when a picture belongs to one class, one logistic regression per attribute when it may have several. Both
losses are convex, so L-BFGS (Liu and Nocedal 1989) finds the one optimum, the same on every run.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cvdemo.core.context import ProgressFn
from cvdemo.core.errors import Cancelled, InputError

Kind = Literal["softmax", "multi-label"]
KINDS: tuple[str, ...] = get_args(Kind)
MOST_CLASSES = 10
FEWEST_PICTURES = 2  # of a class: one to learn from and one to be tested on
NAME_LENGTH = 40
L2, ITERATIONS = 0.01, 100

# A feature that hardly ever moves would, divided by its own tiny spread, become the loudest of all.
_SPREAD_FLOOR = 0.01
_CONVERGED = 1e-9  # relative decrease of the loss
_JOINERS = "\u200c\u200d"  # not printable by themselves, but part of Persian words and of many emoji


@dataclass(frozen=True, eq=False)
class History:
    """Loss (with its l2 term) and share of right answers on the training pictures; entry 0 is before the first step."""

    loss: tuple[float, ...] = ()
    accuracy: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Head:
    """A trained linear head: scores = weight @ ((features - mean) / std) + bias.

    weight: (C, D) float32.   bias: (C,) float32.   mean, std: (D,) float32, of the training features.
    kind: "softmax" (probabilities sum to 1) or "multi-label" (one sigmoid per attribute).
    backbone: name of the model the features came from, "" when unknown.
    """

    weight: np.ndarray
    bias: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    classes: tuple[str, ...]
    kind: Kind
    backbone: str = ""
    history: History = field(default_factory=History)

    @property
    def feature_size(self) -> int:
        """D, the length of the feature vectors it reads."""
        return self.weight.shape[1]


def clean_name(name: str) -> str:
    """The name of a class with single spaces; raises InputError when it is empty, too long or not printable."""
    cleaned = " ".join(str(name).split())
    if not cleaned:
        raise InputError("A class has no name.", hint="Type a name for it.")
    if len(cleaned) > NAME_LENGTH:
        raise InputError(f"A class name has {len(cleaned)} letters.", hint=f"Use at most {NAME_LENGTH}.")
    if not all(letter.isprintable() or letter in _JOINERS for letter in cleaned):
        raise InputError("A class name has letters that cannot be shown.", hint="Type the name again.")
    return cleaned


def check_classes(classes: Sequence[str], kind: str) -> tuple[str, ...]:
    """Names that can be taught; raises InputError for too few, too many and doubled ones.

    Attributes ("multi-label") are yes/no questions, so one is enough; a choice ("softmax") needs two.
    """
    if kind not in KINDS:
        raise InputError(f"There is no head of the kind {kind!r}.", hint=f"Choose {' or '.join(KINDS)}.")
    names = tuple(clean_name(name) for name in classes)
    fewest, noun = (2, "classes") if kind == "softmax" else (1, "attributes")
    if len(names) < fewest:
        raise InputError(f"There are {len(names)} {noun}.", hint=f"Teach at least {fewest}.")
    if len(names) > MOST_CLASSES:
        raise InputError(f"There are {len(names)} {noun}.", hint=f"Teach at most {MOST_CLASSES}.")
    seen: set[str] = set()
    for name in names:
        if name.casefold() in seen:
            raise InputError(f"Two {noun} are called {name}.", hint="Give each its own name.")
        seen.add(name.casefold())
    return names


def check_features(features: np.ndarray) -> np.ndarray:
    """Features as (N, D) float64; raises ValueError for other shapes and values that are not finite."""
    array = np.asarray(features, np.float64)
    if array.ndim != 2 or not array.shape[1]:
        raise ValueError(f"features must have shape (N, D), not {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("features hold NaN or infinite values")
    return array


def check_labels(labels: np.ndarray, pictures: int, names: Sequence[str], kind: str) -> np.ndarray:
    """Labels as (N,) int64 class indexes, or (N, C) int64 zeros and ones for "multi-label".

    Raises ValueError when they do not fit the features, InputError when a class has fewer than two pictures (for an
    attribute: fewer than two with it or two without it).
    """
    array = np.asarray(labels)
    expected = (pictures,) if kind == "softmax" else (pictures, len(names))
    if array.shape != expected:
        raise ValueError(f"labels must have shape {expected}, not {array.shape}")
    limit = len(names) if kind == "softmax" else 2
    if array.size and not (np.isin(array, np.arange(limit))).all():
        raise ValueError(f"labels must be whole numbers from 0 to {limit - 1}")
    array = array.astype(np.int64)
    for index, name in enumerate(names):
        having = int((array == index).sum() if kind == "softmax" else array[:, index].sum())
        _check_count(having, name)
        if kind == "multi-label":
            _check_count(pictures - having, f"not {name}")
    return array


def _check_count(count: int, name: str) -> None:
    if count < FEWEST_PICTURES:
        missing = FEWEST_PICTURES - count
        counted = "no pictures" if count == 0 else "one picture only"
        raise InputError(f"{name} has {counted}.", hint=f"Add {missing} more; twenty or so work well.")


def train_head(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    classes: Sequence[str],
    kind: Kind = "softmax",
    l2: float = L2,
    iterations: int = ITERATIONS,
    backbone: str = "",
    progress: ProgressFn | None = None,
    cancel: threading.Event | None = None,
) -> Head:
    """Fit a head to features (N, D) of frozen pictures; stops early once the loss no longer falls.

    labels: (N,) class indexes for "softmax", (N, C) zeros and ones for "multi-label".
    l2: minimised is mean cross-entropy + l2 / 2 * sum(weight ** 2) on standardised features (for "multi-label" the
    mean over the attributes of that); the bias is free. progress(share of ``iterations``, text).
    Raises InputError for too few classes or pictures, ValueError for arrays that do not fit, Cancelled.
    """
    names = check_classes(classes, kind)
    inputs = check_features(features)
    targets = check_labels(labels, len(inputs), names, kind)
    if l2 < 0 or iterations < 1:
        raise InputError("The head cannot be trained so.", hint="l2 must be 0 or more and iterations 1 or more.")
    return fit(inputs, targets, names, kind, l2, iterations, progress, cancel, backbone)


def fit(
    inputs: np.ndarray,
    targets: np.ndarray,
    names: tuple[str, ...],
    kind: Kind,
    l2: float,
    iterations: int,
    progress: ProgressFn | None = None,
    cancel: threading.Event | None = None,
    backbone: str = "",
) -> Head:
    """``train_head`` on arguments that were checked: inputs (N, D) float64, targets int64."""
    mean, std = inputs.mean(0), inputs.std(0)
    widest = float(std.max())
    std = np.maximum(std, _SPREAD_FLOOR * widest) if widest > 1e-12 else np.ones_like(std)
    # A tensor made in inference mode could not be trained, whoever the caller is.
    with torch.inference_mode(False), torch.enable_grad():
        x, wanted = torch.from_numpy((inputs - mean) / std), torch.from_numpy(targets)
        weight, bias, history = _minimise(_Problem(x, wanted, len(names), kind, l2), iterations, progress, cancel)
    return Head(
        weight.astype(np.float32),
        bias.astype(np.float32),
        mean.astype(np.float32),
        std.astype(np.float32),
        names,
        kind,
        backbone,
        history,
    )


class _Problem:
    """The loss of a head and its parameters, in float64: x (N, D), targets (N,) or (N, C)."""

    def __init__(self, x: Tensor, targets: Tensor, classes: int, kind: Kind, l2: float) -> None:
        self.x, self.targets, self.kind, self.l2 = x, targets, kind, l2
        self.weight = torch.zeros(classes, x.shape[1], dtype=torch.float64, requires_grad=True)
        self.bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)

    def loss(self) -> tuple[Tensor, Tensor]:
        """The regularised loss and the scores (N, C)."""
        scores = F.linear(self.x, self.weight, self.bias)
        penalty = self.l2 / 2 * self.weight.square().sum()
        if self.kind == "softmax":
            return F.cross_entropy(scores, self.targets) + penalty, scores
        loss = F.binary_cross_entropy_with_logits(scores, self.targets.double())
        return loss + penalty / len(self.bias), scores

    @torch.no_grad()
    def state(self) -> tuple[float, float]:
        """Loss and share of right answers."""
        loss, scores = self.loss()
        answers = scores.argmax(1) if self.kind == "softmax" else (scores > 0).long()
        return loss.item(), (answers == self.targets).double().mean().item()


def _minimise(
    problem: _Problem, iterations: int, progress: ProgressFn | None, cancel: threading.Event | None
) -> tuple[np.ndarray, np.ndarray, History]:
    optimiser = torch.optim.LBFGS(
        [problem.weight, problem.bias],
        max_iter=1,  # a step at a time, so that the curve can be shown and the work stopped
        max_eval=25,  # of the loss in one line search; the default follows max_iter and would cripple it
        history_size=20,
        line_search_fn="strong_wolfe",
        tolerance_grad=1e-10,
        tolerance_change=1e-14,
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = problem.loss()[0]
        loss.backward()
        return loss

    states = [problem.state()]
    for iteration in range(1, iterations + 1):
        if cancel is not None and cancel.is_set():
            raise Cancelled("Stopped.")
        optimiser.step(closure)  # type: ignore[arg-type]
        states.append(problem.state())
        (before, _), (loss, accuracy) = states[-2:]
        if progress is not None:
            progress(iteration / iterations, f"loss {loss:.3f}, {100 * accuracy:.0f} % right")
        if before - loss <= _CONVERGED * max(1.0, before):
            break
    losses, accuracies = zip(*states)
    return problem.weight.detach().numpy(), problem.bias.detach().numpy(), History(losses, accuracies)


def predict_head(head: Head, features: np.ndarray) -> np.ndarray:
    """Probabilities (N, C) float32 of features (N, D): rows sum to 1 for "softmax", each in [0, 1] for "multi-label".

    Raises InputError when the features are those of another network.
    """
    inputs = check_features(features)
    if inputs.shape[1] != head.feature_size:
        taught = f" ({head.backbone})" if head.backbone else ""
        raise InputError(
            f"The head reads {head.feature_size} features{taught}, the pictures have {inputs.shape[1]}.",
            hint="Choose the network that the head was taught on, or teach it again.",
        )
    scores = (inputs - head.mean) / head.std @ head.weight.astype(np.float64).T + head.bias
    if head.kind == "multi-label":
        return (0.5 * (1 + np.tanh(scores / 2))).astype(np.float32)  # the sigmoid, without overflow
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return (powers / powers.sum(1, keepdims=True)).astype(np.float32)
