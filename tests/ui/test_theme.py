"""The look: nothing is fetched from elsewhere, and text stands out from its background."""

import re

import gradio as gr
import pytest

from cvdemo.ui import theme


def test_launch_is_given_the_look():
    look = theme.launch_look()
    assert isinstance(look["theme"], gr.themes.Base)
    assert theme.stylesheet() in look["head"]
    assert look["js"] == theme.script()


def test_nothing_is_fetched_from_elsewhere():
    assert not theme.theme()._stylesheets, "fonts would be asked for on the network"
    for text in (theme.stylesheet(), theme.script()):
        assert not re.findall(r"(?:https?:)?//(?!www\.w3\.org/)[a-z0-9-]+\.[a-z]{2,}", text)
        assert "@import" not in text


def luminance(colour: str) -> float:
    values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("name", ["button_primary_background_fill", "button_primary_background_fill_hover"])
def test_white_words_on_the_main_button_are_legible(name):
    background = luminance(getattr(theme.theme(), name))
    assert 1.05 / (background + 0.05) >= 4.5, "WCAG 2.1, level AA"
