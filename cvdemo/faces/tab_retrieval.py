"""The Retrieval view: search by picture, and classes named with a few pictures each, on the classifier's features."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import gradio as gr

from cvdemo.classification.teach_pictures import smaller
from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.media import Picture, read_picture
from cvdemo.faces import collection as store
from cvdemo.faces import retrieval_view as view
from cvdemo.faces.collection import LONGEST_LABEL, MODEL, Collection, collection_of
from cvdemo.faces.retrieval import features_of
from cvdemo.faces.retrieval_view import BACKBONE, HELP, LOW_SHOT, SEARCH, TOPICS, RetrievalSettings
from cvdemo.faces.tab_collection import started
from cvdemo.faces.tab_shared import PRESS, RETRIEVAL, pressed_key
from cvdemo.ui.background import Done, follow
from cvdemo.ui.memory import picture_of
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.viewer import status, trouble, working
from cvdemo.ui.views import QUICK, LiveView, Refresh, Shared, View
from cvdemo.ui.widgets import read_settings, settings_components, upload_button

GROUPS = {SEARCH: ("k",), LOW_SHOT: ("rule", "shots", "neighbours")}
NAMES = ("topic", *(name for names in GROUPS.values() for name in names))
PREFIX = "find_"
PRIVACY = (
    "Pictures added here stay in the memory of the machine that runs cvdemo, small and with their features, only while "
    "this page is open; their files are deleted as soon as they are read."
)


@dataclass(frozen=True)
class Parts:
    """The view's components."""

    line: Any
    pool: Any
    results: Any
    help: Any
    widgets: dict[str, Any]
    groups: dict[str, Any]
    label: Any
    buttons: dict[str, Any]

    @property
    def settings(self) -> list[Any]:
        """The widgets in the order of ``NAMES``."""
        return [self.widgets[name] for name in NAMES]

    @property
    def board(self) -> list[Any]:
        """What ``_board`` fills."""
        return [self.line, self.pool, self.results, self.label]


def create_retrieval_view(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    parts = _components()
    _wire_settings(parts)
    _wire_pictures(parts, shared)
    return View(
        RETRIEVAL,
        live=LiveView(RETRIEVAL, _step, parts.settings, [parts.line, parts.results]),
        refresh=Refresh(_open, parts.settings, parts.board, always=True),
        forget=store.forget,
        settings=RetrievalSettings,
        controls=dict(zip(NAMES, parts.settings)),
        prefix=PREFIX,
    )


def _components() -> Parts:
    default = RetrievalSettings()
    topic = gr.Radio(
        [(title, name) for name, title in TOPICS.items()], value=default.topic, show_label=False, container=False,
        elem_id="faces-find",
    )  # fmt: skip
    words = gr.Markdown(HELP[default.topic], elem_id="faces-find-help")
    widgets: dict[str, Any] = {"topic": topic}
    groups: dict[str, Any] = {}
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=320):
            pool = gr.HTML(css_template=view.POOL_CSS, js_on_load=PRESS, elem_id="faces-pool", apply_default_css=False)
            label = gr.Textbox(
                label="Class of the chosen picture, and of those added next", max_length=LONGEST_LABEL,
                placeholder="such as: mug", info="Press Enter to name the chosen one.", elem_id="faces-class",
            )  # fmt: skip
            with gr.Row():
                add = upload_button("Add pictures", size="sm", file_count="multiple", elem_id="faces-add")
                left = gr.Button("Add the first picture on the left", size="sm", elem_id="faces-add-left")
            with gr.Row():
                remove = gr.Button("Remove the chosen", size="sm", elem_id="faces-remove")
                clear = gr.Button("Remove all", size="sm", variant="stop", elem_id="faces-clear")
                again = gr.Button("Examples again", size="sm", elem_id="faces-again")
        with gr.Column(scale=5, min_width=340):
            line = gr.HTML(status(), elem_id="faces-find-status")
            for name, controls in GROUPS.items():
                groups[name] = gr.Column(visible=name == default.topic)
                with groups[name]:
                    widgets |= settings_components(RetrievalSettings, controls[:1])
                    with gr.Row():
                        widgets |= settings_components(RetrievalSettings, controls[1:])
            results = gr.HTML(css_template=view.FOUND_CSS, elem_id="faces-found", apply_default_css=False)
    gr.Markdown(f"{BACKBONE} {PRIVACY}", elem_classes="privacy")
    buttons = {"add": add, "left": left, "remove": remove, "clear": clear, "again": again}
    return Parts(line, pool, results, words, widgets, groups, label, buttons)


