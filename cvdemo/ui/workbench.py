"""A task's page: one input on the left, and on the right the views that look at it.

Each view is built by its own module of the task. The workbench owns what they share: the picture, the video, the
camera, the model, which view is open, and telling the open view, and only it, that something changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from cvdemo.core import registry
from cvdemo.core.errors import CvDemoError
from cvdemo.core.media import Picture
from cvdemo.ui import live, memory
from cvdemo.ui.background import stopping
from cvdemo.ui.examples import Example, pictures
from cvdemo.ui.lesson_view import LessonView, create_lesson
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.viewer import problem, status, trouble
from cvdemo.ui.views import QUICK, Shared, VideoView, View, as_generator, is_wanted, settings_from, stop_key
from cvdemo.ui.widgets import address_script, model_choices, signal, widget_values
from cvdemo.ui.workbench_inputs import EVERY_FRAME, MODEL, Inputs, Partner, create_inputs

LESSON = "lesson"
_PATH_SCRIPT = "(...files) => files.map((file) => file ? file.path : '').join('|').replace(/^[|]$/, '')"
ALLOW = "Allow the camera, then press Record. The open view follows it."


@dataclass(frozen=True)
class Plan:
    """What a task's page consists of.

    creators: for each view its name, which is its id in the page's address, its title and what builds it; the first
    is open at the start.   video: the words of the button that runs the open view on a video file; None without one.
    pairs: for a task that looks at two pictures, its example pairs, copied to the folder it is given.
    stride: label, help, largest value and default of the slider above that button.
    pair_labels: what the two pictures of a pair are called.
    partner: for a task whose second picture is chosen by itself, whatever the first is.   more: builds the task's own
    controls under it, for all views, and returns them as a view that is never open.
    kind, family, model_label: which models the menu offers (all by default), and what it is called.
    """

    task: str
    default_model: str
    first_example: str
    creators: dict[str, tuple[str, Callable[[Shared], View]]]
    video: str | None = None
    pairs: Callable[[Path], list[Example]] | None = None
    stride: tuple[str, str, int, int] = EVERY_FRAME
    pair_labels: tuple[str, str] = ("First frame", "Second frame")
    partner: Partner | None = None
    more: Callable[[], View] | None = None
    kind: str = ""
    family: str = ""
    model_label: str = MODEL

    @property
    def choices(self) -> list[tuple[str, str]]:
        """(label, name) of the models that are offered."""
        return model_choices(self.task, kind=self.kind, family=self.family)

    @property
    def first_view(self) -> str:
        """The view that is open at the start."""
        return next(iter(self.creators))

    @property
    def names(self) -> tuple[str, ...]:
        """The views an address may open."""
        return (*self.creators, LESSON)


@dataclass(frozen=True)
class Workbench:
    """What the page needs of a finished task. ``opening``: the components that ``open`` sets, in its order."""

    plan: Plan
    opening: list[Any]
    examples: list[Example]
    views: list[View]

    def open(self, query: dict[str, str]) -> list[Any]:
        """Model, example, view and settings from the page's address, which anybody may have edited.

        Setting the picture fires its change event, which computes the open view with the settings in place.
        """
        plan = self.plan
        choices = plan.choices
        model = query.get("model", plan.default_model)
        names = [query.get("example"), plan.first_example]
        found = [example for name in names for example in self.examples if example.name == name] or self.examples
        view = query.get("view", plan.first_view)
        view = view if view in plan.names else plan.first_view
        return [
            gr.Dropdown(choices=choices, value=model if model in [name for _, name in choices] else plan.default_model),
            str(found[0].path) if found else None,
            gr.Tabs(selected=view),
            view,
            *settings_from(query, self.views),
            *([str(found[0].second) if found else None] if plan.pairs is not None else []),
            *([plan.partner.chosen(query)] if plan.partner is not None else []),
        ]

    def forget(self, session: str) -> None:
        """Drop what the task keeps of a visitor who left."""
        for view in self.views:
            view.forget(session)
        memory.forget(session)
        live.forget(_rate_key(self.plan.task, session))


def create_workbench(plan: Plan, shell: Any, user_limit: int) -> Workbench:
    """Build a task's page inside the current ``gr.Tab``.

    shell: offers ``projector``, ``pill`` and ``refresh_pill``.   user_limit: webcams at the same time.
    """
    examples = pictures(files.examples) if plan.pairs is None else plan.pairs(files.examples)
    state = {"path": signal(""), "mode": signal("picture"), "view": signal(plan.first_view)}
    with gr.Row(equal_height=False, elem_id=plan.task):
        with gr.Column(scale=3, min_width=320):
            inputs = create_inputs(
                plan.task, plan.choices, plan.default_model, plan.video, examples, plan.stride,
                pair=plan.pair_labels if plan.pairs is not None else None, partner=plan.partner, more=plan.more,
                model_label=plan.model_label,
            )  # fmt: skip
        own = {} if inputs.more is None else inputs.more.controls
        shared = Shared(
            picture=inputs.picture, second=inputs.second, model=inputs.model, camera=inputs.camera, **state,
            projector=shell.projector, pill=shell.pill, refresh_pill=shell.refresh_pill, more=own,
        )  # fmt: skip
        with gr.Column(scale=8, min_width=380), gr.Tabs(elem_id=f"{plan.task}-views") as tabs:
            opened, views = {}, [] if inputs.more is None else [inputs.more]
            for name, (title, create) in plan.creators.items():
                with gr.Tab(title, id=name) as opened[name]:
                    views.append(create(shared))
            with gr.Tab("Lesson", id=LESSON) as opened[LESSON]:
                lesson = create_lesson(plan.task)
    opening = [shared.model, shared.picture, tabs, shared.view, *(w for view in views for w in view.controls.values())]
    opening += [] if shared.second is None else [shared.second]
    bench = Workbench(plan, opening, examples, views)
    nudge = _wire_refresh(plan, shared, views)
    _wire_model(plan, shared, inputs.card)
    _wire_views(plan, shared, opened)
    _wire_modes(plan, shared, inputs)
    _wire_live(plan, shared, views, inputs.line, user_limit)
    _wire_video(plan, shared, views, inputs)
    _wire_addresses(views)
    if plan.partner is not None:
        shared.second.change(None, shared.second, None, js=plan.partner.address_script(), **QUICK)
    _wire_lesson(bench, lesson, nudge)
    return bench


def _wire_refresh(plan: Plan, shared: Shared, views: list[View]) -> Any:
    """Picture, model, mode and view changes ring the open view's bell, and only that; returns a bell for all.

    The bells are counters, whose change events call the views.
    """
    told = [view for view in views if view.refresh is not None]
    bells = [signal(0) for _ in told]
    nudge = signal(0)

    def ring(name: str, mode: str, path: str | None, *counts: int) -> Any:
        rung = [count + 1 if is_wanted(view, name, mode, path) else gr.skip() for view, count in zip(told, counts)]
        return rung if len(rung) > 1 else rung[0]  # Gradio takes what one output gets as it is

    files_in = [shared.picture] if shared.second is None else [shared.picture, shared.second]
    for file in files_in:
        file.change(None, files_in, shared.path, js=_PATH_SCRIPT, **QUICK)
    changed = [shared.path.change, shared.model.change, shared.mode.change, shared.view.change, nudge.change]
    gr.on(
        changed, ring, [shared.view, shared.mode, shared.picture, *bells], bells, trigger_mode="always_last",
        **QUICK,
    )  # fmt: skip
    for view, bell in zip(told, bells):
        assert view.refresh is not None
        ran = bell.change(
            as_generator(view.refresh.fn), view.refresh.inputs, view.refresh.outputs, trigger_mode="always_last",
            show_progress="hidden", api_visibility="private", concurrency_id=f"{plan.task}-{view.name}",
            concurrency_limit=8,
        )  # fmt: skip
        ran.then(shared.refresh_pill, None, shared.pill, **QUICK)
    return nudge


def _wire_model(plan: Plan, shared: Shared, card: Any) -> None:
    shared.model.change(lambda name: registry.model_card(registry.get(name)), shared.model, card, **QUICK)
    remember = address_script(["model"], [plan.default_model])
    shared.model.input(None, shared.model, None, js=remember, queue=False, api_visibility="private")


def _wire_views(plan: Plan, shared: Shared, opened: dict[str, Any]) -> None:
    """A view that is opened becomes the one that is told about changes, and stands in the page's address."""
    for name, tab in opened.items():
        script = f"() => {{ window.cvdemo.rememberInAddress(['view'], ['{plan.first_view}'], ['{name}']); return []; }}"
        tab.select(lambda name=name: name, None, shared.view, js=script, **QUICK)


