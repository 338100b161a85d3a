"""The Heatmap view: inside one person's joints, between stages and models, and under a painted rectangle."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import gradio as gr

from cvdemo.core import registry
from cvdemo.core.errors import CvDemoError
from cvdemo.core.media import Picture
from cvdemo.pose import heatmap_looks as looks
from cvdemo.pose import heatmap_view as view
from cvdemo.pose import tab_shared as kept
from cvdemo.pose.heatmap_view import COVER, JOINT, LOOKS, STAGES, HeatmapControls
from cvdemo.pose.skeleton import COCO_JOINTS
from cvdemo.pose.tab_shared import HEATMAP, Look
from cvdemo.ui.background import Done, follow
from cvdemo.ui.canvas import canvas
from cvdemo.ui.memory import memory_of, picture_of
from cvdemo.ui.pointer import pointer, said
from cvdemo.ui.sessions import session_of
from cvdemo.ui.viewer import problem, status, trouble, working
from cvdemo.ui.views import QUICK, LiveView, Refresh, Shared, View
from cvdemo.ui.widgets import moving_menu, read_settings, settings_components

NAMES = tuple(field.name for field in fields(HeatmapControls))
RECTANGLE = ("left", "right", "top", "bottom")
# Which groups of controls a look needs; side by side, both models are fixed and there is nothing to set.
GROUPS = {"map": (JOINT, STAGES, COVER), "whole": (JOINT,), "stages": (STAGES,), "cover": (COVER,)}


@dataclass(frozen=True)
class Parts:
    """The view's components. ``current``: ``gr.State``, the key of the look on show in the session's memory.

    widgets: by setting.   groups: what is visible for some looks only.   corner: ``gr.State``, the first one clicked.
    """

    canvas: Any
    pointer: Any
    caption: Any
    status: Any
    table: Any
    help: Any
    person: Any
    widgets: dict[str, Any]
    groups: dict[str, Any]
    current: Any
    corner: Any

    @property
    def settings(self) -> list[Any]:
        """The widgets in the order of ``NAMES``."""
        return [self.widgets[name] for name in NAMES]

    @property
    def answer(self) -> list[Any]:
        """What ``drawn`` fills."""
        return [self.canvas, self.caption, self.status, self.table]


def create_heatmap_view(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    parts = _components()
    _wire_controls(parts)
    _wire_canvas(parts)
    inputs = [parts.current, parts.person, *parts.settings]
    outputs = [parts.current, parts.person, *parts.answer]
    return View(
        HEATMAP,
        live=LiveView(HEATMAP, _step, parts.settings, [parts.current, *parts.answer]),
        refresh=Refresh(_run, [shared.picture, shared.model, *inputs], outputs),
        settings=HeatmapControls,
        controls=dict(zip(NAMES, parts.settings)),
    )


def _run(
    request: gr.Request, path: str, model: str, current: Any, person: Any, *values: Any
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    """current, person menu and the answer for a picture."""
    user = session_of(request)
    try:
        controls = read_settings(HeatmapControls, NAMES, values)
        picture = picture_of(user, path)
        key = kept.key_of(picture, model)

        def work(progress: Any, cancel: Any) -> tuple[Look, looks.Shown, list[tuple[str, int]], int]:
            look = kept.look_of(user, picture, model, progress=progress, cancel=cancel)
            choices = looks.people_choices(look)
            row = person_row(person, choices, same=current == key)
            return look, looks.compose(user, look, row, controls, memory_of(user)), choices, row

        for event in follow(work):
            if isinstance(event, Done):
                _, made, choices, row = event.value
                menu = gr.Dropdown(choices=choices or [("nobody", -1)], value=row)
                yield key, menu, *drawn(made)
            else:
                yield *(gr.skip(),) * 4, working(event.text, event.fraction), gr.skip()
    except CvDemoError as error:
        yield *(gr.skip(),) * 4, trouble(error), gr.skip()


def person_row(value: Any, choices: list[tuple[str, int]], *, same: bool) -> int:
    """The row the menu means; the surest person's on another picture or when there is none such, -1 for nobody."""
    rows = [row for _, row in choices]
    if same and value in rows:
        return int(value)
    return rows[0] if rows else -1


