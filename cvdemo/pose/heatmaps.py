"""From heatmaps to joints: the highest cell, a quarter of a cell further, or the summit between the cells.

- argmax: the centre of the highest cell; wrong by up to half a cell.
- quarter: a quarter of a cell towards the higher neighbour, in each direction (Newell et al. 2016, arXiv:1603.06937).
- sub-pixel: the logarithm of a Gaussian is a parabola, so its summit follows from first and second differences
  around the highest cell (DARK, Zhang et al. 2020, arXiv:1910.06278); the map is smoothed first, because a network's
  map often has several peaks.

Places on a map are in cells: (j, i) is the centre of the cell in row i, column j.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DECODE_KINDS: tuple[str, ...] = ("argmax", "quarter", "sub-pixel")
MODULATION_SIGMA = 2.0  # cells; as wide as the Gaussians the networks are trained on
MODULATION_RADIUS = 5
LOGIT_REACH = 2  # cells around the peak whose probability is the score of a joint that comes as logits
_SMALLEST = 1e-10
_MOST_SHIFT = 1.0


@dataclass(frozen=True, eq=False)
class Peaks:
    """Where the joints are on their maps.

    Attributes:
        cells: (N, J, 2) float64 column and row in cells.   scores: (N, J) float64 in [0, 1]; 0 for an unusable map.
        highest: (N, J, 2) int64 column and row of the highest cell, which every kind of decoding starts from.
    """

    cells: np.ndarray
    scores: np.ndarray
    highest: np.ndarray


def as_probabilities(heatmaps: np.ndarray, logits: bool = False) -> np.ndarray:
    """(..., h, w) float32 without negative or undefined values: logits by a softmax over all cells of a map."""
    maps = np.asarray(heatmaps, np.float32)
    if not logits:
        return np.clip(np.nan_to_num(maps, nan=0.0, posinf=0.0, neginf=0.0), 0.0, None)
    finite = np.asarray(np.isfinite(maps))
    values = np.where(finite, maps, -np.inf)
    top = values.max(axis=(-2, -1), keepdims=True, initial=-np.inf)
    weights = np.exp(values - np.where(np.isfinite(top), top, 0.0), where=finite, out=np.zeros_like(maps))
    total = weights.sum(axis=(-2, -1), keepdims=True)
    return np.asarray(weights / np.where(total > 0, total, 1.0), np.float32)


def find_peaks(heatmaps: np.ndarray, kind: str = "sub-pixel", *, logits: bool = False) -> Peaks:
    """Decode (N, J, h, w) heatmaps by one of ``DECODE_KINDS``; ValueError for another kind or shape.

    The score is the height of the peak, cut to [0, 1]; for logits, the probability of the 5 x 5 cells around it.
    A map that is nowhere above zero, or undefined, gives the middle of the map and the score 0.
    """
    if kind not in DECODE_KINDS:
        raise ValueError(f"{kind!r} is not one of {', '.join(DECODE_KINDS)}")
    if heatmaps.ndim != 4 or (heatmaps.size == 0 and len(heatmaps)):
        raise ValueError(f"heatmaps must be (N, J, h, w), not {heatmaps.shape}")
    people, joints, height, width = heatmaps.shape
    maps = as_probabilities(heatmaps, logits).reshape(people * joints, height, width)
    if not len(maps):
        nothing = np.zeros((people, joints, 2))
        return Peaks(nothing, np.zeros((people, joints)), nothing.astype(np.int64))
    flat = maps.reshape(len(maps), -1)
    best = flat.argmax(axis=1)
    top = flat[np.arange(len(maps)), best]
    empty = top <= 0
    best[empty] = (height // 2) * width + width // 2
    highest = np.stack([best % width, best // width], axis=1).astype(np.int64)
    shift = np.zeros((len(maps), 2)) if kind == "argmax" else _SHIFTS[kind](maps, highest)
    shift[empty] = 0
    scores = _mass_around(maps, highest) if logits else np.clip(top, 0, 1)
    scores = np.where(empty, 0.0, scores).reshape(people, joints)
    cells = (highest + shift).reshape(people, joints, 2)
    return Peaks(cells, scores, highest.reshape(people, joints, 2))


def to_picture(cells: np.ndarray, regions: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(N, J, 2) places in cells of (h, w) = ``size`` maps to pixels of the picture; regions (N, 4) x1 y1 x2 y2."""
    boxes = np.asarray(regions, np.float64).reshape(-1, 1, 4)
    return boxes[..., :2] + (cells + 0.5) / (size[1], size[0]) * (boxes[..., 2:] - boxes[..., :2])


