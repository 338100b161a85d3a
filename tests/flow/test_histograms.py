"""Histograms of speed and direction, against numpy's own and a loop."""

import numpy as np
import pytest

from cvdemo.flow.histograms import histograms


def random_field(seed=0, height=40, width=50):
    return np.random.default_rng(seed).normal(0, 4, (height, width, 2)).astype(np.float32)


def test_speeds_are_numpys_histogram():
    flow = random_field()
    found = histograms(flow, 10.0, bins=20)
    speed = np.minimum(np.hypot(flow[..., 0], flow[..., 1]).ravel(), 10.0)
    expected = np.histogram(speed, np.linspace(0, 10, 21))[0] / speed.size
    assert found.speeds == pytest.approx(expected, abs=1e-3)
    assert found.speeds.sum() == pytest.approx(1)


def test_directions_are_weighted_by_speed():
    flow, sectors = random_field(3, 12, 9), 12
    expected = np.zeros(sectors)
    for u, v in flow.reshape(-1, 2):
        speed = float(np.hypot(u, v))
        if speed >= 0.25:
            degrees = np.degrees(np.arctan2(v, u)) % 360
            expected[int((degrees + 15) // 30) % sectors] += speed
    assert histograms(flow, 5.0, sectors=sectors).directions == pytest.approx(expected / expected.sum(), abs=1e-6)


@pytest.mark.parametrize(("vector", "sector"), [((3, 0), 0), ((0, 3), 6), ((-3, 0), 12), ((0, -3), 18)])
def test_sectors_go_clockwise_from_the_right(vector, sector):
    flow = np.tile(np.float32(vector), (4, 4, 1))
    assert histograms(flow, 5.0, sectors=24).directions.argmax() == sector


def test_a_field_at_rest_and_an_unknown_one():
    rest = histograms(np.zeros((5, 5, 2), np.float32), 1.0)
    assert rest.still == 1.0
    assert rest.directions.sum() == 0
    unknown = histograms(np.full((5, 5, 2), np.nan, np.float32), 1.0)
    assert unknown.known == 0
    assert unknown.speeds.sum() == 0


def test_unknown_pixels_are_passed_over():
    flow = random_field(5)
    holes = flow.copy()
    holes[:, ::2] = np.nan
    assert histograms(holes, 9.0).speeds == pytest.approx(histograms(flow[:, 1::2], 9.0).speeds)
    assert histograms(holes, 9.0).known == 0.5


def test_exports():
    found = histograms(random_field(1), 8.0, bins=4, sectors=8)
    lines = found.to_csv().splitlines()
    assert len(lines) == 1 + 4 + 8
    assert lines[1].startswith("speed_px,0,2,")
    assert sum(float(line.rsplit(",", 1)[1]) for line in lines if line.startswith("direction")) == pytest.approx(
        1, abs=1e-4
    )
    assert found.to_dict()["speed"]["edges"] == [0, 2, 4, 6, 8]
