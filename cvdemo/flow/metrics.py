"""How far a flow field is from the truth: endpoint error, outliers, angular error, each over chosen pixels."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from cvdemo.core.errors import InputError

OUTLIER_PIXELS, OUTLIER_SHARE = 3.0, 0.05
"""KITTI calls a pixel an outlier when it is off by more than both (Menze and Geiger, CVPR 2015)."""


def endpoint_error(flow: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(H, W) float32: the distance in pixels between where the flow and the truth end; NaN where either is undefined.

    flow, truth: (H, W, 2).
    """
    _same_shape(flow, truth)
    difference = np.asarray(flow, np.float32) - np.asarray(truth, np.float32)
    error = np.hypot(difference[..., 0], difference[..., 1])
    error[~np.isfinite(error)] = np.nan
    return np.asarray(error)


def angular_error(flow: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(H, W) float32 degrees between (u, v, 1) and the true one (Barron, Fleet and Beauchemin, IJCV 1994)."""
    _same_shape(flow, truth)
    a, b = np.asarray(flow, np.float64), np.asarray(truth, np.float64)
    with np.errstate(invalid="ignore"):
        product = 1 + (a * b).sum(axis=2)
        lengths = np.sqrt((1 + np.square(a).sum(axis=2)) * (1 + np.square(b).sum(axis=2)))
        return np.degrees(np.arccos(np.clip(product / lengths, -1, 1))).astype(np.float32)


def outliers(error: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(H, W) bool: off by more than 3 pixels and by more than 5 % of the true motion. Undefined errors are not."""
    with np.errstate(invalid="ignore"):
        length = np.hypot(truth[..., 0], truth[..., 1])
        return np.asarray((error > OUTLIER_PIXELS) & (error > OUTLIER_SHARE * length))


@dataclass(frozen=True)
class FlowScore:
    """Figures of one pair. epe: mean endpoint error, pixels.   fl_all: share of outliers, percent.
    angular: mean degrees.   epe_visible, epe_occluded: EPE where the target can and cannot be seen, None where the
    occlusion is not known or there is no such pixel.   pixels: with known truth.
    """

    epe: float
    fl_all: float
    angular: float
    pixels: int
    epe_visible: float | None = None
    epe_occluded: float | None = None

    def to_dict(self) -> dict[str, float | None]:
        """All figures by name."""
        return asdict(self)


def score(
    flow: np.ndarray, truth: np.ndarray, known: np.ndarray | None = None, occluded: np.ndarray | None = None
) -> FlowScore:
    """Compare a field with the truth.

    Args:
        flow, truth: (H, W, 2); undefined values are left out.   known: (H, W) bool, where the truth counts.
        occluded: (H, W) bool, pixels of the first frame that the second does not show.
    Errors: InputError when no pixel is left.
    """
    error = endpoint_error(flow, truth)
    counted = np.isfinite(error)
    if known is not None:
        counted &= known
    if not counted.any():
        raise InputError("There is no pixel with a known flow to compare with.", hint="Check the ground truth file.")
    visible = hidden = None
    if occluded is not None:
        visible, hidden = _mean(error, counted & ~occluded), _mean(error, counted & occluded)
    return FlowScore(
        float(error[counted].mean(dtype=np.float64)),
        100 * float(outliers(error, truth)[counted].mean()),
        float(angular_error(flow, truth)[counted].mean(dtype=np.float64)),
        int(counted.sum()),
        visible,
        hidden,
    )


def _mean(values: np.ndarray, chosen: np.ndarray) -> float | None:
    return float(values[chosen].mean(dtype=np.float64)) if chosen.any() else None


def _same_shape(flow: np.ndarray, truth: np.ndarray) -> None:
    if flow.shape != truth.shape or flow.ndim != 3 or flow.shape[2] != 2:
        raise InputError(
            f"Flow of shape {flow.shape} cannot be compared with a truth of {truth.shape}.",
            hint="Both must be (height, width, 2) of the same pair.",
        )
