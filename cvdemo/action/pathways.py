"""Slow and fast pathways drawn, and a 2-D kernel inflated to 3-D: the boring-video identity measured on a picture.

SlowFast (Feichtenhofer et al. 2019): few frames with many channels for what things are, many frames with few channels
for how they move. Inflation (I3D, Carreira and Zisserman 2017): a picture's kernel tiled along time and divided by its
length says of a frozen video what the picture's kernel says of the picture.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cvdemo.action.clips import Clip
from cvdemo.action.kernel_view import large, tile_html
from cvdemo.action.strip import middle_square, strip_html
from cvdemo.core.lazy import cv2
from cvdemo.core.settings import Settings, setting
from cvdemo.pose.skeleton_view import table_html

PLACES = 96
FRAMES = 8
"""Length of the video that the picture is tiled to."""
SAME = 1e-5
"""Differences below this are rounding in float32."""
KERNELS = {
    "edges": np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32) / 8,
    "blur": np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32) / 16,
    "sharpen": np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], np.float32),
}
PADDINGS = {"repeat the ends": "replicate", "zeros": "constant"}


@dataclass(frozen=True)
class PathwayControls(Settings):
    """What is drawn; no network is run."""

    alpha: int = setting(
        4, label="Frames of fast for one of slow", minimum=2, maximum=8, step=1, help="Alpha in the paper."
    )
    kernel: str = setting("edges", label="2-D kernel", choices=tuple(KERNELS), help="The one that is inflated.")
    length: int = setting(3, label="Length in time", minimum=1, maximum=7, step=2, help="Copies of the kernel.")
    padding: str = setting(
        "repeat the ends", label="Beyond the ends", choices=tuple(PADDINGS),
        help="What lies before the first and behind the last frame.",
    )  # fmt: skip
    move: int = setting(
        0, label="Camera moves", minimum=0, maximum=6, step=1, help="Pixels a frame. 0: the video is frozen."
    )


# ------------------------------------------------------------------ slow and fast


def slow_rows(frames: int, alpha: int) -> list[int]:
    """Which frames the slow pathway is given, the middle one of each ``alpha``; at least one."""
    return list(range((alpha - 1) // 2, frames, alpha)) or [frames // 2]


def pathways_html(clip: Clip, slow: Sequence[int]) -> str:
    """Both pathways' frames. slow: rows of ``clip``, all of which the fast pathway sees."""
    rows = list(slow)
    few = Clip(clip.frames[rows], clip.times[rows], clip.source)
    return strip_html(
        few, caption=f"Slow pathway: {len(rows)} of {len(clip)} frames, all channels. What is there?"
    ) + strip_html(
        clip, marked=rows, kind="small", side=72,
        caption=f"Fast pathway: all {len(clip)} frames, few channels. How does it move? Orange: seen by both.",
    )  # fmt: skip


