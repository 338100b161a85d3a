"""The flow of a clip, computed once, and the four videos that are made of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np

from cvdemo.core.engine import Engine
from cvdemo.core.errors import Cancelled, InputError
from cvdemo.core.files import existing_file
from cvdemo.core.lazy import cv2
from cvdemo.detection.video import track_key
from cvdemo.flow import draw as drawing
from cvdemo.flow.colour import nice_maximum, robust_maximum
from cvdemo.flow.interpolate import camera_motion, corrections, frame_between, stabilised
from cvdemo.flow.predict import decode, infer
from cvdemo.flow.propagate import Propagation
from cvdemo.flow.warp import occlusion_mask

SIDE = 448  # frames are shrunk to this before their flow is computed
MOST_FRAMES = 90  # of a longer clip, the beginning is looked at: flows of 90 frames take 120 MB
BOX, MASK = (240, 228, 66), (86, 180, 233)

Progress = Callable[[float, str], None]


@dataclass(eq=False)
class ClipFlow:
    """A clip and its flow. key: file, method and stride.

    frames: (h, w, 3) uint8. forward, backward: (h, w, 2) float16, from each frame to the next one and back, one less
    than there are frames. fps: of the frames kept. cut: whether the clip goes on after them. seconds: it took.
    """

    key: tuple[str, str, int]
    fps: float
    frames: list[np.ndarray] = field(default_factory=list)
    forward: list[np.ndarray] = field(default_factory=list)
    backward: list[np.ndarray] = field(default_factory=list)
    cut: bool = False
    seconds: float = 0.0

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the frames."""
        return int(self.frames[0].shape[0]), int(self.frames[0].shape[1])

    def maximum(self) -> float:
        """One maximum of the colour code for all frames."""
        each = [robust_maximum(np.asarray(flow[::2, ::2], np.float32)) for flow in self.forward]
        return nice_maximum(float(np.percentile(each, 90))) if each else 1.0

    def sentence(self) -> str:
        """How long it is, and how fast everything moves in it."""
        speeds = [float(np.hypot(*np.moveaxis(np.asarray(flow, np.float32), 2, 0)).mean()) for flow in self.forward]
        return f"{len(self.frames)} frames; pixels move {np.mean(speeds):.1f} px from frame to frame on average"


