"""The Race view: the same pair by optimisation, by AdaIN and by a feed-forward network, judged by one network."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import gradio as gr

from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.style import race_view as view
from cvdemo.style.features import fitted
from cvdemo.style.optimise_view import OptimiseSettings
from cvdemo.style.race import Race, race
from cvdemo.style.race_view import KINDS
from cvdemo.style.tab_shared import OWN, RACE, content_on_show, create_downloads, own_style_on_show, style_name
from cvdemo.ui.background import Done, Stop, follow, stopping
from cvdemo.ui.memory import memory_of
from cvdemo.ui.sessions import session_of
from cvdemo.ui.viewer import status, trouble, working
from cvdemo.ui.views import QUICK, Shared, View
from cvdemo.ui.widgets import read_settings, settings_components

NAMES = ("steps", "size", "content_power", "style_power")
PREFIX = "race_"
WORK = "style-race"
LAST = ("style", "last race")
EMPTY = (
    '<p class="hint">Press <b>Start the race</b>: each method gets the content picture and the style picture, not the '
    "other styles of a blend.</p>"
)


def create_race(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    panels = gr.HTML(EMPTY, elem_id="style-race-panels", apply_default_css=False)
    line = gr.HTML(status(), elem_id="style-race-status")
    with gr.Row(equal_height=True):
        start = gr.Button("Start the race", variant="primary", elem_id="style-race-start")
        stop = gr.Button("Stop", elem_id="style-race-stop")
    with gr.Row():
        widgets = settings_components(OptimiseSettings, NAMES)
    table = gr.HTML(elem_id="style-race-table", apply_default_css=False)
    create_downloads("style-race-download", KINDS, _download)
    ran = start.click(
        _run, [shared.picture, shared.second, shared.model, *widgets.values()], [panels, line, table],
        show_progress="hidden", api_visibility="private", concurrency_id="style-race", concurrency_limit=4,
    )  # fmt: skip
    ran.then(shared.refresh_pill, None, shared.pill, **QUICK)
    stop.click(stopping(WORK), None, None, **QUICK)
    return View(RACE, settings=OptimiseSettings, controls=widgets, prefix=PREFIX)


def _run(
    request: gr.Request, content_path: str | None, style_path: str | None, model: str, *values: Any
) -> Iterator[tuple[Any, ...]]:
    """panels, status and table of a race."""
    user = session_of(request)
    try:
        settings = read_settings(OptimiseSettings, NAMES, values).weighed()
        content = content_on_show(user, content_path)
        style = own_style_on_show(user, style_path)
        name = style_name(style_path)

        def work(progress: Any, cancel: threading.Event) -> Race:
            return race(
                content, style, settings, style_name="" if name == OWN else name, model=model, judge=model, user=user,
                cancel=cancel, progress=progress,
            )  # fmt: skip

        yield gr.skip(), working("Starting", None), gr.skip()
        for event in follow(work, stop=Stop(user, WORK)):
            if isinstance(event, Done):
                found = memory_of(user).put(LAST, event.value)
                base = fitted(content, settings.size)
                yield view.panels_html(found, base), status(view.sentence_of(found)), view.table_html(found)
            else:
                yield gr.skip(), working(view.capital(event.text), event.fraction), gr.skip()
    except CvDemoError as error:
        yield gr.skip(), trouble(error), gr.skip()


def _download(user: str, kind: str) -> tuple[str, bytes]:
    found: Race | None = memory_of(user).get(LAST)
    if found is None:
        raise InputError("There is nothing to download yet.", hint="Start the race first.")
    return view.export(found, kind)
