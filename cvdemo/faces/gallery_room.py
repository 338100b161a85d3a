"""One visitor's gallery on the page: who is enrolled, with which crops, and what the camera is to capture.

Everything lives in this process's memory under the session's name until ``forget``; nothing is written to disk, and no
function here reaches another session's room.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from itertools import count
from time import monotonic
from typing import TypeVar

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.faces.gallery import Gallery, tidy
from cvdemo.faces.predict import FaceMatchSettings, considered, face_of
from cvdemo.faces.remarks import nobody, remarks
from cvdemo.faces.tab_shared import Look

MOST_ROOMS = 256
CAPTURES = 5
PAUSE = 0.5  # seconds between two captures: neighbouring frames are near-copies and teach nothing
NO_CONSENT = "Nobody is enrolled without consent."
HOW_TO_CONSENT = "Ask the people in the picture, then tick the line at the top."
T = TypeVar("T")


@dataclass
class Capture:
    """The next ``left`` of ``wanted`` camera frames that show a face enrol a person."""

    name: str
    wanted: int
    left: int
    last: float = 0.0


@dataclass(frozen=True, eq=False)
class Enrolled:
    """One enrolled picture: a key that no other picture has, and its aligned crop (112, 112, 3) uint8."""

    key: int
    crop: np.ndarray


@dataclass(eq=False)
class Room:
    """What is kept of one visitor. Hold ``lock`` while reading or changing the gallery: events overlap.

    crops: of each person, in the order of the gallery's embeddings.   version: counts changes.
    asked: where the session's memory keeps the picture that is searched.
    """

    gallery: Gallery | None = None
    crops: dict[str, list[Enrolled]] = field(default_factory=dict)
    consent: bool = False
    capture: Capture | None = None
    version: int = 0
    asked: Hashable = None
    lock: threading.RLock = field(default_factory=threading.RLock)
    _keys: count[int] = field(default_factory=count)
    _worked: dict[Hashable, tuple[int, object]] = field(default_factory=dict)

    @property
    def pictures(self) -> int:
        """How many pictures are enrolled."""
        return sum(len(some) for some in self.crops.values())

    def recall(self, what: Hashable, make: Callable[[], T]) -> T:
        """What was worked out of the gallery as it is now, else what ``make`` returns."""
        with self.lock:
            known = self._worked.get(what)
            if known is None or known[0] != self.version:
                known = self._worked[what] = (self.version, make())
            return known[1]  # type: ignore[return-value]


_rooms: OrderedDict[str, Room] = OrderedDict()
_rooms_lock = threading.Lock()


def room_of(session: str) -> Room:
    """The room of a session, made on first use. Of more than 256 the one idle for longest is dropped.

    Calls without a session share nothing: each gets a room of its own that nobody keeps.
    """
    if not session:
        return Room()
    with _rooms_lock:
        room = _rooms.setdefault(session, Room())
        _rooms.move_to_end(session)
        while len(_rooms) > MOST_ROOMS:
            _rooms.popitem(last=False)
        return room


def forget(session: str) -> None:
    """Drop everything kept of a session: names, embeddings, crops."""
    with _rooms_lock:
        room = _rooms.pop(session, None)
    if room is not None:  # work that is still under way holds the room
        clear(room)


def clear(room: Room) -> None:
    """Forget everybody, and that there was consent."""
    with room.lock:
        room.gallery, room.crops, room.capture, room.consent, room.asked = None, {}, None, False, None
        room._worked.clear()
        room.version += 1


def check(room: Room, name: str) -> str:
    """The name as it will be kept; InputError without consent or without a name."""
    if not room.consent:
        raise InputError(NO_CONSENT, hint=HOW_TO_CONSENT)
    return tidy(name)


def enrol(room: Room, name: str, look: Look) -> list[str]:
    """Add the largest face of a picture to a person; returns remarks on it.

    InputError without consent, a name or a face, and as ``Gallery.enrol``; what keeps faces from being embedded.
    """
    if look.inference is None:
        raise look.trouble or InputError("The face could not be embedded.")
    faces = look.found.faces
    row = face_of(faces, FaceMatchSettings())
    with room.lock:
        called = check(room, name)
        if row is None:
            raise InputError(f"{look.picture.name}: {nobody(len(faces))}")
        if room.gallery is None:
            room.gallery = Gallery(look.inference.model)
        room.gallery.enrol(called, look.inference.embeddings[row], look.inference.model)
        room.crops.setdefault(called, []).append(Enrolled(next(room._keys), look.found.crops[row].copy()))
        room.version += 1
    count = len(considered(faces, FaceMatchSettings()))
    others = [f"Of {count} faces the largest was taken."] if count > 1 else []
    return others + remarks(faces, row)


def _place_of(room: Room, key: int) -> tuple[str, int]:
    """Whose picture it is and which of them; InputError when it is gone already."""
    for name, some in room.crops.items():
        for index, one in enumerate(some):
            if one.key == key:
                return name, index
    raise InputError("That picture is not enrolled any more.", hint="Choose one that is shown.")


def remove_picture(room: Room, key: int) -> str:
    """Forget one enrolled picture; returns whose it was. InputError when it is gone already."""
    with room.lock:
        name, index = _place_of(room, key)
        assert room.gallery is not None
        room.gallery.remove_picture(name, index)
        del room.crops[name][index]
        if not room.crops[name]:
            del room.crops[name]
        room.version += 1
        return name


def remove_person(room: Room, key: int) -> str:
    """Forget the person whom a picture shows; returns the name. InputError when the picture is gone already."""
    with room.lock:
        name, _ = _place_of(room, key)
        assert room.gallery is not None
        room.gallery.remove(name)
        del room.crops[name]
        room.version += 1
        return name


# ------------------------------------------------------------------ camera


def start_capture(room: Room, name: str, wanted: int = CAPTURES) -> Capture:
    """From now on camera frames enrol a person, until ``wanted`` were taken; InputError as ``check``."""
    with room.lock:
        room.capture = Capture(check(room, name), wanted, wanted)
        return room.capture


def take_frame(room: Room, look: Look, now: float | None = None) -> Capture | None:
    """Enrol from a camera frame if one is awaited, it is time for the next and the frame shows a face.

    Returns the capture when a picture was taken, else None. A person who is full ends it with an InputError.
    """
    now = monotonic() if now is None else now
    with room.lock:
        capture = room.capture
        if capture is None or now - capture.last < PAUSE or face_of(look.found.faces) is None:
            return None
        try:
            enrol(room, capture.name, look)
        except InputError:
            room.capture = None
            raise
        capture.last, capture.left = now, capture.left - 1
        if capture.left <= 0:
            room.capture = None
        return capture
