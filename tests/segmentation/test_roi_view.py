"""The RoI drawings: boxes, bins and points stand where the algorithms put them; sentences hold their numbers."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from cvdemo.segmentation import roi_view
from cvdemo.segmentation.roi import roi_align, roi_pool
from cvdemo.segmentation.slide_examples import example

SVG = "{http://www.w3.org/2000/svg}"
SLIDE = example("roi-8x8")


def drawing(text):
    figure = ET.fromstring(text)
    return next(figure.iter(f"{SVG}svg"))


def em(element, name):
    return float(element.get(name).removesuffix("em"))


def test_points_stand_in_the_cells_they_read():
    aligned = SLIDE.align(3)
    svg = drawing(roi_view.align_figure(aligned))
    cell = roi_view._NUMBERED
    drawn = [(em(dot, "cy") / cell, em(dot, "cx") / cell) for dot in svg.iter(f"{SVG}circle")]
    np.testing.assert_allclose(drawn, aligned.points.reshape(-1, 2) + 0.5, atol=0.01)


def test_winners_are_framed_and_every_cell_has_its_number():
    pooled = SLIDE.pool()
    svg = drawing(roi_view.pool_figure(pooled))
    cell = roi_view._NUMBERED
    frames = [(em(r, "y") / cell, em(r, "x") / cell) for r in svg.iter(f"{SVG}rect") if r.get("class") == "winner"]
    np.testing.assert_allclose(frames, pooled.winners.reshape(-1, 2), atol=0.01)
    texts = [text.text for text in svg.iter(f"{SVG}text")]
    assert texts == [f"{value:.2f}" for line in SLIDE.features for value in line]


def test_the_slides_box_lies_on_whole_cells_but_its_bins_do_not():
    sentence = roi_view.shift_sentence(SLIDE.pool())
    assert "moves nothing" in sentence
    assert "3.5 x 2.5 cells" in sentence
    assert "3 to 4 x 2 to 3" in sentence
    assert "may share cells" in roi_view.shift_sentence(SLIDE.pool("overlapping"))


def test_the_shift_is_said_in_picture_pixels():
    pooled = roi_pool(np.zeros((20, 20)), (23.0, 40.0, 150.0, 200.0), (7, 7), 1 / 16)
    sentence = roi_view.shift_sentence(pooled)
    assert "left \N{MINUS SIGN}7.0, top +8.0, right +10.0, bottom +24.0 picture pixels" in sentence
    assert "+1.5 and +16.0" in sentence
    even = roi_pool(np.zeros((20, 20)), (0, 0, 13, 13), (7, 7))
    assert "need no rounding" in roi_view.shift_sentence(even)


def test_the_old_form_says_how_far_off_it_is():
    old = roi_align(np.zeros((20, 20)), (16, 16, 80, 80), (2, 2), 1 / 16, half_pixel=False)
    assert "8 and 8 picture pixels" in roi_view.align_sentence(old)
    assert "too far" not in roi_view.align_sentence(SLIDE.align())


def test_the_panel_holds_both_outputs_and_the_chosen_bin():
    pooled, aligned = SLIDE.pool(), SLIDE.align()
    text = roi_view.roi_panel(pooled, aligned, (0, 1))
    root = ET.fromstring(f"<div>{text}</div>")
    assert len(list(root.iter(f"{SVG}svg"))) == 2
    tables = {table.get("data-map"): table for table in root.iter("table")}
    for name, values in (("RoIPool's output", pooled.values), ("RoIAlign's output", aligned.values)):
        cells = [cell.text for cell in tables[name].iter("td") if cell.get("data-cell")]
        assert cells == [f"{value:.3f}" for value in values.reshape(-1)]
    assert "the largest of 2 x 4 cells, 0.84 at row 4, column 4" in text
    values = [float(row.findall("td")[-1].text) for row in tables[None].findall("tr")[1:]]
    np.testing.assert_allclose(np.mean(values), aligned.values[0, 1], atol=1e-3)


@pytest.mark.parametrize(
    "box", [(0, 0, 0, 0), (-90, -90, -50, -60), (500, 500, 900, 700), (-50, -50, 900, 900), (31, 17, 33, 90)]
)
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (30, 40)])
def test_boxes_anywhere_can_be_drawn(box, size):
    features = np.random.default_rng(0).normal(size=size)
    pooled, aligned = roi_pool(features, box, (3, 2), 1 / 8), roi_align(features, box, (3, 2), 1 / 8, 0)
    text = roi_view.roi_panel(pooled, aligned, (2, 1))
    assert ET.fromstring(f"<div>{text}</div>") is not None
    assert "nan" not in text
    assert len(text) < 120_000


def test_large_maps_become_one_small_picture():
    features = np.random.default_rng(0).random((80, 96))
    text = roi_view.pool_figure(roi_pool(features, (10, 10, 300, 280), (7, 7), 1 / 4))
    assert text.count("<image ") == 1
    assert len(text) < 80_000


def test_outputs_and_bins_that_do_not_fit_are_refused():
    features = np.zeros((8, 8))
    with pytest.raises(ValueError, match="outputs"):
        roi_view.roi_panel(roi_pool(features, (0, 0, 4, 4)), roi_align(features, (0, 0, 4, 4), (2, 2)))
    with pytest.raises(ValueError, match="no bin"):
        roi_view.roi_panel(SLIDE.pool(), SLIDE.align(), (2, 0))
