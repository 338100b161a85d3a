"""The Gallery view: who is found, charts that follow the gallery, escapes, exports."""

import json
import re

import numpy as np
import pytest

from cvdemo.core.errors import InputError
from cvdemo.faces import gallery_view as view
from cvdemo.faces.charts import map_chart, roc_chart
from cvdemo.faces.gallery import Match
from cvdemo.faces.gallery_room import Room, enrol
from cvdemo.faces.gallery_view import PICTURES, TSNE, GalleryViewSettings
from cvdemo.faces.tab_gallery import charts, everything, search
from cvdemo.faces.verification import equal_error_rate, roc
from tests.faces.makers import look_of

PLAIN = GalleryViewSettings(threshold=0.5)
PROBE = look_of([[0, 1, 0.1], [1, 0.1, 0], [0, 0, 1]], sides=(60, 90, 40))


@pytest.fixture
def room():
    made = Room(consent=True)
    for name, vectors in (("Ann", [[1, 0, 0], [1, 0.3, 0]]), ("<b>Bob</b>${x}", [[0, 1, 0], [0, 1, 0.4], [0.1, 1, 0]])):
        for vector in vectors:
            enrol(made, name, look_of([vector]))
    return made


def test_faces_get_names_or_are_unknown(room):
    rows, matches = view.matches_of(room, PROBE, PLAIN)
    assert rows.tolist() == [1, 0, 2]
    assert [match.name for match in matches] == ["Ann", "<b>Bob</b>${x}", None]
    assert view.sentence(matches) == "3 faces: Ann, <b>Bob</b>${x}; 1 unknown."
    strict = view.matches_of(room, PROBE, GalleryViewSettings(threshold=1.0))[1]
    assert view.sentence(strict) == "3 faces: 3 unknown."
    html = view.answers_html(PROBE, rows, matches)
    assert "<b>Bob" not in html
    assert "$" not in html


def test_with_nobody_enrolled_everybody_is_unknown():
    _, matches = view.matches_of(Room(), PROBE, PLAIN)
    assert view.sentence(matches) == f"3 faces: 3 unknown. {view.NOBODY}"
    assert view.sentence([]) == "No face was found."
    assert view.sentence([Match((("Ann", 0.1),), None, 0.4)]) == "1 face: unknown."


def test_a_gallery_of_another_model_is_not_compared(room):
    with pytest.raises(InputError, match="was made with"):
        view.matches_of(room, look_of([[1, 0, 0]], model="another"), PLAIN)
    answer = search(room, look_of([[1, 0, 0]], model="another"), PLAIN)
    assert "was made with" in answer[1]


def test_without_the_embedder_the_picture_and_the_remedy_are_shown(room):
    picture, line, answers = search(room, look_of([[1, 0, 0]], missing=True), PLAIN)
    assert picture["src"]
    assert "Put it there" in line
    assert answers == ""


def test_people_are_listed_with_buttons_that_remove_them(room):
    html = view.people_html(room)
    keys = re.findall(r'data-key="(\w+) (\d+)"', html)
    assert [what for what, _ in keys] == ["person", "picture", "picture", "person", "picture", "picture", "picture"]
    assert {int(key) for what, key in keys if what == "picture"} == {
        one.key for some in room.crops.values() for one in some
    }
    assert "<b>" not in html
    assert "$" not in html
    assert "Nobody is enrolled" in view.people_html(Room())


def test_matrices_of_people_and_of_pictures(room):
    values = re.findall(r">(-?\d\.\d\d)</td>", view.matrix_html(room, PLAIN))
    np.testing.assert_allclose(np.array(values, float).reshape(2, 2), room.gallery.similarity_matrix(), atol=0.0051)
    pictures = view.matrix_html(room, GalleryViewSettings(threshold=0.5, matrix=PICTURES))
    assert len(re.findall(r">(-?\d\.\d\d)</td>", pictures)) == 25
    assert "Ann 2" in pictures
    assert "Enrol somebody" in view.matrix_html(Room(), PLAIN)


def test_the_map_follows_the_gallery(room):
    html = view.map_html(room, PLAIN, PROBE)
    assert html.count("<title>Ann, picture") == 2
    assert html.count("this picture") == 3
    with_tsne = view.map_html(room, GalleryViewSettings(projection=TSNE), PROBE)
    assert with_tsne.count("<title>Ann, picture") == 2
    assert "this picture" not in with_tsne
    one = Room(consent=True)
    enrol(one, "Ann", look_of([[1, 0, 0]]))
    assert "at least two" in view.map_html(one, PLAIN, None)
    enrol(one, "Ann", look_of([[1, 0, 0]]))
    assert "four faces" in view.map_html(one, GalleryViewSettings(projection=TSNE), None)
    assert "<title>Ann, picture 2" in view.map_html(one, PLAIN, None)  # two pictures in one place


def test_errors_from_the_visitors_own_pairs(room):
    html = view.errors_html(room, PLAIN)
    assert "(two pictures of one person): 4;" in html
    assert "(of two people): 6." in html
    eer, at = equal_error_rate(roc(*room.gallery.genuine_and_impostor()))
    assert f"<b>{100 * eer:.1f} %</b> at {at:.2f}" in html
    assert "two pictures or more" in view.errors_html(Room(), PLAIN)
    one = Room(consent=True)
    enrol(one, "Ann", look_of([[1, 0, 0]]))
    assert "pairs of both kinds" in view.errors_html(one, PLAIN)


def test_the_roc_marks_the_threshold():
    curve = roc([0.9, 0.8, 0.3, 0.2], [True, False, True, False])
    assert "FAR 50 %, TAR 50 %" in roc_chart(curve, 0.5)
    assert "FAR 0 %, TAR 0 %" in roc_chart(curve, 1.0)
    assert "FAR 100 %, TAR 100 %" in roc_chart(curve, -1.0)


def test_the_map_of_equal_points_is_finite():
    html = map_chart(np.zeros((3, 2)), ["a", "a", "b"])
    assert "nan" not in html
    assert "inf" not in html


def test_the_export_tells_similarities_and_nothing_else(room):
    told = json.loads(view.export(room, PLAIN))
    assert [row["pictures"] for row in told["people"]] == [2, 3]
    np.testing.assert_allclose(told["similarities_of_people"], room.gallery.similarity_matrix(), atol=1e-4)
    assert np.shape(told["similarities_of_pictures"]) == (5, 5)
    assert set(told) == {
        "model", "settings", "people", "similarities_of_people", "pictures", "similarities_of_pictures", "eer",
        "eer_threshold",
    }  # fmt: skip
    with pytest.raises(InputError, match="nothing to export"):
        view.export(Room(), PLAIN)


def test_uploads_in_words():
    html = view.enrolled_html("<Ann>", 1, 2, ["x.png: <no> face"])
    assert "1 picture of &lt;Ann&gt; enrolled." in html
    assert 'role="alert"' in html
    assert "<no>" not in html
    assert 'role="alert"' not in view.enrolled_html("Ann", 2, 2, ["It is small."])


def test_everything_fits_its_places(room):
    assert len(everything("nobody", room, PLAIN)) == 7
    assert len(charts(room, None, PLAIN)) == 3
