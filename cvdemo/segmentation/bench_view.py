"""What the Up-sampling view shows: the slides' examples, a transpose convolution of one's own, real maps, skips, RoIs.

Puts the panels of ``upsampling_view`` and ``roi_view`` together; HTML only, no network.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cvdemo.core.media import encode_picture
from cvdemo.core.settings import Settings, setting
from cvdemo.segmentation.feature_maps import FeatureMap
from cvdemo.segmentation.restoration import Comparison, map_picture
from cvdemo.segmentation.roi import Box, roi_align, roi_pool
from cvdemo.segmentation.roi_view import roi_panel
from cvdemo.segmentation.slide_examples import (
    EXAMPLES,
    BinExample,
    GridExample,
    MatrixExample,
    RoiExample,
    example,
)
from cvdemo.segmentation.transpose_convolution import transpose_convolution
from cvdemo.segmentation.upsampling import Upsampled
from cvdemo.segmentation.upsampling_view import (
    LARGEST_TABLE,
    letters_panel,
    matrix_panel,
    operation_panel,
    overlap_panel,
    said,
)

KEYS = tuple(each.key for each in EXAMPLES)
TITLES = [(each.title, each.key) for each in EXAMPLES]
ROI_BINS = (7, 7)


@dataclass(frozen=True)
class BenchSettings(Settings):
    """What the bench is set to."""

    example: str = setting(
        "nearest", label="Example of the slides", choices=KEYS, help="Computed now, from the numbers on the slide."
    )
    cell: int = setting(
        0, label="Cell to look at", minimum=0, maximum=64, step=1,
        help="Output cells in reading order, 1 the first: marks what the cell is made of. 0 marks nothing.",
    )  # fmt: skip
    size: int = setting(2, label="Input size", minimum=1, maximum=4, step=1, help="Cells down and across.")
    kernel: int = setting(3, label="Kernel", minimum=1, maximum=5, step=1, help="Cells down and across.")
    stride: int = setting(
        2, label="Stride", minimum=1, maximum=4, step=1, help="How far apart the kernel is stamped on the output."
    )
    padding: int = setting(
        1, label="Padding", minimum=0, maximum=2, step=1, help="Cells cut off every side of the output."
    )
    output_padding: int = setting(
        1, label="Output padding", minimum=0, maximum=3, step=1, help="Cells added at the end; less than the stride."
    )
    stamped: int = setting(
        0, label="Cell to look at", minimum=0, maximum=49, step=1, help="Output cell in reading order; 0 marks nothing."
    )
    level: int = setting(
        1, label="Level", minimum=0, maximum=3, step=1,
        help="Which map of our backbone: strides 4, 8, 16 and 32 for 0 to 3.",
    )  # fmt: skip
    rank: int = setting(
        0, label="Channel", minimum=0, maximum=31, step=1, help="0 is the channel whose values vary the most."
    )
    factor: int = setting(
        2, label="Pooled by", minimum=2, maximum=4, step=1, help="Size of the max pooling that is undone."
    )
    skip4: bool = setting(True, label="Skip at stride 4", help="The finest features reach the decoder.", network=True)
    skip8: bool = setting(True, label="Skip at stride 8", help="Features of stride 8 do.", network=True)
    skip16: bool = setting(True, label="Skip at stride 16", help="Features of stride 16 do.", network=True)

    @property
    def skips(self) -> tuple[bool, bool, bool]:
        """At strides 4, 8 and 16."""
        return self.skip4, self.skip8, self.skip16


def cell_of(number: int, shape: Sequence[int]) -> tuple[int, ...] | None:
    """The ``number``-th cell of a map in reading order, counted from 1; None for 0 and beyond the last."""
    if not 1 <= number <= int(np.prod(shape)):
        return None
    return tuple(int(value) for value in np.unravel_index(number - 1, tuple(shape)))


def example_html(settings: BenchSettings) -> str:
    """One example of the slides, computed."""
    chosen = example(settings.example)
    text = ""
    if isinstance(chosen, GridExample):
        result = chosen.compute()
        text = operation_panel(result, output_cell=cell_of(settings.cell, result.values.shape))
        if result.kernel is not None and max(result.map.dense().shape) <= LARGEST_TABLE:
            text += _as_matrix(result, settings.cell)
        if chosen.ours:
            text += '<p class="caption">The slide shows the operation without numbers; these are ours.</p>'
    elif isinstance(chosen, MatrixExample):
        rows = len(chosen.matrix())
        text = letters_panel(chosen, settings.cell - 1 if 1 <= settings.cell <= rows else None)
    elif isinstance(chosen, RoiExample):
        place = cell_of(settings.cell, chosen.output)
        bin_ = (place[0], place[1]) if place is not None else None
        text = roi_panel(chosen.pool(), chosen.align(), bin_)
    elif isinstance(chosen, BinExample):
        first, second = chosen.bin_sizes()
        text = said(
            f"{chosen.region[0]} / {chosen.output[0]}: bins of {_sizes(first)} cells; {chosen.region[1]} / "
            f"{chosen.output[1]}: bins of {_sizes(second)} cells. Each bin gives its largest value."
        )
    return f'<div class="numbers">{text}<p class="caption">{html.escape(chosen.source.words())}</p></div>'


def _sizes(sizes: Sequence[int]) -> str:
    return str(sizes[0]) if len(set(sizes)) == 1 else ", ".join(map(str, sizes))


def _as_matrix(result: Upsampled, cell: int) -> str:
    row = cell - 1 if 1 <= cell <= result.values.size else None
    heading = "<h4>The same as a matrix multiplication</h4>"
    transposed = result.method == "transpose convolution"
    return heading + matrix_panel(result.map, result.input, transposed=transposed, row=row)


def transpose_html(settings: BenchSettings) -> str:
    """A transpose convolution with the sliders' numbers: stamps, matrix, overlaps; a sentence where there is none."""
    size, kernel = settings.size, settings.kernel
    values = np.arange(1.0, size * size + 1).reshape(size, size)
    ramp = np.minimum(np.arange(1, kernel + 1), np.arange(kernel, 0, -1)).astype(np.float64)
    numbers = (kernel, settings.stride, settings.padding, settings.output_padding)
    try:
        result = transpose_convolution(values, np.outer(ramp, ramp), *numbers[1:])
    except ValueError as error:
        return said(f"These numbers do not go together: {error}.")
    if max(result.values.shape) > LARGEST_TABLE:
        return said("The output is too large to be read as a table.")
    length = result.values.shape[0]
    formula = (
        f"Output size ({size} - 1) x {settings.stride} - 2 x {settings.padding} + {kernel} + "
        f"{settings.output_padding} = {length}"
    )
    text = said(formula) + operation_panel(result, output_cell=cell_of(settings.stamped, result.values.shape))
    text += "<h4>Where stamps overlap</h4>" + overlap_panel((size, size), *numbers)
    if max(result.map.shape_out[0] * result.map.shape_out[1], size * size) <= LARGEST_TABLE:
        text += _as_matrix(result, settings.stamped)
    else:
        text += '<p class="caption">Its matrix has more than 24 rows; choose a smaller input to see it.</p>'
    return f'<div class="numbers">{text}</div>'


