"""The style losses against closed forms, numpy and numerical gradients."""

import numpy as np
import pytest
import torch

from cvdemo.style import losses


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_gram_matrix_against_loops(rng):
    features = rng.random((2, 3, 4, 5)).astype(np.float32)
    found = losses.gram(torch.from_numpy(features)).numpy()
    for batch in range(2):
        for i in range(3):
            for j in range(3):
                expected = sum(
                    features[batch, i, y, x] * features[batch, j, y, x] for y in range(4) for x in range(5)
                ) / (4 * 5)
                assert found[batch, i, j] == pytest.approx(expected, rel=1e-5)


def test_gram_matrix_forgets_places_but_not_company():
    features = torch.rand(1, 4, 6, 6)
    shuffled = features.flatten(2)[..., torch.randperm(36)].view_as(features)
    assert torch.allclose(losses.gram(features), losses.gram(shuffled), atol=1e-6)
    one_moved = features.clone()
    one_moved[:, 0] = one_moved[:, 0].roll(3, 1)
    assert not torch.allclose(losses.gram(features), losses.gram(one_moved), atol=1e-3)


def test_statistics_are_numpys(rng):
    features = rng.random((2, 3, 8, 9)).astype(np.float32)
    mean, deviation = losses.statistics(torch.from_numpy(features))
    assert np.allclose(mean, features.mean((2, 3)), atol=1e-6)
    assert np.allclose(deviation, features.std((2, 3)), atol=1e-5)


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 3.0])
def test_what_the_numbers_mean(factor):
    target = torch.rand(1, 4, 6, 6) + 0.1
    content = losses.content_loss({"a": target * factor}, {"a": target})
    assert float(content) == pytest.approx((factor - 1) ** 2, rel=1e-4, abs=1e-6)
    style = losses.style_loss({"a": target * factor}, {"a": losses.gram(target)})
    assert float(style) == pytest.approx((factor**2 - 1) ** 2, rel=1e-4, abs=1e-6)
    pair = losses.statistics(target)
    assert float(losses.statistics_loss({"a": target * factor}, {"a": pair})) == pytest.approx(
        (factor - 1) ** 2, rel=1e-3, abs=1e-5
    )


@pytest.mark.parametrize("loss", [losses.content_loss, losses.style_loss])
def test_sizes_and_factors_of_layers_cancel_out(loss):
    def target_of(features):
        return features if loss is losses.content_loss else losses.gram(features)

    one, other = torch.rand(1, 4, 6, 6), torch.rand(1, 4, 6, 6)
    plain = float(loss({"a": one}, {"a": target_of(other)}))
    assert float(loss({"a": 50 * one}, {"a": target_of(50 * other)})) == pytest.approx(plain, rel=1e-4)
    large, large_other = one.repeat(1, 1, 3, 2), other.repeat(1, 1, 3, 2)
    assert float(loss({"a": large}, {"a": target_of(large_other)})) == pytest.approx(plain, rel=1e-4)


def test_layers_count_equally():
    zero, target = torch.zeros(1, 2, 4, 4), torch.rand(1, 2, 4, 4)
    wide = torch.rand(1, 8, 16, 16)
    both = losses.content_loss({"a": zero, "b": wide}, {"a": target, "b": wide})
    assert float(both) == pytest.approx(0.5)


def test_total_variation_in_closed_form(rng):
    board = torch.from_numpy((np.indices((6, 8)).sum(0) % 2).astype(np.float32)).expand(1, 3, 6, 8)
    assert float(losses.total_variation(board)) == pytest.approx(1.0)
    assert float(losses.total_variation(torch.full((1, 3, 5, 5), 0.3))) == 0.0
    ramp = torch.arange(8.0).expand(1, 3, 6, 8) / 10
    assert float(losses.total_variation(ramp)) == pytest.approx(0.01 / 2, rel=1e-4)
    picture = rng.random((1, 3, 5, 6))
    expected = (np.diff(picture, axis=3) ** 2).mean() / 2 + (np.diff(picture, axis=2) ** 2).mean() / 2
    assert float(losses.total_variation(torch.from_numpy(picture))) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["content", "style", "statistics", "variation"])
