"""The Classification tab: one input on the left, and on the right the views that look at it.

Each view is built by its own module (``tab_imagenet``, ``tab_why``, …). This one owns what they share: the picture,
the camera, the model, which view is open, and telling the open view, and only it, that something changed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from cvdemo.classification import tab_shared
from cvdemo.classification.predict import DEFAULT_MODEL, TASK
from cvdemo.classification.tab_emotion import create_emotion_view
from cvdemo.classification.tab_imagenet import create_imagenet_view
from cvdemo.classification.tab_shared import (
    EMOTION,
    IMAGENET,
    LESSON,
    QUICK,
    SLIDING,
    TEACH,
    TELLING,
    VIEWS,
    WHY,
    Shared,
    View,
)
from cvdemo.classification.tab_sliding import create_sliding_view
from cvdemo.classification.tab_teach import create_teach_view
from cvdemo.classification.tab_why import create_why_view
from cvdemo.core import registry
from cvdemo.core.errors import CvDemoError
from cvdemo.core.media import Picture
from cvdemo.detection import live
from cvdemo.ui import lessons
from cvdemo.ui.examples import Example, pictures
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.viewer import problem, status
from cvdemo.ui.widgets import address_script, model_choices, picture_file, widget_values

PRIVACY = "Pictures are processed on the machine that runs cvdemo and kept only while this page is open."
FIRST_EXAMPLE = "cheetah"
CAMERA = "classification-camera"
CREATORS: dict[str, tuple[str, Callable[[Shared], View]]] = {
    IMAGENET: ("ImageNet", create_imagenet_view),
    WHY: ("Why", create_why_view),
    SLIDING: ("Sliding window", create_sliding_view),
    TEACH: ("Teach it", create_teach_view),
    EMOTION: ("Emotion", create_emotion_view),
}


@dataclass(frozen=True)
class ClassificationTab:
    """What the page needs of the finished tab. ``opening``: the components that ``open`` sets, in its order."""

    opening: list[Any]
    examples: list[Example]
    views: list[View]

    def open(self, query: dict[str, str]) -> list[Any]:
        """Model, example, view and settings from the page's address, which anybody may have edited.

        Setting the picture fires its change event, which computes the open view with the settings in place.
        """
        known = [name for _, name in model_choices(TASK)]
        model = query.get("model", DEFAULT_MODEL)
        names = [query.get("example"), FIRST_EXAMPLE]
        found = [example for name in names for example in self.examples if example.name == name] or self.examples
        view = query.get("view", IMAGENET)
        view = view if view in VIEWS else IMAGENET
        return [
            gr.Dropdown(choices=model_choices(TASK), value=model if model in known else DEFAULT_MODEL),
            str(found[0].path) if found else None,
            gr.Tabs(selected=view),
            view,
            *settings_from(query, self.views),
        ]

    def forget(self, session: str) -> None:
        """Drop what the tab keeps of a visitor who left."""
        for view in self.views:
            view.forget(session)
        tab_shared.forget(session)
        live.forget(_rate_key(session))


def create_classification_tab(shell: Any, user_limit: int) -> ClassificationTab:
    """Build the tab inside the current ``gr.Tab``.

    shell: offers ``projector``, ``pill`` and ``refresh_pill``.   user_limit: webcams at the same time.
    """
    examples = pictures(files.examples)
    state = {"mode": gr.State("picture"), "view": gr.State(IMAGENET)}
    with gr.Row(equal_height=False, elem_id="classification"):
        with gr.Column(scale=3, min_width=320):
            inputs = _inputs(examples)
        shared = Shared(
            picture=inputs["picture"], model=inputs["model"], camera=inputs["camera"], **state,
            projector=shell.projector, pill=shell.pill, refresh_pill=shell.refresh_pill,
        )  # fmt: skip
        with gr.Column(scale=8, min_width=380), gr.Tabs(elem_id="classification-views") as tabs:
            opened, views = {}, []
            for name, (title, create) in CREATORS.items():
                with gr.Tab(title, id=name) as opened[name]:
                    views.append(create(shared))
            with gr.Tab("Lesson", id=LESSON) as opened[LESSON]:
                tries = _lesson()
    opening = [shared.model, shared.picture, tabs, shared.view, *(w for view in views for w in view.controls.values())]
    tab = ClassificationTab(opening, examples, views)
    nudge = _wire_refresh(shared, views)
    _wire_model(shared, inputs["card"])
    _wire_views(shared, opened)
    _wire_modes(shared, inputs["modes"], inputs["live_line"])
    _wire_live(shared, views, inputs["live_line"], user_limit)
    _wire_addresses(views)
    _wire_lesson(tab, tries, nudge)
    return tab


def settings_from(query: dict[str, str], views: list[View]) -> list[Any]:
    """Values for the controls of all views, in order, from an address; what it does not name is at its default."""
    values: list[Any] = []
    for view in views:
        if view.settings is not None:
            own = {name: query[view.prefix + name] for name in view.controls if view.prefix + name in query}
            values += widget_values(view.settings.from_query(own), list(view.controls))
    return values


def _inputs(examples: list[Example]) -> dict[str, Any]:
    """The left column: a picture or the camera, and the model."""
    with gr.Tabs():
        with gr.Tab("Picture", id="picture") as picture_mode:
            picture = picture_file(
                label="Drop, paste or photograph a picture",
                sources=["upload", "clipboard", "webcam"],
                height=200,
                elem_id="classification-picture",
            )
            gr.Examples(
                [[str(example.path)] for example in examples],
                inputs=[picture],
                label="Examples",
                elem_id="classification-examples",
                api_visibility="private",
            )
        with gr.Tab("Live", id="live") as live_mode:
            camera = gr.Image(
                label="Webcam: allow access, then press Record",
                sources=["webcam"],
                streaming=True,
                type="numpy",
                height=200,
                webcam_options=gr.WebcamOptions(mirror=False),
                elem_id=CAMERA,
            )
            live_line = gr.HTML(elem_id="classification-live", apply_default_css=False)
    model = gr.Dropdown(
        model_choices(TASK), value=DEFAULT_MODEL, label="Model (runs the network again)", filterable=False,
        elem_id="classification-model",
    )  # fmt: skip
    with gr.Accordion("Model card", open=False):
        card = gr.Markdown(registry.model_card(registry.get(DEFAULT_MODEL)), elem_classes="numbers")
    gr.Markdown(PRIVACY, elem_classes="privacy")
    return {
        "modes": {"picture": picture_mode, "live": live_mode}, "picture": picture, "camera": camera, "model": model,
        "card": card, "live_line": live_line,
    }  # fmt: skip


def _lesson() -> list[tuple[Any, dict[str, str]]]:
    lesson = lessons.load(TASK)
    gr.Markdown(f"**What you see.** {lesson.see}")
    gr.Markdown("**Try this.**")
    buttons = []
    for attempt in lesson.tries:
        with gr.Row(equal_height=True):
            buttons.append((gr.Button(attempt.label, size="sm", scale=1, min_width=180), attempt.query))
            gr.Markdown(attempt.text, container=False)
    gr.Markdown(f"**On the slides.** {lesson.slides}")
    return buttons


def _wire_refresh(shared: Shared, views: list[View]) -> Any:
    """Picture, model, mode and view changes ring the open view's bell, and only that; returns a bell for all.

    The bells are counters: a ``gr.State`` fires its change event when its value differs from before.
    """
    told = [view for view in views if view.refresh is not None]
    bells = [gr.State(0) for _ in told]
    nudge = gr.State(0)

    def ring(name: str, mode: str, path: str | None, *counts: int) -> list[Any]:
        return [
            count + 1 if is_wanted(view, name, mode, path) else gr.skip() for view, count in zip(told, counts)
        ]  # fmt: skip

    changed = [shared.picture.change, shared.model.change, shared.mode.change, shared.view.change, nudge.change]
    gr.on(
        changed, ring, [shared.view, shared.mode, shared.picture, *bells], bells, trigger_mode="always_last", **TELLING
    )
    for view, bell in zip(told, bells):
        assert view.refresh is not None
        ran = bell.change(
            as_generator(view.refresh.fn), view.refresh.inputs, view.refresh.outputs, trigger_mode="always_last",
            show_progress="hidden", api_visibility="private", concurrency_id=f"classification-{view.name}",
            concurrency_limit=8,
        )  # fmt: skip
        ran.then(shared.refresh_pill, None, shared.pill, **QUICK)
    return nudge


def is_wanted(view: View, name: str, mode: str, path: str | None) -> bool:
    """Whether a view is to be called while the view ``name`` is open."""
    if view.name != name or view.refresh is None:
        return False
    return view.refresh.always or (bool(path) and (mode == "picture" or view.live is None))


def as_generator(fn: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
    """A function or generator function with the request as its first argument, as a generator function."""

    def run(request: gr.Request, *values: Any) -> Iterator[Any]:
        if inspect.isgeneratorfunction(fn):
            yield from fn(request, *values)
        else:
            yield fn(request, *values)

    return run


def _wire_model(shared: Shared, card: Any) -> None:
    shared.model.change(lambda name: registry.model_card(registry.get(name)), shared.model, card, **QUICK)
    remember = address_script(["model"], [DEFAULT_MODEL])
    shared.model.input(None, shared.model, None, js=remember, queue=False, api_visibility="private")


def _wire_views(shared: Shared, opened: dict[str, Any]) -> None:
    """A view that is opened becomes the one that is told about changes, and stands in the page's address."""
    for name, tab in opened.items():
        script = f"() => {{ window.cvdemo.rememberInAddress(['view'], ['{IMAGENET}'], ['{name}']); return []; }}"
        tab.select(lambda name=name: name, None, shared.view, js=script, **TELLING)


