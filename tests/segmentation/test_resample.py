"""Enlarging logits: equal to torch's own interpolation, and nothing is lost by the classes left out."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cvdemo.segmentation.resample import confidence_and_entropy, headroom, label_map, to_picture, values_at

SIZES = [(6, 9, 48, 72), (5, 7, 33, 61), (65, 65, 20, 30), (1, 1, 1, 1), (3, 63, 1, 500), (2, 96, 20, 3000)]


def enlarged(logits, height, width):
    return F.interpolate(torch.from_numpy(logits)[None], (height, width), mode="bilinear", align_corners=False)[0]


@pytest.mark.parametrize(("rows", "columns", "height", "width"), SIZES)
def test_a_map_over_the_whole_picture_is_enlarged_as_torch_does(rows, columns, height, width):
    plane = np.random.default_rng(0).normal(size=(1, rows, columns)).astype(np.float32)
    ours = to_picture(plane[0], (0, 0, width, height), height, width)
    np.testing.assert_allclose(ours, enlarged(plane, height, width)[0].numpy(), atol=1e-4)


def test_a_map_reaching_past_the_edges_is_cut():
    plane = np.random.default_rng(1).normal(size=(6, 8)).astype(np.float32)
    whole = to_picture(plane, (0, 0, 80, 60), 60, 80)
    np.testing.assert_allclose(to_picture(plane, (0, 0, 80, 60), 47, 71), whole[:47, :71], atol=1e-5)
    np.testing.assert_allclose(to_picture(plane, (-3, -5, 77, 55), 40, 60), whole[5:45, 3:63], atol=1e-5)


@pytest.mark.parametrize("extent", [(0, 0, 80.5, 60.25), (-0.5, -1.25, 81.3, 60), (0, 0, 79.6, 59.8)])
def test_fractions_of_a_pixel_count(extent):
    plane = np.random.default_rng(2).normal(size=(6, 8)).astype(np.float32)
    found = to_picture(plane, extent, 50, 70)
    assert found.shape == (50, 70)
    for x, y in ((0, 0), (69, 49), (13, 31), (68, 2)):
        assert found[y, x] == pytest.approx(values_at(plane[None], extent, x, y)[0], abs=1e-4)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("spread", [0.3, 3.0, 12.0])
def test_the_label_map_is_the_argmax_over_all_classes(seed, spread):
    logits = (np.random.default_rng(seed).normal(size=(9, 7, 5)) * spread).astype(np.float32)
    labels, best = label_map(logits, (0, 0, 40, 56), 56, 40)
    full = enlarged(logits, 56, 40).numpy()
    np.testing.assert_allclose(best, full.max(axis=0), atol=1e-4)
    chosen = np.take_along_axis(full, labels[None].astype(np.int64), axis=0)[0]
    np.testing.assert_allclose(chosen, full.max(axis=0), atol=1e-4)


def test_a_class_second_at_every_cell_may_win_between_them():
    logits = np.array([[[10, 0]], [[6, 6]], [[0, 10]]], np.float32)
    labels, _ = label_map(logits, (0, 0, 20, 1), 1, 20)
    assert set(labels.ravel().tolist()) == {0, 1, 2}
    assert headroom(logits)[1] >= 0


def test_headroom_bounds_what_interpolation_can_give():
    logits = np.random.default_rng(3).normal(size=(8, 6, 6)).astype(np.float32) * 4
    full = enlarged(logits, 60, 60).numpy()
    above = (full - full.max(axis=0)).reshape(8, -1).max(axis=1)
    assert (above <= headroom(logits) + 1e-4).all()


@pytest.mark.parametrize("temperature", [0.2, 1.0, 5.0])
def test_confidence_and_entropy_are_those_of_the_softmax(temperature):
    logits = (np.random.default_rng(4).normal(size=(11, 6, 8)) * 5).astype(np.float32)
    _, best = label_map(logits, (0, 0, 64, 48), 48, 64)
    confidence, entropy = confidence_and_entropy(logits, (0, 0, 64, 48), best, temperature)
    p = torch.softmax(enlarged(logits, 48, 64).double() / temperature, 0)
    np.testing.assert_allclose(confidence, p.max(0).values.numpy(), atol=1e-4)
    np.testing.assert_allclose(entropy, -(p * (p + 1e-300).log2()).sum(0).numpy(), atol=1e-3)


def test_uniform_logits_have_the_largest_entropy():
    logits = np.zeros((16, 2, 2), np.float32)
    labels, best = label_map(logits, (0, 0, 5, 5), 5, 5)
    confidence, entropy = confidence_and_entropy(logits, (0, 0, 5, 5), best, 1.0)
    assert not labels.any()
    np.testing.assert_allclose(confidence, 1 / 16, rtol=1e-5)
    np.testing.assert_allclose(entropy, 4.0, rtol=1e-5)


def test_too_many_classes_for_a_byte_are_refused():
    with pytest.raises(ValueError, match="256 classes"):
        label_map(np.zeros((256, 1, 1), np.float32), (0, 0, 1, 1), 1, 1)
