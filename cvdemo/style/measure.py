"""The losses of any picture, whichever way it was made, seen through one network."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from cvdemo import tasks
from cvdemo.core.context import RunContext
from cvdemo.core.engine import Engine, default_engine
from cvdemo.style import losses
from cvdemo.style.features import activations, fitted, to_tensor
from cvdemo.style.models import COMPACT_ENCODER
from cvdemo.style.result import Losses
from cvdemo.style.settings import StyleSettings


def measure(
    pictures: Sequence[np.ndarray],
    content: Any,
    style: Any,
    settings: StyleSettings | None = None,
    *,
    model: str = COMPACT_ENCODER,
    engine: Engine | None = None,
    user: str = "",
    cancel: threading.Event | None = None,
) -> list[Losses]:
    """Content loss, style loss and total variation of each picture, with the settings' layers and size.

    pictures: (H, W, 3) uint8; each is resized to the content's size at ``settings.size`` first.
    """
    tasks.load_all()
    settings = settings or StyleSettings()
    base = fitted(content, settings.size)
    against = fitted(style, max(32, round(settings.size * settings.style_scale)))
    layers = tuple(dict.fromkeys((*settings.content_layers, *settings.style_layers)))

    def look(network: Any, _: Any, context: RunContext) -> list[Losses]:
        with context.stage("network"), torch.no_grad():
            aim = activations(network, context.tensor(to_tensor(base)), settings.content_layers)
            of_style = activations(network, context.tensor(to_tensor(against)), settings.style_layers)
            grams = {name: losses.gram(value) for name, value in of_style.items()}
            found = []
            for picture in pictures:
                context.check_cancelled()
                x = context.tensor(to_tensor(resized(picture, base.shape[0], base.shape[1])))
                seen = activations(network, x, layers)
                found.append(
                    Losses(
                        float(losses.content_loss(seen, aim)),
                        float(losses.style_loss(seen, grams)),
                        float(losses.total_variation(x)),
                    )
                )
        return found

    return (engine or default_engine()).run(model, None, user=user, cancel=cancel, operation=look).output


def resized(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W, 3) uint8 at another size, the same array when it has it already."""
    from cvdemo.core.lazy import cv2

    if picture.shape[:2] == (height, width):
        return picture
    shrinking = picture.shape[0] > height
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
