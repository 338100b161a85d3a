import copy

import numpy as np
import pytest
import torch
from torch import nn

from cvdemo.classification.why_methods import (
    grad_cam,
    input_gradient,
    logits_of,
    occlusion,
    randomised,
    rank_correlation,
)
from cvdemo.core.errors import Cancelled, CvDemoError

CLASSES = 5


class Pooled(nn.Module):
    """Convolution, in-place ReLU, mean over the picture, linear layer."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x):
        return self.head(torch.relu_(self.conv(x)).mean((2, 3)))


class Flat(nn.Module):
    """A head that weights every cell by itself, so that the mean over cells in Grad-CAM matters."""

    def __init__(self, side):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True))
        self.head = nn.Linear(4 * side * side, CLASSES)

    def forward(self, x):
        return self.head(self.conv(x).flatten(1))


class Deep(nn.Module):
    """Smooth and non-linear, with normalisation: for gradients and randomisation."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Softplus())
        self.second = nn.Sequential(nn.Conv2d(6, 8, 3, stride=2, padding=1), nn.Softplus())
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x):
        return self.head(self.second(self.first(x)).mean((2, 3)))


def frozen(module):
    return module.eval().requires_grad_(False)


def random_input(side=8, seed=0, dtype=torch.float32):
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(seed)).to(dtype)


