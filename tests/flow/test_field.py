"""The figures and words of a flow field."""

import numpy as np
import pytest

from cvdemo.flow.field import FlowField


def field(u, v, **more):
    flow = np.zeros((20, 30, 2), np.float32)
    flow[..., 0], flow[..., 1] = u, v
    return FlowField(flow, "m", **more)


@pytest.mark.parametrize(
    ("u", "v", "words"),
    [
        (5, 0, "to the right"),
        (0, 5, "px down,"),
        (-5, 0, "to the left"),
        (0, -5, "px up,"),
        (4, 4, "down and to the right"),
    ],
)
def test_directions_are_said_as_they_look(u, v, words):
    assert words in field(u, v).sentence()


def test_the_figures_are_numpys():
    rng = np.random.default_rng(3)
    flow = rng.normal(size=(40, 50, 2)).astype(np.float32) * 5
    found = FlowField(flow, "m").statistics
    speed = np.linalg.norm(flow, axis=2)
    assert found.mean == pytest.approx(speed.mean(), rel=1e-5)
    assert found.median == pytest.approx(np.median(speed), rel=1e-4)
    assert found.p95 == pytest.approx(np.percentile(speed, 95), rel=1e-4)
    assert found.maximum == pytest.approx(speed.max(), rel=1e-5)
    assert found.moving == pytest.approx((speed > 1).mean())
    assert found.coherence < 0.1


def test_opposite_motions_have_no_direction():
    flow = np.zeros((10, 10, 2), np.float32)
    flow[:, :5, 0], flow[:, 5:, 0] = 6, -6
    found = FlowField(flow, "m")
    assert found.statistics.direction is None
    assert "in different directions" in found.sentence()


def test_stillness_occlusion_and_early_refinements_are_told():
    occluded = np.zeros((20, 30), bool)
    occluded[:5] = True
    text = field(0.1, 0, occluded=occluded, iteration=3, iterations=12).sentence()
    assert text == "Almost still: mean motion 0.10 px; 25 % occluded; after 3 of 12 refinements"


def test_undefined_vectors_are_left_out():
    flow = np.full((4, 4, 2), 2.0, np.float32)
    flow[0] = np.nan
    assert FlowField(flow, "m").statistics.mean == pytest.approx(np.hypot(2, 2))
    flow[:] = np.nan
    assert FlowField(flow, "m").statistics.mean == 0


def test_to_dict_is_json_ready():
    import json

    result = json.loads(json.dumps(field(3, 4, notes=("a",)).to_dict()))
    assert result["speed"]["mean"] == 5
    assert (result["width"], result["height"], result["notes"], result["occluded_share"]) == (30, 20, ["a"], None)


@pytest.mark.parametrize(("flow", "mask"), [((4, 4), None), ((4, 4, 3), None), ((4, 4, 2), (4, 5))])
def test_wrong_shapes_are_refused(flow, mask):
    with pytest.raises(ValueError, match=r"flow|mask"):
        FlowField(np.zeros(flow, np.float32), "m", None if mask is None else np.zeros(mask, bool))
