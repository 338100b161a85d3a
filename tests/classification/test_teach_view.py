"""A visitor's lesson: pictures in, classes changed, a head trained, and what the page says of it all."""

import re
import threading

import numpy as np
import pytest

from cvdemo.classification import predict, teach_pictures, teach_room
from cvdemo.classification.teach import MOST_PICTURES, Head, cross_validate, export_head, train_head
from cvdemo.classification.teach_pictures import Added, add_files, due, put, record, smaller, take_frame
from cvdemo.classification.teach_room import (
    NOTHING_ELSE,
    Answer,
    Room,
    add_class,
    answer,
    change_kind,
    clear,
    forget,
    load_head,
    remove_class,
    remove_picture,
    rename,
    room_of,
    set_labels,
    train,
)
from cvdemo.classification.teach_view import (
    SHOWN,
    added_html,
    answer_html,
    chosen_html,
    export_name,
    fewest_and_most,
    results_html,
    safe,
    stale_note,
    strip_html,
    trained_words,
)
from cvdemo.core.errors import Cancelled, InputError, WeightsError
from cvdemo.core.media import Picture, save_picture

HOSTILE = '<img src=x onerror="alert(1)"> ${1} {{x}}'
DARK, LIGHT = np.full((60, 80, 3), 20, np.uint8), np.full((60, 80, 3), 230, np.uint8)


def mean_colour(pictures, model="m", **_):
    """Stands in for the network: (N, 4) features that follow the picture's brightness."""
    means = np.array([picture.pixels.mean() / 255 for picture in pictures])
    return np.stack([means, means**2, 1 - means, np.ones_like(means)], 1).astype(np.float32)


def rows_around(value, count, seed=0):
    rng = np.random.default_rng(seed)
    return (value + 0.1 * rng.normal(size=(count, 4))).astype(np.float32)


def taught(count=6, kind="softmax") -> Room:
    """Two classes that are easily told apart."""
    room = Room()
    if kind != "softmax":
        change_kind(room, kind)
    put(room, room.names_for(0), rows_around(0, count), [DARK] * count, "m")
    put(room, room.names_for(1), rows_around(1, count, 1), [LIGHT] * count, "m")
    return room


def keys_of(room, name=None):
    return [key for key, _ in room.lesson.thumbnails(name)]


# ------------------------------------------------------------------ sessions


def test_a_room_belongs_to_its_session_and_is_forgotten_with_it():
    first = room_of("visitor a")
    assert room_of("visitor a") is first
    assert room_of("visitor b") is not first
    assert first.lesson.classes == ("Class 1", "Class 2")
    forget("visitor a")
    forget("visitor b")
    forget("never there")
    fresh = room_of("visitor a")
    assert fresh is not first
    assert len(fresh.lesson) == 0
    forget("visitor a")


def test_rooms_do_not_pile_up(monkeypatch):
    monkeypatch.setattr(teach_room, "MOST_ROOMS", 3)
    monkeypatch.setattr(teach_room, "_rooms", type(teach_room._rooms)())
    rooms = [room_of(str(n)) for n in range(3)]
    assert room_of("0") is rooms[0]  # used again: now "1" is idle for longest
    room_of("3")
    assert room_of("0") is rooms[0]
    assert room_of("1") is not rooms[1]


# ------------------------------------------------------------------ pictures in