def _wire_modes(plan: Plan, shared: Shared, inputs: Inputs) -> None:
    words = {
        "picture": "",
        "video": status("", "Choose a video, then press the button. The open view follows it."),
        "live": status("", ALLOW),
    }
    stop = f"() => {{ window.cvdemo.stopCamera('{plan.task}-camera'); return []; }}"
    for name, mode in inputs.modes.items():
        script = None if name == "live" else stop
        mode.select(lambda name=name: (name, words[name]), None, [shared.mode, inputs.line], js=script, **QUICK)


def _wire_live(plan: Plan, shared: Shared, views: list[View], line: Any, user_limit: int) -> None:
    """One stream for all views: a frame goes to the open one, the outputs of the others stay as they are."""
    watching = [view.live for view in views if view.live is not None]
    inputs = [component for each in watching for component in each.inputs]
    outputs = [component for each in watching for component in each.outputs]

    def step(
        request: gr.Request, frame: np.ndarray | None, model: str, mode: str, name: str, *values: Any
    ) -> tuple[Any, ...]:
        kept: list[Any] = [gr.skip()] * len(outputs)
        if frame is None or mode != "live":  # a stream may outlast the visitor's change to another mode by a moment
            return gr.skip(), *kept
        first_in = first_out = 0
        for each in watching:
            given, wanted = len(each.inputs), len(each.outputs)
            if each.name == name:
                user = session_of(request)
                try:
                    picture = Picture(np.ascontiguousarray(frame[..., :3]), "webcam")
                    made = each.step(user, picture, model, *values[first_in : first_in + given])
                except CvDemoError as error:
                    return trouble(error), *kept
                kept[first_out : first_out + wanted] = made
                return _rate_line(live.rate(_rate_key(plan.task, user))), *kept
            first_in, first_out = first_in + given, first_out + wanted
        return status("", "This view does not follow the camera; it works on the picture of the Picture tab."), *kept

    shared.camera.stream(
        step,
        [shared.camera, shared.model, shared.mode, shared.view, *inputs],
        [line, *outputs],
        stream_every=0.05,
        time_limit=live.TIME_LIMIT,
        concurrency_limit=user_limit,
        concurrency_id=f"{plan.task}-live",
        show_progress="hidden",
        api_visibility="private",
    )


