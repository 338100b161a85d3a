"""The compact models: entries, committed weights, and what they say of clips made here."""

import numpy as np
import pytest

from cvdemo.action import compact
from cvdemo.action.clips import Clip, frozen, shuffled
from cvdemo.action.predict import DEFAULT_MODEL, decode, infer
from cvdemo.core import registry, weights
from cvdemo.core.engine import Engine

NAMES = (compact.ACTION_NAME, compact.SKELETON_NAME, compact.EXERCISE_NAME)


@pytest.fixture(scope="module")
def engine():
    return Engine("cpu", tune=False)


@pytest.mark.parametrize("name", NAMES)
def test_facts_of_an_entry(name):
    spec = registry.get(name)
    network = spec.build()
    assert sum(parameter.numel() for parameter in network.parameters()) == spec.parameters
    assert spec.tier == "compact"
    assert len(spec.categories) == list(network.parameters())[-1].numel()
    assert spec.extras["clip"].frames >= 8


@pytest.mark.parametrize("name", NAMES)
def test_the_file_that_ships(name, repository):
    spec = registry.get(name)
    file = repository / "weights" / spec.weights.filename
    if not file.is_file():
        pytest.skip(f"{spec.weights.filename} is not there")
    assert file.stat().st_size < 3e6
    assert file.with_suffix(".md").is_file()
    found = {prefix: weights.find(borrowed) for prefix, borrowed in spec.files.items()}
    weights.apply_state(spec.build(), weights.joined_state(found), file.name)


def test_the_default_model_ships():
    assert DEFAULT_MODEL in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_they_run_through_the_engine(name, engine):
    spec = registry.get(name)
    if not registry.availability(spec).local:
        pytest.skip(f"{spec.weights.filename} is not there")
    raw = engine.run(spec, spec.example()).output
    assert raw.logits.shape == (len(spec.categories),)
    assert np.isfinite(raw.logits).all()


def moving_picture(count=8):
    rng = np.random.default_rng(0)
    picture = np.kron(rng.integers(0, 256, (9, 16, 3)), np.ones((20, 20, 1))).astype(np.uint8)
    return Clip(np.stack([np.roll(picture, 9 * k, axis=1) for k in range(count)]), np.arange(count) / 4)


def test_the_shipped_inflated_network_is_the_identity_on_a_frozen_clip(engine):
    if not registry.availability(registry.get(compact.ACTION_NAME)).local:
        pytest.skip("compact_action.safetensors is not there")
    clip = moving_picture()
    held = infer(frozen(clip), compact.ACTION_NAME, engine).raw.logits
    picture = infer(clip.frames[4], compact.ACTION_NAME, engine).raw.logits
    np.testing.assert_allclose(held, picture, atol=1e-3)
    moving, mixed = (infer(seen, compact.ACTION_NAME, engine).raw.logits for seen in (clip, shuffled(clip)))
    assert np.abs(moving - mixed).max() > 1e-4
    assert len(decode(infer(clip, compact.ACTION_NAME, engine)).top) == 5