def _figure(values: np.ndarray, title: str, words: str, high: float) -> str:
    data = base64.b64encode(encode_picture(map_picture(values, 360, high=high))).decode()
    return (
        f'<figure style="margin:0;flex:1 1 220px;max-width:360px"><img src="data:image/png;base64,{data}" '
        f'alt="{html.escape(title)}" style="width:100%;border-radius:6px;image-rendering:pixelated">'
        f"<figcaption><strong>{html.escape(title)}</strong><br>{html.escape(words)}</figcaption></figure>"
    )


def restoration_html(shown: FeatureMap, found: Comparison) -> str:
    """A real feature map, pooled, and what every method makes of the pooled map, in one colour scale."""
    high = float(found.original.max())
    rows, columns = found.pooled.values.shape
    parts = [
        _figure(found.original, "Before pooling", shown.sentence(), high),
        _figure(found.pooled.values, "Max-pooled", f"{columns} x {rows} cells", high),
    ]
    for name, each in found.restorations.items():
        words = f"error {each.error:.2f} standard deviations, {100 * each.zeros:.0f} % zeros"
        parts.append(_figure(each.upsampled.values, name.capitalize(), words, high))
    body = "".join(parts)
    return (
        f'{said(found.sentence())}<div style="display:flex;flex-wrap:wrap;gap:14px">{body}</div>'
        '<p class="hint">Max unpooling is given the switches of the pooling; the transpose convolution has a flat '
        "kernel, because nothing is learnt here.</p>"
    )


def roi_html(shown: FeatureMap, box: Box, about: str) -> str:
    """RoIPool and RoIAlign of a real box on a real feature map."""
    pooled = roi_pool(shown.values, box, ROI_BINS, shown.scale)
    aligned = roi_align(shown.values, box, ROI_BINS, shown.scale)
    corners = ", ".join(f"{value:.0f}" for value in box)
    heading = said(f"{about}: x1, y1, x2, y2 = {corners} px. {shown.sentence()}")
    return f'<div class="numbers">{heading}{roi_panel(pooled, aligned)}</div>'
