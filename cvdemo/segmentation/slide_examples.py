"""The small examples printed on the lectures' slides, as data; every answer is computed when it is asked for.

Decks by their numbers in the lessons; ``slide`` is the printed page number where the deck has one. Where a slide draws
an operation without numbers, ``ours`` is True: sizes are the slide's, values are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cvdemo.segmentation.linear_map import NO_TAP, LinearMap
from cvdemo.segmentation.roi import Aligned, Pooled, Reduce, Sections, bins, roi_align, roi_pool
from cvdemo.segmentation.transpose_convolution import convolution, convolution_map, transpose_convolution
from cvdemo.segmentation.upsampling import (
    Upsampled,
    bed_of_nails,
    bilinear,
    max_pooling,
    max_unpooling,
    nearest_unpooling,
)


@dataclass(frozen=True)
class Source:
    """Where an example stands. deck: "001".   slide: page number, None where the deck prints none.   heading: of the
    slide.   also: other decks that show the same operation without numbers."""

    deck: str
    slide: int | None
    heading: str
    also: tuple[str, ...] = ()

    def words(self) -> str:
        """ "Deck 001, slide 136, “…”; also decks 003, 004"."""
        page = f", slide {self.slide}" if self.slide is not None else ""
        more = f"; also deck{'s' if len(self.also) > 1 else ''} {', '.join(self.also)}" if self.also else ""
        return f"Deck {self.deck}{page}, “{self.heading}”{more}"


@dataclass(frozen=True, eq=False)
class GridExample:
    """A map and an operation on it. operation: a method of ``upsampling.METHODS``, "convolution" or "max pooling".

    pooled_from: for max unpooling, the map whose pooling set the switches.   ours: see the module.
    """

    key: str
    title: str
    source: Source
    operation: str
    values: tuple[tuple[float, ...], ...]
    kernel: tuple[tuple[float, ...], ...] = ()
    stride: int = 2
    padding: int = 0
    output_padding: int = 0
    pooled_from: tuple[tuple[float, ...], ...] = ()
    ours: bool = False

    def compute(self) -> Upsampled:
        """Do the operation now."""
        values = np.array(self.values, np.float64)
        if self.operation == "nearest":
            return nearest_unpooling(values, self.stride)
        if self.operation == "bed of nails":
            return bed_of_nails(values, self.stride)
        if self.operation == "bilinear":
            return bilinear(values, self.stride)
        if self.operation == "max pooling":
            return max_pooling(values, self.stride)
        if self.operation == "max unpooling":
            before = max_pooling(np.array(self.pooled_from, np.float64), self.stride)
            rows, columns = before.input.shape
            assert before.switches is not None
            return max_unpooling(values, before.switches, (rows, columns))
        kernel = np.array(self.kernel, np.float64)
        if self.operation == "convolution":
            return convolution(values, kernel, self.stride, self.padding)
        return transpose_convolution(values, kernel, self.stride, self.padding, self.output_padding)


@dataclass(frozen=True, eq=False)
class MatrixExample:
    """A 1-D convolution in letters: kernel x y z, vector a b c d, as the slides write it.

    transposed: whether the slide multiplies with the transpose.   padded: whether the matrix has columns for the zeros
    around the vector, as slides 150 to 153 have.
    """

    key: str
    title: str
    source: Source
    vector: str
    kernel: str
    size: int
    stride: int
    padding: int
    transposed: bool
    padded: bool = True

    def layout(self) -> LinearMap:
        """The matrix the slide shows: C or its transpose. ``size`` is the length that C is applied to."""
        taps = np.arange(1.0, len(self.kernel) + 1)
        matrix = convolution_map((self.size,), taps, self.stride, self.padding, with_padding=self.padded)
        return matrix.transpose() if self.transposed else matrix

    def matrix(self) -> list[list[str]]:
        """Its rows in letters, "0" where nothing stands."""
        return letters(self.layout(), self.kernel)

    def column(self) -> list[str]:
        """The vector it is multiplied with, with the zeros of the padding around it."""
        if self.transposed or not self.padded:
            return list(self.vector)
        return ["0"] * self.padding + list(self.vector) + ["0"] * self.padding

    def product(self) -> list[str]:
        """The result in letters, one sum per row: "ay + bz"."""
        return products(self.layout(), self.column(), self.kernel)


def letters(layout: LinearMap, kernel: Sequence[str]) -> list[list[str]]:
    """A matrix with the kernel's letters in the place of its weights; "0" where nothing stands."""
    return [["0" if tap == NO_TAP else kernel[tap] for tap in row] for row in layout.dense_taps().tolist()]