def convolve(x, weight, bias):
    """3x3 'same' convolution of (3, H, W) in plain numpy."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    out = np.zeros((len(weight), *x.shape[1:]))
    for k in range(len(weight)):
        for row in range(x.shape[1]):
            for column in range(x.shape[2]):
                out[k, row, column] = (padded[:, row : row + 3, column : column + 3] * weight[k]).sum() + bias[k]
    return out


# ---------------------------------------------------------------- Grad-CAM


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_grad_cam_of_a_pooled_network_is_the_class_activation_map(seed):
    torch.manual_seed(seed)
    module, x = frozen(Pooled()), random_input(seed=seed)
    found = grad_cam(module, x, "conv", class_index=seed)
    before_relu = convolve(x[0].numpy(), module.conv.weight.numpy(), module.conv.bias.numpy())
    # dy/dA = w_k / (h w) where the ReLU lets it through, and the layer's own output is the map before it
    above_mean = module.head.weight.numpy()[seed] - module.head.weight.numpy().mean(0)
    gradient = (before_relu > 0) * above_mean[:, None, None] / 64
    expected = np.maximum((gradient.mean((1, 2))[:, None, None] * before_relu).sum(0), 0)
    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.logits, module(x)[0].numpy(), rtol=1e-5)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_grad_cam_averages_the_gradient_over_the_cells(seed):
    torch.manual_seed(seed)
    module, x = frozen(Flat(8)), random_input(seed=seed)
    found = grad_cam(module, x, "conv", class_index=4)
    activation = np.maximum(convolve(x[0].numpy(), module.conv[0].weight.numpy(), module.conv[0].bias.numpy()), 0)
    above_mean = module.head.weight.numpy()[4] - module.head.weight.numpy().mean(0)
    weights = above_mean.reshape(4, 8, 8).mean((1, 2))
    np.testing.assert_allclose(
        found.values, np.maximum(np.einsum("k,kij->ij", weights, activation), 0), rtol=1e-4, atol=1e-6
    )


def test_grad_cam_does_not_depend_on_what_all_logits_have_in_common():
    """Softmax is blind to a constant added to every logit: also when it makes all of them negative."""
    torch.manual_seed(0)
    module, x = frozen(Pooled()), random_input()
    before = grad_cam(module, x, "conv", 2)
    module.head.weight.data -= 3.0
    module.head.bias.data -= 3.0
    after = grad_cam(module, x, "conv", 2)
    assert before.values.max() > 0
    assert (after.logits < 0).all()
    np.testing.assert_allclose(after.values, before.values, rtol=1e-3, atol=1e-5)


def test_grad_cam_leaves_network_and_input_alone():
    module, x = frozen(Flat(8)), random_input()
    state, given = copy.deepcopy(module.state_dict()), x.clone()
    before = logits_of(module, x)
    grad_cam(module, x, "conv", 0)
    assert not module.conv._forward_hooks
    assert torch.equal(x, given)
    assert all(torch.equal(state[name], value) for name, value in module.state_dict().items())
    np.testing.assert_array_equal(before, logits_of(module, x))


def test_grad_cam_of_a_layer_without_a_map_says_so_and_removes_its_hook():
    module = frozen(Pooled())
    with pytest.raises(CvDemoError, match="feature map"):
        grad_cam(module, random_input(), "head", 0)
    assert not module.head._forward_hooks


# ---------------------------------------------------------------- gradients


@pytest.mark.parametrize("seed", [0, 1])
def test_input_gradient_matches_finite_differences(seed):
    torch.manual_seed(seed)
    module, x = frozen(Deep().double()), random_input(6, seed, torch.float64)
    found = input_gradient(module, x, class_index=2)
    step = 1e-5
    moves = torch.eye(x.numel(), dtype=torch.float64).reshape(-1, 3, 6, 6) * step
    slopes = (module(x + moves)[:, 2] - module(x - moves)[:, 2]) / (2 * step)
    expected = slopes.reshape(3, 6, 6).abs().amax(0).numpy()
    np.testing.assert_allclose(found.values, expected, rtol=1e-4)
    assert found.values.dtype == np.float32


@pytest.mark.parametrize("samples", [1, 3, 4, 9])
def test_smoothing_changes_nothing_where_the_gradient_is_the_same_everywhere(samples):
    torch.manual_seed(0)
    module = frozen(nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, CLASSES)))
    found = input_gradient(module, random_input(), 1, samples=samples, noise=0.5)
    expected = np.abs(module[1].weight.numpy()[1].reshape(3, 8, 8)).max(0)
    np.testing.assert_allclose(found.values, expected, rtol=1e-5)


def test_smooth_grad_is_the_mean_over_the_noisy_copies():
    class Cubes(nn.Module):
        def forward(self, x):
            return (x**3).sum((1, 2, 3))[:, None]

    x = random_input()
    found = input_gradient(Cubes().eval(), x, 0, samples=400, noise=0.2, seed=3)
    # the mean of 3 (x + e)^2 is 3 x^2 + 3 sigma^2
    sigma = 0.2 * float(x.max() - x.min())
    expected = (3 * x**2 + 3 * sigma**2).amax(1)[0].numpy()
    np.testing.assert_allclose(found.values, expected, atol=0.25)
    again = input_gradient(Cubes().eval(), x, 0, samples=400, noise=0.2, seed=3)
    np.testing.assert_array_equal(found.values, again.values)
    np.testing.assert_allclose(found.logits, (x**3).sum().numpy()[None], rtol=1e-5)


def test_gradients_that_overflow_count_as_none():
    class Root(nn.Module):
        def forward(self, x):
            return x.sqrt().sum((1, 2, 3))[:, None]

    found = input_gradient(Root().eval(), torch.zeros(1, 3, 4, 4), 0)
    np.testing.assert_array_equal(found.values, np.zeros((4, 4)))


def test_samples_must_be_positive():
    with pytest.raises(ValueError, match="samples"):
        input_gradient(frozen(Pooled()), random_input(), 0, samples=0)


# ---------------------------------------------------------------- occlusion


def brute_force(module, x, class_index, cells, share):
    """The fall of the probability for every patch of a cells x cells grid, one forward pass each."""

    def probability(picture):
        logits = module(picture)[0].numpy().astype(np.float64)
        return (np.exp(logits) / np.exp(logits).sum())[class_index]

    whole, side = probability(x), x.shape[-1]
    patch = max(1, round(share * side))
    out = np.zeros((cells, cells))
    for row in range(cells):
        for column in range(cells):
            y, z = (round((n + 0.5) * side / cells - patch / 2) for n in (row, column))
            covered = x.clone()
            for channel in range(3):
                covered[0, channel, max(y, 0) : y + patch, max(z, 0) : z + patch] = x[0, channel].mean()
            out[row, column] = whole - probability(covered)
    return out


@pytest.mark.parametrize(
    ("side", "cells", "share"),
    [
        pytest.param(16, 4, 0.25, id="patches meet"),
        pytest.param(16, 4, 0.5, id="patches overlap and are cut at the edges"),
        pytest.param(17, 3, 0.2, id="nothing divides"),
        pytest.param(16, 1, 1.0, id="one patch covers all"),
    ],
)
def test_occlusion_equals_brute_force_when_everything_is_refined(side, cells, share):
    torch.manual_seed(1)
    module, x = frozen(Deep()), random_input(side, 1)
    module.head.weight.mul_(20)
    found = occlusion(module, x, 3, cells=cells, patch_share=share, refine_share=1.0)
    expected = brute_force(module, x, 3, 2 * cells, share)
    np.testing.assert_allclose(found.values, expected, atol=1e-6)
    np.testing.assert_allclose(found.logits, module(x)[0].numpy(), rtol=1e-5)


def test_occlusion_refines_the_most_influential_half_and_leaves_the_rest_coarse():
    torch.manual_seed(2)
    module, x = frozen(Deep()), random_input(16, 2)
    module.head.weight.mul_(20)
    found = occlusion(module, x, 0, cells=4, patch_share=0.25).values
    coarse, fine = brute_force(module, x, 0, 4, 0.25), brute_force(module, x, 0, 8, 0.25)
    refined = np.zeros(16, bool)
    refined[np.argsort(-coarse.ravel())[:8]] = True
    where = np.repeat(np.repeat(refined.reshape(4, 4), 2, 0), 2, 1)
    expected = np.where(where, fine, np.repeat(np.repeat(coarse, 2, 0), 2, 1))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_occlusion_without_refinement_is_the_coarse_grid():
    module, x = frozen(Deep()), random_input(16, 2)
    found = occlusion(module, x, 0, cells=4, patch_share=0.25, refine_share=0.0).values
    coarse = brute_force(module, x, 0, 4, 0.25)
    np.testing.assert_allclose(found, np.kron(coarse, np.ones((2, 2))), atol=1e-6)


def test_occlusion_works_in_batches_of_sixteen_and_reports_before_each():
    sizes, seen = [], []
    network = frozen(Deep())

    def counted(batch):
        sizes.append(len(batch))
        return network(batch)

    occlusion(counted, random_input(), 0, cells=6, report=lambda fraction, text: seen.append(fraction))
    assert sizes == [1, 16, 16, 4, 16, 16, 16, 16, 8]
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)


def test_occlusion_stops_where_the_report_raises():
    calls = []

    def stop(fraction, text):
        calls.append(fraction)
        if fraction > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        occlusion(frozen(Deep()), random_input(), 0, report=stop)
    assert calls[-1] < 0.5


@pytest.mark.parametrize("wrong", [{"cells": 0}, {"patch_share": 0.0}, {"patch_share": 1.5}, {"refine_share": -0.1}])
def test_occlusion_refuses_parameters_out_of_range(wrong):
    with pytest.raises(ValueError, match="out of range"):
        occlusion(frozen(Deep()), random_input(), 0, **wrong)


# ---------------------------------------------------------------- randomised layers


def changed(module, other):
    """Names of the parameters that differ."""
    return {name for name, value in module.state_dict().items() if not torch.equal(value, other.state_dict()[name])}


@pytest.mark.parametrize(
    ("cascade", "expected"),
    [
        ("top", {"head.weight", "head.bias"}),
        (2, {"head.weight", "head.bias", "second.0.weight", "second.0.bias"}),
        (99, {"first.0.weight", "first.0.bias", "second.0.weight", "second.0.bias", "head.weight", "head.bias"}),
    ],
)
def test_randomised_replaces_layers_from_the_top(cascade, expected):
    torch.manual_seed(0)
    module = frozen(Deep())
    before = copy.deepcopy(module.state_dict())
    fresh = randomised(module, 0, cascade)
    # a fresh normalisation is constant (1 and 0): its mean and spread draw the same values again
    assert changed(module, fresh) == expected
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_randomising_all_equals_randomising_every_layer_and_depends_on_the_seed_alone():
    torch.manual_seed(0)
    module = frozen(Deep())
    assert not changed(randomised(module, 5), randomised(module, 5, 4))
    assert changed(randomised(module, 5), randomised(module, 6))


def test_random_weights_keep_mean_and_spread_and_forget_the_rest():
    torch.manual_seed(0)
    module = frozen(nn.Sequential(nn.Linear(200, 200)))
    module[0].weight.mul_(3).add_(0.5)
    fresh = randomised(module, seed=7)[0].weight
    assert float(fresh.mean()) == pytest.approx(float(module[0].weight.mean()), abs=0.01)
    assert float(fresh.std()) == pytest.approx(float(module[0].weight.std()), rel=0.02)
    assert abs(rank_correlation(fresh.numpy(), module[0].weight.numpy())) < 0.02


@pytest.mark.parametrize("method", ["grad-cam", "gradient", "occlusion"])
def test_randomising_changes_the_map(method):
    torch.manual_seed(0)
    module, x = frozen(Deep()), random_input(16)

    def maps_of(network):
        if method == "grad-cam":
            return np.stack([grad_cam(network, x, "first", index).values for index in range(CLASSES)])
        explain = input_gradient if method == "gradient" else occlusion
        return np.stack([explain(network, x, index).values for index in range(CLASSES)])

    before = maps_of(module)
    assert np.abs(maps_of(randomised(module, 1)) - before).max() > 0.01 * np.abs(before).max() > 0
    np.testing.assert_array_equal(maps_of(module), before)


@pytest.mark.parametrize("cascade", ["bottom", 0, -1, True, 1.5])
def test_an_unknown_cascade_is_refused(cascade):
    with pytest.raises(ValueError, match="cascade"):
        randomised(frozen(Deep()), 0, cascade)


# ---------------------------------------------------------------- rank correlation


def slow_ranks(values):
    flat = values.ravel()
    return np.array([(flat < v).sum() + ((flat == v).sum() - 1) / 2 for v in flat])


@pytest.mark.parametrize("levels", [3, 10, 10_000])
def test_rank_correlation_is_pearsons_of_the_ranks(levels):
    rng = np.random.default_rng(levels)
    for _ in range(5):
        a, b = rng.integers(0, levels, (2, 6, 7)).astype(np.float32)
        expected = np.corrcoef(slow_ranks(a), slow_ranks(b))[0, 1]
        assert rank_correlation(a, b) == pytest.approx(expected, abs=1e-9)


def test_rank_correlation_at_its_ends():
    a = np.arange(12.0).reshape(3, 4)
    assert rank_correlation(a, a**3) == pytest.approx(1.0)
    assert rank_correlation(a, -a) == pytest.approx(-1.0)
    assert rank_correlation(a, np.ones((3, 4))) == 0.0
    with pytest.raises(ValueError, match="shapes"):
        rank_correlation(a, a.T)
