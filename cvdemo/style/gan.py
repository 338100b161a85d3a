"""A generative adversarial network on points of the plane (Goodfellow et al. 2014, arXiv:1406.2661), small enough to
watch: the generator turns noise into points, the discriminator says of every place how real a point there looks.

It knows no interface: ``step`` makes some steps and returns both losses, ``field`` and ``samples`` are what to draw.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from cvdemo.core.errors import InputError
from cvdemo.core.settings import Settings, setting

SHAPES = ("ring", "two moons", "spiral", "grid", "eight spots")
LEAST_POINTS = 8
OBJECTIVES = ("non-saturating", "minimax")


@dataclass(frozen=True)
class GanSettings(Settings):
    """What both players are and how they learn."""

    hidden: int = setting(48, label="Hidden units", minimum=4, maximum=256, step=4, help="Of each of two layers.")
    noise: int = setting(2, label="Noise dimensions", minimum=1, maximum=16, step=1, help="The generator's input.")
    batch: int = setting(128, label="Batch", minimum=8, maximum=1024, step=8, help="Points of each kind in one step.")
    rate_g: float = setting(
        0.001, label="Generator's rate", minimum=1e-5, maximum=0.1, step=1e-4, help="Learning rate of Adam."
    )
    rate_d: float = setting(
        0.002, label="Discriminator's rate", minimum=1e-5, maximum=0.1, step=1e-4, help="Learning rate of Adam."
    )
    d_steps: int = setting(
        1, label="Discriminator's steps", minimum=1, maximum=10, step=1, help="For each step of the generator."
    )
    objective: str = setting(
        "non-saturating", label="Generator's objective", choices=OBJECTIVES,
        help="Non-saturating: raise log D(G(z)). Minimax: lower log(1 - D(G(z))), whose gradient fades when D is sure.",
    )  # fmt: skip
    seed: int = setting(0, label="Seed", minimum=0, maximum=2**31 - 1, step=1, help="Another seed, another game.")


@dataclass(frozen=True)
class Round:
    """step: from 1.   discriminator, generator: losses before the step, in nats.

    In balance D says one half everywhere: discriminator 2 log 2 = 1.386, generator (non-saturating) log 2 = 0.693.
    real, fake: D's mean answer for real and made points, 0 to 1.
    """

    step: int
    discriminator: float
    generator: float
    real: float
    fake: float


BALANCE = (2 * math.log(2), math.log(2))


def network(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two hidden layers with leaky ReLU."""
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, hidden), nn.LeakyReLU(0.2),
        nn.Linear(hidden, outputs),
    )  # fmt: skip


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """-mean log D(x) - mean log(1 - D(G(z))) from logits."""
    return softplus(-real).mean() + softplus(fake).mean()


def generator_loss(fake: Tensor, objective: str) -> Tensor:
    """-mean log D(G(z)), or mean log(1 - D(G(z))) as the minimax game has it, from logits."""
    if objective == "minimax":
        return -softplus(fake).mean()
    return binary_cross_entropy_with_logits(fake, torch.ones_like(fake))


