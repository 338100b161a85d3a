"""The shipped error rates: reading them, the point at a threshold, and what it means for a crowd."""

import json
import os

import numpy as np
import pytest

from cvdemo.core import weights
from cvdemo.faces.curves import at_least_one, crowd_words, curves_of, curves_path, rate, read_curves
from cvdemo.faces.embedder import DEFAULT_THRESHOLD, EMBEDDER
from cvdemo.faces.evaluate_pairs import Pair, curves_file, summarise


@pytest.fixture
def measured():
    """What the evaluation writes for 40 made-up pairs."""
    rng = np.random.default_rng(0)
    pairs = [Pair(("a", 1), ("a" if i % 2 else "b", 2), i // 10) for i in range(40)]
    scores = np.array([rng.normal(0.6 if pair.same else 0.1, 0.2) for pair in pairs]).clip(-1, 1)
    result = summarise(scores, pairs) | {"pairs": 40, "pictures": 3, "faces_not_found": 0}
    return curves_file(EMBEDDER, result, scores, pairs), scores, np.array([pair.same for pair in pairs])


def test_what_the_evaluation_writes_is_read_again(measured, tmp_path):
    told, scores, same = measured
    path = tmp_path / "x.json"
    path.write_text(json.dumps(told))
    found = read_curves(path)
    assert (found.model, found.genuine, found.impostors) == (EMBEDDER, 20, 20)
    for threshold in (0.0, 0.25, 0.5):
        far, frr = found.at(threshold)
        assert far == pytest.approx(np.mean(scores[~same] >= threshold), abs=1e-6)
        assert frr == pytest.approx(np.mean(scores[same] < threshold), abs=1e-6)
    assert found.best == told["threshold"]
    assert found.finest == 1 / 20


@pytest.mark.parametrize(
    "change",
    [
        {"far": [0.5]}, {"thresholds": "x"}, {"frr": [2.0] * 201}, {"impostors": 0}, {"eer": None}, {"model": None},
        {"thresholds": [1.0] * 201}, {"accuracy": float("nan")},
    ],
    ids=str,
)  # fmt: skip
def test_a_file_of_no_use_is_left_alone(measured, tmp_path, change, monkeypatch):
    path = tmp_path / "compact_faces.curves.json"
    path.write_text(json.dumps(measured[0] | change))
    monkeypatch.setattr(weights, "weights_folder", lambda: tmp_path)
    assert curves_of(EMBEDDER) is None


def test_the_file_lies_beside_the_weights(measured, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "weights_folder", lambda: tmp_path)
    assert curves_of(EMBEDDER) is None
    path = curves_path(EMBEDDER)
    assert path == tmp_path / "compact_faces.curves.json"
    path.write_text(json.dumps(measured[0]))
    assert curves_of(EMBEDDER).genuine == 20
    path.write_text(json.dumps(measured[0] | {"model": "another"}))
    os.utime(path, (1, 1))
    assert curves_of(EMBEDDER) is None  # figures of another model say nothing of this one
    path.write_text("no json")
    os.utime(path, (2, 2))
    assert curves_of(EMBEDDER) is None


@pytest.mark.parametrize(("far", "crowd"), [(0.0, 10), (0.003, 1), (0.003, 1000), (1e-9, 10_000), (1.0, 5)])
def test_the_chance_of_one_false_accept(far, crowd):
    assert at_least_one(far, crowd) == pytest.approx(1 - (1 - far) ** crowd, abs=1e-9)


def test_rates_in_words():
    assert rate(11 / 3000, 3000) == "0.37 % (11 of 3,000 pairs)"
    assert rate(0.0, 3000, "tries") == "none of 3,000 tries"
    assert rate(0.25, 40) == "25 % (10 of 40 pairs)"


def test_a_crowd_in_words(measured, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(measured[0]))
    found = read_curves(path)
    far, _ = found.at(0.2)
    assert f"about {far * 1000:,.0f}" in crowd_words(found, 0.2, 1000)
    assert "over 99 %" in crowd_words(found, 0.2, 1000)
    assert "no proof" in crowd_words(found, 0.2, 1000)
    never = crowd_words(found, 1.0, 1000)
    assert "not never" in never
    assert "150" in never  # 1000 * 3 / 20


def test_the_default_threshold_comes_from_the_shipped_curves():
    found = curves_of(EMBEDDER)
    if found is None:
        pytest.skip("the error rates of the embedder have not been measured yet")
    assert found.model == EMBEDDER
    assert found.accuracy > 0.8
    # right verdicts at the default are within a percentage point of the best threshold's
    right = [1 - sum(found.at(threshold)) / 2 for threshold in (DEFAULT_THRESHOLD, found.best)]
    assert right[0] > right[1] - 0.01
