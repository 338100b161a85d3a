"""The ImageNet view: what the network saw, the most probable classes, and several models raced on one picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from cvdemo.classification import imagenet_view as view
from cvdemo.classification import race_view
from cvdemo.classification import tab_shared as shared_parts
from cvdemo.classification.predict import TASK, ClassificationSettings, Comparison, compare, decode
from cvdemo.classification.tab_shared import IMAGENET
from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.media import Picture
from cvdemo.ui.background import Done, Stop, follow, stopping
from cvdemo.ui.downloads import hidden_link, wire_downloads
from cvdemo.ui.memory import memory_of, picture_of
from cvdemo.ui.sessions import session_of
from cvdemo.ui.viewer import problem, shown, status, trouble, viewer, working
from cvdemo.ui.views import QUICK, LiveView, Refresh, Shared, View
from cvdemo.ui.widgets import model_choices, read_settings, settings_components

RACE = "race"
KEPT = "What was downloaded so far is kept for the next try."

NAMES = ("top_k", "temperature")
LIVE = ("look", "live")
# Small files, so that a first race on a fresh machine does not fetch gigabytes.
CONTESTANTS = ("compact-classifier", "resnet18", "resnet50", "mobilenet_v3_small", "efficientnet_b0")
NO_RACE = (
    '<p class="hint">Choose models and press the button: the same picture goes through all of them, one after the '
    "other.</p>"
)


@dataclass(frozen=True)
class Parts:
    """The view's components. ``current``: ``gr.State``, the key of the look on show in the session's memory."""

    viewer: Any
    bars: Any
    status: Any
    settings: list[Any]
    models: Any
    race: Any
    halt: Any
    race_line: Any
    table: Any
    numbers: Any
    downloads: dict[str, Any]
    hidden: Any
    current: Any
    raced: Any

    @property
    def answer(self) -> list[Any]:
        """What shows one look: filled by ``drawn``."""
        return [self.viewer, self.bars, self.status, self.numbers]


def create_imagenet_view(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    parts = _components()
    _wire_sliders(parts)
    _wire_race(parts, shared)
    wire_downloads(parts.downloads, parts.hidden, [parts.current, parts.raced, *parts.settings], _exported)

    def run(request: gr.Request, path: str, model: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        user = session_of(request)
        try:
            picture = picture_of(user, path)
            key = ("look", picture.fingerprint, model)
            for event in follow(
                lambda progress, cancel: shared_parts.look_of(user, picture, model, progress=progress, cancel=cancel)
            ):
                if isinstance(event, Done):
                    yield key, *drawn(event.value, values)
                else:
                    yield gr.skip(), gr.skip(), gr.skip(), working(event.text, event.fraction), gr.skip()
        except CvDemoError as error:
            yield gr.skip(), gr.skip(), gr.skip(), trouble(error), gr.skip()

    def step(user: str, picture: Picture, model: str, *values: Any) -> tuple[Any, ...]:
        look = shared_parts.look_at(picture, model, user)
        memory_of(user).put(LIVE, look)
        return LIVE, *drawn(look, values, live=True)

    outputs = [parts.current, *parts.answer]
    return View(
        IMAGENET,
        live=LiveView(IMAGENET, step, parts.settings, outputs),
        refresh=Refresh(run, [shared.picture, shared.model, *parts.settings], outputs),
        settings=ClassificationSettings,
        controls=dict(zip(NAMES, parts.settings)),
    )


def drawn(look: view.Look, values: tuple[Any, ...], live: bool = False) -> tuple[Any, ...]:
    """viewer, bars, status, numbers of a look for the sliders' values."""
    settings = read_settings(ClassificationSettings, NAMES, values)
    result = decode(look.inference, settings)
    pixels = view.framed(look.display, look.inference.raw.crop, look.scale)
    sentence = result.sentence()
    return (
        shown(pixels, f"The picture; what the network says of it: {sentence}", 80 if live else 88),
        view.bars_html(result),
        status(sentence, view.timing_line(look), announce=not live),
        view.numbers_html(look, result),
    )


