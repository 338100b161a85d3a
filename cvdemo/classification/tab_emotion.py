"""The Emotion view: faces found and aligned, and what expression a network reads in each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Any

import gradio as gr

from cvdemo.classification import emotion_view as view
from cvdemo.classification.emotion_view import EmotionViewSettings
from cvdemo.classification.tab_shared import EMOTION
from cvdemo.core.errors import CvDemoError, InputError, WeightsError
from cvdemo.core.media import Picture
from cvdemo.ui.background import Done, follow
from cvdemo.ui.downloads import hidden_link, wire_downloads
from cvdemo.ui.memory import memory_of, picture_of
from cvdemo.ui.sessions import session_of
from cvdemo.ui.viewer import display_copy, shown, status, trouble, viewer, working
from cvdemo.ui.views import QUICK, LiveView, Refresh, Shared, View
from cvdemo.ui.widgets import read_settings, settings_components

NAMES = ("face_threshold", "emotion_temperature", "smoothing")
LIVE = ("emotion", "live")


@dataclass(frozen=True)
class Parts:
    """The view's components. ``current``: ``gr.State``, the key of the look on show in the session's memory."""

    viewer: Any
    status: Any
    settings: list[Any]
    cards: Any
    table: Any
    downloads: dict[str, Any]
    hidden: Any
    current: Any

    @property
    def answer(self) -> list[Any]:
        """What shows one look: filled by ``drawn``."""
        return [self.viewer, self.status, self.cards, self.table]


def create_emotion_view(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    parts = _components()
    wire_downloads(parts.downloads, parts.hidden, [parts.current, *parts.settings], _exported)

    def run(request: gr.Request, path: str, projector: bool, *values: Any) -> Iterator[tuple[Any, ...]]:
        user = session_of(request)
        try:
            _require_weights()
            settings = read_settings(EmotionViewSettings, NAMES, values)
            picture = picture_of(user, path)
            for event in follow(lambda progress, cancel: look_of(user, picture, progress=progress, cancel=cancel)):
                if isinstance(event, Done):
                    yield key_of(picture), *drawn(event.value, settings, projector)
                else:
                    yield gr.skip(), gr.skip(), working(event.text, event.fraction), gr.skip(), gr.skip()
        except CvDemoError as error:
            yield gr.skip(), gr.skip(), trouble(error), gr.skip(), gr.skip()

    def step(user: str, picture: Picture, _: str, projector: bool, *values: Any) -> tuple[Any, ...]:
        _require_weights()
        settings = read_settings(EmotionViewSettings, NAMES, values)
        display, scale = display_copy(picture.pixels)
        look = view.look_at(picture, display, scale, user=user)
        memory_of(user).put(LIVE, look)
        return LIVE, *drawn(look, settings, projector, live=user)

    outputs = [parts.current, *parts.answer]
    inputs = [shared.projector, *parts.settings]
    _wire_sliders(parts, shared)
    return View(
        EMOTION,
        live=LiveView(EMOTION, step, inputs, outputs),
        refresh=Refresh(run, [shared.picture, *inputs], outputs),
        forget=view.forget,
        settings=EmotionViewSettings,
        controls=dict(zip(NAMES, parts.settings)),
    )


def _require_weights() -> None:
    lacking = view.missing_weights()
    if lacking:
        raise WeightsError("Emotions cannot be read here.", hint=lacking)


def key_of(picture: Picture) -> Any:
    """Where the session's memory keeps the look at a picture."""
    return "emotion", picture.fingerprint


def look_of(user: str, picture: Picture, **watch: Any) -> view.Look:
    """The look at a picture; networks that have seen it are not run again."""

    def make() -> view.Look:
        display, scale = display_copy(picture.pixels)
        return view.look_at(picture, display, scale, user=user, **watch)

    return memory_of(user).recall(key_of(picture), make)


def drawn(look: view.Look, settings: EmotionViewSettings, projector: bool, live: str = "") -> tuple[Any, ...]:
    """viewer, status, cards, table of a look. live: the session whose faces are followed, "" for a picture."""
    tracks = view.tracks_of(live) if live else None
    made = view.show(look, settings, projector=projector, tracks=tracks, seconds=monotonic())
    return (
        shown(made.pixels, made.sentence, 80 if live else 88),
        status(made.sentence, made.timing, announce=not live),
        view.cards_html(made),
        view.table_rows(made.emotions),
    )


def _components() -> Parts:
    result = viewer("emotion-result", "The picture appears here, with a box around each face and its expression.")
    line = gr.HTML(status(), elem_id="emotion-status")
    gr.Markdown(view.CAUTION, elem_classes="privacy", elem_id="emotion-caution")
    with gr.Row():
        settings = settings_components(EmotionViewSettings, NAMES)
    with gr.Tabs():
        with gr.Tab("Faces"):
            cards = gr.HTML(css_template=view.CARDS_CSS, elem_id="emotion-cards", apply_default_css=False)
        with gr.Tab("Table"):
            table = gr.Dataframe(
                [], headers=list(view.TABLE_HEADER), interactive=False, wrap=True, show_label=False, max_height=320,
                elem_id="emotion-table",
            )  # fmt: skip
        with gr.Tab("Download"):
            gr.Markdown("The picture in full size with its boxes, or all probabilities as data.")
            with gr.Row():
                downloads = {kind: gr.Button(kind.upper()) for kind in ("png", "json", "csv")}
            hidden = hidden_link("emotion-download")
    return Parts(
        result, line, [settings[name] for name in NAMES], cards, table, downloads, hidden, gr.State(None)
    )  # fmt: skip


def _wire_sliders(parts: Parts, shared: Shared) -> None:
    """Threshold, temperature and the projector switch act on what was read."""

    def redraw(request: gr.Request, key: Any, projector: bool, *values: Any) -> tuple[Any, ...]:
        look = memory_of(session_of(request)).get(key) if key is not None else None
        if look is None:
            return (gr.skip(),) * 4
        try:
            settings = read_settings(EmotionViewSettings, NAMES, values)
            return drawn(look, settings, projector)
        except CvDemoError as error:
            return gr.skip(), trouble(error), gr.skip(), gr.skip()

    inputs = [parts.current, shared.projector, *parts.settings]
    for widget in (*parts.settings, shared.projector):
        widget.input(redraw, inputs, parts.answer, trigger_mode="always_last", **QUICK)


def _exported(user: str, kind: str, key: Any, *values: Any) -> tuple[str, bytes]:
    look = memory_of(user).get(key) if key is not None else None
    if look is None:
        raise InputError("There is nothing to download yet.", hint="Choose a picture first.")
    return view.export(look, read_settings(EmotionViewSettings, NAMES, values), kind)
