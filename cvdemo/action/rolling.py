"""The last seconds of a camera, from which a clip at the model's own frame rate and length is taken at any moment.

Cameras deliver at their own uneven pace. The buffer keeps captures with their times, no closer together than half the
model's frame interval, so its memory is bounded whatever the camera does; for each time the model asks for, the nearest
capture is taken. For any number of threads.
"""

from __future__ import annotations

import threading

import numpy as np

from cvdemo.core.lazy import cv2

MOST_SIDE = 256
"""Longest side of the kept frames: twice what the compact models look at."""
GAP_SECONDS = 2.0
"""After a longer pause between two captures a clip would show two scenes, so the buffer starts anew."""


class RollingFrames:
    """A rolling buffer for clips of ``frames`` frames at ``rate`` frames a second."""

    def __init__(self, frames: int, rate: float, most_side: int = MOST_SIDE) -> None:
        self._lock = threading.Lock()
        self._kept: list[tuple[float, np.ndarray]] = []
        self.most_side = most_side
        self._set(frames, rate)

    def _set(self, frames: int, rate: float) -> None:
        if frames < 1 or not rate > 0:
            raise ValueError(f"{frames} frames at {rate} a second are no clip")
        self.frames, self.rate = int(frames), float(rate)

    @property
    def span(self) -> float:
        """Seconds between the first and the last frame of a clip."""
        return (self.frames - 1) / self.rate

    def configure(self, frames: int, rate: float) -> None:
        """Clips of another length or rate from now on, such as for another model. What is kept stays of use."""
        with self._lock:
            self._set(frames, rate)
            self._forget_old()

    def push(self, pixels: np.ndarray, time: float) -> None:
        """Add a capture, (H, W, 3) uint8, taken at ``time`` (seconds, not decreasing).

        A capture of another size than the last, or after a long pause, starts the buffer anew.
        """
        small = _shrunk(pixels, self.most_side)
        with self._lock:
            if self._kept:
                last_time, last = self._kept[-1]
                if last.shape != small.shape or not 0 <= time - last_time <= GAP_SECONDS:
                    self._kept.clear()
            # The newest capture is always kept; an older one only where it is far enough from the one before it.
            if len(self._kept) >= 2 and self._kept[-1][0] - self._kept[-2][0] < 0.5 / self.rate:
                self._kept.pop()
            self._kept.append((float(time), small))
            self._forget_old()

    def _forget_old(self) -> None:
        """Keep one capture before the beginning of the clip, which may be the nearest one to it."""
        if not self._kept:
            return
        begins = self._kept[-1][0] - self.span
        first = next((i for i, (time, _) in enumerate(self._kept) if time >= begins), len(self._kept) - 1)
        # The hard limit holds also for a camera whose clock stands still.
        first = max(first - 1, len(self._kept) - 4 * self.frames - 2, 0)
        del self._kept[:first]

    def newest(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The newest clip: (T, H, W, 3) uint8 and when each frame was taken, (T,) seconds; None until it is full."""
        with self._lock:
            if not self._full():
                return None
            kept = list(self._kept)
        times = np.array([time for time, _ in kept])
        wanted = times[-1] - np.arange(self.frames - 1, -1, -1) / self.rate
        nearest = np.abs(times[None, :] - wanted[:, None]).argmin(axis=1)
        return np.stack([kept[index][1] for index in nearest.tolist()]), times[nearest]

    def filled(self) -> float:
        """How much of a clip there is, 0 to 1."""
        with self._lock:
            if not self._kept:
                return 0.0
            if self._full():
                return 1.0
            return min(0.99, (self._kept[-1][0] - self._kept[0][0]) / max(self.span, 1e-9))

    def _full(self) -> bool:
        # half an interval of tolerance: the first capture need not have come at the very beginning
        return bool(self._kept) and self._kept[-1][0] - self._kept[0][0] >= self.span - 0.5 / self.rate

    def clear(self) -> None:
        """Forget all captures."""
        with self._lock:
            self._kept.clear()

    @property
    def nbytes(self) -> int:
        """Bytes of pixels that are kept."""
        with self._lock:
            return sum(pixels.nbytes for _, pixels in self._kept)

    def __len__(self) -> int:
        return len(self._kept)


def _shrunk(pixels: np.ndarray, side: int) -> np.ndarray:
    """A copy of (H, W, 3) whose longer side is at most ``side``."""
    height, width = pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    if scale == 1.0:
        return np.array(pixels, np.uint8)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
