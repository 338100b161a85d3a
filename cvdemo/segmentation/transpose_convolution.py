"""Transpose convolution in the three ways the lectures show it, and why it paints checkerboards.

1. As a stamp (deck 001 slides 144 to 149): every input cell lays the kernel, times its value, on the output,
   ``stride`` cells apart; where stamps overlap they add up.
2. As a matrix (slides 150 to 153): a convolution is a sparse matrix C times the map, and transpose convolution
   multiplies with the transpose of C.
3. As counts (Odena et al. 2016, "Deconvolution and checkerboard artifacts", Distill): how many stamps meet in a
   cell. When the kernel is no multiple of the stride, that number differs from cell to cell, and so does the output.

As in the field and on the slides, "convolution" does not flip the kernel. Maps are (W,) or (H, W); one channel.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from cvdemo.segmentation.linear_map import Axis, Cell, LinearMap, checked, combine
from cvdemo.segmentation.upsampling import LARGEST_OUTPUT, Upsampled


def output_size(size: int, kernel: int, stride: int, padding: int = 0, output_padding: int = 0) -> int:
    """Cells along one axis after a transpose convolution: (size - 1) stride - 2 padding + kernel + output_padding.

    Several input sizes of a strided convolution share one output size; output padding says which of them to go back
    to. Raises ValueError for numbers no transpose convolution has, and where nothing is left.
    """
    if min(size, kernel, stride) < 1 or padding < 0:
        raise ValueError(
            f"size {size}, kernel {kernel}, stride {stride}, padding {padding} are no transpose convolution"
        )
    if not 0 <= output_padding < stride:
        raise ValueError(f"the output padding must be smaller than the stride {stride}, not {output_padding}")
    found = (size - 1) * stride - 2 * padding + kernel + output_padding
    if found < 1:
        raise ValueError(f"padding {padding} cuts everything off: use less padding, or a larger kernel or stride")
    return found


def convolution_output_size(size: int, kernel: int, stride: int, padding: int = 0) -> int:
    """Cells along one axis after a convolution: floor((size + 2 padding - kernel) / stride) + 1; ValueError if none."""
    if min(size, kernel, stride) < 1 or padding < 0:
        raise ValueError(f"no convolution has size {size}, kernel {kernel}, stride {stride} and padding {padding}")
    if size + 2 * padding < kernel:
        raise ValueError(f"a kernel of {kernel} does not fit into {size} cells with a padding of {padding}")
    return (size + 2 * padding - kernel) // stride + 1


def convolution_map(
    shape: Cell, kernel: np.ndarray, stride: int = 1, padding: int = 0, *, with_padding: bool = False
) -> LinearMap:
    """The matrix C of a convolution on maps of ``shape``: C times the map, read row by row, is the convolution.

    kernel: (k,) or (k, l), as many axes as ``shape``.
    with_padding: C also has columns for the zeros around the map, as the slides write it; its ``shape_in`` is then
    that of the padded map. Without, those columns are left out: they only ever meet zeros.
    Raises ValueError for shapes that do not fit each other.
    """
    weights = checked(kernel)
    if weights.ndim != len(shape):
        raise ValueError(f"a kernel of shape {weights.shape} does not fit a map of {len(shape)} axes")
    axes = []
    for size, taps in zip(shape, weights.shape):
        count = convolution_output_size(size, taps, stride, padding)
        axes.append(_convolution_axis(size, taps, stride, padding, count, with_padding))
    return combine(axes, weights)


def _convolution_axis(size: int, taps: int, stride: int, padding: int, count: int, with_padding: bool) -> Axis:
    outputs, kernel = (part.reshape(-1) for part in np.meshgrid(np.arange(count), np.arange(taps), indexing="ij"))
    inputs = outputs * stride + kernel
    if with_padding:
        size += 2 * padding
    else:
        inputs = inputs - padding
    kept = (inputs >= 0) & (inputs < size)
    inputs, outputs, kernel = inputs[kept], outputs[kept], kernel[kept]
    return Axis(size, count, inputs, outputs, np.ones(len(inputs)), kernel, taps)


def convolution(values: np.ndarray, kernel: np.ndarray, stride: int = 1, padding: int = 0) -> Upsampled:
    """The ordinary convolution, by sliding the kernel over the zero-padded map; ``map`` is the matrix C."""
    given, weights = checked(values), checked(kernel)
    layout = convolution_map(given.shape, weights, stride, padding)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(given, padding), weights.shape)
    windows = windows[tuple(slice(None, None, stride) for _ in weights.shape)]
    out = np.tensordot(windows, weights, weights.ndim)
    return Upsampled("convolution", given, out, layout, kernel=weights)


def transpose_convolution(
    values: np.ndarray, kernel: np.ndarray, stride: int = 2, padding: int = 0, output_padding: int = 0
) -> Upsampled:
    """Stamp the kernel, times each input value, ``stride`` apart; then cut ``padding`` cells off every side.

    values: (W,) or (H, W).   kernel: of as many axes.   output_padding: cells added at the end of every axis, before
    the cut; less than the stride. ``map`` is the transpose of the matrix C of the convolution with the same numbers.
    Raises ValueError for sizes that leave nothing, or more than 2^20 cells.
    """
    given, weights = checked(values), checked(kernel)
    if weights.ndim != given.ndim:
        raise ValueError(f"a kernel of shape {weights.shape} does not fit a map of shape {given.shape}")
    shape = tuple(
        output_size(size, taps, stride, padding, output_padding) for size, taps in zip(given.shape, weights.shape)
    )
    if math.prod(shape) > LARGEST_OUTPUT:
        raise ValueError(f"an output of {' x '.join(map(str, shape))} cells is too large for the bench")
    canvas = np.zeros([size + 2 * padding for size in shape])
    # One tap for all input cells at a time: a plain sum, and as many steps as the kernel has cells.
    for tap in itertools.product(*(range(taps) for taps in weights.shape)):
        place = tuple(slice(t, t + stride * (n - 1) + 1, stride) for t, n in zip(tap, given.shape))
        canvas[place] += weights[tap] * given
    out = canvas[tuple(slice(padding, padding + size) for size in shape)].copy()
    layout = transpose_convolution_map(given.shape, weights, stride, padding, output_padding)
    return Upsampled("transpose convolution", given, out, layout, kernel=weights)


def transpose_convolution_map(
    shape: Cell, kernel: np.ndarray, stride: int, padding: int = 0, output_padding: int = 0
) -> LinearMap:
    """The matrix of a transpose convolution on maps of ``shape``: C transposed, C being the convolution's that brings
    the output's shape back to ``shape``. Raises ValueError as ``output_size``."""
    weights = checked(kernel)
    axes = []
    for size, taps in zip(shape, weights.shape):
        large = output_size(size, taps, stride, padding, output_padding)
        axes.append(_convolution_axis(large, taps, stride, padding, size, False))
    return combine(axes, weights).transpose()


