"""The training losses on cases whose value is known."""

import numpy as np
import pytest
import torch

from cvdemo.flow.losses import GAMMA, matching_loss, matching_share, sequence_loss, upsample_strided
from cvdemo.flow.nets.flownet_s import FLOW_UNIT, LEVELS, FlowNetS, endpoint_loss, stacked
from cvdemo.flow.raw import enlarge


def test_the_sequence_loss_weighs_later_refinements_more():
    truth = torch.zeros(1, 2, 32, 40)
    steps = [torch.full((1, 2, 4, 5), value) for value in (0.5, 0.25)]  # cells, so 4 and 2 pixels
    loss, error = sequence_loss(steps, truth)
    assert float(loss) == pytest.approx(GAMMA * 4 + 2)
    assert float(error) == pytest.approx(2 * 2**0.5, rel=1e-5)


def test_motion_beyond_the_limit_is_not_learned_from():
    truth = torch.zeros(1, 2, 16, 16)
    truth[..., 0, 0] = 1e6
    loss, _ = sequence_loss([torch.zeros(1, 2, 2, 2)], truth)
    assert float(loss) == 0


def test_upsampling_is_the_one_of_decoding():
    coarse = torch.randn(1, 2, 4, 6)
    expected = enlarge(coarse[0].permute(1, 2, 0).numpy() * 8, 32, 48, "strided")
    assert np.allclose(upsample_strided(coarse, 32, 48)[0].permute(1, 2, 0).numpy(), expected, atol=1e-5)


def volume_of(matches, cells, height, width):
    """Logits that are high only at the matches."""
    volume = torch.zeros(cells, height * width)
    volume[torch.arange(cells), matches] = 50.0
    return volume.view(cells, 1, height, width)


def test_the_matching_loss_is_nothing_for_the_right_match():
    height, width = 4, 6
    truth = torch.zeros(1, 2, 32, 48)
    truth[:, 0] = 8.0  # one cell to the right
    visible = torch.ones(1, 32, 48, dtype=torch.bool)
    cells = torch.arange(24)
    right, wrong = torch.minimum(cells + 1, torch.tensor(23)), cells
    assert float(matching_loss(volume_of(right, 24, height, width), truth, visible)) == pytest.approx(0, abs=1e-4)
    assert float(matching_loss(volume_of(wrong, 24, height, width), truth, visible)) == pytest.approx(50, abs=1e-2)


def test_the_matching_loss_is_cross_entropy_with_shared_targets():
    truth = torch.zeros(1, 2, 32, 48)
    truth[:, 0], truth[:, 1] = 2.0, 6.0  # a quarter and three quarters of a cell
    visible = torch.ones(1, 32, 48, dtype=torch.bool)
    volume = torch.randn(24, 1, 4, 6)
    expected = []
    for i in range(3):
        for j in range(5):
            log = torch.log_softmax(volume[i * 6 + j].reshape(-1), 0).view(4, 6)
            expected.append(
                -(0.75 * 0.25 * log[i, j] + 0.25 * 0.25 * log[i, j + 1] + 0.75 * 0.75 * log[i + 1, j]
                  + 0.25 * 0.75 * log[i + 1, j + 1])
            )  # fmt: skip
    found = matching_loss(volume, truth, visible)
    assert float(found) == pytest.approx(float(torch.stack(expected).mean()), rel=1e-5)


def test_hidden_cells_do_not_count():
    volume = torch.randn(24, 1, 4, 6, requires_grad=True)
    nothing = matching_loss(volume, torch.zeros(1, 2, 32, 48), torch.zeros(1, 32, 48, dtype=torch.bool))
    nothing.backward()
    assert float(nothing.detach()) == 0
    assert not volume.grad.any()
    assert matching_share(0) > 0.4 > 0.1 > matching_share(1) > 0


def test_flownets_loss_is_zero_for_the_truth_and_a_distance_otherwise():
    truth = torch.zeros(1, 2, 64, 128)
    truth[:, 0], truth[:, 1] = 3.0, 4.0
    exact = [torch.nn.functional.avg_pool2d(truth, level) / FLOW_UNIT for level in LEVELS]
    assert float(sum(endpoint_loss(exact, truth).values())) == pytest.approx(0, abs=1e-4)
    zero = endpoint_loss([torch.zeros_like(flow) for flow in exact], truth)
    assert float(zero["1/4"]) == pytest.approx(5.0, rel=1e-5)


def test_flownets_shapes_folding_and_light():
    torch.manual_seed(0)
    network = FlowNetS().eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    first, second = torch.rand(2, 1, 3, 64, 128)
    with torch.no_grad():
        before = network(stacked(first, second))
        assert [tuple(flow.shape) for flow in before] == [(1, 2, 64 // level, 128 // level) for level in LEVELS]
        brighter = network(stacked(first + 0.1, second + 0.1))
        after = network.fuse()(stacked(first, second))
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    assert torch.allclose(before[-1], after[-1], atol=1e-5)
    assert torch.allclose(before[-1], brighter[-1], atol=1e-5)
