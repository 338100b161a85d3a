"""What happens in the Gallery view: people are enrolled, removed and forgotten, settings move, figures are exported."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import gradio as gr

from cvdemo.core.errors import Cancelled, CvDemoError, InputError
from cvdemo.core.media import read_picture
from cvdemo.faces import gallery_room as kept
from cvdemo.faces import gallery_view as view
from cvdemo.faces.gallery_room import Room, room_of
from cvdemo.faces.gallery_view import GalleryViewSettings
from cvdemo.faces.tab_gallery import NAMES, Parts, asked, charts, everything, search
from cvdemo.faces.tab_shared import look_at, look_of, pressed_key
from cvdemo.ui.background import Done, follow
from cvdemo.ui.downloads import wire_downloads
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.viewer import status, trouble, working
from cvdemo.ui.views import QUICK, Shared
from cvdemo.ui.widgets import read_settings

LONG: dict[str, Any] = {
    "show_progress": "hidden", "api_visibility": "private", "concurrency_id": "faces-gallery", "concurrency_limit": 8,
}  # fmt: skip


def _settings(values: Sequence[Any]) -> GalleryViewSettings:
    settings: GalleryViewSettings = read_settings(GalleryViewSettings, NAMES, values)
    return settings


def wire_enrolment(parts: Parts, shared: Shared) -> None:
    """The consent line, uploads, the first picture, and captures of the camera."""

    def agree(request: gr.Request, ticked: bool) -> str:
        room = room_of(session_of(request))
        room.consent = bool(ticked)
        if ticked or not room.pictures:
            return status()
        return status("No more enrolling.", "Who is enrolled stays until you press “Clear” or leave the page.")

    parts.consent.input(agree, parts.consent, parts.line, **QUICK)
    outputs = [parts.line, *parts.everything]
    running = parts.upload.upload(
        _upload, [parts.upload, parts.name, shared.model, *parts.settings], [*outputs, parts.upload], **LONG
    )
    one = parts.current.click(_current, [shared.picture, parts.name, shared.model, *parts.settings], outputs, **LONG)
    for event in (running, one):
        event.then(shared.refresh_pill, None, shared.pill, **QUICK)

    def capture(request: gr.Request, name: str, mode: str) -> str:
        try:
            begun = kept.start_capture(room_of(session_of(request)), name)
        except CvDemoError as error:
            return trouble(error)
        how = "Turn the head a little in between." if mode == "live" else "Open Live on the left and press Record."
        return status(f"The next {begun.wanted} camera pictures with a face are {begun.name}.", how)

    parts.capture.click(capture, [parts.name, shared.mode], parts.line, **QUICK)


def _upload(request: gr.Request, paths: list[str] | None, name: str, model: str, *values: Any
            ) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    """line, everything, upload for files that were brought; they are deleted as soon as they are read."""
    user = session_of(request)
    room, nothing = room_of(user), (gr.skip(),) * 7
    holder = f"{user} {uuid4().hex}"  # the files belong to this event alone and go when it ends
    try:
        sources = [files.claim(holder, path) for path in paths or []]
        for event in follow(_enrolling(room, name, sources, model, user)):
            if isinstance(event, Done):
                yield event.value, *everything(user, room, _settings(values)), None
            else:
                yield working(event.text, event.fraction), *nothing, None
    except CvDemoError as error:
        yield trouble(error), *everything(user, room, _settings(values)), None
    finally:
        files.leave(holder)


def _enrolling(room: Room, name: str, paths: Sequence[Path], model: str, user: str) -> Callable[..., str]:
    """Work for ``follow``: read, find, embed and enrol each file; returns the line that says how it went."""

    def work(progress: Callable[[float, str], None], cancel: Any) -> str:
        called = kept.check(room, name)
        good, told = 0, []
        for number, path in enumerate(paths):
            if cancel.is_set():
                raise Cancelled("Stopped.", hint="Who was enrolled until then is kept.")
            progress(number / len(paths), f"{number} of {len(paths)} pictures")
            try:
                look = look_at(read_picture(path, name=path.name), model, user, cancel=cancel)
                if look.trouble is not None:
                    raise look.trouble
                told += [f"{path.name}: {remark}" for remark in kept.enrol(room, called, look)]
                good += 1
            except InputError as error:
                told.append(str(error) if path.name in str(error) else f"{path.name}: {error}")
        return view.enrolled_html(called, good, len(paths), told)

    return work


def _current(request: gr.Request, path: str | None, name: str, model: str, *values: Any) -> tuple[Any, ...]:
    """line and everything after the first picture was enrolled."""
    user = session_of(request)
    room = room_of(user)
    try:
        called = kept.check(room, name)
        if not path:
            raise InputError("There is no first picture.", hint="Choose one on the left, or upload some here.")
        look = look_of(user, path, model)
        line = view.enrolled_html(called, 1, 1, kept.enrol(room, called, look))
    except CvDemoError as error:
        return trouble(error), *(gr.skip(),) * 7
    return line, *everything(user, room, _settings(values))


def wire_removal(parts: Parts) -> None:
    """A press on a crop or a person's button removes it; Clear forgets everything."""

    def press(request: gr.Request, event: gr.EventData, *values: Any) -> tuple[Any, ...]:
        user = session_of(request)
        room = room_of(user)
        what, _, key = pressed_key(event).partition(" ")
        try:
            if not key.isdecimal():
                return (gr.skip(),) * 8
            if what == "person":
                line = status(f"{kept.remove_person(room, int(key))} is forgotten.")
            else:
                line = status(f"A picture of {kept.remove_picture(room, int(key))} is removed.")
        except CvDemoError as error:
            line = trouble(error)
        return line, *everything(user, room, _settings(values))

    outputs = [parts.line, *parts.everything]
    parts.people.click(press, parts.settings, outputs, **QUICK)

    def clear(request: gr.Request, *values: Any) -> tuple[Any, ...]:
        user = session_of(request)
        room = room_of(user)
        where = room.asked  # the picture on the left is still there
        kept.clear(room)
        room.asked = where
        return False, "", status("Everybody is forgotten."), *everything(user, room, _settings(values))

    parts.clear.click(clear, parts.settings, [parts.consent, parts.name, *outputs], **QUICK)


def wire_settings(parts: Parts) -> None:
    """Threshold and rule decide anew about embeddings that are there; the others change one chart."""

    def decide(request: gr.Request, *values: Any) -> tuple[Any, ...]:
        user = session_of(request)
        room, settings = room_of(user), _settings(values)
        look = asked(user, room)
        return *search(room, look, settings), *charts(room, look, settings)

    def rearrange(request: gr.Request, *values: Any) -> tuple[Any, ...]:
        user = session_of(request)
        room, settings = room_of(user), _settings(values)
        return view.matrix_html(room, settings), view.map_html(room, settings, asked(user, room))

    for name, widget in parts.widgets.items():
        fn, outputs = (decide, [*parts.found, *parts.charts]) if name in NAMES[:2] else (rearrange, parts.charts[:2])
        widget.input(fn, parts.settings, outputs, trigger_mode="always_last", **QUICK)


def wire_export(parts: Parts) -> None:
    """The gallery's own figures as a file."""

    def exported(user: str, _kind: str, *values: Any) -> tuple[str, bytes]:
        return "gallery-similarities.json", view.export(room_of(user), _settings(values))

    wire_downloads({"json": parts.export}, parts.hidden, parts.settings, exported)
