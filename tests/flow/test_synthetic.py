"""Scenes with exact truth: checked by warping one frame with OpenCV, by pure motions, and layer by layer."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from cvdemo.flow import synthetic
from cvdemo.flow.layers import Layer, Waves
from cvdemo.flow.synthetic import SceneSettings, make_layers, make_pair, render
from cvdemo.flow.textures import shape_mask, texture_bank
from tests.flow.conftest import textured

SMALL = SceneSettings(height=96, width=128)
CLEAN = replace(SMALL, brightness=0.0, blur=0.0, noise=0.0)


def smooth(height, width, seed):
    """A texture without fine detail, so that looking it up between pixels costs next to nothing."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 6.0), None, 0, 255, cv2.NORM_MINMAX)


def lookup(second, flow):
    """OpenCV's remap at the flow's places, independent of our warping."""
    y, x = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    return cv2.remap(second, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR)


@pytest.mark.parametrize("seed", range(12))
def test_the_second_frame_looked_up_by_the_flow_is_the_first(seed):
    photos = [smooth(200, 260, seed + index) for index in range(4)]
    pair = make_pair(seed, replace(CLEAN, textures="photos", motion=12), photos)
    seen = pair.valid & ~pair.occluded
    edges = cv2.morphologyEx(pair.labels, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)) > 0
    # silhouettes are half transparent over two pixels, in the second frame too
    near_after = cv2.dilate((lookup(pair.labels, pair.flow) != pair.labels).astype(np.uint8), np.ones((5, 5))) > 0
    inner = seen & ~edges & ~near_after
    difference = np.abs(lookup(pair.second, pair.flow).astype(int) - pair.first).mean(axis=2)
    assert inner.mean() > 0.3
    assert difference[inner].mean() < 1.5
    assert np.percentile(difference[inner], 99) < 6


def test_a_translation_without_things_is_one_vector():
    texture = textured(300, 300)
    motion = np.array([[1, 0, 5.25], [0, 1, -3.5], [0, 0, 1]])
    layer = Layer(texture, np.array([[1, 0, 60.0], [0, 1, 60.0], [0, 0, 1]]), motion)
    pair = render([layer], CLEAN, np.random.default_rng(0))
    assert np.allclose(pair.flow, (5.25, -3.5), atol=1e-4)
    assert not pair.occluded.any()
    assert np.array_equal(pair.first, texture[60:156, 60:188])
    assert np.array_equal(pair.valid[4:, :122], np.ones((92, 122), bool))
    assert not pair.valid[:3].any()


def test_affine_motion_is_the_matrix():
    angle, zoom = 0.1, 1.05
    linear = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    motion = np.eye(3)
    motion[:2, :2], motion[:2, 2] = linear, (3, -4)
    pair = render([Layer(textured(96, 128), np.eye(3), motion)], CLEAN, np.random.default_rng(0))
    for i, j in ((0, 0), (50, 20), (95, 127)):
        assert np.allclose(pair.flow[i, j], linear @ (j, i) + (3, -4) - (j, i), atol=1e-3)


def test_deformed_flow_solves_its_equation():
    waves = Waves(np.array([2.0, 1.5]), np.array([[0.05, 0.02], [-0.03, 0.06]]), np.array([0.3, 1.0]))
    motion = np.array([[1.02, 0.05, 2.0], [-0.04, 0.97, 1.0], [0, 0, 1]])
    layer = Layer(textured(96, 128), np.eye(3), motion, waves=waves)
    y, x = np.mgrid[:96, :128].astype(np.float32)
    u, v = layer.flow(x, y)
    dx, dy = waves.at(x + u, y + v)
    back = np.linalg.inv(motion) @ np.stack([x + u + dx, y + v + dy, np.ones_like(x)]).reshape(3, -1)
    assert np.abs(back[0].reshape(x.shape) - x).max() < 2e-3
    assert np.abs(back[1].reshape(x.shape) - y).max() < 2e-3