def bilinear_kernel(factor: int) -> np.ndarray:
    """The kernel (2 factor - factor mod 2, the same) with which a transpose convolution interpolates bilinearly.

    With stride ``factor`` and padding ceil((factor - 1) / 2) it equals bilinear interpolation (align_corners False)
    away from the border; FCN starts its learnt up-sampling from it (Long et al. 2015). ValueError for a factor below 1.
    """
    if factor < 1:
        raise ValueError(f"the factor must be at least 1, not {factor}")
    size = 2 * factor - factor % 2
    middle = (size - 1) / 2
    line = 1 - np.abs(np.arange(size) - middle) / factor
    return np.outer(line, line)


# ------------------------------------------------------------------ checkerboards


def overlap_counts(
    shape: Cell, kernel: int | Cell, stride: int, padding: int = 0, output_padding: int = 0
) -> np.ndarray:
    """How many stamps meet in every output cell, int64 of the output's shape; errors as ``output_size``.

    shape: of the input.   kernel: cells per axis, one number for all axes or one each.
    """
    sizes = (kernel,) * len(shape) if isinstance(kernel, int) else tuple(kernel)
    lines = []
    for size, taps in zip(shape, sizes, strict=True):
        count = output_size(size, taps, stride, padding, output_padding)
        axis = _convolution_axis(count, taps, stride, padding, size, False)
        lines.append(np.bincount(axis.inputs, minlength=count))
    return lines[0] if len(lines) == 1 else np.multiply.outer(lines[0], lines[1])


def interior_counts(kernel: int, stride: int) -> tuple[int, ...]:
    """The repeating pattern of counts along one axis far from the borders: ``stride`` numbers.

    All are equal exactly when the stride divides the kernel.
    """
    output_size(1, kernel, stride)  # refuses impossible numbers
    return tuple(len(range(phase, kernel, stride)) for phase in range(stride))


def checkerboard_sentence(kernel: int, stride: int, axes: int = 2) -> str:
    """Whether these numbers make a checkerboard, and why, in one or two sentences."""
    pattern = interior_counts(kernel, stride)
    shown = ", ".join(map(str, pattern))
    if len(set(pattern)) == 1:
        every = pattern[0] ** axes
        stamps = "1 stamp" if every == 1 else f"{every} stamps"
        return (
            f"Kernel {kernel} is a multiple of stride {stride}: {stamps} in every cell away from the border. "
            "No checkerboard comes from the overlap; unequal kernel weights can still make one."
        )
    if kernel < stride:
        return f"Kernel {kernel} is smaller than stride {stride}: some cells get no stamp at all and stay 0."
    low, high = min(pattern) ** axes, max(pattern) ** axes
    square = f", so from {low} to {high} stamps per cell in two dimensions" if axes == 2 else ""
    return (
        f"Kernel {kernel} is no multiple of stride {stride}: along an axis {shown} stamps meet in turn{square}. "
        "That uneven overlap is the checkerboard."
    )
