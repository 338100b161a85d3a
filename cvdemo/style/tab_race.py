"""The Race view: the same pair by optimisation, by AdaIN and by a feed-forward network, judged by one network."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import gradio as gr

from cvdemo.core.errors import CvDemoError
from cvdemo.style import race_view as view
from cvdemo.style.features import fitted
from cvdemo.style.race import Race, race
from cvdemo.style.race_view import KINDS
from cvdemo.style.settings import StyleSettings
from cvdemo.style.tab_shared import OWN, RACE, content_on_show, own_style_on_show, style_name
from cvdemo.ui.background import Done, Stop, follow, stopping
from cvdemo.ui.memory import memory_of
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.viewer import status, trouble, working
from cvdemo.ui.views import QUICK, Shared, View
from cvdemo.ui.widgets import read_settings, settings_components

NAMES = ("steps", "size", "content_weight", "style_weight")
PREFIX = "race_"
WORK = "style-race"
LAST = ("style", "last race")
EMPTY = '<p class="hint">Press <b>Start the race</b>: each method gets the same two pictures.</p>'


def create_race(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    panels = gr.HTML(EMPTY, elem_id="style-race-panels", apply_default_css=False)
    line = gr.HTML(status(), elem_id="style-race-status")
    with gr.Row(equal_height=True):
        start = gr.Button("Start the race", variant="primary", elem_id="style-race-start")
        stop = gr.Button("Stop", elem_id="style-race-stop")
    with gr.Row():
        widgets = settings_components(StyleSettings, NAMES)
    table = gr.HTML(elem_id="style-race-table", apply_default_css=False)
    with gr.Row():
        downloads = {kind: gr.Button(label, size="sm", min_width=90) for kind, label in KINDS.items()}
    hidden = gr.DownloadButton("Download", elem_id="style-race-download", elem_classes="off-screen")
    ran = start.click(
        _run, [shared.picture, shared.second, shared.model, *widgets.values()], [panels, line, table],
        show_progress="hidden", api_visibility="private", concurrency_id="style-race", concurrency_limit=4,
    )  # fmt: skip
    ran.then(shared.refresh_pill, None, shared.pill, **QUICK)
    stop.click(stopping(WORK), None, None, **QUICK)
    press = "() => setTimeout(() => window.cvdemo.clickHidden('style-race-download'), 150)"
    for kind, button in downloads.items():
        made = button.click(_maker(kind), None, hidden, **QUICK)
        made.success(None, None, None, js=press, **QUICK)
    return View(RACE, settings=StyleSettings, controls=widgets, prefix=PREFIX)


def _run(
    request: gr.Request, content_path: str | None, style_path: str | None, model: str, *values: Any
) -> Iterator[tuple[Any, ...]]:
    """panels, status and table of a race."""
    user = session_of(request)
    try:
        settings = read_settings(StyleSettings, NAMES, values)
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
                yield gr.skip(), working(event.text.capitalize(), event.fraction), gr.skip()
    except CvDemoError as error:
        yield gr.skip(), trouble(error), gr.skip()


def _maker(kind: str) -> Any:
    def make(request: gr.Request) -> Any:
        user = session_of(request)
        found = memory_of(user).get(LAST)
        if found is None:
            raise gr.Error("There is nothing to download yet. Start the race first.", print_exception=False)
        name, content = view.export(found, kind)
        path = files.make(user, name)
        path.write_bytes(content)
        return gr.DownloadButton(value=str(path))

    return make
