"""Low-shot classification and retrieval against scikit-learn on random features."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from cvdemo.core.errors import InputError
from cvdemo.faces import retrieval
from cvdemo.faces.embedder import unit
from cvdemo.faces.retrieval import (
    average_precision,
    few_shot_accuracy,
    nearest_class_mean,
    nearest_neighbours,
    retrieval_quality,
    retrieve,
)


def data(seed=0, each=8, classes=4, noise=1.0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, 12))
    x = unit(np.concatenate([c + noise * rng.normal(size=(each, 12)) for c in centres]))
    return x, [f"c{i}" for i in range(classes) for _ in range(each)], unit(rng.normal(size=(30, 12)))


@pytest.mark.parametrize("seed", range(3))
def test_nearest_class_mean_against_scikit_learn(seed):
    x, labels, queries = data(seed)
    mine = nearest_class_mean(x, labels, queries)
    means = unit(np.stack([x[[name == c for name in labels]].mean(0) for c in mine.classes]))
    reference = NearestCentroid().fit(means, mine.classes)  # unit means: the nearest is the most similar
    assert [mine.classes[i] for i in mine.labels] == reference.predict(queries).tolist()
    assert mine.scores.shape == (30, 4)


@pytest.mark.parametrize("k", [1, 3, 7])
def test_nearest_neighbours_against_scikit_learn(k):
    x, labels, queries = data(1)
    mine = nearest_neighbours(x, labels, queries, k)
    reference = KNeighborsClassifier(k, metric="cosine", algorithm="brute").fit(x, labels)
    assert [mine.classes[i] for i in mine.labels] == reference.predict(queries).tolist()
    np.testing.assert_allclose(mine.scores, reference.predict_proba(queries), atol=1e-9)
    assert nearest_neighbours(x[:2], labels[:2], queries, 5).labels.tolist() == [0] * 30


def test_retrieval_by_sorting():
    x, _, queries = data(2)
    found = retrieve(x, queries[0], 5)
    similarity = x @ queries[0]
    assert [row for row, _ in found] == np.argsort(-similarity)[:5].tolist()
    assert found[0][1] == pytest.approx(float(similarity.max()), abs=1e-6)
    assert retrieve(x, x[3], 1)[0][0] == 3


def test_average_precision_against_scikit_learn():
    rng = np.random.default_rng(0)
    for _ in range(10):
        relevant = rng.random(20) < 0.4
        relevant[3] = True
        assert average_precision(relevant) == pytest.approx(average_precision_score(relevant, -np.arange(20)))
    assert average_precision(np.zeros(3)) == 0


def test_quality_by_a_loop_and_its_ends():
    x, labels, _ = data(3, each=5)
    quality = retrieval_quality(x, labels, 3)
    expected = []
    for row in range(len(x)):
        keep = np.arange(len(x)) != row
        truth = np.array(labels)[keep] == labels[row]
        expected.append(average_precision_score(truth, (x @ x[row])[keep]))
    assert quality["mAP"] == pytest.approx(np.mean(expected))
    perfect = retrieval_quality(np.repeat(np.eye(3), 4, 0), [c for c in "abc" for _ in range(4)], 3)
    assert perfect == {"mAP": 1.0, "precision@3": 1.0}
    with pytest.raises(InputError, match="No two pictures"):
        retrieval_quality(x[:2], ["a", "b"])


def test_more_examples_help():
    x, labels, _ = data(4, each=20, noise=1.5)
    one, five = few_shot_accuracy(x, labels, 1)[0], few_shot_accuracy(x, labels, 5)[0]
    assert 0.25 < one < five
    assert few_shot_accuracy(x, labels, 5) == few_shot_accuracy(x, labels, 5)
    with pytest.raises(InputError, match="more pictures than examples"):
        few_shot_accuracy(x, labels, 20)


def test_without_examples():
    with pytest.raises(InputError, match="no examples"):
        nearest_class_mean(np.zeros((0, 3)), [], np.ones((1, 3)))
    with pytest.raises(ValueError, match="labels"):
        nearest_neighbours(np.ones((1, 3)), [], np.ones((1, 3)))


def test_features_are_the_shared_backbone_s(monkeypatch):
    monkeypatch.setattr(retrieval.classification, "embed", lambda pictures, model, engine, **_: np.full((2, 4), 3.0))
    np.testing.assert_allclose(retrieval.features_of([np.zeros((4, 4, 3), np.uint8)] * 2), 0.5)
