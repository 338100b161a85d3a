"""The Compare view: two pictures, the faces in them, and a verdict that a threshold decides."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.media import Picture
from cvdemo.faces import compare_view as view
from cvdemo.faces import predict
from cvdemo.faces.charts import TABLE_CSS
from cvdemo.faces.compare_view import CompareSettings
from cvdemo.faces.tab_shared import COMPARE, PRESS, Look, key_of, look_at, look_of, looking, pressed_key, timing_line
from cvdemo.ui.background import Done, follow
from cvdemo.ui.downloads import hidden_link, wire_downloads
from cvdemo.ui.memory import memory_of
from cvdemo.ui.sessions import session_of
from cvdemo.ui.viewer import status, trouble, working
from cvdemo.ui.views import QUICK, LiveView, Refresh, Shared, View
from cvdemo.ui.widgets import read_settings, settings_components

FRONT = ("threshold", "measure", "crowd")
MORE = ("which", "face_score", "min_size", "landmarks")
NAMES = (*FRONT, *MORE)
ONLY_WORDS = ("threshold", "measure", "crowd")  # they leave the pictures as they are
PREFIX = "compare_"
LIVE = ("faces", "live")
SIDES = ("first", "second")
EMPTY = '<div class="side"><div class="picture"><p class="empty">{}</p></div></div>'
SECOND = "Choose a second picture, or open Live: then the camera is the second picture."


@dataclass(frozen=True)
class Shown:
    """What is compared: where both looks are kept in the session's memory, and the faces that were pressed."""

    keys: tuple[Hashable, Hashable]
    rows: tuple[int | None, int | None] = (None, None)


@dataclass(frozen=True)
class Parts:
    """The view's components. ``current``: ``gr.State`` of ``Shown`` or None."""

    sides: list[Any]
    status: Any
    widgets: dict[str, Any]
    worth: Any
    table: Any
    downloads: dict[str, Any]
    hidden: Any
    current: Any

    @property
    def settings(self) -> list[Any]:
        """The widgets in the order of ``NAMES``."""
        return [self.widgets[name] for name in NAMES]

    @property
    def answer(self) -> list[Any]:
        """What shows a comparison: filled by ``shown``."""
        return [*self.sides, self.status, self.worth, self.table]


