"""Slow and fast pathways, and inflation: the boring-video identity and what breaks it."""

import numpy as np
import pytest
import torch

from cvdemo.action.clips import Clip
from cvdemo.action.nets.slowfast import SlowFast, slow_indices
from cvdemo.action.pathways import (
    FRAMES,
    KERNELS,
    SAME,
    PathwayControls,
    costs,
    inflate_on,
    inflation_html,
    inflation_sentence,
    pathways_html,
    slow_rows,
    video_of,
)


def picture(height=120, width=160):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("length", [1, 3, 5, 7])
def test_on_a_frozen_video_the_inflated_kernel_says_what_the_pictures_kernel_says(kernel, length):
    made = inflate_on(picture(), PathwayControls(kernel=kernel, length=length))
    assert made.differences.max() < SAME
    assert made.deep.shape[0] == FRAMES
    assert "is rounding" in inflation_sentence(made, PathwayControls())


def test_the_answer_is_that_of_a_plain_correlation():
    made = inflate_on(picture(), PathwayControls(kernel="edges"))
    kernel, frame = KERNELS["edges"], made.video[FRAMES // 2]
    expected = np.zeros_like(made.flat)
    for y in range(3):
        for x in range(3):
            expected += kernel[y, x] * frame[y : y + expected.shape[0], x : x + expected.shape[1]]
    assert np.allclose(made.flat, expected, atol=1e-5)


def test_darkness_beyond_the_ends_spoils_only_the_ends():
    controls = PathwayControls(length=3, padding="zeros")
    made = inflate_on(picture(), controls)
    assert (made.differences >= SAME).tolist() == [True, *[False] * (FRAMES - 2), True]
    assert "frames 1, 8" in inflation_sentence(made, controls)
    assert "darkness" in inflation_sentence(made, controls)


def test_a_moving_camera_spoils_every_frame():
    controls = PathwayControls(move=3)
    made = inflate_on(picture(), controls)
    assert (made.differences > 0.01).all()
    assert "every frame" in inflation_sentence(made, controls)
    assert np.allclose(made.video[1, :, :-3], made.video[0, :, 3:]), "the camera moves three pixels a frame"
    still = video_of(picture(), 0)
    assert (still == still[:1]).all()


def test_all_frames_are_drawn():
    controls = PathwayControls(length=5)
    text = inflation_html(inflate_on(picture(), controls), controls)
    assert text.count("<img") == 4 + FRAMES
    assert "5 copies of the edges kernel" in text


def test_the_slow_pathway_sees_the_rows_of_the_network():
    assert tuple(slow_rows(16, 4)) == slow_indices(16, 4)
    for alpha in range(2, 9):
        rows = slow_rows(16, alpha)
        assert set(np.diff(rows)) <= {alpha}
    assert slow_rows(2, 8) == [1]


def test_both_pathways_are_drawn_and_the_shared_frames_marked():
    frames = np.random.default_rng(1).integers(0, 256, (16, 12, 12, 3), dtype=np.uint8)
    text = pathways_html(Clip(frames, np.arange(16) / 8), slow_rows(16, 4))
    assert text.count("<img") == 20
    assert text.count('class="marked"') == 4


def test_costs_are_those_of_the_network():
    parts = costs()
    network = SlowFast(5)
    head = sum(p.numel() for p in network.head.parameters())
    assert sum(parameters for parameters, _ in parts.values()) == sum(p.numel() for p in network.parameters()) - head
    assert parts["Slow pathway"][1] > parts["Fast pathway"][1] > parts["Lateral connections"][1] > 0
    # the first convolution of the fast pathway, by hand: 16 pictures of 64 x 64, 8 channels of 3 x 3 x 3
    total = sum(flops for _, flops in parts.values())
    assert total > 16 * 64 * 64 * 8 * 27
    counted = []
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(
                lambda layer, given, out: counted.append(
                    out.numel() * layer.in_channels // layer.groups * layer.kernel_size[0] * layer.kernel_size[1]
                )
            )
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, 16, 128, 128))
    assert total == sum(counted)
