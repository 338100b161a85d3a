"""The two views that need no trained network: slow and fast pathways with inflation, and the sliding 3-D kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from cvdemo.action import kernel_view, pathways, strip
from cvdemo.action.clips import Clip, ClipSpec, sample_clip, still
from cvdemo.action.kernel_view import KernelControls
from cvdemo.action.pathways import PathwayControls
from cvdemo.action.tab_shared import CONVOLUTION, PATHWAYS
from cvdemo.core.errors import CvDemoError
from cvdemo.core.settings import Settings
from cvdemo.ui.memory import memory_of, picture_of
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.viewer import problem, status
from cvdemo.ui.views import QUICK, Refresh, Shared, VideoView, View
from cvdemo.ui.widgets import read_settings, settings_components

SPECS = {PATHWAYS: ClipSpec(16, 8.0, 128), CONVOLUTION: ClipSpec(8, 4.0, 112)}
NO_CLIP = '<p class="hint">Choose a picture, or a video and press the button: its first frames are used.</p>'
WIDE = {PATHWAYS: ("alpha",), CONVOLUTION: ("at",)}
"""Controls with a row to themselves, above the panels they act on."""


@dataclass(frozen=True)
class Demo:
    """One of the views. show(clip, controls) -> its panels, as many as ``places`` names; quick enough for a slider."""

    name: str
    settings: type[Settings]
    names: tuple[str, ...]
    prefix: str
    places: tuple[str, ...]
    show: Callable[[Clip, Any], tuple[str, ...]]


def show_pathways(clip: Clip, controls: PathwayControls) -> tuple[str, ...]:
    """sentence, pathways, inflation."""
    slow = pathways.slow_rows(len(clip), controls.alpha)
    made = pathways.inflate_on(clip.frames[len(clip) // 2], controls)
    words = f"Slow: {len(slow)} of {len(clip)} frames; fast: all of them, {controls.alpha} for one of the slow pathway"
    return (
        status(words, "no network is run"),
        pathways.pathways_html(clip, slow) + pathways.costs_html(),
        status(pathways.inflation_sentence(made, controls)) + pathways.inflation_html(made, controls),
    )


def show_kernel(clip: Clip, controls: KernelControls) -> tuple[str, ...]:
    """sentence, panel."""
    panel = kernel_view.panel_html(clip, controls)
    return status(kernel_view.sentence(controls, len(clip)), "no network is run"), panel


DEMOS = {
    PATHWAYS: Demo(
        PATHWAYS, PathwayControls, ("alpha", "kernel", "length", "padding", "move"), "path_",
        ("status", "frames", "inflation"), show_pathways,
    ),
    CONVOLUTION: Demo(
        CONVOLUTION, KernelControls,
        ("at", "kind", "time", "side", "stride_time", "stride", "dilation", "causal", "padded"), "conv_",
        ("status", "panel"), show_kernel,
    ),
}  # fmt: skip


def create_pathways_view(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    return _create(DEMOS[PATHWAYS], shared)


def create_convolution_view(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    return _create(DEMOS[CONVOLUTION], shared)


def _create(demo: Demo, shared: Shared) -> View:
    panels, widgets = _components(demo)
    values = [widgets[name] for name in demo.names]

    def on_picture(request: gr.Request, path: str, *given: Any) -> tuple[Any, ...]:
        user = session_of(request)
        return _shown(demo, user, given, lambda: still(picture_of(user, path).pixels))

    def on_video(request: gr.Request, path: str, model: str, stride: int, *given: Any) -> Iterator[tuple[Any, ...]]:
        user = session_of(request)
        source = files.claim(user, path)
        yield _shown(demo, user, given, lambda: sample_clip(source, spec=SPECS[demo.name]))

    def redraw(request: gr.Request, *given: Any) -> tuple[Any, ...]:
        user = session_of(request)
        if key_of(demo) not in memory_of(user):
            return (gr.skip(),) * len(panels)
        return _shown(demo, user, given)

    for widget in values:
        widget.input(redraw, values, panels, trigger_mode="always_last", **QUICK)
    return View(
        demo.name,
        refresh=Refresh(on_picture, [shared.picture, *values], panels),
        settings=demo.settings,
        controls=widgets,
        prefix=demo.prefix,
        video=VideoView(demo.name, on_video, values, panels),
    )


def key_of(demo: Demo) -> Any:
    """Where the session's memory keeps the clip that a view shows."""
    return "action", demo.name, "clip"


def _shown(demo: Demo, user: str, given: tuple[Any, ...], make: Callable[[], Clip] | None = None) -> tuple[Any, ...]:
    """The panels for the given controls, of a new clip or the one on show; an error is told in the first panel."""
    try:
        controls = read_settings(demo.settings, demo.names, given)
        if make is not None:
            memory_of(user).put(key_of(demo), _as_long(make(), SPECS[demo.name].frames))
        return demo.show(memory_of(user).get(key_of(demo)), controls)
    except CvDemoError as error:
        return problem(str(error)), *(gr.skip(),) * (len(demo.places) - 1)


def _as_long(clip: Clip, frames: int) -> Clip:
    """A picture's one frame as often as a clip has frames."""
    if len(clip) == frames:
        return clip
    rows = np.minimum(np.arange(frames), len(clip) - 1)
    return Clip(clip.frames[rows], clip.times[rows], clip.source)


def _components(demo: Demo) -> tuple[list[Any], dict[str, Any]]:
    """The panels in the order of ``places``, and the widgets by name."""
    panels: dict[str, Any] = {}
    widgets: dict[str, Any] = {}
    rest = [name for name in demo.names if name not in WIDE[demo.name]]
    css = strip.CSS + kernel_view.CSS

    def panel(name: str) -> None:
        start = status() if name == "status" else NO_CLIP
        panels[name] = gr.HTML(start, css_template=css, elem_id=f"action-{demo.name}-{name}", apply_default_css=False)

    panel("status")
    for name in WIDE[demo.name]:
        widgets |= settings_components(demo.settings, (name,))
    if demo.name == CONVOLUTION:
        with gr.Row():
            widgets |= settings_components(demo.settings, rest[:4])
        with gr.Row():
            widgets |= settings_components(demo.settings, rest[4:])
        panel("panel")
    else:
        panel("frames")
        gr.Markdown("**Inflation.** A 2-D kernel becomes a 3-D one: tile it along time, divide by its length.")
        with gr.Row():
            widgets |= settings_components(demo.settings, rest)
        panel("inflation")
    return [panels[name] for name in demo.places], {name: widgets[name] for name in demo.names}
