"""Videos in one style: one forward pass a frame, smoothed along the optical flow."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from cvdemo.core import registry
from cvdemo.core.engine import Engine, default_engine
from cvdemo.style import adain
from cvdemo.style.predict import ADAIN, StyleInference, StyleSettings, decode, draw, infer
from cvdemo.style.temporal import Smoother

if TYPE_CHECKING:
    from cvdemo.core.video import Frame, VideoInfo


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
        measure: bool = False,
    ) -> None:
        """measure: note how much the frames flicker, which costs their optical flow even without smoothing."""
        self.styles, self.model, self.blend = list(styles), model, blend
        self.settings = settings or StyleSettings()
        self._engine = engine or default_engine()
        self._options: dict[str, Any] = {"user": user, "cancel": cancel}
        self._kept: StyleInference | None = None
        self._smoother = Smoother(self.settings.smoothing, measure=measure)

    @property
    def content(self) -> np.ndarray:
        """The last frame at the size of its result, (h, w, 3) uint8."""
        assert self._kept is not None, "no frame was stylised yet"
        return self._kept.content

    @property
    def flicker(self) -> tuple[float, float] | None:
        """As in ``StyledVideo``, of the frames so far; None before the second, or where it is not measured."""
        if not self._smoother.flicker:
            return None
        plain, smoothed = np.mean(self._smoother.flicker, axis=0).tolist()
        return plain, smoothed

    def cut(self) -> None:
        """Tell that the next frame does not follow the last one."""
        self._smoother.reset()

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


@dataclass(frozen=True)
class StyledVideo:
    """A written video: path, facts, how many frames there are and how long they took.

    flicker: mean difference in grey levels of a stylised frame to the one before moved along with the picture, as the
    network made them and as they were written; None for a single frame.
    """

    path: Path
    info: VideoInfo
    model: str
    frames: int
    seconds: float
    flicker: tuple[float, float] | None

    def sentence(self) -> str:
        """How many frames there are, and what the smoothing did."""
        text = f"{self.frames} frame{'s' * (self.frames != 1)} of {self.info.width} x {self.info.height} pixels"
        if self.flicker is None:
            return text
        before, after = self.flicker
        return f"{text}; flicker {before:.1f} grey levels" + (f", smoothed {after:.1f}" if after != before else "")

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        names = ("plain", "smoothed")
        return {
            "model": self.model,
            "frames": self.frames,
            "seconds": round(self.seconds, 3),
            "flicker": None if self.flicker is None else dict(zip(names, (round(value, 3) for value in self.flicker))),
            "sentence": self.sentence(),
        }


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
    preview: Callable[[np.ndarray, np.ndarray], None] | None = None,
) -> StyledVideo:
    """Write a stylised MP4 of a video; errors as in ``transform_video`` and ``infer``.

    preview: given each frame at the size of the result, and the result.
    """
    from cvdemo import tasks
    from cvdemo.core.video import transform_video  # PyAV is 19 MB that only a video needs

    tasks.load_all()
    settings = settings or StyleSettings()
    styler = FrameStyler(styles, model, settings, blend=blend, engine=engine, user=user, cancel=cancel, measure=True)
    frames, started = 0, perf_counter()

    def work(frame: Frame) -> np.ndarray:
        nonlocal frames
        pixels = styler(frame.pixels)
        frames += 1
        if preview is not None:
            preview(styler.content, pixels)
        height, width = pixels.shape[:2]
        return pixels[: height - height % 2, : width - width % 2]  # H.264 takes even sides

    info = transform_video(source, target, work, progress=progress, cancel=cancel, stride=stride)
    return StyledVideo(Path(target), info, model, frames, perf_counter() - started, styler.flicker)
