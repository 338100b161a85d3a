"""Keeping the content's colours: brightness, means and covariances."""

import cv2
import numpy as np
import pytest

from cvdemo.style import colour


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    content = rng.integers(60, 180, (20, 30, 3), np.uint8)
    style = np.clip(rng.normal(size=(15, 15, 3)) @ rng.normal(size=(3, 3)) * 15 + 120, 0, 255).astype(np.uint8)
    return content, style


def test_luminance_is_opencvs_grey(pair):
    content, _ = pair
    assert np.abs(colour.luminance(content) - cv2.cvtColor(content, cv2.COLOR_RGB2GRAY)).max() <= 0.51


def test_with_luminance_takes_brightness_of_one_and_colour_of_the_other(pair):
    content, _ = pair
    target = np.clip(content.astype(int) + 20, 0, 255).astype(np.uint8)
    mixed = colour.with_luminance(content, colour.grey(target))
    assert np.abs(colour.luminance(mixed) - colour.luminance(target)).max() <= 1.6
    assert np.abs((mixed.astype(int) - mixed[..., :1]) - (content.astype(int) - content[..., :1])).max() <= 2


def test_matched_luminance_has_the_contents_mean_and_spread(pair):
    content, style = pair
    matched = colour.match_luminance(style, content)
    assert (matched[..., 0] == matched[..., 2]).all()
    assert colour.luminance(matched).mean() == pytest.approx(colour.luminance(content).mean(), abs=1)
    assert colour.luminance(matched).std() == pytest.approx(colour.luminance(content).std(), abs=2)


def test_covariance_map_gives_the_contents_mean_and_covariance(pair):
    content, style = pair
    a, b = colour.covariance_map(style, content)
    mapped = style.reshape(-1, 3) @ a.T + b
    assert np.allclose(mapped.mean(0), content.reshape(-1, 3).mean(0), atol=1e-6)
    assert np.allclose(np.cov(mapped.T, bias=True), np.cov(content.reshape(-1, 3).T, bias=True), rtol=1e-3, atol=1)


def test_one_colour_does_not_blow_up(pair):
    content, _ = pair
    flat = np.full((9, 9, 3), 200, np.uint8)
    assert np.abs(colour.match_covariance(flat, content).mean((0, 1)) - content.mean((0, 1))).max() < 1
    assert np.ptp(colour.match_luminance(flat, content)) <= 1


@pytest.mark.parametrize("way", colour.WAYS)
def test_every_way_keeps_shapes(pair, way):
    content, style = pair
    new, styles = colour.prepared(content, [style], way)
    assert new.shape == content.shape
    assert styles[0].shape == style.shape
    assert colour.finished(new, content, way).shape == content.shape
