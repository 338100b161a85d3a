"""The Compare view: figures, panels and words."""

import numpy as np
import pytest

from cvdemo.core import registry
from cvdemo.flow import compare_view as view
from cvdemo.flow.compare_view import CompareSettings, Row
from cvdemo.flow.predict import infer
from cvdemo.flow.tab_shared import Look, Truth


@pytest.fixture(scope="module")
def looks(pair, look):
    return [look, Look(pair, infer(pair.first, pair.second, "farneback", backward=True))]


def test_all_methods_are_listed_and_those_that_can_run_are_chosen():
    names = view.method_names()
    assert {"dis-medium", "dis-fast", "farneback", "raft_small", "raft_large"} <= set(names)
    chosen = CompareSettings().methods
    assert "dis-medium" in chosen
    assert all(registry.get(name).tier != "full" for name in chosen)
    assert set(view.ready_names()) >= set(chosen)


def test_figures_of_a_method(look, truth):
    row = view.row_of(look, truth)
    assert row.epe < 0.5
    assert row.outliers < 10
    assert row.milliseconds > 0
    blind = view.row_of(look, None)
    assert np.isnan(blind.epe)
    assert blind.warp == row.warp


def test_times_leave_loading_waiting_and_the_way_back_out(look):
    assert view.run_ms(look) == pytest.approx(
        sum(ms for name, ms in look.inference.stages.items() if name not in ("load", "wait", "backward"))
    )
    assert view.run_ms(look) < sum(look.inference.stages.values())


def test_outliers_against_a_loop():
    rng = np.random.default_rng(0)
    flow, truth = (rng.normal(0, 30, (12, 9, 2)).astype(np.float32) for _ in range(2))
    truth[0] = np.nan
    count = total = 0
    for (u, v), (a, b) in zip(flow.reshape(-1, 2), truth.reshape(-1, 2)):
        if np.isfinite(a):
            total += 1
            error = np.hypot(u - a, v - b)
            count += error > 3 and error > 0.05 * np.hypot(a, b)
    assert view.outlier_share(flow, truth) == pytest.approx(100 * count / total)
    assert np.isnan(view.outlier_share(flow, np.full_like(truth, np.nan)))


@pytest.mark.parametrize("show", ["flow", "error"])
@pytest.mark.parametrize("with_truth", [True, False])
def test_panels(looks, pair, truth, show, with_truth):
    known = truth if with_truth else None
    text = view.panels_html(looks, pair, known, CompareSettings(show=show))
    assert text.count("<img") == 2 + with_truth
    assert ("· EPE " in text) == with_truth
    assert ("Ground truth" in text) == with_truth


def test_the_maximum_is_common_to_all(looks, truth):
    assert view.common_maximum(looks, truth, CompareSettings()) == 5.0
    assert view.common_maximum(looks, truth, CompareSettings(maximum=33)) == 33
    assert view.common_maximum([], None, CompareSettings()) == 1.0


def test_the_table_escapes_and_says_what_is_missing(looks):
    rows = [view.row_of(look, Truth(np.zeros((96, 128, 2), np.float32), "zero")) for look in looks]
    text = view.table_html(rows, Truth(np.zeros((96, 128, 2), np.float32), "zero"))
    assert "<th>EPE</th>" in text
    assert "<th>EPE</th>" not in view.table_html(rows, None)
    assert text.count("<tr>") == 1 + len(rows)


def test_the_sentence_names_the_fastest_and_the_best():
    nan = float("nan")
    rows = [Row("a", "Quick", 0, 3.0, nan, nan, 9.0), Row("b", "Careful", 0, 90.0, nan, nan, 4.0)]
    assert view.sentence(rows, None) == (
        "Quick is fastest (3 ms); Careful has the smallest warp error (4.0 grey levels)"
    )
    judged = [Row("a", "Quick", 0, 3.0, 0.9, 1.0, 3.0), Row("b", "Careful", 0, 90.0, 0.4, 1.0, 4.0)]
    truth = Truth(np.zeros((2, 2, 2), np.float32), "")
    assert "Careful is most exact (EPE 0.40 px)" in view.sentence(judged, truth)
    assert view.sentence([], None) == "No method was chosen"
