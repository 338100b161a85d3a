"""What the GAN corner shows: both kinds of points over the discriminator's answer, the curves, and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.style.curves import Line, chart
from cvdemo.style.gan import BALANCE, LEAST_POINTS, Round
from cvdemo.style.gan_table import EXTENT, MOST_STEPS, Table

SIDE = 640
REAL, MADE = (11, 98, 184), (213, 94, 0)
"""Okabe and Ito's blue and vermilion; discs and diamonds besides, so that colour is not all."""
NEAR = 0.12
_PALE = 0.42
_CELLS = 64
_SAMPLES = 256
EMPTY = f"Draw real points in the plane: at least {LEAST_POINTS}"
LEGEND = """<ul class="legend">
<li><svg width="16" height="16"><circle cx="8" cy="8" r="6" fill="#0b62b8" stroke="#fff"/></svg>real points</li>
<li><svg width="16" height="16"><path d="M8 1 15 8 8 15 1 8Z" fill="#d55e00" stroke="#fff"/></svg>generated points</li>
<li><svg width="60" height="14"><defs><linearGradient id="gan-field"><stop stop-color="#efbd98"/>
<stop offset=".5" stop-color="#fff"/><stop offset="1" stop-color="#9bbede"/></linearGradient></defs>
<rect width="60" height="14" fill="url(#gan-field)" stroke="#888"/></svg>what D answers, generated to real; the line is
one half</li></ul>"""


