"""What is drawn: skeletons, trails, OKS circles and heatmaps, and what must not happen while drawing."""

import numpy as np
import pytest

from cvdemo.detection.draw import luminance
from cvdemo.pose.draw import (
    JOINT_COLOURS,
    LEFT,
    MIDDLE,
    RIGHT,
    draw_heatmap,
    draw_poses,
    edge_colour,
)
from cvdemo.pose.heatmaps import to_picture
from cvdemo.pose.metrics import AREA_OF_BOX, oks_radius
from cvdemo.pose.poses import Poses, no_poses
from cvdemo.pose.skeleton import JOINT_INDEX

GREY = np.full((480, 640, 3), 127, np.uint8)


def person(standing, box=(200, 60, 360, 440), visible=None, tracks=None):
    box = np.array([box], np.float32)
    points = box[:, None, :2] + standing * (box[:, None, 2:] - box[:, None, :2])
    keypoints = np.concatenate([points, np.full((1, 17, 1), 0.9)], axis=2)
    shown = np.ones((1, 17), bool) if visible is None else visible
    return Poses(keypoints, shown, box, np.ones(1, np.float32), np.arange(1), 480, 640, "", tracks=tracks)


def changed(picture):
    return (picture != GREY).any(axis=2)


def test_joints_have_their_sides_colour(standing):
    poses = person(standing)
    for style in ("lines", "limbs", "dots"):
        out = draw_poses(GREY, poses, style=style)
        for joint in (5, 6, 9, 10, 15, 16):
            x, y = np.floor(poses.keypoints[0, joint, :2]).astype(int)
            assert tuple(out[y, x].tolist()) == JOINT_COLOURS[joint], (style, joint)
    assert JOINT_COLOURS[5] == LEFT
    assert JOINT_COLOURS[6] == RIGHT
    assert edge_colour((5, 6)) == MIDDLE
    assert edge_colour((0, 1)) == LEFT
    assert (GREY == 127).all()


def test_sides_stay_apart_for_the_colour_blind():
    """Machado et al. 2009: protanopia, deuteranopia, tritanopia, in linear light."""
    matrices = [
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
    ]
    colours = (np.array([LEFT, RIGHT, MIDDLE]) / 255) ** 2.2
    for matrix in matrices:
        seen = np.clip(colours @ np.array(matrix).T, 0, 1) ** (1 / 2.2) * 255
        for a, b in ((0, 1), (0, 2), (1, 2)):
            assert np.linalg.norm(seen[a] - seen[b]) > 40
    assert luminance(MIDDLE) > luminance(RIGHT)


def test_limbs_join_visible_joints_only(standing):
    knee, ankle = JOINT_INDEX["left knee"], JOINT_INDEX["left ankle"]
    for style in ("lines", "limbs"):
        poses = person(standing)
        x, y = np.floor(poses.keypoints[0, [knee, ankle], :2].mean(axis=0)).astype(int)
        assert tuple(draw_poses(GREY, poses, style=style)[y, x].tolist()) == LEFT
        visible = np.ones((1, 17), bool)
        visible[0, ankle] = False
        assert not changed(draw_poses(GREY, person(standing, visible=visible), style=style))[y, x]
    assert not changed(draw_poses(GREY, poses, style="dots"))[y, x]
    nobody = draw_poses(GREY, person(standing, visible=np.zeros((1, 17), bool)))
    assert not changed(nobody).any()


def test_oks_circles_have_the_radius_of_their_level(standing):
    visible = np.zeros((1, 17), bool)
    visible[0, 11] = True
    poses = person(standing, visible=visible)
    ring = changed(draw_poses(GREY, poses, show_oks=True)) & ~changed(draw_poses(GREY, poses))
    y, x = np.nonzero(ring)
    radii = np.hypot(x + 0.5 - poses.keypoints[0, 11, 0], y + 0.5 - poses.keypoints[0, 11, 1])
    area = AREA_OF_BOX * 160 * 380
    expected = [oks_radius(11, area, level) for level in (0.85, 0.5)]
    off = np.abs(radii[:, None] - expected).min(axis=1)  # three pixels wide, on whole pixels
    assert off.max() < 3.3
    assert np.median(off) < 1.3
    assert radii.max() > expected[1] - 1.5


