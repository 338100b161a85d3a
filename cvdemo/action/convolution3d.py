"""What a 3-D convolution costs and where its kernel lies: strided, dilated, causal; for the page's demonstration.

A video is a volume of T x H x W places. The kernel slides over space and time, and every place it stops at becomes one
place of the output. Causal means that an output may not depend on later frames: all of the padding in time then lies
before the first frame, as many frames as the kernel reaches back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np

from cvdemo.core.errors import InputError

Triple = tuple[int, int, int]
AXES = ("time", "height", "width")


@dataclass(frozen=True)
class Convolution3d:
    """A 3-D convolution over (C, T, H, W); triples are time, height, width.

    padding: zeros added on both sides of each axis; for ``causal`` ones the padding in time is not asked for but
    follows: dilation * (kernel - 1) frames before the first one, none behind the last.
    """

    channels_in: int
    channels_out: int
    kernel: Triple
    stride: Triple = (1, 1, 1)
    padding: Triple = (0, 0, 0)
    dilation: Triple = (1, 1, 1)
    causal: bool = False
    bias: bool = True

    def __post_init__(self) -> None:
        counts = (self.channels_in, self.channels_out, *self.kernel, *self.stride, *self.dilation)
        if min(counts) < 1 or min(self.padding) < 0:
            raise InputError(
                "Channels, kernel, stride and dilation are 1 or more, padding 0 or more.", hint="Correct the settings."
            )

    def pads(self, axis: int) -> tuple[int, int]:
        """Zeros before the first and behind the last place of an axis (0 time, 1 height, 2 width)."""
        if self.causal and axis == 0:
            return self.dilation[0] * (self.kernel[0] - 1), 0
        return self.padding[axis], self.padding[axis]

    def reach(self, axis: int) -> int:
        """Places from the first to the last tap of the kernel along an axis, both included."""
        return self.dilation[axis] * (self.kernel[axis] - 1) + 1

    def output_size(self, size: Triple) -> Triple:
        """(T, H, W) of the output for an input of ``size``; InputError when the kernel does not fit."""
        out = []
        for axis in range(3):
            room = size[axis] + sum(self.pads(axis)) - self.reach(axis)
            if room < 0:
                raise InputError(
                    f"The kernel reaches over {self.reach(axis)} places in {AXES[axis]}, the padded input has "
                    f"{size[axis] + sum(self.pads(axis))}.",
                    hint="Use a smaller kernel or dilation, or more padding.",
                )
            out.append(room // self.stride[axis] + 1)
        return out[0], out[1], out[2]

    @property
    def parameters(self) -> int:
        """Weights, and a bias for each output channel."""
        return self.channels_out * (self.channels_in * prod(self.kernel) + int(self.bias))

    def multiply_adds(self, size: Triple) -> int:
        """Multiplications (each with an addition) for an input of ``size``, padding counted like any place."""
        return prod(self.output_size(size)) * self.channels_out * self.channels_in * prod(self.kernel)

    def positions(self, size: Triple) -> Iterator[Triple]:
        """Where the kernel stops, in order: the place (t, y, x) of its first tap, negative in the padding."""
        starts = [
            [index * self.stride[axis] - self.pads(axis)[0] for index in range(count)]
            for axis, count in enumerate(self.output_size(size))
        ]
        for place in product(*starts):
            yield place[0], place[1], place[2]

    def taps(self, output: Triple) -> np.ndarray:
        """(kernel volume, 3) int: the places t, y, x of the input that one place of the output is computed from."""
        axes = [
            output[axis] * self.stride[axis] - self.pads(axis)[0] + self.dilation[axis] * np.arange(self.kernel[axis])
            for axis in range(3)
        ]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)

    def sees_the_future(self) -> bool:
        """Whether an output at a moment depends on frames after that moment: with the kernel's middle on it, or not."""
        return not self.causal and self.reach(0) - 1 - self.pads(0)[0] > 0

    def __call__(self, volume: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
        """Convolve (C, T, H, W) with weights (C', C, kt, kh, kw): (C', T', H', W') float64, in plain numpy.

        As in every deep-learning library the kernel is not mirrored (it is a correlation).
        """
        if volume.ndim != 4 or weight.shape != (self.channels_out, self.channels_in, *self.kernel):
            raise ValueError(f"a volume of shape {volume.shape} and weights of shape {weight.shape} do not fit")
        padded = np.pad(np.asarray(volume, np.float64), [(0, 0), *(self.pads(axis) for axis in range(3))])
        size = self.output_size((volume.shape[1], volume.shape[2], volume.shape[3]))
        out = np.zeros((self.channels_out, *size))
        for kt, kh, kw in product(*(range(extent) for extent in self.kernel)):
            t, y, x = (
                slice(
                    self.dilation[axis] * tap,
                    self.dilation[axis] * tap + self.stride[axis] * (size[axis] - 1) + 1,
                    self.stride[axis],
                )
                for axis, tap in enumerate((kt, kh, kw))
            )
            out += np.tensordot(weight[:, :, kt, kh, kw], padded[:, t, y, x], axes=1)
        return out if bias is None else out + np.asarray(bias, np.float64)[:, None, None, None]


def cost_words(multiply_adds: int) -> str:
    """Such as "1.2 billion multiply-adds"."""
    for unit, name in ((10**9, "billion"), (10**6, "million"), (10**3, "thousand")):
        if multiply_adds >= unit:
            return f"{multiply_adds / unit:.3g} {name} multiply-adds"
    return f"{multiply_adds} multiply-adds"
