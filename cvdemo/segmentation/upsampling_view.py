"""The up-sampling bench as HTML: maps as tables with the cells that belong together marked, matrices, overlap counts.

Marks never rest on colour alone: the chosen cell has a thick frame, its partners a dashed one. Colours are the page's
variables, lengths em, so light, dark and projector need nothing more. Rows and columns are counted from 1 in
everything a reader sees, from 0 in arguments.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cvdemo.segmentation.linear_map import Cell, LinearMap, Share
from cvdemo.segmentation.slide_examples import MatrixExample
from cvdemo.segmentation.transpose_convolution import checkerboard_sentence, overlap_counts
from cvdemo.segmentation.upsampling import Upsampled

CHOSEN_COLOUR = "var(--chart-right,#0b62b8)"
PARTNER_COLOUR = "var(--chart-wrong,#d55e00)"
SUBDUED = "var(--body-text-color-subdued,currentColor)"
_RULE = "var(--border-color-primary,#8884)"
_STRONGEST = 45  # per cent of tint under text that must stay legible
TIMES, MINUS = "\N{MULTIPLICATION SIGN}", "\N{MINUS SIGN}"
LARGEST_TABLE = 24  # rows or columns; larger maps are shown as pictures
MOST_TERMS = 9

_PANEL = "display:flex;flex-wrap:wrap;gap:0.8em 2em;align-items:flex-start;font-size:max(14px,1em)"
_TABLE = "border-collapse:collapse;width:auto;margin:0;font-variant-numeric:tabular-nums;font-size:1em"
_HEAD = f"padding:0.1em 0.4em;border:none;background:none;font-weight:400;color:{SUBDUED};text-align:center"


@dataclass(frozen=True)
class Mark:
    """How a cell stands out. kind: "chosen", "partner" or "quiet" (a zero nobody wrote to).   tint: 0 to 1."""

    kind: str = ""
    tint: float = 0.0
    words: str = ""


def number(value: float) -> str:
    """At most three significant digits, with a real minus sign: "3", "0.0625", "1234"."""
    shown = f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    if "e" in shown:
        shown = f"{value:.1e}"
    return "0" if shown in ("-0", "0") else shown.replace("-", MINUS)


def said(sentence: str) -> str:
    """A sentence that screen readers announce."""
    return f'<p class="said" role="status" aria-live="polite">{html.escape(sentence)}</p>'


def panel(*parts: str) -> str:
    """Parts side by side, below each other where there is no room."""
    return f'<div class="bench" style="{_PANEL}">{"".join(parts)}</div>'


def place(cell: Sequence[int]) -> str:
    """A cell in words, counted from 1."""
    return f"row {cell[0] + 1}, column {cell[1] + 1}" if len(cell) == 2 else f"cell {cell[0] + 1}"


def _cell_style(mark: Mark) -> str:
    style = f"padding:0.3em 0.5em;min-width:2.3em;text-align:center;border:1px solid {_RULE};color:inherit"
    if mark.kind == "chosen":
        style += f";outline:3px solid {CHOSEN_COLOUR};outline-offset:-3px;font-weight:700"
    elif mark.kind == "partner":
        style += f";outline:3px dashed {PARTNER_COLOUR};outline-offset:-3px;font-weight:700"
    elif mark.kind == "quiet":
        style += f";color:{SUBDUED}"
    if mark.tint:
        colour = CHOSEN_COLOUR if mark.kind == "chosen" else PARTNER_COLOUR
        style += f";background:color-mix(in srgb,{colour} {_STRONGEST * min(mark.tint, 1):.0f}%,transparent)"
    return style


def map_table(
    values: np.ndarray | Sequence[Sequence[str]], title: str, marks: Mapping[Cell, Mark] | None = None
) -> str:
    """A map (W,) or (H, W) of numbers or texts as a table with its title and size, rows and columns numbered.

    Every cell bears its place, counted from 0, as ``data-cell="row,column"``, for pages that react to a click.

    Raises ValueError for more than 24 rows or columns.
    """
    array = np.atleast_2d(np.asarray(values))
    flat = np.ndim(values) == 1
    rows, columns = array.shape
    if max(rows, columns) > LARGEST_TABLE:
        raise ValueError(f"a table of {rows} x {columns} cells is too large to read")
    marked = marks or {}
    texts = array.dtype.kind in "US"
    size = f"{columns} cells" if flat else f"{rows} x {columns}"
    head = "".join(f'<th scope="col" style="{_HEAD}">{column + 1}</th>' for column in range(columns))
    corner = "" if flat else f'<td style="{_HEAD}"></td>'
    body = ""
    for row in range(rows):
        start = "" if flat else f'<th scope="row" style="{_HEAD}">{row + 1}</th>'
        cells = ""
        for column in range(columns):
            mark = marked.get((column,) if flat else (row, column), Mark())
            text = str(array[row, column]) if texts else number(float(array[row, column]))
            hint = f' title="{html.escape(mark.words)}"' if mark.words else ""
            kind = f' class="{mark.kind}"' if mark.kind else ""
            cells += f'<td{kind}{hint} data-cell="{row},{column}" style="{_cell_style(mark)}">{html.escape(text)}</td>'
        body += f"<tr>{start}{cells}</tr>"
    name = html.escape(title)
    return (
        f'<figure style="margin:0;max-width:100%"><figcaption style="white-space:nowrap"><b>{name}</b> '
        f'<span style="color:{SUBDUED}">{size}</span></figcaption><div style="overflow-x:auto">'
        f'<table style="{_TABLE}" aria-label="{name}, {size}" data-map="{name}"><tr>{corner}{head}</tr>{body}</table>'
        f"</div></figure>"
    )


# ------------------------------------------------------------------ one operation


def operation_panel(
    result: Upsampled, *, output_cell: Sequence[int] | None = None, input_cell: Sequence[int] | None = None
) -> str:
    """Input, kernel and output side by side, with the cells that belong to a chosen one marked, and the arithmetic.

    output_cell: marks the input cells it is made of.   input_cell: marks the output cells it goes to; one of both.
    Raises ValueError for a cell outside of its map and for maps too large for tables.
    """
    given: dict[Cell, Mark] = {}
    made = {
        tuple(cell): Mark("quiet")
        for cell in np.argwhere(result.values == 0).tolist()
        if result.method in ("bed of nails", "max unpooling")
    }
    kernel: dict[Cell, Mark] = {}
    sentence = result.note
    if output_cell is not None:
        shares = result.map.sources(output_cell)
        given = _partners(shares)
        kernel = _taps(shares)
        made[tuple(output_cell)] = Mark("chosen", 0.6, "chosen output cell")
        sentence = numbers_sentence(result, output_cell)
    elif input_cell is not None:
        shares = result.map.targets(input_cell)
        given[tuple(input_cell)] = Mark("chosen", 0.6, "chosen input cell")
        made |= _partners(shares)
        kernel = _taps(shares)
        sentence = spread_sentence(result, input_cell)
    elif result.switches is not None and result.method == "max pooling":
        switches = result.switches.reshape(-1).tolist()
        cells = (tuple(int(v) for v in np.unravel_index(flat, result.input.shape)) for flat in switches)
        given = {cell: Mark("partner", 0.5, "largest of its window") for cell in cells}
    parts = [map_table(result.input, "Input", given)]
    if result.kernel is not None:
        parts.append(map_table(result.kernel, "Kernel", kernel))
    parts.append(map_table(result.values, "Output", made))
    return panel(*parts) + (said(sentence) if sentence else "")


def _partners(shares: Sequence[Share]) -> dict[Cell, Mark]:
    most = max((abs(share.weight) for share in shares), default=1.0) or 1.0
    return {
        share.cell: Mark("partner", abs(share.weight) / most, f"{place(share.cell)}, weight {number(share.weight)}")
        for share in shares
    }


def _taps(shares: Sequence[Share]) -> dict[Cell, Mark]:
    return {share.tap: Mark("partner", 0.5, "used here") for share in shares if share.tap}


def numbers_sentence(result: Upsampled, cell: Sequence[int]) -> str:
    """Where an output cell's number comes from: "Output row 1, column 2: 0.75 x 1 + 0.25 x 2 = 1.25."."""
    shares = result.map.sources(cell)
    value = float(result.values[tuple(cell)])
    start = f"Output {place(cell)}"
    if not shares:
        return f"{start}: no input cell reaches it, so it is 0."
    if result.method in ("nearest", "bed of nails", "max unpooling", "max pooling"):
        verb = "is the largest of its window, from" if result.method == "max pooling" else "is a copy of"
        return f"{start} {verb} input {place(shares[0].cell)}: {number(value)}."
    terms = [
        f"{number(share.weight)} {TIMES} {number(float(result.input[share.cell]))}" for share in shares[:MOST_TERMS]
    ]
    left = len(shares) - len(terms)
    more = f" + {left} more terms" if left else ""
    kind = "kernel weight" if result.kernel is not None else "weight"
    return f"{start}: {' + '.join(terms)}{more} = {number(value)} (each {kind} {TIMES} its input cell)."