def test_gradients_are_the_numerical_ones(name):
    torch.manual_seed(3)
    target = torch.rand(1, 3, 4, 4, dtype=torch.float64)
    x = torch.rand(1, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    function = {
        "content": lambda v: losses.content_loss({"a": v}, {"a": target}),
        "style": lambda v: losses.style_loss({"a": v}, {"a": losses.gram(target)}),
        "statistics": lambda v: losses.statistics_loss({"a": v}, {"a": losses.statistics(target)}),
        "variation": losses.total_variation,
    }[name]
    assert torch.autograd.gradcheck(function, (x,))


def test_the_gradient_of_the_style_loss_in_closed_form():
    """d|G - A|² / dF = 4 (G - A) F / N for symmetric G and A, N positions."""
    torch.manual_seed(4)
    x = torch.rand(1, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    target = losses.gram(torch.rand(1, 3, 7, 2, dtype=torch.float64))
    losses.style_loss({"a": x}, {"a": target}).backward()
    flat = x.detach().flatten(2)
    expected = 4 * (losses.gram(x.detach()) - target) @ flat / 20 / target.square().sum()
    assert torch.allclose(x.grad.flatten(2), expected)


def test_blending_grams_is_approaching_all_styles_at_once():
    one, two = ({"a": losses.gram(torch.rand(1, 3, 5, 5))} for _ in range(2))
    target = losses.blended([one, two], [3, 1])["a"]
    assert torch.allclose(target, 0.75 * one["a"] + 0.25 * two["a"])

    def together(g):
        return 0.75 * (g - one["a"]).square().sum() + 0.25 * (g - two["a"]).square().sum()

    first, second = torch.rand(1, 3, 3), torch.rand(1, 3, 3)
    apart = together(first) - together(second)
    mixed = (first - target).square().sum() - (second - target).square().sum()
    assert float(apart) == pytest.approx(float(mixed), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("weights", [[1.0], [0.0, 0.0], [1.0, -0.5], []])
def test_unusable_blend_weights(weights):
    with pytest.raises(ValueError, match="2 weights"):
        losses.shares_of(weights, 2)


def test_the_ratio_in_words():
    assert losses.ratio_text(1, 10) == "style : content = 10 : 1"
    assert losses.ratio_text(4, 1) == "style : content = 1 : 4"
    assert "inversion" in losses.ratio_text(1, 0)
    assert "texture" in losses.ratio_text(0, 1)
    assert "neither" in losses.ratio_text(0, 0)


def test_an_empty_target_gives_no_infinity():
    zero = torch.zeros(1, 2, 3, 3)
    assert float(losses.style_loss({"a": zero}, {"a": losses.gram(zero)})) == 0.0
    assert np.isfinite(float(losses.content_loss({"a": zero + 1}, {"a": zero})))


def test_colour_loss_is_that_of_cells_of_four_pixels(rng):
    picture, style = (rng.random((2, 3, 16, 20)).astype(np.float32) for _ in range(2))

    def figures(x):
        cells = x.reshape(2, 3, 4, 4, 5, 4).mean((3, 5))
        return np.stack([cells.mean((2, 3)), cells.std((2, 3))])

    expected = np.square(figures(picture) - figures(style)).sum() / np.square(figures(style)).sum()
    found = losses.colour_loss(torch.from_numpy(picture), torch.from_numpy(style))
    assert float(found) == pytest.approx(float(expected), rel=1e-4)


def test_colour_loss_does_not_see_patterns_finer_than_its_cells():
    chessboard = (torch.arange(16)[:, None] + torch.arange(16)) % 2
    grey = torch.full((1, 3, 16, 16), 0.5)
    assert float(losses.colour_loss(chessboard.float().expand(1, 3, 16, 16), grey)) == pytest.approx(0, abs=1e-8)
