"""What the views of the Action tab share: their names, a picture as a clip, a video's place, and the camera."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cvdemo.action import live
from cvdemo.action.clips import Clip, still
from cvdemo.action.live import LiveAction
from cvdemo.action.predict import ActionInference, clip_spec, fitted, infer
from cvdemo.action.recognise_view import Look
from cvdemo.core.media import Picture
from cvdemo.ui.memory import memory_of

RECOGNISE, MOTION, PATHWAYS, CONVOLUTION = "recognise", "motion", "pathways", "convolution"
CLIP = ("action", "video")
"""Where the session's memory keeps the path of the video that was looked at last."""


@dataclass(frozen=True)
class Source:
    """A video file of the session."""

    path: Path


def key_of(picture: Picture, model: str) -> Any:
    """Where the session's memory keeps a model's look at a picture."""
    return "action", picture.fingerprint, model


def clip_of(picture: Picture, model: str) -> Clip:
    """A picture as the model sees it: one frame, as often as it wants frames."""
    # That its frame is repeated is the point, and no remark on a short video.
    return replace(fitted(still(picture.pixels, picture.name), clip_spec(model)), note="")


def look_of(session: str, picture: Picture, model: str, **watch: Any) -> Look:
    """What a model says of a picture; it is not run again on one it has seen.  Errors as in ``infer``."""

    def make() -> Look:
        clip = clip_of(picture, model)
        return Look(picture.name, clip, infer(clip, model, user=session, **watch))

    return memory_of(session).recall(key_of(picture, model), make)


def watch(session: str, pixels: np.ndarray, model: str) -> LiveAction:
    """Hand a capture to the session's camera, whose thread runs the network; returns at once.

    Raises what the last run ended with.
    """
    spec = clip_spec(model)
    camera = live.live_of(session)
    camera.capture(pixels, model, spec.frames, spec.rate, _recogniser(session, model))
    return camera


def _recogniser(session: str, model: str) -> Callable[[np.ndarray, np.ndarray, threading.Event], ActionInference]:
    def recognise(frames: np.ndarray, times: np.ndarray, cancel: threading.Event) -> ActionInference:
        return infer(Clip(frames, times, "webcam"), model, user=session, cancel=cancel)

    return recognise


def remember_video(session: str, path: Path) -> None:
    """Note which video the session looks at, for the views that look at a part of it."""
    memory_of(session).put(CLIP, Source(path))


def video_of(session: str) -> Path | None:
    """The video the session looked at last; None without one."""
    source: Source | None = memory_of(session).get(CLIP)
    return None if source is None or not source.path.is_file() else source.path


def forget(session: str) -> None:
    """End the session's camera and wipe what it saw."""
    live.forget(session)
