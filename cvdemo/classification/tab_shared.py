"""What the views of the Classification tab share: their names, and forward passes that are made once a session."""

from __future__ import annotations

from typing import Any

from cvdemo.classification.imagenet_view import Look
from cvdemo.classification.predict import Inference, infer
from cvdemo.core.media import Picture
from cvdemo.ui.memory import memory_of
from cvdemo.ui.viewer import display_copy

IMAGENET, WHY, SLIDING, TEACH, EMOTION = "imagenet", "why", "sliding", "teach", "emotion"


def look_of(session: str, picture: Picture, model: str, **watch: Any) -> Look:
    """What a model says of a picture; a forward pass that was made before is not made again.

    watch: ``progress`` and ``cancel``.   Errors as in ``predict.infer``.
    """
    return memory_of(session).recall(
        ("look", picture.fingerprint, model), lambda: look_at(picture, model, session, **watch)
    )


def look_at(picture: Picture, model: str, session: str, **watch: Any) -> Look:
    """As ``look_of`` for pictures that come only once, such as webcam frames."""
    return _look(picture, infer(picture, model, user=session, **watch))


def remember(session: str, picture: Picture, inference: Inference) -> Look:
    """Keep a forward pass that was made elsewhere for ``look_of``."""
    return memory_of(session).put(("look", picture.fingerprint, inference.model), _look(picture, inference))


def _look(picture: Picture, inference: Inference) -> Look:
    display, scale = display_copy(picture.pixels)
    return Look(picture, display, scale, inference)
