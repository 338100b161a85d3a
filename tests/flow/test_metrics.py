"""Errors against loops and against published definitions."""

import math

import numpy as np
import pytest

from cvdemo.core.errors import InputError
from cvdemo.flow.metrics import angular_error, endpoint_error, outliers, score

RNG = np.random.default_rng(7)
FLOW, TRUTH = (RNG.normal(size=(2, 15, 20, 2)) * 6).astype(np.float32)


def test_errors_are_those_of_a_loop():
    epe, angle, out = (
        endpoint_error(FLOW, TRUTH),
        angular_error(FLOW, TRUTH),
        outliers(endpoint_error(FLOW, TRUTH), TRUTH),
    )
    for i in range(15):
        for j in range(20):
            (u, v), (s, t) = FLOW[i, j].tolist(), TRUTH[i, j].tolist()
            distance = math.dist((u, v), (s, t))
            assert epe[i, j] == pytest.approx(distance, rel=1e-5)
            cosine = (u * s + v * t + 1) / math.sqrt((u * u + v * v + 1) * (s * s + t * t + 1))
            assert angle[i, j] == pytest.approx(math.degrees(math.acos(cosine)), abs=1e-2)
            assert out[i, j] == (distance > 3 and distance > 0.05 * math.hypot(s, t))


@pytest.mark.parametrize(
    ("error", "length", "outlier"),
    [(2.9, 1, False), (3.1, 1, True), (3.1, 100, False), (5.1, 100, True), (5.1, 104, False)],
)
def test_kittis_outliers_need_both_limits(error, length, outlier):
    truth = np.full((1, 1, 2), (length, 0), np.float32)
    assert outliers(np.full((1, 1), error, np.float32), truth)[0, 0] == outlier


def test_the_score_counts_known_pixels_only():
    truth, flow = TRUTH.copy(), FLOW.copy()
    known = RNG.random((15, 20)) < 0.6
    truth[~known] = 1e10
    flow[0, 0] = np.nan
    found = score(flow, truth, known)
    error = np.linalg.norm(FLOW - TRUTH, axis=2)
    counted = known.copy()
    counted[0, 0] = False
    assert found.epe == pytest.approx(error[counted].mean(), rel=1e-5)
    assert found.pixels == counted.sum()
    assert found.epe_visible is None


def test_the_score_by_occlusion_adds_up():
    occluded = RNG.random((15, 20)) < 0.3
    found = score(FLOW, TRUTH, occluded=occluded)
    share = occluded.mean()
    assert found.epe == pytest.approx(share * found.epe_occluded + (1 - share) * found.epe_visible, rel=1e-6)
    assert score(FLOW, TRUTH, occluded=np.zeros((15, 20), bool)).epe_occluded is None


def test_the_truth_itself_has_no_error():
    found = score(TRUTH, TRUTH)
    assert (found.epe, found.fl_all) == (0, 0)
    assert found.angular < 0.05
    assert found.to_dict()["pixels"] == 300


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(InputError, match="cannot be compared"):
        score(FLOW[:5], TRUTH)
    with pytest.raises(InputError, match="no pixel"):
        score(FLOW, TRUTH, np.zeros((15, 20), bool))
