"""Example pairs with exact ground truth, composed by the project from a portrait and from patterns it makes itself.

``python -m cvdemo.flow.examples`` composes them again and writes them to ``assets/examples`` (how the committed ones
were made). Each frame is drawn anew from layers that each have a place at the time of each frame, so the true motion
is known to a fraction of a pixel: a layer's point p of the first frame is at ``after @ inverse(before) @ p``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.core.media import save_picture
from cvdemo.ui.examples import ASSETS, Example, load_portrait, pairs

WIDTH, HEIGHT = 512, 384
PAIRS: dict[str, str] = {
    "people": "Two people and a camera that moves",
    "disc": "A disc that turns: every direction at once",
    "approach": "A camera that comes nearer and tilts",
}


@dataclass(frozen=True, eq=False)
class Layer:
    """A picture (h, w, 3) float32 with its opacity (h, w) float32, and its place in both frames: 3 x 3 matrices from
    the layer's pixels to the frame's.
    """

    pixels: np.ndarray
    alpha: np.ndarray
    before: np.ndarray
    after: np.ndarray


def pair_files(name: str, folder: Path = ASSETS) -> tuple[Path, Path, Path]:
    """Where an example's frames and its true flow (KITTI PNG) are."""
    return folder / f"flow-{name}-1.jpg", folder / f"flow-{name}-2.jpg", folder / f"flow-{name}-truth.png"


def example_pairs(folder: Path) -> list[Example]:
    """The pairs the page offers, copied to ``folder``."""
    return pairs(folder, [(name, title, *pair_files(name)[:2]) for name, title in PAIRS.items()])


def truth_file(first: str | Path) -> Path | None:
    """The true flow that belongs to an example's first frame, by the file's name; None for any other file."""
    for name in PAIRS:
        one, _, truth = pair_files(name)
        if one.name == Path(first).name and truth.is_file():
            return truth
    return None


def placed(scale: float = 1.0, angle: float = 0.0, x: float = 0.0, y: float = 0.0, about: tuple[float, float] = (0, 0)
           ) -> np.ndarray:  # fmt: skip
    """A similarity: scaled and turned (degrees) about a point, then moved by (x, y)."""
    turn = np.deg2rad(angle)
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = np.eye(3)
    matrix[:2, :2] = linear
    matrix[:2, 2] = np.array(about) - linear @ np.array(about) + (x, y)
    return matrix


