"""How fast and where to: histograms of a flow field's magnitudes and directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvdemo.flow.colour import known_mask, magnitude

STILL = 0.25  # pixels: what moves less has no direction worth counting


@dataclass(frozen=True, eq=False)
class FlowHistograms:
    """Two histograms of one field.

    Attributes:
        edges: (bins + 1,) pixels. speeds: (bins,) shares of the known pixels; faster ones are in the last bin.
        directions: (sectors,) shares of all motion: each pixel counts as much as it moves. Sector 0 is centred on
            "right"; they go on clockwise (y points down).
        still: share of the known pixels that move less than a quarter of a pixel. known: share of the picture.
    """

    edges: np.ndarray
    speeds: np.ndarray
    directions: np.ndarray
    still: float
    known: float

    def to_dict(self) -> dict[str, object]:
        """Ready for JSON."""
        return {
            "still": round(self.still, 4),
            "known": round(self.known, 4),
            "speed": {
                "edges": [round(float(edge), 4) for edge in self.edges],
                "share": [round(float(share), 5) for share in self.speeds],
            },
            "direction": {
                "first": "right", "turn": "clockwise", "share": [round(float(share), 5) for share in self.directions]
            },
        }  # fmt: skip

    def to_csv(self) -> str:
        """A line per bin: kind, from, to, share."""
        lines = ["histogram,from,to,share"]
        for low, high, share in zip(self.edges, self.edges[1:], self.speeds):
            lines.append(f"speed_px,{low:g},{high:g},{share:.6f}")
        width = 360 / len(self.directions)
        for sector, share in enumerate(self.directions):
            middle = sector * width
            lines.append(f"direction_degrees,{(middle - width / 2) % 360:g},{middle + width / 2:g},{share:.6f}")
        return "\n".join(lines) + "\n"


def histograms(flow: np.ndarray, maximum: float, bins: int = 24, sectors: int = 24) -> FlowHistograms:
    """Histograms of a flow (H, W, 2). maximum: pixels at which that of the speeds ends."""
    known = known_mask(flow)
    edges = np.linspace(0.0, maximum, bins + 1)
    if not known.any():
        return FlowHistograms(edges, np.zeros(bins), np.zeros(sectors), 0.0, 0.0)
    moved = np.asarray(flow[known], np.float32)
    speed = magnitude(moved)
    place = np.minimum((speed * np.float32(bins / maximum)).astype(np.int32), bins - 1)
    return FlowHistograms(
        edges=edges,
        speeds=np.bincount(place, minlength=bins) / len(speed),
        directions=direction_histogram(moved, speed, sectors),
        still=float((speed < STILL).mean()),
        known=float(known.mean()),
    )


def direction_histogram(moved: np.ndarray, speed: np.ndarray, sectors: int) -> np.ndarray:
    """(sectors,) shares of the motion of (N, 2) displacements by direction, weighted by ``speed`` (N,)."""
    turn = np.arctan2(moved[:, 1], moved[:, 0]) * np.float32(sectors / (2 * np.pi))
    sector = np.floor(turn + np.float32(0.5)).astype(np.int32) % sectors
    shares = np.bincount(sector, np.where(speed >= STILL, speed, 0.0), minlength=sectors)
    total = shares.sum()
    return np.asarray(shares / total if total > 0 else shares)
