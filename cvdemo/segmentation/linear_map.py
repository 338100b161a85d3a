"""A sparse matrix that remembers which cell each entry joins: what every up-sampling method of the lectures is.

For fixed switches each of them is linear, out = W in. So one class answers what the bench asks: which input cells make
an output cell, where an input cell goes, and what the transpose does (the backward pass of one is the forward pass of
another).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Cell = tuple[int, ...]
NO_TAP = -1


@dataclass(frozen=True)
class Share:
    """One entry of the matrix: ``weight`` joins this cell; ``tap`` is the kernel cell it comes from, () for none."""

    cell: Cell
    weight: float
    tap: Cell


@dataclass(frozen=True, eq=False)
class LinearMap:
    """The matrix W of ``out = W in`` for maps read row by row, as a list of its entries.

    Attributes:
        shape_in, shape_out: of the maps, (W,) or (H, W).   shape_kernel: of the kernel, () where there is none.
        inputs, outputs: (K,) int64, flat cell indices: column and row of an entry.   weights: (K,) float64.
        taps: (K,) int64, flat index of the kernel cell, -1 for none.
    """

    shape_in: Cell
    shape_out: Cell
    shape_kernel: Cell
    inputs: np.ndarray
    outputs: np.ndarray
    weights: np.ndarray
    taps: np.ndarray

    def apply(self, values: np.ndarray) -> np.ndarray:
        """W in: values of ``shape_in`` -> values of ``shape_out``, float64. ValueError for another shape."""
        flat = checked(values, self.shape_in).reshape(-1)
        size = math.prod(self.shape_out)
        return np.bincount(self.outputs, self.weights * flat[self.inputs], size).reshape(self.shape_out)

    def transpose(self) -> LinearMap:
        """The map of the transposed matrix, from ``shape_out`` to ``shape_in``."""
        return LinearMap(
            self.shape_out, self.shape_in, self.shape_kernel, self.outputs, self.inputs, self.weights, self.taps
        )

    def dense(self) -> np.ndarray:
        """The matrix (output cells, input cells) float64 with its zeros; entries at one place are added."""
        matrix = np.zeros((math.prod(self.shape_out), math.prod(self.shape_in)))
        np.add.at(matrix, (self.outputs, self.inputs), self.weights)
        return matrix

    def dense_taps(self) -> np.ndarray:
        """(output cells, input cells) int64: the flat kernel cell that stands at each place, -1 for a zero.

        Only for maps whose entries stand at places of their own, as a convolution's do.
        """
        matrix = np.full((math.prod(self.shape_out), math.prod(self.shape_in)), NO_TAP, np.int64)
        matrix[self.outputs, self.inputs] = self.taps
        return matrix

    def sources(self, cell: Sequence[int]) -> tuple[Share, ...]:
        """The input cells that make an output cell, in reading order. ValueError for a cell outside of the map."""
        return self._shares(self.outputs, self.inputs, _flat(cell, self.shape_out), self.shape_in)

    def targets(self, cell: Sequence[int]) -> tuple[Share, ...]:
        """The output cells an input cell goes to, in reading order. ValueError for a cell outside of the map."""
        return self._shares(self.inputs, self.outputs, _flat(cell, self.shape_in), self.shape_out)

    def _shares(self, here: np.ndarray, there: np.ndarray, index: int, shape: Cell) -> tuple[Share, ...]:
        found = np.flatnonzero(here == index)
        found = found[np.argsort(there[found], kind="stable")]
        return tuple(
            Share(
                unravel(int(there[k]), shape),
                float(self.weights[k]),
                unravel(int(self.taps[k]), self.shape_kernel) if self.taps[k] != NO_TAP else (),
            )
            for k in found
        )


def unravel(index: int, shape: Cell) -> Cell:
    """The cell at a flat index, as plain integers."""
    return tuple(int(value) for value in np.unravel_index(index, shape))


def _flat(cell: Sequence[int], shape: Cell) -> int:
    if len(cell) != len(shape) or not all(0 <= place < size for place, size in zip(cell, shape)):
        raise ValueError(f"there is no cell {tuple(cell)} in a map of {' x '.join(map(str, shape))}")
    return int(np.ravel_multi_index(tuple(cell), shape))


def checked(values: np.ndarray, shape: Cell | None = None) -> np.ndarray:
    """The values as float64; ValueError unless they are finite, 1-D or 2-D, not empty and of ``shape`` if given."""
    array = np.asarray(values, np.float64)
    if array.ndim not in (1, 2) or not array.size:
        raise ValueError(f"a map must be (W,) or (H, W) and not empty, not {array.shape}")
    if shape is not None and array.shape != shape:
        raise ValueError(f"the map must be {shape}, not {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("a map must hold finite numbers")
    return array


@dataclass(frozen=True)
class Axis:
    """One axis of a separable layout. (size_in, size_out) and, per entry, input, output, weight and kernel tap."""

    size_in: int
    size_out: int
    inputs: np.ndarray
    outputs: np.ndarray
    weights: np.ndarray
    taps: np.ndarray
    size_kernel: int = 0


def combine(axes: Sequence[Axis], kernel: np.ndarray | None = None) -> LinearMap:
    """The map of one or two axes: entries are all pairs, weights multiply, or come from the kernel by their taps.

    kernel: of as many axes; replaces the axes' own weights.
    """
    shape_in = tuple(axis.size_in for axis in axes)
    shape_out = tuple(axis.size_out for axis in axes)
    shape_kernel = tuple(kernel.shape) if kernel is not None else ()

    def joined(parts: Sequence[np.ndarray], shape: Cell) -> np.ndarray:
        grid = np.meshgrid(*parts, indexing="ij")
        return np.ravel_multi_index([part.reshape(-1) for part in grid], shape).astype(np.int64)

    inputs = joined([axis.inputs for axis in axes], shape_in)
    outputs = joined([axis.outputs for axis in axes], shape_out)
    if kernel is not None:
        taps = joined([axis.taps for axis in axes], shape_kernel)
        weights = np.asarray(kernel, np.float64).reshape(-1)[taps]
    else:
        taps = np.full(inputs.shape, NO_TAP, np.int64)
        grid = np.meshgrid(*[axis.weights for axis in axes], indexing="ij")
        weights = np.prod([part.reshape(-1) for part in grid], axis=0)
    return LinearMap(shape_in, shape_out, shape_kernel, inputs, outputs, weights, taps)
