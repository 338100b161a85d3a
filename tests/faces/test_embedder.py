"""The embedder: its shapes and size, folding, batches, precisions; with random weights, trained ones may be absent."""

import numpy as np
import pytest
import torch

from cvdemo.core import registry
from cvdemo.core.registry import RunContext
from cvdemo.faces import embedder
from cvdemo.faces.embedder import SPEC, agree, example, run, unit
from cvdemo.faces.nets.compact_embedder import DIMENSIONS, CompactEmbedder


@pytest.fixture(scope="module")
def network() -> CompactEmbedder:
    torch.manual_seed(0)
    net = CompactEmbedder()
    with torch.no_grad():  # statistics of real use, or folding would have nothing to fold
        net(torch.rand(8, 3, 112, 112))
    return net.eval()


def test_size_and_shape(network):
    count = sum(p.numel() for p in network.parameters())
    assert count == SPEC.parameters
    assert 2 * sum(v.numel() for v in network.state_dict().values()) < 3_000_000
    assert network(torch.rand(2, 3, 112, 112)).shape == (2, DIMENSIONS)


def test_folding_changes_nothing(network):
    x = torch.rand(3, 3, 112, 112)
    folded = CompactEmbedder().eval()
    folded.load_state_dict(network.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(folded.fuse()(x), network(x), atol=1e-4, rtol=1e-3)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())


def test_every_face_of_a_batch_is_embedded_by_itself(network, monkeypatch):
    monkeypatch.setattr(embedder, "BATCH", 2)
    crops = np.random.default_rng(1).integers(0, 256, (3, 112, 112, 3), np.uint8)
    context = RunContext(torch.device("cpu"))
    with torch.inference_mode():
        together = run(network, crops, context)
        alone = np.concatenate([run(network, crop[None], context) for crop in crops])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert together.dtype == np.float32
    assert set(context.stages) == {"preprocess", "network", "decode"}


def test_no_faces_and_wrong_crops(network):
    context = RunContext(torch.device("cpu"))
    assert run(network, np.zeros((0, 112, 112, 3), np.uint8), context).shape == (0, DIMENSIONS)
    with pytest.raises(ValueError, match="aligned faces must be"):
        run(network, np.zeros((1, 96, 96, 3), np.uint8), context)


def test_a_frozen_graph_takes_any_number_of_faces(network):
    graph = SPEC.extras["trace"](network, SPEC.precisions[2])
    x = torch.rand(3, 3, 112, 112).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        torch.testing.assert_close(graph(x), network(x), atol=1e-4, rtol=1e-3)


def test_unit_vectors():
    rows = unit(np.array([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0]], atol=1e-7)


def test_precisions_must_keep_directions():
    rows = unit(np.random.default_rng(0).normal(size=(4, 128)))
    assert agree(rows, rows)
    moved = rows.copy()
    moved[2] = unit(rows[2] + 0.3 * rows[3])
    assert not agree(rows, moved)
    assert example().shape == (2, 112, 112, 3)


def test_missing_weights_come_with_a_remedy():
    state = registry.availability(registry.get("compact-faces"))
    assert state.ok or (state.reason and state.remedy)
