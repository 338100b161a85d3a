"""The Synthetic view: scenes by number, and a method's exact error on them."""

import numpy as np
import pytest

from cvdemo.flow import synthetic_view as view
from cvdemo.flow.predict import infer
from cvdemo.flow.synthetic_view import SyntheticSettings
from cvdemo.flow.tab_shared import Look, pair_from
from cvdemo.flow.tab_synthetic import NAMES

SMALL = SyntheticSettings(height=96, width=128, seed=5, motion=8)


@pytest.fixture(scope="module")
def scene():
    return view.generate(SMALL)


@pytest.fixture(scope="module")
def seen(scene):
    pair = view.pair_of_scene(scene, SMALL)
    return Look(pair, infer(pair.first, pair.second, "dis-medium", backward=True))


def test_a_number_is_a_scene(scene):
    again, other = view.generate(SMALL), view.generate(SyntheticSettings(height=96, width=128, seed=6, motion=8))
    assert (again.first == scene.first).all()
    assert (again.flow == scene.flow).all()
    assert (other.first != scene.first).any()


def test_scores_are_the_endpoint_error(scene):
    still = view.score_of(scene, np.zeros_like(scene.flow))
    assert still.epe == pytest.approx(np.hypot(scene.flow[..., 0], scene.flow[..., 1]).mean(), rel=1e-5)
    assert view.score_of(scene, scene.flow).epe == 0


def test_panels_and_words(scene, seen):
    assert view.panels_html(scene, seen).count("<img") == 6
    assert view.panels_html(scene, None).count("<img") == 4
    assert "EPE" in view.sentence(scene, seen, "DIS")
    assert "could not run" in view.sentence(scene, None, "DIS")
    assert "Fl-all" in view.details(scene, seen)


def test_hidden_pixels_are_covered_or_outside(scene):
    assert (view.hidden_mask(scene) == (scene.occluded | ~scene.valid)).all()


def test_every_widget_is_a_setting_and_the_scene_leaves_the_number_out():
    assert set(NAMES) <= {field.name for field in SyntheticSettings.fields_of()}
    assert not hasattr(SMALL.scene(), "seed")
    assert SMALL.scene().motion == 8


def test_a_scene_can_be_the_input_pair(scene, tmp_path):
    from cvdemo.core.media import read_picture, save_picture

    paths = [tmp_path / name for name in ("one.png", "two.png")]
    for path, pixels in zip(paths, (scene.first, scene.second)):
        save_picture(path, pixels)
    pair = pair_from(*(read_picture(path) for path in paths))
    assert (pair.first == scene.first).all()
    assert (pair.second == scene.second).all()
