"""Feature maps through the engine, with random weights in a folder of their own: shapes, ranking and scales."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cvdemo.classification.compact import SPEC_NAME
from cvdemo.classification.nets.compact_backbone import normalise
from cvdemo.core import registry
from cvdemo.core.engine import Engine
from cvdemo.core.errors import WeightsError
from cvdemo.core.inputs import example_picture
from cvdemo.segmentation.feature_maps import feature_maps, network_size, rank_channels


@pytest.fixture
def engine(tmp_path, monkeypatch):
    monkeypatch.setenv("CVDEMO_WEIGHTS", str(tmp_path))
    return Engine(device="cpu", tune=False)


@pytest.fixture
def network(tmp_path):
    """The network whose random weights are in the folder."""
    torch.manual_seed(0)
    spec = registry.get(SPEC_NAME)
    network = spec.build().eval()
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, str(tmp_path / spec.weights.filename))
    return network


def test_the_four_levels_are_the_backbones(engine, network):
    picture = example_picture()[:256, :320].copy()
    maps = feature_maps(picture, engine)
    assert [level.shape for level in maps.levels] == [(32, 64, 80), (64, 32, 40), (128, 16, 20), (256, 8, 10)]
    with torch.no_grad():
        blob = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
        expected = network.backbone(normalise(blob))
    for level, reference in zip(maps.levels, expected):
        np.testing.assert_allclose(level, reference[0], atol=1e-4)
    assert maps.model == SPEC_NAME
    assert {"preprocess", "network", "decode"} <= set(maps.stages)


def test_channels_are_ranked_and_scales_map_the_picture_onto_the_cells(engine, network):
    picture = example_picture()[:300, :410].copy()
    maps = feature_maps(picture, engine)
    first, second = maps.ranked(2, 0), maps.ranked(2, 1)
    assert first.variance >= second.variance
    assert first.variance == pytest.approx(max(channel.var(dtype=np.float64) for channel in maps.levels[2]))
    rows, columns = first.values.shape
    assert (first.scale[0] * 410, first.scale[1] * 300) == pytest.approx((columns, rows))
    assert (rows * 16, columns * 16) == network_size(300, 410)
    assert f"{columns} x {rows} cells" in first.sentence()
    with pytest.raises(IndexError, match="rank 999"):
        maps.ranked(2, 999)
    with pytest.raises(IndexError, match="level 4"):
        maps.ranked(4)


@pytest.mark.parametrize(
    ("shape", "expected"), [((480, 640), (256, 320)), ((1, 4000), (32, 320)), ((50, 50), (320, 320))]
)
def test_the_network_sees_multiples_of_32(shape, expected):
    assert network_size(*shape) == expected


def test_ranking_is_by_falling_variance():
    features = np.stack([np.full((2, 2), 9.0), np.eye(2), 3 * np.eye(2), np.eye(2)]).astype(np.float32)
    np.testing.assert_array_equal(rank_channels(features), [2, 1, 3, 0])


def test_without_weights_nothing_is_shown(engine):
    with pytest.raises(WeightsError):
        feature_maps(example_picture(), engine)


def test_only_pictures_are_taken(engine):
    with pytest.raises(ValueError, match="uint8"):
        feature_maps(np.zeros((4, 4), np.uint8), engine)
