"""Up-sampling without learnt weights, as decks 000, 001, 003 and 004 teach it: unpooling, max unpooling, bilinear.

Every function takes a map (W,) or (H, W) and returns the new map together with the matrix that made it
(``linear_map``), so that a drawing can show which input cells an output cell comes from. Transpose convolution is in
``transpose_convolution``. Maps are small, or one channel of a feature map; arithmetic is float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvdemo.segmentation.linear_map import Axis, LinearMap, checked, combine

METHODS: tuple[str, ...] = ("nearest", "bed of nails", "max unpooling", "bilinear", "transpose convolution")
LARGEST_OUTPUT = 1 << 20  # cells; beyond that a list of matrix entries is no way to work


@dataclass(frozen=True, eq=False)
class Upsampled:
    """What a method made of a map.

    Attributes:
        method: its name, one of ``METHODS`` or "convolution", "max pooling".
        input: the map it was given.   values: the map it made, float64, both (W,) or (H, W).
        map: the matrix with values = matrix times input.
        kernel: the weights of a (transpose) convolution, else None.
        switches: (h, w) int64, for max pooling and unpooling the flat cell each pooled value came from, else None.
        note: a sentence a reader should see with it, or "".
    """

    method: str
    input: np.ndarray
    values: np.ndarray
    map: LinearMap
    kernel: np.ndarray | None = None
    switches: np.ndarray | None = None
    note: str = ""


def _factor(factor: int) -> int:
    if int(factor) != factor or factor < 1:
        raise ValueError(f"the factor must be a whole number from 1 on, not {factor}")
    return int(factor)


def _check_size(shape: tuple[int, ...]) -> None:
    if np.prod(shape, dtype=np.float64) > LARGEST_OUTPUT:
        raise ValueError(f"an output of {' x '.join(map(str, shape))} cells is too large for the bench")


def nearest_unpooling(values: np.ndarray, factor: int = 2) -> Upsampled:
    """Every cell becomes a block of ``factor`` x ``factor`` equal cells (deck 001 slide 136).

    Raises ValueError for a map that is empty or not finite, a factor below 1, or an output of more than 2^20 cells.
    """
    given, factor = checked(values), _factor(factor)
    _check_size(tuple(factor * size for size in given.shape))
    out = given
    for axis in range(given.ndim):
        out = np.repeat(out, factor, axis)
    axes = []
    for size in given.shape:
        outputs = np.arange(size * factor)
        axes.append(_plain_axis(size, size * factor, outputs // factor, outputs))
    return Upsampled("nearest", given, out, combine(axes))


def bed_of_nails(values: np.ndarray, factor: int = 2) -> Upsampled:
    """Every cell goes to the top left corner of its block, the rest is 0 (deck 001 slide 136). Errors as above."""
    given, factor = checked(values), _factor(factor)
    shape = tuple(factor * size for size in given.shape)
    _check_size(shape)
    out = np.zeros(shape)
    out[tuple(slice(None, None, factor) for _ in shape)] = given
    axes = [_plain_axis(size, size * factor, np.arange(size), np.arange(size) * factor) for size in given.shape]
    return Upsampled("bed of nails", given, out, combine(axes))


def _plain_axis(size_in: int, size_out: int, inputs: np.ndarray, outputs: np.ndarray) -> Axis:
    return Axis(size_in, size_out, inputs, outputs, np.ones(len(inputs)), np.full(len(inputs), -1))


# ------------------------------------------------------------------ max pooling and its switches


def max_pooling(values: np.ndarray, kernel: int = 2, stride: int | None = None, padding: int = 0) -> Upsampled:
    """The largest value of each window, and its place: the switch (SegNet, Badrinarayanan et al. 2017).

    values: (H, W).   stride: None for the kernel.   padding: cells of minus infinity around, at most half a kernel.
    Of equal values the first in reading order wins. ``switches`` holds flat cells of the input.
    Raises ValueError for sizes that leave no window, and for too much padding.
    """
    given = checked(values)
    if given.ndim != 2:
        raise ValueError(f"max pooling needs a map (H, W), not {given.shape}")
    step = kernel if stride is None else stride
    if kernel < 1 or step < 1 or not 0 <= padding <= kernel // 2:
        raise ValueError(f"no pooling has kernel {kernel}, stride {step} and padding {padding}")
    if min(given.shape) + 2 * padding < kernel:
        raise ValueError(f"a window of {kernel} x {kernel} does not fit into {given.shape[0]} x {given.shape[1]}")
    padded = np.pad(given, padding, constant_values=-np.inf)
    places = np.pad(np.arange(given.size).reshape(given.shape), padding, constant_values=-1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel))[::step, ::step]
    where = np.lib.stride_tricks.sliding_window_view(places, (kernel, kernel))[::step, ::step]
    shape = windows.shape[:2]
    best = windows.reshape(*shape, -1).argmax(-1)
    switches = np.take_along_axis(where.reshape(*shape, -1), best[..., None], -1)[..., 0].astype(np.int64)
    pooled = given.reshape(-1)[switches]
    outputs = np.arange(pooled.size)
    layout = _switch_map(given.shape, pooled.shape, switches.reshape(-1), outputs)
    return Upsampled("max pooling", given, pooled, layout, switches=switches)


def max_unpooling(values: np.ndarray, switches: np.ndarray, shape: tuple[int, int]) -> Upsampled:
    """Each value goes back to where its switch says, the rest is 0 (Zeiler and Fergus 2014; deck 001 slide 137).

    values, switches: (h, w) of the same shape; switches are flat cells of an output of ``shape``, as ``max_pooling``
    returns them. Where windows overlapped two values may meet in one cell: the last in reading order stays.
    Raises ValueError for shapes that differ or switches outside of the output.
    """
    given, places = checked(values), np.asarray(switches)
    if given.ndim != 2 or places.shape != given.shape or not np.issubdtype(places.dtype, np.integer):
        raise ValueError(f"switches must be whole numbers of shape {given.shape}, not {places.dtype} {places.shape}")
    _check_size(shape)
    if places.min() < 0 or places.max() >= shape[0] * shape[1]:
        raise ValueError(f"a switch points outside of {shape[0]} x {shape[1]}")
    flat = places.reshape(-1).astype(np.int64)
    # Reversed, the first time a place turns up is its last writer.
    _, last = np.unique(flat[::-1], return_index=True)
    winners = np.sort(given.size - 1 - last)
    out = np.zeros(shape)
    out.reshape(-1)[flat[winners]] = given.reshape(-1)[winners]
    lost = given.size - len(winners)
    note = f"{lost} of {given.size} values share a cell with another one and are lost." if lost else ""
    layout = _switch_map(given.shape, shape, winners, flat[winners])
    return Upsampled("max unpooling", given, out, layout, switches=places.astype(np.int64), note=note)


def _switch_map(
    shape_in: tuple[int, ...], shape_out: tuple[int, ...], inputs: np.ndarray, outputs: np.ndarray
) -> LinearMap:
    ones, taps = np.ones(len(inputs)), np.full(len(inputs), -1, np.int64)
    return LinearMap(tuple(shape_in), tuple(shape_out), (), inputs, outputs, ones, taps)


# ------------------------------------------------------------------ bilinear


def bilinear(values: np.ndarray, factor: int = 2, *, align_corners: bool = False) -> Upsampled:
    """Linear interpolation along each axis to ``factor`` times the size.

    align_corners False: cells are squares, and output cell i looks at (i + 0.5) / factor - 0.5, held inside of the
    map; what segmentation networks use. True: cells are points, the first and last of input and output coincide, and
    output cell i looks at i (size_in - 1) / (size_out - 1).
    Errors as ``nearest_unpooling``.
    """
    given, factor = checked(values), _factor(factor)
    _check_size(tuple(factor * size for size in given.shape))
    axes = [_bilinear_axis(size, factor * size, align_corners) for size in given.shape]
    out = given
    for number, axis in enumerate(axes):
        matrix = np.zeros((axis.size_out, axis.size_in))
        np.add.at(matrix, (axis.outputs, axis.inputs), axis.weights)
        out = np.moveaxis(np.tensordot(matrix, out, (1, number)), 0, number)
    return Upsampled("bilinear", given, out, combine(axes))


def source_positions(size_in: int, size_out: int, *, align_corners: bool = False) -> np.ndarray:
    """(size_out,) float64: where on the input's axis, counted in cells, each output cell looks; not below 0."""
    places = np.arange(size_out, dtype=np.float64)
    if align_corners:
        return places * ((size_in - 1) / (size_out - 1) if size_out > 1 else 0.0)
    return np.maximum((places + 0.5) * (size_in / size_out) - 0.5, 0.0)


def _bilinear_axis(size_in: int, size_out: int, align_corners: bool) -> Axis:
    """The one or two neighbours of every output cell; entries of weight 0 are left out."""
    where = source_positions(size_in, size_out, align_corners=align_corners)
    low = np.minimum(where.astype(np.int64), size_in - 1)
    high = np.minimum(low + 1, size_in - 1)
    share = np.where(high > low, where - low, 0.0)
    inputs = np.concatenate([low, high])
    outputs = np.tile(np.arange(size_out), 2)
    weights = np.concatenate([1 - share, share])
    kept = weights > 0
    inputs, outputs, weights = inputs[kept], outputs[kept], weights[kept]
    return Axis(size_in, size_out, inputs, outputs, weights, np.full(len(inputs), -1))
