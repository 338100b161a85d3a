"""One visitor's "Teach it" session: the pictures taught so far, the head trained on them, and what it answers.

Everything lives in this process's memory under the session's name until ``forget``; nothing is written to disk.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np

from cvdemo.classification.teach import (
    CrossValidation,
    Head,
    TeachSet,
    cross_validate,
    import_head,
    predict_head,
    train_head,
)
from cvdemo.classification.teach_head import MOST_CLASSES, Kind
from cvdemo.core.context import ProgressFn
from cvdemo.core.errors import InputError

FIRST_CLASSES = ("Class 1", "Class 2")
NOTHING_ELSE = -1  # the card of pictures without any attribute
MOST_ROOMS = 256


@dataclass
class Recording:
    """The next ``left`` of ``wanted`` webcam frames go to a card."""

    card: int
    wanted: int
    left: int
    last: float = 0.0


@dataclass(frozen=True, eq=False)
class Trained:
    """What a press on "Train" made. ``pictures``: how many it learnt from.   version: of the room at that time."""

    head: Head
    validation: CrossValidation | None
    seconds: float
    pictures: int
    version: int


@dataclass(eq=False)
class Room:
    """What is kept of one visitor. Hold ``lock`` while reading or changing the lesson: events overlap.

    also: attributes that pictures get beside the one of their card.   chosen: key of the picture being edited.
    unfolded: the card that shows all of its pictures.   version: counts changes of the lesson.
    """

    lesson: TeachSet = field(default_factory=lambda: TeachSet(FIRST_CLASSES))
    lock: threading.RLock = field(default_factory=threading.RLock)
    trained: Trained | None = None
    recording: Recording | None = None
    also: tuple[str, ...] = ()
    chosen: int | None = None
    unfolded: int | None = None
    version: int = 0
    urls: dict[int, str] = field(default_factory=dict)

    def names_for(self, card: int) -> tuple[str, ...]:
        """The classes a picture gets that is added to a card; raises InputError for a card that is gone."""
        with self.lock:
            if card == NOTHING_ELSE:
                return ()
            if not 0 <= card < len(self.lesson.classes):
                raise InputError("That class is not there any more.", hint="Choose another one.")
            own = self.lesson.classes[card]
            if self.lesson.kind == "softmax":
                return (own,)
            known = [name for name in self.also if name in self.lesson.classes and name != own]
            return (own, *known)

    def title(self, card: int) -> str:
        """The card's name in sentences."""
        return "no attribute" if card == NOTHING_ELSE else self.lesson.classes[card]

    @property
    def stale(self) -> bool:
        """Whether the lesson changed since the head was trained."""
        return self.trained is not None and self.trained.version != self.version


_rooms: OrderedDict[str, Room] = OrderedDict()
_rooms_lock = threading.Lock()


def room_of(session: str) -> Room:
    """The room of a session, made on first use. Of more than 256 the one idle for longest is dropped."""
    with _rooms_lock:
        room = _rooms.setdefault(session, Room())
        _rooms.move_to_end(session)
        while len(_rooms) > MOST_ROOMS:
            _rooms.popitem(last=False)
        return room


def forget(session: str) -> None:
    """Drop everything kept of a session: features, thumbnails, head."""
    with _rooms_lock:
        _rooms.pop(session, None)


# ------------------------------------------------------------------ classes


def add_class(room: Room) -> None:
    """A further class with a free name; raises InputError for the eleventh."""
    with room.lock:
        noun = "Class" if room.lesson.kind == "softmax" else "Attribute"
        taken = {name.casefold() for name in room.lesson.classes}
        free = (f"{noun} {n}" for n in range(len(taken) + 1, len(taken) + MOST_CLASSES + 2))
        room.lesson.add_class(next(name for name in free if name.casefold() not in taken))
        room.version += 1


def rename(room: Room, card: int, name: str) -> None:
    """Another name for the card's class and, where the head was trained on these classes, for the head's."""
    with room.lock:
        before = room.lesson.classes
        (old,) = room.names_for(card)[:1]
        room.lesson.rename(old, name)
        if room.trained is not None and room.trained.head.classes == before:
            after = room.lesson.classes
            checked = room.trained.validation
            room.trained = replace(
                room.trained,
                head=replace(room.trained.head, classes=after),
                validation=None if checked is None else replace(checked, classes=after),
            )
        room.also = tuple(room.lesson.classes[card] if one == old else one for one in room.also)


def remove_class(room: Room, card: int) -> None:
    """Forget the card's class and, with one class a picture, its pictures."""
    with room.lock:
        (name,) = room.names_for(card)[:1]
        room.lesson.remove_class(name)
        # The cards move up: what referred to them by number would mean another class.
        room.recording, room.chosen, room.unfolded = None, None, None
        room.also = tuple(one for one in room.also if one != name)
        room.version += 1