def drawn(made: looks.Shown, live: bool = False) -> tuple[Any, ...]:
    """canvas, caption, status, table."""
    caption = f'<p class="hint">{html.escape(made.caption)}</p>' if made.caption else ""
    line = (
        problem(made.problem)
        if made.problem and not live
        else status(made.problem or made.sentence, made.timing, announce=not live)
    )
    return made.value, caption, line, made.table


def two_stage_choices() -> list[tuple[str, str]]:
    """(label, name) of the models of two stages, with the reason where one is not there."""
    states = {name: registry.availability(registry.get(name)) for name in view.TWO_STAGES}
    return [
        (title if states[name].ok else f"{title} · {states[name].reason}", name)
        for name, title in view.TWO_STAGES.items()
    ]


def _step(user: str, picture: Picture, model: str, *values: Any) -> tuple[Any, ...]:
    """current and the answer for a webcam frame: the person the detector is surest of."""
    controls = read_settings(HeatmapControls, NAMES, values)
    look = kept.look_at(picture, model, user)
    choices = looks.people_choices(look)
    made = looks.compose(user, look, choices[0][1] if choices else -1, controls, None, 80)
    return None, *drawn(made, live=True)


def _components() -> Parts:
    settings = HeatmapControls()
    look = gr.Radio(
        [(title, name) for name, title in LOOKS.items()], value=settings.look, label="What to look at",
        elem_id="pose-look",
    )  # fmt: skip
    explanation = gr.Markdown(view.HELP[settings.look], elem_id="pose-heatmap-help")
    with gr.Row(equal_height=False, elem_classes="answer"):
        with gr.Column(scale=5, min_width=300):
            result = canvas("pose-heatmap", "The person appears here under the heatmap of one joint.")
            told = pointer("pose-heatmap")
            caption = gr.HTML(elem_id="pose-heatmap-caption", apply_default_css=False)
            line = gr.HTML(status(), elem_id="pose-heatmap-status")
        with gr.Column(scale=3, min_width=240):
            person = moving_menu(
                [("whoever is surest", -1)], value=-1, label="Person", filterable=False, elem_id="pose-heatmap-person"
            )  # fmt: skip
            groups = {name: gr.Column(visible=settings.look in where) for name, where in GROUPS.items()}
            with groups["map"]:
                widgets = settings_components(HeatmapControls, ("joint", "heat"))
            with groups["whole"]:
                widgets |= settings_components(HeatmapControls, ("whole",))
            with groups["stages"]:
                two_stage = gr.Dropdown(
                    two_stage_choices(), value=settings.two_stage, label="Model of two stages",
                    info="Runs the network, once per person.", filterable=False, elem_id="pose-two-stage",
                )  # fmt: skip
            with groups["cover"]:
                with gr.Row():
                    widgets |= settings_components(HeatmapControls, RECTANGLE[:2])
                with gr.Row():
                    widgets |= settings_components(HeatmapControls, RECTANGLE[2:])
                widgets |= settings_components(HeatmapControls, ("fill",))
    table = gr.HTML(elem_id="pose-heatmap-table", apply_default_css=False)
    widgets |= {"look": look, "two_stage": two_stage}
    return Parts(
        result, told, caption, line, table, explanation, person, widgets, groups, gr.State(None), gr.State(None)
    )  # fmt: skip


def _redraw(request: gr.Request, key: Any, person: Any, *values: Any) -> tuple[Any, ...]:
    """The answer for what is on show; networks run only for what was not asked before."""
    user = session_of(request)
    look = memory_of(user).get(key) if key is not None else None
    if look is None:
        return (gr.skip(),) * 4
    try:
        controls = read_settings(HeatmapControls, NAMES, values)
        row = person_row(person, looks.people_choices(look), same=True)
        return drawn(looks.compose(user, look, row, controls, memory_of(user)))
    except CvDemoError as error:
        return gr.skip(), "", trouble(error), ""


