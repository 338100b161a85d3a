"""Accuracy of an emotion network on labelled face crops: ``python -m cvdemo evaluate emotion --images DIR``.

Each picture is one face crop, framed as fer2013 frames them; it is used whole, without looking for a face in it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cvdemo.classification.emotion import DEFAULT_MODEL
from cvdemo.classification.emotion_data import load_faces
from cvdemo.classification.evaluate import summarise
from cvdemo.classification.nets.emotion_net import EMOTIONS
from cvdemo.core import registry
from cvdemo.core.engine import Engine, default_engine


def evaluate_emotion(
    images_dir: Path,
    model: str = DEFAULT_MODEL,
    engine: Engine | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Run the emotion network over ``images_dir/<emotion>/`` and count.

    Sub-folders of other names (CK+'s "contempt") are left out; "anger", "sadness" and the like are understood.
    progress: called with (faces done, faces in all).

    Returns accuracy, top5, per_class {emotion: {accuracy, precision, images}} (accuracy is the share of that emotion's
    pictures found, its recall), confusion {labels, matrix} with true emotions in rows, images, model; see
    ``evaluate.summarise``. Errors: InputError without pictures or for unreadable ones, and those of ``Engine.run``.
    """
    faces = load_faces(Path(images_dir))

    def report(fraction: float, _: str) -> None:
        if progress is not None:
            progress(round(fraction * len(faces)), len(faces))

    logits: np.ndarray = (engine or default_engine()).run(registry.get(model), faces.pixels, progress=report).output
    report(1.0, "")
    return {**summarise(logits, faces.labels, EMOTIONS), "model": model}