def spread_sentence(result: Upsampled, cell: Sequence[int]) -> str:
    """Where an input cell goes and what it adds there in all."""
    shares = result.map.targets(cell)
    start = f"Input {place(cell)}, {number(float(result.input[tuple(cell)]))},"
    if not shares:
        return f"{start} goes nowhere."
    total = sum(share.weight for share in shares)
    count = "1 output cell" if len(shares) == 1 else f"{len(shares)} output cells"
    if result.method == "transpose convolution":
        met = sum(len(result.map.sources(share.cell)) > 1 for share in shares)
        return f"{start} lays the kernel, times its value, on {count}; in {met} of them other stamps add to it."
    return f"{start} goes to {count}, with weights that sum to {number(total)}."


# ------------------------------------------------------------------ matrices


def equation_panel(
    matrix: Sequence[Sequence[str]],
    column: Sequence[str],
    product: Sequence[str],
    names: tuple[str, str, str],
    row: int | None = None,
) -> str:
    """Matrix times vector equals vector, all as texts; one row marked with the cells of the vector it meets.

    names: titles of the matrix, the vector and the product.
    """
    marks: dict[Cell, Mark] = {}
    vector: dict[Cell, Mark] = {}
    result: dict[Cell, Mark] = {}
    for i, line in enumerate(matrix):
        for j, text in enumerate(line):
            if text == "0":
                marks[i, j] = Mark("quiet")
            else:
                marks[i, j] = Mark("partner", 0.6) if i == row else Mark("", 0.25)
                if i == row:
                    vector[j, 0] = Mark("partner", 0.6)
    if row is not None:
        result[row, 0] = Mark("chosen", 0.6)
    sign = '<span style="align-self:center;font-size:1.3em" aria-hidden="true">{}</span>'
    return panel(
        map_table(matrix, names[0], marks),
        sign.format(TIMES),
        map_table([[text] for text in column], names[1], vector),
        sign.format("="),
        map_table([[text] for text in product], names[2], result),
    )


