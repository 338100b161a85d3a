"""The pictures one visitor searches, learns from and augments: in memory, for one session, with their features."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cvdemo.classification import predict as classification
from cvdemo.core.errors import InputError
from cvdemo.core.lazy import cv2
from cvdemo.core.media import Picture
from cvdemo.faces.augment import AugmentSettings, views
from cvdemo.faces.retrieval import features_of

MOST_PICTURES, LONGEST_LABEL, MOST_COLLECTIONS = 48, 40, 256
SHORT_SIDE, THUMBNAIL = 320, 96
MODEL = classification.DEFAULT_MODEL
VARIED = AugmentSettings(smallest_crop=0.25, colour=0.3, blur=0.0)
"""How the starter's views are made: crops that still show what the picture is of."""

Embed = Callable[..., np.ndarray]


@dataclass(frozen=True, eq=False)
class Item:
    """One picture.

    pixels: (H, W, 3) uint8, its shorter side at most 320.   thumbnail: (96, 96, 3) uint8.   features: (D,) unit length.
    label: its class in the visitor's words, "" for none.   made: whether the program made it from another one.
    """

    key: int
    name: str
    pixels: np.ndarray
    thumbnail: np.ndarray
    features: np.ndarray
    label: str = ""
    made: bool = False


@dataclass(eq=False)
class Collection:
    """Hold ``lock`` while reading several things of it: events overlap.

    chosen: key of the picture that asks.   version: counts changes.   urls: thumbnails as the page shows them.
    """

    items: list[Item] = field(default_factory=list)
    chosen: int | None = None
    version: int = 0
    started: bool = False
    urls: dict[int, str] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    _next: int = 0

    def add(
        self, pictures: Sequence[Picture], label: str = "", *, made: Sequence[bool] = (), labels: Sequence[str] = (),
        embed: Embed = features_of, **watch: Any,
    ) -> list[int]:  # fmt: skip
        """Add pictures and return their keys; the last one is chosen.

        label: of all of them, or ``labels`` one each.   InputError when they do not all fit or the label is too long;
        WeightsError when the backbone is missing.
        """
        room = MOST_PICTURES - len(self.items)
        if len(pictures) > room:
            raise InputError(
                f"At most {MOST_PICTURES} pictures are kept, and there is room for {max(room, 0)}.",
                hint="Remove some, or add fewer.",
            )
        named = [checked(one) for one in (labels or [label] * len(pictures))]
        small = [smaller(picture.pixels) for picture in pictures]
        rows = embed(small, MODEL, **watch)
        with self.lock:
            keys = []
            for number, (picture, pixels, row) in enumerate(zip(pictures, small, rows)):
                own = bool(made[number]) if made else False
                self.items.append(
                    Item(self._next, picture.name, pixels, thumbnail(pixels), row, named[number], made=own)
                )
                keys.append(self._next)
                self._next += 1
            self.chosen = keys[-1] if keys else self.chosen
            self.version += 1
            return keys

    def start(self, pictures: Sequence[tuple[str, Picture]], embed: Embed = features_of, **watch: Any) -> None:
        """Begin with named pictures and three views of each, all labelled with that name; the first asks."""
        named: list[tuple[str, Picture, bool]] = []
        for number, (name, picture) in enumerate(pictures):
            made, _ = views([picture.pixels] * 2, number, VARIED, 256)
            named.append((name, picture, False))
            named += [(name, Picture(view, f"{name}, view {k + 1}"), True) for k, view in enumerate(made[:3])]
        keys = self.add(
            [picture for _, picture, _ in named], made=[made for *_, made in named],
            labels=[name for name, *_ in named], embed=embed, **watch,
        )  # fmt: skip
        with self.lock:
            self.started = True
            self.chosen = keys[0] if keys else None

    def item(self, key: int | None) -> Item | None:
        """The picture with that key."""
        return next((item for item in self.items if item.key == key), None)

    def name_class(self, key: int, label: str) -> None:
        """Say what a picture shows; "" takes the word back. InputError for a label too long."""
        said = checked(label)
        with self.lock:
            self.items = [replace(item, label=said) if item.key == key else item for item in self.items]
            self.version += 1

    def remove(self, key: int) -> None:
        """Forget a picture."""
        with self.lock:
            self.items = [item for item in self.items if item.key != key]
            self.urls.pop(key, None)
            if self.chosen == key:
                self.chosen = self.items[0].key if self.items else None
            self.version += 1

    def clear(self) -> None:
        """Forget all pictures."""
        with self.lock:
            self.items, self.chosen, self.urls, self.started = [], None, {}, True
            self.version += 1


def checked(label: str) -> str:
    """A label without spare spaces; InputError when it is too long."""
    said = " ".join(label.split())
    if len(said) > LONGEST_LABEL:
        raise InputError("The name of the class is too long.", hint=f"Use at most {LONGEST_LABEL} letters.")
    return said


def smaller(pixels: np.ndarray) -> np.ndarray:
    """The picture (H, W, 3) with its shorter side at most 320 pixels: more than the backbone looks at."""
    scale = SHORT_SIDE / min(pixels.shape[:2])
    if scale >= 1:
        return np.ascontiguousarray(pixels)
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """The middle square of a picture, (96, 96, 3)."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = np.ascontiguousarray(pixels[top : top + side, left : left + side])
    return np.asarray(cv2.resize(square, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA), np.uint8)


_collections: OrderedDict[str, Collection] = OrderedDict()
_lock = threading.Lock()


def collection_of(session: str) -> Collection:
    """The collection of a session, made on first use. Of more than 256 the one idle for longest is dropped.

    Calls without a session share nothing: each gets one of its own that nobody keeps.
    """
    if not session:
        return Collection()
    with _lock:
        found = _collections.setdefault(session, Collection())
        _collections.move_to_end(session)
        while len(_collections) > MOST_COLLECTIONS:
            _collections.popitem(last=False)
        return found


def forget(session: str) -> None:
    """Drop all pictures of a session."""
    with _lock:
        _collections.pop(session, None)