@functools.cache
def costs() -> dict[str, tuple[int, int]]:
    """(parameters, multiply-adds) of the parts of the compact SlowFast network, counted without weights or pixels."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from cvdemo.action.nets.slowfast import FRAMES as CLIP_FRAMES
    from cvdemo.action.nets.slowfast import SlowFast

    with torch.device("meta"):
        network = SlowFast(5).eval()
        video = torch.zeros(1, 3, CLIP_FRAMES, 128, 128)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network(video)
    counted = counter.get_flop_counts()
    parts = {
        "Slow pathway": ("backbone", "slow_time"),
        "Fast pathway": ("fast_stem", "fast_stages"),
        "Lateral connections": ("laterals",),
    }
    found = {}
    for title, names in parts.items():
        parameters = sum(p.numel() for name in names for p in getattr(network, name).parameters())
        found[title] = (parameters, sum(_flops(counted, name) for name in names) // 2)
    return found


def _flops(counted: dict, name: str) -> int:
    """Of the calls inside one part: those of its own entry, or of the parts in it that were called one by one."""
    own = f"SlowFast.{name}"
    if own in counted:
        return int(sum(counted[own].values()))
    inside = [key for key in counted if key.startswith(own + ".") and "." not in key[len(own) + 1 :]]
    return int(sum(sum(counted[key].values()) for key in inside))


def costs_html() -> str:
    """What each pathway of the compact exercise network has and costs."""
    parts = costs()
    total = sum(flops for _, flops in parts.values())
    rows = [
        (name, f"{parameters:,}", f"{flops / 1e6:.0f} million", f"{flops / max(total, 1):.0%}")
        for name, (parameters, flops) in parts.items()
    ]
    caption = "Compact exercise network, 16 frames of 128 x 128: 4 frames through the slow pathway, 16 through the fast"
    return table_html(("", "Parameters", "Multiply-adds", "Share"), rows, caption)


# ------------------------------------------------------------------ inflation


@dataclass(frozen=True, eq=False)
class Inflation:
    """A picture through a 2-D kernel, and its video through the inflated one.

    flat: (H, W), the 2-D kernel's answer for the video's middle frame.   deep: (T, H, W), the 3-D kernel's answers.
    differences: (T,) the largest absolute difference of each frame to the 2-D kernel's answer for that frame.
    """

    flat: np.ndarray
    deep: np.ndarray
    differences: np.ndarray
    video: np.ndarray


def video_of(picture: np.ndarray, move: int, frames: int = FRAMES) -> np.ndarray:
    """(T, S, S) float32 in [0, 1]: the picture's middle as a grey video whose camera moves ``move`` pixels a frame."""
    wide = PLACES + move * (frames - 1)
    grey = cv2.cvtColor(middle_square(picture, wide), cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    top = (wide - PLACES) // 2
    return np.stack([grey[top : top + PLACES, t * move : t * move + PLACES] for t in range(frames)])


def inflate_on(picture: np.ndarray, controls: PathwayControls) -> Inflation:
    """Both kernels on the same pixels; the arithmetic is torch's own convolution in 2-D and in 3-D."""
    import torch
    from torch.nn import functional

    from cvdemo.action.inflate import inflated_kernel

    video = video_of(picture, controls.move)
    kernel = torch.from_numpy(KERNELS[controls.kernel])[None, None]
    pixels = torch.from_numpy(video)
    flat = functional.conv2d(pixels[:, None], kernel)[:, 0]  # (T, H, W): each frame by itself
    half = controls.length // 2
    ends = (0, 0, 0, 0, half, half)
    padded = functional.pad(pixels[None, None], ends, mode=PADDINGS[controls.padding])
    deep = functional.conv3d(padded, inflated_kernel(kernel, controls.length))[0, 0]
    differences = (deep - flat).abs().flatten(1).amax(1)
    middle = len(video) // 2
    return Inflation(flat[middle].numpy(), deep.numpy(), differences.numpy(), video)


def inflation_sentence(made: Inflation, controls: PathwayControls) -> str:
    """Whether the identity holds, with the measured difference."""
    largest = float(made.differences.max())
    if largest < SAME:
        return (
            f"The inflated kernel gives the picture's answer in every frame: largest difference {largest:.1e}, which "
            "is rounding. A frozen video is boring, and inflation keeps what the picture network has learnt."
        )
    rows = [str(index + 1) for index in np.flatnonzero(made.differences >= SAME)]
    where = "every frame" if len(rows) == len(made.differences) else f"frames {', '.join(rows)}"
    why = (
        "the camera moves, so the copies of the kernel look at different things"
        if controls.move
        else "beyond the ends lies darkness instead of the same picture"
    )
    return f"The answers differ in {where} by up to {largest:.3f}: {why}."


def inflation_html(made: Inflation, controls: PathwayControls) -> str:
    """The 2-D answer, the 3-D answers of all frames, and the largest difference of each."""
    reach = max(float(np.abs(made.flat).max()), float(np.abs(made.deep).max()), 1e-6)
    signed = min(float(made.flat.min()), float(made.deep.min())) < -1e-3

    def shade(values: np.ndarray) -> np.ndarray:
        return large(0.5 + 0.5 * values / reach if signed else values / reach, 112)

    middle = len(made.video) // 2
    first = (
        tile_html(large(made.video[middle], 112), "the picture")
        + tile_html(shade(made.flat), "2-D kernel")
        + tile_html(shade(made.deep[middle]), "inflated kernel")
        + tile_html(large(np.abs(made.deep[middle] - made.flat) * 4, 112), "difference x 4")
    )
    rows = [(f"frame {index + 1}", f"{value:.2e}") for index, value in enumerate(made.differences.tolist())]
    frames = "".join(
        tile_html(shade(values), f"{name}: {value}", "marked" if made.differences[index] >= SAME else "")
        for index, (values, (name, value)) in enumerate(zip(made.deep, rows))
    )
    copies = "copy" if controls.length == 1 else "copies"
    return (
        f'<p class="strip-head">{controls.length} {copies} of the {controls.kernel} kernel, each divided by '
        f'{controls.length}; the middle frame</p><ol class="strip">{first}</ol>'
        f'<p class="strip-head">The inflated kernel\'s answer in every frame, with the largest difference to the '
        f'2-D kernel\'s</p><ol class="strip">{frames}</ol>'
    )