def test_what_a_nearer_thing_covers_is_occluded():
    mask = np.full((20, 20), 255, np.uint8)
    moves = np.array([[1, 0, 10.0], [0, 1, 0], [0, 0, 1]])
    layers = [
        Layer(textured(96, 128), np.eye(3), np.eye(3)),
        Layer(textured(60, 60, 1), np.eye(3), moves, mask, (40, 30)),
    ]
    pair = render(layers, CLEAN, np.random.default_rng(0))
    expected = np.zeros((96, 128), bool)
    expected[30:50, 60:70] = True
    assert np.array_equal(pair.occluded, expected)
    assert np.array_equal(pair.labels == 1, np.pad(np.ones((20, 20), bool), ((30, 46), (40, 68))))
    assert np.allclose(pair.flow[pair.labels == 1], (10, 0), atol=1e-5)
    assert not pair.flow[pair.labels == 0].any()


@pytest.mark.parametrize("textures", synthetic.TEXTURES)
def test_a_seed_gives_the_same_pixels_again(textures):
    photos = [textured(120, 150, seed) for seed in range(3)]
    settings = replace(SMALL, textures=textures)
    one, two, other = (make_pair(seed, settings, photos) for seed in (4, 4, 5))
    for name in ("first", "second", "flow", "occluded", "valid", "labels"):
        assert np.array_equal(getattr(one, name), getattr(two, name))
    assert (one.first != other.first).any()


def test_motion_stays_within_its_limit_and_reaches_below_a_pixel():
    speeds = []
    for seed in range(40):
        layers = make_layers(np.random.default_rng(seed), replace(SMALL, motion=20, rotation=0, zoom=0))
        speeds += [np.hypot(*layer.motion[:2, 2]) for layer in layers]
        assert 1 <= len(layers) <= SMALL.things + 1
    assert max(speeds) <= 20.01
    assert min(speeds) < 1
    assert np.mean(np.array(speeds) > 8) > 0.1


@pytest.mark.parametrize(
    "changes",
    [{"motion": 0.0}, {"things": 0}, {"height": 64, "width": 1024}, {"blur": 4.0, "noise": 30.0, "brightness": 0.6},
     {"motion": 200.0, "rotation": 45.0, "zoom": 0.5, "deformation": 8.0, "things": 20}],
)  # fmt: skip
def test_every_setting_at_its_limits_gives_a_scene(changes):
    settings = replace(SMALL, **changes)
    for seed in range(3):
        pair = make_pair(seed, settings)
        assert pair.first.shape == pair.second.shape == (settings.height, settings.width, 3)
        assert np.isfinite(pair.flow).all()
        assert pair.first.dtype == np.uint8


def test_a_world_without_motion_is_still():
    pair = make_pair(3, replace(CLEAN, motion=0.0, deformation=0.0))
    assert np.abs(pair.flow).max() < 1e-4
    assert pair.pair.height == 96


def test_the_camera_changes_light_and_adds_noise():
    settings = replace(SMALL, things=0, motion=0.0, deformation=0.0, brightness=0.5, blur=0.0, noise=0.0)
    means = [
        np.abs(pair.first.astype(int) - pair.second).mean() for pair in (make_pair(s, settings) for s in range(12))
    ]
    assert max(means) > 10
    noisy = replace(settings, brightness=0.0, noise=20.0)
    assert max(np.abs(p.first.astype(int) - p.second).mean() for p in (make_pair(s, noisy) for s in range(6))) > 3


def test_textures_and_shapes_are_usable():
    bank = texture_bank()
    assert all(texture.shape == (256, 256, 3) and texture.std() > 2 for texture in bank)
    for seed in range(30):
        mask = shape_mask(np.random.default_rng(seed), 60)
        assert mask.shape == (60, 60)
        assert 0.01 < (mask > 127).mean() < 1