def _wire_modes(shared: Shared, modes: dict[str, Any], line: Any) -> None:
    def enter_live() -> tuple[str, str]:
        return "live", status("", "Allow the camera, then press Record. The open view follows it.")

    stop = f"() => {{ window.cvdemo.stopCamera('{CAMERA}'); return []; }}"
    modes["picture"].select(lambda: ("picture", ""), None, [shared.mode, line], js=stop, **TELLING)
    modes["live"].select(enter_live, None, [shared.mode, line], **TELLING)


def _wire_live(shared: Shared, views: list[View], line: Any, user_limit: int) -> None:
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
                    return problem(str(error)), *kept
                kept[first_out : first_out + wanted] = made
                return _rate_line(live.rate(_rate_key(user))), *kept
            first_in, first_out = first_in + given, first_out + wanted
        return status("", "This view does not follow the camera; it works on the picture of the Picture tab."), *kept

    shared.camera.stream(
        step,
        [shared.camera, shared.model, shared.mode, shared.view, *inputs],
        [line, *outputs],
        stream_every=0.05,
        time_limit=60,
        concurrency_limit=user_limit,
        concurrency_id="classification-live",
        show_progress="hidden",
        api_visibility="private",
    )


def _rate_line(rate: float) -> str:
    return status("", f"{rate:.1f} frames a second" if rate else "Measuring the speed", announce=False)


