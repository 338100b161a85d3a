"""Faces and looks made up for the tests of the Faces tab: no network is needed."""

from __future__ import annotations

import numpy as np

from cvdemo.core.errors import WeightsError
from cvdemo.core.media import Picture
from cvdemo.faces.embedder import unit
from cvdemo.faces.predict import FacesInference, FoundFaces
from cvdemo.faces.result import Faces
from cvdemo.faces.tab_shared import Look

MODEL = "compact-faces"
FRONT = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)


def faces_of(sides=(80, 40), scores=None, height=200, width=300) -> Faces:
    """Square faces of these sides in a row, each seen from the front."""
    boxes, landmarks, left = [], [], 4.0
    for side in sides:
        boxes.append([left, 10, left + side, 10 + side])
        landmarks.append(FRONT * side + np.float32([left, 10]))
        left += side + 4
    count = len(sides)
    return Faces(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores if scores is not None else [0.9] * count, np.float32),
        np.array(landmarks, np.float32).reshape(-1, 5, 2),
        height=height,
        width=width,
        model="finder",
    )


def look_of(vectors, sides=None, name="a.png", missing=False, scores=None, model=MODEL) -> Look:
    """A look at a picture whose faces have these embeddings (N, D)."""
    rows = (
        unit(np.array(vectors, np.float32).reshape(len(vectors), -1)) if len(vectors) else np.zeros((0, 3), np.float32)
    )
    sides = (80,) * len(rows) if sides is None else sides
    width = int(sum(sides)) + 4 * len(sides) + 20
    faces = faces_of(sides, scores, 200, width)
    rng = np.random.default_rng(len(rows))
    pixels = rng.integers(0, 256, (200, width, 3), np.uint8)
    crops = rng.integers(0, 256, (len(rows), 112, 112, 3), np.uint8)
    found = FoundFaces(faces, crops, {"find: load": 900.0, "find: network": 2.0, "align": 1.0}, "cpu", "float32")
    picture = Picture(pixels, name)
    if missing:
        trouble = WeightsError("The weights file is not on this machine.", hint="Put it there.")
        return Look(picture, pixels, 1.0, found, None, trouble)
    stages = {**found.stages, "embed: network": 3.0}
    return Look(picture, pixels, 1.0, found, FacesInference(faces, crops, rows, stages, "cpu", "float32", model))
