"""The preference for frequent classes taken back: against a known preference, scikit-learn, and on real files."""

import json

import cv2
import numpy as np
import pytest
import torch
from sklearn.metrics import top_k_accuracy_score

from cvdemo.classification import class_prior
from cvdemo.classification.class_prior import BIAS, balancing_bias
from cvdemo.classification.evaluate import top_k_hits
from cvdemo.classification.nets.compact_backbone import CompactClassifier
from cvdemo.classification.raw import softmax
from cvdemo.core import training, weights

RNG = np.random.default_rng(0)
TENCH = "n01440764"


def test_a_known_preference_is_found_again():
    preference = np.array([3.0, -1.0, 0.5, -1.5, -1.0])
    fair = RNG.normal(0, 2, (20_000, 5))
    found = balancing_bias(fair + preference)
    assert found.mean() == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(found, -preference, atol=0.1)


def test_afterwards_all_classes_are_equally_frequent():
    logits = RNG.normal(0, 1, (4_000, 6)) + np.array([4.0, 2.0, 0, 0, -1, -5])
    shares = softmax(logits + balancing_bias(logits)).mean(axis=0)
    np.testing.assert_allclose(shares, 1 / 6, rtol=0.12)


def test_a_class_that_is_never_probable_gets_a_finite_number():
    found = balancing_bias(np.tile([0.0, 0.0, -500.0], (50, 1)))
    assert np.isfinite(found).all()
    assert found.argmax() == 2


@pytest.mark.parametrize("k", [1, 3])
def test_accuracy_is_that_of_scikit_learn(k):
    logits, true = RNG.normal(size=(300, 7)), RNG.integers(0, 7, 300)
    assert top_k_hits(logits, true, k).mean() == pytest.approx(top_k_accuracy_score(true, logits, k=k, labels=range(7)))


@pytest.fixture
def folder(tmp_path):
    """Six pictures of a known class, four of none, and weights with arbitrary values that prefer class 7."""
    for index in range(10):
        place = tmp_path / "photos" / (TENCH if index < 6 else "others")
        place.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(place / f"{index}.png"), RNG.integers(0, 256, (60, 80, 3), np.uint8))
    torch.manual_seed(0)
    network = CompactClassifier()
    with torch.no_grad():
        network.head.bias[7] = 6.0
    training.write_weights(network.state_dict(), tmp_path / "before.safetensors")
    (tmp_path / "skip.json").write_text(json.dumps(["0.png", "1.png"]))
    return tmp_path


def test_the_recipe_changes_the_biases_alone(folder, capsys):
    photos = str(folder / "photos")
    files = {name: str(folder / name) for name in ("before.safetensors", "after.safetensors", "skip.json")}
    class_prior.main(["--weights", files["before.safetensors"], "--photos", photos, "--skip", files["skip.json"],
                      "--check", photos, "--out", files["after.safetensors"]])  # fmt: skip
    before, after = (weights.load_state(folder / f"{name}.safetensors") for name in ("before", "after"))
    assert [name for name in before if not torch.equal(before[name], after[name])] == [BIAS]
    moved = (after[BIAS] - before[BIAS]).float()
    assert int(moved.argmin()) == 7
    said = capsys.readouterr().out
    assert said.count("on 8 photographs; 2 labelled ones: top-1") == 5
    assert said.count("<- written") == 1


def test_pictures_that_are_not_there_are_missed(folder):
    with pytest.raises(SystemExit, match="No pictures in"):
        class_prior.main(["--weights", str(folder / "before.safetensors"), "--photos", str(folder / "none"), "--out",
                          str(folder / "after.safetensors")])  # fmt: skip
