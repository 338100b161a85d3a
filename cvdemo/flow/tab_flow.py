"""The Flow view: one field in seven looks, for a pair or the camera, with everything a slider can change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from cvdemo.core import registry
from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.media import Picture
from cvdemo.flow import flow_view as view
from cvdemo.flow import live
from cvdemo.flow import tab_shared as kept
from cvdemo.flow.flicker import flicker_viewer, flickering
from cvdemo.flow.flow_view import KINDS, LOOKS, FlowViewSettings, Rendered
from cvdemo.flow.tab_shared import FLOW, Look, Truth
from cvdemo.ui.background import Done, follow
from cvdemo.ui.downloads import hidden_link, wire_downloads
from cvdemo.ui.memory import memory_of
from cvdemo.ui.sessions import session_of
from cvdemo.ui.viewer import status, trouble, working
from cvdemo.ui.views import QUICK, LiveView, Refresh, Shared, View
from cvdemo.ui.widgets import read_settings, settings_components

FRONT = ("view", "maximum", "opacity", "iteration")
MORE = ("arrow_spacing", "arrow_scale", "show_occlusion", "alpha", "beta", "iterations", "variational")
NAMES = (*FRONT, *MORE)
AGAIN = ("iterations", "variational")
"""What the method is asked; the others act on its answer."""
PREFIX = "flow_"
LIVE = ("flow", "live")
WAITING = status("The first capture is there", "The flow appears with the second one.", announce=False)


@dataclass(frozen=True)
class Parts:
    """The view's components. ``current``: ``gr.State``, the key of the look on show in the session's memory."""

    viewer: Any
    status: Any
    widgets: dict[str, Any]
    charts: Any
    refinements: Any
    numbers: Any
    downloads: dict[str, Any]
    hidden: Any
    current: Any

    @property
    def settings(self) -> list[Any]:
        """The widgets in the order of ``NAMES``."""
        return [self.widgets[name] for name in NAMES]

    @property
    def answer(self) -> list[Any]:
        """What shows one look: filled by ``drawn``."""
        return [self.viewer, self.status, self.charts, self.refinements, self.numbers]


def create_flow_view(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    parts = _components()
    inputs = [shared.projector, *parts.settings]
    outputs = [parts.current, parts.widgets["iteration"], *parts.answer]
    whole = [shared.picture, shared.second, shared.model, *inputs]
    _wire_sliders(parts, shared, whole, outputs)
    wire_downloads(parts.downloads, parts.hidden, [parts.current, *parts.settings], _exported)
    return View(
        FLOW,
        live=LiveView(FLOW, _step, inputs, [parts.current, *parts.answer]),
        refresh=Refresh(_run, whole, outputs),
        forget=live.forget,
        settings=FlowViewSettings,
        controls=dict(zip(NAMES, parts.settings)),
        prefix=PREFIX,
    )


def _components() -> Parts:
    fields = {field.name: field for field in FlowViewSettings.fields_of()}
    choice = gr.Radio(
        [(title, name) for name, title in LOOKS.items()], value=fields["view"].default, show_label=False,
        elem_id="flow-view", container=False,
    )  # fmt: skip
    result = flicker_viewer("flow-result", "The flow from the first frame to the second one appears here.")
    line = gr.HTML(status(), elem_id="flow-status")
    with gr.Row():
        widgets = settings_components(FlowViewSettings, FRONT[1:])
    with gr.Accordion("More: arrows, occlusion check, refinements", open=False):
        with gr.Row():
            widgets |= settings_components(FlowViewSettings, MORE[:3])
        with gr.Row():
            widgets |= settings_components(FlowViewSettings, MORE[3:])
    widgets["view"] = choice
    with gr.Tabs():
        with gr.Tab("Histograms"):
            charts = gr.HTML(elem_id="flow-charts", apply_default_css=False)
        with gr.Tab("Refinements"):
            refinements = gr.HTML(elem_id="flow-refinements", apply_default_css=False)
        with gr.Tab("Numbers"):
            numbers = gr.HTML(elem_id="flow-numbers", apply_default_css=False)
        with gr.Tab("Download"):
            gr.Markdown(
                "The picture of this look; or the field itself, in the size of your files: Middlebury's .flo, KITTI's "
                "16-bit PNG (steps of 1/64 px), or a numpy array."
            )
            with gr.Row():
                downloads = {kind: gr.Button(label, min_width=90) for kind, label in KINDS.items()}
            hidden = hidden_link("flow-download")
    return Parts(result, line, widgets, charts, refinements, numbers, downloads, hidden, gr.State(None))


def _run(
    request: gr.Request, first: str | None, second: str | None, model: str, projector: bool, *values: Any
) -> Iterator[tuple[Any, ...]]:
    """current, iteration slider and the answer for a pair."""
    user = session_of(request)
    try:
        settings = read_settings(FlowViewSettings, NAMES, values)
        pair = kept.pair_on_show(user, first, second)
        for event in follow(
            lambda progress, cancel: kept.look_of(
                user, pair, model, settings.iterations, settings.variational, progress=progress, cancel=cancel
            )
        ):
            if isinstance(event, Done):
                key = kept.key_of(pair, model, settings.iterations, settings.variational)
                count = len(event.value.inference.raw)
                slider = gr.Slider(maximum=max(count, 1), interactive=count > 1, value=min(settings.iteration, count))
                yield key, slider, *drawn(event.value, settings, projector, kept.truth_of(user, pair))
            else:
                yield *(gr.skip(),) * 3, working(event.text, event.fraction), *(gr.skip(),) * 3
    except CvDemoError as error:
        yield *(gr.skip(),) * 3, trouble(error), *(gr.skip(),) * 3


def drawn(look: Look, settings: FlowViewSettings, projector: bool, truth: Truth | None) -> tuple[Any, ...]:
    """viewer, status, charts, refinements, numbers of a look."""
    made = view.render(look, settings, truth, projector=projector)
    rows: list[tuple[int, float, float]] = []
    if len(look.inference.raw) > 1:
        rows = look.recall(("refinements", truth), lambda: view.refinements_of(look, truth))
    return (
        value_of(made),
        status(made.sentence, made.timing),
        view.charts_of(look, made),
        view.refinements_html(rows, made.field.iteration, made.field.variational),
        view.numbers_html(look, made, truth),
    )


def value_of(made: Rendered, quality: int = 88) -> dict[str, Any]:
    """The viewer's value of a drawn look."""
    return flickering(made.pixels, made.sentence, made.other, made.names, quality)