def test_boxes_numbers_trails_and_opacity(standing):
    poses = person(standing, tracks=np.array([4]))
    trail = np.full((10, 17, 2), np.nan)
    trail[:, 9] = np.stack([np.linspace(20, 150, 10), np.full(10, 30)], axis=1)
    trail[5, 9] = np.nan
    plain = draw_poses(GREY, poses)
    drawn = draw_poses(GREY, poses, trails={4: trail, 99: trail + 100})
    assert changed(drawn)[30, 25:60].any()
    y, x = np.nonzero((drawn != plain).any(axis=2))
    assert y.max() < 50
    assert x.max() < 170
    assert changed(draw_poses(GREY, poses, show_boxes=True)).sum() > changed(plain).sum() + 500
    np.testing.assert_array_equal(draw_poses(GREY, poses, opacity=0.0), GREY)


def test_people_far_outside_undefined_places_and_wrong_arguments(standing):
    poses = person(standing, box=(-1e7, -1e7, 1e7, 1e7))
    poses.keypoints[0, 3, :2] = np.nan
    for style in ("lines", "limbs", "dots"):
        assert draw_poses(GREY, poses, style=style, show_oks=True).shape == GREY.shape
    assert draw_poses(GREY[:1, :1], person(standing), show_boxes=True).shape == (1, 1, 3)
    np.testing.assert_array_equal(draw_poses(GREY, no_poses(480, 640)), GREY)
    with pytest.raises(ValueError, match="stick"):
        draw_poses(GREY, poses, style="stick")
    with pytest.raises(ValueError, match="pixels"):
        draw_poses(GREY[..., 0], poses)


def test_a_heatmap_lies_where_its_region_lies():
    heatmap = np.zeros((64, 48), np.float32)
    heatmap[20, 30] = 0.8
    region = np.array([100.0, 50.0, 196.0, 178.0])
    out = draw_heatmap(GREY, heatmap, region)
    x, y = to_picture(np.array([[[30.0, 20.0]]]), region[None], (64, 48))[0, 0]
    moved = np.abs(out.astype(int) - 127).sum(axis=2)
    moved[[50, 177]] = 0
    moved[:, [100, 195]] = 0
    inside = np.argwhere(moved > 0)
    np.testing.assert_allclose(inside.mean(axis=0) + 0.5, [y, x], atol=0.3)
    assert not changed(out)[:50].any()
    assert not changed(out)[:, 196:].any()


@pytest.mark.parametrize("region", [[-50, -80, 40, 60], [620, 460, 900, 900], [5000, 5000, 6000, 6000], [9, 9, 9, 9]])
def test_heatmaps_over_the_border(region):
    heatmap = np.random.default_rng(0).random((64, 48)).astype(np.float32)
    out = draw_heatmap(GREY, heatmap, np.array(region, np.float64))
    assert changed(out).any() == (region[0] < 640 and region[2] > region[0])


def test_marks_undefined_maps_and_logits():
    region = np.array([100.0, 50.0, 580.0, 460.0])
    empty = np.full((56, 56), np.nan, np.float32)
    np.testing.assert_array_equal(draw_heatmap(GREY, empty, region), GREY)
    marked = draw_heatmap(GREY, empty, region, argmax=np.array([200.0, 100.0]), sub_pixel=np.array([300.5, 200.5]))
    assert tuple(marked[200, 300].tolist()) == RIGHT
    assert changed(marked)[90:112, 190:212].any()
    assert not changed(marked)[300:].any()
    outside = draw_heatmap(GREY, empty, region, argmax=np.array([np.nan, 1.0]))
    np.testing.assert_array_equal(outside, GREY)
    logits = np.full((56, 56), -5.0, np.float32)
    logits[10, 10] = 9
    assert changed(draw_heatmap(GREY, logits, region, logits=True)).any()
