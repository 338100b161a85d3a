"""The style pictures that ship: drawn by the program, from a seed.

``python -m cvdemo.style.styles`` writes them to ``assets/styles``; the training recipes draw endless others.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.core.media import encode_picture, read_picture
from cvdemo.style import paintings, prints

SIDE = 512
QUALITY = 82
FOLDER = Path(__file__).resolve().parents[2] / "assets" / "styles"
_LARGEST = 99_000

Drawer = Callable[[int, np.random.Generator], np.ndarray]
STYLES: dict[str, Drawer] = {
    "mosaic": paintings.mosaic,
    "waves": prints.waves,
    "brush-strokes": paintings.brush_strokes,
    "hatching": prints.hatching,
    "stained-glass": paintings.stained_glass,
    "pointillism": paintings.pointillism,
    "marbled-paper": paintings.marbled_paper,
    "woodcut": prints.woodcut,
    "ink-wash": prints.ink_wash,
    "circles": prints.circles,
}
SEEDS: dict[str, int] = {}
"""The seed of the picture that ships, where it is not 0."""


def draw_style(name: str, side: int = SIDE, seed: int | None = None) -> np.ndarray:
    """A style picture, (side, side, 3) uint8 RGB; the same for the same arguments. InputError for an unknown name.

    seed: None for the picture that ships; others vary colours, places and grain.
    """
    if name not in STYLES:
        raise InputError(f"There is no style {name!r}.", hint=f"There are {', '.join(STYLES)}.")
    rng = np.random.default_rng([SEEDS.get(name, 0) if seed is None else seed, list(STYLES).index(name)])
    return STYLES[name](side, rng)


@functools.lru_cache(maxsize=16)
def load_style(name: str) -> np.ndarray:
    """The style picture that ships, read-only; drawn anew where its file is missing. InputError for unknown names."""
    path = FOLDER / f"{name}.jpg"
    pixels = read_picture(path).pixels if name in STYLES and path.is_file() else draw_style(name)
    pixels.setflags(write=False)
    return pixels


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the style pictures into a folder as JPEG."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="only these (default: all)")
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--side", type=int, default=SIDE)
    parser.add_argument("--seed", type=int, help="another variant than the one that ships")
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.names or STYLES:
        pixels = draw_style(name, args.side, args.seed)
        quality = QUALITY
        data = encode_picture(pixels, "jpeg", quality)
        while len(data) > _LARGEST and quality > 40:
            quality -= 4
            data = encode_picture(pixels, "jpeg", quality)
        (args.out / f"{name}.jpg").write_bytes(data)
        print(f"{name}: {len(data) / 1e3:.0f} kB, quality {quality}", file=sys.stderr)


if __name__ == "__main__":
    main()