def create_compare_view(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    parts = _components()
    _wire(parts)
    outputs = [parts.current, *parts.answer]
    return View(
        COMPARE,
        live=LiveView(COMPARE, _step, [shared.picture, parts.current, *parts.settings], outputs),
        refresh=Refresh(_run, [shared.picture, shared.second, shared.model, *parts.settings], outputs),
        settings=CompareSettings,
        controls=dict(zip(NAMES, parts.settings)),
        prefix=PREFIX,
    )


def _components() -> Parts:
    with gr.Row():
        sides = [
            gr.HTML(
                EMPTY.format(text), css_template=view.CSS, js_on_load=PRESS, elem_id=f"faces-compare-{name}",
                apply_default_css=False,
            )
            for name, text in zip(SIDES, ("The first picture appears here.", SECOND))
        ]  # fmt: skip
    line = gr.HTML(status(), elem_id="faces-compare-status")
    with gr.Row():
        widgets = settings_components(CompareSettings, FRONT)
    with gr.Accordion("More: which face counts", open=False), gr.Row():
        widgets |= settings_components(CompareSettings, MORE)
    with gr.Tabs():
        with gr.Tab("What the verdict is worth"):
            worth = gr.HTML(elem_id="faces-compare-worth", apply_default_css=False)
        with gr.Tab("All faces"):
            table = gr.HTML(elem_id="faces-compare-table", css_template=TABLE_CSS, apply_default_css=False)
        with gr.Tab("Download"):
            gr.Markdown(
                "Both pictures with their faces and the two aligned crops, or the figures. No embedding is in it."
            )
            with gr.Row():
                downloads = {kind: gr.Button(kind.upper()) for kind in ("png", "json")}
            hidden = hidden_link("faces-compare-download")
    return Parts(sides, line, widgets, worth, table, downloads, hidden, gr.State(None))


def _run(
    request: gr.Request, first: str | None, second: str | None, model: str, *values: Any
) -> Iterator[tuple[Any, ...]]:
    """current and the answer for two chosen pictures."""
    user = session_of(request)
    skipped = (gr.skip(),) * 6
    try:
        settings = read_settings(CompareSettings, NAMES, values)
        looks: list[Look] = []
        for path in filter(None, (first, second)):
            for event in follow(looking(user, path, model)):
                if isinstance(event, Done):
                    looks.append(event.value)
                else:
                    yield *skipped[:3], working(event.text, event.fraction), *skipped[:2]
        if not first or not second:
            sides = [EMPTY.format("Choose a first picture."), EMPTY.format(SECOND)]
            only = 0 if first else 1
            sides[only] = _side(looks[0], settings, None, SIDES[only])
            yield None, *sides, status("", SECOND if first else ""), view.worth_html(model, settings, None), ""
            return
        now = Shown((key_of(looks[0].picture, model), key_of(looks[1].picture, model)))
        yield now, *shown(looks, now, settings, model)
    except CvDemoError as error:
        yield *skipped[:3], trouble(error), *skipped[:2]


def shown(looks: list[Look], now: Shown, settings: CompareSettings, model: str) -> tuple[Any, ...]:
    """first side, second side, status, worth, table of two looks."""
    sides = [_side(look, settings, row, which) for look, row, which in zip(looks, now.rows, SIDES)]
    return *sides, *verdict(looks, now, settings, model)


def _side(look: Look, settings: CompareSettings, row: int | None, which: str) -> str:
    return view.side_html(look, settings, view.chosen_face(look, settings, row), which)


def verdict(
    looks: list[Look], now: Shown, settings: CompareSettings, model: str, *, live: bool = False
) -> tuple[Any, ...]:
    """status, worth, table: all that the threshold, the measure and the crowd change."""
    table = view.table_html(looks[0], looks[1], settings)
    try:
        result = compared(looks, now, settings)
    except CvDemoError as error:
        return trouble(error), view.worth_html(model, settings, None), table
    line = status(result.sentence(), timing_line(*looks[live:]), announce=not live)
    return line, view.worth_html(model, settings, result), table


def compared(looks: list[Look], now: Shown, settings: CompareSettings) -> predict.Comparison:
    """The comparison; raises what keeps the faces from being embedded, and as ``predict.compare``."""
    inferences = []
    for look in looks:
        if look.inference is None:
            raise look.trouble or InputError("The faces could not be embedded.")
        inferences.append(look.inference)
    return predict.compare(inferences[0], inferences[1], settings, *now.rows)


def _looks(user: str, now: Shown | None) -> list[Look] | None:
    """Both looks while they are kept."""
    found = [] if now is None else [memory_of(user).get(key) for key in now.keys]
    return found if found and all(look is not None for look in found) else None


def _step(
    user: str, picture: Picture, model: str, path: str | None, now: Shown | None, *values: Any
) -> tuple[Any, ...]:
    """A webcam frame is the second picture; the first one stays."""
    settings = read_settings(CompareSettings, NAMES, values)
    if not path:
        raise InputError("The camera is compared with the first picture.", hint="Choose one in the Picture tab.")
    first, second = look_of(user, path, model), look_at(picture, model, user)
    memory_of(user).put(LIVE, second)
    key = key_of(first.picture, model)
    row = now.rows[0] if now is not None and now.keys[0] == key else None
    fresh = now is None or now.keys != (key, LIVE)
    after = Shown((key, LIVE), (row, None))
    looks = [first, second]
    right = _side(second, settings, None, "second")
    left = _side(first, settings, row, "first") if fresh else gr.skip()
    return after if fresh else gr.skip(), left, right, *verdict(looks, after, settings, model, live=True)


def _wire(parts: Parts) -> None:
    """Presses on crops and all settings act on what was found and embedded."""

    def redraw(request: gr.Request, now: Shown | None, *values: Any) -> tuple[Any, ...]:
        looks = _looks(session_of(request), now)
        if looks is None or now is None:
            return (gr.skip(),) * 5
        settings = read_settings(CompareSettings, NAMES, values)
        return shown(looks, now, settings, _model_of(now))

    def reword(request: gr.Request, now: Shown | None, *values: Any) -> tuple[Any, ...]:
        looks = _looks(session_of(request), now)
        if looks is None or now is None:
            return (gr.skip(),) * 3
        return verdict(looks, now, read_settings(CompareSettings, NAMES, values), _model_of(now))

    inputs = [parts.current, *parts.settings]
    for name, widget in parts.widgets.items():
        if name in ONLY_WORDS:
            widget.input(reword, inputs, parts.answer[2:], trigger_mode="always_last", **QUICK)
        else:
            widget.input(redraw, inputs, parts.answer, trigger_mode="always_last", **QUICK)

    def press(side: int) -> Any:
        def choose(request: gr.Request, event: gr.EventData, now: Shown | None, *values: Any) -> tuple[Any, ...]:
            key, looks = pressed_key(event), _looks(session_of(request), now)
            if looks is None or now is None or not key.isdecimal():
                return (gr.skip(),) * 6
            rows = (int(key), now.rows[1]) if side == 0 else (now.rows[0], int(key))
            after, settings = replace(now, rows=rows), read_settings(CompareSettings, NAMES, values)
            sides: list[Any] = [gr.skip(), gr.skip()]
            sides[side] = _side(looks[side], settings, rows[side], SIDES[side])
            return after, *sides, *verdict(looks, after, settings, _model_of(now))

        return choose

    for side, place in enumerate(parts.sides):
        place.click(press(side), inputs, [parts.current, *parts.answer], **QUICK)
    wire_downloads(parts.downloads, parts.hidden, inputs, _exported)


def _model_of(now: Shown) -> str:
    """The model whose embeddings are compared."""
    return str(now.keys[0][-1])  # type: ignore[index]


def _exported(user: str, kind: str, now: Shown | None, *values: Any) -> tuple[str, bytes]:
    looks = _looks(user, now)
    if looks is None or now is None:
        raise InputError("There is nothing to download yet.", hint="Choose two pictures first.")
    settings = read_settings(CompareSettings, NAMES, values)
    return view.export(looks, compared(looks, now, settings), settings, kind)
