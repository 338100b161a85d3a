"""The result picture and the line under it."""

import base64
import re

import gradio as gr
import numpy as np
import pytest

from cvdemo.core.media import read_picture
from cvdemo.ui.viewer import DISPLAY_SIDE, display_copy, problem, shown, status, viewer, working


@pytest.mark.parametrize(
    ("size", "shown_size"),
    [
        ((100, 200), (100, 200)),
        ((1280, 1280), (1280, 1280)),
        ((1440, 2560), (720, 1280)),
        ((5120, 640), (1280, 160)),
        ((3, 20000), (1, 1280)),
        ((1, 1), (1, 1)),
    ],
)
def test_the_displayed_copy(size, shown_size):
    pixels = np.full((*size, 3), 77, np.uint8)
    copy, scale = display_copy(pixels)
    assert copy.shape == (*shown_size, 3)
    assert (copy == 77).all()
    assert scale == min(1.0, DISPLAY_SIDE / max(size))
    if scale == 1.0:
        assert copy is pixels


def test_the_value_is_a_picture_and_its_description():
    pixels = np.zeros((30, 40, 3), np.uint8)
    pixels[:, 20:] = (200, 100, 50)
    value = shown(pixels, "1 dog", quality=95)
    assert value["alt"] == "1 dog"
    head, data = value["src"].split(",", 1)
    assert head == "data:image/jpeg;base64"
    decoded = read_picture(base64.b64decode(data)).pixels
    assert decoded.shape == (30, 40, 3)
    assert np.abs(decoded[:, 25:].astype(int) - (200, 100, 50)).max() < 10


def test_quality_costs_bytes():
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert len(shown(pixels, "", 30)["src"]) < len(shown(pixels, "", 90)["src"])


def test_the_component_starts_empty_and_says_what_to_do():
    with gr.Blocks():
        component = viewer("the-result", "Choose <a picture> first.")
    assert component.elem_id == "the-result"
    assert component.value is None
    assert "Choose &lt;a picture&gt; first." in component.html_template
    assert 'class="viewer"' in component.html_template


def test_status_is_announced_and_escaped():
    text = status("2 people & <1> dog", "38 ms")
    assert 'role="status"' in text
    assert "2 people &amp; &lt;1&gt; dog" in text
    assert "38 ms" in text
    assert "role=" not in status("2 people", "38 ms", announce=False), "a live picture must not be read out"


def test_problems_are_alerts():
    text = problem('<script>alert("x")</script>')
    assert 'role="alert"' in text
    assert "<script>" not in text


def test_progress_with_and_without_a_share():
    assert re.search(r'<progress max="1" value="0.250"></progress> Loading &amp; 25%', working("Loading &", 0.25))
    assert "<progress></progress>" in working("Opening", None)
    assert "%" not in working("Opening", None)
