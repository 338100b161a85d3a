"""Why did a classifier answer so? Three families of attribution maps, and the sanity check that tells them apart.

- Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391): which cells of the last feature map speak for the class.
- Input gradients (Simonyan et al. 2013, arXiv:1312.6034), averaged over noisy copies in SmoothGrad (Smilkov et al.
  2017, arXiv:1706.03825): to which pixels the class score is sensitive.
- Occlusion sensitivity (Zeiler and Fergus 2014, arXiv:1311.2901): how far the probability falls when a part is covered.
- Randomised layers (Adebayo et al. 2018, arXiv:1810.03292): a map that stays the same on a network whose trained
  weights were replaced shows the picture, not what the network learnt.

Every function takes a network in eval mode and its input x (1, 3, H, W) in float32, and leaves both as they were.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from cvdemo.classification.raw import softmax
from cvdemo.core.errors import CvDemoError

BATCH = 16
GRADIENT_BATCH = 4  # activations are kept for the way back, about ten times the memory of a forward pass
Report = Callable[[float, str], None]


class Evidence(NamedTuple):
    """values: (h, w) float32 over the network's input, in the method's unit.   logits: (C,) float32 of that input."""

    values: np.ndarray
    logits: np.ndarray


def _silent(fraction: float, text: str) -> None:
    """Progress for callers who do not ask for it."""


def logits_of(module: Callable[[Tensor], Tensor], x: Tensor) -> np.ndarray:
    """(N, C) float32 logits of a batch (N, 3, H, W), without a graph for gradients."""
    with torch.no_grad():
        return np.asarray(module(x).float().cpu().numpy())


def grad_cam(module: nn.Module, x: Tensor, layer: str, class_index: int) -> Evidence:
    """Grad-CAM: ReLU(sum over k of a_k A^k), with a_k the mean over all cells of the gradient dy/dA^k.

    A (K, h, w) is the output of the layer of that dotted name, y the logit of the class above the mean of all logits:
    softmax knows logits only up to a constant, and a network whose logits are all negative would speak for nothing.
    The values (h, w) are not negative and one per cell of the feature map. CvDemoError when the layer has no such map.
    """
    kept: list[Tensor] = []

    def keep(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> Tensor:
        if not isinstance(output, Tensor) or output.dim() != 4:
            raise CvDemoError(
                f"Grad-CAM needs a convolutional feature map, and {layer} has none.",
                hint="Use occlusion or gradients.",
            )
        # The graph begins here, so only the layers above are followed back; the copy takes the in-place operations.
        leaf = output.detach().requires_grad_()
        kept.append(leaf)
        return leaf.clone()

    handle = module.get_submodule(layer).register_forward_hook(keep)
    try:
        with torch.enable_grad():
            logits = module(x)
            score = logits[0, class_index] - logits[0].mean()
            (gradient,) = torch.autograd.grad(score, kept[-1])
    finally:
        handle.remove()
    weights = gradient.mean((2, 3), keepdim=True)  # (1, K, 1, 1)
    values = (weights * kept[-1].detach()).sum(1).relu()[0]  # (h, w)
    return Evidence(_numpy(values), _numpy(logits[0].detach()))


def input_gradient(
    module: nn.Module,
    x: Tensor,
    class_index: int,
    *,
    samples: int = 1,
    noise: float = 0.15,
    seed: int = 0,
    report: Report = _silent,
) -> Evidence:
    """Sensitivity of the class logit to each pixel: the largest |dy/dx| of the three channels, values (H, W).

    samples: 1 is the plain gradient; more is SmoothGrad, the mean of the signed gradients of that many copies with
    Gaussian noise.   noise: its standard deviation as a share of the range of x.   seed: of the noise.
    """
    if samples < 1:
        raise ValueError(f"samples must be at least 1, not {samples}")
    clean = logits_of(module, x)[0]
    generator = torch.Generator().manual_seed(seed)
    spread = noise * float(x.max() - x.min()) if samples > 1 else 0.0
    total = torch.zeros_like(x)
    for start in range(0, samples, GRADIENT_BATCH):
        report(start / samples, f"{start} of {samples} gradients")
        count = min(GRADIENT_BATCH, samples - start)
        batch = x.detach().repeat(count, 1, 1, 1)
        if spread:
            batch += torch.randn(batch.shape, generator=generator).to(batch) * spread
        batch.requires_grad_()
        with torch.enable_grad():
            # The copy is for networks whose first layer works in place, which a leaf does not allow.
            score = module(batch.clone())[:, class_index].sum()
            (gradient,) = torch.autograd.grad(score, batch)
        total += gradient.sum(0, keepdim=True)
    report(1.0, "Gradients done")
    return Evidence(_numpy((total / samples).abs().amax(1)[0]), clean)


def occlusion(
    module: Callable[[Tensor], Tensor],
    x: Tensor,
    class_index: int,
    *,
    cells: int = 8,
    patch_share: float = 0.2,
    refine_share: float = 0.5,
    report: Report = _silent,
) -> Evidence:
    """Fall of the class's softmax probability when a patch is covered, values (2 cells, 2 cells).

    Coarse to fine: the patch is first centred on each of cells x cells squares of the input; those squares where
    covering costs most are then visited at twice the resolution, with a patch of the same size, so that all values
    compare. The others keep their coarse value. Negative values: covering helped.

    Args:
        patch_share: side of the patch as a share of the input's. It is filled with the input's mean colour.
        refine_share: share of the squares that are refined; 1 visits every position.
        report(fraction, text): called before each batch of 16; it may raise to stop.
    """
    if cells < 1 or not 0 < patch_share <= 1 or not 0 <= refine_share <= 1:
        raise ValueError(f"cells {cells}, patch_share {patch_share} or refine_share {refine_share} out of range")
    refined = round(refine_share * cells * cells)
    total = cells * cells + 4 * refined
    base = logits_of(module, x)[0]
    before = float(softmax(base)[class_index])
    coarse_boxes = [_patch(x, row, column, cells, patch_share) for row in range(cells) for column in range(cells)]
    coarse = before - _covered(module, x, class_index, coarse_boxes, report, 0, total)
    values = np.kron(coarse.reshape(cells, cells), np.ones((2, 2)))
    chosen = np.argsort(-coarse, kind="stable")[:refined]
    fine = [
        (2 * (square // cells) + down, 2 * (square % cells) + right)
        for square in chosen.tolist()
        for down in (0, 1)
        for right in (0, 1)
    ]
    fine_boxes = [_patch(x, row, column, 2 * cells, patch_share) for row, column in fine]
    after = _covered(module, x, class_index, fine_boxes, report, len(coarse), total)
    for (row, column), probability in zip(fine, after):
        values[row, column] = before - probability
    report(1.0, f"{total} patches covered")
    return Evidence(values.astype(np.float32), base)


def _patch(x: Tensor, row: int, column: int, cells: int, share: float) -> tuple[int, int, int, int]:
    """x1 y1 x2 y2 of the patch centred on a square of the cells x cells grid, cut at the input's edges."""
    bounds = []
    for position, size in ((column, x.shape[3]), (row, x.shape[2])):
        side = max(1, round(share * size))
        start = round((position + 0.5) * size / cells - side / 2)
        bounds.append((max(start, 0), min(start + side, size)))
    (x1, x2), (y1, y2) = bounds
    return x1, y1, x2, y2


