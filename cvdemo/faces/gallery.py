"""A gallery of enrolled people: in memory, one a session, never written unless its owner asks for a file.

Recognition is open-set: whoever is not similar enough to anybody enrolled is "unknown", not the nearest name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.core.files import written_whole
from cvdemo.core.settings import Settings, setting
from cvdemo.faces.embedder import DEFAULT_THRESHOLD, unit

MOST_PEOPLE, MOST_PICTURES, LONGEST_NAME = 100, 30, 60
RULES = ("mean", "nearest")
NOTICE = (
    "This file holds measurements of the faces of the people named in it. Keep it only with their consent, and delete "
    "it when it is no longer needed."
)


@dataclass(frozen=True)
class GallerySettings(Settings):
    """Everything that acts on embeddings already computed."""

    threshold: float = setting(
        DEFAULT_THRESHOLD, label="Threshold", minimum=-1.0, maximum=1.0, step=0.01,
        help="Whoever is less similar than this to everybody enrolled is unknown. Lower accepts more strangers.",
    )  # fmt: skip
    rule: str = setting(
        "mean", label="Compare with", choices=RULES,
        help="A person's mean embedding, or the nearest of the person's pictures.",
    )  # fmt: skip


@dataclass(frozen=True)
class Match:
    """Who a face may be.

    ranked: (name, cosine similarity) of everybody enrolled, most similar first.   name: the first of them, or None
    when even that one is less similar than ``threshold``, or nobody is enrolled.
    """

    ranked: tuple[tuple[str, float], ...]
    name: str | None
    threshold: float

    @property
    def similarity(self) -> float:
        """That of the most similar person; -1 when nobody is enrolled."""
        return self.ranked[0][1] if self.ranked else -1.0

    @property
    def lead(self) -> float:
        """How much more similar the first is than the second; infinity when there is no second."""
        return self.ranked[0][1] - self.ranked[1][1] if len(self.ranked) > 1 else math.inf

    def to_dict(self, most: int = 5) -> dict[str, Any]:
        """JSON-ready: the name or None, and the ``most`` most similar people of this gallery."""
        rows = [{"name": name, "similarity": round(value, 4)} for name, value in self.ranked[:most]]
        return {"name": self.name, "threshold": self.threshold, "ranked": rows}

    def sentence(self) -> str:
        """ "Ann (similarity 0.71)." or "Unknown; the most similar is Ann (0.21, threshold 0.40)."."""
        if not self.ranked:
            return "Unknown: nobody is enrolled."
        first, value = self.ranked[0]
        if self.name is None:
            return f"Unknown; the most similar is {first} ({value:.2f}, threshold {self.threshold:.2f})."
        return f"{first} (similarity {value:.2f})."


def tidy(name: str) -> str:
    """A name as a gallery keeps it, without spaces too many; InputError for an empty or over-long one."""
    called = " ".join(name.split())
    if not called or len(called) > LONGEST_NAME or not called.isprintable():
        raise InputError("A person needs a name.", hint=f"Use 1 to {LONGEST_NAME} letters.")
    return called


class Gallery:
    """People and the embeddings of their pictures, all of one model."""

    def __init__(self, model: str) -> None:
        self.model = model
        self._people: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._people)

    def __iter__(self) -> Iterator[str]:
        return iter(self._people)

    @property
    def names(self) -> tuple[str, ...]:
        """Everybody enrolled, in order of enrolment."""
        return tuple(self._people)

    def count(self, name: str) -> int:
        """How many pictures of a person are enrolled; 0 for a stranger."""
        return len(self._people.get(name, ()))

    def enrol(self, name: str, embeddings: np.ndarray, model: str | None = None) -> None:
        """Add pictures of a person, new or known: (K, D) or (D,) embeddings of unit length.

        InputError for an empty or over-long name, embeddings of another model, and more than 100 people or 30
        pictures of one person; then nothing is changed.
        """
        called = tidy(name)
        if model is not None and model != self.model:
            raise InputError(f"The gallery was made with {self.model}, not {model}.", hint="Start a new gallery.")
        rows = unit(np.atleast_2d(np.asarray(embeddings, np.float32)))
        if not len(rows) or not np.isfinite(rows).all() or (np.linalg.norm(rows, axis=1) < 0.5).any():
            raise InputError(f"There is no face of {called} to enrol.", hint="Use a picture that shows the face.")
        known = self._people.get(called)
        if known is None and len(self) >= MOST_PEOPLE:
            raise InputError(f"A gallery holds at most {MOST_PEOPLE} people.", hint="Remove somebody first.")
        if any(rows.shape[1] != other.shape[1] for other in self._people.values()):
            raise InputError("The embeddings do not have the gallery's length.", hint="Start a new gallery.")
        together = rows if known is None else np.concatenate([known, rows])
        if len(together) > MOST_PICTURES:
            raise InputError(f"At most {MOST_PICTURES} pictures of a person are kept.", hint="A few good ones do.")
        self._people[called] = together

    def remove(self, name: str) -> None:
        """Forget a person and all embeddings; InputError for a stranger."""
        if self._people.pop(name, None) is None:
            raise InputError(f"Nobody named {name} is enrolled.", hint="Choose a name from the gallery.")

    def remove_picture(self, name: str, index: int) -> None:
        """Forget one picture of a person, counted from 0 in order of enrolment, and the person with the last one.

        InputError for a stranger or a picture that is not there.
        """
        rows = self._people.get(name, np.zeros((0, 0), np.float32))
        if not 0 <= index < len(rows):
            raise InputError(f"There is no such picture of {name}.", hint="Choose one that is shown.")
        if len(rows) == 1:
            self.remove(name)
        else:
            self._people[name] = np.delete(rows, index, axis=0)

    def clear(self) -> None:
        """Forget everybody."""
        self._people.clear()

    def embeddings(self) -> tuple[np.ndarray, list[str]]:
        """All enrolled pictures (M, D) and whose each is, person by person: what the embedding map draws."""
        if not self._people:
            return np.zeros((0, 0), np.float32), []
        owners = [name for name, rows in self._people.items() for _ in rows]
        return np.concatenate(list(self._people.values())), owners

    def means(self) -> np.ndarray:
        """(P, D) each person's mean embedding, of unit length, in the order of ``names``."""
        return unit(np.stack([rows.mean(0) for rows in self._people.values()])) if self._people else np.zeros((0, 0))

    def similarity_matrix(self) -> np.ndarray:
        """(P, P) cosine similarities of the people's mean embeddings; ones on the diagonal."""
        means = self.means()
        return np.clip(means @ means.T, -1, 1)

    def picture_matrix(self) -> tuple[np.ndarray, list[str]]:
        """(M, M) cosine similarities of all enrolled pictures, and whose each is."""
        rows, owners = self.embeddings()
        return np.clip(rows @ rows.T, -1, 1), owners

    def search(self, embedding: np.ndarray, settings: GallerySettings | None = None) -> Match:
        """Who the face with this embedding (D,) may be; no network is touched."""
        return self.search_all(np.asarray(embedding)[None], settings)[0]

    def search_all(self, embeddings: np.ndarray, settings: GallerySettings | None = None) -> list[Match]:
        """``search`` for each of (N, D) embeddings, one after another: two faces may get the same name."""
        chosen = settings or GallerySettings()
        names = self.names
        if not names:
            return [Match((), None, chosen.threshold) for _ in embeddings]
        if chosen.rule == "mean":
            table = np.asarray(embeddings) @ self.means().T
        else:
            table = np.stack([(np.asarray(embeddings) @ rows.T).max(1) for rows in self._people.values()], 1)
        matches = []
        for row in np.clip(table, -1, 1):
            ranked = tuple((names[i], float(row[i])) for i in np.argsort(-row, kind="stable"))
            matches.append(Match(ranked, ranked[0][0] if ranked[0][1] >= chosen.threshold else None, chosen.threshold))
        return matches

    def genuine_and_impostor(self) -> tuple[np.ndarray, np.ndarray]:
        """Similarities of all pairs of enrolled pictures (K,) and whether they show one person: input of ``roc``."""
        table, owners = self.picture_matrix()
        rows, columns = np.triu_indices(len(owners), 1)
        who = np.array(owners)
        return table[rows, columns], who[rows] == who[columns] if len(who) else np.zeros(0, bool)

    def save(self, path: Path) -> None:
        """Write names and embeddings as JSON, with a notice; only where the owner says. CvDemoError when it fails."""
        people = {name: [[round(v, 6) for v in row] for row in rows.tolist()] for name, rows in self._people.items()}
        with written_whole(path) as target:
            target.write_text(json.dumps({"notice": NOTICE, "model": self.model, "people": people}), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Gallery:
        """Read what ``save`` wrote; InputError for anything else."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            gallery = cls(str(data["model"]))
            people: Iterable[tuple[str, Any]] = data["people"].items()
            for name, rows in people:
                gallery.enrol(name, np.array(rows, np.float32))
        except OSError as error:
            raise InputError(f"{path.name} cannot be read: {error.strerror}.", hint="Enrol somebody first.") from error
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise InputError(f"{path.name} is not a gallery.", hint="Use a file that `faces enrol` wrote.") from error
        return gallery