def _rate_key(session: str) -> str:
    return f"{session}/classification"


def _wire_addresses(views: list[View]) -> None:
    """Controls that are moved write themselves into the page's address."""
    for view in views:
        if view.settings is None:
            continue
        names, widgets = list(view.controls), list(view.controls.values())
        defaults = widget_values(view.settings(), names)
        remember = address_script([view.prefix + name for name in names], defaults)
        gr.on([widget.input for widget in widgets], None, widgets, None, js=remember, **QUICK)


def _wire_lesson(tab: ClassificationTab, tries: list[tuple[Any, dict[str, str]]], nudge: Any) -> None:
    """A lesson's button sets what its query names, opens that view and has it computed."""

    def go(query: dict[str, str]) -> Any:
        def set_all(count: int) -> list[Any]:
            values = tab.open(query)
            if "model" not in query:
                values[0] = gr.skip()
            if "example" not in query:
                values[1] = gr.skip()
            return [*values, count + 1]

        return set_all

    names = [view.prefix + name for view in tab.views for name in view.controls]
    remember = address_script(["model", *names], [DEFAULT_MODEL, *settings_from({}, tab.views)])
    model, _, _, _, *widgets = tab.opening
    for button, query in tries:
        done = button.click(go(query), nudge, [*tab.opening, nudge], **TELLING)
        done.then(None, [model, *widgets], None, js=remember, **QUICK)
