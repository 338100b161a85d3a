"""Videos in one style: one forward pass a frame, smoothed along the optical flow."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cvdemo.core import registry
from cvdemo.core.engine import Engine, default_engine
from cvdemo.core.video import Frame, VideoInfo, transform_video
from cvdemo.style import adain
from cvdemo.style.predict import ADAIN, StyleInference, StyleSettings, decode, draw, infer
from cvdemo.style.temporal import Smoother


class FrameStyler:
    """Stylises frames one after the other; the styles are encoded at the first one only.

    For videos and webcams; not thread-safe. ``settings`` may be replaced between frames.
    """

    def __init__(
        self,
        styles: Sequence[Any] = (),
        model: str = ADAIN,
        settings: StyleSettings | None = None,
        *,
        blend: Sequence[float] | None = None,
        engine: Engine | None = None,
        user: str = "",
        cancel: threading.Event | None = None,
    ) -> None:
        self.styles, self.model, self.blend = list(styles), model, blend
        self.settings = settings or StyleSettings()
        self._engine = engine or default_engine()
        self._options: dict[str, Any] = {"user": user, "cancel": cancel}
        self._kept: StyleInference | None = None
        self._smoother = Smoother(self.settings.smoothing)

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 -> the stylised, smoothed frame at the settings' size."""
        inference = self._infer(frame)
        result = decode(inference, self.settings, self.blend, self._engine, **self._options)
        self._smoother.amount = self.settings.smoothing
        return self._smoother(inference.content, draw(inference, result, self.settings))

    def _infer(self, frame: np.ndarray) -> StyleInference:
        fast = registry.get(self.model).extras.get("kind") == "fast"
        recoloured = self.settings.preserve_colour != "off"  # the styles then depend on the frame
        if self._kept is None or fast or recoloured:
            found = infer(frame, self.styles, self.model, self.settings, self._engine, **self._options)
            self._kept = found
            return found
        encoded, pixels, stages = adain.encode(self._engine, frame, self.settings.size, **self._options)
        return replace(self._kept, content=pixels, encoded=encoded, stages=stages)


def stylise_video(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    styles: Sequence[Any] = (),
    model: str = ADAIN,
    settings: StyleSettings | None = None,
    *,
    blend: Sequence[float] | None = None,
    stride: int = 1,
    engine: Engine | None = None,
    user: str = "",
    cancel: threading.Event | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> VideoInfo:
    """Write a stylised MP4 of a video; errors as in ``transform_video`` and ``infer``."""
    from cvdemo import tasks

    tasks.load_all()
    settings = settings or StyleSettings()
    styler = FrameStyler(styles, model, settings, blend=blend, engine=engine, user=user, cancel=cancel)

    def work(frame: Frame) -> np.ndarray:
        pixels = styler(frame.pixels)
        height, width = pixels.shape[:2]
        return pixels[: height - height % 2, : width - width % 2]  # H.264 takes even sides

    return transform_video(source, target, work, progress=progress, cancel=cancel, stride=stride)
