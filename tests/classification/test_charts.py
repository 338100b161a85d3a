"""Charts as somebody who parses them sees them: the right numbers in the right places, and nothing from outside."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from cvdemo.classification import charts
from cvdemo.classification.charts import confusion_matrix, curve, percent, probability_bars, short, training_curves
from cvdemo.detection.draw import luminance

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</text></svg><b>", "a & b", "x' onload='y",
    "]]>", "&#60;b&#62;", "nul\x00 bell\x07 esc\x1b", "half \ud800 pair", "turned \u202e round",
)  # fmt: skip


def parsed(text: str) -> ElementTree.Element:
    text.encode("utf-8")
    return ElementTree.fromstring(text)


def texts(root: ElementTree.Element, kind: str | None = None) -> list[str]:
    return [e.text or "" for e in root.iter(f"{SVG}text") if kind is None or e.get("class") == kind]


def shares(root: ElementTree.Element, kind: str) -> list[float]:
    return [float(e.get("width", "").rstrip("%")) for e in root.iter(f"{SVG}rect") if e.get("class") == kind]


def polyline(root: ElementTree.Element) -> np.ndarray:
    (line,) = root.iter(f"{SVG}polyline")
    return np.array([pair.split(",") for pair in line.get("points", "").split()], float)


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (0, "0 %"), (0.0001, "< 0.1 %"), (0.0006, "0.1 %"), (0.052, "5.2 %"), (0.0994, "9.9 %"), (0.0996, "10 %"),
        (0.872, "87 %"), (0.9949, "99 %"), (0.9962, "99.6 %"), (0.99999, "> 99.9 %"), (1, "100 %"),
    ],
)  # fmt: skip
def test_per_cent_never_claims_certainty_that_is_not_there(share, shown):
    assert percent(share) == shown


def test_long_texts_end_in_an_ellipsis():
    assert short("a" * 10, 10) == "a" * 10
    assert short("great white shark", 7) == "great…"


# Bars


def test_bars_are_as_long_as_their_probability_and_keep_their_order():
    root = parsed(probability_bars(["cheetah", "leopard", "mug"], np.array([0.8716, 0.0521, 0.0])))
    assert texts(root) == ["cheetah", "87 %", "leopard", "5.2 %", "mug", "0 %"]
    assert texts(root, "value") == ["87 %", "5.2 %", "0 %"]
    assert shares(root, "bar") == [87.16, 5.21, 0]
    assert root.findtext(f"{SVG}title") == "Probabilities"
    assert root.findtext(f"{SVG}desc") == "cheetah 87 %; leopard 5.2 %; mug 0 %"
    assert root.get("role") == "img"


def test_the_chosen_row_differs_by_more_than_colour():
    root = parsed(probability_bars(["a", "b"], [0.5, 0.5], chosen=1))
    assert texts(root) == ["a", "50 %", "▸ b", "50 %"]
    assert [e.get("font-weight") for e in root.iter(f"{SVG}text")] == [None, None, "700", "700"]


def test_a_threshold_crosses_every_track():
    root = parsed(probability_bars(["a", "b", "c"], [0.1, 0.5, 0.9], threshold=0.5))
    lines = [e for e in root.iter(f"{SVG}line") if e.get("class") == "threshold"]
    assert [(e.get("x1"), e.get("x2")) for e in lines] == [("50%", "50%")] * 3


def test_full_names_remain_where_labels_are_cut():
    name = "great white shark, white shark, man-eater, man-eating shark"
    root = parsed(probability_bars([name], [0.3]))
    assert len(texts(root)[0]) <= 42
    assert name in root.findtext(f"{SVG}desc", "")
    assert f"{name}: 30 %" in [e.text for e in root.iter(f"{SVG}title")]


def test_twenty_bars_at_most_and_none_with_a_note():
    assert len(shares(parsed(probability_bars([str(i) for i in range(30)], [0.01] * 30)), "bar")) == 20
    assert texts(parsed(probability_bars([], []))) == ["No classes yet"]


@pytest.mark.parametrize(
    ("names", "values", "says"),
    [
        (["a"], [0.1, 0.2], "1 names"), (["a"], [1.1], "between 0 and 1"), (["a"], [-0.1], "between 0 and 1"),
        (["a"], [np.nan], "between 0 and 1"),
    ],
)  # fmt: skip
def test_what_is_no_probability_is_not_drawn(names, values, says):
    with pytest.raises(ValueError, match=says):
        probability_bars(names, values)


# Curves


def test_a_curve_passes_through_its_values():
    values = [2.0, 1.0, 0.5, 0.25]
    root = parsed(curve(values, title="Loss"))
    points = polyline(root)
    np.testing.assert_allclose(points[:, 0], [0, 33.33, 66.67, 100], atol=0.01)
    np.testing.assert_allclose(points[:, 1], 100 * (1 - np.array(values) / 2), atol=0.01)
    assert root.findtext(f"{SVG}desc") == "From 2.00 to 0.25 in 3 iterations."
    assert texts(root, "value") == ["0.25"]
    assert "3" in texts(root)
    assert "2.00" in texts(root)


def test_shares_have_a_whole_axis_and_a_named_level():
    root = parsed(curve([0.2, 0.6], title="Accuracy", unit="%", top=1.0, level=0.82, level_name="held back"))
    np.testing.assert_allclose(polyline(root)[:, 1], [80, 40])
    assert [e.get("y1") for e in root.iter(f"{SVG}line") if e.get("x2") == "100"] == ["18.00"]
    assert "held back 82 %" in texts(root)
    assert root.findtext(f"{SVG}desc") == "From 20 % to 60 % in 1 iteration. held back: 82 %."


def test_lines_are_told_apart_without_colour():
    text = curve([0.2, 0.6], title="Accuracy", level=0.5, level_name="held back")
    assert text.count("stroke-dasharray") == 2  # in the plot and in its legend
    assert "dasharray" not in text[text.index("<polyline") : text.index("/>", text.index("<polyline"))]


@pytest.mark.parametrize("values", [[0.0], [3.0], [0.0, 0.0], [1e-9, 1e-12]])
def test_short_flat_and_tiny_curves_stay_inside(values):
    points = polyline(parsed(curve(values, title="Loss")))
    assert len(points) == len(values)
    assert ((points >= 0) & (points <= 100)).all()


@pytest.mark.parametrize("values", [[1, np.nan], [np.inf], [-0.1]])
def test_what_is_no_curve_is_not_drawn(values):
    with pytest.raises(ValueError, match="finite"):
        curve(values, title="Loss")


def test_training_curves_show_both_and_what_was_held_back():
    root = parsed(training_curves([1.0, 0.5], [0.5, 1.0], held_back=0.75))
    titles = [svg.findtext(f"{SVG}title") for svg in root]
    assert titles == ["Loss", "Training accuracy"]
    assert "held back 75 %" in texts(root)
    imported = parsed(training_curves([], []))
    assert texts(imported).count("No history") == 2


# Confusion matrix


def test_every_count_stands_in_its_cell():
    table = np.array([[12, 3, 0], [1, 20, 2], [0, 0, 9]])
    root = parsed(confusion_matrix(table, ["mug", "cup", "plate"]))
    assert [int(text) for text in texts(root, "count")] == table.flatten().tolist()
    titles = [e.text for e in root.iter(f"{SVG}title")]
    assert "mug taken for cup: 3" in titles
    assert "cup taken for mug: 1" in titles
    assert {"1 mug", "2 cup", "3 plate", "1", "2", "3"} <= set(texts(root))
    (svg,) = root
    assert svg.findtext(f"{SVG}desc") == (
        "41 of 47 right. What pictures are, then what they were taken for. mug: mug 12, cup 3; "
        "cup: mug 1, cup 20, plate 2; plate: plate 9."
    )


def test_only_the_diagonal_is_framed_and_tints_follow_the_share_of_the_row():
    root = parsed(confusion_matrix(np.array([[3, 1], [0, 50]]), ["a", "b"]))
    styles = [e.get("style", "") for e in root.iter(f"{SVG}rect")]
    assert ["stroke-width" in style for style in styles] == [True, False, False, True]
    tints = [float(re.search(r"fill-opacity:([\d.]+)", style)[1]) for style in styles]  # type: ignore[index]
    assert tints[3] > tints[0] > tints[1] > tints[2] == 0


def test_a_class_without_pictures_is_said_not_divided_by():
    root = parsed(confusion_matrix(np.array([[0, 0], [1, 1]]), ["a", "b"]))
    assert "a: no pictures" in (root[0].findtext(f"{SVG}desc") or "")


@pytest.mark.parametrize(
    ("table", "classes"),
    [
        (np.zeros((2, 3), int), ["a", "b"]), (np.zeros((2, 2), int), ["a"]), (np.zeros((0, 0), int), []),
        (np.array([[1, -1], [0, 1]]), ["a", "b"]), (np.eye(2) / 2, ["a", "b"]),
    ],
)  # fmt: skip
def test_what_is_no_confusion_matrix_is_not_drawn(table, classes):
    with pytest.raises(ValueError, match="confusion must"):
        confusion_matrix(table, classes)


# All of them


def drawings(names) -> list[str]:
    count = len(names)
    return [
        probability_bars(names, np.full(count, 0.5), title=names[0], chosen=0, threshold=0.5),
        curve([1.0, 0.5], title=names[0], level=0.3, level_name=names[0]),
        curve([], title=names[0]),
        training_curves([1.0, 0.5], [0.0, 1.0], held_back=0.3),
        confusion_matrix(np.eye(count, dtype=int), names, title=names[0]),
    ]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name):
    allowed = {"svg", "title", "desc", "text", "rect", "line", "g", "polyline", "div"}
    printable = "".join(c if c.isprintable() else " " for c in name)
    for text in drawings([name, "b"]):
        root = parsed(text)
        assert {e.tag.removeprefix(SVG) for e in root.iter()} <= allowed
        assert not [key for e in root.iter() for key in e.attrib if key.lower().startswith("on")]
    assert printable in (parsed(drawings([name, "b"])[0]).findtext(f"{SVG}desc") or "")


def test_nothing_is_smaller_than_fourteen_pixels_or_has_a_colour_of_its_own_for_text():
    for text in drawings(["mug", "cup"]):
        for svg in re.findall(r'<svg class="chart[^>]*>', text):
            assert "font-size:max(14px,1em)" in svg
            assert "viewBox" not in svg  # would scale the letters down with the column
        assert len(re.findall("font-size", text)) == len(re.findall('<svg class="chart', text))
        assert {e.get("fill") for e in parsed(text).iter(f"{SVG}text")} <= {"currentColor"}


@pytest.mark.parametrize(
    ("page", "ink", "fills"),
    [
        ((255, 255, 255), (30, 41, 59), ((11, 98, 184), (213, 94, 0))),
        ((30, 41, 59), (241, 245, 249), ((90, 162, 230), (230, 159, 0))),
    ],
    ids=["light", "dark"],
)
def test_counts_are_legible_on_the_strongest_tint(page, ink, fills):
    for fill in fills:
        r, g, b = (charts._STRONGEST * f + (1 - charts._STRONGEST) * p for f, p in zip(fill, page))
        lighter, darker = sorted((luminance((r, g, b)), luminance(ink)), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) > 4.5
