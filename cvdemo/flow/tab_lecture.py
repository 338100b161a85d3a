"""The lecture corner: the aperture problem, motion from one blurred picture, and Lucas-Kanade tracks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from cvdemo.core.errors import CvDemoError
from cvdemo.flow import lecture_view as view
from cvdemo.flow import tab_shared as kept
from cvdemo.flow.lecture_view import APERTURE, BLUR, HELP, TOPICS, TRACKS, LectureSettings
from cvdemo.flow.tab_shared import LECTURE
from cvdemo.ui.background import Done, follow
from cvdemo.ui.memory import picture_of
from cvdemo.ui.sessions import session_of
from cvdemo.ui.viewer import status, trouble, working
from cvdemo.ui.views import Refresh, Shared, View
from cvdemo.ui.widgets import read_settings, settings_components

GROUPS = {
    APERTURE: ("hole", "tilt", "direction", "speed"),
    BLUR: ("length", "angle", "given"),
    TRACKS: ("points", "window", "levels"),
}
NAMES = ("topic", *(name for names in GROUPS.values() for name in names))
PREFIX = "lecture_"


@dataclass(frozen=True)
class Parts:
    """The view's components. ``groups``: the columns of controls by topic."""

    panels: Any
    status: Any
    help: Any
    widgets: dict[str, Any]
    groups: dict[str, Any]

    @property
    def settings(self) -> list[Any]:
        """The widgets in the order of ``NAMES``."""
        return [self.widgets[name] for name in NAMES]


def create_lecture_view(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    parts = _components()
    topic = parts.widgets["topic"]
    inputs = [shared.picture, shared.second, *parts.settings]
    outputs = [parts.panels, parts.status]
    running: dict[str, Any] = {
        "show_progress": "hidden", "api_visibility": "private", "concurrency_id": "flow-lecture",
        "concurrency_limit": 8, "trigger_mode": "always_last",
    }  # fmt: skip

    def turn(name: str) -> list[Any]:
        return [HELP.get(name, ""), *(gr.Column(visible=name == each) for each in GROUPS)]

    topic.change(
        turn, topic, [parts.help, *parts.groups.values()], queue=False, show_progress="hidden",
        api_visibility="private",
    )  # fmt: skip
    gr.on([widget.input for widget in parts.settings], _run, inputs, outputs, **running)
    return View(
        LECTURE,
        refresh=Refresh(_run, inputs, outputs, always=True),
        settings=LectureSettings,
        controls=dict(zip(NAMES, parts.settings)),
        prefix=PREFIX,
    )


def _components() -> Parts:
    default = LectureSettings()
    topic = gr.Radio(
        [(title, name) for name, title in TOPICS.items()], value=default.topic, show_label=False, container=False,
        elem_id="flow-topic",
    )  # fmt: skip
    words = gr.Markdown(HELP[default.topic], elem_id="flow-lecture-help")
    widgets: dict[str, Any] = {"topic": topic}
    groups = {}
    for name, controls in GROUPS.items():
        groups[name] = gr.Column(visible=name == default.topic)
        with groups[name], gr.Row():
            widgets |= settings_components(LectureSettings, controls)
    line = gr.HTML(status(), elem_id="flow-lecture-status")
    panels = gr.HTML(elem_id="flow-lecture-panels", apply_default_css=False)
    return Parts(panels, line, words, widgets, groups)


def _run(
    request: gr.Request, first: str | None, second: str | None, *values: Any
) -> Iterator[tuple[Any, Any]]:  # fmt: skip
    """panels, status of the chosen topic."""
    user = session_of(request)
    try:
        settings = read_settings(LectureSettings, NAMES, values)

        def work(progress: Any, cancel: Any) -> view.Shown:
            if settings.topic == APERTURE:
                return view.aperture(settings)
            if settings.topic == BLUR:
                return view.blurred(picture_of(user, first), settings)
            return view.tracks(kept.pair_on_show(user, first, second), settings)

        for event in follow(work):
            if isinstance(event, Done):
                made = event.value
                yield made.panels, status(made.sentence, made.details)
            else:
                yield gr.skip(), working(event.text, event.fraction)
    except CvDemoError as error:
        yield gr.skip(), trouble(error)
