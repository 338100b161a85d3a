"""From a picture to boxes with masks: geometry with a stand-in for the network, the entry, and the shipped weights."""

import numpy as np
import pytest
import torch

from cvdemo.core import registry, weights
from cvdemo.core.registry import Precision, RunContext
from cvdemo.detection.nets.compact_detector import DISTANCE_BINS, STRIDES, LevelOutput
from cvdemo.segmentation import compact_instances, models  # noqa: F401  (registers the models)
from cvdemo.segmentation.instances import decode_instances
from cvdemo.segmentation.nets.compact_instances import GRID, PROTOTYPES, CompactInstances, Found

CPU = torch.device("cpu")


class Answers:
    """A network whose cells answer as told: {(level, row, column): (category, logit, distances in strides)}.

    Its masks are 1 in the left half of each region.
    """

    def __init__(self, cells):
        self.cells = cells

    def __call__(self, blob):
        self.size = tuple(blob.shape[2:])
        levels = []
        for index, stride in enumerate(STRIDES):
            h, w = self.size[0] // stride, self.size[1] // stride
            logits, bins = torch.full((1, 80, h, w), -9.0), torch.zeros(1, 4, DISTANCE_BINS, h, w)
            for (level, row, column), (category, logit, distances) in self.cells.items():
                if level == index:
                    logits[0, category, row, column] = logit
                    for side, distance in enumerate(distances):
                        bins[0, side, distance, row, column] = 50.0
            levels.append(LevelOutput(logits, bins.flatten(1, 2)))
        return Found(levels, torch.zeros(1, PROTOTYPES, 1, 1), ())

    def masks(self, prototypes, pyramid, picture, cell, regions):
        self.asked, self.regions = cell.tolist(), regions.numpy()
        logits = torch.full((len(cell), GRID, GRID), -20.0)
        logits[:, :, : GRID // 2] = 20.0
        return logits


def test_boxes_come_back_in_the_pictures_pixels_with_the_mask_of_their_cell():
    network = Answers({(1, 5, 10): (16, 3.0, (2, 1, 3, 4)), (0, 2, 3): (0, 1.0, (1, 1, 1, 1))})
    pixels = np.zeros((720, 960, 3), np.uint8)  # shown to the network at half the size
    raw = compact_instances.run(network, pixels, RunContext(CPU))
    assert network.size == (384, 480)
    np.testing.assert_allclose(network.regions[0], [136 - 8, 72 - 8, 216 + 8, 152 + 8], rtol=1e-5)
    half = 16.5 / 32  # of the region, with half a cell for the mask's edge
    np.testing.assert_allclose(raw.boxes[0], [256, 128, 256 + 192 * half, 320], rtol=1e-5)
    np.testing.assert_allclose(raw.boxes[1], [36.8, 20.8, 36.8 + 38.4 * half, 59.2], rtol=1e-5)
    assert raw.labels.tolist() == [16, 0]
    assert raw.categories[16] == "dog"
    assert raw.scores.tolist() == pytest.approx([1 / (1 + np.exp(-3)), 1 / (1 + np.exp(-1))])
    assert network.asked == [48 * 60 + 5 * 30 + 10, 2 * 60 + 3]
    assert raw.masks.shape == (2, compact_instances.SIDE, compact_instances.SIDE)
    found = decode_instances(raw, score_threshold=0.1)
    rows, columns = np.nonzero(found.mask(0))
    assert (rows.min(), rows.max()) == pytest.approx((128, 320), abs=3)
    assert (columns.min(), columns.max()) == pytest.approx((256, 352), abs=3)


def test_suppression_is_per_class_and_boxes_end_at_the_pictures_edge():
    near = (3, 3, 3, 3)
    network = Answers({(0, 4, 4): (0, 3.0, near), (0, 4, 5): (0, 2.0, near), (0, 5, 4): (1, 2.5, near),
                       (0, 0, 0): (2, 1.0, (7, 7, 2, 2)), (0, 20, 20): (3, -3.2, near)})  # fmt: skip
    raw = compact_instances.run(network, np.zeros((480, 480, 3), np.uint8), RunContext(CPU))
    assert raw.labels.tolist() == [0, 1, 2], "the second person is suppressed, 0.04 is below the floor"
    np.testing.assert_allclose(network.regions[2], [0, 0, 22, 22], atol=1e-3)


def test_a_picture_without_objects_gives_none():
    raw = compact_instances.run(Answers({}), np.zeros((33, 77, 3), np.uint8), RunContext(CPU))
    assert len(raw) == 0
    assert raw.masks.shape == (0, compact_instances.SIDE, compact_instances.SIDE)
    assert len(decode_instances(raw, score_threshold=0.1)) == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (5000, 20), (333, 777)])
