"""A network so small that it learns an embedding with two dimensions while one looks on, by any of the losses.

It is trained from random weights in the visitor's session and thrown away with it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvdemo.core.settings import Settings, setting
from cvdemo.faces.digits import CLASSES, VIEWS, Digits, draw_digits
from cvdemo.faces.metric_losses import (
    MINING,
    angular_margin_loss,
    contrastive_terms,
    mine_triplets,
    nt_xent_loss,
    squared_distances,
    triplet_loss,
)

TRAINED_ON, HELD_BACK = 40, 20
"""Glyphs of each digit that the network learns from, and that the map shows."""
MOST_STEPS = 600
EACH = 8
MEASURED_EVERY = 10
TINY_LOSSES: dict[str, str] = {
    "contrastive": "Contrastive",
    "triplet": "Triplet",
    "nt-xent": "NT-Xent (without labels)",
    "angular": "Angular margin",
}
ROUND = ("nt-xent", "angular")
"""Losses of directions: their embedding is a circle."""


@dataclass(frozen=True)
class TinySettings(Settings):
    """What the tiny network is trained with; it is asked for at every step."""

    tiny_loss: str = setting(
        "triplet", label="Loss", choices=tuple(TINY_LOSSES), help="Changing it starts a new network."
    )
    tiny_mining: str = setting(
        "semi-hard", label="Mining", choices=MINING, help="Triplet loss: which negative a pair is given."
    )
    tiny_margin: float = setting(
        1.0, label="Margin m", minimum=0.0, maximum=3.0, step=0.05,
        help="Takes effect at the next step; for the angular margin an angle in radians, at most 1.",
    )  # fmt: skip
    tiny_temperature: float = setting(
        0.2, label="Temperature", minimum=0.05, maximum=2.0, step=0.05, help="NT-Xent: similarities are divided by it."
    )


class TinyEmbedder(nn.Module):
    """(N, 1, 16, 16) in [0, 1] -> (N, 2); two strided convolutions and two linear layers, 37,000 weights."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 12, 3, stride=2, padding=1)
        self.second = nn.Conv2d(12, 32, 3, stride=2, padding=1)
        self.third = nn.Linear(32 * 4 * 4, 64)
        self.last = nn.Linear(64, 2)

    def forward(self, images: Tensor) -> Tensor:
        hidden = F.relu(self.second(F.relu(self.first(images))))
        out: Tensor = self.last(F.relu(self.third(hidden.flatten(1))))
        return out


