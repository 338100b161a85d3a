"""What the face embedder learns from: packs of aligned faces, whose they are, and the batches drawn from them.

A pack is a folder: ``faces.rgb`` (N aligned faces, 112x112 RGB bytes), ``teacher.npy`` (N, 128) float16 and
``people.json`` (names, and each face's index into them or -1). ``cvdemo.faces.embed_label`` writes them.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.core.lazy import cv2
from cvdemo.faces.embedder import unit
from cvdemo.faces.nets.compact_embedder import DIMENSIONS, SIZE
from cvdemo.faces.training_data import jitter_colour

FACE_BYTES = SIZE * SIZE * 3
MIDDLE_GREY = 114
PERSON_LIKE = 0.5  # cosine of two people's mean teacher embeddings above which they count as one


@dataclass(frozen=True, eq=False)
class Pack:
    """Aligned faces.

    faces: (N, 112, 112, 3) uint8 RGB, or (0, …) in a pack kept without pixels.   teacher: (N, 128) float32 of unit
    length.   person: (N,) indices into ``names``, -1 for nobody known.
    """

    faces: np.ndarray
    teacher: np.ndarray
    person: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.person)


def save_pack(
    folder: Path, faces: np.ndarray, teacher: np.ndarray, person: Sequence[int], names: Sequence[str]
) -> None:
    """Write a pack; ``faces`` may be empty to keep the embeddings alone."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "faces.rgb").write_bytes(np.ascontiguousarray(faces, np.uint8).tobytes())
    np.save(folder / "teacher.npy", np.asarray(teacher, np.float16).reshape(-1, DIMENSIONS))
    (folder / "people.json").write_text(json.dumps({"names": list(names), "person": [int(p) for p in person]}))


def load_pack(folder: Path) -> Pack:
    """Read a pack without loading its pixels into memory; InputError when it is not one."""
    try:
        people = json.loads((folder / "people.json").read_text())
        teacher = unit(np.load(folder / "teacher.npy").astype(np.float32))
        size = (folder / "faces.rgb").stat().st_size
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} is no pack of faces.", hint="Write one with cvdemo.faces.embed_label.") from error
    person = np.array(people["person"], np.int64)
    if len(person) != len(teacher) or size not in (0, len(person) * FACE_BYTES):
        raise InputError(f"The files in {folder} do not belong together.", hint="Write the pack again.")
    empty = np.zeros((0, SIZE, SIZE, 3), np.uint8)
    faces = np.memmap(folder / "faces.rgb", np.uint8, "r").reshape(-1, SIZE, SIZE, 3) if size else empty
    return Pack(faces, teacher, person, tuple(people["names"]))


def plain_name(name: str) -> str:
    """A person's name without what files differ in: case, accents, spaces, underscores, dots, hyphens.

    "Robert_Downey Jr." and "robert downey jr" are one; word order is kept.
    """
    letters = unicodedata.normalize("NFKD", name).casefold()
    return "".join(c for c in letters if c.isalnum())


def shared_names(names: Iterable[str], others: Iterable[str]) -> list[str]:
    """Those of ``names`` that ``others`` holds as well, as they are written in ``names`` and in their order.

    Whoever is in the test set must not be learned from: names are compared by ``plain_name``. Names without a letter
    (numbers given to anonymous people) are never shared, for equal numbers mean nothing.
    """
    known = {plain_name(name) for name in others}
    return [n for n in names if plain_name(n) in known and any(c.isalpha() for c in n)]


def person_means(pack: Pack) -> tuple[list[int], np.ndarray]:
    """The people who have faces in a pack (indices into its names), and their mean teacher embeddings, unit length."""
    present = sorted(set(pack.person[pack.person >= 0].tolist()))
    means = [pack.teacher[pack.person == p].mean(0) for p in present]
    return present, unit(np.stack(means)) if means else np.zeros((0, DIMENSIONS), np.float32)


def people_alike(pack: Pack, others: Pack, similarity: float = PERSON_LIKE) -> list[int]:
    """People of ``pack`` whose mean embedding is at least that similar to somebody's of ``others``.

    For data sets that number their people instead of naming them, where names cannot say who is in the test set. As in
    ArcFace's cleaning of its training set, section 4.1, arXiv:1801.07698.
    """
    mine, means = person_means(pack)
    _, theirs = person_means(others)
    if not len(means) or not len(theirs):
        return []
    return [p for p, best in zip(mine, (means @ theirs.T).max(1)) if best >= similarity]