def _covered(
    module: Callable[[Tensor], Tensor], x: Tensor, class_index: int, boxes: list[tuple[int, int, int, int]],
    report: Report, done: int, total: int,
) -> np.ndarray:  # fmt: skip
    """(N,) float64 probabilities of the class with each of the boxes covered by the mean colour of x."""
    mean = x.mean((2, 3), keepdim=True)[0]
    found: list[np.ndarray] = [np.zeros(0)]
    for start in range(0, len(boxes), BATCH):
        report((done + start) / total, f"{done + start} of {total} patches covered")
        some = boxes[start : start + BATCH]
        batch = x.repeat(len(some), 1, 1, 1)
        for number, (x1, y1, x2, y2) in enumerate(some):
            batch[number, :, y1:y2, x1:x2] = mean
        found.append(softmax(logits_of(module, batch))[:, class_index])
    return np.concatenate(found)


def randomised(module: nn.Module, seed: int = 0, cascade: str | int = "all") -> nn.Module:
    """A copy of the network with trained weights replaced by random ones; the network itself is not touched.

    cascade: "top" for the last layer alone, "all", or the number of layers counted from the last.

    Each parameter tensor is drawn anew from a normal distribution with the mean and spread it had, so that signals
    keep their size also in networks whose batch normalisation was folded away, while everything learnt is gone.
    """
    if isinstance(cascade, bool) or not (cascade in ("top", "all") or (isinstance(cascade, int) and cascade > 0)):
        raise ValueError(f"cascade must be 'top', 'all' or a positive number of layers, not {cascade!r}")
    fresh = copy.deepcopy(module)
    layers = [layer for layer in fresh.modules() if next(layer.parameters(recurse=False), None) is not None]
    count = {"top": 1, "all": len(layers)}.get(cascade, cascade) if isinstance(cascade, str) else cascade
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in layers[max(0, len(layers) - int(count)) :]:
            for parameter in layer.parameters(recurse=False):
                drawn = torch.randn(parameter.shape, generator=generator).to(parameter)
                parameter.copy_(drawn * parameter.std(unbiased=False) + parameter.mean())
    return fresh.eval()


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation of two maps of one shape, -1 to 1, ties sharing their mean rank; 0 for a flat map.

    The sanity check's measure: close to 1 between a trained and a randomised network, the method ignores the network.
    """
    if a.shape != b.shape:
        raise ValueError(f"maps of shapes {a.shape} and {b.shape} cannot be compared")
    first, second = _ranks(a) - _mean_rank(a), _ranks(b) - _mean_rank(b)
    scale = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum() / scale) if scale > 0 else 0.0


def _mean_rank(values: np.ndarray) -> float:
    return (values.size - 1) / 2


def _ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values.ravel(), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((last - counts + last - 1) / 2)[inverse.ravel()]


def _numpy(values: Tensor) -> np.ndarray:
    """float32 on the processor; a gradient that overflowed counts as none."""
    return np.nan_to_num(values.detach().float().cpu().numpy(), nan=0.0, posinf=0.0, neginf=0.0)