def analyse(
    source: str | Path,
    model: str,
    stride: int = 1,
    *,
    engine: Engine | None = None,
    iterations: int = 6,
    user: str = "",
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> ClipFlow:
    """The flow between consecutive frames of a video, both ways, of at most ``MOST_FRAMES`` frames.

    Errors: as in ``core.video.read_frames`` and ``infer``; InputError for a video of one frame; Cancelled.
    """
    from cvdemo.core.video import read_frames  # PyAV is 19 MB that only a video needs

    path, started = existing_file(source), perf_counter()
    with read_frames(path, stride=stride, max_side=SIDE) as reader:
        info = reader.info
        clip = ClipFlow(track_key(path, model, stride), max(1.0, info.fps / stride))
        expected = min(MOST_FRAMES, round((info.duration or 0) * info.fps / stride) or MOST_FRAMES)
        for frame in reader:
            _stop_if(cancel)
            if len(clip.frames) == MOST_FRAMES:
                clip.cut = True
                break
            if clip.frames:
                found = infer(
                    clip.frames[-1], frame.pixels, model, engine, backward=True, iterations=iterations, user=user,
                    cancel=cancel,
                )  # fmt: skip
                assert found.backward is not None
                clip.forward.append(decode(found).flow.astype(np.float16))
                clip.backward.append(found.backward.at().astype(np.float16))
            clip.frames.append(frame.pixels)
            if progress is not None:
                progress(min(1.0, len(clip.frames) / expected), f"flow of frame {len(clip.frames)} of {expected}")
    if len(clip.frames) < 2:
        raise InputError(
            f"{path.name} has one frame only, and flow needs two.", hint="Choose a longer video, or a smaller step."
        )
    clip.seconds = perf_counter() - started
    return clip


def _stop_if(cancel: threading.Event | None) -> None:
    if cancel is not None and cancel.is_set():
        raise Cancelled("The video was stopped.")


def _written(
    target: Path, fps: float, count: int, make: Callable[[int], np.ndarray], progress: Progress | None,
    cancel: threading.Event | None,
) -> Path:  # fmt: skip
    """Write ``count`` pictures as H.264; the file appears whole or not at all."""
    from cvdemo.core.video import VideoWriter

    first = make(0)
    with VideoWriter(target, fps, (first.shape[1], first.shape[0])) as writer:
        for index in range(count):
            _stop_if(cancel)
            writer.write(np.ascontiguousarray(first if index == 0 else make(index)))
            if progress is not None:
                progress((index + 1) / count, f"drawing frame {index + 1} of {count}")
    return target


def write_colours(
    clip: ClipFlow, target: Path, maximum: float, opacity: float = 1.0, *, progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> Path:  # fmt: skip
    """The flow to the next frame in one colour code, with its wheel; maximum: pixels, for all frames."""

    def make(index: int) -> np.ndarray:
        coloured = drawing.draw_colour(clip.frames[index], clip.forward[index].astype(np.float32), maximum, opacity)
        return drawing.add_wheel(coloured, maximum)

    return _written(target, clip.fps, len(clip.forward), make, progress, cancel)


def write_slow(
    clip: ClipFlow, target: Path, factor: int, *, progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> Path:  # fmt: skip
    """The clip ``factor`` times as slow at its own frame rate, with frames made between its frames."""
    steps = len(clip.forward)
    hidden: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def make(index: int) -> np.ndarray:
        at, part = divmod(index, factor)
        if part == 0 or at >= steps:
            return clip.frames[min(at, steps)]
        forward, backward = clip.forward[at].astype(np.float32), clip.backward[at].astype(np.float32)
        if at not in hidden:  # the same for all frames in between
            hidden.clear()
            hidden[at] = (occlusion_mask(forward, backward), occlusion_mask(backward, forward))
        return frame_between(
            clip.frames[at], clip.frames[at + 1], forward, backward, part / factor, *hidden[at]
        )  # fmt: skip

    return _written(target, clip.fps, steps * factor + 1, make, progress, cancel)


def write_steady(
    clip: ClipFlow, target: Path, radius: int, *, progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> tuple[Path, float]:  # fmt: skip
    """The clip beside itself as a calm camera would have seen it; returns the zoom that hides its borders, too."""
    motions = [camera_motion(flow.astype(np.float32)) for flow in clip.forward]
    matrices, zoom = corrections(motions, radius, clip.size)

    def make(index: int) -> np.ndarray:
        return drawing.beside(clip.frames[index], stabilised(clip.frames[index], matrices[index]))

    return _written(target, clip.fps, len(clip.frames), make, progress, cancel), zoom


def write_carried(
    clip: ClipFlow, target: Path, label: Propagation, *, progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> Path:  # fmt: skip
    """The clip with a label of its first frame carried along; ``label`` is taken to the last frame."""

    def make(index: int) -> np.ndarray:
        if index:
            at = index - 1
            label.step(clip.forward[at].astype(np.float32), clip.backward[at].astype(np.float32))
        return draw_label(clip.frames[index], label)

    return _written(target, clip.fps, len(clip.frames), make, progress, cancel)


def draw_label(pixels: np.ndarray, label: Propagation) -> np.ndarray:
    """A frame with the box, the mask and the points that are followed."""
    out = pixels.copy()
    if label.mask is not None:
        tinted = np.array(MASK, np.float32) * 0.55 + out[label.mask].astype(np.float32) * 0.45
        out[label.mask] = tinted.astype(np.uint8)
        contours, _ = cv2.findContours(label.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(out, contours, -1, drawing.RIM, 3)
        cv2.drawContours(out, contours, -1, MASK, 1)
        return out
    for x, y in label.points[np.isfinite(label.points).all(axis=1)][::3].tolist():
        cv2.circle(out, (round(x), round(y)), 2, BOX, -1, cv2.LINE_AA)
    x1, y1, x2, y2 = np.clip(np.rint(label.box), -4000, 8000).astype(int).tolist()
    for colour, width in ((drawing.RIM, 5), (BOX, 3)):
        cv2.rectangle(out, (x1, y1), (x2, y2), colour, width)
    return out
