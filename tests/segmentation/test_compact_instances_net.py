"""The mask branch against brute force: cells, grids, sampling and the objects' own layers."""

import numpy as np
import pytest
import torch
from torchvision.ops import roi_align

from cvdemo.detection.nets.compact_detector import STRIDES
from cvdemo.segmentation.nets import compact_instances as nets
from cvdemo.segmentation.nets.compact_instances import CompactInstances, MaskBranch


@pytest.fixture(scope="module")
def branch():
    torch.manual_seed(0)
    return MaskBranch().eval()


def pyramid(batch=2, size=64, channels=96):
    torch.manual_seed(1)
    return tuple(torch.randn(batch, channels, size // stride, size // stride) for stride in STRIDES)


def test_a_tower_at_chosen_cells_is_the_convolution_over_the_whole_level(branch):
    level, tower = pyramid()[0], branch.towers[0]
    rng = np.random.default_rng(0)
    picture, row, column = (torch.from_numpy(rng.integers(0, top, 20)) for top in (2, 8, 8))
    row[:4], column[:4] = torch.tensor([0, 0, 7, 7]), torch.tensor([0, 7, 0, 7])  # zeros beyond the edge
    dense = torch.nn.functional.conv2d(level, tower.conv.weight, padding=1).permute(0, 2, 3, 1)
    expected = torch.relu(tower.norm(dense))[picture, row, column]
    torch.testing.assert_close(tower(level, picture, row, column), expected, atol=1e-5, rtol=1e-4)


def test_cells_are_described_by_their_own_level_in_the_order_they_are_asked_for(branch):
    levels = pyramid()
    count = sum(level.shape[2] * level.shape[3] for level in levels)
    cells = torch.randperm(count)[:30]
    cells[:3] = torch.tensor([0, 64, 80])  # the first of each level
    boxes = torch.rand(30, 4) * 20 + torch.tensor([0.0, 0.0, 25.0, 25.0])
    picture = torch.arange(30) % 2
    coefficients, outlines = branch.describe(levels, picture, cells, boxes)
    assert coefficients.shape == (30, nets.COEFFICIENTS)
    assert outlines.shape == (30, nets.OUTLINE, nets.OUTLINE)
    for index in (0, 1, 2, 7, 29):
        alone = branch.describe(levels, picture[[index]], cells[[index]], boxes[[index]])
        torch.testing.assert_close(alone[0][0], coefficients[index], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(alone[1][0], outlines[index], atol=1e-5, rtol=1e-4)


def test_geometry_by_hand():
    box, centre = torch.tensor([[10.0, 20.0, 42.0, 84.0]]), torch.tensor([[26.0, 36.0]])
    found = nets.geometry(box, centre, torch.tensor([8.0]))
    torch.testing.assert_close(found, torch.tensor([[0.0, -0.5, 0.0, 1.0]]))


def test_maps_are_read_as_roi_align_reads_them():
    """One sampling point a cell and half a pixel's shift: the same points, except beyond the edge."""
    torch.manual_seed(0)
    maps = torch.randn(3, 5, 20, 28)
    low = torch.rand(9, 2) * torch.tensor([60.0, 40.0]) + 6
    boxes = torch.cat([low, low + torch.rand(9, 2) * 25 + 4], 1)
    picture = torch.arange(9) % 3
    expected = roi_align(maps, torch.cat([picture[:, None].float(), boxes], 1), 7, 0.25, 1, aligned=True)
    found = nets.read_maps(maps, picture, nets.grid_of(boxes, 7), (80, 112))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_beyond_the_edge_the_maps_go_on():
    maps = torch.arange(12.0).reshape(1, 1, 3, 4)
    points = nets.grid_of(torch.tensor([[-40.0, -40.0, -20.0, -20.0], [100.0, 100.0, 120.0, 120.0]]), 2)
    found = nets.read_maps(maps, torch.zeros(2, dtype=torch.int64), points, (12, 16))
    assert found.flatten(1).unique(dim=1).tolist() == [[0.0], [11.0]]


def test_masks_are_assembled_cell_by_cell():
    """The formula of the docstring, written as loops."""
    torch.manual_seed(0)
    count, side = 3, 5
    read = torch.randn(count, nets.PROTOTYPES, side, side)
    coefficients, outlines = torch.randn(count, nets.COEFFICIENTS), torch.randn(count, side, side)
    found, hidden = (part.numpy() for part in nets.assemble(read, coefficients, outlines))
    inputs = nets.PROTOTYPES + 2
    for m in range(count):
        own = coefficients[m].numpy().astype(np.float64)
        first = own[: nets.HIDDEN * inputs].reshape(nets.HIDDEN, inputs)
        bias, second, last = np.split(own[nets.HIDDEN * inputs :], [nets.HIDDEN, 2 * nets.HIDDEN])
        for r in range(side):
            for c in range(side):
                place = [(2 * c + 1) / side - 1, (2 * r + 1) / side - 1]
                seen = np.concatenate([read[m, :, r, c].numpy(), place])
                np.testing.assert_allclose(hidden[m, :, r, c], np.maximum(first @ seen + bias, 0), atol=1e-4)
                value = second @ np.maximum(first @ seen + bias, 0) + last[0] + float(outlines[m, r, c])
                assert found[m, r, c] == pytest.approx(value, abs=1e-3)


def test_regions_are_boxes_grown_by_a_tenth_on_each_side_within_the_picture():
    boxes = torch.tensor([[20.0, 30.0, 40.0, 80.0], [0.0, 5.0, 100.0, 60.0]])
    expected = torch.tensor([[18.0, 25.0, 42.0, 64.0], [0.0, 0.0, 110.0, 64.0]])
    torch.testing.assert_close(nets.grown(boxes, 64, 110), expected)


def test_masks_are_cut_to_where_they_end():
    """A disc anywhere in its region: the new box hugs it, and the mask over the new box shows the same disc."""
    rng = np.random.default_rng(0)
    regions, masks, hugs = [], [], []
    for _ in range(20):
        low, sides = rng.uniform(0, 50, 2), rng.uniform(20, 60, 2)
        centre, radius = low + sides * rng.uniform(0.3, 0.7, 2), sides.min() * rng.uniform(0.2, 0.35)
        middle = low + (np.stack(np.meshgrid(np.arange(32), np.arange(32)), -1) + 0.5) / 32 * sides
        masks.append(radius - np.linalg.norm(middle - centre, axis=-1))
        regions.append([*low, *(low + sides)])
        hugs.append([*(centre - radius), *(centre + radius)])
    regions = torch.tensor(regions, dtype=torch.float32)
    boxes, again = nets.fitted(torch.tensor(np.array(masks), dtype=torch.float32), regions, regions, 28)
    cell = (regions[:, 2:] - regions[:, :2]) / 32
    assert ((boxes - torch.tensor(hugs)).abs() <= 1.6 * torch.cat([cell, cell], 1)).all()
    for box, mask, (x1, y1, x2, y2), step in zip(boxes.numpy(), again.numpy(), hugs, cell.max(1).values.tolist()):
        middle = box[:2] + (np.stack(np.meshgrid(np.arange(28), np.arange(28)), -1) + 0.5) / 28 * (box[2:] - box[:2])
        expected = (x2 - x1) / 2 - np.linalg.norm(middle - [(x1 + x2) / 2, (y1 + y2) / 2], axis=-1)
        near = np.abs(expected) < 3 * step  # further in, the cone's tip is blunt
        np.testing.assert_allclose(mask[near], expected[near], atol=step)
        assert ((mask >= 0) == (expected >= 0)).mean() > 0.94


def test_a_mask_that_is_nowhere_keeps_the_box():
    box = torch.tensor([[2.0, 3.0, 8.0, 9.0]])
    found, again = nets.fitted(torch.full((1, 32, 32), -1.0), torch.tensor([[0.0, 0.0, 10.0, 10.0]]), box, 7)
    assert found.tolist() == box.tolist()
    assert again.shape == (1, 7, 7)
    assert (again == -1).all()
    found, _ = nets.fitted(torch.ones(1, 32, 32), torch.tensor([[0.0, 0.0, 10.0, 10.0]]), box, 7)
    assert found.tolist() == [[0.0, 0.0, 10.0, 10.0]]
    assert nets.fitted(torch.ones(0, 32, 32), box[:0], box[:0], 7)[1].shape == (0, 7, 7)


def test_the_finish_adds_nothing_at_first_and_sees_three_cells_around():
    torch.manual_seed(0)
    finish, x = nets.Finish(), torch.randn(2, nets.HIDDEN + 1, 15, 15)
    assert (finish(x) == 0).all()
    torch.nn.init.ones_(finish.logit.weight)
    other = x.clone()
    other[:, :, 7, 7] += 1
    rows, columns = np.nonzero((finish(x) != finish(other)).any(0).numpy())
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 10, 4, 10)


def test_the_whole_network_has_the_shapes_it_states():
    torch.manual_seed(0)
    network = CompactInstances().eval()
    with torch.inference_mode():
        found = network(torch.rand(2, 3, 64, 96))
        assert found.prototypes.shape == (2, nets.PROTOTYPES, 16, 24)
        assert [tuple(level.shape[2:]) for level in found.pyramid] == [(8, 12), (4, 6), (2, 3)]
        boxes = torch.tensor([[0.0, 0.0, 40.0, 60.0], [10.0, 5.0, 90.0, 60.0]])
        picture, cell = torch.tensor([1, 0]), torch.tensor([3, 125])
        masks = network.masks(found.prototypes, found.pyramid, picture, cell, boxes, 56)
        empty = network.masks(found.prototypes, found.pyramid, picture[:0], cell[:0], boxes[:0])
    assert masks.shape == (2, 56, 56)
    assert empty.shape == (0, nets.GRID, nets.GRID)
    assert torch.isfinite(masks).all()


def test_the_detector_inside_answers_as_it_does_alone_and_fusing_changes_nothing():
    torch.manual_seed(0)
    network = CompactInstances().eval()
    x = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        before = network(x)
        alone = network.detector(x)
        after = network.fuse()(x)
    for level, own, fused in zip(before.levels, alone, after.levels):
        torch.testing.assert_close(level.class_logits, own.class_logits)
        torch.testing.assert_close(fused.class_logits, own.class_logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(after.prototypes, before.prototypes, atol=1e-4, rtol=1e-4)


def test_the_branch_alone_has_exactly_the_networks_other_parameters():
    whole, own = CompactInstances().state_dict(), MaskBranch().state_dict()
    assert {name for name in whole if not name.startswith("detector.")} == set(own)
