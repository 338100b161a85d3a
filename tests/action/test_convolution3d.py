"""Sizes, costs and values of 3-D convolutions against torch on random settings."""

import numpy as np
import pytest
import torch
from torch import nn

from cvdemo.action.convolution3d import Convolution3d, cost_words
from cvdemo.core.errors import InputError


def random_settings(seed):
    rng = np.random.default_rng(seed)
    kernel = tuple(int(v) for v in rng.integers(1, 4, 3))
    settings = {
        "channels_in": int(rng.integers(1, 4)),
        "channels_out": int(rng.integers(1, 4)),
        "kernel": kernel,
        "stride": tuple(int(v) for v in rng.integers(1, 4, 3)),
        "padding": tuple(int(v) for v in rng.integers(0, 3, 3)),
        "dilation": tuple(int(v) for v in rng.integers(1, 4, 3)),
        "bias": bool(rng.random() < 0.5),
    }
    return settings, tuple(int(v) for v in rng.integers(7, 12, 3)), rng


def torch_layer(settings):
    names = {"channels_in": "in_channels", "channels_out": "out_channels", "kernel": "kernel_size"}
    return nn.Conv3d(**{names.get(name, name): value for name, value in settings.items()}).double()


@pytest.mark.parametrize("seed", range(40))
def test_size_parameters_and_values_are_torchs(seed):
    settings, size, rng = random_settings(seed)
    layer, own = torch_layer(settings), Convolution3d(**settings)
    volume = rng.normal(size=(settings["channels_in"], *size))
    with torch.no_grad():
        expected = layer(torch.from_numpy(volume)[None])[0].numpy()
    assert own.output_size(size) == expected.shape[1:]
    assert own.parameters == sum(p.numel() for p in layer.parameters())
    bias = None if layer.bias is None else layer.bias.detach().numpy()
    np.testing.assert_allclose(own(volume, layer.weight.detach().numpy(), bias), expected, atol=1e-10)


@pytest.mark.parametrize("seed", range(10))
def test_multiply_adds_are_counted_by_torch(seed):
    from torch.utils.flop_counter import FlopCounterMode

    settings, size, _ = random_settings(seed)
    layer = torch_layer({**settings, "bias": False})
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        layer(torch.zeros(1, settings["channels_in"], *size, dtype=torch.float64))
    assert Convolution3d(**settings).multiply_adds(size) * 2 == counter.get_total_flops()


@pytest.mark.parametrize("seed", range(10))
def test_causal_ones_are_torchs_with_all_padding_before(seed):
    settings, size, rng = random_settings(seed)
    own = Convolution3d(**settings, causal=True)
    layer = torch_layer({**settings, "padding": (0, *settings["padding"][1:])})
    volume = rng.normal(size=(settings["channels_in"], *size))
    before = settings["dilation"][0] * (settings["kernel"][0] - 1)
    with torch.no_grad():
        padded = nn.functional.pad(torch.from_numpy(volume)[None], (0, 0, 0, 0, before, 0))
        expected = layer(padded)[0].numpy()
    bias = None if layer.bias is None else layer.bias.detach().numpy()
    np.testing.assert_allclose(own(volume, layer.weight.detach().numpy(), bias), expected, atol=1e-10)
    assert not own.sees_the_future()


def test_a_causal_output_does_not_change_with_the_future():
    rng = np.random.default_rng(0)
    weight, volume = rng.normal(size=(1, 1, 3, 3, 3)), rng.normal(size=(1, 8, 5, 5))
    changed = volume.copy()
    changed[:, 5:] += 1
    for causal, same in ((True, True), (False, False)):
        own = Convolution3d(1, 1, (3, 3, 3), padding=(1, 1, 1), causal=causal)
        before, after = own(volume, weight), own(changed, weight)
        assert before.shape == (1, 8, 5, 5)
        assert np.allclose(before[:, :5], after[:, :5]) == same
        assert own.sees_the_future() != causal


@pytest.mark.parametrize("seed", range(10))
def test_positions_and_taps_are_where_the_values_come_from(seed):
    settings, size, rng = random_settings(seed)
    settings |= {"channels_in": 1, "channels_out": 1}
    own = Convolution3d(**settings)
    out_size = own.output_size(size)
    places = list(own.positions(size))
    assert len(places) == np.prod(out_size)
    output = tuple(int(rng.integers(0, extent)) for extent in out_size)
    taps = own.taps(output)
    assert tuple(taps[0]) == places[np.ravel_multi_index(output, out_size)]
    assert len(taps) == np.prod(settings["kernel"])
    volume, weight = rng.normal(size=(1, *size)), rng.normal(size=(1, 1, *settings["kernel"]))
    inside = ((taps >= 0) & (taps < np.array(size))).all(axis=1)
    value = sum(w * volume[(0, *tap)] for w, tap, ok in zip(weight.ravel(), taps, inside) if ok)
    assert own(volume, weight)[(0, *output)] == pytest.approx(value)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="reaches over 5 places in time"):
        Convolution3d(1, 1, (3, 1, 1), dilation=(2, 1, 1)).output_size((4, 9, 9))
    with pytest.raises(InputError, match="or more"):
        Convolution3d(1, 1, (0, 1, 1))
    with pytest.raises(ValueError, match="do not fit"):
        Convolution3d(1, 1, (1, 1, 1))(np.zeros((1, 2, 2, 2)), np.zeros((1, 1, 2, 1, 1)))


def test_words_for_costs():
    assert cost_words(999) == "999 multiply-adds"
    assert cost_words(1_500) == "1.5 thousand multiply-adds"
    assert cost_words(2_340_000_000) == "2.34 billion multiply-adds"