def _step(user: str, picture: Picture, model: str, projector: bool, *values: Any) -> tuple[Any, ...]:
    """current and the answer for a capture of the camera."""
    settings = read_settings(FlowViewSettings, NAMES, values)
    found = live.look(user, picture, model, settings.iterations, settings.variational)
    if found is None:
        return gr.skip(), gr.skip(), WAITING, *(gr.skip(),) * 3
    look, maximum = found
    memory_of(user).put(LIVE, look)
    made = view.render(look, settings, projector=projector, maximum=settings.maximum or maximum)
    used = look.inference.model
    note = "" if used == model else f" · {registry.get(used).title}, because the chosen method is too slow for a camera"
    said = status(made.sentence, made.timing + note, announce=False)
    # charts of moving pictures cannot be read and would cost more than the drawing
    return LIVE, value_of(made, 80), said, *(gr.skip(),) * 3


def _wire_sliders(parts: Parts, shared: Shared, whole: list[Any], outputs: list[Any]) -> None:
    """All settings but the network's act on what was computed."""

    def redraw(request: gr.Request, key: Any, mode: str, projector: bool, *values: Any) -> tuple[Any, ...]:
        user = session_of(request)
        look = memory_of(user).get(key) if key is not None else None
        if look is None or (mode == "live" and key != LIVE):
            return (gr.skip(),) * len(parts.answer)
        settings = read_settings(FlowViewSettings, NAMES, values)
        return drawn(look, settings, projector, kept.truth_of(user, look.pair))

    inputs = [parts.current, shared.mode, shared.projector, *parts.settings]
    quick = [widget for name, widget in parts.widgets.items() if name not in AGAIN]
    for widget in (*quick, shared.projector):
        widget.input(redraw, inputs, parts.answer, trigger_mode="always_last", **QUICK)
    for moved in (parts.widgets["iterations"].release, parts.widgets["variational"].input):
        moved(
            _run, whole, outputs, trigger_mode="always_last", show_progress="hidden", api_visibility="private",
            concurrency_id="flow-flow", concurrency_limit=8,
        )  # fmt: skip


def _exported(user: str, kind: str, key: Any, *values: Any) -> tuple[str, bytes]:
    look: Look | None = memory_of(user).get(key) if key is not None else None
    if look is None:
        raise InputError("There is nothing to download yet.", hint="Choose two frames first.")
    return view.export(look, read_settings(FlowViewSettings, NAMES, values), kind, kept.truth_of(user, look.pair))