def _components() -> Parts:
    with gr.Row(equal_height=False, elem_classes="answer"):
        with gr.Column(scale=5, min_width=300):
            result = viewer("classification-result", "The picture appears here, and beside it what the network says.")
            line = gr.HTML(status(), elem_id="classification-status")
        with gr.Column(scale=3, min_width=240):
            bars = gr.HTML(elem_id="classification-bars", apply_default_css=False)
    with gr.Row():
        settings = settings_components(ClassificationSettings, NAMES)
    with gr.Tabs():
        with gr.Tab("Deeper is better"):
            models = gr.Dropdown(
                model_choices(TASK), value=list(CONTESTANTS), multiselect=True,
                label="Models to race on this picture (runs the networks)", elem_id="classification-models",
            )  # fmt: skip
            with gr.Row():
                race = gr.Button("Race them", variant="primary", elem_id="classification-race")
                halt = gr.Button("Stop", elem_id="classification-race-halt")
            race_line = gr.HTML(elem_id="classification-race-line", apply_default_css=False)
            table = gr.HTML(NO_RACE, elem_id="classification-table", apply_default_css=False)
        with gr.Tab("Numbers"):
            numbers = gr.HTML(elem_id="classification-numbers")
        with gr.Tab("Download"):
            gr.Markdown("The picture in full size with its classes, or the classes as data; the JSON has the race too.")
            with gr.Row():
                downloads = {kind: gr.Button(kind.upper()) for kind in ("png", "json", "csv")}
                downloads["race"] = gr.Button("CSV of the race")
            hidden = hidden_link("classification-download")
    return Parts(
        result, bars, line, [settings[name] for name in NAMES], models, race, halt, race_line, table, numbers,
        downloads, hidden, gr.State(None), gr.State(()),
    )  # fmt: skip


def _wire_sliders(parts: Parts) -> None:
    """The number of classes and the temperature act on logits that are there."""

    def redraw(request: gr.Request, key: Any, *values: Any) -> tuple[Any, ...]:
        look = memory_of(session_of(request)).get(key)
        if look is None:
            return gr.skip(), gr.skip(), gr.skip()
        _, *others = drawn(look, values)
        return tuple(others)

    moved = [widget.input for widget in parts.settings]
    gr.on(moved, redraw, [parts.current, *parts.settings], parts.answer[1:], trigger_mode="always_last", **QUICK)


def _wire_race(parts: Parts, shared: Shared) -> None:
    def run(
        request: gr.Request, path: str | None, names: list[str], temperature: float
    ) -> Iterator[tuple[Any, Any, Any]]:
        if not path:
            yield gr.skip(), problem("Choose a picture first: the models are raced on it."), gr.skip()
            return
        if not names:
            yield gr.skip(), problem("Choose at least one model."), gr.skip()
            return
        user = session_of(request)
        try:
            picture = picture_of(user, path)
            for event in follow(
                lambda progress, cancel: raced(user, picture, names, progress, cancel), stop=Stop(user, RACE, KEPT)
            ):
                if isinstance(event, Done):
                    lines = race_view.contestants(event.value, names, temperature)
                    yield tuple(lines), "", race_view.comparison_html(lines)
                else:
                    yield gr.skip(), working(event.text, event.fraction), gr.skip()
        except CvDemoError as error:
            yield gr.skip(), trouble(error), gr.skip()

    running = parts.race.click(
        run,
        [shared.picture, parts.models, parts.settings[1]],
        [parts.raced, parts.race_line, parts.table],
        show_progress="hidden", api_visibility="private", concurrency_id="classification-race", concurrency_limit=4,
    )  # fmt: skip
    running.then(shared.refresh_pill, None, shared.pill, **QUICK)
    parts.halt.click(stopping(RACE), None, None, **QUICK)
    # Another picture makes the table untrue.
    shared.path.change(lambda: ((), "", NO_RACE), None, [parts.raced, parts.race_line, parts.table], **QUICK)


def raced(user: str, picture: Picture, names: list[str], progress: Any, cancel: Any) -> Comparison:
    """``compare`` that runs only the models which have not seen the picture yet."""
    memory = memory_of(user)
    keys = {name: ("look", picture.fingerprint, name) for name in names}
    known = {name: look.inference for name, key in keys.items() if (look := memory.get(key)) is not None}
    fresh = compare(picture, [name for name in names if name not in known], user=user, progress=progress, cancel=cancel)
    for inference in fresh:
        known[inference.model] = inference
        shared_parts.remember(user, picture, inference)
    return Comparison(tuple(known[name] for name in names if name in known), fresh.skipped)


def _exported(user: str, kind: str, key: Any, lines: Any, *values: Any) -> tuple[str, bytes]:
    if kind == "race":
        if not lines:
            raise InputError("There is no race yet.", hint="Choose models and race them first.")
        return "models.csv", race_view.comparison_csv(lines).encode()
    look = memory_of(user).get(key)
    if look is None:
        raise InputError("There is nothing to download yet.", hint="Choose a picture first.")
    return view.export(look, read_settings(ClassificationSettings, NAMES, values), kind, lines)
