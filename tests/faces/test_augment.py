"""SimCLR's augmentations against torchvision's arithmetic; draws that can be repeated and switched off."""

import json

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from cvdemo.faces.augment import (
    Augmentation,
    AugmentSettings,
    apply,
    change_colour,
    draw,
    draw_crop,
    sobel,
    views,
)

PIXELS = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
OFF = AugmentSettings(smallest_crop=1.0, flip=False, colour=0.0, grey=0.0, blur=0.0)


@pytest.mark.parametrize("amount", [0.3, 1.0, 1.6])
@pytest.mark.parametrize("kind", ["brightness", "contrast", "saturation"])
def test_colours_against_torchvision(kind, amount):
    reference = getattr(tv, f"adjust_{kind}")(torch.from_numpy(PIXELS).permute(2, 0, 1), amount)
    mine = change_colour(PIXELS, kind, amount).astype(int)
    assert np.abs(mine - reference.permute(1, 2, 0).numpy()).max() <= 2  # theirs rounds down, and luma to whole numbers


@pytest.mark.parametrize("turn", [-0.2, 0.0, 0.15])
def test_hue_against_torchvision(turn):
    blob = torch.from_numpy(PIXELS).permute(2, 0, 1).float() / 255
    reference = (tv.adjust_hue(blob, turn).permute(1, 2, 0).numpy() * 255).round()
    assert np.abs(change_colour(PIXELS, "hue", turn) - reference).max() <= 2
    with pytest.raises(ValueError, match="no step"):
        change_colour(PIXELS, "gamma", 1.0)


def test_with_everything_off_only_the_size_changes():
    one = draw(np.random.default_rng(0), 60, 80, OFF)
    assert one == Augmentation((0, 0, 80, 60))
    square = np.ascontiguousarray(PIXELS[:56, :56])
    np.testing.assert_array_equal(apply(square, Augmentation((0, 0, 56, 56)), 56), square)
    mirrored = apply(square, Augmentation((0, 0, 56, 56), mirrored=True), 56)
    np.testing.assert_array_equal(mirrored, square[:, ::-1])


def test_grey_and_blur():
    grey = apply(PIXELS, Augmentation((0, 0, 80, 60), grey=True), 64)
    assert (np.ptp(grey.astype(int), axis=2) <= 1).all()
    blurred = apply(PIXELS, Augmentation((0, 0, 80, 60), sigma=2.0), 64)
    assert blurred.std() < apply(PIXELS, Augmentation((0, 0, 80, 60)), 64).std() / 2


@pytest.mark.parametrize(("height", "width"), [(60, 80), (10, 400), (400, 10), (1, 1)])
def test_crops_lie_inside_and_have_the_right_size(height, width):
    rng = np.random.default_rng(1)
    for _ in range(200):
        x1, y1, x2, y2 = draw_crop(rng, height, width, 0.2)
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height
        if (height, width) == (60, 80):
            assert 0.18 < (x2 - x1) * (y2 - y1) / 4800 <= 1
            assert 0.7 < (x2 - x1) / (y2 - y1) < 1.42


def test_draws_follow_the_settings_shares():
    rng = np.random.default_rng(2)
    draws = [draw(rng, 60, 80, AugmentSettings(grey=0.3, blur=0.5, colour=1.0)) for _ in range(600)]
    assert 0.4 < np.mean([d.mirrored for d in draws]) < 0.6
    assert 0.74 < np.mean([d.jittered for d in draws]) < 0.86
    assert 0.24 < np.mean([d.grey for d in draws]) < 0.36
    assert 0.44 < np.mean([d.sigma > 0 for d in draws]) < 0.56
    assert all(0.2 <= d.brightness <= 1.8 and abs(d.hue) <= 0.2 for d in draws)
    assert len({d.order for d in draws}) == 24


def test_one_setting_leaves_the_other_draws_alone():
    plain = draw(np.random.default_rng(7), 60, 80, AugmentSettings(grey=0.0))
    grey = draw(np.random.default_rng(7), 60, 80, AugmentSettings(grey=1.0))
    assert grey.grey
    assert not plain.grey
    assert (plain.crop, plain.hue, plain.sigma, plain.mirrored) == (grey.crop, grey.hue, grey.sigma, grey.mirrored)


def test_a_draw_tells_what_it_did():
    one = Augmentation((5, 5, 45, 35), mirrored=True, jittered=True, hue=0.123456, sigma=1.0)
    assert one.sentence() == "Crop 40x30, mirrored, colours jittered, blurred."
    assert json.loads(json.dumps(one.to_dict())) == one.to_dict()
    assert one.to_dict()["hue"] == 0.1235


def test_two_views_of_each_picture_in_the_order_of_the_loss():
    made, draws = views([PIXELS, PIXELS[:30]], 4, size=48)
    assert made.shape == (4, 48, 48, 3)
    assert len(draws) == 4
    np.testing.assert_array_equal(made[2], apply(PIXELS, draws[2], 48))
    np.testing.assert_array_equal(made, views([PIXELS, PIXELS[:30]], 4, size=48)[0])
    assert (made[0] != made[2]).any()
    assert views([], 0)[0].shape == (0, 112, 112, 3)


def test_the_rest_of_the_family_against_numpy_and_opencv():
    turned = apply(PIXELS, Augmentation((0, 0, 80, 60), quarters=1), 48)
    assert np.array_equal(turned, np.rot90(apply(PIXELS, Augmentation((0, 0, 80, 60)), 48)))
    plain = apply(PIXELS, Augmentation((0, 0, 80, 60)), 48)
    cut = apply(PIXELS, Augmentation((0, 0, 80, 60), hole=(10, 20, 30, 40)), 48)
    assert (cut[20:40, 10:30] == 128).all()
    untouched = np.ones((48, 48), bool)
    untouched[20:40, 10:30] = False
    assert np.array_equal(cut[untouched], plain[untouched])
    grey = np.full((64, 64, 3), 128, np.uint8)
    noisy = apply(grey, Augmentation((0, 0, 64, 64), noise=20.0, noise_seed=4), 64).astype(float)
    assert noisy.std() == pytest.approx(20, rel=0.05)
    assert noisy.mean() == pytest.approx(128, abs=1)
    slope = np.repeat(np.arange(64, dtype=np.uint8)[None, :, None] * 2, 64, 0).repeat(3, 2)
    # Sobel's kernel gives eight times a slope of two levels; a quarter of it is drawn.
    assert (sobel(slope)[1:-1, 1:-1] == 4).all()


def test_the_rest_of_the_family_is_off_unless_asked_for_and_changes_no_other_draw():
    usual = draw(np.random.default_rng(5), 60, 80, size=96)
    assert (usual.quarters, usual.noise, usual.hole, usual.edges) == (0, 0.0, None, False)
    every = AugmentSettings(turn=1.0, noise=0.4, cutout=0.5, sobel=1.0)
    asked = draw(np.random.default_rng(5), 60, 80, every, 96)
    assert asked.crop == usual.crop
    assert asked.brightness == usual.brightness
    assert 1 <= asked.quarters <= 3
    assert asked.noise == pytest.approx(25.5)
    left, top, right, bottom = asked.hole
    assert (right - left, bottom - top) == (48, 48)
    assert 0 <= left <= 48
    assert 0 <= top <= 48
    words = asked.sentence()
    assert "edges" in words
    assert f"turned by {90 * asked.quarters} degrees" in words
    assert json.loads(json.dumps(asked.to_dict()))["hole"] == [left, top, right, bottom]