def decode_heatmaps(
    heatmaps: np.ndarray, regions: np.ndarray, kind: str = "sub-pixel", *, logits: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Joints of N people: (N, J, 2) float64 x, y in pixels of the picture and (N, J) scores in [0, 1].

    heatmaps: (N, J, h, w).   regions: (N, 4) x1 y1 x2 y2, what each map covers.   kind, logits: see ``find_peaks``.
    """
    peaks = find_peaks(heatmaps, kind, logits=logits)
    return to_picture(peaks.cells, regions, heatmaps.shape[2:]), peaks.scores  # type: ignore[arg-type]


def _around(maps: np.ndarray, highest: np.ndarray, radius: int) -> np.ndarray:
    """(M, 2 r + 1, 2 r + 1) cells around each highest one; zero outside of the map."""
    padded = np.pad(maps, ((0, 0), (radius, radius), (radius, radius)))
    span = np.arange(2 * radius + 1)
    rows, columns = highest[:, 1, None] + span, highest[:, 0, None] + span
    return padded[np.arange(len(maps))[:, None, None], rows[:, :, None], columns[:, None, :]]


def _inside(maps: np.ndarray, highest: np.ndarray, radius: int) -> np.ndarray:
    """(M, 2) bool: the window of that radius lies within the map, in x and in y."""
    size = np.array([maps.shape[2], maps.shape[1]])
    return np.asarray((highest >= radius) & (highest + radius < size))


def _mass_around(maps: np.ndarray, highest: np.ndarray) -> np.ndarray:
    return np.clip(_around(maps, highest, LOGIT_REACH).sum(axis=(1, 2), dtype=np.float64), 0, 1)


def _quarter(maps: np.ndarray, highest: np.ndarray) -> np.ndarray:
    near = _around(maps, highest, 1)
    across = np.sign(near[:, 1, 2] - near[:, 1, 0])
    down = np.sign(near[:, 2, 1] - near[:, 0, 1])
    return np.where(_inside(maps, highest, 1), 0.25 * np.stack([across, down], axis=1), 0.0)


def _modulated(maps: np.ndarray, highest: np.ndarray) -> np.ndarray:
    """(M, 3, 3) float64 around each highest cell, of the map smoothed by a Gaussian.

    Where the kernel would reach outside of the map, which would draw the summit inwards, the map itself.
    """
    span = np.arange(-MODULATION_RADIUS, MODULATION_RADIUS + 1)
    kernel = np.exp(-(span**2) / (2 * MODULATION_SIGMA**2))
    kernel /= kernel.sum()
    band = np.zeros((3, 2 * MODULATION_RADIUS + 3))
    for offset in range(3):
        band[offset, offset : offset + len(kernel)] = kernel
    window = _around(maps, highest, MODULATION_RADIUS + 1).astype(np.float64)
    smooth = band @ window @ band.T
    plain = window[:, MODULATION_RADIUS : MODULATION_RADIUS + 3, MODULATION_RADIUS : MODULATION_RADIUS + 3]
    whole = _inside(maps, highest, MODULATION_RADIUS + 1).all(axis=1)
    return np.where(whole.reshape(-1, 1, 1), smooth, plain)


def _taylor(maps: np.ndarray, highest: np.ndarray) -> np.ndarray:
    """Summit of the parabola through the logarithm around the highest cell: -H^-1 g, at most a cell away.

    A map that is not curved downwards in all directions there has no summit to find, and keeps its highest cell.
    """
    log = np.log(np.maximum(_modulated(maps, highest), _SMALLEST))
    gx, gy = (log[:, 1, 2] - log[:, 1, 0]) / 2, (log[:, 2, 1] - log[:, 0, 1]) / 2
    hxx = log[:, 1, 2] - 2 * log[:, 1, 1] + log[:, 1, 0]
    hyy = log[:, 2, 1] - 2 * log[:, 1, 1] + log[:, 0, 1]
    hxy = (log[:, 2, 2] - log[:, 2, 0] - log[:, 0, 2] + log[:, 0, 0]) / 4
    determinant = hxx * hyy - hxy**2
    summit = (hxx < 0) & (determinant > 1e-12) & _inside(maps, highest, 1).all(axis=1)
    safe = np.where(summit, determinant, 1.0)
    shift = np.stack([hxy * gy - hyy * gx, hxy * gx - hxx * gy], axis=1) / safe[:, None]
    return np.where(summit[:, None], np.clip(shift, -_MOST_SHIFT, _MOST_SHIFT), 0.0)


_SHIFTS = {"quarter": _quarter, "sub-pixel": _taylor}