@dataclass(frozen=True, eq=False)
class Example:
    """One face of one pack: pixels (112, 112, 3), teacher's embedding (128,), class or -1."""

    pixels: np.ndarray
    teacher: np.ndarray
    label: int


def join(packs: Sequence[Pack], without: Sequence[Sequence[int]] = (), least: int = 2) -> tuple[list[Example], int]:
    """All faces of several packs, with people numbered through: (examples, number of people).

    without: for each pack, the people to leave out with all their faces.   least: people with fewer faces keep their
    faces but get no number, for there is nothing to tell them by.
    """
    examples: list[Example] = []
    classes = 0
    for index, pack in enumerate(packs):
        left_out = set(without[index]) if without else set()
        counts = np.bincount(pack.person[pack.person >= 0], minlength=len(pack.names))
        number: dict[int, int] = {}
        for p, count in enumerate(counts.tolist()):
            if p not in left_out and count >= least:
                number[p] = classes
                classes += 1
        examples += [
            Example(pack.faces[row], pack.teacher[row], number.get(p, -1))
            for row, p in enumerate(pack.person.tolist())
            if p not in left_out
        ]
    return examples, classes


def distort(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One face as another camera might have seen it, (112, 112, 3) uint8 twice.

    Mirrored, aligned a little wrongly, in other colours or grey, blurred, of low resolution, compressed, half hidden:
    each at random. The teacher's embedding of the clean face stays the target.
    """
    if rng.random() < 0.5:
        face = face[:, ::-1]
    if rng.random() < 0.8:
        turn, scale = math.radians(rng.normal(0, 4)), math.exp(rng.normal(0, 0.04))
        linear = scale * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        middle = np.full(2, (SIZE - 1) / 2)
        shift = middle - linear @ middle + rng.normal(0, 1.5, 2)
        matrix = np.concatenate([linear, shift[:, None]], 1)
        face = cv2.warpAffine(np.ascontiguousarray(face), matrix, (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE)
    if rng.random() < 0.8:
        face = jitter_colour(np.ascontiguousarray(face), rng)
    if rng.random() < 0.15:
        face = np.repeat(cv2.cvtColor(np.ascontiguousarray(face), cv2.COLOR_RGB2GRAY)[:, :, None], 3, 2)
    if rng.random() < 0.2:
        side = int(rng.integers(20, 80))
        small = cv2.resize(np.ascontiguousarray(face), (side, side), interpolation=cv2.INTER_AREA)
        face = cv2.resize(small, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.15:
        face = cv2.GaussianBlur(np.ascontiguousarray(face), (0, 0), rng.uniform(0.5, 2.0))
    if rng.random() < 0.15:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 75))]
        _, packed = cv2.imencode(".jpg", np.ascontiguousarray(face), quality)
        face = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))
    if rng.random() < 0.1:
        face = face.copy()
        height, width = rng.integers(15, 45, 2)
        y, x = rng.integers(0, SIZE - height), rng.integers(0, SIZE - width)
        face[y : y + height, x : x + width] = MIDDLE_GREY
    return np.ascontiguousarray(face)


class FaceBatches:
    """Draws batches: a share of faces of known people, every person as often as any other, the rest from all faces."""

    def __init__(self, examples: Sequence[Example], seed: int, known_share: float = 0.5) -> None:
        if not examples:
            raise InputError("There are no faces to learn from.", hint="Check the packs given with --pack.")
        self.examples, self.known_share = examples, known_share
        self.rng = np.random.default_rng(seed)
        rows: dict[int, list[int]] = {}
        for row, example in enumerate(examples):
            if example.label >= 0:
                rows.setdefault(example.label, []).append(row)
        self._people = [rows[label] for label in sorted(rows)]

    def _draw(self, known: bool) -> int:
        if known and self._people:
            mine = self._people[int(self.rng.integers(len(self._people)))]
            return mine[int(self.rng.integers(len(mine)))]
        return int(self.rng.integers(len(self.examples)))

    def batch(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Faces (count, 112, 112, 3) uint8, teacher (count, 128) float32, labels (count,) int64, -1 for nobody."""
        known = round(count * self.known_share)
        chosen = [self.examples[self._draw(index < known)] for index in range(count)]
        faces = np.stack([distort(example.pixels, self.rng) for example in chosen])
        return faces, np.stack([e.teacher for e in chosen]), np.array([e.label for e in chosen], np.int64)
