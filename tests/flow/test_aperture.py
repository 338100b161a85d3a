"""The aperture problem: what one window can measure, against the algebra of it."""

import numpy as np
import pytest

from cvdemo.flow.aperture import (
    HOLES,
    SIZE,
    ApertureSettings,
    draw_scene,
    frame,
    hole_mask,
    measure,
    measured,
    seen_direction,
    sentence,
)

RANDOM = np.random.default_rng(3)
CASES = [
    (float(RANDOM.integers(0, 36) * 5), float(RANDOM.integers(0, 72) * 5), float(RANDOM.uniform(0.5, 3)))
    for _ in range(6)
]


@pytest.mark.parametrize(("tilt", "direction", "speed"), CASES)
def test_through_a_round_hole_only_the_normal_flow_is_measured(tilt, direction, speed):
    settings = ApertureSettings(hole="circle", tilt=tilt % 180, direction=direction % 360, speed=speed)
    found = measured(settings)
    assert found.one_equation
    normal = np.array([np.sin(np.deg2rad(settings.tilt)), np.cos(np.deg2rad(settings.tilt))])
    assert found.flow == pytest.approx(normal * (settings.motion @ normal), abs=0.06)


@pytest.mark.parametrize(("tilt", "direction", "speed"), CASES)
def test_the_whole_bar_shows_the_true_motion(tilt, direction, speed):
    settings = ApertureSettings(hole="open", tilt=tilt % 180, direction=direction % 360, speed=speed)
    found = measured(settings)
    assert not found.one_equation
    assert found.flow == pytest.approx(settings.motion, abs=0.08)


def test_least_squares_is_numpys():
    rng = np.random.default_rng(0)
    waves = [(rng.uniform(-0.3, 0.3, 2), rng.uniform(0, 6)) for _ in range(8)]
    move = np.array([0.31, -0.22])

    def texture(shift):
        y, x = np.mgrid[:80, :80].astype(np.float64)
        return sum(40 * np.sin((x - shift[0]) * k[0] + (y - shift[1]) * k[1] + phase) for k, phase in waves)

    first, second = texture((0, 0)), texture(move)
    mask = np.zeros((80, 80), bool)
    mask[10:70, 10:70] = True
    found = measure(first, second, mask)
    gy, gx = np.gradient((first + second) / 2)
    inside = np.zeros((80, 80), bool)
    inside[12:68, 12:68] = True
    matrix = np.stack([gx[inside], gy[inside]], axis=1)
    expected = np.linalg.lstsq(matrix, -(second - first)[inside], rcond=None)[0]
    assert found.flow == pytest.approx(expected, abs=0.01)  # its slopes are from three points, ours from five
    assert found.flow == pytest.approx(move, abs=0.003)
    assert not found.one_equation


def test_motion_along_the_stripes_cannot_be_seen():
    settings = ApertureSettings(tilt=0.0, direction=0.0, speed=3.0)  # flat stripes that move sideways
    found = measured(settings)
    assert np.hypot(*found.flow) < 0.02
    assert "nothing seems to move" in sentence(settings, found)
    moved = np.abs(frame(settings, 0) - frame(settings, 1))
    assert moved.max() < 0.5


@pytest.mark.parametrize(("hole", "axis"), [("upright", 0), ("lying", 1)])
def test_the_barber_pole_moves_along_its_slot(hole, axis):
    settings = ApertureSettings(hole=hole, tilt=40.0, direction=20.0, speed=2.0)
    seen = seen_direction(settings)
    assert seen[axis] == 0
    normal = settings.normal
    assert seen @ normal == pytest.approx(settings.motion @ normal)


@pytest.mark.parametrize("hole", HOLES)
def test_scenes_are_drawn(hole):
    settings = ApertureSettings(hole=hole, tilt=30.0, direction=90.0)
    picture = draw_scene(settings, measured(settings), 3.0)
    assert picture.shape == (SIZE, SIZE, 3)
    assert picture.dtype == np.uint8
    visible = hole_mask(hole)
    assert frame(settings, 0)[visible].std() > 20
    if not visible.all():
        assert np.unique(frame(settings, 0)[~visible]).tolist() == [128.0]


def test_standing_still():
    settings = ApertureSettings(speed=0.0)
    assert sentence(settings, measured(settings)) == "Nothing moves"