def render(layers: list[Layer], second: bool = False) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) uint8: the layers on top of each other, the first at the bottom, at one of both times."""
    out = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for layer in layers:
        matrix = (layer.after if second else layer.before)[:2]
        # drawn at twice the size and averaged: enlarged layers stay smooth, shrunk ones do not flicker
        double = np.diag([2.0, 2.0, 1.0])
        double[:2, 2] = 0.5
        matrix = (double @ np.vstack([matrix, [0, 0, 1]]))[:2]
        size = (2 * WIDTH, 2 * HEIGHT)
        colour = cv2.warpAffine(layer.pixels, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        alpha = cv2.warpAffine(layer.alpha, matrix, size, flags=cv2.INTER_LINEAR)[..., None]
        whole = np.concatenate([colour * alpha, alpha], axis=2)
        small = cv2.resize(whole, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        out = out * (1 - small[..., 3:]) + small[..., :3]
    return np.clip(np.rint(out), 0, 255).astype(np.uint8)


def true_flow(layers: list[Layer]) -> np.ndarray:
    """(HEIGHT, WIDTH, 2) float32: where each pixel of the first frame went, by the layer that covers it there."""
    columns, rows = np.meshgrid(np.arange(WIDTH, dtype=np.float64), np.arange(HEIGHT, dtype=np.float64))
    flow = np.zeros((HEIGHT, WIDTH, 2))
    for layer in layers:
        move = layer.after @ np.linalg.inv(layer.before)
        x = move[0, 0] * columns + move[0, 1] * rows + move[0, 2] - columns
        y = move[1, 0] * columns + move[1, 1] * rows + move[1, 2] - rows
        alpha = cv2.warpAffine(layer.alpha, layer.before[:2], (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
        flow = np.where((alpha >= 0.5)[..., None], np.stack([x, y], axis=2), flow)
    return flow.astype(np.float32)


def texture(height: int, width: int, seed: int, tint: tuple[float, float, float], contrast: float = 1.0) -> np.ndarray:
    """(height, width, 3) float32: soft blotches of several sizes in shades of one colour, no two places alike."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width), np.float32)
    for size, strength in ((2, 14), (5, 22), (13, 30), (40, 34)):
        noise = rng.normal(0, 1, (height // size + 3, width // size + 3)).astype(np.float32)
        large = cv2.resize(noise, None, fx=size, fy=size, interpolation=cv2.INTER_CUBIC)
        total += strength * contrast * large[:height, :width]
    return np.clip(np.array(tint, np.float32) * (1 + total[..., None] / 150), 0, 255).astype(np.float32)


def _opaque(pixels: np.ndarray, before: np.ndarray, after: np.ndarray) -> Layer:
    return Layer(pixels, np.ones(pixels.shape[:2], np.float32), before, after)


def _person(portrait: np.ndarray, height: int) -> tuple[np.ndarray, np.ndarray]:
    """The sitter of the portrait, (h, w, 3) and opacity (h, w) float32; the portrait's own background is cut off."""
    h, w = portrait.shape[:2]
    mask = np.zeros((h, w), np.float32)
    cv2.ellipse(mask, (w // 2, int(h * 0.30)), (int(w * 0.22), int(h * 0.29)), 0, 0, 360, 1.0, -1)
    cv2.ellipse(mask, (w // 2, int(h * 0.95)), (int(w * 0.45), int(h * 0.46)), 0, 0, 360, 1.0, -1)
    size = (round(w * height / h), height)
    person = cv2.resize(portrait, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    return person, cv2.GaussianBlur(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), (0, 0), 1.2)


def people_layers(portrait: np.ndarray) -> list[Layer]:
    """Two people who pass each other while the camera moves slowly."""
    wall = texture(480, 640, 3, (176, 190, 205), 0.6)
    left, right = _person(portrait, 300), _person(portrait[:, ::-1], 235)
    return [
        _opaque(wall, placed(x=-60, y=-40), placed(x=-56.5, y=-41.5)),
        Layer(*right, placed(x=286, y=152), placed(1.01, x=274, y=152)),
        Layer(*left, placed(x=60, y=88), placed(1.0, 1.5, 76.5, 86, about=(120, 280))),
    ]


def disc_layers() -> list[Layer]:
    """A patterned disc that turns by eight degrees on a still ground."""
    size = 320
    pattern = texture(size, size, 11, (205, 150, 95), 1.2)
    axis = np.arange(size) - (size - 1) / 2
    radius = np.hypot(axis[:, None], axis[None])
    spokes = (np.floor((np.arctan2(axis[:, None], axis[None]) / np.pi + 1) * 8) % 2)[..., None]
    pattern *= (0.82 + 0.18 * spokes).astype(np.float32)
    alpha = np.clip(size / 2 - 4 - radius, 0, 1).astype(np.float32)
    ground = texture(HEIGHT + 20, WIDTH + 20, 5, (120, 150, 140), 0.7)
    centre = ((size - 1) / 2, (size - 1) / 2)
    here = placed(x=WIDTH / 2 - size / 2, y=HEIGHT / 2 - size / 2)
    return [
        _opaque(ground, placed(x=-10, y=-10), placed(x=-10, y=-10)),
        Layer(pattern, alpha, here, here @ placed(angle=8.0, about=centre)),
    ]


def approach_layers(scene: np.ndarray) -> list[Layer]:
    """A whole picture as a camera sees it that comes five per cent nearer and tilts by two degrees."""
    pixels = cv2.resize(scene, (700, 420), interpolation=cv2.INTER_AREA).astype(np.float32)
    here = placed(x=-94, y=-18)
    return [_opaque(pixels, here, placed(1.05, 2.0, -3.0, 2.0, about=(WIDTH / 2, HEIGHT / 2)) @ here)]


def main() -> None:
    """Compose all pairs again and write them with their true flow."""
    from cvdemo.core.media import read_picture
    from cvdemo.flow.files import kitti_bytes

    portrait = load_portrait()
    if portrait is None:
        raise SystemExit("matplotlib's sample portrait is not installed")
    scenes = {
        "people": people_layers(portrait),
        "disc": disc_layers(),
        "approach": approach_layers(read_picture(ASSETS / "crowd.jpg").pixels),
    }
    for name, layers in scenes.items():
        first, second, truth = pair_files(name)
        save_picture(first, render(layers))
        save_picture(second, render(layers, second=True))
        truth.write_bytes(kitti_bytes(true_flow(layers)))


if __name__ == "__main__":
    main()