def _read(values: tuple[Any, ...]) -> RetrievalSettings:
    settings: RetrievalSettings = read_settings(RetrievalSettings, NAMES, values)
    return settings


def _answer(found: Collection, settings: RetrievalSettings) -> tuple[str, str]:
    """line, results; an error is told in the line."""
    with found.lock:
        try:
            if settings.topic == LOW_SHOT:
                taught = view.teach(found, settings)
                details = view.quality_words(found, settings)
                return status(taught.sentence(), details), view.taught_html(found, taught)
            ranking = view.rank(found, found.chosen)
            if ranking is None:
                return status("Add pictures, then press one to ask with it"), ""
            line = status(ranking.sentence(settings.k), view.quality_words(found, settings))
            return line, view.ranking_html(found, ranking, settings.k)
        except CvDemoError as error:
            return trouble(error), ""


def _board(found: Collection, settings: RetrievalSettings) -> tuple[Any, ...]:
    """line, pool, results, label."""
    line, results = _answer(found, settings)
    chosen = found.item(found.chosen)
    return line, view.grid_html(found), results, "" if chosen is None else chosen.label


def _follow(work: Callable[..., Collection], settings: RetrievalSettings) -> Iterator[tuple[Any, ...]]:
    """line, pool, results, label while ``work(progress, cancel)`` computes features, and after."""
    try:
        for event in follow(work):
            if isinstance(event, Done):
                yield _board(event.value, settings)
            else:
                yield working(event.text, event.fraction), *(gr.skip(),) * 3
    except CvDemoError as error:
        yield trouble(error), *(gr.skip(),) * 3


def _open(request: gr.Request, *values: Any) -> Iterator[tuple[Any, ...]]:
    """The board, with the examples in it on the first time."""
    user = session_of(request)
    yield from _follow(lambda progress, cancel: started(user, progress=progress, cancel=cancel), _read(values))


def _wire_settings(parts: Parts) -> None:
    def turn(name: str) -> list[Any]:
        return [HELP.get(name, ""), *(gr.Column(visible=name == each) for each in GROUPS)]

    def redraw(request: gr.Request, *values: Any) -> tuple[str, str]:
        return _answer(collection_of(session_of(request)), _read(values))

    topic = parts.widgets["topic"]
    topic.change(turn, topic, [parts.help, *parts.groups.values()], **QUICK)
    gr.on(
        [widget.input for widget in parts.settings], redraw, parts.settings, [parts.line, parts.results],
        trigger_mode="always_last", **QUICK,
    )  # fmt: skip


