"""One visitor's table in the GAN corner: the real points, the game on them, and how fast it is played.

Everything lives in this process's memory under the session's name until ``forget``.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np

from cvdemo.core.settings import setting
from cvdemo.style.gan import LEAST_POINTS, SHAPES, Gan, GanSettings, example_points

OWN = "your own"
SLOW, STEADY, FAST = "slow", "steady", "fast"
SPEEDS: dict[str, tuple[float, float]] = {SLOW: (0.0, 0.5), STEADY: (0.0, 0.05), FAST: (0.06, 0.004)}
"""Seconds of steps at a stretch (at least one step), and the pause after them, which lets the page draw."""
RATES = ("0.0001", "0.0003", "0.001", "0.002", "0.005", "0.01", "0.03")
EXTENT = 1.5
"""The plane that is shown and drawn on: -EXTENT to EXTENT, both ways."""
MOST_POINTS = 2400
MOST_STEPS = 20_000
"""A game that nobody watches any more ends by itself after so many."""
BRUSH = (LEAST_POINTS, 0.04)
"""Real points for each place under the pen, and their spread: one place is enough for a game."""
MOST_TABLES = 64


@dataclass(frozen=True)
class GanViewSettings(GanSettings):
    """The game's settings, with rates by steps of about three, the points, and the speed."""

    shape: str = setting(
        "ring", label="Real points", choices=(*SHAPES, OWN), help="A preset, or draw in the plane with the pen."
    )
    speed: str = setting(
        STEADY,
        label="Speed",
        choices=tuple(SPEEDS),
        help="Slow: two steps a second. Fast: as many as there is time for.",
    )
    lr_g: str = setting("0.001", label="Generator's learning rate", choices=RATES, help="Step size of Adam for G.")
    lr_d: str = setting("0.002", label="Discriminator's learning rate", choices=RATES, help="Step size of Adam for D.")

    def game(self) -> GanSettings:
        """What the game itself needs."""
        own = {name: getattr(self, name) for name in ("hidden", "noise", "batch", "d_steps", "objective", "seed")}
        return GanSettings(**own, rate_g=float(self.lr_g), rate_d=float(self.lr_d))


@dataclass(eq=False)
class Table:
    """Hold ``lock`` while reading or changing the game: events overlap.

    drawn: (n, 2) float32, the visitor's own points.   game: None while there are too few points.
    closed: the visitor has left.
    """

    settings: GanViewSettings = field(default_factory=GanViewSettings)
    lock: threading.RLock = field(default_factory=threading.RLock)
    drawn: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.float32))
    game: Gan | None = None
    closed: bool = False

    def __post_init__(self) -> None:
        self.reset()

    @property
    def points(self) -> np.ndarray:
        """The real points now, (n, 2) float32; there may be none."""
        shape = self.settings.shape
        return self.drawn if shape == OWN else example_points(shape, seed=self.settings.seed)

    def reset(self) -> None:
        """Two new networks on the same points."""
        with self.lock:
            points = self.points
            self.game = Gan(points, self.settings.game()) if len(points) >= LEAST_POINTS else None

    def adapt(self, settings: GanViewSettings) -> bool:
        """Take other settings over. True when they need a new game: other points, sizes of the networks, or seed."""
        with self.lock:
            before, self.settings = self.settings, settings
            fresh = any(
                getattr(before, name) != getattr(settings, name) for name in ("shape", "hidden", "noise", "seed")
            )
            if fresh:
                self.reset()
            elif self.game is not None:
                self.game.change(settings.game())
            return fresh

    def draw(self, places: Sequence[tuple[float, float]]) -> None:
        """Real points where the pen was, beside those already drawn; the game goes on with them.

        places: (x, y) in the plane; what lies outside is left out. The oldest go when there are too many.
        """
        with self.lock:
            self.settings = replace(self.settings, shape=OWN)
            found = np.array(places, np.float32).reshape(-1, 2)
            found = found[np.isfinite(found).all(1) & (np.abs(found) <= EXTENT).all(1)]
            each, spread = BRUSH
            rng = np.random.default_rng(len(self.drawn))
            cloud = np.repeat(found, each, axis=0) + rng.normal(0, spread, (len(found) * each, 2))
            self.drawn = np.concatenate([self.drawn, cloud.astype(np.float32)])[-MOST_POINTS:]
            if self.game is not None and len(self.drawn) >= LEAST_POINTS:
                self.game.set_points(self.drawn)
            else:
                self.reset()

    def clear(self) -> None:
        """An empty plane to draw on."""
        with self.lock:
            self.settings = replace(self.settings, shape=OWN)
            self.drawn = np.empty((0, 2), np.float32)
            self.game = None

    def play(self, told: Callable[[int], None], cancel: threading.Event) -> None:
        """Steps at the settings' speed until cancelled, closed, or ``MOST_STEPS`` are made.

        told: is given the number of steps after each stretch.
        """
        while not (cancel.is_set() or self.closed):
            with self.lock:
                if self.game is None or self.game.steps >= MOST_STEPS:
                    return
                stretch, pause = SPEEDS[self.settings.speed]
                until = perf_counter() + stretch
                self.game.step()
                while perf_counter() < until and self.game.steps < MOST_STEPS:
                    self.game.step()
                steps = self.game.steps
            told(steps)
            cancel.wait(pause)


_tables: OrderedDict[str, Table] = OrderedDict()
_lock = threading.Lock()


def table_of(session: str) -> Table:
    """A session's table, laid on first use. Of more than 64 the one idle for longest is cleared away."""
    with _lock:
        if session not in _tables:
            _tables[session] = Table()
        table = _tables[session]
        _tables.move_to_end(session)
        while len(_tables) > MOST_TABLES:
            _tables.popitem(last=False)[1].closed = True
        return table


def forget(session: str) -> None:
    """Clear a session's table away; a game under way ends."""
    with _lock:
        table = _tables.pop(session, None)
    if table is not None:
        table.closed = True
