"""Classical methods through the engine, and the small extension of the registry that they needed."""

import cv2
import numpy as np
import pytest
from torch import nn

from cvdemo import tasks
from cvdemo.core import registry
from cvdemo.core.engine import Engine
from cvdemo.core.registry import ModelSpec, Precision, WeightsFile
from cvdemo.flow import classical
from cvdemo.flow.predict import decode, infer
from tests.flow.conftest import moved_pair

NAMES = [*classical.DIS_PRESETS, classical.FARNEBACK]


@pytest.mark.parametrize("name", NAMES)
def test_a_translation_is_found(name, processor):
    first, second = moved_pair(x=3, y=-2)
    inference = infer(first, second, name)
    flow = decode(inference).flow
    assert np.allclose(np.median(flow[10:-10, 10:-10], axis=(0, 1)), (3, -2), atol=0.25)
    assert (inference.device, inference.precision) == ("cpu", "")
    assert "flow" in inference.stages


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(8, 8), (9, 200), (200, 9), (16, 200), (31, 47)])
def test_every_shape_is_survived(name, size, processor):
    rng = np.random.default_rng(1)
    first, second = rng.integers(0, 256, (2, *size, 3), np.uint8)
    flow = decode(infer(first, second, name)).flow
    assert flow.shape == (*size, 2)
    assert np.isfinite(flow).all()


def test_dis_is_opencvs_where_nothing_has_to_be_padded():
    first, second = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in moved_pair(120, 160))
    expected = cv2.DISOpticalFlow.create(1).calc(first, second, None)
    assert np.array_equal(classical.dis_flow(first, second, 1), expected)


def test_they_are_available_without_a_file():
    tasks.load_all()
    for name in NAMES:
        spec = registry.get(name)
        state = registry.availability(spec)
        assert (spec.tier, state.ok, state.local, state.megabytes, state.reason) == ("classical", True, True, 0.0, "")
        assert not spec.trained
        assert "| Parameters | none |" in registry.model_card(spec)


def classical_spec(**changes):
    words = dict.fromkeys(("title", "family", "architecture", "paper", "lecture"), "")
    facts = {
        **words,
        "name": "no-such",
        "task": "flow",
        "tier": "classical",
        "year": 2000,
        "parameters": 0,
        "weights": None,
        "build": nn.Identity,
        "run": lambda module, value, context: value + 1,
        "example": lambda: 0,
        "agrees": lambda a, b: True,
    }
    return ModelSpec(**{**facts, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": WeightsFile("a.safetensors")},
        {"parameters": 5},
        {"precisions": (Precision(), Precision("bfloat16"))},
    ],
)
def test_a_classical_entry_has_nothing_learned(changes):
    with pytest.raises(ValueError, match="classical"):
        classical_spec(**changes)


def test_the_engine_runs_it_without_weights():
    assert Engine(device="cpu").run(classical_spec(), 41).output == 42
