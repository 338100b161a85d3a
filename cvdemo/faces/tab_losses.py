"""The Losses view: three points under a loss, mining in a batch, and a tiny embedding trained while one looks on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
import numpy as np

from cvdemo.core.context import ProgressFn
from cvdemo.core.errors import Cancelled, CvDemoError
from cvdemo.faces import gallery_room, losses_room, playground, tiny_view
from cvdemo.faces.losses_room import LossRoom, room_of
from cvdemo.faces.losses_view import CSS, HELP, MINED, TINY, TOPICS, TRIPLET, LossesSettings, Shown, shown, trained
from cvdemo.faces.metric_losses import MINING
from cvdemo.faces.mining import DRAWN, ENROLLED, SOURCES, Batch, gallery_batch
from cvdemo.faces.playground import NAMES as POINTS
from cvdemo.faces.playground_view import from_shares
from cvdemo.faces.tab_shared import LOSSES
from cvdemo.faces.tiny import MOST_STEPS, TINY_LOSSES, TinySettings
from cvdemo.ui.background import Done, Stop, follow, stopping
from cvdemo.ui.plane import drawn, moved, plane
from cvdemo.ui.pointer import pointer
from cvdemo.ui.sessions import session_of
from cvdemo.ui.viewer import status, trouble
from cvdemo.ui.views import QUICK, Refresh, Shared, View
from cvdemo.ui.widgets import address_script, read_settings, settings_components, widget_values

PLACES = tuple(f"{name}_{axis}" for name in POINTS for axis in "xy")
GROUPS = {
    TRIPLET: ("loss", "margin", "temperature", "rate"),
    MINED: ("source", "rule", "mining_margin", "spread", "draw"),
    TINY: ("tiny_loss", "tiny_mining", "tiny_margin", "tiny_temperature"),
}
NAMES = ("topic", *(name for names in GROUPS.values() for name in names), *PLACES)
PREFIX = "loss_"
PLAYING = "faces-losses"
STEPS, PAUSE = 150, 0.06  # of the three points: how many steps Play takes, and seconds between them
TITLES: dict[str, dict[str, str]] = {
    "loss": playground.LOSSES,
    "source": SOURCES,
    "rule": {rule: rule.capitalize() for rule in MINING},
    "tiny_loss": TINY_LOSSES,
}
AFRESH = {TRIPLET: "Start over", MINED: "Another batch", TINY: "New network"}


@dataclass(frozen=True)
class Parts:
    """The view's components. ``groups``: the columns of controls by topic."""

    plane: Any
    pointer: Any
    line: Any
    panel: Any
    help: Any
    sheet: Any
    widgets: dict[str, Any]
    groups: dict[str, Any]
    steps: Any
    buttons: dict[str, Any]

    @property
    def settings(self) -> list[Any]:
        """The widgets in the order of ``NAMES``."""
        return [self.widgets[name] for name in NAMES]

    @property
    def places(self) -> list[Any]:
        """The widgets that hold where the three points are."""
        return [self.widgets[name] for name in PLACES]

    @property
    def answer(self) -> list[Any]:
        """What ``_answer`` fills."""
        return [self.plane, self.line, self.panel]


def create_losses_view(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    parts = _components()
    _wire_controls(parts)
    _wire_plane(parts)
    _wire_steps(parts)
    return View(
        LOSSES,
        refresh=Refresh(_draw, parts.settings, parts.answer, always=True),
        forget=losses_room.forget,
        settings=LossesSettings,
        controls=dict(zip(NAMES, parts.settings)),
        prefix=PREFIX,
    )


def _components() -> Parts:
    default = LossesSettings()
    topic = gr.Radio(
        [(title, name) for name, title in TOPICS.items()], value=default.topic, show_label=False, container=False,
        elem_id="faces-topic",
    )  # fmt: skip
    words = gr.Markdown(HELP[default.topic], elem_id="faces-losses-help")
    widgets: dict[str, Any] = {"topic": topic}
    groups: dict[str, Any] = {}
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=340):
            drawing, told = plane("faces-plane"), pointer("faces-plane")
            with gr.Row():
                with gr.Row(scale=3) as steps:
                    step = gr.Button("One step", size="sm", min_width=90, elem_id="faces-step")
                    play = gr.Button("Play", size="sm", variant="primary", min_width=80, elem_id="faces-play")
                    stop = gr.Button("Stop", size="sm", min_width=70, elem_id="faces-stop-play")
                afresh = gr.Button(AFRESH[default.topic], size="sm", min_width=110, elem_id="faces-afresh")
            line = gr.HTML(status(), elem_id="faces-losses-status")
        with gr.Column(scale=3, min_width=280):
            for name, controls in GROUPS.items():
                groups[name] = gr.Column(visible=name == default.topic)
                with groups[name]:
                    for control in controls:
                        widgets |= (
                            _radio(control) if control in TITLES else settings_components(LossesSettings, (control,))
                        )
                    if name == TRIPLET:
                        with gr.Accordion("Places as numbers", open=False):
                            for point in POINTS:
                                with gr.Row():
                                    widgets |= settings_components(LossesSettings, (f"{point}_x", f"{point}_y"))
    panel = gr.HTML(css_template=CSS, elem_id="faces-losses-panel", apply_default_css=False)
    sheet = gr.HTML(css_template=CSS, visible=False, elem_id="faces-digits", apply_default_css=False)
    buttons = {"step": step, "play": play, "stop": stop, "afresh": afresh}
    return Parts(drawing, told, line, panel, words, sheet, widgets, groups, steps, buttons)


