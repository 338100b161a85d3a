"""Which cells answer, where their masks are learned, what they should be: against RoIAlign, loops, Dice by hand."""

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou, roi_align

from cvdemo.segmentation import instance_losses as losses
from cvdemo.segmentation.instance_losses import Chosen
from cvdemo.segmentation.nets.compact_instances import grown


def boxes_around(rng, count, size=100.0, least=10.0):
    low = rng.uniform(0, size - 40, (count, 2))
    return torch.from_numpy(np.concatenate([low, low + rng.uniform(least, 38, (count, 2))], 1)).float()


def test_iou_equals_torchvisions():
    rng = np.random.default_rng(0)
    true, others = boxes_around(rng, 6), boxes_around(rng, 40).reshape(1, 40, 4).repeat(6, 1, 1)
    torch.testing.assert_close(losses.pairwise_iou(true, others), box_iou(true, others[0]))


def test_the_best_scoring_cells_that_overlap_answer():
    true = torch.tensor([[0.0, 0.0, 20.0, 20.0], [50.0, 50.0, 70.0, 70.0], [80.0, 0.0, 90.0, 10.0]])
    boxes = torch.tensor([[[0, 0, 20, 20], [1, 0, 20, 20], [0, 0, 20, 18], [0, 2, 20, 20], [0, 0, 9, 20],
                           [50, 50, 60, 66], [0, 50, 10, 60]]]).float()  # fmt: skip
    logits = torch.zeros(1, 7, 3)
    logits[0, :, 2] = torch.tensor([0.1, 3.0, 1.0, 2.0, 9.0, -5.0, 9.0])
    chosen = losses.answering_cells(logits, boxes, torch.zeros(3, dtype=torch.int64), torch.tensor([2, 2, 2]), true)
    assert chosen.cell[0].tolist() == [1, 3, 2], "the fifth scores best but overlaps too little"
    assert chosen.used.tolist() == [[True] * 3, [True, False, False], [False] * 3]
    assert chosen.cell[1, 0] == 5, "none overlaps by half: the closest"
    torch.testing.assert_close(chosen.box[0, 0], boxes[0, 1])


def test_regions_are_the_cells_own_boxes_or_the_true_ones_shaken():
    torch.manual_seed(0)
    true = torch.tensor([[20.0, 20.0, 60.0, 80.0]]).repeat(400, 1)
    near, far = torch.tensor([24.0, 18.0, 66.0, 78.0]), torch.tensor([0.0, 0.0, 30.0, 30.0])
    box = torch.stack([near, near, far]).repeat(400, 1, 1)
    chosen = Chosen(torch.zeros(400, 3, dtype=torch.int64), torch.ones(400, 3, dtype=torch.bool), box)
    regions = losses.training_regions(true, chosen, 100)
    own = (regions == grown(box, 100, 100)).all(-1).float().mean(0)
    assert own[0] == pytest.approx(0.5, abs=0.1)
    assert own[2] == 0, "a box that misses the object is not learned on"
    shaken = regions[:, 2]
    torch.testing.assert_close(shaken.mean(0), torch.tensor([16.0, 14, 64, 86]), atol=0.8, rtol=0)
    assert shaken[:, 0].std() == pytest.approx(0.07 * 40 * (1.1**2 + 0.1**2) ** 0.5, rel=0.2)
    assert (regions >= 0).all()
    assert (regions <= 100).all()


def test_regions_never_vanish():
    true = torch.tensor([[0.0, 0.0, 1.0, 1.0], [99.0, 99.0, 100.0, 100.0]])
    chosen = Chosen(
        torch.zeros(2, 3, dtype=torch.int64), torch.ones(2, 3, dtype=torch.bool), true[:, None].repeat(1, 3, 1)
    )
    regions = losses.training_regions(true, chosen, 100)
    assert ((regions[..., 2:] - regions[..., :2]) >= 4 - 1e-4).all()


def test_targets_are_what_roi_align_averages():
    """Masks of half the crop's size, two by two points a cell."""
    rng = np.random.default_rng(0)
    masks = torch.from_numpy((rng.random((5, 48, 48)) < 0.5).astype(np.uint8))
    regions = boxes_around(rng, 15, 96).reshape(5, 3, 4).clamp(2, 94)
    target, known = losses.sampled_targets(masks, regions, 6, 96)
    rows = torch.cat([torch.arange(5).repeat_interleave(3)[:, None].float(), regions.reshape(-1, 4)], 1)
    expected = roi_align(masks[:, None].float(), rows, 6, 0.5, 2, aligned=True).reshape(5, 3, 6, 6)
    torch.testing.assert_close(target, expected, atol=1e-4, rtol=1e-4)
    assert known.all()


def test_unknown_pixels_are_neither_object_nor_background():
    masks = torch.zeros(1, 40, 40, dtype=torch.uint8)
    masks[0, :, :10], masks[0, :, 10:20] = 1, 255
    target, known = losses.sampled_targets(masks, torch.tensor([[[0.0, 0.0, 80.0, 80.0]]]), 8, 80)
    assert known[0, 0].all(0).tolist() == [True, True, False, False, True, True, True, True]
    assert target[0, 0, :, 1].min() == 1, "a cell half of whose neighbours are unknown is still all object"
    assert target[0, 0, :, 4:].max() == 0


def dice_by_hand(logits, target, known):
    p, g = 1 / (1 + np.exp(-logits[known])), target[known]
    entropy = -(g * np.log(p) + (1 - g) * np.log(1 - p)).mean()
    return entropy + 1 - (2 * (p * g).sum() + 1) / ((p**2).sum() + (g**2).sum() + 1)


def test_every_object_counts_equally_however_large_or_often_answered():
    rng = np.random.default_rng(0)
    logits, target = rng.normal(0, 2, (3, 2, 6, 6)), rng.random((3, 2, 6, 6))
    known = rng.random((3, 2, 6, 6)) < 0.8
    used = np.array([[True, True], [True, False], [False, False]])
    loss, figures = losses.mask_loss(*(torch.from_numpy(part) for part in (logits, target, known, used)))
    own = [[dice_by_hand(logits[m, k], target[m, k], known[m, k]) for k in range(2)] for m in range(3)]
    assert float(loss) == pytest.approx((np.mean(own[0]) + own[1][0]) / 2, rel=1e-5)
    assert figures["entropy"] + figures["dice"] == pytest.approx(float(loss), rel=1e-6)


def test_a_perfect_mask_costs_nothing_and_the_opposite_a_lot():
    target = (torch.rand(2, 1, 8, 8) > 0.5).float()
    known, used = torch.ones_like(target, dtype=torch.bool), torch.ones(2, 1, dtype=torch.bool)
    right, figures = losses.mask_loss((target * 2 - 1) * 30, target, known, used)
    wrong, _ = losses.mask_loss((1 - target * 2) * 30, target, known, used)
    assert float(right) == pytest.approx(0, abs=1e-4)
    assert figures["iou"] == pytest.approx(1)
    assert float(wrong) > 10
    nothing, _ = losses.mask_loss(target, target, known, used & False)
    assert float(nothing) == 0
