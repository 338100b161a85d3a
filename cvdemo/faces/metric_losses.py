"""The losses of metric learning: pure functions for the recipe and for the page's playgrounds.

Everything takes and returns torch tensors and is differentiable; ``value_and_gradient`` hands numpy values and
gradients to whoever draws arrows. Distances are Euclidean, as in the lecture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Mining = Literal["all", "hard", "semi-hard", "random"]
MINING: tuple[Mining, ...] = ("all", "hard", "semi-hard", "random")
_TINY = 1e-12


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """(N, D), (M, D) -> (N, M) squared Euclidean distances, never negative."""
    squares = (a * a).sum(1)[:, None] + (b * b).sum(1)[None, :] - 2 * a @ b.T
    return squares.clamp_min(0)


def contrastive_terms(a: Tensor, b: Tensor, same: Tensor, margin: float = 1.0) -> Tensor:
    """Contrastive (margin) loss of each pair (Hadsell, Chopra, LeCun 2006, CVPR), as the lecture writes it.

    y d^2 + (1 - y) max(0, m - d)^2; the paper halves both terms. Pairs of different things that are at least ``margin``
    apart cost nothing.

    Args:
        a, b: (N, D) the pairs.   same: (N,) bool or {0, 1}, y.
    Returns:
        (N,). Different things in exactly the same place have no direction to part in: their gradient is zero.
    """
    squared = ((a - b) ** 2).sum(-1)
    apart = squared > _TINY
    distance = torch.where(apart, torch.where(apart, squared, 1.0).sqrt(), 0.0)
    y = same.to(a.dtype)
    return y * squared + (1 - y) * (margin - distance).clamp_min(0) ** 2


def contrastive_loss(a: Tensor, b: Tensor, same: Tensor, margin: float = 1.0) -> Tensor:
    """The mean of ``contrastive_terms`` over the pairs, a scalar."""
    return contrastive_terms(a, b, same, margin).mean()


def triplet_terms(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 0.2) -> Tensor:
    """Triplet loss of each triplet (Schroff, Kalenichenko, Philbin 2015, arXiv:1503.03832).

    max(0, m + d(a, p)^2 - d(a, n)^2); (N, D) three times -> (N,).
    """
    near = ((anchor - positive) ** 2).sum(-1)
    far = ((anchor - negative) ** 2).sum(-1)
    return (margin + near - far).clamp_min(0)


def triplet_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 0.2) -> Tensor:
    """The mean of ``triplet_terms``, a scalar; zero (with a graph) for no triplets."""
    terms = triplet_terms(anchor, positive, negative, margin)
    return terms.mean() if len(terms) else anchor.sum() * 0


@torch.no_grad()
def mine_triplets(
    embeddings: Tensor,
    labels: Tensor,
    margin: float = 0.2,
    mining: Mining = "semi-hard",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Triplets of a batch: for every anchor and positive (all ordered pairs of one label) a negative.

    Args:
        embeddings: (N, D).   labels: (N,) integers.
        mining: "hard" takes the negative nearest to the anchor; "semi-hard" the nearest of those farther away than the
            positive but within the margin (Schroff et al. 2015, section 3.2), and leaves out pairs without one;
            "random" any negative; "all" every negative.
        generator: for "random"; None for torch's own.
    Returns:
        (T, 3) long: anchor, positive, negative; ordered by anchor, then positive.
    """
    if mining not in MINING:
        raise ValueError(f"mining must be one of {', '.join(MINING)}, not {mining!r}")
    same = labels[:, None] == labels[None, :]
    count = len(labels)
    pairs = (same & ~torch.eye(count, dtype=torch.bool, device=labels.device)).nonzero()  # (P, 2)
    anchor, positive = pairs[:, 0], pairs[:, 1]
    allowed = ~same[anchor]  # (P, N)
    if mining == "all":
        rows = allowed.nonzero()
        return torch.cat([pairs[rows[:, 0]], rows[:, 1:]], 1)
    squared = squared_distances(embeddings, embeddings)
    if mining == "random":
        order = torch.rand(allowed.shape, generator=generator, device="cpu").to(squared.device)
    else:
        order = squared[anchor]
        if mining == "semi-hard":
            near = squared[anchor, positive][:, None]
            allowed = allowed & (order > near) & (order < near + margin)
    negative = order.masked_fill(~allowed, torch.inf).argmin(1) if count else anchor
    kept = allowed.any(1)
    return torch.stack([anchor, positive, negative], 1)[kept]


