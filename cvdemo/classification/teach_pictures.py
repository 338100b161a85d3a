"""Pictures come into a "Teach it" session: files, the current picture, frames of the webcam."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import numpy as np

from cvdemo.classification import predict
from cvdemo.classification.teach import MOST_PICTURES, make_thumbnail
from cvdemo.classification.teach_room import Recording, Room
from cvdemo.core.context import ProgressFn
from cvdemo.core.errors import Cancelled, CvDemoError, InputError
from cvdemo.core.lazy import cv2
from cvdemo.core.media import Picture, read_picture

CHUNK = 16
ENOUGH_PIXELS = 512  # of the shorter side; networks see less, and a chunk of camera pictures would fill the memory
BURST_SECONDS = 0.15  # between two recorded frames: neighbours are near-copies

EmbedFn = Callable[..., np.ndarray]


@dataclass(frozen=True)
class Added:
    """How many pictures were taken, and a sentence for each that was not."""

    count: int
    refused: tuple[str, ...] = ()

    def sentence(self, title: str) -> str:
        """ "18 pictures added to cup."."""
        return f"{self.count or 'No'} picture{'' if self.count == 1 else 's'} added to {title}."


def smaller(picture: Picture) -> Picture:
    """The picture with its shorter side shrunk to 512 px, more than any network here looks at."""
    short = min(picture.height, picture.width)
    if short <= ENOUGH_PIXELS:
        return picture
    scale = ENOUGH_PIXELS / short
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return Picture(
        np.array(cv2.resize(picture.pixels, size, interpolation=cv2.INTER_AREA), np.uint8), picture.name, picture.notes
    )


def add_files(
    room: Room,
    card: int,
    paths: Sequence[str | Path],
    model: str,
    *,
    user: str = "",
    progress: ProgressFn | None = None,
    cancel: threading.Event | None = None,
    embed: EmbedFn | None = None,
) -> Added:
    """Read files, 16 at a time, and add their features to a card. Good ones stay whatever the others are.

    Raises InputError when the card cannot take pictures, WeightsError when the network has no weights, Cancelled (what
    was added until then stays).
    """
    embed = embed or predict.embed
    names, taken = room.names_for(card), 0
    refused: list[str] = []
    for start in range(0, len(paths), CHUNK):
        if cancel is not None and cancel.is_set():
            raise Cancelled("Stopped.")
        read = [_read(path) for path in paths[start : start + CHUNK]]
        good = [picture for picture in read if isinstance(picture, Picture)]
        refused += [problem for problem in read if isinstance(problem, str)]
        if progress is not None:
            progress(start / len(paths), f"{start} of {len(paths)} pictures")
        if not good:
            continue
        rows = embed(good, model, user=user, cancel=cancel)
        try:
            count = put(room, names, rows, [picture.pixels for picture in good], model)
        except InputError as error:
            if not taken:
                raise
            refused.append(error.message)
            break
        taken += count
        if count < len(good):
            left = len(paths) - start - len(good) + (len(good) - count)
            refused.append(f"{left} more did not fit: a class holds {MOST_PICTURES} pictures.")
            break
    return Added(taken, tuple(refused))


def _read(path: str | Path) -> Picture | str:
    """The picture in a file, or the sentence that says why there is none."""
    try:
        return smaller(read_picture(path, name=Path(path).name))
    except CvDemoError as error:
        return error.message


def put(room: Room, names: Sequence[str], features: np.ndarray, pixels: Sequence[np.ndarray], model: str) -> int:
    """Add pictures already turned into features (N, D); returns how many fitted. Errors as in ``TeachSet.add``."""
    with room.lock:
        keys = room.lesson.add(names, features, [make_thumbnail(one) for one in pixels], backbone=model)
        room.version += bool(keys)
        return len(keys)


def record(room: Room, card: int, frames: int) -> Recording:
    """From now on webcam frames go to a card, until ``frames`` were taken."""
    with room.lock:
        room.names_for(card)
        room.recording = Recording(card, frames, frames)
        return room.recording


def due(room: Room, now: float | None = None) -> bool:
    """Whether the next webcam frame is to be recorded."""
    recording = room.recording
    return recording is not None and (monotonic() if now is None else now) - recording.last >= BURST_SECONDS


def take_frame(
    room: Room, features: np.ndarray, pixels: np.ndarray, model: str, now: float | None = None
) -> int | None:
    """Add a webcam frame if one is being recorded and it is time for the next; returns its card, else None.

    Features (D,). A card that is full or gone ends the recording with an InputError.
    """
    now = monotonic() if now is None else now
    with room.lock:
        recording = room.recording
        if recording is None or not due(room, now):
            return None
        try:
            put(room, room.names_for(recording.card), features[None], [pixels], model)
        except InputError:
            room.recording = None
            raise
        recording.last, recording.left = now, recording.left - 1
        if recording.left <= 0:
            room.recording = None
        return recording.card
