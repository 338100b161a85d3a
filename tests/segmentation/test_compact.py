"""From a picture to a map of logits: geometry by arithmetic, with a stand-in for the network, and the entries."""

import numpy as np
import pytest
import torch

from cvdemo.core import registry, weights
from cvdemo.core.registry import Precision, RunContext
from cvdemo.segmentation import compact
from cvdemo.segmentation.labels import CAMVID_CLASSES, VOC_CLASSES

NAMES = [(compact.SPEC_NAME, VOC_CLASSES, compact.LONG_SIDE),
         (compact.STREETS_NAME, CAMVID_CLASSES, compact.STREETS_LONG_SIDE)]  # fmt: skip


class Brightness(torch.nn.Module):
    """Logit of class c in a cell: c times the mean brightness of its 4x4 pixels."""

    def forward(self, x, skips=compact.ALL_SKIPS):
        grey = torch.nn.functional.avg_pool2d(x.mean(1, keepdim=True), 4)
        self.seen, self.skips = x, skips
        return torch.cat([grey * c for c in range(21)], 1)


@pytest.mark.parametrize(
    ("size", "cells", "extent"),
    [
        ((480, 640), (72, 96), (640, 480)),
        ((640, 480), (96, 72), (480, 640)),
        ((384, 384), (96, 96), (384, 384)),
        ((1, 1), (96, 96), (1, 1)),
        ((1, 500), (1, 96), (500, 4)),  # one row of network pixels in a cell of four
        ((5000, 20), (96, 1), (40, 5000)),
        ((333, 777), (42, 96), (777, 333 * 168 / 165)),
    ],
)
def test_the_map_covers_the_picture_up_to_whole_cells(size, cells, extent):
    pixels = np.full((*size, 3), 255, np.uint8)
    raw = compact.run(Brightness(), pixels, RunContext(torch.device("cpu")))
    assert raw.logits.shape == (21, *cells)
    assert raw.logits.dtype == np.float32
    assert raw.extent == pytest.approx((0, 0, *extent))
    assert (raw.height, raw.width, raw.model, raw.categories) == (*size, compact.SPEC_NAME, VOC_CLASSES)


def test_a_mark_lands_where_the_extent_says():
    pixels = np.zeros((300, 500, 3), np.uint8)
    pixels[90:120, 400:450] = 255
    raw = compact.run(Brightness(), pixels, RunContext(torch.device("cpu")))
    rows, columns = np.nonzero(raw.logits[1] > 0.5)
    cell_x, cell_y = raw.extent[2] / raw.logits.shape[2], raw.extent[3] / raw.logits.shape[1]
    found = [columns.min() * cell_x, rows.min() * cell_y, (columns.max() + 1) * cell_x, (rows.max() + 1) * cell_y]
    np.testing.assert_allclose(found, [400, 90, 450, 120], atol=6)


def test_skips_are_handed_on_and_stages_timed():
    network, context = Brightness(), RunContext(torch.device("cpu"))
    compact.run(network, np.zeros((60, 80, 3), np.uint8), context, skips=(True, False, True))
    assert network.skips == (True, False, True)
    assert network.seen.shape == (1, 3, 288, 384)
    assert list(context.stages) == ["preprocess", "network", "decode"]


@pytest.mark.parametrize(("name", "classes", "long_side"), NAMES)
def test_the_entries_tell_the_truth(name, classes, long_side):
    spec = registry.get(name)
    network = spec.build()
    assert (spec.task, spec.tier, spec.categories) == ("segmentation", "compact", classes)
    assert spec.parameters == sum(p.numel() for p in network.parameters())
    assert str(long_side) in spec.input
    assert spec.gflops == pytest.approx(multiply_adds(network, long_side), rel=0.02)
    raw = spec.run(spec.prepare(network.eval()), spec.example(), RunContext(torch.device("cpu")))
    assert (raw.model, raw.categories) == (name, classes)
    assert raw.logits.shape == (len(classes), long_side * 3 // 16, long_side // 4)
    assert spec.agrees(raw, raw)


def multiply_adds(network, long_side: int) -> float:
    """In units of 1e9, of the convolutions, counted as the picture passes through them."""
    total = 0

    def count(module, inputs, output) -> None:
        nonlocal total
        kernel = module.kernel_size[0] * module.kernel_size[1] * module.in_channels
        total += kernel * output.shape[1] * output.shape[2] * output.shape[3]

    hooks = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    with torch.inference_mode():
        network.eval()(torch.zeros(1, 3, -(-long_side * 3 // 4 // 32) * 32, long_side))
    for hook in hooks:
        hook.remove()
    return total / 1e9


@pytest.mark.parametrize("name", [compact.SPEC_NAME, compact.STREETS_NAME])
@pytest.mark.parametrize("skips", [compact.ALL_SKIPS, (False, True, False)])
def test_the_traced_form_gives_the_same_map(name, skips):
    torch.manual_seed(0)
    spec = registry.get(name)
    network = spec.prepare(spec.build().eval())
    traced = spec.extras["trace"](network, Precision(channels_last=True, traced=True))
    pixels = np.random.default_rng(0).integers(0, 256, (90, 200, 3), np.uint8)
    expected = spec.run(network, pixels, RunContext(torch.device("cpu")), skips=skips)
    found = spec.run(traced, pixels, RunContext(torch.device("cpu")), skips=skips)
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-4)


@pytest.mark.parametrize(("name", "classes", "_long_side"), NAMES)
def test_the_shipped_weights_fit_and_label_smoothly(name, classes, _long_side, crowd):
    """Of the model that ships: people where the scene has people (VOC), and a map that is not noise."""
    spec = registry.get(name)
    files = {prefix: weights.find(file) for prefix, file in spec.files.items()}
    paths = {prefix: path for prefix, path in files.items() if path is not None}
    if len(paths) < len(files):
        pytest.skip(f"a file of {name} is not here")
    assert paths[""].stat().st_size < 4_000_000
    network = spec.build()
    weights.apply_state(network, weights.joined_state(paths), name)
    raw = spec.run(spec.prepare(network.eval()), crowd, RunContext(torch.device("cpu")))
    labels = raw.logits.argmax(0)
    # Noise of 11 or 21 classes would agree with its neighbour one time in ten at most; people are no street scene.
    assert (labels[:, 1:] == labels[:, :-1]).mean() > (0.9 if name == compact.SPEC_NAME else 0.8)
    if name == compact.SPEC_NAME:
        assert 0.05 < (labels == classes.index("person")).mean() < 0.95