def products(layout: LinearMap, vector: Sequence[str], kernel: Sequence[str]) -> list[str]:
    """Matrix times vector in letters: the vector's letter, then the kernel's; products with a 0 vanish."""
    rows = letters(layout, kernel)
    sums = []
    for row in rows:
        terms = [name + weight for weight, name in zip(row, vector, strict=True) if "0" not in (weight, name)]
        sums.append(" + ".join(terms) or "0")
    return sums


@dataclass(frozen=True, eq=False)
class RoiExample:
    """A feature map and a region on it. region: x1 y1 x2 y2 in cells, end not included.   output: bins down, across.

    sections: how the slide divides the region.
    """

    key: str
    title: str
    source: Source
    features: tuple[tuple[float, ...], ...] = field(repr=False)
    region: tuple[int, int, int, int] = (0, 0, 1, 1)
    output: tuple[int, int] = (2, 2)
    sections: Sections = "disjoint"

    def pool(self, sections: Sections | None = None) -> Pooled:
        """RoIPool; ``sections`` None divides as the slide does."""
        x1, y1, x2, y2 = self.region
        # In RoIPool's own convention the last cell is named, not the one behind it.
        box = (x1, y1, x2 - 1, y2 - 1)
        pooled = roi_pool(np.array(self.features), box, self.output, 1.0, sections or self.sections)
        whole = (float(x1), float(y1), float(x2), float(y2))
        return replace(pooled, box=whole, region=whole)  # so that drawings show the slide's box, not its last cells

    def align(self, sampling: int = 2, *, maximum: bool = False) -> Aligned:
        """RoIAlign of the same region; ``maximum`` takes the largest of a bin's points, as deck 002 draws it."""
        reduce: Reduce = "max" if maximum else "mean"
        return roi_align(np.array(self.features), self.region, self.output, 1.0, sampling, reduce=reduce)


