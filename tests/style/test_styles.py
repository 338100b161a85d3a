"""The procedural style pictures: repeatable, varied, and what ships is what the program draws."""

import numpy as np
import pytest

from cvdemo.core.errors import InputError
from cvdemo.style import styles, textures


def test_there_are_at_least_eight():
    assert len(styles.STYLES) >= 8


@pytest.mark.parametrize("name", styles.STYLES)
def test_a_seed_makes_a_picture(name):
    one = styles.draw_style(name, 64, seed=3)
    assert one.shape == (64, 64, 3)
    assert one.dtype == np.uint8
    assert one.std() > 15  # not one flat colour
    assert (one == styles.draw_style(name, 64, seed=3)).all()
    assert (one != styles.draw_style(name, 64, seed=4)).mean() > 0.1


def test_what_ships_is_complete_and_small():
    files = sorted(styles.FOLDER.glob("*.jpg"))
    assert {path.stem for path in files} == set(styles.STYLES)
    assert sum(path.stat().st_size for path in files) < 1_000_000
    for name in styles.STYLES:
        assert styles.load_style(name).shape == (styles.SIDE, styles.SIDE, 3)


def test_an_unknown_style_is_refused():
    with pytest.raises(InputError, match="mosaic"):
        styles.load_style("cubism")


def test_the_command_writes_pictures(tmp_path):
    styles.main(["waves", "--out", str(tmp_path), "--side", "48", "--seed", "2"])
    assert [path.name for path in tmp_path.iterdir()] == ["waves.jpg"]


def test_cells_are_nearest_points():
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 20, (9, 2))
    labels = textures.nearest(20, points)
    for row, column in rng.integers(0, 20, (30, 2)):
        away = np.hypot(*(points - (column + 0.5, row + 0.5)).T)
        assert away[labels[row, column]] == pytest.approx(away.min())


def test_averages_of_cells():
    labels = np.array([[0, 0], [1, 2]])
    picture = np.array([[[10, 0, 0], [20, 0, 0]], [[1, 2, 3], [4, 5, 6]]], float)
    assert textures.averages(picture, labels).tolist() == [[15, 0, 0], [1, 2, 3], [4, 5, 6]]


def test_noise_fills_its_range():
    field = textures.noise(np.random.default_rng(0), 50, 4)
    assert field.shape == (50, 50)
    assert field.min() == 0
    assert field.max() == 1


def test_a_ramp_goes_through_its_palette():
    found = textures.ramp(np.array([0, 0.5, 0.75, 1]), [(0, 0, 0), (100, 0, 50), (200, 20, 50)])
    assert found.tolist() == [[0, 0, 0], [100, 0, 50], [150, 10, 50], [200, 20, 50]]
