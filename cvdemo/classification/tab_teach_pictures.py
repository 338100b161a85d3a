"""Pictures come into the "Teach it" view: uploads, the current picture, recordings of the camera."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import gradio as gr

from cvdemo.classification import predict, teach_pictures, teach_room, teach_view
from cvdemo.classification.tab_shared import TEACH
from cvdemo.classification.tab_teach import TRY_IT, Parts
from cvdemo.classification.tab_teach_events import LONG, changed, features_of, strips
from cvdemo.classification.teach_pictures import Added
from cvdemo.classification.teach_room import Room, room_of
from cvdemo.classification.teach_view import CARDS
from cvdemo.core.errors import Cancelled, CvDemoError, InputError
from cvdemo.core.media import Picture
from cvdemo.ui.background import Done, Stop, follow
from cvdemo.ui.memory import picture_of
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.viewer import status, trouble, working
from cvdemo.ui.views import QUICK, Shared


def wire_pictures(parts: Parts, shared: Shared) -> None:
    """Each card takes uploads, the current picture, and recordings of the camera."""
    shown = [*parts.strips, parts.line, parts.foot]
    for number, card in parts.cards.items():
        running = card.upload.upload(_upload(number), [card.upload, shared.model], [*shown, card.upload], **LONG)
        one = card.current.click(_add_current(number), [shared.picture, shared.model, shared.mode], shown, **LONG)
        for event in (running, one):
            event.then(shared.refresh_pill, None, shared.pill, **QUICK)
        card.record.click(_record(number), [parts.frames, shared.mode], shown, **QUICK)


def _upload(card: int) -> Callable[..., Iterator[tuple[Any, ...]]]:
    def run(request: gr.Request, paths: list[str], model: str) -> Iterator[tuple[Any, ...]]:
        user = session_of(request)
        room, nothing = room_of(user), (gr.skip(),) * len(CARDS)
        holder = f"{user} {uuid4().hex}"  # the files belong to this event alone and go when it ends
        try:
            sources = [files.claim(holder, path) for path in paths or []]
            for event in follow(
                lambda progress, cancel: teach_pictures.add_files(
                    room, card, sources, model, user=user, progress=progress, cancel=cancel
                ),
                stop=Stop(user, TEACH, "What was read so far is kept."),
            ):
                if isinstance(event, Done):
                    yield (*_added(room, card, event.value), None)
                else:
                    yield *nothing, working(event.text, event.fraction), gr.skip(), gr.skip()
        except Cancelled as stopped:
            with room.lock:
                yield *strips(room, changed(room, card)), trouble(stopped), teach_view.fewest_and_most(room), None
        except CvDemoError as error:
            yield *nothing, trouble(error), gr.skip(), None
        finally:
            files.leave(holder)

    return run


def _added(room: Room, card: int, added: Added) -> tuple[Any, ...]:
    """strips, line and foot after pictures came in."""
    with room.lock:
        line = teach_view.added_html(added, room.title(card))
        return *strips(room, changed(room, card)), line, teach_view.fewest_and_most(room)


def _add_current(card: int) -> Callable[..., tuple[Any, ...]]:
    def run(request: gr.Request, path: str | None, model: str, mode: str) -> tuple[Any, ...]:
        user = session_of(request)
        room, nothing = room_of(user), (gr.skip(),) * len(CARDS)
        try:
            if mode == "live":
                return *nothing, _begin(room, card, 1, mode), gr.skip()
            if not path:
                raise InputError("There is no current picture.", hint="Choose one on the left, or upload some here.")
            picture = picture_of(user, path)
            rows = features_of(user, picture, model)[None]
            count = teach_pictures.put(room, room.names_for(card), rows, [picture.pixels], model)
            return _added(room, card, Added(count))
        except CvDemoError as error:
            return *nothing, trouble(error), gr.skip()

    return run


def _record(card: int) -> Callable[..., tuple[Any, ...]]:
    def run(request: gr.Request, frames: float, mode: str) -> tuple[Any, ...]:
        room = room_of(session_of(request))
        try:
            return *((gr.skip(),) * len(CARDS)), _begin(room, card, int(frames), mode), gr.skip()
        except CvDemoError as error:
            return *((gr.skip(),) * len(CARDS)), trouble(error), gr.skip()

    return run


def _begin(room: Room, card: int, frames: int, mode: str) -> str:
    """Start a recording; the line that says so."""
    teach_pictures.record(room, card, frames)
    title = room.title(card)
    many = "The next frame of the camera goes" if frames == 1 else f"The next {frames} frames of the camera go"
    how = "" if mode == "live" else "Open “Live” on the left, allow the camera and press Record on it."
    return status(f"{many} to {title}.", how)


def live_step(user: str, picture: Picture, model: str) -> tuple[Any, ...]:
    """A webcam frame: recorded when one is awaited, judged when there is a head."""
    room = room_of(user)
    line: Any = gr.skip()
    foot: Any = gr.skip()
    seen: list[int] = []
    if room.trained is None and not teach_pictures.due(room):
        hint = gr.skip() if room.recording else teach_view.answer_html(None, TRY_IT)
        return *strips(room, ()), line, foot, hint
    features = predict.embed([picture], model, user=user)[0]
    card = teach_pictures.take_frame(room, features, picture.pixels, model)
    if card is not None:
        recording, seen = room.recording, changed(room, card)
        foot = teach_view.fewest_and_most(room)
        if recording is None:
            line = status(f"The recording for {room.title(card)} is finished.")
        else:
            taken = recording.wanted - recording.left
            line = status(f"Recording into {room.title(card)}: {taken} of {recording.wanted}", announce=False)
    judged = teach_room.answer(room, features, model)
    shown = gr.skip() if judged is None else teach_view.answer_html(judged, teach_view.stale_note(room), announce=False)
    return *strips(room, seen), line, foot, shown