def change_kind(room: Room, kind: Kind) -> None:
    """One class per picture, or attributes. Pictures stay; raises InputError when they do not fit one class each."""
    with room.lock:
        if kind == room.lesson.kind:
            return
        if kind == "softmax":
            odd = sum(len(room.lesson.names_of(key)) != 1 for key, _ in room.lesson.thumbnails())
            if odd:
                raise InputError(
                    f"{odd} picture{'s have' if odd > 1 else ' has'} several attributes or none.",
                    hint="Give each exactly one, or delete them, before teaching one class per picture.",
                )
        room.lesson.kind = kind
        room.also, room.recording = (), None
        room.version += 1


def set_labels(room: Room, key: int, names: Sequence[str]) -> None:
    """Which classes a picture belongs to; with one class per picture it moves to the one of ``names`` that is new."""
    with room.lock:
        has = room.lesson.names_of(key)
        if room.lesson.kind == "softmax":
            for name in [name for name in names if name not in has][-1:]:
                room.lesson.tag(key, name)
        else:
            for name in room.lesson.classes:
                if (name in names) != (name in has):
                    room.lesson.tag(key, name, name in names)
        room.version += room.lesson.names_of(key) != has


def remove_picture(room: Room, key: int) -> None:
    """Forget one picture."""
    with room.lock:
        room.lesson.remove(key)
        room.urls.pop(key, None)
        room.chosen = None if room.chosen == key else room.chosen
        room.version += 1


def clear(room: Room) -> None:
    """Delete everything: pictures, classes, head."""
    with room.lock:
        room.lesson = TeachSet(FIRST_CLASSES, room.lesson.kind)
        room.trained = room.recording = room.chosen = room.unfolded = None
        room.also, room.urls = (), {}
        room.version += 1


# ------------------------------------------------------------------ the head


def train(room: Room, progress: ProgressFn | None = None, cancel: threading.Event | None = None) -> Trained:
    """Cross-validate and train; the result is kept in the room. InputError says what the lesson lacks; Cancelled."""
    with room.lock:
        lacking = room.lesson.missing()
        if lacking:
            raise InputError("There is too little to learn from yet.", hint=lacking)
        features, labels = room.lesson.training_data()
        names, kind, backbone, version = room.lesson.classes, room.lesson.kind, room.lesson.backbone, room.version

    def part(start: float, stop: float, what: str) -> ProgressFn:
        def report(fraction: float, text: str = "") -> None:
            if progress is not None:
                progress(start + (stop - start) * fraction, f"{what}: {text}")

        return report

    started = perf_counter()
    validation = cross_validate(
        features, labels, classes=names, kind=kind, progress=part(0.0, 0.8, "Checking on held-back pictures"),
        cancel=cancel,
    )  # fmt: skip
    head = train_head(
        features, labels, classes=names, kind=kind, backbone=backbone, progress=part(0.8, 1.0, "Training"),
        cancel=cancel,
    )  # fmt: skip
    trained = Trained(head, validation, perf_counter() - started, len(features), version)
    with room.lock:
        room.trained = trained
    return trained


def load_head(room: Room, data: bytes) -> Head:
    """Use a head from a file; a lesson without pictures takes over its classes. Errors as in ``import_head``."""
    head = import_head(data)
    with room.lock:
        if not len(room.lesson):
            room.lesson = TeachSet(head.classes, head.kind)
            room.also, room.recording, room.chosen, room.unfolded = (), None, None, None
        room.version += 1
        room.trained = Trained(head, None, 0.0, 0, room.version)
    return head


@dataclass(frozen=True, eq=False)
class Answer:
    """What a head says of one picture: probabilities (C,) float32 of its classes."""

    probabilities: np.ndarray
    classes: tuple[str, ...]
    kind: Kind

    def sentence(self) -> str:
        """ "cup (87 %)", "Not sure: cup (41 %) or mug (39 %)", "red (93 %) and round (71 %)", "No attribute"."""
        order = np.argsort(-self.probabilities, kind="stable")
        words = [f"{self.classes[i]} ({100 * self.probabilities[i]:.0f} %)" for i in order]
        if self.kind == "multi-label":
            found = [word for word, i in zip(words, order) if self.probabilities[i] > 0.5]
            if not found:
                return f"None of the attributes; the closest is {words[0]}"
            return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"
        if self.probabilities[order[0]] < 0.6:
            return f"Not sure: {words[0]} or {words[1]}"
        return words[0]


def answer(room: Room, features: np.ndarray, model: str) -> Answer | None:
    """What the room's head says of features (D,) by ``model``; None before there is a head.

    Raises InputError when the head was taught on another network: its features mean something else.
    """
    trained = room.trained
    if trained is None:
        return None
    head = trained.head
    if head.backbone and head.backbone != model:
        raise InputError(
            f"This head was taught on the features of {head.backbone}.",
            hint="Choose that model again, or delete everything and teach anew.",
        )
    return Answer(predict_head(head, features[None])[0], head.classes, head.kind)