def nt_xent_logits(views: Tensor, temperature: float = 0.5) -> Tensor:
    """(2N, 2N) cosine similarities of all views divided by the temperature; the diagonal is -infinity."""
    unit = F.normalize(views, dim=1)
    diagonal = torch.eye(len(views), dtype=torch.bool, device=views.device)
    return (unit @ unit.T / temperature).masked_fill(diagonal, -torch.inf)


def partners(count: int) -> Tensor:
    """(2N,) long: row i and row i + N are the two views of picture i."""
    half = count // 2
    return torch.cat([torch.arange(half, count), torch.arange(half)])


def nt_xent_terms(views: Tensor, temperature: float = 0.5) -> Tensor:
    """Each view's part of the normalised temperature-scaled cross-entropy, (2N,)."""
    if len(views) % 2 or len(views) < 2:
        raise ValueError(f"two views of each picture are needed, not {len(views)} rows")
    logits = nt_xent_logits(views, temperature)
    return F.cross_entropy(logits, partners(len(views)).to(views.device), reduction="none")


def nt_xent_loss(views: Tensor, temperature: float = 0.5) -> Tensor:
    """NT-Xent of SimCLR (Chen et al. 2020, arXiv:2002.05709, equation 1): the mean of ``nt_xent_terms``.

    views: (2N, D), the first views of N pictures, then their second views; of any length, only directions count.
    """
    return nt_xent_terms(views, temperature).mean()


def angular_margin_logits(
    embeddings: Tensor, prototypes: Tensor, labels: Tensor, margin: float = 0.5, scale: float = 32.0
) -> Tensor:
    """ArcFace's logits (Deng et al. 2019, arXiv:1801.07698): s cos(theta + m) for the true class, s cos(theta) else.

    Beyond theta + m = pi the cosine would rise again; there the straight line cos(theta) - m sin(m) goes on falling.

    Args:
        embeddings: (B, D).   prototypes: (C, D), a direction for each class; both of any length.
        labels: (B,) long.   margin: radians.
    Returns:
        (B, C).
    """
    cosine = F.normalize(embeddings, dim=1) @ F.normalize(prototypes, dim=1).T
    true = cosine.gather(1, labels[:, None])
    # sin has an infinite slope where the cosine is one; the clamp keeps its gradient finite.
    sine = (1 - true**2).clamp_min(1e-7).sqrt()
    moved = true * np.cos(margin) - sine * np.sin(margin)
    harder = torch.where(true > -np.cos(margin), moved, true - margin * np.sin(margin))
    return scale * cosine.scatter(1, labels[:, None], harder)


def angular_margin_loss(
    embeddings: Tensor, prototypes: Tensor, labels: Tensor, margin: float = 0.5, scale: float = 32.0
) -> Tensor:
    """Cross-entropy over ``angular_margin_logits``, a scalar; zero (with a graph) for no faces."""
    if not len(labels):
        return embeddings.sum() * 0 + prototypes.sum() * 0
    return F.cross_entropy(angular_margin_logits(embeddings, prototypes, labels, margin, scale), labels)


def distillation_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - cos between each embedding and its teacher's, averaged; (N, D) twice -> scalar in [0, 2].

    Only directions count: the teacher's embeddings are compared by their angles, so that is what is handed on.
    """
    return (1 - F.cosine_similarity(student, teacher, dim=1)).mean()


def value_and_gradient(loss: Callable[[Tensor], Tensor], points: np.ndarray) -> tuple[float, np.ndarray]:
    """A loss and its gradient for points (N, D) float: for the page's arrows.

    ``loss`` takes the points as a tensor and returns a scalar. Gradient descent moves each point against its row.
    """
    place = torch.tensor(np.asarray(points, np.float64), requires_grad=True)
    with torch.enable_grad():
        value = loss(place)
        (gradient,) = torch.autograd.grad(value, place)
    return float(value.detach()), gradient.numpy()
