"""The sliding 3-D kernel: its weights, where it lies, what it reads and costs; against torch and by hand."""

import re

import numpy as np
import pytest
import torch

from cvdemo.action.clips import Clip
from cvdemo.action.kernel_view import (
    KINDS,
    SIDE,
    KernelControls,
    costs_html,
    panel_html,
    place_of,
    sentence,
    taps_svg,
    volume_of,
    weights_of,
)
from cvdemo.core.errors import InputError


def clip(count=8, height=60, width=80):
    rng = np.random.default_rng(0)
    return Clip(rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8), np.arange(count) / 4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("time", "side"), [(1, 1), (3, 5), (4, 3), (2, 1)])
def test_the_kernels_measure_what_they_say(kind, time, side):
    kernel = weights_of(KernelControls(kind=kind, time=time, side=side))[0, 0]
    assert kernel.shape == (time, side, side)
    axis = {"average": None, "change over time": 0, "edges": 2}[kind]
    if axis is None:
        assert kernel.sum() == pytest.approx(1)
        assert (kernel == kernel[0, 0, 0]).all()
        return
    assert kernel.sum() == pytest.approx(0)
    assert np.allclose(kernel, -np.flip(kernel, axis)), "odd along its own axis"
    for other in {0, 1, 2} - {axis}:
        assert np.allclose(kernel, np.flip(kernel, other))
    if kernel.shape[axis] > 1:
        # something that rises from 0 to 1 at the middle gives 1
        ramp = (np.arange(kernel.shape[axis]) - (kernel.shape[axis] - 1) / 2 > 0).astype(float)
        view = [1, 1, 1]
        view[axis] = -1
        assert (kernel * ramp.reshape(view)).sum() == pytest.approx(1)


@pytest.mark.parametrize("seed", range(8))
def test_the_output_is_torchs_own_convolution(seed):
    rng = np.random.default_rng(seed)
    controls = KernelControls(
        kind=KINDS[seed % 3], time=int(rng.integers(1, 5)), side=int(rng.choice([1, 3, 5])),
        stride_time=int(rng.integers(1, 4)), stride=int(rng.integers(1, 4)), dilation=int(rng.integers(1, 3)),
        causal=bool(rng.integers(2)), padded=bool(rng.integers(2)),
    )  # fmt: skip
    convolution, volume, weight = controls.convolution(), volume_of(clip()), weights_of(controls)
    given = torch.from_numpy(volume)[None]
    sides = [pad for axis in (2, 1, 0) for pad in convolution.pads(axis)]
    expected = torch.nn.functional.conv3d(
        torch.nn.functional.pad(given, sides), torch.from_numpy(weight), stride=convolution.stride,
        dilation=convolution.dilation,
    )[0]  # fmt: skip
    assert np.allclose(convolution(volume, weight), expected.numpy())


def test_the_slider_passes_every_place_in_order():
    size = (2, 3, 4)
    places = [place_of(size, 100 * (index + 0.5) / 24) for index in range(24)]
    assert places == [tuple(int(v) for v in np.unravel_index(index, size)) for index in range(24)]
    assert place_of(size, 0.0) == (0, 0, 0)
    assert place_of(size, 100.0) == (1, 2, 3)


@pytest.mark.parametrize(
    ("controls", "says"),
    [
        (KernelControls(at=50), "Output frame 5 of 8, row 1, column 1 is computed from input frames 4, 5, 6"),
        (KernelControls(at=0), "frames 1, 2 and 1 of padding"),
        (KernelControls(at=0, time=1), "input frame 1: 25 products"),
        (KernelControls(at=50, causal=True), "input frames 3, 4, 5"),
        (KernelControls(at=50, causal=True), "causal."),
        (KernelControls(at=50, dilation=2), "input frames 3, 5, 7"),
        (KernelControls(at=50, stride_time=2), "Output frame 3 of 4"),
        (KernelControls(at=50), "not causal"),
    ],
)
def test_the_sentence_names_the_frames_that_are_read(controls, says):
    assert says in sentence(controls, 8)


def test_the_drawing_joins_what_belongs_together():
    convolution = KernelControls(time=3, stride_time=2).convolution()
    text = taps_svg(convolution, 8, 1)
    assert text.count('class="chosen" d="M') == 3
    assert text.count("<circle") == 8 + 2 + 4, "eight frames, two of padding, four of the output"
    assert text.count("pad") >= 2
    causal = taps_svg(KernelControls(time=3, causal=True).convolution(), 8, 0)
    assert re.findall(r'cx="(\d+)" cy="112"', causal)[0] == re.findall(r'cx="(\d+)" cy="18"', causal)[2], (
        "a causal output stands under the last frame it reads"
    )


def test_the_panel_shows_input_padding_and_output_frames():
    text = panel_html(clip(), KernelControls(time=5))
    assert text.count("<img") == 8 + 4 + 8
    assert text.count('class="absent"') + text.count('class="marked"') >= 4
    assert f"8 frames of {SIDE} x {SIDE}" in text


def test_a_kernel_that_does_not_fit_is_explained():
    with pytest.raises(InputError, match="time"):
        panel_html(clip(4), KernelControls(time=7, padded=False))


def test_costs_are_those_of_a_first_layer():
    text = costs_html(KernelControls(time=3, side=5), 8)
    parameters = 64 * (3 * 3 * 5 * 5 + 1)
    assert f"{parameters:,}" in text
    assert sum(p.numel() for p in torch.nn.Conv3d(3, 64, (3, 5, 5)).parameters()) == parameters
    assert f"{sum(p.numel() for p in torch.nn.Conv2d(3, 64, 5).parameters()):,}" in text
