"""Comparing faces: ``infer`` finds, aligns and embeds them once; ``compare`` does everything a slider can change."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from cvdemo.core.engine import Engine
from cvdemo.core.errors import InputError
from cvdemo.core.inputs import pixels_of
from cvdemo.core.media import Picture
from cvdemo.core.settings import Settings, setting
from cvdemo.faces import detector
from cvdemo.faces.align import align_all
from cvdemo.faces.detector import decode_faces, infer_faces
from cvdemo.faces.embedder import DEFAULT_THRESHOLD, EMBEDDER, embed, unit
from cvdemo.faces.result import Faces

TASK = "faces"
DEFAULT_MODEL = EMBEDDER
LEAST_SCORE = 0.2
MOST_FACES = 50
CLOSE_CALL = 0.05  # cosine similarity: verdicts this near to the threshold say so
WHICH = ("largest", "surest", "central")
MEASURES = ("cosine", "euclidean")


@dataclass(frozen=True)
class FaceMatchSettings(Settings):
    """Everything that acts on faces already found and embedded."""

    threshold: float = setting(
        DEFAULT_THRESHOLD, label="Threshold", minimum=-1.0, maximum=1.0, step=0.01,
        help="Faces at least this similar (cosine of the angle between their embeddings) count as the same person. "
        "Lower accepts more strangers, higher refuses more of the same person.",
    )  # fmt: skip
    measure: str = setting(
        "cosine", label="Measure", choices=MEASURES,
        help="Cosine similarity, or the Euclidean distance of unit vectors: two scales of one verdict.",
    )  # fmt: skip
    which: str = setting(
        "largest", label="Which face", choices=WHICH,
        help="Which face stands for a picture that shows several: the largest, the surest or the most central.",
    )  # fmt: skip
    face_score: float = setting(
        0.35, label="Face score", minimum=LEAST_SCORE, maximum=1.0, step=0.01, advanced=True,
        help="Only faces the detector is surer of than this are considered.",
    )  # fmt: skip
    min_size: float = setting(
        0.0, label="Smallest face", minimum=0.0, maximum=500.0, step=1.0, advanced=True,
        help="Faces with a side shorter than this many pixels are left out; small faces are easily confused.",
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class FoundFaces:
    """The faces of one picture, surest first, each aligned: crops (N, 112, 112, 3) uint8 RGB."""

    faces: Faces
    crops: np.ndarray
    stages: Mapping[str, float]
    device: str
    precision: str


@dataclass(frozen=True, eq=False)
class FacesInference:
    """The faces of one picture, surest first, each aligned and embedded.

    faces: N faces with scores above 0.2.   crops: (N, 112, 112, 3) uint8 RGB, aligned.
    embeddings: (N, 128) float32 of unit length.   stages: milliseconds of each stage, in order.
    """

    faces: Faces
    crops: np.ndarray
    embeddings: np.ndarray
    stages: Mapping[str, float]
    device: str
    precision: str
    model: str

    def __len__(self) -> int:
        return len(self.faces)

    def to_dict(self, image_name: str = "") -> dict[str, Any]:
        """``Faces.to_dict`` of the faces; no embedding leaves the program this way."""
        return self.faces.to_dict(image_name) | {"model": self.model}

    def sentence(self) -> str:
        """As ``Faces.sentence``."""
        return self.faces.sentence()


@dataclass(frozen=True)
class Comparison:
    """What two faces have in common.

    similarity: cosine in [-1, 1].   distance: Euclidean, of unit vectors, in [0, 2].   same: the verdict at
    ``threshold`` (a similarity).   face_a, face_b: which faces of the two pictures were compared.
    box_a, box_b: their boxes, x1 y1 x2 y2.   found_a, found_b: how many faces each picture shows.
    """

    similarity: float
    distance: float
    same: bool
    threshold: float
    measure: str
    face_a: int
    face_b: int
    box_a: tuple[float, ...]
    box_b: tuple[float, ...]
    found_a: int
    found_b: int
    model: str

    @property
    def close_call(self) -> bool:
        """Whether the similarity lies within 0.05 of the threshold."""
        return abs(self.similarity - self.threshold) < CLOSE_CALL

    def to_dict(self, name_a: str = "", name_b: str = "") -> dict[str, Any]:
        """JSON-ready; tells about the two pictures given and of nothing else."""
        rows = ((name_a, self.found_a, self.box_a), (name_b, self.found_b, self.box_b))
        pictures = [{"name": n, "faces": found, "box": [round(v, 1) for v in box]} for n, found, box in rows]
        return {
            "model": self.model, "pictures": pictures, "similarity": round(self.similarity, 4),
            "distance": round(self.distance, 4), "threshold": round(self.threshold, 4),
            "distance_threshold": round(distance_of(self.threshold), 4), "same": self.same,
        }  # fmt: skip

    def sentence(self) -> str:
        """Such as "Same person: similarity 0.62 (threshold 0.40)."; says so when it is a close call."""
        verdict = "Same person" if self.same else "Different people"
        if self.measure == "euclidean":
            figures = f"distance {self.distance:.2f} (threshold {distance_of(self.threshold):.2f})"
        else:
            figures = f"similarity {self.similarity:.2f} (threshold {self.threshold:.2f})"
        return f"{verdict}: {figures}{', a close call' if self.close_call else ''}."


def infer(
    picture: Picture | np.ndarray,
    model: str = DEFAULT_MODEL,
    engine: Engine | None = None,
    *,
    finder: str = detector.DEFAULT_MODEL,
    mirror: bool = False,
    user: str = "",
    cancel: threading.Event | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> FacesInference:
    """Find, align and embed the faces of one picture ((H, W, 3) uint8 RGB or ``Picture``).

    mirror: embed each face mirrored as well and add the two, which doubles the time and errs a little less.
    Errors as in ``Engine.run``; a picture without faces is no error here.
    """
    found = find(picture, finder, engine, user=user, cancel=cancel, progress=progress)
    return recognise(found, model, engine, mirror=mirror, user=user, cancel=cancel, progress=progress)


def find(
    picture: Picture | np.ndarray,
    finder: str = detector.DEFAULT_MODEL,
    engine: Engine | None = None,
    *,
    user: str = "",
    cancel: threading.Event | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> FoundFaces:
    """The first half of ``infer``, which does not need the embedder: find and align the faces of one picture."""
    ran = infer_faces(picture, finder, engine, user=user, cancel=cancel, progress=progress)
    chosen = detector.FaceDetectionSettings(score_threshold=LEAST_SCORE, max_faces=MOST_FACES)
    faces = decode_faces(ran, chosen)
    started = perf_counter()
    crops = align_all(pixels_of(picture), faces)
    stages = {f"find: {name}": ms for name, ms in ran.stages.items()} | {"align": (perf_counter() - started) * 1e3}
    return FoundFaces(faces, crops, stages, ran.device, ran.precision)


def recognise(
    found: FoundFaces,
    model: str = DEFAULT_MODEL,
    engine: Engine | None = None,
    *,
    mirror: bool = False,
    user: str = "",
    cancel: threading.Event | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> FacesInference:
    """The second half of ``infer``: embed the faces that ``find`` found."""
    crops = found.crops
    both = np.concatenate([crops, crops[:, :, ::-1]]) if mirror else crops
    ran = embed(both, model, engine, user=user, cancel=cancel, progress=progress)
    vectors = unit(ran.output[: len(crops)] + ran.output[len(crops) :]) if mirror else ran.output
    stages = {**found.stages} | {f"embed: {name}": ms for name, ms in ran.stages.items()}
    return FacesInference(found.faces, crops, vectors, stages, ran.device, ran.precision, ran.model)


def considered(inference: FacesInference | Faces, settings: FaceMatchSettings) -> np.ndarray:
    """Indices of the faces that are sure and large enough, surest first."""
    faces = inference if isinstance(inference, Faces) else inference.faces
    return np.flatnonzero((faces.scores > settings.face_score) & (faces.sides() >= settings.min_size))


def face_of(inference: FacesInference | Faces, settings: FaceMatchSettings | None = None) -> int | None:
    """The index of the face that stands for the picture; None when none is considered.

    "central" looks only at faces at least half as large as the largest: a tiny face in the middle of the background
    is not whom the picture shows.
    """
    chosen = settings or FaceMatchSettings()
    faces = inference if isinstance(inference, Faces) else inference.faces
    rows = considered(faces, chosen)
    if not len(rows):
        return None
    sides = faces.sides()[rows]
    if chosen.which == "surest":
        return int(rows[np.argmax(faces.scores[rows])])
    if chosen.which == "largest":
        return int(rows[np.argmax(sides)])
    middle = (faces.boxes[rows, :2] + faces.boxes[rows, 2:]) / 2
    away = np.linalg.norm(middle - np.array([faces.width, faces.height]) / 2, axis=1)
    return int(rows[np.argmin(np.where(sides >= sides.max() / 2, away, np.inf))])


def distance_of(similarity: float) -> float:
    """The Euclidean distance of unit vectors whose cosine is ``similarity``: |a - b|^2 = 2 - 2 cos."""
    return float(np.sqrt(max(0.0, 2 - 2 * similarity)))


def similarity_of(distance: float) -> float:
    """The cosine of unit vectors ``distance`` apart: the inverse of ``distance_of``."""
    return 1 - distance**2 / 2


def similarities(a: FacesInference, b: FacesInference) -> np.ndarray:
    """(Na, Nb) float32: the cosine similarity of every face of one picture with every face of the other."""
    return np.clip(a.embeddings @ b.embeddings.T, -1, 1)


def compare(
    a: FacesInference,
    b: FacesInference,
    settings: FaceMatchSettings | None = None,
    face_a: int | None = None,
    face_b: int | None = None,
) -> Comparison:
    """Compare one face of each of two pictures; no network is touched.

    face_a, face_b: indices of the faces; None for the one ``settings.which`` names.
    Raises InputError when a picture shows no face, or two embeddings come from different models.
    """
    chosen = settings or FaceMatchSettings()
    if a.model != b.model:
        raise InputError(
            f"The faces were embedded by {a.model} and {b.model}, which cannot be compared.",
            hint="Use one model for both pictures.",
        )
    row_a, row_b = _face(a, face_a, chosen, "first"), _face(b, face_b, chosen, "second")
    u, v = a.embeddings[row_a].astype(np.float64), b.embeddings[row_b].astype(np.float64)
    similarity = float(np.clip(u @ v, -1, 1))
    return Comparison(
        similarity=similarity,
        distance=float(np.linalg.norm(u - v)),
        same=similarity >= chosen.threshold,
        threshold=chosen.threshold,
        measure=chosen.measure,
        face_a=row_a,
        face_b=row_b,
        box_a=tuple(a.faces.boxes[row_a].tolist()),
        box_b=tuple(b.faces.boxes[row_b].tolist()),
        found_a=len(considered(a, chosen)),
        found_b=len(considered(b, chosen)),
        model=a.model,
    )


def _face(inference: FacesInference, index: int | None, settings: FaceMatchSettings, which: str) -> int:
    if index is not None:
        if not 0 <= index < len(inference):
            raise InputError(
                f"The {which} picture has no face number {index + 1}.", hint="Choose a face that is shown."
            )
        return index
    row = face_of(inference, settings)
    if row is None:
        raise InputError(
            f"No face was found in the {which} picture.",
            hint="Use a picture in which the face is seen from the front, lit well and at least 30 pixels wide, or "
            "lower the face score.",
        )
    return row
