"""The frames a model sees: picked from a video by time, and played differently to ask whether motion matters.

A video has any frame rate, even a varying one; a model wants a fixed number of frames at a fixed rate. ``sample_clip``
takes, for every moment the model wants, the frame nearest to it in time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.core.samples import Pixels

MAX_SIDE = 640
"""Frames of files are scaled down to this longer side while they are read: no model looks at more than 256 pixels."""

Video = str | os.PathLike[str]


@dataclass(frozen=True)
class ClipSpec:
    """What a model wants to see.

    Attributes:
        frames: how many.   rate: frames a second.   size: side in pixels of the square it looks at.
    """

    frames: int
    rate: float
    size: int

    def __post_init__(self) -> None:
        if self.frames < 1 or not self.rate > 0 or self.size < 1:
            raise ValueError(f"no model wants {self.frames} frames of {self.size} px at {self.rate} a second")

    @property
    def span(self) -> float:
        """Seconds from the first frame to the end of the last one."""
        return self.frames / self.rate

    def offsets(self) -> np.ndarray:
        """(frames,) float64, seconds after the clip's start at which a frame is wanted."""
        return np.arange(self.frames) / self.rate

    def strided(self, factor: float) -> ClipSpec:
        """The same number of frames, ``factor`` times as far apart: the motion plays that much faster."""
        return replace(self, rate=self.rate / factor)


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames in the order a model sees them.

    Attributes:
        frames: (T, H, W, 3) uint8 RGB, T >= 1.
        times: (T,) float64, seconds from the beginning of the video at which each frame was shown; need not rise (a
            reversed or shuffled clip keeps each frame's own time).
        source: name of the video.
        note: what a reader should know, such as that the last frame was repeated; "" without anything.
        repeated: how many of the last frames repeat the one before because the video had ended.
    """

    frames: np.ndarray
    times: np.ndarray
    source: str = ""
    note: str = ""
    repeated: int = 0

    def __post_init__(self) -> None:
        if self.frames.ndim != 4 or self.frames.shape[3] != 3 or self.frames.dtype != np.uint8 or not self.frames.size:
            raise ValueError(f"a clip is (T, H, W, 3) uint8 RGB, not {self.frames.shape} {self.frames.dtype}")
        if self.times.shape != (len(self.frames),):
            raise ValueError(f"{self.times.shape} times for {len(self.frames)} frames")

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def height(self) -> int:
        return int(self.frames.shape[1])

    @property
    def width(self) -> int:
        return int(self.frames.shape[2])

    @property
    def start(self) -> float:
        """Time of the earliest frame, seconds."""
        return float(self.times.min())

    @property
    def span(self) -> float:
        """Seconds between the earliest and the latest frame."""
        return float(self.times.max() - self.times.min())


def still(picture: np.ndarray, source: str = "") -> Clip:
    """A picture ((H, W, 3) uint8 RGB) as a clip of one frame."""
    return Clip(np.ascontiguousarray(picture)[None], np.zeros(1), source)


def nearest_frames(times: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Indices (T,) of the frames nearest in time to the wanted moments; the earlier one where two are equally near.

    times: (N,) seconds, rising, N >= 1; equal neighbours are allowed.   wanted: (T,) seconds.
    """
    after = np.clip(np.searchsorted(times, wanted, side="left"), 0, len(times) - 1)
    before = np.maximum(after - 1, 0)
    return np.where(np.abs(times[before] - wanted) <= np.abs(times[after] - wanted), before, after)


def sample_clip(
    source: Video | Clip | np.ndarray | Sequence[np.ndarray],
    times: np.ndarray | Sequence[float] | None = None,
    start: float = 0.0,
    spec: ClipSpec = ClipSpec(16, 8.0, 112),
    *,
    name: str = "",
) -> Clip:
    """The ``spec.frames`` frames a model is shown of a video from ``start`` seconds on.

    source: a video file, a ``Clip``, or frames (N, H, W, 3) uint8 RGB (or a list of N pictures of one size) with their
    ``times`` (N,) in seconds, rising.   name: of the video, for the clip.
    Where the video ends early its last frame is repeated, and the clip's ``note`` says so.
    Errors: ``InputError`` for a file that cannot be read, frames without times, or a start behind the end.
    """
    wanted = start + spec.offsets()
    if isinstance(source, (str, os.PathLike)):
        return _from_file(source, wanted, spec, name)
    if isinstance(source, Clip):
        order = np.argsort(source.times, kind="stable")
        return _picked(source.frames[order], source.times[order], wanted, spec, name or source.source)
    if times is None or len(times) != len(source) or not len(source):
        raise InputError("A clip needs frames and the time of each.", hint="Give one time in seconds per frame.")
    return _picked(source, np.asarray(times, np.float64), wanted, spec, name)


def _picked(
    frames: np.ndarray | Sequence[np.ndarray], times: np.ndarray, wanted: np.ndarray, spec: ClipSpec, name: str
) -> Clip:
    if wanted[0] > times[-1] + 1.0:
        raise InputError(
            f"The video ends at {times[-1]:.1f} s; there is nothing at {wanted[0]:.1f} s.", hint="Start earlier."
        )
    rows = nearest_frames(times, wanted)
    repeated = _repeated(times, wanted, spec)
    picked = frames[rows] if isinstance(frames, np.ndarray) else np.stack([frames[row] for row in rows])
    return Clip(np.ascontiguousarray(picked), times[rows], name, _note(repeated, spec), repeated)


def _repeated(times: np.ndarray, wanted: np.ndarray, spec: ClipSpec) -> int:
    """How many wanted moments lie more than one step of the model behind the last frame."""
    return min(int((wanted > times[-1] + 1.0 / spec.rate - 1e-6).sum()), spec.frames - 1)


def _note(repeated: int, spec: ClipSpec) -> str:
    if not repeated:
        return ""
    seen = spec.frames - repeated
    return (
        f"the video is shorter than the {spec.span:.1f} s the model looks at: its last frame is repeated "
        f"{repeated} times after {seen} {'frame' if seen == 1 else 'frames'}"
    )


def _from_file(path: Video, wanted: np.ndarray, spec: ClipSpec, name: str) -> Clip:
    """Read only the part that is needed and keep only the frames that are."""
    from cvdemo.core.video_reader import read_frames

    margin = max(0.5, 1.0 / spec.rate)
    start = max(0.0, float(wanted[0]) - margin)
    with read_frames(path, start=start, stop=float(wanted[-1]) + margin, max_side=MAX_SIDE) as reader:
        clip = next(pick_from_stream(((frame.time, frame.pixels) for frame in reader), [float(wanted[0])], spec))
        notes = [clip.note, *reader.notes]
    shown = name or os.path.basename(os.fspath(path))
    return replace(clip, source=shown, note="; ".join(filter(None, notes)))


def pick_from_stream(frames: Iterable[tuple[float, Pixels]], starts: Sequence[float], spec: ClipSpec) -> Iterator[Clip]:
    """Clips of several windows out of one pass over a video, in the order of ``starts`` (seconds, rising).

    frames: (time in seconds, (H, W, 3) uint8) pairs, times rising, at least one. A frame is held only as long as a
    window that may need it is open. Windows that start behind the end of the video are left out, but not the first.
    """
    held_times: list[float] = []
    held: list[np.ndarray] = []
    waiting = list(starts)
    for time, pixels in frames:
        held_times.append(time)
        held.append(pixels)
        while waiting and time >= waiting[0] + spec.offsets()[-1]:
            yield _from_held(held, held_times, waiting.pop(0), spec)
        if not waiting:
            return
        # The frame before the next window's start may be the nearest one to it.
        while waiting and len(held_times) > 2 and held_times[1] < waiting[0] - 1.0 / spec.rate:
            held_times.pop(0)
            held.pop(0)
    if not held:
        raise InputError("The video has no frame there.", hint="Choose an earlier part, or check the file.")
    for number, start in enumerate(waiting):
        if start > held_times[-1] and number + len(starts) > len(waiting):
            return  # a damaged file: it said that it was longer
        yield _from_held(held, held_times, start, spec)


def _from_held(held: list[np.ndarray], times: list[float], start: float, spec: ClipSpec) -> Clip:
    known = np.asarray(times, np.float64)
    wanted = start + spec.offsets()
    rows = nearest_frames(known, wanted)
    repeated = _repeated(known, wanted, spec)
    return Clip(np.stack([held[row] for row in rows]), known[rows], "", _note(repeated, spec), repeated)


def windows(duration: float, spec: ClipSpec, stride: float | None = None) -> np.ndarray:
    """(N,) start times in seconds of the windows that cover a video, N >= 1.

    stride: seconds between starts, half a clip unless given. The last window ends with the video; a video shorter than
    a clip has one window, at 0.
    """
    step = spec.span / 2 if stride is None else stride
    if not step > 0:
        raise InputError(f"Windows cannot be {step:g} s apart.", hint="Give more than 0 seconds.")
    last = max(0.0, duration - spec.span)
    starts = np.arange(0.0, last + 1e-9, step)
    return np.append(starts, last) if last - starts[-1] > 0.25 * step else starts


def shuffled(clip: Clip, seed: int = 0) -> Clip:
    """The same frames in random order, never the given one where there is another; a seed gives one order."""
    count = len(clip)
    order = np.random.default_rng(seed).permutation(count)
    if count > 1 and (order == np.arange(count)).all():
        order = np.roll(order, 1)
    return _reordered(clip, order)


def frozen(clip: Clip, index: int | None = None) -> Clip:
    """One frame (the middle one unless given) shown all the time: what is left is appearance."""
    chosen = len(clip) // 2 if index is None else range(len(clip))[index]
    return _reordered(clip, np.full(len(clip), chosen))


def reversed_(clip: Clip) -> Clip:
    """The clip backwards."""
    return _reordered(clip, np.arange(len(clip))[::-1])


def strided(clip: Clip, factor: int) -> Clip:
    """Only every ``factor``-th frame, each held until the next: the same pace at a lower frame rate.

    To make the motion faster instead, sample the video again with ``ClipSpec.strided``.
    """
    if factor < 1:
        raise InputError(f"Every {factor}th frame is not a choice.", hint="Use 1 or more.")
    return _reordered(clip, np.arange(len(clip)) // factor * factor)


def _reordered(clip: Clip, order: np.ndarray) -> Clip:
    return replace(clip, frames=np.ascontiguousarray(clip.frames[order]), times=clip.times[order])


VARIANTS = {"shuffled": shuffled, "frozen": frozen, "reversed": reversed_}
"""Ways of playing a clip that keep its frames and spoil its motion, by the name shown."""


def example_clip(spec: ClipSpec) -> Clip:
    """The example picture sliding to the left, always the same, for warm-up and measuring."""
    from cvdemo.core.inputs import example_picture

    picture = example_picture()[:240, :]
    rows = [np.roll(picture, -4 * index, axis=1)[:, :320] for index in range(spec.frames)]
    return Clip(np.stack(rows), spec.offsets(), "example")
