"""Teach it: the pictures of one lesson, and the taught head as a file.

A ``TeachSet`` lives in the memory of one visitor's session and holds what learning needs and no more: the features
that the frozen backbone gave for each picture, and a small copy to show. Nothing is written to disk. The head itself is
trained by ``train_head`` and judged by ``cross_validate``; both can be imported from here.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from cvdemo.classification.teach_head import (
    FEWEST_PICTURES,
    KINDS,
    MOST_CLASSES,
    Head,
    Kind,
    check_classes,
    check_features,
    clean_name,
    predict_head,
    train_head,
)
from cvdemo.classification.teach_validation import CrossValidation, cross_validate
from cvdemo.core.errors import InputError
from cvdemo.core.lazy import cv2

__all__ = [
    "MOST_PICTURES", "CrossValidation", "Head", "TaughtPicture", "TeachSet", "cross_validate", "export_head",
    "import_head", "make_thumbnail", "predict_head", "train_head",
]  # fmt: skip

MOST_PICTURES = 200  # of a class
THUMBNAIL_SIDE = 96
LARGEST_FILE = 2 << 20  # ten classes on 16,000 features would still fit
_FORMAT = "cvdemo-head-1"


def make_thumbnail(pixels: np.ndarray, side: int = THUMBNAIL_SIDE) -> np.ndarray:
    """A copy (h, w, 3) uint8 of a picture (H, W, 3) uint8 whose longest side is at most ``side``."""
    height, width = pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.array(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))  # never a view of the large picture


@dataclass(eq=False)
class TaughtPicture:
    """One picture of a lesson: features (D,) float32, thumbnail (h, w, 3) uint8, and the keys of its classes."""

    features: np.ndarray
    thumbnail: np.ndarray
    belongs: frozenset[int]


class TeachSet:
    """The classes and pictures of one visitor's lesson; made for one session, not for several threads.

    kind "softmax": a picture has exactly one class. kind "multi-label": it has any number of attributes, none included.
    Classes and pictures are named by keys that stay the same when others are removed or renamed.
    """

    def __init__(self, classes: Sequence[str] = (), kind: Kind = "softmax") -> None:
        if kind not in KINDS:
            raise InputError(f"There is no lesson of the kind {kind!r}.", hint=f"Choose {' or '.join(KINDS)}.")
        self.kind: Kind = kind
        self.backbone = ""
        self._last_key = 0
        self._classes: dict[int, str] = {}
        self._pictures: dict[int, TaughtPicture] = {}
        for name in classes:
            self.add_class(name)

    def __len__(self) -> int:
        return len(self._pictures)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the order they were added: the order of a head trained on this set."""
        return tuple(self._classes.values())

    def add_class(self, name: str) -> None:
        """A further class without pictures; raises InputError for the eleventh and for a name that is taken."""
        name = self._free_name(name)
        if len(self._classes) >= MOST_CLASSES:
            raise InputError(f"There are {MOST_CLASSES} classes already.", hint="Remove one first.")
        self._classes[self._next_key()] = name

    def rename(self, old: str, new: str) -> None:
        """Another name for a class; its pictures stay."""
        key = self._key(old)
        self._classes[key] = self._free_name(new, but=key)

    def remove_class(self, name: str) -> None:
        """Forget a class and its pictures; an attribute is only taken off them, as they still teach the others."""
        key = self._key(name)
        del self._classes[key]
        for number, picture in list(self._pictures.items()):
            if key in picture.belongs:
                picture.belongs -= {key}
                if self.kind == "softmax":
                    del self._pictures[number]

    def add(
        self, names: str | Sequence[str], features: np.ndarray, thumbnails: Sequence[np.ndarray], *, backbone: str = ""
    ) -> list[int]:
        """Add pictures of a class (or with several attributes): features (N, D), N small pictures (h, w, 3) uint8.

        Pictures beyond 200 of a class are left out: the returned keys, one per picture taken, tell how many were.
        Raises InputError for an unknown class, a class that was full before, or features of another backbone.
        """
        keys = frozenset(self._key(name) for name in ([names] if isinstance(names, str) else names))
        rows = check_features(features).astype(np.float32)
        if len(rows) != len(thumbnails):
            raise ValueError(f"there are {len(thumbnails)} thumbnails for {len(rows)} pictures")
        if self.kind == "softmax" and len(keys) != 1:
            raise InputError("A picture needs exactly one class.", hint="Choose one, or teach attributes instead.")
        self._check_backbone(rows.shape[1], backbone)
        counts = self._counts()
        room = min([MOST_PICTURES - counts[key] for key in keys], default=MOST_CLASSES * MOST_PICTURES - len(self))
        if len(rows) and room <= 0:
            full = next((self._classes[key] for key in keys if counts[key] >= MOST_PICTURES), "The lesson")
            raise InputError(f"{full} has {MOST_PICTURES} pictures, which is the most.", hint="Remove some first.")
        added = []
        for row, thumbnail in zip(rows[:room], thumbnails):
            number = self._next_key()
            self._pictures[number] = TaughtPicture(row.copy(), make_thumbnail(thumbnail), keys)
            added.append(number)
        if added:
            self.backbone = backbone
        return added

    def tag(self, key: int, name: str, on: bool = True) -> None:
        """Give a picture an attribute or take it away; with "softmax", move it to the class."""
        picture, attribute = self._picture(key), self._key(name)
        if self.kind == "softmax":
            if not on:
                raise InputError("A picture needs a class.", hint="Move it to another class, or remove it.")
            changed = frozenset([attribute])
        else:
            changed = picture.belongs | {attribute} if on else picture.belongs - {attribute}
        if attribute in changed - picture.belongs and self._counts()[attribute] >= MOST_PICTURES:
            raise InputError(f"{self._classes[attribute]} has {MOST_PICTURES} pictures.", hint="Remove some first.")
        picture.belongs = changed

    def remove(self, key: int) -> None:
        """Forget one picture; raises InputError for a key that is not there."""
        self._picture(key)
        del self._pictures[key]

    def clear(self) -> None:
        """Forget all pictures; the classes stay."""
        self._pictures.clear()
        self.backbone = ""

    def counts(self) -> dict[str, int]:
        """Pictures per class name."""
        counts = self._counts()
        return {name: counts[key] for key, name in self._classes.items()}

    def thumbnails(self, name: str | None = None) -> list[tuple[int, np.ndarray]]:
        """(key, thumbnail) of the pictures of a class, or of all, in the order they were added."""
        key = None if name is None else self._key(name)
        pictures = list(self._pictures.items())
        return [(number, p.thumbnail) for number, p in pictures if key is None or key in p.belongs]

    def names_of(self, key: int) -> tuple[str, ...]:
        """The classes of one picture."""
        belongs = self._picture(key).belongs
        return tuple(name for number, name in self._classes.items() if number in belongs)

    def missing(self) -> str:
        """What a head still needs, as one sentence; "" when it can be trained."""
        fewest, noun = (2, "class") if self.kind == "softmax" else (1, "attribute")
        if len(self._classes) < fewest:
            return f"Add at least {'two classes' if fewest == 2 else 'one attribute'}."
        needs = []
        for name, count in self.counts().items():
            if count < FEWEST_PICTURES:
                needs.append(f"{FEWEST_PICTURES - count} to {name}")
            elif self.kind == "multi-label" and len(self) - count < FEWEST_PICTURES:
                needs.append(f"{FEWEST_PICTURES - len(self) + count} without {name}")
        return f"Each {noun} needs {FEWEST_PICTURES} pictures: add {', '.join(needs)}." if needs else ""

    def training_data(self) -> tuple[np.ndarray, np.ndarray]:
        """Features (N, D) float32 and labels: (N,) class indexes, or (N, C) zeros and ones for "multi-label"."""
        pictures, keys = list(self._pictures.values()), list(self._classes)
        if not pictures:
            raise InputError("There are no pictures yet.", hint="Add some to each class.")
        features = np.stack([picture.features for picture in pictures])
        table = np.array([[key in picture.belongs for key in keys] for picture in pictures], np.int64)
        return features, table.argmax(1) if self.kind == "softmax" else table

    def nbytes(self) -> int:
        """Bytes of features and thumbnails."""
        return sum(picture.features.nbytes + picture.thumbnail.nbytes for picture in self._pictures.values())

    def _next_key(self) -> int:
        self._last_key += 1
        return self._last_key

    def _counts(self) -> dict[int, int]:
        pictures = list(self._pictures.values())
        return {key: sum(key in picture.belongs for picture in pictures) for key in self._classes}

    def _key(self, name: str) -> int:
        for key, known in self._classes.items():
            if known.casefold() == clean_name(name).casefold():
                return key
        raise InputError(f"There is no class called {clean_name(name)}.", hint="Add it first.")

    def _picture(self, key: int) -> TaughtPicture:
        if key not in self._pictures:
            raise InputError("That picture is not in the lesson any more.", hint="Choose another.")
        return self._pictures[key]

    def _free_name(self, name: str, but: int = 0) -> str:
        name = clean_name(name)
        if any(name.casefold() == known.casefold() for key, known in self._classes.items() if key != but):
            raise InputError(f"There is a class called {name} already.", hint="Choose another name.")
        return name

    def _check_backbone(self, size: int, backbone: str) -> None:
        for picture in list(self._pictures.values())[:1]:
            if backbone != self.backbone or size != len(picture.features):
                raise InputError(
                    f"The lesson's pictures were read by {self.backbone or 'another network'}.",
                    hint="Choose that network again, or clear the lesson.",
                )


