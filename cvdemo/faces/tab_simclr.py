"""The SimCLR view: the augmentation family on the visitor's pictures, and NT-Xent over the batch of their views."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from cvdemo.core.errors import CvDemoError
from cvdemo.core.settings import Settings
from cvdemo.faces import simclr_view as view
from cvdemo.faces.augment import views as two_views
from cvdemo.faces.collection import MODEL, smaller, thumbnail
from cvdemo.faces.retrieval import features_of
from cvdemo.faces.simclr_view import AUGMENTATIONS, HONEST, SimclrSettings, ViewBatch
from cvdemo.faces.tab_collection import started
from cvdemo.faces.tab_shared import SIMCLR
from cvdemo.ui.background import Done, follow
from cvdemo.ui.memory import memory_of, picture_of
from cvdemo.ui.sessions import session_of
from cvdemo.ui.viewer import status, trouble, working
from cvdemo.ui.views import QUICK, Refresh, Shared, View
from cvdemo.ui.widgets import read_settings, settings_components

USED = ("smallest_crop", "flip", "colour", "grey", "blur")
TRIED = ("turn", "cutout", "noise", "sobel")
NAMES = ("temperature", "pictures", "draw", *USED, *TRIED)
PREFIX = "view_"
CURRENT = ("faces", "simclr")
HELP = (
    "Same data, different augmentations: two random views of every picture. The network is to recognise which two "
    "belong together among all views of the batch, without any label: views of one picture attract, all others repel."
)
assert set(AUGMENTATIONS) == {*USED, *TRIED}


@dataclass(frozen=True)
class Parts:
    """The view's components."""

    line: Any
    views: Any
    matrix: Any
    widgets: dict[str, Any]
    again: Any

    @property
    def settings(self) -> list[Any]:
        """The widgets in the order of ``NAMES``."""
        return [self.widgets[name] for name in NAMES]


def create_simclr_view(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    parts = _components()
    inputs = [shared.picture, *parts.settings]
    outputs = [parts.line, parts.views, parts.matrix]
    running: dict[str, Any] = {
        "show_progress": "hidden", "api_visibility": "private", "concurrency_id": "faces-simclr",
        "concurrency_limit": 8, "trigger_mode": "always_last",
    }  # fmt: skip
    slow = [parts.widgets[name] for name in NAMES if name not in ("temperature", "flip")]
    gr.on(
        [*(widget.release for widget in slow), parts.widgets["flip"].input], _run, inputs, outputs, **running
    )  # fmt: skip
    parts.widgets["temperature"].input(
        _warm, parts.widgets["temperature"], [parts.line, parts.matrix], trigger_mode="always_last", **QUICK
    )
    drawn = parts.again.click(
        lambda seed: (int(seed) + 1) % 10_000, parts.widgets["draw"], parts.widgets["draw"], **QUICK
    )
    drawn.then(_run, inputs, outputs, **running)
    return View(
        SIMCLR,
        refresh=Refresh(_run, inputs, outputs, always=True),
        settings=SimclrSettings,
        controls=dict(zip(NAMES, parts.settings)),
        prefix=PREFIX,
    )


def _components() -> Parts:
    gr.Markdown(HELP, elem_id="faces-simclr-help")
    line = gr.HTML(status(), elem_id="faces-simclr-status")
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=340):
            views = gr.HTML(css_template=view.VIEWS_CSS, elem_id="faces-views", apply_default_css=False)
        with gr.Column(scale=3, min_width=280):
            again = gr.Button("Draw other views", variant="primary", elem_id="faces-draw-views")
            widgets = settings_components(SimclrSettings, USED)
            with gr.Accordion("More of the family: rotate, cutout, noise, Sobel", open=False):
                widgets |= settings_components(SimclrSettings, TRIED)
                widgets |= settings_components(SimclrSettings, ("draw",))
            widgets |= settings_components(SimclrSettings, ("pictures",))
    widgets |= settings_components(SimclrSettings, ("temperature",))
    matrix = gr.HTML(css_template=view.MATRIX_CSS, elem_id="faces-matrix", apply_default_css=False)
    gr.Markdown(HONEST, elem_id="faces-simclr-honest")
    return Parts(line, views, matrix, widgets, again)


def _batch(
    user: str, path: str | None, settings: SimclrSettings, **watch: Any
) -> ViewBatch:  # fmt: skip
    """Views of the first picture on the left and, to fill the batch, of pictures of the collection; made once."""
    pictures = []
    if path:
        picture = picture_of(user, path)
        pictures.append((picture.name, smaller(picture.pixels)))
    others = [item for item in reversed(started(user, **watch).items) if not item.made]  # the visitor's own come first
    pictures += [(item.name, item.pixels) for item in others if item.name not in [name for name, _ in pictures]]
    pictures = pictures[: settings.pictures]
    own = view.augmentation_of(settings)
    key = ("faces views", tuple((name, hash(pixels.tobytes())) for name, pixels in pictures), repr(own), settings.draw)

    def make() -> ViewBatch:
        made, draws = two_views([pixels for _, pixels in pictures], settings.draw, own, view.VIEW)
        features = features_of(list(made), MODEL, user=user, **watch)
        return ViewBatch(
            tuple(name for name, _ in pictures), tuple(pixels for _, pixels in pictures), made, tuple(draws), features
        )

    return memory_of(user).recall(key, make)


def _run(
    request: gr.Request, path: str | None, *values: Any
) -> Iterator[tuple[Any, Any, Any]]:  # fmt: skip
    """line, views, matrix."""
    user = session_of(request)
    try:
        settings = read_settings(SimclrSettings, NAMES, values)
        for event in follow(
            lambda progress, cancel: _batch(user, path, settings, progress=progress, cancel=cancel)
        ):  # fmt: skip
            if isinstance(event, Done):
                batch = memory_of(user).put(CURRENT, event.value)
                thumbnails = [thumbnail(pixels) for pixels in batch.originals]
                line, matrix = _judged(batch, settings.temperature)
                yield line, view.views_html(batch, thumbnails), matrix
            else:
                yield working(event.text, event.fraction), gr.skip(), gr.skip()
    except CvDemoError as error:
        yield trouble(error), gr.skip(), gr.skip()


def _judged(batch: ViewBatch, temperature: float) -> tuple[str, str]:
    """line, matrix."""
    found = view.agreement(batch.features, temperature)
    rows = 2 * len(batch)
    details = (
        f"Temperature {temperature:g} · each of {rows} views against {rows - 1} others, of which {rows - 2} are "
        f"negatives · chance is ln {rows - 1} = {math.log(rows - 1):.2f}"
    )
    return status(found.sentence(), details), view.matrix_html(batch, found)


def _warm(request: gr.Request, temperature: float) -> tuple[Any, Any]:
    """line, matrix for another temperature; no network is run."""
    batch: ViewBatch | None = memory_of(session_of(request)).get(CURRENT)
    if batch is None:
        return gr.skip(), gr.skip()
    chosen: Settings = read_settings(SimclrSettings, ("temperature",), (temperature,))
    return _judged(batch, chosen.temperature)  # type: ignore[attr-defined]
