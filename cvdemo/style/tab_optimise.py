"""The Optimise view: one picture optimised step by step (Gatys)."""

from __future__ import annotations

from cvdemo.style.settings import StyleSettings
from cvdemo.style.tab_shared import OPTIMISE
from cvdemo.ui.viewer import status, viewer
from cvdemo.ui.views import Shared, View
from cvdemo.ui.widgets import settings_components

NAMES = ("content_weight", "style_weight", "tv_weight", "init", "optimiser", "steps", "size")


def create_optimise(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    viewer("style-result", "Press the button to start.")
    status()
    widgets = settings_components(StyleSettings, NAMES)
    return View(OPTIMISE, settings=StyleSettings, controls=widgets)
