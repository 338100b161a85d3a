"""The GAN corner: two small networks play against each other on points of the plane, step by step or as fast as they
can, while the visitor draws other points and turns other screws."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from cvdemo.core.errors import Cancelled, CvDemoError
from cvdemo.core.media import encode_picture
from cvdemo.style import gan_table as tables
from cvdemo.style import gan_view as view
from cvdemo.style.curves import CSS
from cvdemo.style.gan_canvas import plane
from cvdemo.style.gan_table import OWN, GanViewSettings, Table, table_of
from cvdemo.style.tab_shared import GAN
from cvdemo.ui.background import Done, Stop, follow, stopping
from cvdemo.ui.downloads import hidden_link, wire_downloads
from cvdemo.ui.sessions import session_of
from cvdemo.ui.viewer import shown, status, trouble
from cvdemo.ui.views import QUICK, Refresh, Shared, View
from cvdemo.ui.widgets import read_settings, settings_components

FRONT = ("shape", "speed")
RATES = ("lr_g", "lr_d")
PLAYERS = ("noise", "d_steps")
MORE = ("hidden", "batch", "objective", "seed")
NAMES = (*FRONT, *RATES, *PLAYERS, *MORE)
PREFIX = "gan_"
PLAYING = "style-gan"
HELP = (
    "Generative models learn to make data like the data they are shown. Here the data are points. The **generator** G "
    "turns random numbers z into points; the **discriminator** D says of every place how real a point there looks. D "
    "learns to tell both kinds apart, G learns to be taken for real: it never sees a real point, only D's slope. Draw "
    "your own points with the pen, at any time."
)
KINDS = {"png": "PNG", "csv": "Losses CSV", "json": "JSON"}


@dataclass(frozen=True)
class Parts:
    """The view's components."""

    plane: Any
    status: Any
    curves: Any
    widgets: dict[str, Any]
    play: Any
    pause: Any
    step: Any
    reset: Any
    clear: Any
    downloads: dict[str, Any]
    hidden: Any

    @property
    def settings(self) -> list[Any]:
        """The widgets in the order of ``NAMES``."""
        return [self.widgets[name] for name in NAMES]

    @property
    def answer(self) -> list[Any]:
        """What shows the game: filled by ``drawn``."""
        return [self.plane, self.status, self.curves]