class Gan:
    """The game on some points (n, 2) in about [-1, 1]; at least eight. Not thread-safe."""

    def __init__(self, points: np.ndarray, settings: GanSettings | None = None) -> None:
        self.settings = settings or GanSettings()
        self.generator_of_noise = torch.Generator().manual_seed(self.settings.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.seed)
            self.generator = network(self.settings.noise, self.settings.hidden, 2)
            self.discriminator = network(2, self.settings.hidden, 1)
        self.steps = 0
        self.history: list[Round] = []
        self.set_points(points)
        self._new_optimisers()

    def set_points(self, points: np.ndarray) -> None:
        """Other real points from the next step on; InputError for too few or unusable ones."""
        points = np.asarray(points, np.float32)
        if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
            raise InputError("The points must be pairs of numbers.", hint="Draw them in the plane.")
        if len(points) < LEAST_POINTS:
            raise InputError(f"{len(points)} points are too few.", hint=f"Draw at least {LEAST_POINTS}.")
        self.points = torch.from_numpy(points.copy())

    def change(self, settings: GanSettings) -> None:
        """Other rates, batch and objective from the next step on; the sizes of the networks must stay."""
        if (settings.hidden, settings.noise) != (self.settings.hidden, self.settings.noise):
            raise InputError("The networks' sizes cannot change while they play.", hint="Start a new game.")
        self.settings = settings
        for optimiser, rate in ((self.of_g, settings.rate_g), (self.of_d, settings.rate_d)):
            for group in optimiser.param_groups:
                group["lr"] = rate

    def _new_optimisers(self) -> None:
        self.of_g = torch.optim.Adam(self.generator.parameters(), self.settings.rate_g, betas=(0.5, 0.999))
        self.of_d = torch.optim.Adam(self.discriminator.parameters(), self.settings.rate_d, betas=(0.5, 0.999))

    def _noise(self, count: int) -> Tensor:
        return torch.randn((count, self.settings.noise), generator=self.generator_of_noise)

    def step(self, count: int = 1) -> Round:
        """``count`` rounds: the discriminator's steps, then one of the generator. Returns the last."""
        for _ in range(count):
            self.history.append(self._round())
        return self.history[-1]

    def _round(self) -> Round:
        s = self.settings
        for _ in range(s.d_steps):
            chosen = torch.randint(len(self.points), (s.batch,), generator=self.generator_of_noise)
            with torch.no_grad():
                made = self.generator(self._noise(s.batch))
            real, fake = self.discriminator(self.points[chosen]), self.discriminator(made)
            loss_d = discriminator_loss(real, fake)
            self.of_d.zero_grad(set_to_none=True)
            loss_d.backward()
            self.of_d.step()
        judged = self.discriminator(self.generator(self._noise(s.batch)))
        loss_g = generator_loss(judged, s.objective)
        self.of_g.zero_grad(set_to_none=True)
        loss_g.backward()
        self.of_g.step()
        self.steps += 1
        means = (float(value.detach().sigmoid().mean()) for value in (real, fake))
        return Round(self.steps, float(loss_d.detach()), float(loss_g.detach()), *means)

    @torch.no_grad()
    def samples(self, count: int = 256, seed: int = 0) -> np.ndarray:
        """Points (count, 2) float32 that the generator makes of the noise of a seed: the same noise at every step."""
        noise = torch.randn((count, self.settings.noise), generator=torch.Generator().manual_seed(seed))
        return self.generator(noise).numpy()

    @torch.no_grad()
    def field(self, cells: int = 48, extent: float = 1.5) -> np.ndarray:
        """D's answer, 0 made to 1 real, on a grid over [-extent, extent]²: (cells, cells) float32, top row first."""
        axis = torch.linspace(-extent, extent, cells)
        y, x = torch.meshgrid(-axis, axis, indexing="ij")
        answers = self.discriminator(torch.stack([x, y], -1).view(-1, 2)).sigmoid()
        return answers.view(cells, cells).numpy()


def example_points(shape: str, count: int = 400, seed: int = 0) -> np.ndarray:
    """Points (count, 2) float32 of a named shape in about [-1, 1]; InputError for an unknown one."""
    rng = np.random.default_rng(seed)
    t = rng.random(count)
    if shape == "ring":
        found = np.stack([np.cos(2 * np.pi * t), np.sin(2 * np.pi * t)], 1) * 0.8
    elif shape == "two moons":
        upper = rng.random(count) < 0.5
        angle = np.pi * t
        found = np.where(upper[:, None], np.stack([np.cos(angle) - 0.5, np.sin(angle) - 0.25], 1),
                         np.stack([0.5 - np.cos(angle), 0.25 - np.sin(angle)], 1)) * 0.6  # fmt: skip
    elif shape == "eight spots":
        angle = 2 * np.pi * rng.integers(0, 8, count) / 8
        found = np.stack([np.cos(angle), np.sin(angle)], 1) * 0.8
    elif shape == "grid":  # nine Gaussians
        found = rng.integers(-1, 2, (count, 2)) * np.array(0.75)
    elif shape == "spiral":
        angle = 3.5 * np.pi * np.sqrt(t)
        found = np.stack([np.cos(angle), np.sin(angle)], 1) * (0.1 + 0.8 * np.sqrt(t))[:, None]
    else:
        raise InputError(f"There is no shape {shape!r}.", hint=f"Choose one of {', '.join(SHAPES)}.")
    return (found + rng.normal(0, 0.03, (count, 2))).astype(np.float32)
