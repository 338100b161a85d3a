"""How fast and where to: histograms of a flow field's magnitudes and directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvdemo.flow.colour import known_mask, magnitude

STILL = 0.25  # pixels: what moves less has no direction worth counting
NAMES = ("right", "down right", "down", "down left", "left", "up left", "up", "up right")


@dataclass(frozen=True, eq=False)
class FlowStatistics:
    """A field in numbers.

    Attributes:
        mean, median, most: of the magnitude in pixels, over the known ones (``most`` is the 99th percentile).
        still: share of the known pixels that move less than a quarter of a pixel.
        counts, edges: the magnitude's histogram as shares of the known pixels, (bins,) and (bins + 1,) pixels.
        directions: (sectors,) shares of all motion: each pixel counts as much as it moves. Sector 0 is centred on
            "right"; they go on clockwise (y points down).
        drift: mean displacement (x, y).   known: share of the picture.
    """

    mean: float
    median: float
    most: float
    still: float
    counts: np.ndarray
    edges: np.ndarray
    directions: np.ndarray
    drift: tuple[float, float]
    known: float

    def to_dict(self) -> dict[str, object]:
        """Ready for JSON."""
        return {
            "mean": round(self.mean, 4), "median": round(self.median, 4), "percentile_99": round(self.most, 4),
            "still": round(self.still, 4), "known": round(self.known, 4),
            "drift": [round(part, 4) for part in self.drift],
            "magnitude": {
                "edges": [round(float(edge), 4) for edge in self.edges],
                "share": [round(float(share), 5) for share in self.counts],
            },
            "direction": {
                "first": "right", "turn": "clockwise", "share": [round(float(share), 5) for share in self.directions]
            },
        }  # fmt: skip


def statistics(flow: np.ndarray, maximum: float, bins: int = 24, sectors: int = 24) -> FlowStatistics:
    """Numbers and histograms of a flow (H, W, 2).

    Args:
        maximum: pixels at which the magnitude's histogram ends; what is faster is counted in its last bin.
    """
    known = known_mask(flow)
    edges = np.linspace(0.0, maximum, bins + 1)
    if not known.any():
        nothing = np.zeros(bins)
        return FlowStatistics(0.0, 0.0, 0.0, 0.0, nothing, edges, np.zeros(sectors), (0.0, 0.0), 0.0)
    moved = np.asarray(flow[known], np.float64)
    speed = magnitude(moved)
    counts = np.histogram(np.minimum(speed, maximum), edges)[0] / len(speed)
    middle, high = np.percentile(speed, [50, 99])
    return FlowStatistics(
        mean=float(speed.mean()),
        median=float(middle),
        most=float(high),
        still=float((speed < STILL).mean()),
        counts=counts,
        edges=edges,
        directions=direction_histogram(moved, speed, sectors),
        drift=(float(moved[:, 0].mean()), float(moved[:, 1].mean())),
        known=float(known.mean()),
    )


def direction_histogram(moved: np.ndarray, speed: np.ndarray, sectors: int) -> np.ndarray:
    """(sectors,) shares of the motion of (N, 2) displacements by direction, weighted by ``speed`` (N,)."""
    turn = np.arctan2(moved[:, 1], moved[:, 0]) / (2 * np.pi) * sectors
    sector = np.floor(turn + 0.5).astype(int) % sectors
    weight = np.where(speed >= STILL, speed, 0.0)
    total = weight.sum()
    shares = np.bincount(sector, weight, minlength=sectors)
    return np.asarray(shares / total if total > 0 else shares)


def direction_name(x: float, y: float) -> str:
    """One of eight words for a displacement, y down."""
    return NAMES[int(np.floor(np.arctan2(y, x) / (2 * np.pi) * 8 + 0.5)) % 8]


def sentence(found: FlowStatistics) -> str:
    """ "Pixels move 4.2 px on average, mostly to the right; 12 % stand still"."""
    if found.known == 0:
        return "The flow is not known anywhere"
    if found.most < STILL:
        return "Nothing moves"
    share = float(found.directions.max(initial=0.0))
    best = int(found.directions.argmax())
    angle = best * 2 * np.pi / len(found.directions)
    # neighbours of the strongest sector count too: a direction rarely falls into the middle of one
    near = sum(float(found.directions[(best + step) % len(found.directions)]) for step in (-2, -1, 0, 1, 2))
    words = f"Pixels move {found.mean:.1f} px on average"
    if share > 0 and near > 0.5:
        words += f", mostly {direction_name(float(np.cos(angle)), float(np.sin(angle)))}"
    else:
        words += ", in many directions"
    if found.still >= 0.01:
        words += f"; {found.still:.0%} stand still"
    return words
