"""What the tests of this task share: a stand-in's categories, one-coloured frames, small videos."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cvdemo.action.clips import ClipSpec
from cvdemo.core.video_writer import VideoWriter

CATEGORIES = ("red", "green", "blue", "moving fast", "push-up", "other")
STAND_IN = "stand-in-action"
SPEC = ClipSpec(4, 4.0, 16)


def coloured(colour: tuple[int, int, int], count: int = 8, height: int = 24, width: int = 32) -> np.ndarray:
    """(count, height, width, 3) uint8 of one colour."""
    return np.broadcast_to(np.array(colour, np.uint8), (count, height, width, 3)).copy()


def write(path: Path, frames: np.ndarray, fps: float) -> None:
    """Frames as an MP4."""
    with VideoWriter(path, fps, (frames.shape[2], frames.shape[1])) as writer:
        for frame in frames:
            writer.write(frame)