@dataclass(frozen=True, eq=False)
class BinExample:
    """How large RoIPool's bins become: a region of ``region`` cells (first number, second number) into ``output``."""

    key: str
    title: str
    source: Source
    region: tuple[int, int]
    output: tuple[int, int]

    def bin_sizes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The sizes, in cells, of the bins along the first and the second number."""
        sizes = [np.diff(bins(size, count), axis=1)[:, 0].tolist() for size, count in zip(self.region, self.output)]
        return tuple(sizes[0]), tuple(sizes[1])


SlideExample = GridExample | MatrixExample | RoiExample | BinExample

_SMALL = ((1.0, 2.0), (3.0, 4.0))
_RAMP = tuple(tuple(float(4 * row + column + 1) for column in range(4)) for row in range(4))
_CROSS = ((1.0, 2.0, 1.0), (2.0, 4.0, 2.0), (1.0, 2.0, 1.0))
_POOLED_FROM = ((1.0, 2.0, 6.0, 3.0), (3.0, 5.0, 2.0, 1.0), (1.0, 2.0, 2.0, 1.0), (7.0, 3.0, 4.0, 8.0))
_ROI_MAP = (
    (0.88, 0.44, 0.14, 0.16, 0.37, 0.77, 0.96, 0.27),
    (0.19, 0.45, 0.57, 0.16, 0.63, 0.29, 0.71, 0.70),
    (0.66, 0.26, 0.82, 0.64, 0.54, 0.73, 0.59, 0.26),
    (0.85, 0.34, 0.76, 0.84, 0.29, 0.75, 0.62, 0.25),
    (0.32, 0.74, 0.21, 0.39, 0.34, 0.03, 0.33, 0.48),
    (0.20, 0.14, 0.16, 0.13, 0.73, 0.65, 0.96, 0.32),
    (0.19, 0.69, 0.09, 0.86, 0.88, 0.07, 0.01, 0.48),
    (0.83, 0.24, 0.97, 0.04, 0.24, 0.35, 0.50, 0.91),
)
_UNPOOLING = Source("001", 136, "In-Network upsampling: Unpooling", ("000", "003", "004"))
_MAX_UNPOOLING = Source("003", None, "Learnable Upsampling: Max Unpooling", ("001 (slide 137)", "004"))
_MATRIX = "Convolution as Matrix Multiplication (1D Example)"
_TRANSPOSE = "Learnable Upsampling: Transpose Convolution"
_ROI_BINS = Source("003", None, "Making RCNN faster via ROI Pooling")

EXAMPLES: tuple[SlideExample, ...] = (
    GridExample("nearest", "Nearest neighbour unpooling, 2 x 2 to 4 x 4", _UNPOOLING, "nearest", _SMALL),
    GridExample("bed-of-nails", "Bed of nails, 2 x 2 to 4 x 4", _UNPOOLING, "bed of nails", _SMALL),
    GridExample("max-pooling", "Max pooling that remembers which element was largest", _MAX_UNPOOLING, "max pooling",
                _POOLED_FROM),
    GridExample("max-unpooling", "Max unpooling with the positions from the pooling layer", _MAX_UNPOOLING,
                "max unpooling", _SMALL, pooled_from=_POOLED_FROM),
    GridExample("convolution-1", "Recall: 3 x 3 convolution, stride 1, pad 1, 4 x 4 to 4 x 4",
                Source("001", 138, _TRANSPOSE), "convolution", _RAMP, _CROSS, 1, 1, ours=True),
    GridExample("convolution-2", "Recall: 3 x 3 convolution, stride 2, pad 1, 4 x 4 to 2 x 2",
                Source("001", 141, _TRANSPOSE), "convolution", _RAMP, _CROSS, 2, 1, ours=True),
    GridExample("transpose-convolution", "3 x 3 transpose convolution, stride 2, pad 1, 2 x 2 to 4 x 4",
                Source("001", 144, _TRANSPOSE, ("003",)), "transpose convolution", _SMALL, _CROSS, 2, 1, 1, ours=True),
    MatrixExample("matrix-1", "Convolution as a matrix, stride 1", Source("001", 150, _MATRIX), "abcd", "xyz", 4, 1, 1,
                  False),
    MatrixExample("matrix-1-transposed", "Its transpose, stride 1", Source("001", 151, _MATRIX), "abcd", "xyz", 4, 1,
                  1, True),
    MatrixExample("matrix-2", "Convolution as a matrix, stride 2", Source("001", 152, _MATRIX), "abcd", "xyz", 4, 2, 1,
                  False),
    MatrixExample("matrix-2-transposed", "Its transpose, stride 2", Source("001", 153, _MATRIX), "ab", "xyz", 4, 2, 1,
                  True),
    RoiExample("roi-8x8", "Region of interest pooling on an 8 x 8 map",
               Source("002", None, "Region of Interest Pooling", ("001 (slides 36 to 40)",)), _ROI_MAP, (0, 3, 7, 8)),
    BinExample("roi-bins-3x2", "A region of 21 x 14 cells becomes 7 x 7", _ROI_BINS, (21, 14), (7, 7)),
    BinExample("roi-bins-5x6", "A region of 35 x 42 cells becomes 7 x 7", _ROI_BINS, (35, 42), (7, 7)),
)  # fmt: skip


def example(key: str) -> SlideExample:
    """The example of that key; KeyError naming those there are."""
    for found in EXAMPLES:
        if found.key == key:
            return found
    raise KeyError(f"there is no slide example {key!r}; there are {', '.join(found.key for found in EXAMPLES)}")
