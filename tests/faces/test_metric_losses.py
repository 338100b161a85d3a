"""The losses against closed forms, loops over every pair and triplet, and autograd's numerical check."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cvdemo.faces.metric_losses import (
    MINING,
    angular_margin_logits,
    angular_margin_loss,
    contrastive_loss,
    contrastive_terms,
    distillation_loss,
    mine_triplets,
    nt_xent_loss,
    nt_xent_terms,
    squared_distances,
    triplet_loss,
    triplet_terms,
    value_and_gradient,
)


def random(*shape, seed=0, grad=False):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_(grad)


def test_contrastive_by_the_lecture_s_formula():
    a = torch.zeros(4, 2, dtype=torch.float64)
    b = torch.tensor([[0.3, 0.4], [0.3, 0.4], [3.0, 4.0], [0.0, 0.0]], dtype=torch.float64)
    terms = contrastive_terms(a, b, torch.tensor([1, 0, 0, 0]), margin=1.0)
    torch.testing.assert_close(terms, torch.tensor([0.25, 0.25, 0.0, 1.0], dtype=torch.float64))
    assert contrastive_loss(a, b, torch.tensor([1, 0, 0, 0])).item() == pytest.approx(0.375)


def test_contrastive_gradient_of_a_pair_points_along_the_pair():
    points = np.array([[0.0, 0.0], [0.3, 0.4]])
    for same, along in ((True, 2 * 0.5), (False, -2 * (1 - 0.5))):
        value, gradient = value_and_gradient(
            lambda p, same=same: contrastive_loss(p[:1], p[1:], torch.tensor([same])), points
        )
        np.testing.assert_allclose(gradient[1], along * np.array([0.6, 0.8]), atol=1e-12)
        np.testing.assert_allclose(gradient[0], -gradient[1], atol=1e-12)
        assert value == pytest.approx(0.25)


def test_different_things_in_one_place_have_a_finite_gradient():
    _, gradient = value_and_gradient(lambda p: contrastive_loss(p[:1], p[1:], torch.tensor([0])), np.zeros((2, 2)))
    np.testing.assert_array_equal(gradient, 0)


def test_triplet_gradients_in_the_plane():
    points = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.2]])
    value, gradient = value_and_gradient(lambda p: triplet_loss(p[:1], p[1:2], p[2:], margin=1.0), points)
    assert value == pytest.approx(1 + 1 - 1.44)
    # d/da = 2 (n - p), d/dp = 2 (p - a), d/dn = 2 (a - n)
    np.testing.assert_allclose(gradient, [[-2, 2.4], [2, 0], [0, -2.4]], atol=1e-12)
    value, gradient = value_and_gradient(lambda p: triplet_loss(p[:1], p[1:2], p[2:], margin=0.2), points)
    assert value == 0
    assert not gradient.any()


def test_triplet_against_torch_with_squared_distances():
    a, p, n = (random(20, 5, seed=s) for s in range(3))
    squared = torch.nn.TripletMarginWithDistanceLoss(distance_function=lambda x, y: ((x - y) ** 2).sum(-1), margin=0.7)
    torch.testing.assert_close(triplet_loss(a, p, n, 0.7), squared(a, p, n))
    assert triplet_loss(a[:0], p[:0], n[:0]).item() == 0


def mined_by_a_loop(x, labels, margin, mining):
    d = ((x[:, None] - x[None]) ** 2).sum(-1).numpy()
    found = []
    for a in range(len(x)):
        for p in range(len(x)):
            if a == p or labels[a] != labels[p]:
                continue
            negatives = [n for n in range(len(x)) if labels[n] != labels[a]]
            if mining == "all":
                found += [(a, p, n) for n in negatives]
                continue
            if mining == "semi-hard":
                negatives = [n for n in negatives if d[a, p] < d[a, n] < d[a, p] + margin]
            if negatives:
                found.append((a, p, min(negatives, key=lambda n: d[a, n])))
    return found


@pytest.mark.parametrize("mining", ["all", "hard", "semi-hard"])
@pytest.mark.parametrize("seed", range(3))
def test_mining_against_a_loop(mining, seed):
    x = random(14, 3, seed=seed)
    labels = torch.tensor(np.random.default_rng(seed).integers(0, 4, 14))
    mined = mine_triplets(x, labels, 1.5, mining)
    assert [tuple(row) for row in mined.tolist()] == mined_by_a_loop(x, labels.tolist(), 1.5, mining)
    assert len(mined)


def test_semi_hard_triplets_cost_less_than_the_margin_and_hard_ones_most():
    x, labels = random(30, 4, seed=1), torch.arange(30) % 5
    costs = {}
    for mining in MINING:
        a, p, n = mine_triplets(x, labels, 0.8, mining, torch.Generator().manual_seed(0)).T
        costs[mining] = triplet_terms(x[a], x[p], x[n], 0.8)
    assert costs["semi-hard"].min() > 0
    assert costs["semi-hard"].max() < 0.8
    assert costs["hard"].mean() > costs["random"].mean()
    assert costs["hard"].max() == costs["all"].max()


def test_random_mining_is_seeded_and_reaches_every_negative():
    x, labels = random(6, 2), torch.tensor([0, 0, 1, 1, 2, 2])
    draws = [mine_triplets(x, labels, 0.2, "random", torch.Generator().manual_seed(s)) for s in (1, 1, *range(40))]
    assert torch.equal(draws[0], draws[1])
    assert {int(d[0, 2]) for d in draws} == {2, 3, 4, 5}
    assert all((labels[d[:, 0]] == labels[d[:, 1]]).all() for d in draws)
    assert all((labels[d[:, 0]] != labels[d[:, 2]]).all() for d in draws)


def test_batches_without_triplets():
    assert mine_triplets(random(3, 2), torch.tensor([0, 1, 2]), mining="hard").shape == (0, 3)
    assert mine_triplets(random(3, 2), torch.tensor([0, 0, 0]), mining="hard").shape == (0, 3)
    assert mine_triplets(random(0, 2), torch.zeros(0, dtype=torch.long)).shape == (0, 3)
    with pytest.raises(ValueError, match="mining must be"):
        mine_triplets(random(3, 2), torch.tensor([0, 0, 1]), mining="easy")


def test_nt_xent_against_a_loop():
    x = random(8, 5, seed=2)
    unit = (x / x.norm(dim=1, keepdim=True)).numpy()
    temperature, expected = 0.3, []
    for i in range(8):
        j = (i + 4) % 8
        others = sum(math.exp(unit[i] @ unit[k] / temperature) for k in range(8) if k != i)
        expected.append(-math.log(math.exp(unit[i] @ unit[j] / temperature) / others))
    np.testing.assert_allclose(nt_xent_terms(x, temperature).numpy(), expected, atol=1e-12)
    assert nt_xent_loss(x, temperature).item() == pytest.approx(np.mean(expected))


def test_nt_xent_closed_forms():
    same = torch.ones(6, 3, dtype=torch.float64)
    assert nt_xent_loss(same).item() == pytest.approx(math.log(5))  # nothing to tell apart: 2N - 1 equal candidates
    axes = torch.eye(3, dtype=torch.float64).repeat(2, 1)
    for t in (0.1, 0.5, 1.0):
        assert nt_xent_loss(axes * 7, t).item() == pytest.approx(math.log(1 + 4 * math.exp(-1 / t)))
    with pytest.raises(ValueError, match="two views"):
        nt_xent_loss(torch.ones(3, 2))


def test_the_angular_margin_is_added_to_the_angle():
    x, w, labels = random(12, 6, seed=3), random(5, 6, seed=4), torch.arange(12) % 5
    cosine = F.normalize(x, dim=1) @ F.normalize(w, dim=1).T
    logits = angular_margin_logits(x, w, labels, margin=0.4, scale=10.0)
    for i in range(12):
        for c in range(5):
            theta = math.acos(cosine[i, c])
            if c == labels[i]:
                plain = theta + 0.4 < math.pi
                expected = math.cos(theta + 0.4) if plain else math.cos(theta) - 0.4 * math.sin(0.4)
            else:
                expected = math.cos(theta)
            assert logits[i, c].item() == pytest.approx(10 * expected, abs=1e-9)


def test_without_a_margin_it_is_a_softmax_over_cosines_and_a_margin_costs():
    x, w, labels = random(9, 4, seed=5), random(3, 4, seed=6), torch.arange(9) % 3
    plain = F.cross_entropy(8 * F.normalize(x, dim=1) @ F.normalize(w, dim=1).T, labels)
    torch.testing.assert_close(angular_margin_loss(x, w, labels, 0.0, 8.0), plain)
    assert angular_margin_loss(x, w, labels, 0.3, 8.0) > plain
    assert angular_margin_loss(x[:0], w, labels[:0]).item() == 0


def test_the_true_logit_falls_all_the_way_round():
    angles = torch.linspace(0.01, math.pi - 0.01, 200, dtype=torch.float64)
    x = torch.stack([angles.cos(), angles.sin()], 1)
    w = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    logits = angular_margin_logits(x, w, torch.zeros(200, dtype=torch.long), 0.5, 1.0)[:, 0]
    assert (logits.diff() < 0).all()


def test_distillation_sees_directions_only():
    student, teacher = random(7, 5, seed=7), random(7, 5, seed=8)
    assert distillation_loss(3 * teacher, teacher).item() == pytest.approx(0, abs=1e-12)
    assert distillation_loss(-teacher, teacher).item() == pytest.approx(2)
    unit = F.normalize(student, dim=1) - F.normalize(teacher, dim=1)
    assert distillation_loss(student, teacher).item() == pytest.approx((unit**2).sum(1).mean().item() / 2)


def test_distances_against_a_loop():
    a, b = random(5, 3, seed=1), random(4, 3, seed=2)
    torch.testing.assert_close(squared_distances(a, b), torch.cdist(a, b) ** 2)


def test_gradients_numerically():
    labels, same = torch.tensor([0, 1, 2, 1]), torch.tensor([1, 0, 1, 0])
    four = [random(4, 3, seed=s, grad=True) for s in range(3)]
    check = torch.autograd.gradcheck
    assert check(lambda a, b: contrastive_loss(a, b, same, 4.0), four[:2])
    assert check(lambda a, p, n: triplet_loss(a, p, n, 5.0), four)
    assert check(lambda v: nt_xent_loss(v, 0.4), four[:1])
    assert check(lambda x, w: angular_margin_loss(x, w, labels, 0.3, 6.0), (four[0], random(3, 3, seed=9, grad=True)))
    assert check(distillation_loss, four[:2])
