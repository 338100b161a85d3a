"""The Race view: the same pair by optimisation, AdaIN and feed-forward."""

from __future__ import annotations

from cvdemo.style.tab_shared import RACE
from cvdemo.ui.viewer import viewer
from cvdemo.ui.views import Shared, View


def create_race(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    viewer("style-race", "Press the button to start the race.")
    return View(RACE)
