"""What the 3-D convolution view shows: a kernel that slides over a clip, the frames it reads, and what it costs.

The arithmetic is real: the clip, grey and small, is convolved with the chosen kernel, and the output frames are shown.
Frames and places are counted from 1 in everything a reader sees.
"""

from __future__ import annotations

import base64
import html
from dataclasses import dataclass
from math import prod

import numpy as np

from cvdemo.action.clips import Clip
from cvdemo.action.convolution3d import Convolution3d, Triple, cost_words
from cvdemo.action.strip import middle_square
from cvdemo.core.lazy import cv2
from cvdemo.core.media import encode_picture
from cvdemo.core.settings import Settings, setting
from cvdemo.pose.skeleton_view import table_html

SIDE = 28
"""Side of the small grey frames the kernel slides over, in places."""
TILE = 140
COUNTED = (3, 64)
"""Channels in and out of the layer that is costed: a first layer on RGB."""
KINDS = ("average", "change over time", "edges")
KIND_WORDS = {
    "average": "the mean of everything under the kernel: moving things blur",
    "change over time": "later frames minus earlier ones: what stands still vanishes",
    "edges": "right minus left: a picture's kernel, the same in every frame",
}
GREY, ORANGE = (128, 128, 128), (213, 94, 0)


@dataclass(frozen=True)
class KernelControls(Settings):
    """Everything about the kernel; no network is involved."""

    kind: str = setting("change over time", label="Kernel", choices=KINDS, help="What the kernel's weights measure.")
    time: int = setting(3, label="Length in time", minimum=1, maximum=7, step=1, help="Frames; 1 is a 2-D convolution.")
    side: int = setting(5, label="Side", minimum=1, maximum=9, step=2, help="Places in height and width.")
    stride_time: int = setting(
        1, label="Stride in time", minimum=1, maximum=4, step=1, help="Frames the kernel moves on."
    )
    stride: int = setting(1, label="Stride in space", minimum=1, maximum=4, step=1, help="Places the kernel moves on.")
    dilation: int = setting(
        1, label="Dilation in time", minimum=1, maximum=4, step=1, help="Frames from one tap of the kernel to the next."
    )
    causal: bool = setting(
        False, label="Causal", help="All padding in time lies before the first frame: no output sees the future."
    )
    padded: bool = setting(True, label="Padded", help="With zeros, so that the kernel's middle reaches every place.")
    at: float = setting(
        48.0, label="Slide the kernel", minimum=0.0, maximum=100.0, step=0.5,
        help="Through all places of the output, row by row, frame by frame.",
    )  # fmt: skip

    def convolution(self, channels: tuple[int, int] = (1, 1)) -> Convolution3d:
        """The convolution with these settings."""
        half = self.dilation * (self.time - 1) // 2
        pad = (half, self.side // 2, self.side // 2) if self.padded else (0, 0, 0)
        return Convolution3d(
            *channels, (self.time, self.side, self.side), (self.stride_time, self.stride, self.stride), pad,
            (self.dilation, 1, 1), self.causal,
        )  # fmt: skip


def weights_of(controls: KernelControls) -> np.ndarray:
    """(1, 1, kt, k, k) weights of the chosen kind."""
    shape = (controls.time, controls.side, controls.side)
    if controls.kind == "average":
        kernel = np.full(shape, 1 / prod(shape))
    else:
        axis = 0 if controls.kind == "change over time" else 2
        slope = np.sign(np.arange(shape[axis]) - (shape[axis] - 1) / 2)
        half = max(int((slope > 0).sum()), 1)
        view = [1, 1, 1]
        view[axis] = shape[axis]
        kernel = np.broadcast_to(slope.reshape(view), shape) / (half * prod(shape) / shape[axis])
    return np.asarray(kernel, np.float64)[None, None]


def volume_of(clip: Clip) -> np.ndarray:
    """(1, T, SIDE, SIDE) float64 in [0, 1]: the clip's middle squares, grey and small."""
    greys = [cv2.cvtColor(middle_square(frame, SIDE), cv2.COLOR_RGB2GRAY) for frame in clip.frames]
    return np.stack(greys)[None].astype(np.float64) / 255


def place_of(size: Triple, at: float) -> Triple:
    """The output's place (t, y, x) at a share of the way through all of them; at: per cent."""
    index = min(int(at / 100 * prod(size)), prod(size) - 1)
    t, rest = divmod(index, size[1] * size[2])
    return (t, *divmod(rest, size[2]))


def sentence(controls: KernelControls, frames: int) -> str:
    """What the chosen output place is computed from."""
    convolution = controls.convolution()
    size = convolution.output_size((frames, SIDE, SIDE))
    t, y, x = place_of(size, controls.at)
    taps = sorted({int(tap) for tap in convolution.taps((t, y, x))[:, 0]})
    inside = [str(tap + 1) for tap in taps if 0 <= tap < frames]
    beyond = len(taps) - len(inside)
    named = "only padding" if not inside else ("frame " if len(inside) == 1 else "frames ") + ", ".join(inside)
    padding = f" and {beyond} of padding" if beyond and inside else ""
    future = (
        "It reads later frames: not causal." if convolution.sees_the_future() else "It reads no later frame: causal."
    )
    return (
        f"Output frame {t + 1} of {size[0]}, row {y + 1}, column {x + 1} is computed from input {named}{padding}: "
        f"{prod(convolution.kernel)} products a channel. {future}"
    )


def panel_html(clip: Clip, controls: KernelControls) -> str:
    """Input frames with the kernel on them, the taps, output frames and costs; InputError when it cannot fit."""
    convolution = controls.convolution()
    volume = volume_of(clip)
    size = convolution.output_size((len(clip), SIDE, SIDE))
    place = place_of(size, controls.at)
    output = convolution(volume, weights_of(controls))[0]
    return (
        f'<p class="strip-head">Input: {len(clip)} frames, the kernel lies on those with an orange square</p>'
        f"{_inputs(volume[0], convolution, place)}{taps_svg(convolution, len(clip), place[0])}"
        f'<p class="strip-head">Output: {size[0]} frames of {size[1]} x {size[2]}, {KIND_WORDS[controls.kind]}</p>'
        f"{_outputs(output, place)}{costs_html(controls, len(clip))}"
    )


def tile_html(pixels: np.ndarray, words: str, kind: str = "") -> str:
    """A tile of a strip: (H, W, 3) uint8 with words under it. kind: "marked" or "absent"."""
    data = base64.b64encode(encode_picture(pixels, "png")).decode()
    return (
        f'<li class="{kind}"><img src="data:image/png;base64,{data}" alt="{html.escape(words)}" decoding="sync">'
        f"{html.escape(words)}</li>"
    )


def large(values: np.ndarray, tile: int = TILE) -> np.ndarray:
    """(h, w) in [0, 1] as (tile, tile, 3) uint8, each place a plain square."""
    grey = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    large = cv2.resize(grey, (tile, tile), interpolation=cv2.INTER_NEAREST)
    return np.repeat(np.asarray(large, np.uint8)[:, :, None], 3, axis=2)


def _box(pixels: np.ndarray, top: float, left: float, height: float, width: float, scale: float) -> np.ndarray:
    out = np.array(pixels)
    limit = out.shape[0] - 1
    x1, y1, x2, y2 = (
        int(min(max(round(v * scale), 0), limit)) for v in (left, top, left + width, top + height)
    )  # fmt: skip
    cv2.rectangle(out, (x1, y1), (x2, y2), (255, 255, 255), 4)
    cv2.rectangle(out, (x1, y1), (x2, y2), ORANGE, 2)
    return out


def _inputs(volume: np.ndarray, convolution: Convolution3d, place: Triple) -> str:
    taps = convolution.taps(place)
    times = {int(time) for time in taps[:, 0]}
    first = taps[0]
    before, after = convolution.pads(0)
    tiles = []
    for time in range(-before, len(volume) + after):
        inside = 0 <= time < len(volume)
        pixels = large(volume[time]) if inside else np.zeros((TILE, TILE, 3), np.uint8)
        if time in times:
            side = convolution.kernel[1]
            pixels = _box(pixels, first[1], first[2], side, side, TILE / SIDE)
        words = f"frame {time + 1}" if inside else "padding"
        tiles.append(tile_html(pixels, words, "marked" if time in times else "absent" if not inside else ""))
    return f'<ol class="strip small">{"".join(tiles)}</ol>'


def _outputs(output: np.ndarray, place: Triple) -> str:
    """Output frames; zero is the middle grey where values have both signs."""
    low, high = float(output.min()), float(output.max())
    signed = low < 0
    reach = max(abs(low), abs(high), 1e-6)
    tiles = []
    for time, values in enumerate(output):
        shares = 0.5 + 0.5 * values / reach if signed else values / max(high, 1e-6)
        pixels = large(shares)
        if time == place[0]:
            pixels = _box(pixels, place[1], place[2], 1, 1, TILE / output.shape[1])
        tiles.append(tile_html(pixels, f"frame {time + 1}", "marked" if time == place[0] else ""))
    return f'<ol class="strip small">{"".join(tiles)}</ol>'


def taps_svg(convolution: Convolution3d, frames: int, chosen: int) -> str:
    """Which input frames each output frame reads: circles in two rows, joined; the chosen output's lines are bold."""
    before, after = convolution.pads(0)
    count = convolution.output_size((frames, SIDE, SIDE))[0]
    wide = max(frames + before + after, 2)
    step = 760 / wide

    def x(time: float) -> float:
        return 20 + step * (time + before + 0.5)

    middle = (convolution.reach(0) - 1) / 2
    lines, outs = [], []
    for index in range(count):
        times = sorted({int(tap) for tap in convolution.taps((index, 0, 0))[:, 0]})
        at = x(times[-1] if convolution.causal else times[0] + middle)
        kind = "chosen" if index == chosen else "other"
        lines += [f'<path class="{kind}" d="M{x(time):.0f} 26L{at:.0f} 104"/>' for time in times]
        outs.append(f'<circle class="out {kind}" cx="{at:.0f}" cy="112" r="8"/>')
    ins = []
    read = {int(tap) for tap in convolution.taps((chosen, 0, 0))[:, 0]}
    for time in range(-before, frames + after):
        kind = ("read " if time in read else "") + ("" if 0 <= time < frames else "pad")
        ins.append(f'<circle class="in {kind}" cx="{x(time):.0f}" cy="18" r="8"/>')
    lines.sort(key=lambda line: 'class="chosen"' in line)  # on top
    label = f"Output frame {chosen + 1} reads {len(read)} of {wide} input frames"
    return (
        f'<svg class="taps" viewBox="0 0 800 130" role="img" aria-label="{label}">{"".join(lines)}{"".join(ins)}'
        f'{"".join(outs)}</svg><p class="caption">Upper row: input frames (dashed: padding). Lower row: output frames. '
        "Bold: the chosen one.</p>"
    )


def costs_html(controls: KernelControls, frames: int, side: int = 112) -> str:
    """Output size and cost of a first layer of 64 such kernels on a real clip, beside the 2-D convolution's."""
    wide = controls.convolution(COUNTED)
    flat = Convolution3d(
        *COUNTED, (1, controls.side, controls.side), (1, controls.stride, controls.stride), (0, *wide.padding[1:])
    )  # fmt: skip
    rows = []
    for name, one in (("3-D, as set above", wide), ("2-D, frame by frame", flat)):
        size = one.output_size((frames, side, side))
        cost = one.multiply_adds((frames, side, side))
        shape = f"{COUNTED[1]} x {size[0]} x {size[1]} x {size[2]}"
        rows.append((name, shape, f"{one.parameters:,}", cost_words(cost)))
    caption = f"A first layer of {COUNTED[1]} kernels on {frames} RGB frames of {side} x {side}"
    return table_html(("", "Output, C x T x H x W", "Parameters", "Cost"), rows, caption)


CSS = """
.taps { width: 100%; max-width: 900px; height: auto; display: block; margin: 6px 0 0; }
.taps path { stroke: currentColor; stroke-width: 1; opacity: 0.25; }
.taps path.chosen { stroke: var(--chart-wrong, #d55e00); stroke-width: 4; opacity: 1; }
.taps circle { fill: var(--background-fill-primary); stroke: currentColor; stroke-width: 2; }
.taps circle.pad { stroke-dasharray: 3 3; }
.taps circle:is(.read, .chosen) { fill: var(--chart-wrong, #d55e00); stroke: var(--chart-wrong, #d55e00); }
.taps circle.read.pad { fill: none; stroke-width: 3; }
"""