def _rate_line(rate: float) -> str:
    return status("", f"{rate:.1f} frames a second" if rate else "Measuring the speed", announce=False)


def _rate_key(task: str, session: str) -> str:
    return f"{session}/{task}"


def _wire_video(plan: Plan, shared: Shared, views: list[View], inputs: Inputs) -> None:
    """The button runs the open view on the video file, until it is through or stopped."""
    if inputs.start is None:
        return
    able = [view.video for view in views if view.video is not None]
    followers = " or ".join(plan.creators[each.name][0] for each in able)

    def hint(name: str, path: str | None) -> str:
        if name not in [each.name for each in able]:
            return problem(f"This view does not follow a video. Open {followers} for that.")
        return "" if path else problem("Choose a video file first, or the example.")

    inputs.stop.click(stopping(stop_key(plan.task)), None, None, **QUICK)
    inputs.start.click(hint, [shared.view, inputs.clip], inputs.line, **QUICK)
    for each in able:
        running = inputs.start.click(
            _on_video(each), [shared.view, inputs.clip, shared.model, inputs.stride, *each.inputs], each.outputs,
            show_progress="hidden", api_visibility="private", concurrency_id=f"{plan.task}-video", concurrency_limit=4,
        )  # fmt: skip
        running.then(shared.refresh_pill, None, shared.pill, **QUICK)


def _on_video(view: VideoView) -> Callable[..., Iterator[tuple[Any, ...]]]:
    def run(
        request: gr.Request, name: str, path: str | None, model: str, stride: float, *values: Any
    ) -> Iterator[tuple[Any, ...]]:
        if name == view.name and path:
            yield from view.run(request, path, model, int(stride), *values)

    return run


def _wire_addresses(views: list[View]) -> None:
    """Controls that are moved write themselves into the page's address."""
    for view in views:
        if view.settings is None:
            continue
        names, widgets = list(view.controls), list(view.controls.values())
        defaults = widget_values(view.settings(), names)
        remember = address_script([view.prefix + name for name in names], defaults)
        gr.on([widget.input for widget in widgets], None, widgets, None, js=remember, **QUICK)


def _wire_lesson(bench: Workbench, lesson: LessonView, nudge: Any) -> None:
    """A lesson's button sets what its query names, opens that view and has it computed."""
    plan = bench.plan
    inputs_two = plan.pairs is not None or plan.partner is not None

    def go(count: int, event: gr.EventData) -> list[Any]:
        query = lesson.query(event)
        values = bench.open(query)
        if "model" not in query:
            values[0] = gr.skip()
        if "example" not in query:
            values[1] = gr.skip()
        named = plan.partner.key if plan.partner is not None else "example"
        if inputs_two and named not in query:
            values[-1] = gr.skip()
        return [*values, count + 1]

    names = [view.prefix + name for view in bench.views for name in view.controls]
    names = ["model", *names]
    remember = address_script(names, [plan.default_model, *settings_from({}, bench.views)])
    model, widgets = bench.opening[0], bench.opening[4 : 4 + len(names) - 1]
    done = lesson.list.click(go, nudge, [*bench.opening, nudge], **QUICK)
    done.then(None, [model, *widgets], None, js=remember, **QUICK)
