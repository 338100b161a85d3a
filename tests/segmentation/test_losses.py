"""The losses against a plain double loop and torch's own cross-entropy."""

import numpy as np
import pytest
import torch

from cvdemo.segmentation.losses import dice_loss, segmentation_loss


def dice_by_loops(logits: np.ndarray, target: np.ndarray, smooth: float) -> float:
    """One pixel and one class at a time, in float64."""
    batch, classes, height, width = logits.shape
    spread = np.exp(logits.astype(np.float64))
    probability = spread / spread.sum(1, keepdims=True)
    terms = []
    for label in range(classes):
        shared = squared = area = 0.0
        for b in range(batch):
            for r in range(height):
                for c in range(width):
                    if target[b, r, c] == 255:
                        continue
                    p = probability[b, label, r, c]
                    squared += p * p
                    if target[b, r, c] == label:
                        shared += p
                        area += 1
        if area:
            terms.append(1 - (2 * shared + smooth) / (squared + area + smooth))
    return float(np.mean(terms))


@pytest.mark.parametrize("seed", range(4))
def test_dice_against_loops(seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (2, 5, 6, 7)).astype(np.float32)
    target = rng.choice([0, 1, 3, 255], (2, 6, 7))  # class 2 and 4 are absent
    ours = dice_loss(torch.from_numpy(logits), torch.from_numpy(target), smooth=0.5)
    assert float(ours) == pytest.approx(dice_by_loops(logits, target, 0.5), rel=1e-5)


def test_a_perfect_map_costs_nothing_and_a_wrong_one_nearly_everything():
    target = torch.randint(0, 4, (2, 16, 16), generator=torch.Generator().manual_seed(0))
    right = torch.nn.functional.one_hot(target, 4).permute(0, 3, 1, 2).float() * 40
    assert float(dice_loss(right, target)) < 1e-4
    assert float(dice_loss(right.roll(1, 1), target)) > 0.95


def test_the_sum_and_its_figures():
    torch.manual_seed(0)
    logits = torch.randn(2, 5, 8, 8, requires_grad=True)
    target = torch.randint(0, 5, (2, 8, 8))
    target[:, :3] = 255
    weights = torch.tensor([1.0, 2, 0.5, 1, 3])
    loss, figures = segmentation_loss(logits, target, weights, dice_share=0.25)
    entropy = torch.nn.functional.cross_entropy(logits, target, weights, ignore_index=255)
    assert figures["entropy"] == pytest.approx(float(entropy.detach()), rel=1e-6)
    assert float(loss.detach()) == pytest.approx(figures["entropy"] + 0.25 * figures["dice"], rel=1e-5)
    loss.backward()
    assert logits.grad is not None
    assert not logits.grad[:, :, :3].any(), "ignored pixels teach nothing"
    assert logits.grad[:, :, 3:].abs().min() > 0


def test_a_batch_without_any_label_costs_nothing():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss, figures = segmentation_loss(logits, torch.full((1, 4, 4), 255))
    loss.backward()
    assert float(loss.detach()) == 0
    assert figures == {"entropy": 0.0, "dice": 0.0}
    assert float(dice_loss(logits, torch.full((1, 4, 4), 255)).detach()) == 0
