"""Packs, who is left out, how batches are drawn and distorted."""

import numpy as np
import pytest

from cvdemo.core.errors import InputError
from cvdemo.faces.embed_data import (
    FaceBatches,
    Pack,
    distort,
    join,
    load_pack,
    people_alike,
    person_means,
    plain_name,
    save_pack,
    shared_names,
)
from cvdemo.faces.embedder import unit


def pack(person, names, seed=0, vectors=None) -> Pack:
    rng = np.random.default_rng(seed)
    teacher = unit(rng.normal(size=(len(person), 128))) if vectors is None else unit(vectors)
    faces = rng.integers(0, 256, (len(person), 112, 112, 3), np.uint8)
    return Pack(faces, teacher, np.array(person), tuple(names))


def test_a_pack_comes_back_as_it_was(tmp_path):
    mine = pack([0, 1, 1, -1], ["a", "b"])
    save_pack(tmp_path / "p", mine.faces, mine.teacher, mine.person, mine.names)
    back = load_pack(tmp_path / "p")
    np.testing.assert_array_equal(back.faces, mine.faces)
    np.testing.assert_allclose(back.teacher, mine.teacher, atol=1e-3)
    assert back.person.tolist() == [0, 1, 1, -1]
    assert back.names == ("a", "b")
    save_pack(tmp_path / "p", mine.faces[:0], mine.teacher, mine.person, mine.names)
    assert load_pack(tmp_path / "p").faces.shape == (0, 112, 112, 3)


def test_what_is_no_pack(tmp_path):
    with pytest.raises(InputError, match="no pack of faces"):
        load_pack(tmp_path)
    mine = pack([0, 0], ["a"])
    save_pack(tmp_path, mine.faces[:1], mine.teacher, mine.person, mine.names)
    with pytest.raises(InputError, match="do not belong together"):
        load_pack(tmp_path)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("Robert Downey Jr", "Robert_Downey_Jr.", True),
        ("Jennifer LOPEZ", "jennifer_lopez", True),
        ("Penélope  Cruz", "Penelope_Cruz", True),
        ("Jean-Pierre Léaud", "jean pierre leaud", True),
        ("Tom Hanks", "Hanks Tom", False),
        ("Will Smith", "Will Smithson", False),
    ],
)
def test_names_are_compared_tolerantly(one, other, equal):
    assert (plain_name(one) == plain_name(other)) is equal


def test_shared_names_keep_their_spelling_and_order():
    mine = ["Tina Fey", "Nobody Known", "halle berry", "2880"]
    assert shared_names(mine, ["Halle_Berry", "Tina_Fey", "2880", "Somebody_Else"]) == ["Tina Fey", "halle berry"]
    assert shared_names(mine, []) == []


def test_people_who_look_alike_are_found_by_their_means():
    axes = np.eye(128)
    mine = pack([0, 0, 1, 1, -1], ["7", "9"], vectors=axes[[0, 1, 2, 2, 5]])
    others = pack([0, 0], ["x"], vectors=axes[[0, 1]] + 0.1 * axes[[9, 9]])
    assert people_alike(mine, others, 0.9) == [0]
    assert people_alike(mine, pack([-1], ["x"]), 0.1) == []
    present, means = person_means(mine)
    assert present == [0, 1]
    np.testing.assert_allclose(means[0], (axes[0] + axes[1]) / np.sqrt(2), atol=1e-6)


def test_packs_are_joined_with_people_numbered_through():
    one, two = pack([0, 0, 1, -1], ["a", "b"]), pack([0, 0, 1, 1, 1], ["c", "d"], seed=1)
    examples, classes = join([one, two])
    assert classes == 3  # b has one face only
    assert [e.label for e in examples] == [0, 0, -1, -1, 1, 1, 2, 2, 2]
    examples, classes = join([one, two], [[], [0]])
    assert classes == 2
    assert [e.label for e in examples] == [0, 0, -1, -1, 1, 1, 1]
    np.testing.assert_array_equal(examples[4].pixels, two.faces[2])


def test_batches_know_whose_faces_they_hold():
    examples, _ = join([pack([0] * 30 + [1] * 3 + [-1] * 20, ["a", "b"])])
    faces, teacher, labels = FaceBatches(examples, 3, known_share=0.5).batch(40)
    assert faces.shape == (40, 112, 112, 3)
    assert faces.dtype == np.uint8
    assert (labels[:20] >= 0).all()
    assert set(labels.tolist()) == {-1, 0, 1}
    for vector, label in zip(teacher, labels):
        assert any(np.array_equal(vector, e.teacher) and e.label == label for e in examples)
    again = FaceBatches(examples, 3, known_share=0.5).batch(40)
    np.testing.assert_array_equal(again[0], faces)
    many = FaceBatches(examples, 4, known_share=1.0)
    drawn = np.array([examples[many._draw(True)].label for _ in range(400)])
    assert 0.4 < drawn.mean() < 0.6  # three faces of one person as often as thirty of another
    with pytest.raises(InputError, match="no faces to learn from"):
        FaceBatches([], 0)


def test_distorted_faces_stay_recognisable_and_the_original_untouched():
    face = np.zeros((112, 112, 3), np.uint8)
    face[30:80, 40:70] = 200
    before = face.copy()
    rng = np.random.default_rng(0)
    results = [distort(face, rng) for _ in range(60)]
    np.testing.assert_array_equal(face, before)
    assert all(r.shape == face.shape and r.dtype == np.uint8 and r.flags.c_contiguous for r in results)
    brighter = [r[40:70, 48:64].mean() > r[:20].mean() for r in results]
    assert np.mean(brighter) > 0.9
    assert len({r.tobytes() for r in results}) == 60