def _wire_controls(parts: Parts) -> None:
    def visible(look: str) -> list[Any]:
        return [view.HELP.get(look, ""), *(gr.Column(visible=look in where) for where in GROUPS.values())]

    parts.widgets["look"].change(visible, parts.widgets["look"], [parts.help, *parts.groups.values()], **QUICK)
    inputs = [parts.current, parts.person, *parts.settings]
    # what needs a network waits its turn, and only the newest position of a handle is computed
    running: dict[str, Any] = {
        "show_progress": "hidden", "api_visibility": "private", "concurrency_id": "pose-heatmap",
        "concurrency_limit": 8, "trigger_mode": "always_last",
    }  # fmt: skip
    for name in ("look", "two_stage", "fill", *RECTANGLE):
        parts.widgets[name].input(_redraw, inputs, parts.answer, **running)
    parts.person.input(_redraw, inputs, parts.answer, **running)
    for name in ("joint", "heat", "whole"):
        parts.widgets[name].input(_redraw, inputs, parts.answer, **QUICK, trigger_mode="always_last")


def _wire_canvas(parts: Parts) -> None:
    """The mouse on the picture: the nearest joint, a dragged rectangle, or two clicked corners."""
    inputs = [parts.current, parts.person, *parts.settings]
    edges = [parts.widgets[name] for name in RECTANGLE]
    position = NAMES.index("joint")
    running: dict[str, Any] = {
        "show_progress": "hidden", "api_visibility": "private", "concurrency_id": "pose-heatmap",
        "concurrency_limit": 8, "trigger_mode": "always_last",
    }  # fmt: skip

    def pointed(request: gr.Request, told: Any, key: Any, person: Any, *values: Any) -> tuple[Any, ...]:
        joint = joint_of(told)
        if joint is None:
            return (gr.skip(),) * 5
        chosen = (*values[:position], joint, *values[position + 1 :])
        return joint, *_redraw(request, key, person, *chosen)

    def dragged(event: gr.EventData) -> tuple[Any, ...]:
        return None, *edges_of((event.x1, event.y1), (event.x2, event.y2))

    def clicked(event: gr.EventData, corner: Any) -> tuple[Any, ...]:
        here = (event.x, event.y)
        if corner is None:
            return here, *(gr.skip(),) * 4, status("One corner is set", "Click the opposite corner.")
        return None, *edges_of(corner, here), gr.skip()

    parts.pointer.input(
        pointed, [parts.pointer, *inputs], [parts.widgets["joint"], *parts.answer], **QUICK, trigger_mode="always_last"
    )  # fmt: skip
    pressed: dict[str, Any] = {**QUICK, "trigger_mode": "multiple"}  # a second press may come before the first's answer
    painted = parts.canvas.select(dragged, None, [parts.corner, *edges], **pressed)
    painted.then(_redraw, inputs, parts.answer, **running)
    second = parts.canvas.click(clicked, parts.corner, [parts.corner, *edges, parts.status], **pressed)

    def complete(request: gr.Request, corner: Any, *values: Any) -> tuple[Any, ...]:
        return (gr.skip(),) * 4 if corner is not None else _redraw(request, *values)

    second.then(complete, [parts.corner, *inputs], parts.answer, **running)


def joint_of(told: Any) -> str | None:
    """The joint that the pointer names, None when it names none."""
    index = said(told, "joint")
    return COCO_JOINTS[index] if isinstance(index, int) and 0 <= index < len(COCO_JOINTS) else None


def edges_of(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float, float, float]:
    """left, right, top, bottom in whole per cent of two opposite corners in shares; at least one per cent apart."""
    sides: list[float] = []
    for a, b in zip(one, other):
        low, high = sorted(min(max(100 * float(value), 0.0), 100.0) for value in (a, b))
        low, high = float(round(low)), float(round(high))
        if high - low < 1:
            low, high = max(low - 1, 0.0), min(high + 1, 100.0)
        sides += [low, high]
    return sides[0], sides[1], sides[2], sides[3]
