"""What happens in the "Teach it" view: classes change, pictures are sorted, a head is trained and answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import gradio as gr

from cvdemo.classification import predict, tab_shared, teach_room, teach_view
from cvdemo.classification.tab_shared import TEACH
from cvdemo.classification.tab_teach import TRY_IT, Parts
from cvdemo.classification.teach import export_head
from cvdemo.classification.teach_room import Room, room_of
from cvdemo.classification.teach_view import CARDS
from cvdemo.core import registry
from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.media import Picture
from cvdemo.ui.background import Done, Stop, follow, stopping
from cvdemo.ui.downloads import wire_downloads
from cvdemo.ui.memory import picture_of
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.viewer import problem, status, trouble, working
from cvdemo.ui.views import QUICK, Shared

LONG: dict[str, Any] = {
    "show_progress": "hidden", "api_visibility": "private", "concurrency_id": "classification-teach",
    "concurrency_limit": 8,
}  # fmt: skip


def board(room: Room) -> list[Any]:
    """Values of ``Parts.board``."""
    with room.lock:
        lesson = room.lesson
        classes, attributes = lesson.classes, lesson.kind == "multi-label"
        frames = [gr.Column(visible=card < len(classes) if card >= 0 else attributes) for card in CARDS]
        names = [classes[card] if card < len(classes) else "" for card in CARDS if card >= 0]
        noun = "an attribute" if attributes else "a class"
        return [
            *frames,
            *names,
            *strips(room),
            gr.CheckboxGroup(choices=list(classes), value=list(room.also), visible=attributes),
            gr.Button(f"Add {noun}", interactive=len(classes) < teach_room.MOST_CLASSES),
            teach_view.fewest_and_most(room),
            *choice(room),
        ]


def strips(room: Room, only: Collection[int] | None = None) -> list[Any]:
    """The thumbnails of all cards, or of some with the others left alone."""
    return [teach_view.strip_html(room, card) if only is None or card in only else gr.skip() for card in CARDS]


def choice(room: Room) -> list[Any]:
    """panel, chosen, labels: the picture being edited, or nothing."""
    with room.lock:
        picture = teach_view.chosen_html(room)
        if not picture or room.chosen is None:
            return [gr.Column(visible=False), "", gr.skip()]
        known, has = list(room.lesson.classes), list(room.lesson.names_of(room.chosen))
        return [gr.Column(visible=True), picture, gr.CheckboxGroup(choices=known, value=has)]


def changed(room: Room, card: int) -> list[int]:
    """Cards whose thumbnails change when a picture is added to this one."""
    with room.lock:
        known = room.lesson.classes
        return [card, *(known.index(name) for name in room.names_for(card))]


def features_of(user: str, picture: Picture, model: str) -> Any:
    """Features (D,) of the shared picture, from the pass through the network that other views use too."""
    embedding = tab_shared.look_of(user, picture, model).inference.raw.embedding
    return predict.embed([picture], model, user=user)[0] if embedding is None else embedding


def attempt(room: Room, work: Callable[[], str]) -> tuple[Any, ...]:
    """``board`` and line after a small change; the message when it is refused."""
    try:
        said = work()
    except CvDemoError as error:
        return (*board(room), trouble(error))
    return (*board(room), status(said))


# ------------------------------------------------------------------ classes


def wire_classes(parts: Parts) -> None:
    """Adding, renaming and removing classes, the kind of the lesson, and deleting all of it."""
    outputs = [*parts.board, parts.line]

    def on(trigger: Any, work: Callable[..., str], inputs: list[Any], more: list[Any] | None = None) -> None:
        def run(request: gr.Request, *values: Any) -> tuple[Any, ...]:
            room = room_of(session_of(request))
            return attempt(room, lambda: work(room, *values))

        trigger(run, inputs, [*outputs, *(more or [])], **QUICK)

    def add(room: Room) -> str:
        teach_room.add_class(room)
        return ""

    on(parts.add_class.click, add, [])
    for number, card in parts.cards.items():
        if card.name is None:
            continue

        def remove(room: Room, number: int = number) -> str:
            title, count = room.title(number), len(room.lesson.thumbnails(room.title(number)))
            teach_room.remove_class(room, number)
            kept = room.lesson.kind == "multi-label"
            return f"{title} is removed{'' if kept or not count else f', with its {count} pictures'}."

        # Only its own name is written back: another one may be half typed.
        touched = [
            card.name,
            *parts.strips,
            parts.also,
            parts.panel,
            parts.chosen,
            parts.labels,
            parts.foot,
            parts.line,
        ]
        for trigger in (card.name.submit, card.name.blur):
            trigger(_rename(number), card.name, touched, **QUICK)
        on(card.remove.click, remove, [])

    def set_also(request: gr.Request, names: list[str]) -> None:
        room_of(session_of(request)).also = tuple(names)

    parts.also.input(set_also, parts.also, None, **QUICK)

    def change_kind(request: gr.Request, kind: Any) -> tuple[Any, ...]:
        room = room_of(session_of(request))

        def work() -> str:
            teach_room.change_kind(room, kind)
            return ""

        return *attempt(room, work), room.lesson.kind

    parts.kind.input(change_kind, parts.kind, [*outputs, parts.kind], **QUICK)

    def delete(request: gr.Request) -> tuple[Any, ...]:
        room = room_of(session_of(request))
        teach_room.clear(room)
        return *board(room), status("Everything is deleted."), teach_view.answer_html(None, TRY_IT), ""

    parts.delete.click(delete, None, [*outputs, parts.answer, parts.results], **QUICK)


def _rename(card: int) -> Callable[..., list[Any]]:
    """Renames a class; values for name, strips, also, panel, chosen, labels, foot, line."""

    def run(request: gr.Request, name: str) -> list[Any]:
        room = room_of(session_of(request))
        with room.lock:
            try:
                before = room.names_for(card)[0]
                teach_room.rename(room, card, name)
            except CvDemoError as error:
                known = room.lesson.classes
                kept = known[card] if card < len(known) else ""
                return [kept, *[gr.skip()] * (len(CARDS) + 5), trouble(error)]
            after = room.lesson.classes[card]
            if after == before:  # leaving the field is no news
                return [after if after != name else gr.skip(), *[gr.skip()] * (len(CARDS) + 6)]
            also = gr.CheckboxGroup(choices=list(room.lesson.classes), value=list(room.also))
            said = status(f"{before} is now called {after}.")
            return [after, *strips(room), also, *choice(room), teach_view.fewest_and_most(room), said]

    return run


def wire_choice(parts: Parts) -> None:
    """A press on a thumbnail opens the picture: its classes can be changed, or it can be removed."""
    outputs = [*parts.strips, parts.panel, parts.chosen, parts.labels, parts.foot]

    def shown(room: Room, only: Collection[int] | None = None) -> list[Any]:
        return [*strips(room, only), *choice(room), teach_view.fewest_and_most(room)]

    def press(card: int) -> Callable[..., list[Any]]:
        def run(request: gr.Request, event: gr.EventData) -> list[Any]:
            room, key = room_of(session_of(request)), str((event._data or {}).get("key"))
            if key == "all":
                room.unfolded = None if room.unfolded == card else card
                return shown(room)
            room.chosen = int(key) if key.isdecimal() and room.chosen != int(key) else None
            return shown(room)

        return run

    for number, card in parts.cards.items():
        card.strip.click(press(number), None, outputs, **QUICK)

    def label(request: gr.Request, names: list[str]) -> list[Any]:
        room = room_of(session_of(request))
        try:
            if room.chosen is not None:
                teach_room.set_labels(room, room.chosen, names)
        except CvDemoError as error:
            return [*shown(room), trouble(error)]
        return [*shown(room), gr.skip()]

    def remove(request: gr.Request) -> list[Any]:
        room = room_of(session_of(request))
        if room.chosen is not None:
            teach_room.remove_picture(room, room.chosen)
        return shown(room)

    def close(request: gr.Request) -> list[Any]:
        room = room_of(session_of(request))
        room.chosen = None
        return shown(room)

    parts.labels.input(label, parts.labels, [*outputs, parts.line], **QUICK)
    parts.remove_picture.click(remove, None, outputs, **QUICK)
    parts.done.click(close, None, outputs, **QUICK)


# ------------------------------------------------------------------ the head


def wire_head(parts: Parts, shared: Shared) -> Callable[..., Any]:
    """Training, export and import; returns the function that judges the shared picture anew."""

    def judged(request: gr.Request, path: str | None, model: str, mode: str) -> Any:
        """The answer for the shared picture, or a sentence saying why there is none."""
        user = session_of(request)
        room, state = room_of(user), registry.availability(registry.get(model))
        if not state.ok:
            return problem(f"{registry.get(model).title}: {state.reason}. {state.remedy}".strip())
        if room.trained is None:
            return teach_view.answer_html(None, TRY_IT)
        if mode == "live" or not path:
            return teach_view.answer_html(None, "Choose a picture on the left, or start the live camera.")
        try:
            picture = picture_of(user, path)
            found = teach_room.answer(room, features_of(user, picture, model), model)
        except CvDemoError as error:
            return trouble(error)
        return teach_view.answer_html(found, teach_view.stale_note(room))

    def train(request: gr.Request) -> Iterator[tuple[Any, ...]]:
        user = session_of(request)
        room = room_of(user)
        try:
            for event in follow(
                lambda progress, cancel: teach_room.train(room, progress, cancel),
                stop=Stop(user, TEACH, "The head from before is kept."),
            ):
                if isinstance(event, Done):
                    said = status(*teach_view.trained_words(event.value))
                    yield said, teach_view.results_html(event.value), teach_view.fewest_and_most(room)
                else:
                    yield working(event.text, event.fraction), gr.skip(), gr.skip()
        except CvDemoError as error:
            yield trouble(error), gr.skip(), gr.skip()

    inputs = [shared.picture, shared.model, shared.mode]
    running = parts.train.click(train, None, [parts.line, parts.results, parts.foot], **LONG)
    running.then(judged, inputs, parts.answer, **LONG)
    parts.halt.click(stopping(TEACH), None, None, **QUICK)  # training, and reading of uploaded pictures

    def exported(user: str, _kind: str) -> tuple[str, bytes]:
        trained = room_of(user).trained
        if trained is None:
            raise InputError("There is no head yet.", hint="Train one first.")
        return teach_view.export_name(trained.head), export_head(trained.head)

    wire_downloads({"head": parts.export}, parts.hidden, [], exported)

    def load(request: gr.Request, path: str | None) -> tuple[Any, ...]:
        user = session_of(request)
        room, holder = room_of(user), f"{user} {uuid4().hex}"
        try:
            source = Path(files.claim(holder, path or ""))
            head = teach_room.load_head(room, source.read_bytes())
        except CvDemoError as error:
            return *board(room), trouble(error), gr.skip(), gr.skip(), None
        except OSError:
            return *board(room), problem("The file could not be read. Choose it again."), gr.skip(), gr.skip(), None
        finally:
            files.leave(holder)
        return *board(room), status(teach_view.imported_sentence(head)), "", room.lesson.kind, None

    loaded = parts.load.upload(
        load, parts.load, [*parts.board, parts.line, parts.results, parts.kind, parts.load], **LONG
    )
    loaded.then(judged, inputs, parts.answer, **LONG)
    return judged