def _wire_pictures(parts: Parts, shared: Shared) -> None:
    """The collection changes: chosen, named, added, removed."""
    running: dict[str, Any] = {
        "show_progress": "hidden", "api_visibility": "private", "concurrency_id": "faces-retrieval",
        "concurrency_limit": 8,
    }  # fmt: skip

    def choose(request: gr.Request, event: gr.EventData, *values: Any) -> tuple[Any, ...]:
        found, key = collection_of(session_of(request)), pressed_key(event)
        if key.isdecimal() and found.item(int(key)) is not None:
            found.chosen = int(key)
        return _board(found, _read(values))

    def name(request: gr.Request, said: str, *values: Any) -> tuple[Any, ...]:
        found = collection_of(session_of(request))
        try:
            if found.chosen is None:
                raise InputError("No picture is chosen.", hint="Press one first.")
            found.name_class(found.chosen, said)
        except CvDemoError as error:
            return trouble(error), *(gr.skip(),) * 3
        return _board(found, _read(values))

    def remove(request: gr.Request, *values: Any) -> tuple[Any, ...]:
        found = collection_of(session_of(request))
        if found.chosen is not None:
            found.remove(found.chosen)
        return _board(found, _read(values))

    def clear(request: gr.Request, *values: Any) -> tuple[Any, ...]:
        found = collection_of(session_of(request))
        found.clear()
        return _board(found, _read(values))

    def again(request: gr.Request, *values: Any) -> Iterator[tuple[Any, ...]]:
        store.forget(session_of(request))
        yield from _open(request, *values)

    parts.pool.click(choose, parts.settings, parts.board, **QUICK)
    parts.label.submit(name, [parts.label, *parts.settings], parts.board, **QUICK)
    parts.buttons["remove"].click(remove, parts.settings, parts.board, **QUICK)
    parts.buttons["clear"].click(clear, parts.settings, parts.board, **QUICK)
    parts.buttons["again"].click(again, parts.settings, parts.board, **running)
    add = parts.buttons["add"]
    add.upload(_upload, [add, parts.label, *parts.settings], [*parts.board, add], **running)
    parts.buttons["left"].click(_add_left, [shared.picture, parts.label, *parts.settings], parts.board, **running)


def _opened(source: Path) -> Picture | str:
    """The picture in a file, or the sentence that says why there is none."""
    try:
        return smaller(read_picture(source, name=source.name))
    except CvDemoError as error:
        return f"{source.name}: {error.message}"


def _upload(request: gr.Request, paths: list[str] | None, label: str, *values: Any) -> Iterator[tuple[Any, ...]]:
    """line, pool, results, label, button: uploaded files become pictures of the collection."""
    user = session_of(request)
    holder = f"{user} {uuid4().hex}"  # the files belong to this event alone and go when it ends
    refused: list[str] = []

    def work(progress: Any, cancel: Any) -> Collection:
        found, pictures = collection_of(user), []
        for source in [files.claim(holder, path) for path in paths or []]:
            picture = _opened(source)
            if isinstance(picture, Picture):
                pictures.append(picture)
            else:
                refused.append(picture)
        if pictures:
            found.add(pictures, label, user=user, progress=progress, cancel=cancel)
        return found

    try:
        for line, *rest in _follow(work, _read(values)):
            if refused and isinstance(rest[0], str):
                line = trouble(InputError(f"{len(refused)} left out. {' '.join(refused)}"))
            yield line, *rest, None
    finally:
        files.leave(holder)


def _add_left(request: gr.Request, path: str | None, label: str, *values: Any) -> Iterator[tuple[Any, ...]]:
    """line, pool, results, label: the first picture on the left becomes one of the collection."""
    user = session_of(request)

    def work(progress: Any, cancel: Any) -> Collection:
        found = collection_of(user)
        found.add([picture_of(user, path)], label, user=user, progress=progress, cancel=cancel)
        return found

    yield from _follow(work, _read(values))


def _step(user: str, picture: Picture, model: str, *values: Any) -> tuple[Any, Any]:
    """line and results for a webcam frame: its class by the visitor's few examples."""
    settings, found = _read(values), collection_of(user)
    examples, _ = view.split(found, settings.shots)
    if not examples:
        raise InputError("There are no classes yet.", hint="Name some pictures first.")
    answer = view.judge(examples, features_of([picture], MODEL, user=user), settings)
    said = f"The camera shows: {answer.classes[answer.labels[0]]}"
    return status(said, announce=False), view.scores_html(answer, "Similarity to each class, or its share of the votes")