def letters_panel(shown: MatrixExample, row: int | None = None) -> str:
    """A slide's matrix in letters, times its vector, and what comes out."""
    names = ("C transposed", "small vector", "large vector") if shown.transposed else ("C", "padded vector", "result")
    text = equation_panel(shown.matrix(), shown.column(), shown.product(), names, row)
    return text + said(_matrix_sentence(shown.layout(), shown.transposed))


def matrix_panel(layout: LinearMap, values: np.ndarray, *, transposed: bool, row: int | None = None) -> str:
    """A map's own matrix in numbers: rows are output cells, columns input cells, both in reading order.

    Raises ValueError when there are more than 24 cells on a side: choose a smaller map.
    """
    product = layout.apply(values)
    names = ("C transposed" if transposed else "C", "input, row by row", "output, row by row")
    text = equation_panel(
        [[number(weight) for weight in line] for line in layout.dense().tolist()],
        [number(float(value)) for value in np.asarray(values).reshape(-1)],
        [number(float(value)) for value in product.reshape(-1)],
        names,
        row,
    )
    return text + said(_matrix_sentence(layout, transposed))


def _matrix_sentence(layout: LinearMap, transposed: bool) -> str:
    rows, columns = int(np.prod(layout.shape_out)), int(np.prod(layout.shape_in))
    filled = len(layout.weights)
    share = f"{filled} of {rows * columns} entries are not zero" if filled < rows * columns else "no entry is zero"
    what = "Transpose convolution multiplies with C transposed" if transposed else "Convolution multiplies with C"
    return f"{what}, {rows} x {columns}: {share}, and all of them are the kernel's few weights again and again."


# ------------------------------------------------------------------ overlap


def overlap_panel(shape: Cell, kernel: int, stride: int, padding: int = 0, output_padding: int = 0) -> str:
    """How many stamps meet in each output cell, tinted, and whether that makes a checkerboard."""
    counts = overlap_counts(shape, kernel, stride, padding, output_padding)
    most = max(int(counts.max()), 1)
    marks = {
        tuple(cell): Mark("" if counts[tuple(cell)] else "quiet", float(counts[tuple(cell)]) / most)
        for cell in np.argwhere(counts >= 0).tolist()
    }
    return panel(map_table(counts, "Stamps per output cell", marks)) + said(
        checkerboard_sentence(kernel, stride, len(shape))
    )
