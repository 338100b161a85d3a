"""How the tiny embedding is drawn: its held-back digits on a map, the loss and the nearest neighbour's accuracy."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from cvdemo.classification.charts import curve
from cvdemo.core.media import encode_picture
from cvdemo.faces.digits import CLASSES, SIDE
from cvdemo.faces.mining_view import colour_of
from cvdemo.faces.playground_view import svg
from cvdemo.faces.tiny import MEASURED_EVERY, ROUND, Snapshot, data

WIDTH, HEIGHT, RIM = 720.0, 560.0, 24.0
CURVE_POINTS = 300


def scale_of(places: np.ndarray, round_map: bool) -> float:
    """Units of the drawing for one of the embedding: steps of a quarter, so that the map seldom jumps."""
    reach = 1.0 if round_map else float(np.ptp(places, axis=0).max()) / 2
    steps = math.ceil(4 * math.log2(max(reach, 0.05))) / 4
    return (HEIGHT / 2 - RIM) / 2**steps


def map_svg(snapshot: Snapshot) -> str:
    """Every held-back digit as a letter in its class's colour; a bar says how long one unit is."""
    scale = scale_of(snapshot.places, snapshot.loss in ROUND)
    middle = np.array([WIDTH / 2, HEIGHT / 2])
    guide = ""
    if snapshot.loss in ROUND:
        guide = f'<circle class="soft" cx="{middle[0]:g}" cy="{middle[1]:g}" r="{scale:.1f}"/>'
    places = _spread(snapshot, scale) + middle
    letters = ""
    for digit in range(CLASSES):
        own = "".join(f'<text x="{x:.0f}" y="{y + 6:.0f}">{digit}</text>' for x, y in places[snapshot.labels == digit])
        letters += f'<g text-anchor="middle" style="--ink:{colour_of(digit)}">{own}</g>'
    bar = ""
    if snapshot.loss not in ROUND:
        length = 10.0 ** math.floor(math.log10(150 / scale))
        bar = (
            f'<line x1="{RIM}" x2="{RIM + length * scale:.1f}" y1="{HEIGHT - 16}" y2="{HEIGHT - 16}" class="soft"/>'
            f'<text class="plate" x="{RIM}" y="{HEIGHT - 24}">{length:g}</text>'
        )
    title = f"The embedding of {len(snapshot.labels)} held-back digits. {snapshot.sentence()}"
    return svg(guide + letters + bar, title, (WIDTH, HEIGHT))


def _spread(snapshot: Snapshot, scale: float) -> np.ndarray:
    """Offsets in the drawing, y downwards; on the circle, digits are drawn at slightly different radii."""
    places = snapshot.places.astype(np.float64)
    if snapshot.loss in ROUND:  # all of them on one line would hide each other
        places = places * (1 - 0.06 * (np.arange(len(places)) % 8))[:, None]
    else:
        places = places - (places.max(0) + places.min(0)) / 2
    return places * [scale, -scale]


def curves_html(snapshot: Snapshot) -> str:
    """Loss, and accuracy of the nearest neighbour, so far."""
    losses, every = thinned(snapshot.losses)
    if not losses:
        return '<p class="hint">The network has its random weights yet. Press Play, or take one step.</p>'
    name = "step" if every == 1 else f"{every}-step mean"
    loss = curve(losses, title="Loss", x_name=name)
    accuracy = curve(
        snapshot.accuracies, title="Nearest neighbour of the same class", unit="%", top=1.0, level=1 / CLASSES,
        level_name="chance", x_name=f"{MEASURED_EVERY}-step check",
    )  # fmt: skip
    return f'<div class="tiny-curves">{loss}{accuracy}</div>'


def thinned(values: Sequence[float]) -> tuple[list[float], int]:
    """At most ``CURVE_POINTS`` means of as many neighbouring values each, and of how many."""
    every = max(1, math.ceil(len(values) / CURVE_POINTS))
    return [float(np.mean(values[start : start + every])) for start in range(0, len(values), every)], every


def details(snapshot: Snapshot, margin: float) -> str:
    """The loss's number and what it means."""
    if not snapshot.losses:
        return f"Chance is {100 // CLASSES} %."
    said = f"Loss {snapshot.losses[-1]:.3f}"
    if snapshot.active is not None:
        said += f" · {100 * snapshot.active:.0f} % of the triplets active"
    reach = float(np.abs(snapshot.places - snapshot.places.mean(0)).max())
    if snapshot.loss == "triplet" and snapshot.steps >= 20 and reach < 0.3 and margin > 0:
        said += f" · collapsed: with all digits in one place every triplet costs the margin, {margin:g}"
    return said


@lru_cache(maxsize=1)
def sheet() -> np.ndarray:
    """What is learnt from, two distortions of two glyphs of each digit: (64, 640, 3) uint8 RGB."""
    learnt, _ = data()
    each = len(learnt) // CLASSES
    rows = [
        np.concatenate([learnt.images[digit * each + glyph, view] for digit in range(CLASSES) for view in (0, 1)], 1)
        for glyph in (0, 1)
    ]
    grey = (255 * np.concatenate(rows, 0)).astype(np.uint8)
    large = np.kron(grey, np.ones((2, 2), np.uint8))
    return np.repeat(large[..., None], 3, axis=2)


def sheet_html() -> str:
    """That strip, and what it is."""
    source = base64.b64encode(encode_picture(sheet(), "png")).decode()
    return (
        f'<figure class="digits"><img src="data:image/png;base64,{source}" alt="Digits in two distortions each">'
        f"<figcaption>What it learns from: digits that this program draws with a font and distorts, {SIDE} x {SIDE} "
        "pixels. No data set is read.</figcaption></figure>"
    )