def test_odd_pictures_with_random_weights(size):
    torch.manual_seed(0)
    network = CompactInstances().eval()
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    with torch.inference_mode():
        raw = compact_instances.run(network, pixels, RunContext(CPU), floor=0.001)
    assert 0 < len(raw) <= compact_instances.MOST_OBJECTS
    assert np.isfinite(raw.masks).all()
    assert (raw.boxes >= 0).all()
    assert (raw.boxes <= np.array([size[1], size[0]] * 2)).all()


def test_the_entry_tells_the_truth():
    spec = registry.get(compact_instances.SPEC_NAME)
    network = spec.build()
    assert (spec.task, spec.tier, spec.extras["kind"]) == ("segmentation", "compact", "instances")
    assert spec.parameters == sum(p.numel() for p in network.parameters())
    assert spec.gflops == pytest.approx(multiply_adds(network), rel=0.02)
    assert [file.filename for file in spec.files.values()] == [
        "compact_instances.safetensors",
        "compact_detector.safetensors",
    ]
    assert registry.get("compact-detector").weights == spec.borrowed["detector."]
    assert len(spec.categories) == 80
    with torch.inference_mode():
        raw = spec.run(spec.prepare(network.eval()), spec.example(), RunContext(CPU))
    assert raw.model == spec.name
    assert spec.agrees(raw, raw)


def multiply_adds(network) -> float:
    """In units of 1e9, of the convolutions that run over the whole picture of 480 x 384."""
    total = 0

    def count(module, inputs, output) -> None:
        nonlocal total
        kernel = module.kernel_size[0] * module.kernel_size[1] * module.in_channels
        total += kernel * output.shape[1] * output.shape[2] * output.shape[3]

    hooks = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    with torch.inference_mode():
        network.eval()(torch.zeros(1, 3, 384, 480))
    for hook in hooks:
        hook.remove()
    return total / 1e9


def test_the_traced_form_gives_the_same_maps_and_masks():
    torch.manual_seed(0)
    spec = registry.get(compact_instances.SPEC_NAME)
    network = spec.prepare(spec.build().eval())
    traced = spec.extras["trace"](network, Precision(channels_last=True, traced=True))
    blob = torch.rand(1, 3, 96, 160)
    cell, boxes = torch.tensor([3, 250, 310]), torch.tensor([[0.0, 0.0, 50.0, 40.0]]).repeat(3, 1)
    with torch.inference_mode():
        pair = [form(blob) for form in (network, traced)]
        masks = [f.masks(p.prototypes, p.pyramid, cell * 0, cell, boxes) for f, p in zip((network, traced), pair)]
        raw = spec.run(traced, np.zeros((90, 200, 3), np.uint8), RunContext(CPU), floor=0.001)
    for own, other in zip((*pair[0].levels, pair[0].pyramid), (*pair[1].levels, pair[1].pyramid)):
        for value, again in zip(own, other):
            torch.testing.assert_close(again, value, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(masks[1], masks[0], atol=1e-4, rtol=1e-4)
    assert len(raw) > 0


def test_the_shipped_weights_fit_and_outline_people(crowd):
    """Masks of people cover part of their box, not all and not nothing, and are smooth."""
    spec = registry.get(compact_instances.SPEC_NAME)
    paths = {prefix: weights.find(file) for prefix, file in spec.files.items()}
    if None in paths.values():
        pytest.skip("the weights of compact-instances are not all here")
    assert paths[""].stat().st_size < 2_000_000
    network = spec.build()
    weights.apply_state(network, weights.joined_state(paths), paths[""].name)
    with torch.inference_mode():
        raw = spec.run(spec.prepare(network.eval()), crowd, RunContext(CPU))
    people = (raw.labels == 0) & (raw.scores > 0.4)
    assert people.any()
    inside = raw.masks[people] > 0.5
    assert 0.2 < inside.mean() < 0.95
    assert (inside[:, :, 1:] == inside[:, :, :-1]).mean() > 0.9