def create_gan(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    parts = _components()
    _wire_game(parts, shared)
    _wire_points(parts, shared)
    wire_downloads(parts.downloads, parts.hidden, [], _exported)
    return View(
        GAN,
        refresh=Refresh(_adapted, [shared.projector, *parts.settings], parts.answer, always=True),
        forget=tables.forget,
        settings=GanViewSettings,
        controls=dict(zip(NAMES, parts.settings)),
        prefix=PREFIX,
    )


def _components() -> Parts:
    gr.Markdown(HELP, elem_id="style-gan-help")
    widgets: dict[str, Any] = {}
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            picture = plane("style-gan-plane", "The plane appears here.")
            gr.HTML(view.LEGEND, apply_default_css=False)
            line = gr.HTML(status(), elem_id="style-gan-status")
        with gr.Column(scale=4, min_width=320):
            with gr.Row():
                play = gr.Button("Play", variant="primary", min_width=80, elem_id="style-gan-play")
                pause = gr.Button("Pause", min_width=80, elem_id="style-gan-pause")
                step = gr.Button("Step", min_width=80, elem_id="style-gan-step")
                reset = gr.Button("Reset", min_width=80, elem_id="style-gan-reset")
            widgets |= {name: _radio(name) for name in FRONT}
            clear = gr.Button("Clear the plane, to draw", size="sm", elem_id="style-gan-clear")
            curves = gr.HTML(css_template=CSS, elem_id="style-gan-curves", apply_default_css=False)
    with gr.Row():
        widgets |= settings_components(GanViewSettings, RATES)
        widgets |= settings_components(GanViewSettings, PLAYERS)
    with gr.Accordion("More: networks, batch, objective, download", open=False):
        with gr.Row():
            widgets |= settings_components(GanViewSettings, MORE)
        with gr.Row():
            downloads = {kind: gr.Button(label, size="sm", min_width=90) for kind, label in KINDS.items()}
        hidden = hidden_link("style-gan-download")
    return Parts(picture, line, curves, widgets, play, pause, step, reset, clear, downloads, hidden)


def _radio(name: str) -> Any:
    field = next(each for each in GanViewSettings.fields_of() if each.name == name)
    choices = [(choice.capitalize(), choice) for choice in field.choices or ()]
    return gr.Radio(choices, value=field.default, label=field.label, info=field.help, elem_id=f"style-gan-{name}")


def drawn(table: Table, projector: bool, *, announce: bool = True) -> tuple[Any, ...]:
    """plane, status, curves of the game as it stands."""
    scene = view.scene_of(table)
    sentence = scene.sentence()
    return (
        shown(view.draw(scene, projector=projector), sentence, 90),
        status(sentence, scene.details(), announce=announce),
        view.curves_html(scene.history),
    )


def _adapted(request: gr.Request, projector: bool, *values: Any) -> tuple[Any, ...]:
    """plane, status, curves after the settings changed, or when the view is opened."""
    table = table_of(session_of(request))
    try:
        table.adapt(read_settings(GanViewSettings, NAMES, values))
    except CvDemoError as error:
        return gr.skip(), trouble(error), gr.skip()
    return drawn(table, projector)


def _wire_game(parts: Parts, shared: Shared) -> None:
    """Play, pause, step, reset to new networks, and settings that act on the game under way."""

    def play(request: gr.Request, projector: bool, *values: Any) -> Iterator[tuple[Any, ...]]:
        user = session_of(request)
        table = table_of(user)
        try:
            table.adapt(read_settings(GanViewSettings, NAMES, values))

            def work(progress: Any, cancel: Any) -> None:
                table.play(lambda steps: progress(0.0, ""), cancel)

            for event in follow(work, every=0.12, stop=Stop(user, PLAYING)):
                yield drawn(table, projector, announce=isinstance(event, Done))
        except Cancelled:
            yield drawn(table, projector)
        except CvDemoError as error:
            yield gr.skip(), trouble(error), gr.skip()

    def once(table: Table) -> None:
        with table.lock:
            if table.game is not None and table.game.steps < tables.MOST_STEPS:
                table.game.step()

    inputs = [shared.projector, *parts.settings]
    parts.play.click(
        play, inputs, parts.answer, show_progress="hidden", api_visibility="private", concurrency_id=PLAYING,
        concurrency_limit=6,
    )  # fmt: skip
    parts.pause.click(stopping(PLAYING), None, None, **QUICK)
    parts.step.click(_then(once), shared.projector, parts.answer, **QUICK)
    parts.reset.click(_then(Table.reset), shared.projector, parts.answer, **QUICK)
    changes = [widget.input for widget in parts.settings]
    gr.on([*changes, shared.projector.input], _adapted, inputs, parts.answer, trigger_mode="always_last", **QUICK)


def _then(act: Callable[[Table], None]) -> Callable[..., tuple[Any, ...]]:
    """A handler that does something at the visitor's table and shows it."""

    def run(request: gr.Request, projector: bool) -> tuple[Any, ...]:
        table = table_of(session_of(request))
        act(table)
        return drawn(table, projector)

    return run


def _wire_points(parts: Parts, shared: Shared) -> None:
    """What is drawn with the pen becomes real points of the game, which goes on."""

    def pen(request: gr.Request, projector: bool, event: gr.EventData) -> tuple[Any, ...]:
        table = table_of(session_of(request))
        table.draw(view.from_shares((event._data or {}).get("points") or ()))
        return OWN, *drawn(table, projector)

    def clear(request: gr.Request, projector: bool) -> tuple[Any, ...]:
        table = table_of(session_of(request))
        table.clear()
        return OWN, *drawn(table, projector)

    outputs = [parts.widgets["shape"], *parts.answer]
    parts.plane.select(pen, shared.projector, outputs, **QUICK)
    parts.clear.click(clear, shared.projector, outputs, **QUICK)


def _exported(user: str, kind: str) -> tuple[str, bytes]:
    return f"gan.{kind}", export(view.scene_of(table_of(user)), kind)


def export(scene: view.Scene, kind: str) -> bytes:
    """Content of a download; KeyError for another kind than those of ``KINDS``."""
    makers: dict[str, Callable[[], bytes]] = {
        "png": lambda: encode_picture(view.draw(scene, 1280), "png"),
        "csv": lambda: view.rounds_csv(scene.history).encode(),
        "json": lambda: json.dumps(scene.to_dict(), indent=1).encode(),
    }
    return makers[kind]()
