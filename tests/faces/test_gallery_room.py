"""A visitor's gallery: consent first, nobody else's gallery, captures, and that nothing outlives the page."""

import numpy as np
import pytest

from cvdemo.core.errors import InputError, WeightsError
from cvdemo.faces import gallery_room as rooms
from cvdemo.faces.gallery_room import Room, enrol, forget, remove_person, remove_picture, room_of, take_frame
from tests.faces.makers import look_of

ANN, BOB = look_of([[1, 0, 0]]), look_of([[0, 1, 0]])


@pytest.fixture
def room():
    made = Room(consent=True)
    enrol(made, "Ann", ANN)
    enrol(made, " Ann ", ANN)
    enrol(made, "Bob", BOB)
    return made


@pytest.fixture(autouse=True)
def nobody_left():
    yield
    for session in list(rooms._rooms):
        forget(session)


def test_people_and_crops_go_together(room):
    assert {name: len(some) for name, some in room.crops.items()} == {"Ann": 2, "Bob": 1}
    assert room.gallery.names == ("Ann", "Bob")
    assert room.pictures == 3
    key = room.crops["Ann"][0].key
    assert remove_picture(room, key) == "Ann"
    assert room.gallery.count("Ann") == len(room.crops["Ann"]) == 1
    with pytest.raises(InputError, match="not enrolled any more"):
        remove_picture(room, key)
    assert remove_picture(room, room.crops["Ann"][0].key) == "Ann"
    assert room.gallery.names == tuple(room.crops) == ("Bob",)
    assert remove_person(room, room.crops["Bob"][0].key) == "Bob"
    assert not room.crops


def test_nobody_is_enrolled_without_consent():
    room = Room()
    with pytest.raises(InputError, match="without consent"):
        enrol(room, "Ann", ANN)
    with pytest.raises(InputError, match="without consent"):
        rooms.start_capture(room, "Ann")
    assert room.gallery is None
    assert not room.crops


@pytest.mark.parametrize(
    ("name", "look", "error", "says"),
    [
        ("  ", ANN, InputError, "needs a name"),
        ("Ann", look_of([], name="empty.png"), InputError, "empty.png: No face was found"),
        ("Ann", look_of([[1, 0, 0]], missing=True), WeightsError, "not on this machine"),
        ("Ann", look_of([[1, 0, 0]], model="another"), InputError, "another"),
    ],
)
def test_what_cannot_be_enrolled_changes_nothing(room, name, look, error, says):
    before = (room.version, room.pictures, len(room.gallery.embeddings()[0]))
    with pytest.raises(error, match=says):
        enrol(room, name, look)
    assert before == (room.version, room.pictures, len(room.gallery.embeddings()[0]))


def test_of_several_faces_the_largest_is_enrolled():
    room, look = Room(consent=True), look_of([[1, 0, 0], [0, 1, 0]], sides=(40, 90))
    assert enrol(room, "Ann", look) == ["Of 2 faces the largest was taken."]
    np.testing.assert_allclose(room.gallery.embeddings()[0][0], [0, 1, 0], atol=1e-6)
    np.testing.assert_array_equal(room.crops["Ann"][0].crop, look.found.crops[1])


def test_one_session_never_sees_anothers_gallery():
    room_of("one").consent = True
    enrol(room_of("one"), "Ann", ANN)
    assert room_of("two").gallery is None
    assert not room_of("two").consent
    assert room_of("one").gallery.names == ("Ann",)
    assert room_of("one") is not room_of("two")
    assert room_of("") is not room_of("")  # calls without a session share nothing


def test_leaving_wipes_everything_also_for_work_under_way():
    room = room_of("one")
    room.consent = True
    enrol(room, "Ann", ANN)
    forget("one")
    assert room.gallery is None  # an upload that still holds the room
    assert not room.crops
    assert not room.consent
    assert room_of("one").gallery is None
    with pytest.raises(InputError, match="without consent"):
        enrol(room, "Ann", ANN)


def test_rooms_are_limited(monkeypatch):
    monkeypatch.setattr(rooms, "MOST_ROOMS", 2)
    first = room_of("one")
    room_of("two")
    room_of("one")
    room_of("three")
    assert room_of("one") is first
    assert len(rooms._rooms) == 2


def test_captures_take_spaced_frames_that_show_a_face(room):
    capture = rooms.start_capture(room, "Cleo", 2)
    assert take_frame(room, look_of([]), now=10.0) is None
    assert take_frame(room, ANN, now=10.0) is capture
    assert take_frame(room, ANN, now=10.1) is None
    assert take_frame(room, ANN, now=11.0).left == 0
    assert take_frame(room, ANN, now=12.0) is None
    assert len(room.crops["Cleo"]) == 2


def test_a_capture_that_cannot_go_on_ends(room):
    rooms.start_capture(room, "Ann", 2)
    room.consent = False
    with pytest.raises(InputError, match="consent"):
        take_frame(room, ANN, now=10.0)
    assert room.capture is None


def test_what_was_worked_out_lasts_until_the_gallery_changes(room):
    calls = []
    for _ in range(2):
        assert room.recall("x", lambda: calls.append(1) or len(calls)) == 1
    enrol(room, "Ann", ANN)
    assert room.recall("x", lambda: calls.append(1) or len(calls)) == 2
