"""The Synthetic view: the generator that trains the compact networks, its parameters, and a method's exact error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from cvdemo.core import registry
from cvdemo.core.errors import CvDemoError
from cvdemo.core.media import read_picture, save_picture
from cvdemo.flow import synthetic_view as view
from cvdemo.flow import tab_shared as kept
from cvdemo.flow.raw import DEFAULT_ITERATIONS
from cvdemo.flow.synthetic import SyntheticPair
from cvdemo.flow.synthetic_view import SyntheticSettings
from cvdemo.flow.tab_shared import SYNTHETIC, Look
from cvdemo.ui.background import Done, follow
from cvdemo.ui.memory import memory_of
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.viewer import status, trouble, working
from cvdemo.ui.views import QUICK, Refresh, Shared, View
from cvdemo.ui.widgets import read_settings, settings_components

FRONT = ("seed", "motion", "things", "camera")
MORE = ("rotation", "zoom", "deformation", "brightness", "blur", "noise")
NAMES = (*FRONT, *MORE)
PREFIX = "scene_"
HELP = (
    "Nobody can measure the motion of every pixel of a real video, so networks learn from made-up pairs, such as "
    "Flying Chairs: cut-out layers that move over each other, each by a motion that is known exactly. What a network "
    "learns here must hold for real videos, too: that step is sim-to-real."
)


@dataclass(frozen=True)
class Parts:
    """The view's components."""

    panels: Any
    status: Any
    settings: list[Any]
    another: Any
    take: Any


def create_synthetic_view(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    gr.Markdown(HELP)
    panels = gr.HTML(elem_id="flow-synthetic-panels", apply_default_css=False)
    line = gr.HTML(status(), elem_id="flow-synthetic-status")
    with gr.Row():
        widgets = settings_components(SyntheticSettings, FRONT)
    with gr.Row(equal_height=True):
        another = gr.Button("Another scene", variant="primary", elem_id="flow-synthetic-next")
        take = gr.Button("Use as the input pair", elem_id="flow-synthetic-take")
    with gr.Accordion("More: rotation, zoom, deformation, brightness, blur, noise", open=False):
        with gr.Row():
            widgets |= settings_components(SyntheticSettings, MORE[:3])
        with gr.Row():
            widgets |= settings_components(SyntheticSettings, MORE[3:])
    parts = Parts(panels, line, [widgets[name] for name in NAMES], another, take)
    inputs, outputs = [shared.model, *parts.settings], [parts.panels, parts.status]
    running: dict[str, Any] = {
        "show_progress": "hidden", "api_visibility": "private", "concurrency_id": "flow-synthetic",
        "concurrency_limit": 8, "trigger_mode": "always_last",
    }  # fmt: skip
    gr.on([widget.release for widget in parts.settings], _run, inputs, outputs, **running)
    stepped = another.click(lambda seed: (int(seed) + 1) % 10_000, widgets["seed"], widgets["seed"], **QUICK)
    stepped.then(_run, inputs, outputs, **running)
    take.click(_take, parts.settings, [shared.picture, shared.second, parts.status], **QUICK)
    return View(
        SYNTHETIC,
        refresh=Refresh(_run, inputs, outputs, always=True),
        settings=SyntheticSettings,
        controls=dict(zip(NAMES, parts.settings)),
        prefix=PREFIX,
    )


def _scene(user: str, settings: SyntheticSettings) -> SyntheticPair:
    return memory_of(user).recall(("flow scene", repr(settings)), lambda: view.generate(settings))


def _run(request: gr.Request, model: str, *values: Any) -> Iterator[tuple[Any, Any]]:
    """panels, status of the scene and what the chosen method makes of it."""
    user = session_of(request)
    try:
        settings = read_settings(SyntheticSettings, NAMES, values)

        def work(progress: Any, cancel: Any) -> tuple[SyntheticPair, Look | None, str]:
            watch = {"progress": progress, "cancel": cancel}
            made = _scene(user, settings)
            pair = view.pair_of_scene(made, settings)
            try:
                return made, kept.forward_look_of(user, pair, model, DEFAULT_ITERATIONS, **watch), ""
            except CvDemoError as error:  # the pair itself is worth seeing
                return made, None, str(error)

        for event in follow(work):
            if isinstance(event, Done):
                made, look, said = event.value
                sentence = view.sentence(made, look, registry.get(model).title)
                yield view.panels_html(made, look), status(sentence, said if look is None else view.details(made, look))
            else:
                yield gr.skip(), working(event.text, event.fraction)
    except CvDemoError as error:
        yield gr.skip(), trouble(error)


def _take(request: gr.Request, *values: Any) -> tuple[Any, Any, Any]:
    """First and second picture, status: the scene becomes the pair that all views look at, with its truth."""
    user = session_of(request)
    try:
        settings = read_settings(SyntheticSettings, NAMES, values)
        made = _scene(user, settings)
        paths = []
        for pixels, name in ((made.first, "first"), (made.second, "second")):
            path = files.make(user, f"synthetic-{settings.seed}-{name}.png")
            save_picture(path, pixels)
            paths.append(path)
        pair = kept.pair_from(*(read_picture(path) for path in paths))
        kept.set_truth(user, pair, made.flow, None, f"generated, scene {settings.seed}")
    except CvDemoError as error:
        return gr.skip(), gr.skip(), trouble(error)
    said = status("The scene is the input pair now", "Flow and Compare look at it, and know its true flow.")
    return str(paths[0]), str(paths[1]), said