@dataclass(frozen=True, eq=False)
class Scene:
    """The game at one moment.

    real, made: (n, 2) float32.   field: D's answer (c, c) float32, None before there is a game.
    history: the rounds so far.   near: share of the generated points with a real one within ``NEAR``.
    reached: share of the real points with a generated one as near: low when modes are left out.
    """

    real: np.ndarray
    made: np.ndarray
    field: np.ndarray | None
    history: tuple[Round, ...]
    near: float = 0.0
    reached: float = 0.0

    @property
    def steps(self) -> int:
        """How many were made."""
        return self.history[-1].step if self.history else 0

    def sentence(self) -> str:
        """One plain sentence."""
        if self.field is None:
            return EMPTY
        if not self.history:
            return f"Nothing is learnt yet: {len(self.real)} real points, and G maps its noise anywhere"
        last = self.history[-1]
        return (
            f"Step {last.step}: D says {last.real:.2f} of real points and {last.fake:.2f} of generated ones; "
            f"{self.near:.0%} of the generated points lie near real ones, "
            f"{self.reached:.0%} of the real ones are reached"
        )

    def details(self) -> str:
        """Both losses beside what they are in balance."""
        if not self.history:
            return "Press Play. In balance, D says one half everywhere."
        last = self.history[-1]
        ended = ". The game ends here; reset it to play again" if last.step >= MOST_STEPS else ""
        return (
            f"Loss of D {last.discriminator:.3f} (in balance {BALANCE[0]:.3f}), loss of G {last.generator:.3f} "
            f"(in balance {BALANCE[1]:.3f}, non-saturating){ended}"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, with the rounds and both kinds of points."""
        return {
            "steps": self.steps,
            "near": round(self.near, 4),
            "reached": round(self.reached, 4),
            "real": self.real.round(4).tolist(),
            "generated": self.made.round(4).tolist(),
            "rounds": [
                {name: round(getattr(each, name), 5) for name in ("step", "discriminator", "generator", "real", "fake")}
                for each in self.history
            ],
            "sentence": self.sentence(),
        }


def scene_of(table: Table) -> Scene:
    """The table's game as it stands now."""
    with table.lock:
        points, game = table.points, table.game
        if game is None:
            return Scene(points, np.empty((0, 2), np.float32), None, ())
        made, field, history = game.samples(_SAMPLES), game.field(_CELLS, EXTENT), tuple(game.history)
    near, reached = fit(points, made)
    return Scene(points, made, field, history, near, reached)


def fit(real: np.ndarray, made: np.ndarray, within: float = NEAR) -> tuple[float, float]:
    """Share of ``made`` within a distance of any of ``real``, and share of ``real`` within it of any of ``made``."""
    squared = np.square(real[:, None, :] - made[None, :, :]).sum(2)
    close = squared <= within**2
    return float(close.any(0).mean()), float(close.any(1).mean())


def to_pixels(points: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Places of the plane as columns and rows of the picture, (n, 2) float; y points up in the plane."""
    return (points * np.array([1, -1], np.float32) + EXTENT) * (side / (2 * EXTENT))


def from_shares(shares: Sequence[Any]) -> list[tuple[float, float]]:
    """Places in the plane of (x, y) shares of the picture's sides, y from the top; what is no such pair is left out.

    The shares come from the browser, so from anybody.
    """
    found = []
    for share in list(shares)[:400]:
        if not isinstance(share, (list, tuple)) or len(share) != 2:
            continue
        if all(isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1 for value in share):
            found.append(((2 * share[0] - 1) * EXTENT, (1 - 2 * share[1]) * EXTENT))
    return found


def draw(scene: Scene, side: int = SIDE, *, projector: bool = False) -> np.ndarray:
    """The plane as a picture, (side, side, 3) uint8: D's answer, its line at one half, and both kinds of points."""
    out = _background(scene.field, side)
    for share in (0.25, 0.5, 0.75):
        at = round(side * share)
        out[at, :] = (out[at, :] * 0.93).astype(np.uint8)
        out[:, at] = (out[:, at] * 0.93).astype(np.uint8)
    if scene.field is not None:
        large = cv2.resize(scene.field, (side, side), interpolation=cv2.INTER_LINEAR)
        edges, _ = cv2.findContours((large >= 0.5).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        mask = np.zeros((side, side), np.uint8)
        cv2.drawContours(mask, edges, -1, 255, 2, cv2.LINE_AA)
        mask[:2] = mask[-2:] = 0  # contours follow the border of the picture, where nothing changes
        mask[:, :2] = mask[:, -2:] = 0
        line = (mask.astype(np.float32) / 255)[..., None]
        out = (out * (1 - line) + 40 * line).astype(np.uint8)
    radius = 6 if projector else 4
    for x, y in to_pixels(scene.real, side):
        _disc(out, x, y, radius)
    for x, y in to_pixels(scene.made, side):
        _diamond(out, x, y, radius + 1)
    return out


def _background(field: np.ndarray | None, side: int) -> np.ndarray:
    if field is None:
        return np.full((side, side, 3), 248, np.uint8)
    value = np.clip(cv2.resize(field, (side, side), interpolation=cv2.INTER_LINEAR), 0, 1)[..., None]
    # Most of the game is near balance, where D's answers differ little: they are spread out.
    strength = _PALE * (2 * np.abs(value - 0.5)) ** 0.6
    colour = np.where(value >= 0.5, np.array(REAL, np.float32), np.array(MADE, np.float32))
    return (255 * (1 - strength) + colour * strength).astype(np.uint8)


def _disc(out: np.ndarray, x: float, y: float, radius: int) -> None:
    place = (round(float(x)), round(float(y)))
    cv2.circle(out, place, radius + 1, (255, 255, 255), -1, cv2.LINE_AA)
    cv2.circle(out, place, radius, REAL, -1, cv2.LINE_AA)


def _diamond(out: np.ndarray, x: float, y: float, radius: int) -> None:
    for reach, colour in ((radius + 1, (255, 255, 255)), (radius, MADE)):
        corners = np.array([[x, y - reach], [x + reach, y], [x, y + reach], [x - reach, y]]).round().astype(np.int32)
        cv2.fillPoly(out, [corners], colour, cv2.LINE_AA)


def curves_html(history: Sequence[Round]) -> str:
    """Both losses, and D's mean answers, over the steps; a hint before the first step."""
    if not history:
        return (
            '<p class="hint">The curves begin with the first step: the losses of both players, and what D answers.</p>'
        )
    losses = [
        Line("loss of D", [each.discriminator for each in history], BALANCE[0]),
        Line("loss of G", [each.generator for each in history], BALANCE[1]),
    ]
    answers = [
        Line("D of real points", [each.real for each in history], 0.5),
        Line("D of generated points", [each.fake for each in history]),
    ]
    ends = ("step 1", f"step {history[-1].step}")
    return chart(
        "Both losses over the steps", losses, ends, "Dotted: the losses in balance, 2 log 2 and log 2."
    ) + chart("D's mean answers over the steps", answers, ends, "Dotted: one half, D cannot tell.", (0.0, 1.0))


def rounds_csv(history: Sequence[Round]) -> str:
    """One line a step: losses and mean answers."""
    rows = ["step,loss_discriminator,loss_generator,d_real,d_generated"]
    rows += [f"{r.step},{r.discriminator:.6f},{r.generator:.6f},{r.real:.6f},{r.fake:.6f}" for r in history]
    return "\n".join(rows) + "\n"
