"""What each up-sampling method gives back of a real feature map that was max-pooled: the bench on real data.

The map is pooled once; every method enlarges the same pooled map, so their errors can be compared. No weight is learnt
here: the transpose convolution has a flat kernel, which shows its overlap pattern and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvdemo.classification.heat import colour_table
from cvdemo.core.lazy import cv2
from cvdemo.segmentation.linear_map import checked
from cvdemo.segmentation.transpose_convolution import output_size, transpose_convolution
from cvdemo.segmentation.upsampling import (
    METHODS,
    Upsampled,
    bed_of_nails,
    bilinear,
    max_pooling,
    max_unpooling,
    nearest_unpooling,
)


@dataclass(frozen=True, eq=False)
class Restoration:
    """One method's answer. error: root mean square difference from the map before pooling, in its standard deviations.

    zeros: share of the output's cells that are 0, in [0, 1].
    """

    upsampled: Upsampled
    error: float
    zeros: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """original (H, W), cut to whole windows; pooled (H / factor, W / factor); one ``Restoration`` per method."""

    original: np.ndarray
    pooled: Upsampled
    factor: int
    restorations: dict[str, Restoration]

    def sentence(self) -> str:
        """Which method came closest, and which was farthest off."""
        ranked = sorted(self.restorations, key=lambda name: self.restorations[name].error)
        best, worst = ranked[0], ranked[-1]
        rows, columns = self.pooled.values.shape
        return (
            f"From {columns} x {rows} pooled cells {best} comes closest to the map before pooling (error "
            f"{self.restorations[best].error:.2f} standard deviations), {worst} is farthest off "
            f"({self.restorations[worst].error:.2f})."
        )


def matching_padding(kernel: int, stride: int) -> tuple[int, int]:
    """Padding and output padding with which a transpose convolution makes exactly ``stride`` times the size.

    Raises ValueError where there is none: stride 1 with an even kernel.
    """
    if kernel < stride:
        found = (0, stride - kernel)
    else:
        found = ((kernel - stride + 1) // 2, (kernel - stride) % 2)
    if output_size(kernel, kernel, stride, *found) != kernel * stride:
        raise ValueError(f"no padding makes kernel {kernel} with stride {stride} keep the ratio")
    return found


def compare(values: np.ndarray, factor: int = 2, kernel: int = 3) -> Comparison:
    """Max-pool a map (H, W) by ``factor`` and enlarge it again by every method of ``METHODS``.

    kernel: cells per side of the transpose convolution's flat kernel, scaled so that the mean is kept.
    Raises ValueError for a map smaller than one window, and for numbers that do not fit.
    """
    given = checked(values)
    if given.ndim != 2 or min(given.shape) < factor:
        raise ValueError(f"a map (H, W) of at least {factor} x {factor} cells is needed, not {given.shape}")
    rows, columns = (side // factor * factor for side in given.shape)
    original = given[:rows, :columns]
    pooled = max_pooling(original, factor)
    assert pooled.switches is not None
    flat = np.full((kernel, kernel), factor**2 / kernel**2)
    answers = (
        nearest_unpooling(pooled.values, factor),
        bed_of_nails(pooled.values, factor),
        max_unpooling(pooled.values, pooled.switches, (rows, columns)),
        bilinear(pooled.values, factor),
        transpose_convolution(pooled.values, flat, factor, *matching_padding(kernel, factor)),
    )
    spread = float(original.std()) or 1.0
    restorations = {
        name: Restoration(
            answer,
            float(np.sqrt(np.mean((answer.values - original) ** 2))) / spread,
            float((answer.values == 0).mean()),
        )
        for name, answer in zip(METHODS, answers, strict=True)
    }
    return Comparison(original, pooled, factor, restorations)


def map_picture(
    values: np.ndarray, side: int = 480, *, low: float = 0.0, high: float | None = None, colours: str = "inferno"
) -> np.ndarray:
    """A map (H, W) as a picture of hard-edged cells, uint8 RGB, its longest side about ``side`` pixels.

    low, high: the values of the colour scale's ends; high None is the map's largest value. Give the same ends to maps
    that are to be compared.
    """
    given = checked(values)
    if given.ndim != 2:
        raise ValueError(f"a map must be (H, W), not {given.shape}")
    top = float(given.max()) if high is None else high
    scaled = (given - low) / (top - low) if top > low else np.zeros_like(given)
    levels = np.round(np.clip(scaled, 0, 1) * 255).astype(np.uint8)
    cell = max(1, side // max(given.shape))
    large = cv2.resize(levels, None, fx=cell, fy=cell, interpolation=cv2.INTER_NEAREST)
    return np.ascontiguousarray(colour_table(colours)[large])