def _radio(name: str) -> dict[str, Any]:
    """A choice as buttons with titles: seen at one glance, and changed by one press."""
    field = next(field for field in LossesSettings.fields_of() if field.name == name)
    choices = [(title, value) for value, title in TITLES[name].items()]
    return {name: gr.Radio(choices, value=field.default, label=field.label, info=field.help)}


def _answer(made: Shown) -> tuple[Any, str, str]:
    """plane, line, panel."""
    return drawn(made.svg), made.line, made.panel


def _read(values: tuple[Any, ...]) -> LossesSettings:
    settings: LossesSettings = read_settings(LossesSettings, NAMES, values)
    return settings


def _draw(request: gr.Request, *values: Any) -> tuple[Any, ...]:
    """plane, line, panel for the settings as they are."""
    user = session_of(request)
    try:
        settings = _read(values)
        mines_faces = settings.topic == MINED and settings.source == ENROLLED
        return _answer(shown(room_of(user), settings, _enrolled(user) if mines_faces else None))
    except CvDemoError as error:
        return gr.skip(), trouble(error), gr.skip()


def _enrolled(user: str) -> Batch:
    """The faces of the visitor's own gallery as a batch; InputError where there are too few."""
    room = gallery_room.room_of(user)
    with room.lock:
        vectors, owners = room.gallery.embeddings() if room.gallery is not None else (np.zeros((0, 2)), [])
    return gallery_batch(vectors, owners)


def _wire_controls(parts: Parts) -> None:
    topic = parts.widgets["topic"]

    def turn(request: gr.Request, name: str) -> list[Any]:
        stopping(PLAYING)(request)  # what plays would draw over the other topic
        return [
            HELP.get(name, ""), *(gr.Column(visible=name == each) for each in GROUPS), gr.Row(visible=name != MINED),
            gr.Button(AFRESH.get(name, "")),
            gr.HTML(tiny_view.sheet_html() if name == TINY else "", visible=name == TINY),
        ]  # fmt: skip

    turned = [parts.help, *parts.groups.values(), parts.steps, parts.buttons["afresh"], parts.sheet]
    topic.change(turn, topic, turned, **QUICK)
    gr.on(
        [widget.input for widget in parts.settings], _draw, parts.settings, parts.answer, trigger_mode="always_last",
        **QUICK,
    )  # fmt: skip


def _wire_plane(parts: Parts) -> None:
    """Points that are dragged, stepped by keys, or chosen as the anchor."""

    def drag(request: gr.Request, said: Any, *values: Any) -> tuple[Any, ...]:
        found, nothing = moved(said), (gr.skip(),) * len(PLACES)
        if found is None:
            return (*nothing, gr.skip(), gr.skip(), gr.skip())
        name, x, y = found
        settings, room = _read(values), room_of(session_of(request))
        if settings.topic == TRIPLET and name in POINTS:
            stopping(PLAYING)(request)
            points = settings.points
            points[POINTS.index(name)] = from_shares(x, y).round(2)
            settings = playground.placed(settings, points)
        elif settings.topic == MINED and settings.source == DRAWN and name.isdecimal():
            room.move(int(name), from_shares(x, y))
            room.anchor = int(name)
        return (*_places(settings), *_draw(request, *widget_values(settings, list(NAMES))))

    def choose(request: gr.Request, event: gr.EventData, *values: Any) -> tuple[Any, ...]:
        name, room = str(getattr(event, "point", "")), room_of(session_of(request))
        if _read(values).topic != MINED or not name.isdecimal():
            return (gr.skip(),) * 3
        room.anchor = None if room.anchor == int(name) else int(name)
        return _draw(request, *values)

    # The address follows the points, too: their widgets are set, which is no input of the visitor's.
    remember = address_script([PREFIX + name for name in PLACES], widget_values(LossesSettings(), list(PLACES)))
    dragged = parts.pointer.input(
        drag, [parts.pointer, *parts.settings], [*parts.places, *parts.answer], trigger_mode="always_last", **QUICK
    )
    dragged.then(None, parts.places, None, js=remember, **QUICK)
    parts.plane.select(choose, parts.settings, parts.answer, trigger_mode="multiple", **QUICK)


