"""The Compare view: one pair, all methods, their time and, where the truth is known, their error."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from cvdemo.core import registry
from cvdemo.core.errors import CvDemoError
from cvdemo.flow import compare_view as view
from cvdemo.flow import tab_shared as kept
from cvdemo.flow.compare_view import CompareSettings
from cvdemo.flow.raw import DEFAULT_ITERATIONS
from cvdemo.flow.tab_shared import COMPARE, Look, Pair, Truth
from cvdemo.ui.background import Progress, follow
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.viewer import problem, status, trouble, working
from cvdemo.ui.views import QUICK, Refresh, Shared, View
from cvdemo.ui.widgets import read_settings, settings_components, upload_button

NAMES = ("methods", "show", "maximum")
PREFIX = "compare_"


@dataclass(frozen=True)
class Parts:
    """The view's components. ``current``: ``gr.State``, the names of the methods on show."""

    panels: Any
    status: Any
    settings: list[Any]
    upload: Any
    forget: Any
    table: Any
    current: Any

    @property
    def answer(self) -> list[Any]:
        """What ``drawn`` fills."""
        return [self.panels, self.status, self.table]


def create_compare_view(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    parts = _components()
    inputs = [shared.picture, shared.second, *parts.settings]
    outputs = [parts.current, *parts.answer]
    running: dict[str, Any] = {
        "show_progress": "hidden", "api_visibility": "private", "concurrency_id": "flow-compare",
        "concurrency_limit": 8, "trigger_mode": "always_last",
    }  # fmt: skip
    methods, *quick = parts.settings
    methods.input(_run, inputs, outputs, **running)
    again = [parts.current, shared.picture, shared.second, *parts.settings]
    gr.on([widget.input for widget in quick], _redraw, again, parts.answer, trigger_mode="always_last", **QUICK)
    parts.upload.upload(_bring, [parts.upload, *inputs], outputs, **running)
    parts.forget.click(_forget, inputs, outputs, **running)
    return View(
        COMPARE,
        refresh=Refresh(_run, inputs, outputs),
        settings=CompareSettings,
        controls=dict(zip(NAMES, parts.settings)),
        prefix=PREFIX,
    )


def _components() -> Parts:
    default = CompareSettings()
    methods = gr.CheckboxGroup(
        view.menu(), value=list(default.methods), label="Methods (each runs once on this pair)",
        elem_id="flow-compare-methods",
    )  # fmt: skip
    panels = gr.HTML(elem_id="flow-compare-panels", apply_default_css=False)
    line = gr.HTML(status(), elem_id="flow-compare-status")
    with gr.Row(equal_height=True):
        widgets = settings_components(CompareSettings, NAMES[1:])
        with gr.Column(min_width=200):
            upload = upload_button(
                "Bring the true flow", file_types=[".flo", ".png", ".npy"], elem_id="flow-truth-file", size="sm"
            )
            forget = gr.Button("Forget the truth", elem_id="flow-truth-forget", size="sm")
    table = gr.HTML(elem_id="flow-compare-table", apply_default_css=False)
    return Parts(panels, line, [methods, *widgets.values()], upload, forget, table, gr.State(None))


def _run(request: gr.Request, first: str | None, second: str | None, *values: Any) -> Iterator[tuple[Any, ...]]:
    """current and the answer: the chosen methods one after the other."""
    user, looks, skipped = session_of(request), [], []
    try:
        settings = read_settings(CompareSettings, NAMES, values)
        pair = kept.pair_on_show(user, first, second)
        truth = kept.truth_of(user, pair)
        for name in settings.methods:
            for event in follow(functools.partial(_looked, user, pair, name)):
                if isinstance(event, Progress):
                    words = f"{registry.get(name).title}: {event.text}"
                    yield gr.skip(), gr.skip(), working(words, event.fraction), gr.skip()
                elif isinstance(event.value, str):
                    skipped.append(event.value)
                else:
                    looks.append(event.value)
        keys = [look.inference.model for look in looks]
        panels, line, table = drawn(looks, pair, truth, settings)
        yield keys, panels, problem("; ".join(skipped)) if skipped else line, table
    except CvDemoError as error:
        yield gr.skip(), gr.skip(), trouble(error), gr.skip()


def _looked(user: str, pair: Pair, model: str, progress: Any, cancel: Any) -> Look | str:
    """A method's look, or why it has none: one that cannot run does not keep the others from it."""
    try:
        return kept.forward_look_of(user, pair, model, DEFAULT_ITERATIONS, progress=progress, cancel=cancel)
    except CvDemoError as error:
        return f"{registry.get(model).title}: {error}"


def drawn(looks: list[Look], pair: Pair, truth: Truth | None, settings: CompareSettings) -> tuple[str, str, str]:
    """panels, status, table."""
    rows = [view.row_of(look, truth) for look in looks]
    hint = "The truth of this pair is known." if truth is not None else "Bring the true flow to see the EPE."
    return (
        view.panels_html(looks, pair, truth, settings),
        status(view.sentence(rows, truth), hint),
        view.table_html(rows, truth),
    )


def _redraw(
    request: gr.Request, keys: Any, first: str | None, second: str | None, *values: Any
) -> tuple[Any, ...]:  # fmt: skip
    """The answer for what was computed: another look needs no method to run."""
    user = session_of(request)
    if not keys:
        return (gr.skip(),) * 3
    try:
        settings = read_settings(CompareSettings, NAMES, values)
        pair = kept.pair_on_show(user, first, second)
        looks = [kept.forward_look_of(user, pair, name, DEFAULT_ITERATIONS) for name in keys]
        return drawn(looks, pair, kept.truth_of(user, pair), settings)
    except CvDemoError as error:
        return gr.skip(), trouble(error), gr.skip()


def _bring(
    request: gr.Request, path: str | None, first: str | None, second: str | None, *values: Any
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    user = session_of(request)
    if not path:
        return
    try:
        pair = kept.pair_on_show(user, first, second)
        kept.bring_truth(user, pair, files.claim(user, path))
    except CvDemoError as error:
        yield gr.skip(), gr.skip(), trouble(error), gr.skip()
        return
    yield from _run(request, first, second, *values)


def _forget(request: gr.Request, first: str | None, second: str | None, *values: Any) -> Iterator[tuple[Any, ...]]:
    user = session_of(request)
    try:
        kept.forget_truth(user, kept.pair_on_show(user, first, second))
    except CvDemoError as error:
        yield gr.skip(), gr.skip(), trouble(error), gr.skip()
        return
    yield from _run(request, first, second, *values)
