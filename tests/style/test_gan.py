"""The small GAN: its losses in closed form, its repeatability, and that it learns a ring."""

import math

import numpy as np
import pytest
import torch

from cvdemo.core.errors import InputError
from cvdemo.style import gan
from cvdemo.style.gan import Gan, GanSettings, example_points


def test_losses_in_closed_form():
    real, fake = torch.tensor([[2.0], [0.0]]), torch.tensor([[-1.0], [3.0]])
    d_real, d_fake = 1 / (1 + np.exp(-real.numpy())), 1 / (1 + np.exp(-fake.numpy()))
    expected = -np.log(d_real).mean() - np.log(1 - d_fake).mean()
    assert float(gan.discriminator_loss(real, fake)) == pytest.approx(expected, rel=1e-5)
    assert float(gan.generator_loss(fake, "non-saturating")) == pytest.approx(-np.log(d_fake).mean(), rel=1e-5)
    assert float(gan.generator_loss(fake, "minimax")) == pytest.approx(np.log(1 - d_fake).mean(), rel=1e-5)


def test_balance_is_what_one_half_everywhere_costs():
    zero = torch.zeros(4, 1)
    found = (float(gan.discriminator_loss(zero, zero)), float(gan.generator_loss(zero, "non-saturating")))
    assert found == pytest.approx(gan.BALANCE)
    assert gan.BALANCE[1] == pytest.approx(math.log(2))


def test_a_sure_discriminator_leaves_minimax_hardly_a_gradient():
    slopes = {}
    for objective in gan.OBJECTIVES:
        logit = torch.tensor([-6.0], requires_grad=True)
        gan.generator_loss(logit, objective).backward()
        slopes[objective] = abs(float(logit.grad))
    assert slopes["non-saturating"] > 100 * slopes["minimax"]


def test_the_same_seed_plays_the_same_game():
    points = example_points("ring", 64)
    one, two = (Gan(points, GanSettings(seed=4)) for _ in range(2))
    torch.rand(3)  # what others draw does not matter
    assert one.step(3) == two.step(3)
    assert (one.samples(10) == two.samples(10)).all()
    assert Gan(points, GanSettings(seed=5)).step(3) != one.history[-1]


def test_it_learns_where_the_points_are():
    points = example_points("eight spots", 256) * 0.2 + np.float32([0.9, -0.6])
    game = Gan(points, GanSettings(hidden=24, batch=64, rate_g=3e-3, rate_d=5e-3))
    before = np.abs(game.samples().mean(0) - points.mean(0)).max()
    game.step(250)
    after = game.samples()
    assert np.abs(after.mean(0) - points.mean(0)).max() < 0.4 * before
    assert len(game.history) == game.steps == 250


def test_the_discriminator_alone_would_tell_them_apart():
    game = Gan(example_points("ring"), GanSettings(rate_g=1e-5, rate_d=0.02, d_steps=5))
    last = game.step(20)
    assert last.real > 0.8 > 0.3 > last.fake
    assert last.discriminator < gan.BALANCE[0]


def test_the_field_is_the_discriminators_answer():
    game = Gan(example_points("spiral", 50))
    field = game.field(5, 2.0)
    assert field.shape == (5, 5)
    corner = game.discriminator(torch.tensor([[2.0, 2.0]])).sigmoid()
    assert field[0, -1] == pytest.approx(float(corner.detach()), rel=1e-5)
    assert 0 <= field.min() <= field.max() <= 1


def test_settings_change_while_it_plays():
    game = Gan(example_points("two moons"))
    game.step()
    game.change(GanSettings(rate_g=0.01, objective="minimax"))
    assert game.of_g.param_groups[0]["lr"] == 0.01
    assert game.step().generator < 0
    with pytest.raises(InputError, match="sizes"):
        game.change(GanSettings(hidden=8))


@pytest.mark.parametrize("shape", gan.SHAPES)
def test_shapes(shape):
    points = example_points(shape, 100, 1)
    assert points.shape == (100, 2)
    assert np.abs(points).max() < 1.3


@pytest.mark.parametrize("points", [np.zeros((3, 2)), np.zeros((20, 3)), np.full((20, 2), np.nan)])
def test_unusable_points(points):
    with pytest.raises(InputError):
        Gan(points)
    with pytest.raises(InputError, match="ring"):
        example_points("cube")
