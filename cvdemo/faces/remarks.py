"""What speaks against trusting the embedding of a face, in sentences: too small, seen from the side, hardly a face."""

from __future__ import annotations

import numpy as np

from cvdemo.faces.result import Faces

SMALL = 36.0  # pixels: the aligned crop has 112, so such a face was enlarged three times
SIDEWAYS = 0.4  # how far the nose may lie from the middle of the eyes, in eye distances, before it counts as a profile
DOUBTFUL = 0.5
NO_FACE = "No face was found"
ADVICE = "Use a picture in which a face is seen from the front, lit well and at least 40 pixels wide."


def turned(landmarks: np.ndarray) -> float:
    """How far a head is turned: the nose tip's distance from the middle of the eyes along their line, in eye distances.

    landmarks: (5, 2).   0 from the front, about 0.5 and more in profile; infinity where both eyes coincide.
    """
    right, left, nose = np.asarray(landmarks, np.float64)[:3]
    line = left - right
    length = float(np.linalg.norm(line))
    return abs(float((nose - (right + left) / 2) @ line)) / length**2 if length > 1e-6 else float("inf")


def remarks(faces: Faces, row: int) -> list[str]:
    """Sentences on one face, empty when there is nothing to remark."""
    side = float(faces.sides()[row])
    said = []
    if side < SMALL:
        said.append(f"It is only {side:.0f} px wide: small faces are easily confused.")
    if turned(faces.landmarks[row]) > SIDEWAYS:
        said.append("It is seen from the side, where the network errs more.")
    if faces.scores[row] < DOUBTFUL:
        said.append(f"The detector is not sure that it is a face ({faces.scores[row]:.2f}).")
    return said


def nobody(found: int) -> str:
    """Why a picture has no face that counts, and what to do; ``found``: faces that are not sure or large enough."""
    if not found:
        return f"{NO_FACE}. {ADVICE}"
    those = "The only face is not" if found == 1 else f"None of the {found} faces is"
    return f"{those} sure and large enough. {ADVICE} Or lower “Face score” and “Smallest face” in Compare, under More."
