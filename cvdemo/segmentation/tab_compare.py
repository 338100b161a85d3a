"""The Compare view: two models on the same picture, side by side, and the pixels on which they differ."""

from __future__ import annotations

import functools
import html
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from cvdemo.core import registry
from cvdemo.core.errors import CvDemoError
from cvdemo.core.media import Picture
from cvdemo.core.settings import setting
from cvdemo.segmentation import compare_view as view
from cvdemo.segmentation import models as models  # registers those the settings may name
from cvdemo.segmentation import tab_shared as shared_parts
from cvdemo.segmentation.compact import SPEC_NAME
from cvdemo.segmentation.overlay_view import Look
from cvdemo.segmentation.predict import TASK, SegmentationSettings, draw
from cvdemo.segmentation.tab_shared import COMPARE, key_of
from cvdemo.ui.background import Done, follow
from cvdemo.ui.memory import memory_of, picture_of
from cvdemo.ui.sessions import session_of
from cvdemo.ui.viewer import shown, status, trouble, viewer, working
from cvdemo.ui.views import QUICK, LiveView, Refresh, Shared, View
from cvdemo.ui.widgets import model_choices, read_settings, settings_components

NAMES = ("opacity", "outline", "min_confidence")
PREFIX = "compare_"
SECONDS = ("lraspp_mobilenet_v3_large", "compact-streets", SPEC_NAME)  # the first that can run is the one to begin with
LIVE = (("segmentation", "live", "first"), ("segmentation", "live", "second"))
TITLES = ("The model on the left of the page", "The second model", "Where they differ")


def default_second() -> str:
    """The model to begin with: a small published one where its weights are or can be had, else one that ships."""
    ready = (name for name in SECONDS if registry.availability(registry.get(name)).ok)
    return next(ready, SECONDS[0])


@dataclass(frozen=True)
class CompareSettings(SegmentationSettings):
    """The task's settings, and which model is the second one."""

    second: str = setting(
        default_second(), label="Second model (runs the network again)", network=True,
        choices=tuple(spec.name for spec in registry.models(task=TASK)),
        help="What the model on the left is held against.",
    )  # fmt: skip


@dataclass(frozen=True)
class Parts:
    """The view's components. ``current``: ``gr.State``, the keys of both looks on show."""

    viewers: list[Any]
    titles: list[Any]
    status: Any
    second: Any
    settings: list[Any]
    table: Any
    current: Any

    @property
    def answer(self) -> list[Any]:
        """What shows two looks: filled by ``drawn``."""
        return [*self.viewers, *self.titles, self.status, self.table]


def create_compare_view(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    parts = _components()
    outputs = [parts.current, *parts.answer]
    inputs = [shared.picture, shared.model, parts.second, *parts.settings]
    gr.on(
        [parts.second.input], _run, inputs, outputs, trigger_mode="always_last", show_progress="hidden",
        api_visibility="private", concurrency_id="segmentation-compare", concurrency_limit=8,
    )  # fmt: skip

    def redraw(request: gr.Request, current: Any, *values: Any) -> tuple[Any, ...]:
        memory = memory_of(session_of(request))
        looks = [memory.get(key) for key in current or ()]
        if not looks or None in looks:
            return (gr.skip(),) * len(parts.answer)
        return drawn(looks, values)

    moved = [widget.input for widget in parts.settings]
    gr.on(moved, redraw, [parts.current, *parts.settings], parts.answer, trigger_mode="always_last", **QUICK)
    return View(
        COMPARE,
        live=LiveView(COMPARE, _step, [parts.second, *parts.settings], outputs),
        refresh=Refresh(_run, inputs, outputs),
        settings=CompareSettings,
        controls={"second": parts.second, **dict(zip(NAMES, parts.settings))},
        prefix=PREFIX,
    )


def drawn(looks: list[Look], values: tuple[Any, ...], live: bool = False) -> tuple[Any, ...]:
    """Three viewers, their titles, status, table of two looks at the same picture."""
    settings = read_settings(SegmentationSettings, NAMES, values)
    found = [look.found(settings) for look in looks]
    differing = view.difference(*found)
    quality = 80 if live else 88
    pictures = [
        shown(draw(look.display, each, settings), f"{registry.get(look.inference.model).title}: {each.sentence()}",
              quality) for look, each in zip(looks, found)
    ]  # fmt: skip
    sentence = view.difference_sentence(differing)
    pictures.append(shown(view.draw_difference(looks[0].display, differing.different), sentence, quality))
    titles = [_title(f"{registry.get(look.inference.model).title}: {view.network_ms(look):.0f} ms") for look in looks]
    same = looks[0].inference.model == looks[1].inference.model
    hint = "Twice the same model: choose another one as the second." if same else _hint(looks)
    table = view.comparison_html(looks, found, differing)
    return *pictures, *titles, _title(TITLES[2]), status(sentence, hint, announce=not live), table


def _hint(looks: list[Look]) -> str:
    names = [registry.get(look.inference.model).title for look in looks]
    return f"{names[0]} against {names[1]}; each ran once on this picture"


def _title(words: str) -> str:
    return f'<p class="above">{html.escape(words)}</p>'


def _components() -> Parts:
    viewers, titles = [], []
    with gr.Row(elem_classes="trio"):
        for number, words in enumerate(TITLES):
            with gr.Column(min_width=200):
                titles.append(gr.HTML(_title(words), apply_default_css=False))
                viewers.append(viewer(f"segmentation-compare-{number}", "Choose a picture."))
    line = gr.HTML(status(), elem_id="segmentation-compare-status")
    with gr.Row():
        second = gr.Dropdown(
            model_choices(TASK), value=CompareSettings().second, label="Second model (runs the network again)",
            filterable=False, elem_id="segmentation-second",
        )  # fmt: skip
        settings = settings_components(SegmentationSettings, NAMES)
    table = gr.HTML(elem_id="segmentation-compare-table", apply_default_css=False)
    return Parts(viewers, titles, line, second, [settings[name] for name in NAMES], table, gr.State(None))


def _run(
    request: gr.Request, path: str | None, first: str, second: str, *values: Any
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    kept = (gr.skip(),) * 9
    line = 7
    user, looks = session_of(request), []
    try:
        picture = picture_of(user, path)
        for model in (first, second):
            for event in follow(functools.partial(_looked, user, picture, model)):
                if isinstance(event, Done):
                    looks.append(event.value)
                else:
                    yield *kept[:line], working(event.text, event.fraction), *kept[line + 1 :]
        yield (key_of(picture, first), key_of(picture, second)), *drawn(looks, values)
    except CvDemoError as error:
        yield *kept[:line], trouble(error), *kept[line + 1 :]


def _looked(user: str, picture: Picture, model: str, progress: Any, cancel: Any) -> Look:
    return shared_parts.look_of(user, picture, model, progress=progress, cancel=cancel)


def _step(user: str, picture: Picture, first: str, second: str, *values: Any) -> tuple[Any, ...]:
    """A webcam frame through both models."""
    memory = memory_of(user)
    looks = [
        memory.put(key, shared_parts.look_at(picture, model, user)) for key, model in zip(LIVE, (first, second))
    ]  # fmt: skip
    return LIVE, *drawn(looks, values, live=True)
