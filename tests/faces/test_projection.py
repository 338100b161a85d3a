"""PCA and t-SNE against scikit-learn: components, neighbourhoods, gradient, objective and trustworthiness."""

import numpy as np
import pytest
from scipy.spatial.distance import squareform
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness
from sklearn.manifold._t_sne import _joint_probabilities

from cvdemo.core.errors import InputError
from cvdemo.faces.projection import divergence, gradient, neighbourhoods, pca, squared_distances, tsne


def clusters(seed=0, each=15, count=4):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(count, 10)) * 4
    return np.concatenate([c + rng.normal(size=(each, 10)) for c in centres]), np.repeat(np.arange(count), each)


@pytest.mark.parametrize("seed", range(3))
def test_pca_against_scikit_learn(seed):
    x, _ = clusters(seed)
    mine, theirs = pca(x, 3), PCA(3, svd_solver="full").fit(x)
    np.testing.assert_allclose(mine.explained, theirs.explained_variance_ratio_, atol=1e-10)
    np.testing.assert_allclose(np.abs(mine.components), np.abs(theirs.components_), atol=1e-8)
    np.testing.assert_allclose(np.abs(mine.coordinates), np.abs(theirs.transform(x)), atol=1e-8)
    np.testing.assert_allclose(mine.project(x[:4]), mine.coordinates[:4])


def test_pca_of_few_points():
    assert not pca(np.ones((1, 5))).coordinates.any()
    two = pca(np.array([[0.0, 0, 0], [3, 0, 4]]))
    np.testing.assert_allclose(two.coordinates, [[-2.5, 0], [2.5, 0]], atol=1e-12)
    np.testing.assert_allclose(two.explained, [1, 0], atol=1e-12)
    with pytest.raises(InputError, match="nothing to draw"):
        pca(np.zeros((0, 5)))


@pytest.mark.parametrize("perplexity", [5, 15])
def test_neighbourhoods_against_scikit_learn(perplexity):
    x, _ = clusters()
    distances = squared_distances(x)
    mine = neighbourhoods(distances, perplexity)
    theirs = squareform(_joint_probabilities(distances.astype(np.float32), perplexity, 0))
    assert mine.sum() == pytest.approx(1)
    np.testing.assert_allclose(mine, theirs, atol=2e-6)


def test_the_gradient_numerically():
    x, _ = clusters(each=4)
    joint = neighbourhoods(squared_distances(x), 4)
    places = np.random.default_rng(1).normal(size=(len(x), 2))
    slope = gradient(joint, places)
    for i, k in ((0, 0), (5, 1), (15, 0)):
        step = np.zeros_like(places)
        step[i, k] = 1e-5
        numeric = (divergence(joint, places + step) - divergence(joint, places - step)) / 2e-5
        assert slope[i, k] == pytest.approx(numeric, rel=1e-4, abs=1e-8)


def test_tsne_is_as_good_as_scikit_learn_s():
    x, labels = clusters()
    mine = tsne(x, 10)
    reference = TSNE(perplexity=10, method="exact", init="pca", max_iter=500, random_state=0)
    theirs = reference.fit_transform(x)
    joint = neighbourhoods(squared_distances(x), 10)
    assert divergence(joint, mine) <= 1.1 * divergence(joint, theirs.astype(np.float64)) + 0.02
    assert trustworthiness(x, mine) >= trustworthiness(x, theirs) - 0.02
    nearest = np.argsort(squared_distances(mine) + np.eye(len(x)) * 1e9, 1)[:, 0]
    assert (labels[nearest] == labels).mean() > 0.95


def test_tsne_is_repeatable_centred_and_tells_its_progress():
    x, _ = clusters(each=5)
    seen = []
    first = tsne(x, 10, 100, lambda step, places: seen.append(step))
    np.testing.assert_array_equal(first, tsne(x, 10, 100))
    np.testing.assert_allclose(first.mean(0), 0, atol=1e-9)
    assert seen == [25, 50, 75, 100]


def test_equal_points_and_sizes():
    assert np.isfinite(tsne(np.ones((6, 3)), steps=50)).all()
    assert np.isfinite(tsne(np.eye(4), steps=50)).all()
    with pytest.raises(InputError, match="at least four"):
        tsne(np.eye(3))
    with pytest.raises(InputError, match="at most 1000"):
        tsne(np.zeros((1001, 2)))