def make_files(folder, good=3):
    paths = []
    for index in range(good):
        paths.append(folder / f"good{index}.png")
        save_picture(paths[-1], DARK + np.uint8(index))
    for name, content in (("cut.jpg", b"\xff\xd8\xff\xe0\0\x10JF"), ("notes.txt", b"hello"), ("empty.png", b"")):
        (folder / name).write_bytes(content)
        paths.insert(len(paths) // 2, folder / name)
    return paths


def test_good_pictures_stay_and_bad_ones_are_named(tmp_path):
    room = Room()
    added = add_files(room, 0, make_files(tmp_path), "m", embed=mean_colour)
    assert added.count == 3
    assert room.lesson.counts() == {"Class 1": 3, "Class 2": 0}
    assert room.lesson.backbone == "m"
    for name in ("cut.jpg", "notes.txt", "empty.png"):
        assert sum(name in reason for reason in added.refused) == 1
    text = added_html(added, "Class 1")
    assert "3 pictures added to Class 1." in text
    assert "3 left out" in text
    assert "cut.jpg" in text
    assert added_html(Added(1), "x").count("problem") == 0
    assert Added(0, ("a",)).sentence("cup") == "No pictures added to cup."


def test_files_are_read_and_embedded_in_small_portions(tmp_path):
    sizes, told = [], []

    def embed(pictures, model, **watch):
        sizes.append(len(pictures))
        return mean_colour(pictures)

    paths = make_files(tmp_path, good=30)
    room = Room()
    assert add_files(room, 1, paths, "m", embed=embed, progress=lambda f, text: told.append(f)).count == 30
    assert max(sizes) <= teach_pictures.CHUNK
    assert sum(sizes) == 30
    assert told == sorted(told)
    assert room.version == len(sizes)


def test_only_bad_files_run_no_network(tmp_path):
    def embed(*_, **__):
        raise AssertionError("there is nothing to look at")

    (tmp_path / "a.png").write_bytes(b"")
    added = add_files(Room(), 0, [tmp_path / "a.png"], "m", embed=embed)
    assert (added.count, len(added.refused)) == (0, 1)


def test_a_full_class_takes_what_fits_and_says_how_many_did_not(tmp_path):
    room = Room()
    put(room, ("Class 1",), rows_around(0, MOST_PICTURES - 2), [DARK] * (MOST_PICTURES - 2), "m")
    paths = make_files(tmp_path, good=20)
    added = add_files(room, 0, [path for path in paths if "good" in path.name], "m", embed=mean_colour)
    assert added.count == 2
    assert added.refused == (f"18 more did not fit: a class holds {MOST_PICTURES} pictures.",)
    with pytest.raises(InputError, match="which is the most"):
        add_files(room, 0, paths, "m", embed=mean_colour)


def test_features_of_another_network_are_refused(tmp_path):
    room = taught()
    with pytest.raises(InputError, match="were read by m"):
        add_files(room, 0, make_files(tmp_path), "other", embed=mean_colour)


def test_stopping_keeps_what_was_read(tmp_path):
    cancel = threading.Event()

    def embed(pictures, model, **_):
        cancel.set()
        return mean_colour(pictures)

    room = Room()
    with pytest.raises(Cancelled):
        add_files(room, 0, make_files(tmp_path, good=30), "m", embed=embed, cancel=cancel)
    assert 0 < len(room.lesson) <= teach_pictures.CHUNK


def test_missing_weights_are_said(tmp_path, monkeypatch):
    monkeypatch.setenv("CVDEMO_WEIGHTS", str(tmp_path / "nothing here"))
    monkeypatch.setattr("cvdemo.core.engine._default", None)
    with pytest.raises(WeightsError, match="compact_classifier"):
        add_files(Room(), 0, make_files(tmp_path), predict.DEFAULT_MODEL)


def test_large_pictures_are_shrunk_before_they_are_kept():
    large = Picture(np.zeros((2000, 3000, 3), np.uint8), "large.jpg")
    assert smaller(large).pixels.shape == (512, 768, 3)
    assert smaller(large).name == "large.jpg"
    small = Picture(DARK)
    assert smaller(small) is small
    strip = Picture(np.zeros((600, 9, 3), np.uint8))
    assert smaller(strip) is strip


def test_a_recording_takes_every_frame_that_is_due_and_then_ends():
    room = Room()
    assert not due(room)
    assert take_frame(room, rows_around(0, 1)[0], DARK, "m") is None
    record(room, 1, 3)
    step = teach_pictures.BURST_SECONDS
    assert take_frame(room, rows_around(0, 1)[0], DARK, "m", now=100.0) == 1
    assert not due(room, 100.0 + step / 2)
    assert take_frame(room, rows_around(0, 1)[0], DARK, "m", now=100.0 + step / 2) is None
    assert "1 of 3 frames" in strip_html(room, 1)
    assert "frames" not in strip_html(room, 0)
    assert take_frame(room, rows_around(0, 1)[0], DARK, "m", now=100.0 + 1.1 * step) == 1
    assert take_frame(room, rows_around(0, 1)[0], DARK, "m", now=100.0 + 2.2 * step) == 1
    assert room.recording is None
    assert room.lesson.counts() == {"Class 1": 0, "Class 2": 3}


def test_a_recording_into_a_full_class_ends():
    room = Room()
    put(room, ("Class 1",), rows_around(0, MOST_PICTURES), [DARK] * MOST_PICTURES, "m")
    record(room, 0, 5)
    with pytest.raises(InputError, match="which is the most"):
        take_frame(room, rows_around(0, 1)[0], DARK, "m", now=5.0)
    assert room.recording is None


# ------------------------------------------------------------------ classes


def test_classes_are_added_up_to_ten_with_free_names():
    room = Room()
    rename(room, 0, "Class 3")
    for _ in range(8):
        add_class(room)
    assert len(set(room.lesson.classes)) == 10
    with pytest.raises(InputError, match="10 classes already"):
        add_class(room)


@pytest.mark.parametrize("name", ["", "   ", "class 2", "x" * 41, "bad\0name", "two\nlines\x1b"])
def test_names_that_cannot_be_used_change_nothing(name):
    room = Room()
    with pytest.raises(InputError):
        rename(room, 0, name)
    assert room.lesson.classes == ("Class 1", "Class 2")


def test_a_card_that_is_gone_is_refused():
    for card in (2, 9):
        with pytest.raises(InputError, match="not there any more"):
            Room().names_for(card)


def test_renaming_renames_the_head_and_the_ticks_too():
    room = taught()
    train(room)
    rename(room, 1, "bright")
    assert room.trained.head.classes == ("Class 1", "bright")
    assert room.trained.validation.classes == ("Class 1", "bright")
    assert not room.stale
    change_kind(room, "multi-label")
    room.also = ("bright",)
    rename(room, 1, "light")
    assert room.also == ("light",)
    assert room.names_for(0) == ("Class 1", "light")


def test_removing_a_class_removes_its_pictures_and_what_pointed_at_its_card():
    room = taught(4)
    train(room)
    record(room, 1, 5)
    room.chosen, room.unfolded = keys_of(room)[0], 1
    remove_class(room, 0)
    assert room.lesson.counts() == {"Class 2": 4}
    assert (room.recording, room.chosen, room.unfolded) == (None, None, None)
    assert room.stale
    assert "train again" in stale_note(room)


def test_attributes_may_be_several_or_none():
    room = taught(3, "multi-label")
    room.also = ("Class 2",)
    assert room.names_for(0) == ("Class 1", "Class 2")
    assert room.names_for(1) == ("Class 2",)
    assert room.names_for(NOTHING_ELSE) == ()
    put(room, room.names_for(NOTHING_ELSE), rows_around(2, 2), [DARK] * 2, "m")
    assert "2 pictures" in strip_html(room, NOTHING_ELSE)
    with pytest.raises(InputError, match=r"2 pictures have several attributes or none"):
        change_kind(room, "softmax")
    assert room.lesson.kind == "multi-label"
    for key in keys_of(room):
        if not room.lesson.names_of(key):
            remove_picture(room, key)
    change_kind(room, "softmax")
    assert room.lesson.kind == "softmax"
    assert len(room.lesson) == 6
    assert room.also == ()


def test_labels_of_a_picture_are_changed():
    room = taught(3)
    key = keys_of(room, "Class 1")[0]
    set_labels(room, key, ["Class 1", "Class 2"])  # ticking another one moves it
    assert room.lesson.names_of(key) == ("Class 2",)
    version = room.version
    set_labels(room, key, [])  # it must belong somewhere
    assert room.lesson.names_of(key) == ("Class 2",)
    assert room.version == version
    change_kind(room, "multi-label")
    set_labels(room, key, ["Class 1", "Class 2"])
    assert room.lesson.names_of(key) == ("Class 1", "Class 2")
    set_labels(room, key, [])
    assert room.lesson.names_of(key) == ()


def test_deleting_everything_leaves_nothing():
    room = taught()
    train(room)
    strip_html(room, 0)
    record(room, 0, 5)
    clear(room)
    assert (len(room.lesson), room.trained, room.recording, room.urls, room.lesson.nbytes()) == (0, None, None, {}, 0)
    assert answer(room, rows_around(0, 1)[0], "m") is None


# ------------------------------------------------------------------ the head


@pytest.mark.parametrize("kind", ["softmax", "multi-label"])
def test_training_gives_what_the_functions_give(kind):
    room = taught(8, kind)
    told = []
    trained = train(room, lambda fraction, text: told.append(fraction))
    features, labels = room.lesson.training_data()
    expected = train_head(features, labels, classes=room.lesson.classes, kind=kind, backbone="m")
    np.testing.assert_allclose(trained.head.weight, expected.weight, atol=1e-6)
    checked = cross_validate(features, labels, classes=room.lesson.classes, kind=kind)
    np.testing.assert_array_equal(trained.validation.confusion, checked.confusion)
    assert trained.pictures == 16
    assert told == sorted(told)
    assert told[-1] <= 1
    assert room.trained is trained
    assert not room.stale
    result = answer(room, rows_around(1, 1, 7)[0], "m")
    assert result.probabilities.argmax() == 1
    text = results_html(trained)
    assert "Loss" in text
    assert f"{checked.folds}-fold" in text
    assert "8" in re.sub("<[^>]*>", " ", text)
    sentence, how = trained_words(trained)
    assert sentence == f"{checked.sentence()}."
    assert "16 pictures" in how


def test_too_little_is_said_and_the_old_head_stays():
    room = Room()
    with pytest.raises(InputError, match="add 2 to Class 1, 2 to Class 2"):
        train(room)
    assert "add 2 to Class 1" in fewest_and_most(room)
    room = taught(2)
    head = train(room)
    remove_picture(room, keys_of(room, "Class 1")[0])
    with pytest.raises(InputError, match="1 to Class 1"):
        train(room)
    assert room.trained is head
    remove_class(room, 1)
    assert fewest_and_most(room) == "Add at least two classes."


def test_training_can_be_stopped():
    room, cancel = taught(), threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        train(room, cancel=cancel)
    assert room.trained is None


def test_the_state_of_the_lesson_in_words():
    room = taught()
    assert fewest_and_most(room).startswith("12 pictures: ready to train")
    train(room)
    assert fewest_and_most(room) == "Trained on these 12 pictures."
    put(room, room.names_for(0), rows_around(0, 1), [DARK], "m")
    assert "train again" in fewest_and_most(room)


def test_a_head_of_another_network_does_not_answer():
    room = taught()
    train(room)
    with pytest.raises(InputError, match="taught on the features of m"):
        answer(room, rows_around(0, 1)[0], "other")


def test_an_imported_head_answers_and_brings_its_classes():
    source = taught()
    train(source)
    room = Room()
    head = load_head(room, export_head(source.trained.head))
    assert room.lesson.classes == head.classes == ("Class 1", "Class 2")
    np.testing.assert_array_equal(
        answer(room, rows_around(1, 1)[0], "m").probabilities,
        answer(source, rows_around(1, 1)[0], "m").probabilities,
    )
    sentence, how = trained_words(room.trained)
    assert sentence.startswith("A head for 2 classes (Class 1, Class 2), taught on the features of m")
    assert (how, results_html(room.trained)) == ("", "")
    busy = taught()
    rename(busy, 0, "mine")
    load_head(busy, export_head(source.trained.head))
    assert busy.lesson.classes == ("mine", "Class 2"), "a lesson with pictures keeps its classes"


@pytest.mark.parametrize("data", [b"", b"hello", b"\xff" * 4000, b"\x08" + b"\0" * 7 + b"{}      "])
def test_files_that_are_no_heads_are_refused(data):
    room = taught()
    trained = train(room)
    with pytest.raises(InputError):
        load_head(room, data)
    assert room.trained is trained


@pytest.mark.parametrize(
    ("probabilities", "kind", "words"),
    [
        ([0.87, 0.13], "softmax", "cup (87 %)"),
        ([0.45, 0.55], "softmax", "Not sure: mug (55 %) or cup (45 %)"),
        ([0.9, 0.8], "multi-label", "cup (90 %) and mug (80 %)"),
        ([0.2, 0.8], "multi-label", "mug (80 %)"),
        ([0.3, 0.2], "multi-label", "None of the attributes; the closest is cup (30 %)"),
    ],
)
def test_answers_in_words(probabilities, kind, words):
    found = Answer(np.array(probabilities, np.float32), ("cup", "mug"), kind)
    assert found.sentence() == words
    assert safe(words) in answer_html(found)


# ------------------------------------------------------------------ what the page gets


def test_hostile_names_stay_text_everywhere():
    room = taught(2)
    rename(room, 0, HOSTILE[:40])
    rename(room, 1, "`${alert(1)}` <script>")
    trained = train(room)
    room.chosen = keys_of(room)[0]
    found = answer(room, rows_around(0, 1)[0], "m")
    outputs = [strip_html(room, 0), strip_html(room, 1), answer_html(found), results_html(trained), chosen_html(room)]
    outputs.append(added_html(Added(1, (f"{HOSTILE} is damaged",)), HOSTILE))
    for text in outputs:
        assert "<script" not in text
        assert "<img src=x" not in text
        assert "${" not in text
        assert "{{" not in text
        assert "`" not in text


def test_names_of_attributes_are_escaped_in_the_table():
    room = taught(4, "multi-label")
    rename(room, 0, "<b>${x}")
    text = results_html(train(room))
    assert "&lt;b&gt;" in text
    assert "<b>" not in text
    assert "4 of 4" in text


def test_a_strip_shows_the_newest_and_unfolds():
    room = Room()
    put(room, ("Class 1",), rows_around(0, SHOWN + 7), [DARK] * (SHOWN + 7), "m")
    text = strip_html(room, 0)
    assert text.count("<img") == SHOWN
    assert "show 7 more" in text
    assert f"{SHOWN + 7} pictures" in text
    newest = keys_of(room)[-1]
    assert f'data-key="{newest}"' in text
    assert f'data-key="{keys_of(room)[0]}"' not in text
    room.unfolded = 0
    assert strip_html(room, 0).count("<img") == SHOWN + 7
    assert "show fewer" in strip_html(room, 0)
    assert "No pictures yet" in strip_html(room, 1)
    assert strip_html(room, 5) == ""


def test_a_removed_picture_is_not_shown_nor_chosen():
    room = taught(3)
    key = keys_of(room)[0]
    room.chosen = key
    assert "data:image/jpeg" in chosen_html(room)
    assert 'class="chosen"' in strip_html(room, 0)
    remove_picture(room, key)
    assert chosen_html(room) == ""
    assert f'data-key="{key}"' not in strip_html(room, 0)
    assert key not in room.urls


def test_live_answers_are_not_read_aloud():
    found = Answer(np.array([0.9, 0.1], np.float32), ("cup", "mug"), "softmax")
    assert 'aria-live="polite"' in answer_html(found)
    assert "aria-live" not in answer_html(found, announce=False)
    assert answer_html(None) == ""
    assert "first" in answer_html(None, "Train first")
    assert "Train again" in answer_html(found, "Train again")


def test_a_mark_shows_where_an_attribute_counts():
    marked = answer_html(Answer(np.array([0.9, 0.1], np.float32), ("cup", "mug"), "multi-label"))
    plain = answer_html(Answer(np.array([0.9, 0.1], np.float32), ("cup", "mug"), "softmax"))
    assert marked.count("<line") == 2
    assert plain.count("<line") == 0


@pytest.mark.parametrize(
    ("classes", "name"),
    [
        (("cup", "mug"), "cup-mug-head.safetensors"),
        (("../../etc", "a b"), "etc-ab-head.safetensors"),
        (("猫", "犬"), "taught-head.safetensors"),
    ],
)
def test_names_of_exported_files(classes, name):
    zero = np.zeros(3, np.float32)
    head = Head(np.zeros((2, 3), np.float32), zero[:2], zero, zero + 1, classes, "softmax")
    assert export_name(head) == name
