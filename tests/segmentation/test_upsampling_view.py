"""The bench's HTML: every number is there, marks are where the matrix says, sentences add up, text is escaped."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from cvdemo.segmentation import upsampling_view as view
from cvdemo.segmentation.slide_examples import EXAMPLES, GridExample, MatrixExample, example
from cvdemo.segmentation.transpose_convolution import convolution, transpose_convolution
from cvdemo.segmentation.upsampling import bilinear, max_unpooling


def tree(text):
    """Parsed as XML, which fails on tags that are not closed."""
    return ET.fromstring(f"<div>{text}</div>")


def tables(text):
    """Per table its title and the texts of its cells (no headings), row by row."""
    found = {}
    for table in tree(text).iter("table"):
        rows = [[cell.text for cell in row.findall("td") if cell.get("data-cell")] for row in table.findall("tr")]
        found[table.get("data-map")] = [row for row in rows if row]
    return found


def marked(text, title, kind):
    table = next(table for table in tree(text).iter("table") if table.get("data-map") == title)
    cells = [cell for cell in table.iter("td") if cell.get("class") == kind]
    return {tuple(int(part) for part in cell.get("data-cell").split(",")) for cell in cells}


@pytest.mark.parametrize("shown", [e for e in EXAMPLES if isinstance(e, GridExample)], ids=lambda e: e.key)
def test_every_number_of_an_example_is_in_its_tables(shown):
    result = shown.compute()
    found = tables(view.operation_panel(result))
    for title, values in (("Input", result.input), ("Output", result.values), ("Kernel", result.kernel)):
        if values is not None:
            assert found[title] == [[view.number(value) for value in row] for row in values.tolist()]


def test_a_chosen_output_cell_marks_its_sources_and_adds_up():
    result = example("transpose-convolution").compute()
    text = view.operation_panel(result, output_cell=(1, 1))
    assert marked(text, "Output", "chosen") == {(1, 1)}
    assert marked(text, "Input", "partner") == {share.cell for share in result.map.sources((1, 1))}
    assert marked(text, "Kernel", "partner") == {(0, 0), (0, 2), (2, 0), (2, 2)}
    sentence = view.numbers_sentence(result, (1, 1))
    terms = re.findall(r"([\d.]+) \N{MULTIPLICATION SIGN} ([\d.]+)", sentence)
    assert sum(float(a) * float(b) for a, b in terms) == result.values[1, 1]
    assert sentence in "".join(tree(text).itertext())


def test_a_chosen_input_cell_marks_its_targets():
    result = example("transpose-convolution").compute()
    text = view.operation_panel(result, input_cell=(0, 1))
    assert marked(text, "Input", "chosen") == {(0, 1)}
    assert marked(text, "Output", "partner") == {share.cell for share in result.map.targets((0, 1))}
    assert "6 output cells; in 4 of them" in text
    assert "weights that sum to 4" in view.operation_panel(bilinear([[1, 2], [3, 4]]), input_cell=(0, 0))


def test_copies_and_cells_nobody_reaches_are_said_so():
    result = example("max-unpooling").compute()
    assert view.numbers_sentence(result, (0, 2)) == "Output row 1, column 3 is a copy of input row 1, column 2: 2."
    assert "no input cell reaches it" in view.numbers_sentence(result, (0, 0))
    assert "largest of its window" in view.numbers_sentence(example("max-pooling").compute(), (0, 0))
    assert len(marked(view.operation_panel(result), "Output", "quiet")) == 12
    lost = max_unpooling([[1, 2]], np.array([[0, 0]]), (2, 2))
    assert "goes nowhere" in view.spread_sentence(lost, (0, 0))
    assert "1 of 2 values" in view.operation_panel(lost)


def test_many_terms_are_cut_short():
    result = convolution(np.ones((5, 5)), np.ones((4, 4)))
    assert "+ 7 more terms = 16" in view.numbers_sentence(result, (0, 0))


def test_one_axis_has_a_row_without_a_number():
    text = view.operation_panel(transpose_convolution([1.0, 2.0], [1.0, 0.5, 0.25], 2), output_cell=[2])
    assert tables(text)["Output"] == [["1", "0.5", "2.25", "1", "0.5"]]
    assert "Output cell 3" in text


@pytest.mark.parametrize("shown", [e for e in EXAMPLES if isinstance(e, MatrixExample)], ids=lambda e: e.key)
def test_matrices_in_letters(shown):
    text = view.letters_panel(shown, 1)
    found = list(tables(text).values())
    assert found == [shown.matrix(), [[c] for c in shown.column()], [[p] for p in shown.product()]]
    assert marked(text, next(iter(tables(text))), "partner") == {
        (1, j) for j, weight in enumerate(shown.matrix()[1]) if weight != "0"
    }


def test_matrices_in_numbers():
    result = example("transpose-convolution").compute()
    found = tables(view.matrix_panel(result.map, result.input, transposed=True, row=5))
    assert found["output, row by row"] == [[view.number(value)] for value in result.values.reshape(-1)]
    assert len(found["C transposed"]) == 16
    with pytest.raises(ValueError, match="too large"):
        view.matrix_panel(bilinear(np.zeros((3, 3))).map, np.zeros((3, 3)), transposed=False)


def test_overlap_counts_are_shown_with_their_reason():
    text = view.overlap_panel((3, 3), 3, 2)
    assert tables(text)["Stamps per output cell"][2] == ["2", "2", "4", "2", "4", "2", "2"]
    assert "no multiple" in text
    assert "is a multiple" in view.overlap_panel((3, 3), 4, 2, 1)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3.0, "3"),
        (-0.5, f"{view.MINUS}0.5"),
        (0.0625, "0.0625"),
        (1234.5, "1234"),
        (-0.0, "0"),
        (1e-7, f"1.0e{view.MINUS}07"),
    ],
)
def test_numbers_are_short(value, expected):
    assert view.number(value) == expected


def test_titles_and_texts_are_escaped():
    text = view.map_table([["<b>"]], '<script>"')
    assert "<script" not in text
    assert tables(text) == {'<script>"': [["<b>"]]}


def test_text_and_cells_outside_are_refused():
    with pytest.raises(ValueError, match="no cell"):
        view.operation_panel(bilinear([[1, 2]]), output_cell=(9, 9))
    with pytest.raises(ValueError, match="too large"):
        view.map_table(np.zeros((1, 25)), "Large")