def _places(settings: LossesSettings) -> list[Any]:
    return widget_values(settings, list(PLACES))


def _wire_steps(parts: Parts) -> None:
    outputs = [*parts.places, *parts.answer]
    running: dict[str, Any] = {
        "show_progress": "hidden", "api_visibility": "private", "concurrency_id": "faces-losses",
        "concurrency_limit": 8,
    }  # fmt: skip

    def step(request: gr.Request, *values: Any) -> tuple[Any, ...]:
        settings, room = _read(values), room_of(session_of(request))
        if settings.topic == TINY:
            room.run(settings).step(settings)
        else:
            settings = playground.step(settings)
        return (*_places(settings), *_answer(shown(room, settings)))

    def afresh(request: gr.Request, *values: Any) -> tuple[Any, ...]:
        settings, room = _read(values), room_of(session_of(request))
        stopping(PLAYING)(request)
        draw: Any = gr.skip()
        if settings.topic == TINY:
            room.run(settings, fresh=True)
        elif settings.topic == TRIPLET:
            settings = playground.placed(settings, LossesSettings().points)
        else:
            draw = (settings.draw + 1) % 10_000
            settings = replace(settings, draw=draw)
        return (draw, *_places(settings), *_draw(request, *widget_values(settings, list(NAMES))))

    parts.buttons["step"].click(step, parts.settings, outputs, **running)
    parts.buttons["play"].click(_play, parts.settings, outputs, **running)
    parts.buttons["stop"].click(stopping(PLAYING), None, None, **QUICK)
    parts.buttons["afresh"].click(afresh, parts.settings, [parts.widgets["draw"], *outputs], **QUICK)


def _play(request: gr.Request, *values: Any) -> Iterator[tuple[Any, ...]]:
    """places, plane, line, panel: step after step until there is nothing to gain, or Stop."""
    user = session_of(request)
    settings, room = _read(values), room_of(user)
    if settings.topic == TINY:
        yield from _train(user, room, settings)
        return
    now = [settings]
    try:
        for event in follow(lambda progress, cancel: _descend(now, progress, cancel), PAUSE, Stop(user, PLAYING)):
            yield (*_places(now[0]), *_answer(shown(room, now[0])))
            if isinstance(event, Done):
                return
    except Cancelled:
        return


def _descend(now: list[LossesSettings], progress: ProgressFn, cancel: threading.Event) -> None:
    """Steps of gradient descent on ``now[0]``, until nothing moves."""
    for number in range(STEPS):
        if cancel.is_set() or playground.look(now[0]).still:
            return
        now[0] = playground.step(now[0])
        progress(number / STEPS, "")
        time.sleep(PAUSE)


def _train(user: str, room: LossRoom, settings: LossesSettings) -> Iterator[tuple[Any, ...]]:
    nothing = (gr.skip(),) * len(PLACES)
    room.run(settings)
    try:
        for event in follow(
            lambda progress, cancel: room.train(MOST_STEPS, progress, cancel), 0.4, Stop(user, PLAYING)
        ):  # fmt: skip
            playing = not isinstance(event, Done)
            yield (*nothing, *_answer(trained(room, _asked(room, settings), "Training" if playing else "Finished")))
    except Cancelled:
        if room.tiny is not None and room.tiny.loss == settings.tiny_loss:
            yield (*nothing, gr.skip(), status("Stopped", "Press Play to go on."), gr.skip())


def _asked(room: LossRoom, settings: LossesSettings) -> LossesSettings:
    """The settings at the start of Play, with what was asked for since."""
    return replace(settings, **{field.name: getattr(room.asked, field.name) for field in TinySettings.fields_of()})
