"""Verification figures against scikit-learn and brute force on random similarities, with and without ties."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from cvdemo.core.errors import InputError
from cvdemo.faces.verification import (
    accuracy_at,
    area_under,
    best_threshold,
    cross_validated,
    equal_error_rate,
    error_rates,
    roc,
    tar_at_far,
    threshold_at_far,
)


def pairs(seed, count=300, ties=False, gap=1.0):
    rng = np.random.default_rng(seed)
    same = rng.random(count) < 0.5
    scores = rng.normal(same * gap, 1.0)
    return (np.round(scores, 1) if ties else scores), same


CASES = [(seed, ties) for seed in range(3) for ties in (False, True)]


@pytest.mark.parametrize(("seed", "ties"), CASES)
def test_roc_against_scikit_learn(seed, ties):
    scores, same = pairs(seed, ties=ties)
    curve = roc(scores, same)
    far, tar, thresholds = roc_curve(same, scores, drop_intermediate=False)
    np.testing.assert_allclose(curve.far, far)
    np.testing.assert_allclose(curve.tar, tar)
    np.testing.assert_array_equal(curve.thresholds, thresholds)
    assert area_under(curve) == pytest.approx(roc_auc_score(same, scores))


@pytest.mark.parametrize(("seed", "ties"), CASES)
def test_error_rates_by_counting(seed, ties):
    scores, same = pairs(seed, ties=ties)
    thresholds = np.array([-9.0, -0.5, 0.0, 0.3, 0.5, 9.0])
    far, frr = error_rates(scores, same, thresholds)
    for t, a, r in zip(thresholds, far, frr):
        assert a == pytest.approx((scores[~same] >= t).mean())
        assert r == pytest.approx((scores[same] < t).mean())


@pytest.mark.parametrize(("seed", "ties"), CASES)
def test_the_equal_error_rate_is_where_the_curves_cross(seed, ties):
    scores, same = pairs(seed, 2000, ties=ties)
    rate, threshold = equal_error_rate(roc(scores, same))
    # The crossing of straight lines through scikit-learn's points.
    far, tar, _ = roc_curve(same, scores, drop_intermediate=False)
    grid = np.linspace(0, 1, 200001)
    crossing = grid[np.argmin(np.abs(np.interp(grid, far, tar) - (1 - grid)))]
    assert rate == pytest.approx(crossing, abs=2e-3 if ties else 5e-4)
    near = error_rates(scores, same, np.array([threshold]))
    assert float(near[0][0]) == pytest.approx(rate, abs=0.03)
    assert float(near[1][0]) == pytest.approx(rate, abs=0.03)


def test_perfect_and_hopeless_verdicts():
    scores, same = np.array([0.9, 0.8, 0.2, 0.1]), np.array([1, 1, 0, 0])
    assert equal_error_rate(roc(scores, same))[0] == 0
    assert area_under(roc(scores, same)) == 1
    assert tar_at_far(roc(scores, same), 0.0) == 1
    assert equal_error_rate(roc(-scores, same))[0] == 1
    assert equal_error_rate(roc(np.zeros(4), same))[0] == pytest.approx(0.5)


@pytest.mark.parametrize("far", [0.0, 0.01, 0.1, 0.5, 1.0])
def test_tar_at_a_far_by_brute_force(far):
    scores, same = pairs(5)
    best = 0.0
    for t in [*scores, np.inf]:
        if (scores[~same] >= t).mean() <= far:
            best = max(best, (scores[same] >= t).mean())
    curve = roc(scores, same)
    assert tar_at_far(curve, far) == pytest.approx(best)
    threshold = threshold_at_far(curve, far)
    assert (scores[~same] >= threshold).mean() <= far
    assert (scores[same] >= threshold).mean() == pytest.approx(best)


@pytest.mark.parametrize(("seed", "ties"), CASES)
def test_the_best_threshold_by_brute_force(seed, ties):
    scores, same = pairs(seed, 120, ties=ties)
    threshold, accuracy = best_threshold(scores, same)
    assert accuracy == pytest.approx(max(accuracy_at(scores, same, t) for t in [*scores, *(scores + 1e-9), 99]))
    assert accuracy_at(scores, same, threshold) == pytest.approx(accuracy)
    assert threshold not in scores


def test_of_equal_thresholds_the_middle_one():
    threshold, accuracy = best_threshold(np.array([0.1, 0.2, 0.8, 0.9]), np.array([0, 0, 1, 1]))
    assert (threshold, accuracy) == (pytest.approx(0.5), 1.0)


def test_each_fold_is_judged_at_the_others_threshold():
    scores, same = pairs(7, 500)
    folds = np.arange(500) // 50
    result = cross_validated(scores, same, folds)
    for fold in range(10):
        mine = folds == fold
        threshold, _ = best_threshold(scores[~mine], same[~mine])
        assert result.thresholds[fold] == threshold
        assert result.accuracies[fold] == pytest.approx(((scores[mine] >= threshold) == same[mine]).mean())
    assert result.mean == pytest.approx(result.accuracies.mean())
    assert result.std == pytest.approx(np.std(result.accuracies, ddof=1))
    assert result.standard_error == pytest.approx(result.std / np.sqrt(10))


def test_what_cannot_be_judged():
    with pytest.raises(InputError, match="Pairs of one person"):
        roc([0.1, 0.2], [True, True])
    with pytest.raises(InputError, match="not numbers"):
        roc([0.1, np.nan], [True, False])
    with pytest.raises(ValueError, match="2 scores"):
        roc([0.1, 0.2], [True])
    with pytest.raises(InputError, match="two folds"):
        cross_validated([0.1, 0.2], [True, False], [1, 1])
