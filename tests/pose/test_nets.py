"""The three compact nets: shapes, budgets, gradients of both stages, and the registry's entries that run them."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cvdemo.classification.nets.compact_backbone import ConvBnRelu
from cvdemo.core import registry
from cvdemo.core.context import RunContext
from cvdemo.pose import compact
from cvdemo.pose.crops import crops_of, regions_of
from cvdemo.pose.nets.pose_heatmap import PoseHeatmap
from cvdemo.pose.nets.pose_hourglass import PoseHourglass
from cvdemo.pose.nets.pose_regression import CROP, PATCH, SPACING, Cascade, PoseRegression
from cvdemo.pose.raw import People, example_people

NETS = (PoseHeatmap, PoseRegression, PoseHourglass)
NAMES = (compact.HEATMAP, compact.REGRESSION, compact.HOURGLASS)


def seasoned(build, seed: int = 0) -> nn.Module:
    """A network whose batch normalisations have statistics of their own, in eval mode."""
    torch.manual_seed(seed)
    network = build()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


def flat(outputs) -> list[torch.Tensor]:
    return [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)


def run(spec, network, people):
    """As the engine runs it."""
    with torch.inference_mode():
        return spec.run(network, people, RunContext(torch.device("cpu")))


def test_shapes_of_what_comes_out():
    crops = torch.rand(2, 3, 256, 192)
    with torch.inference_mode():
        assert PoseHeatmap().eval()(crops).shape == (2, 17, 64, 48)
        cascade = PoseRegression().eval()(crops)
        stacks = PoseHourglass().eval()(crops)
    assert [tuple(value.shape) for value in cascade] == [(2, 17, 2), (2, 17, 2), (2, 17)]
    assert [tuple(maps.shape) for maps in stacks] == [(2, 17, 64, 48)] * 2


@pytest.mark.parametrize("build", NETS)
def test_the_budget(build, tmp_path):
    network = build()
    assert sum(p.numel() for p in network.parameters()) < 2_000_000
    halves = {n: (v.half() if v.is_floating_point() else v).contiguous() for n, v in network.state_dict().items()}
    save_file(halves, tmp_path / "weights.safetensors")
    assert (tmp_path / "weights.safetensors").stat().st_size < 4_000_000


@pytest.mark.parametrize("build", NETS)
def test_folding_the_normalisation_changes_nothing(build):
    network, crops = seasoned(build), torch.rand(2, 3, 256, 192)
    with torch.inference_mode():
        before = flat(network(crops))
        after = flat(network.fuse()(crops))
    assert all(isinstance(m.norm, nn.Identity) for m in network.modules() if isinstance(m, ConvBnRelu))
    for one, other in zip(before, after):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("build", NETS)
def test_a_person_does_not_depend_on_the_others_of_the_batch(build):
    network, crops = seasoned(build), torch.rand(3, 3, 256, 192)
    with torch.inference_mode():
        together = flat(network(crops))
        alone = flat(network(crops[1:2]))
    for one, other in zip(together, alone):
        torch.testing.assert_close(one[1:2], other, rtol=1e-3, atol=1e-4)


def test_the_second_stage_samples_around_the_first_ones_joints():
    network = PoseRegression().eval()
    height, width = CROP[0] // 8, CROP[1] // 8
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    places = torch.stack([x / width, y / height])[None]  # a map that holds its own coordinates
    joints = torch.rand(1, 17, 2) * 0.4 + 0.3  # far enough from the rim for the whole window
    sampled = network.around(places, joints).view(17, 2, PATCH, PATCH)
    steps = (np.arange(PATCH) - PATCH // 2) * SPACING
    for joint, window in zip(joints[0].numpy(), sampled.numpy()):
        expected_x = np.broadcast_to(joint[0] + steps / CROP[1], (PATCH, PATCH))
        expected_y = np.broadcast_to((joint[1] + steps / CROP[0])[:, None], (PATCH, PATCH))
        np.testing.assert_allclose(window, [expected_x, expected_y], atol=1e-5)


def test_the_second_stage_corrects_without_touching_the_first():
    network = PoseRegression().train()
    cascade: Cascade = network(torch.rand(2, 3, 256, 192))
    cascade.second.sum().backward()
    assert all(p.grad is None for p in network.whole.parameters()), "the first stage learns from its own loss"
    assert network.trunk.weight.grad.abs().sum() > 0


def test_the_second_hourglass_sees_the_first_ones_heatmaps():
    network = seasoned(PoseHourglass)
    crops = torch.rand(1, 3, 256, 192)
    with torch.inference_mode():
        before = network(crops)
        network.heads[0].bias += 1.0
        after = network(crops)
    torch.testing.assert_close(after[0], before[0] + 1.0)
    assert (after[1] - before[1]).abs().max() > 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_runs_all_people_at_once(name):
    spec = registry.get(name)
    network = seasoned(spec.build)
    assert spec.parameters == sum(p.numel() for p in network.parameters())
    assert spec.extras["top_down"]
    people = example_people()
    raw = run(spec, network, people)
    np.testing.assert_allclose(raw.regions, regions_of(people.boxes))
    np.testing.assert_array_equal(raw.boxes, people.boxes)
    assert (raw.height, raw.width, raw.model) == (480, 640, name)
    crops = torch.from_numpy(crops_of(people.pixels, raw.regions)).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        outputs = flat(network(crops))
    if name == compact.REGRESSION:
        assert raw.heatmaps is None
        corner, sides = raw.regions[:, None, :2], raw.regions[:, None, 2:] - raw.regions[:, None, :2]
        np.testing.assert_allclose(raw.keypoints, corner + outputs[1].numpy() * sides, rtol=1e-3, atol=0.01)
        np.testing.assert_allclose(
            raw.stages_extra["stage 1"], corner + outputs[0].numpy() * sides, rtol=1e-3, atol=0.01
        )
        assert ((raw.scores > 0) & (raw.scores < 1)).all()
    else:
        np.testing.assert_allclose(raw.heatmaps, outputs[-1].numpy(), rtol=1e-3, atol=1e-4)
        assert set(raw.stages_extra) == ({"stage 1"} if name == compact.HOURGLASS else set())
    assert spec.agrees(raw, raw)


@pytest.mark.parametrize("name", NAMES)
def test_nobody_and_a_crowd(name, monkeypatch):
    spec = registry.get(name)
    network = seasoned(spec.build)
    pixels = example_people().pixels
    none = run(spec, network, People(pixels, np.zeros((0, 4), np.float32), np.zeros(0, np.float32)))
    assert len(none) == 0
    monkeypatch.setattr(compact, "AT_ONCE", 2)
    rng = np.random.default_rng(0)
    corners = rng.uniform(-50, 500, (5, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 200, (5, 2))], axis=1).astype(np.float32)
    seen = []
    network.register_forward_pre_hook(lambda _, arguments: seen.append(len(arguments[0])))
    crowd = run(spec, network, People(pixels, boxes, np.ones(5, np.float32)))
    assert seen == [2, 2, 1]
    assert len(crowd) == 5


@pytest.mark.parametrize("name", [compact.HEATMAP, compact.HOURGLASS])
def test_the_traced_graph_gives_the_same_for_any_number_of_people(name):
    spec = registry.get(name)
    network = seasoned(spec.build)
    traced = spec.extras["trace"](network, spec.precisions[0])
    for count in (1, 3):
        crops = torch.rand(count, 3, 256, 192)
        with torch.inference_mode():
            for one, other in zip(flat(network(crops)), flat(traced(crops))):
                torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
