"""The lecture corner: what its three topics show and say."""

import re

import numpy as np
import pytest

from cvdemo.core.errors import InputError
from cvdemo.core.media import Picture
from cvdemo.flow import lecture_view as view
from cvdemo.flow.aperture import HOLES
from cvdemo.flow.lecture_view import TOPICS, LectureSettings
from cvdemo.flow.tab_lecture import GROUPS, NAMES
from cvdemo.flow.tab_shared import Pair


@pytest.mark.parametrize("hole", HOLES)
def test_the_aperture_problem_is_a_film_and_a_scene(hole):
    made = view.aperture(LectureSettings(hole=hole, tilt=60.0, direction=20.0))
    assert made.panels.count("<figure>") == 2
    assert "animation-direction:alternate" in made.panels if hole == "open" else "normal" in made.panels
    assert ("barber" in made.details) == (hole in ("upright", "lying"))
    assert "eigenvalue" in made.details


def test_a_scene_at_rest_is_no_film():
    made = view.aperture(LectureSettings(speed=0.0))
    assert "flow-film still" in made.panels
    assert made.sentence == "Nothing moves"


def test_a_round_of_stripes_is_one_period():
    settings = LectureSettings(tilt=90.0, direction=0.0, speed=2.0)  # upright stripes that move across themselves
    seconds = float(re.search(r"animation-duration:([\d.]+)s", view.aperture(settings).panels)[1])
    assert seconds == pytest.approx(56 / 2 * view.FRAME_SECONDS, abs=0.01)


def test_a_known_blur_is_read_back(crowd):
    made = view.blurred(Picture(crowd), LectureSettings(topic="blur", length=20.0, angle=40.0))
    assert made.panels.count("<figure>") == 4
    off = re.search(r"off by ([\d.]+) px and ([\d.]+)°", made.sentence)
    assert off, made.sentence
    assert float(off[1]) < 1.5
    assert float(off[2]) < 2


def test_a_picture_that_is_blurred_already_is_not_blurred_again(crowd):
    made = view.blurred(Picture(crowd), LectureSettings(topic="blur", given=True))
    assert made.panels.count("<figure>") == 3
    assert made.sentence.startswith("No motion blur")
    assert "true" not in made.sentence


def test_small_pictures_are_explained():
    with pytest.raises(InputError, match="too small"):
        view.blurred(Picture(np.zeros((60, 60, 3), np.uint8)), LectureSettings(topic="blur"))


def test_tracks_of_a_moved_picture(pair):
    made = view.tracks(pair, LectureSettings(topic="tracks", points=40))
    found = re.match(r"(\d+) of (\d+) corners followed, median motion ([\d.]+) px", made.sentence)
    assert found, made.sentence
    assert int(found[1]) > 0.6 * int(found[2])
    assert float(found[3]) == pytest.approx(np.hypot(4, 2), abs=0.15)


def test_a_flat_picture_has_nothing_to_follow():
    flat = np.full((80, 90, 3), 120, np.uint8)
    made = view.tracks(Pair(flat, flat, "flat", (80, 90), ("a", "b")), LectureSettings(topic="tracks"))
    assert "No corner" in made.sentence


def test_every_setting_has_its_widget():
    assert set(NAMES) == {field.name for field in LectureSettings.fields_of()}
    assert set(GROUPS) == set(TOPICS) == set(view.HELP)
