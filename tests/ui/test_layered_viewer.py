"""The viewer with two layers: its value, and what a click may bring."""

import numpy as np
import pytest

from cvdemo.ui.layered_viewer import layer_source, layered_viewer, layers, pressed_place


def test_the_value_holds_both_layers_and_the_pictures_size():
    pixels = np.zeros((30, 40, 3), np.uint8)
    value = layers(pixels, "a dog", (400, 300), layer_source(pixels), place=(7, 9))
    assert value["src"].startswith("data:image/jpeg")
    assert value["before"].startswith("data:image/jpeg")
    assert (value["width"], value["height"]) == (400, 300)
    assert value["alt"] == "a dog"
    assert value["place"] == [7, 9]
    assert layers(pixels, "", (40, 30))["before"] == ""


@pytest.mark.parametrize(
    ("data", "place"),
    [({"x": 3, "y": 4}, (3, 4)), ({"x": 3.7, "y": 0.2}, (3, 0)), ({"x": "3", "y": 4}, None), ({"x": 1}, None),
     (None, None), ([3, 4], None), ({"x": 1e9, "y": 0}, None), ({"x": float("nan"), "y": 0}, None),
     ({"x": True, "y": 0}, None)],
)  # fmt: skip
def test_a_made_up_click_is_ignored(data, place):
    assert pressed_place(data) == place


def test_the_component_says_what_to_do_and_escapes():
    made = layered_viewer("some-id", "Choose <one>.", "Truth", "Found")
    assert "Choose &lt;one&gt;." in made.html_template
    assert made.html_template.count("Truth") == 2
    assert made.html_template.count("Found") == 2
