"""The layer comparison inside the Optimise view: deck 003's rows of inversions and of textures, made on the spot."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import gradio as gr

from cvdemo.core.engine import default_engine
from cvdemo.core.errors import CvDemoError
from cvdemo.style import layer_study
from cvdemo.style.layer_study import INVERSION, LARGEST, STEPS, STUDIES, LayerResult
from cvdemo.style.optimise_view import OptimiseSettings
from cvdemo.style.tab_shared import content_on_show, gallery_html, own_style_on_show
from cvdemo.ui.background import Done, Stop, follow, stopping
from cvdemo.ui.sessions import session_of
from cvdemo.ui.viewer import status, trouble, working
from cvdemo.ui.views import QUICK, Shared
from cvdemo.ui.widgets import read_settings

USED = ("size", "optimiser", "seed", "tv_power")
WORK = "style-layers"


def create_layer_study(shared: Shared, widgets: dict[str, Any]) -> None:
    """Build the panel inside the current ``gr.Tab``; widgets: the Optimise view's, by setting."""
    gr.Markdown(
        f"**Feature inversion** makes the content picture again from one layer's features, **texture synthesis** the "
        f"style picture from the Gram matrices up to that layer; both start from noise, {STEPS} steps at most at "
        f"{LARGEST} pixels, each result as it comes."
    )
    with gr.Row(equal_height=True):
        buttons = {kind: gr.Button(f"Compare layers: {kind}", min_width=200) for kind in STUDIES}
        stop = gr.Button("Stop", min_width=80, elem_id="style-layers-stop")
    line = gr.HTML(status(), elem_id="style-layers-status")
    panels = gr.HTML(elem_id="style-layers", apply_default_css=False)
    inputs = [shared.picture, shared.second, shared.model, *(widgets[name] for name in USED)]
    for kind, button in buttons.items():
        button.click(
            _runner(kind), inputs, [line, panels], show_progress="hidden", api_visibility="private",
            concurrency_id="style-layers", concurrency_limit=8,
        )  # fmt: skip
    stop.click(stopping(WORK), None, None, **QUICK)


def _runner(kind: str) -> Any:
    def run(
        request: gr.Request, content: str | None, style: str | None, model: str, *values: Any
    ) -> Iterator[tuple[Any, ...]]:
        user, results = session_of(request), list[LayerResult]()
        try:
            settings = read_settings(OptimiseSettings, USED, values).weighed()
            inverted = kind == INVERSION
            picture = content_on_show(user, content) if inverted else own_style_on_show(user, style)

            def work(progress: Any, cancel: threading.Event) -> None:
                default_engine().preload(model, user=user, cancel=cancel, progress=progress)
                for result in layer_study.study(
                    kind, picture, settings, model=model, user=user, cancel=cancel, progress=progress
                ):
                    results.append(result)

            yield working("Starting", None), ""
            there = 0
            for event in follow(work, stop=Stop(user, WORK, "What is finished stays.")):
                fresh = len(results) > there
                there = len(results)
                panels = panels_html(kind, results[:there]) if fresh else gr.skip()
                if isinstance(event, Done):
                    yield status(said(kind, results)), panels
                else:
                    yield working(event.text, event.fraction), panels
        except CvDemoError as error:
            yield trouble(error), gr.skip()

    return run


def panels_html(kind: str, results: list[LayerResult]) -> str:
    """The results side by side, each with its layers and what is left of the loss."""
    term = "content" if kind == INVERSION else "style"
    return gallery_html([(result.pixels, result.name, f"{term} loss {result.loss:.2g}") for result in results])


def said(kind: str, results: list[LayerResult]) -> str:
    """What the row shows, in one sentence."""
    first, last = results[0], results[-1]
    left = f"{first.name} is left with a loss of {first.loss:.2g}, {last.name} with {last.loss:.2g}"
    if kind == INVERSION:
        return f"{left}: look at how much of colour, texture and shape each layer still holds"
    return f"{left}: each deeper layer adds larger patterns of the sample"