def export_head(head: Head) -> bytes:
    """The head as a safetensors file: weight, bias, mean, std in float32; names, kind and backbone as metadata."""
    tensors = {"weight": head.weight, "bias": head.bias, "mean": head.mean, "std": head.std}
    metadata = {
        "format": _FORMAT,
        "classes": json.dumps(head.classes, ensure_ascii=False),
        "kind": head.kind,
        "backbone": head.backbone,
        "feature_size": str(head.feature_size),
    }
    return save({name: np.ascontiguousarray(t, np.float32) for name, t in tensors.items()}, metadata)


def import_head(data: bytes) -> Head:
    """A head that ``export_head`` wrote (without its training history).

    Raises InputError for anything else: other files, damaged ones, names that cannot be shown, numbers that are not
    finite. The file holds no code and is never executed.
    """
    if len(data) > LARGEST_FILE:
        raise _refuse(f"it has {len(data) / 1e6:.0f} MB")
    try:
        metadata = _metadata(data)
        if metadata.get("format") != _FORMAT:
            raise _refuse("it is not a head")
        classes = json.loads(metadata["classes"])
        kind, backbone, size = metadata["kind"], metadata["backbone"], int(metadata["feature_size"])
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError, struct.error, OverflowError) as error:
        raise _refuse("it is damaged or of another format") from error
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise _refuse("its class names are not a list of texts")
    names = check_classes(classes, kind)
    known: Kind = "softmax" if kind == "softmax" else "multi-label"
    shapes = {"weight": (len(names), size), "bias": (len(names),), "mean": (size,), "std": (size,)}
    if {name: tensor.shape for name, tensor in tensors.items()} != shapes or size < 1:
        raise _refuse("its numbers do not fit its classes")
    if any(tensor.dtype != np.float32 or not np.isfinite(tensor).all() for tensor in tensors.values()):
        raise _refuse("it holds numbers that are not finite 32-bit floats")
    if (tensors["std"] <= 0).any():
        raise _refuse("it holds a spread that is not positive")
    if backbone:
        backbone = clean_name(backbone)
    own = {name: np.array(tensor) for name, tensor in tensors.items()}  # what was read may be a view of the file
    return Head(own["weight"], own["bias"], own["mean"], own["std"], names, known, backbone)


def _metadata(data: bytes) -> dict[str, str]:
    """The metadata of a safetensors file: 8 bytes of length (little-endian), then a JSON header of that length."""
    (length,) = struct.unpack_from("<Q", data)
    header: Any = json.loads(data[8 : 8 + length].decode("utf-8"))
    metadata = header["__metadata__"]
    if not isinstance(metadata, dict):
        raise TypeError("the metadata is not a table")
    return {str(key): str(value) for key, value in metadata.items()}


def _refuse(why: str) -> InputError:
    return InputError(f"This file cannot be used as a head: {why}.", hint="Choose one that was exported here.")