@lru_cache(maxsize=1)
def data() -> tuple[Digits, Digits]:
    """What is learnt from, and what is held back; the same for everybody."""
    return draw_digits(TRAINED_ON, seed=1), draw_digits(HELD_BACK, seed=2)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Where training is.

    places: (N, 2) embeddings of the held-back digits.   labels: (N,).   losses: of every step.   accuracies: of the
    nearest neighbour, measured every ten steps from step 0 on, shares.   active: share of the last step's triplets that
    had a gradient, None for the other losses.
    """

    places: np.ndarray
    labels: np.ndarray
    losses: tuple[float, ...]
    accuracies: tuple[float, ...]
    active: float | None
    loss: str

    @property
    def steps(self) -> int:
        """How many steps were taken."""
        return len(self.losses)

    def sentence(self) -> str:
        """Such as "Step 120: 87 % of the held-back digits have a neighbour of their own class"."""
        share = f"{100 * self.accuracies[-1]:.0f} % of the held-back digits lie next to one of their own class"
        return f"Step {self.steps}: {share}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "loss": self.loss, "steps": self.steps, "losses": [round(v, 5) for v in self.losses],
            "accuracies": [round(v, 4) for v in self.accuracies],
        }  # fmt: skip


class Adam:
    """Kingma and Ba 2015, arXiv:1412.6980, with their constants.

    torch's own takes seconds to import the first time it is used, which a visitor would wait for.
    """

    def __init__(self, weights: list[Tensor], rate: float) -> None:
        self.weights, self.rate, self.steps = weights, rate, 0
        self._mean = [torch.zeros_like(weight) for weight in weights]
        self._square = [torch.zeros_like(weight) for weight in weights]

    @torch.no_grad()
    def step(self, slopes: Sequence[Tensor | None]) -> None:
        """One step against the gradients of the weights; None leaves a weight alone."""
        self.steps += 1
        for weight, slope, mean, square in zip(self.weights, slopes, self._mean, self._square):
            if slope is None:
                continue
            mean.lerp_(slope, 0.1)
            square.lerp_(slope * slope, 0.001)
            length = (square / (1 - 0.999**self.steps)).sqrt_().add_(1e-8)
            weight.addcdiv_(mean, length, value=-self.rate / (1 - 0.9**self.steps))


class TinyRun:
    """A network in training. For any thread: steps are taken one at a time."""

    def __init__(self, loss: str, seed: int = 0) -> None:
        self.loss, self.seed = loss, seed
        self.lock = threading.Lock()
        learnt, held_back = data()
        self._images = torch.from_numpy(learnt.images)
        self._held_back = torch.from_numpy(held_back.images[:, :1])
        self._labels = held_back.labels
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._network = TinyEmbedder()
            self._prototypes = nn.Parameter(torch.randn(CLASSES, 2))
        self._optimiser = Adam([*self._network.parameters(), self._prototypes], 3e-3)
        self._rng = np.random.default_rng(seed)
        self._torch_rng = torch.Generator().manual_seed(seed)
        self._losses: list[float] = []
        self._accuracies: list[float] = []
        self._active: float | None = None
        self._measure()

    def step(self, settings: TinySettings) -> float:
        """One step of Adam on a batch of eight glyphs of each digit; returns its loss."""
        with self.lock:
            rows, labels = self._batch()
            with torch.enable_grad():
                value = self._loss_of(rows, labels, settings)
                slopes = torch.autograd.grad(value, self._optimiser.weights, allow_unused=True)
            self._optimiser.step(slopes)
            self._losses.append(float(value.detach()))
            if len(self._losses) % MEASURED_EVERY == 0:
                self._measure()
            return self._losses[-1]

    def snapshot(self) -> Snapshot:
        """Where training is now."""
        with self.lock:
            return Snapshot(
                self._embedded(), self._labels, tuple(self._losses), tuple(self._accuracies), self._active, self.loss
            )

    def _batch(self) -> tuple[np.ndarray, Tensor]:
        """Rows of eight different glyphs of each digit, and their labels."""
        rows = np.concatenate(
            [digit * TRAINED_ON + self._rng.permutation(TRAINED_ON)[:EACH] for digit in range(CLASSES)]
        )
        return rows, torch.from_numpy(rows // TRAINED_ON)

    def _loss_of(self, rows: np.ndarray, labels: Tensor, settings: TinySettings) -> Tensor:
        views = self._rng.permuted(np.tile(np.arange(VIEWS), (len(rows), 1)), axis=1)
        first = self._network(self._images[rows, views[:, 0]][:, None])
        self._active = None
        if self.loss == "nt-xent":
            second = self._network(self._images[rows, views[:, 1]][:, None])
            return nt_xent_loss(torch.cat([first, second]), settings.tiny_temperature)
        if self.loss == "angular":
            return angular_margin_loss(first, self._prototypes, labels, min(settings.tiny_margin, 1.0), 8.0)
        if self.loss == "contrastive":
            return balanced_contrastive(first, labels, settings.tiny_margin)
        rule: Any = settings.tiny_mining
        picked = mine_triplets(first, labels, settings.tiny_margin, rule, self._torch_rng)
        anchor, positive, negative = (first[picked[:, k]] for k in range(3))
        if len(picked):
            distances = squared_distances(first.detach(), first.detach())
            wrong = distances[picked[:, 0], picked[:, 1]] + settings.tiny_margin > distances[picked[:, 0], picked[:, 2]]
            self._active = float(wrong.float().mean())
        return triplet_loss(anchor, positive, negative, settings.tiny_margin)

    @torch.no_grad()
    def _embedded(self) -> np.ndarray:
        places = self._network(self._held_back)
        return (F.normalize(places, dim=1) if self.loss in ROUND else places).numpy()

    def _measure(self) -> None:
        self._accuracies.append(neighbour_accuracy(self._embedded(), self._labels))


def balanced_contrastive(places: Tensor, labels: Tensor, margin: float) -> Tensor:
    """The contrastive loss over all pairs of a batch, pairs of the same and of different things counting alike."""
    first, second = torch.triu_indices(len(labels), len(labels), 1)
    same = labels[first] == labels[second]
    terms = contrastive_terms(places[first], places[second], same, margin)
    return terms[same].mean() + terms[~same].mean()


def neighbour_accuracy(places: np.ndarray, labels: np.ndarray) -> float:
    """The share of points (N, D) whose nearest other point has their label (N,)."""
    rows = np.asarray(places, np.float64)
    distances = ((rows[:, None] - rows[None, :]) ** 2).sum(2)
    np.fill_diagonal(distances, np.inf)
    return float((labels[distances.argmin(1)] == labels).mean())
