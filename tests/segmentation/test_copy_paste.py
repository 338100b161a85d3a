"""Pasted figures: what the picture shows is what the masks say, for the figure and for what it covers."""

import cv2
import numpy as np
import pytest

from cvdemo.segmentation import copy_paste, instance_batches
from cvdemo.segmentation.instance_batches import InstanceBatchMaker
from cvdemo.segmentation.instance_data import Example, cut

SIZE = 128


def figure(height=200, width=160):
    """A red ellipse on blue."""
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, (90, 100), (40, 80), 0, 0, 360, 1, -1)
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 2], pixels[mask == 1] = 255, (255, 0, 0)
    item = cut(mask, 3)
    return Example(pixels, (item,)), item


def scene():
    """A white square on black, as a crop with its one object."""
    pixels, mask = np.zeros((SIZE, SIZE, 3), np.uint8), np.zeros((SIZE // 2, SIZE // 2), np.uint8)
    pixels[30:100, 40:110] = 255
    mask[15:50, 20:55] = 1
    return pixels, [(np.array([40, 30, 110, 100], np.float32), 7, mask)]


@pytest.mark.parametrize("scale", [0.9, 0.4])
@pytest.mark.parametrize("mirror", [1, -1])
def test_the_figure_is_where_its_mask_says_and_hides_what_is_below(scale, mirror):
    example, item = figure()
    middle = (item.box[:2] + item.box[2:]) / 2
    linear = np.diag([scale * mirror, scale])
    matrix = np.concatenate([linear, (np.array([36, 70]) - linear @ middle)[:, None]], 1)
    pixels, objects = copy_paste.paste(*scene(), example, item, matrix)
    assert [category for _, category, _ in objects] == [7, 3]
    (below, _, lower), (own, _, upper) = objects
    np.testing.assert_allclose(own, np.clip([36 - 40 * scale, 70 - 80 * scale, 36 + 40 * scale, 70 + 80 * scale], 0,
                                            SIZE), atol=3)  # fmt: skip
    shown = cv2.resize(pixels, (SIZE // 2, SIZE // 2), interpolation=cv2.INTER_AREA).astype(int)
    red, white = (shown == [255, 0, 0]).all(-1), (shown == 255).all(-1)
    assert (upper[red] == 1).all()
    assert (lower[white] == 1).all()
    assert not (upper & lower).any()
    assert abs(int(upper.sum()) - int(red.sum())) < 0.3 * upper.sum(), "no blue, and only a thin mixed edge"
    assert (shown[..., 2] > shown[..., 0] + 60).sum() < 0.1 * upper.sum()
    np.testing.assert_array_equal(below, copy_paste.bounds_of(lower))


def test_what_is_hidden_is_forgotten_and_what_hardly_lands_is_not_pasted():
    example, item = figure()
    middle = (item.box[:2] + item.box[2:]) / 2
    over = np.concatenate([np.eye(2) * 1.5, (np.array([75, 65]) - 1.5 * middle)[:, None]], 1)
    _, objects = copy_paste.paste(*scene(), example, item, over)
    assert [category for _, category, _ in objects] == [3]
    outside = np.concatenate([np.eye(2), (np.array([-25, 65]) - middle)[:, None]], 1)
    pixels, objects = copy_paste.paste(*scene(), example, item, outside)
    np.testing.assert_array_equal(pixels, scene()[0])
    assert [category for _, category, _ in objects] == [7]


def test_a_light_touch_keeps_the_box():
    example, item = figure()
    middle = (item.box[:2] + item.box[2:]) / 2
    matrix = np.concatenate([np.eye(2) * 0.3, (np.array([34, 65]) - 0.3 * middle)[:, None]], 1)
    _, ((box, _, mask), _) = copy_paste.paste(*scene(), example, item, matrix)
    assert box.tolist() == [40, 30, 110, 100]
    assert 0.95 * 35 * 35 < mask.sum() < 35 * 35


def test_figures_land_beside_what_is_there_about_as_large():
    _, item = figure()
    rng, beside = np.random.default_rng(0), np.array([40, 30, 110, 100], np.float32)
    found = [copy_paste.landing(rng, item, beside, SIZE) for _ in range(300)]
    scales = np.array([abs(matrix[1, 1]) for matrix in found])
    same = (70 * 70 / (81 * 161)) ** 0.5
    assert 0.5 * same <= scales.min() < 0.6 * same
    assert scales.max() <= min(1.5 * same, 0.95 * SIZE / 161) + 1e-6
    middles = np.array([matrix @ [*(item.box[:2] + item.box[2:]) / 2, 1] for matrix in found])
    assert (middles >= 0.1 * SIZE - 1e-6).all()
    assert (middles <= 0.9 * SIZE + 1e-6).all()
    assert 0 < np.mean([matrix[0, 0] > 0 for matrix in found]) < 1


def test_only_what_people_outlined_is_pasted(monkeypatch):
    monkeypatch.setattr(instance_batches, "PASTED", 1.0)
    example, item = figure()
    guessed = Example(example.pixels, (cut(np.pad(item.mask, ((item.y, 0), (item.x, 0))), 5),), exact=False)
    alone = InstanceBatchMaker([guessed], 0, 200).batch(6, SIZE)
    assert set(alone.category) == {5}
    assert len(alone.category) == 6
    mixed = InstanceBatchMaker([guessed, example], 0, 200).batch(20, SIZE)
    assert (mixed.category == 3).sum() >= 15
    assert len(mixed.category) > 25
