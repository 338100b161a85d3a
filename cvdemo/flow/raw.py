"""What a flow method is handed, two frames, and what one run of it returns: every refinement it made.

One convention: a flow field (H, W, 2) holds for each pixel of the first frame how far its content has moved in the
second one, x to the right and y down, in pixels. The pixel in row i, column j with flow (u, v) is found at column
j + u, row i + v of the second frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.core.inputs import example_picture, pixels_of
from cvdemo.core.lazy import cv2

DEFAULT_ITERATIONS = 12
MOST_ITERATIONS = 32
SMALLEST_SIDE = 8
"""Pictures with a shorter side, in pixels, are refused: nothing moves visibly in them."""
LARGEST_RATIO = 1.02
"""Frames whose width-to-height ratios differ by more than this factor are not of one camera."""
AGREE_PIXELS = 0.05

Layout = Literal["areas", "corners", "strided"]


@dataclass(frozen=True, eq=False)
class FramePair:
    """The input of every flow method.

    Attributes:
        first, second: (H, W, 3) uint8 RGB of equal shape, both sides at least ``SMALLEST_SIDE``.
        iterations: refinements of an iterative network, 1 to ``MOST_ITERATIONS``; one-shot methods ignore it.
        max_side: shrink the frames to this longer side before a method sees them, 0 for the method's own limit.
    """

    first: np.ndarray
    second: np.ndarray
    iterations: int = DEFAULT_ITERATIONS
    max_side: int = 0

    def __post_init__(self) -> None:
        first, second = pixels_of(self.first), pixels_of(self.second)
        if first.shape != second.shape:
            raise ValueError(f"the frames have shapes {first.shape} and {second.shape}")
        if min(first.shape[:2]) < SMALLEST_SIDE:
            raise InputError(
                f"The frames have {first.shape[1]} x {first.shape[0]} pixels; motion needs at least {SMALLEST_SIDE} "
                "in both directions.",
                hint="Use larger pictures.",
            )
        if not 1 <= self.iterations <= MOST_ITERATIONS:
            raise InputError(
                f"{self.iterations} refinements cannot be made.", hint=f"Use 1 to {MOST_ITERATIONS} of them."
            )
        if self.max_side < 0:
            raise InputError("The longest side cannot be negative.", hint="Use 0 for no limit of your own.")
        object.__setattr__(self, "first", first)
        object.__setattr__(self, "second", second)

    @property
    def height(self) -> int:
        """Rows of each frame."""
        return int(self.first.shape[0])

    @property
    def width(self) -> int:
        """Columns of each frame."""
        return int(self.first.shape[1])

    def reversed(self) -> FramePair:
        """The same pair played backwards."""
        return FramePair(self.second, self.first, self.iterations, self.max_side)


def pair_of(
    first: object, second: object, iterations: int = DEFAULT_ITERATIONS, max_side: int = 0
) -> tuple[FramePair, tuple[str, ...]]:
    """Two pictures as a pair, and remarks on what was done to them.

    A second picture of another size is scaled to the first one's; InputError where its proportions differ, because a
    stretched picture has no meaningful motion.
    """
    before, after = pixels_of(first), pixels_of(second)
    if before.shape == after.shape:
        return FramePair(before, after, iterations, max_side), ()
    (h1, w1), (h2, w2) = before.shape[:2], after.shape[:2]
    ratio = (w1 * h2) / (w2 * h1)
    if not 1 / LARGEST_RATIO <= ratio <= LARGEST_RATIO:
        raise InputError(
            f"The pictures have {w1} x {h1} and {w2} x {h2} pixels, and their proportions differ.",
            hint="Use two frames of one camera, or crop them to the same size.",
        )
    shrinks = h2 > h1
    after = cv2.resize(after, (w1, h1), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    note = f"the second picture was scaled from {w2} x {h2} to {w1} x {h1} pixels"
    return FramePair(before, after, iterations, max_side), (note,)


@dataclass(frozen=True, eq=False)
class RawFlow:
    """Everything one run of a method returned, at the resolution it computed.

    Attributes:
        refinements: (K, h, w, 2) float16 or float32, in order; displacements in pixels of the frames the method saw
            (``working``). K is 1 for one-shot methods.
        height, width: of the original frames.   model: registry name.
        working: (height, width) the frames were scaled to before the method saw them, without padding.
        padded: (height, width) with the padding at the right and at the bottom.
        layout: where the cells of a coarse refinement lie. "areas": each covers as many pixels; "corners": the
            outermost lie on the corner pixels, as the published RAFT enlarges; "strided": cell (i, j) lies on the
            pixel (s i, s j), where a convolution with stride s looks.
        variational: (h', w', 2) float32, the last refinement after ``flow.variational``, in pixels of its own size;
            counted as one refinement more. None where that was not asked for.
    """

    refinements: np.ndarray
    height: int
    width: int
    model: str
    working: tuple[int, int] = (0, 0)
    padded: tuple[int, int] = (0, 0)
    layout: Layout = "areas"
    variational: np.ndarray | None = None

    def __post_init__(self) -> None:
        shape = self.refinements.shape
        if len(shape) != 4 or shape[3] != 2 or not shape[0]:
            raise ValueError(f"refinements of shape {shape} are not (K, h, w, 2)")
        if not self.working[0]:
            object.__setattr__(self, "working", (shape[1], shape[2]))
        if not self.padded[0]:
            object.__setattr__(self, "padded", self.working)

    def __len__(self) -> int:
        return len(self.refinements) + (self.variational is not None)

    def at(self, k: int = -1) -> np.ndarray:
        """Refinement ``k`` (negative from the end) as (H, W, 2) float32, in pixels of the original frames."""
        number = range(len(self))[k]
        if self.variational is not None and number == len(self.refinements):
            return rescale_flow(self.variational, self.height, self.width)
        return rescale_flow(self.worked(number), self.height, self.width)

    def worked(self, k: int = -1) -> np.ndarray:
        """The method's own refinement ``k`` as (h, w, 2) float32 at the size it worked at."""
        coarse = np.asarray(self.refinements[k], np.float32)
        full = coarse if coarse.shape[:2] == self.padded else enlarge(coarse, *self.padded, self.layout)
        height, width = self.working
        return full[:height, :width]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know: that the method saw smaller or larger frames than he gave."""
        height, width = self.working
        if (height, width) == (self.height, self.width):
            return ()
        return (f"computed at {width} x {height} pixels and scaled back",)


def enlarge(flow: np.ndarray, height: int, width: int, layout: Layout = "areas") -> np.ndarray:
    """A coarse field bilinearly at (height, width); its values, in pixels of the fine grid already, stay.

    layout: see ``RawFlow``.
    """
    if layout == "areas":
        return np.asarray(cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR))
    h, w = flow.shape[:2]
    if layout == "corners":
        return _along(_along(flow, np.linspace(0, h - 1, height), 0), np.linspace(0, w - 1, width), 1)
    down, right = np.arange(height) * (h / height), np.arange(width) * (w / width)
    return _along(_along(flow, np.minimum(down, h - 1), 0), np.minimum(right, w - 1), 1)


def _along(values: np.ndarray, places: np.ndarray, axis: int) -> np.ndarray:
    """Linear interpolation at fractional indices along one axis."""
    count = values.shape[axis]
    low = np.clip(np.floor(places).astype(np.int64), 0, max(count - 2, 0))
    share = (places - low).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    before, after = values.take(low, axis), values.take(np.minimum(low + 1, count - 1), axis)
    return np.asarray(before + (after - before) * share, np.float32)


def rescale_flow(flow: np.ndarray, height: int, width: int) -> np.ndarray:
    """A field (h, w, 2) of scaled frames as (height, width, 2) of the original ones: more vectors, and longer."""
    h, w = flow.shape[:2]
    if (h, w) == (height, width):
        return np.ascontiguousarray(flow, np.float32)
    scaled = cv2.resize(np.ascontiguousarray(flow, np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(scaled * np.array([width / w, height / h], np.float32))


def fitted(pair: FramePair, *, most_pixels: int, multiple: int, smallest: int) -> tuple[np.ndarray, np.ndarray, tuple]:
    """The frames as a method wants them: scaled, then padded at the right and the bottom by repeating the border.

    Args:
        most_pixels: larger frames are shrunk to this area.   multiple: both sides become multiples of it.
        smallest: frames are enlarged (at most four times) and padded to this side.
    Returns:
        The two (h', w', 3) uint8 frames and the (h, w) they were scaled to.
    """
    height, width = pair.height, pair.width
    scale = min(1.0, (most_pixels / (height * width)) ** 0.5)
    if pair.max_side:
        scale = min(scale, pair.max_side / max(height, width))
    short = min(height, width) * scale
    if short < smallest:
        larger = min(4.0, smallest / short, (most_pixels / (height * width)) ** 0.5 / scale)
        scale *= max(1.0, larger)
    h, w = max(1, round(height * scale)), max(1, round(width * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    frames = []
    for frame in (pair.first, pair.second):
        scaled = frame if (h, w) == (height, width) else cv2.resize(frame, (w, h), interpolation=how)
        down = max(-(-h // multiple) * multiple, smallest) - h
        right = max(-(-w // multiple) * multiple, smallest) - w
        frames.append(cv2.copyMakeBorder(scaled, 0, down, 0, right, cv2.BORDER_REPLICATE) if down or right else scaled)
    return frames[0], frames[1], (h, w)


def example_pair() -> FramePair:
    """A 448 x 320 pair that moved by (5, 3) pixels, always the same, for warm-up and measuring."""
    picture = example_picture()
    return FramePair(picture[80:400, 90:538], picture[77:397, 85:533])


def agree(reference: RawFlow, other: RawFlow) -> bool:
    """Whether a faster precision may replace the reference: on average the fields differ by under 0.05 px."""
    difference = np.linalg.norm(reference.at() - other.at(), axis=2)
    return bool(np.isfinite(difference).all() and difference.mean() <= AGREE_PIXELS)
