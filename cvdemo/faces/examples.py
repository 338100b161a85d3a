"""Example pairs of the Faces tab: one public-domain portrait, and what the project made of it.

``python -m cvdemo.faces.examples`` composes the altered portrait again (how the committed one was made). Pairs of two
different people are for the visitor to bring: the project has a right to the picture of one person only.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.core.media import save_picture
from cvdemo.ui.examples import ASSETS, Example, load_portrait, pairs, pictures

ALTERED = ASSETS / "faces-altered.jpg"
TILT, DIM, GRAIN = 14.0, 0.6, 5.0


def compose_altered(portrait: np.ndarray, side: int = 280) -> np.ndarray:
    """The portrait's upper part mirrored, turned by ``TILT`` degrees, darker and grainy; (side, side, 3) uint8."""
    rng = np.random.default_rng(3)
    width = portrait.shape[1]
    square = cv2.resize(portrait[: min(width, portrait.shape[0]), ::-1], (side, side), interpolation=cv2.INTER_AREA)
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), TILT, 1.15)
    turned = cv2.warpAffine(square, turn, (side, side), borderMode=cv2.BORDER_REPLICATE)
    noisy = turned.astype(np.float32) * DIM + rng.normal(0, GRAIN, (side, side, 1))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def example_pairs(folder: Path) -> list[Example]:
    """The pairs the page offers, copied to ``folder``."""
    known = {example.name: example.path for example in pictures(folder)}
    offered = (
        ("altered", "One person: mirrored, turned, smaller, darker and grainy", "portrait", ALTERED),
        ("crowd", "One person, and seven copies of her: choose which face", "portrait", known.get("crowd")),
        ("tower", "A picture without a face", "portrait", known.get("tower")),
    )
    there = [(name, title, known[one], two) for name, title, one, two in offered if one in known and two is not None]
    return pairs(folder, there)


def main() -> None:
    """Compose the altered portrait again and write it to ``assets/examples``."""
    portrait = load_portrait()
    if portrait is None:
        raise SystemExit("matplotlib's sample portrait is not installed")
    save_picture(ALTERED, compose_altered(portrait))


if __name__ == "__main__":
    main()
