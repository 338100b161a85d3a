"""What procedural pictures are drawn with: noise, flow, palettes, cells, strokes, paper. All seeded.

Fields are (side, side) float32; colours are RGB in [0, 255] float32 until ``finished``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cvdemo.core.lazy import cv2

Palette = Sequence[tuple[int, int, int]]


def grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates x to the right and y down of every pixel, in [0, 1)."""
    axis = (np.arange(side, dtype=np.float32) + 0.5) / side
    x, y = np.meshgrid(axis, axis)
    return x, y


def noise(rng: np.random.Generator, side: int, cells: float, octaves: int = 4, fall: float = 0.5) -> np.ndarray:
    """Smooth noise in [0, 1]: random grids of ``cells``, twice as many, …, enlarged and added with falling weight."""
    total = np.zeros((side, side), np.float32)
    weight = 1.0
    for octave in range(octaves):
        count = max(2, round(cells * 2**octave)) + 3
        values = rng.random((count, count), dtype=np.float32)
        fine = cv2.resize(values, None, fx=side / (count - 3), fy=side / (count - 3), interpolation=cv2.INTER_CUBIC)
        offset = (fine.shape[0] - side) // 2
        total += weight * fine[offset : offset + side, offset : offset + side]
        weight *= fall
    low, high = np.percentile(total, (0.5, 99.5))
    return np.clip((total - low) / max(float(high - low), 1e-6), 0, 1)


def warped(field: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """A field or picture looked up at places moved by (dx, dy), in fractions of the side; mirrored at the border."""
    side = field.shape[0]
    rows, columns = np.indices((side, side), dtype=np.float32)
    return cv2.remap(
        field, (columns + dx * side).astype(np.float32), (rows + dy * side).astype(np.float32),
        cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT,
    )  # fmt: skip


def ramp(values: np.ndarray, palette: Palette) -> np.ndarray:
    """Values in [0, 1] -> (…, 3) float32 colours, interpolated along the palette."""
    stops = np.linspace(0, 1, len(palette))
    colours = np.asarray(palette, np.float32)
    return np.stack([np.interp(values, stops, colours[:, channel]) for channel in range(3)], -1).astype(np.float32)


def cells(rng: np.random.Generator, side: int, count: int, jitter: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
    """Voronoi cells of ``count`` x ``count`` points shaken off a grid.

    Returns: (side, side) int32 cell numbers from 0, and the points (n, 2), x and y in pixels.
    """
    step = side / count
    rows, columns = np.indices((count + 2, count + 2)).reshape(2, -1) - 1
    centres = np.stack([columns, rows], 1) + 0.5 + rng.uniform(-jitter / 2, jitter / 2, (len(rows), 2))
    return nearest(side, centres * step), centres * step


def nearest(side: int, points: np.ndarray) -> np.ndarray:
    """(side, side) int32: the number of the point (n, 2) nearest to each pixel; points may lie outside."""
    from scipy.spatial import cKDTree

    rows, columns = np.indices((side, side))
    places = np.stack([columns.ravel() + 0.5, rows.ravel() + 0.5], 1)
    return cKDTree(points).query(places)[1].reshape(side, side).astype(np.int32)


def borders(labels: np.ndarray, width: float) -> np.ndarray:
    """Softly drawn borders between cells, 1 on them and 0 away, ``width`` pixels wide."""
    edge = np.zeros(labels.shape, np.uint8)
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edge[1:] |= labels[1:] != labels[:-1]
    away = cv2.distanceTransform(1 - edge, cv2.DIST_L2, 5)
    return np.clip(width / 2 + 0.75 - away, 0, 1).astype(np.float32)


def averages(picture: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Each cell's mean colour, (n, 3) float32, of a picture (H, W, 3)."""
    flat, count = labels.ravel(), int(labels.max()) + 1
    sizes = np.maximum(np.bincount(flat, minlength=count), 1)
    sums = [np.bincount(flat, picture[..., c].ravel(), count) for c in range(3)]
    return (np.stack(sums, 1) / sizes[:, None]).astype(np.float32)


def relief(height: np.ndarray, strength: float, angle: float = 2.4) -> np.ndarray:
    """Light from one side on a surface: a factor about 1, above 1 on slopes that face it."""
    down, right = np.gradient(height)
    return np.clip(1 - strength * (right * np.cos(angle) + down * np.sin(angle)), 0.4, 1.7)


def strokes(
    canvas: np.ndarray,
    rng: np.random.Generator,
    colours: np.ndarray,
    angles: np.ndarray,
    *,
    count: int,
    length: float,
    width: int,
    spread: float = 14.0,
) -> None:
    """Paint ``count`` brush strokes on a canvas (side, side, 3) float32, in place.

    Each takes its colour where it begins, with a little of its own, follows ``angles`` (radians) for ``length`` pixels
    and has a lighter and a darker edge, as thick paint has.
    """
    side = canvas.shape[0]
    starts = rng.uniform(-0.02, 1.02, (count, 2)) * side
    shifts = rng.normal(0, spread, (count, 1)) + rng.normal(0, spread / 2, (count, 3))
    steps = max(3, round(length / 6))
    for start, shift in zip(starts, shifts):
        points = [start]
        for _ in range(steps):
            column, row = np.clip(points[-1], 0, side - 1).astype(int)
            angle = angles[row, column]
            points.append(points[-1] + np.array([np.cos(angle), np.sin(angle)]) * length / steps)
        column, row = np.clip(start, 0, side - 1).astype(int)
        colour = np.clip(colours[row, column] + shift, 0, 255)
        path = (np.array(points) * 8).astype(np.int32)[:, None]
        turned = np.array([-np.sin(angles[row, column]), np.cos(angles[row, column])]) * width * 0.3 * 8
        for offset, light, part in ((0.0, 1.0, 1.0), (1.0, 0.86, 0.35), (-1.0, 1.13, 0.35)):
            shade = np.clip(colour * light, 0, 255).tolist()
            moved = (path + (turned * offset).astype(np.int32)).astype(np.int32)
            cv2.polylines(canvas, [moved], False, shade, max(1, round(width * part)), cv2.LINE_AA, 3)


def paper(rng: np.random.Generator, side: int, amount: float = 6.0) -> np.ndarray:
    """The grain of paper: (side, side, 1) float32 to add, about ``amount`` grey levels."""
    fine = rng.normal(0, 1, (side, side)).astype(np.float32)
    grain = cv2.GaussianBlur(fine, (0, 0), 0.8) + 0.8 * cv2.GaussianBlur(fine, (0, 0), 2.5) * 2
    return (amount * grain)[..., None]


def finished(colours: np.ndarray) -> np.ndarray:
    """(side, side, 3) float colours -> uint8."""
    return np.clip(np.rint(colours), 0, 255).astype(np.uint8)


def shaken(rng: np.random.Generator, palette: Palette, amount: float) -> Palette:
    """The palette with each colour moved by up to about ``amount`` grey levels, so that no two seeds look alike."""
    moved = np.clip(np.asarray(palette, float) + rng.normal(0, amount, (len(palette), 3)), 0, 255)
    return [(int(r), int(g), int(b)) for r, g, b in moved]
