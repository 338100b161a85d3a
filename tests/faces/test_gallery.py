"""The gallery: enrolling, matrices, search by both rules, open-set rejection, the owner's file."""

import json

import numpy as np
import pytest

from cvdemo.core.errors import InputError
from cvdemo.faces import gallery as module
from cvdemo.faces.embedder import unit
from cvdemo.faces.gallery import NOTICE, Gallery, GallerySettings
from cvdemo.faces.verification import equal_error_rate, roc


def people(seed=0, count=4, pictures=5, noise=0.25):
    """A gallery of random people, and one more picture of each."""
    rng = np.random.default_rng(seed)
    gallery, probes = Gallery("m"), []
    for index in range(count):
        centre = unit(rng.normal(size=16))
        gallery.enrol(f"p{index}", unit(centre + noise * unit(rng.normal(size=(pictures, 16)))), "m")
        probes.append(unit(centre + noise * unit(rng.normal(size=16))))
    return gallery, np.stack(probes)


@pytest.mark.parametrize("rule", ["mean", "nearest"])
def test_search_by_a_loop(rule):
    gallery, probes = people()
    rows, owners = gallery.embeddings()
    for index, probe in enumerate(probes):
        match = gallery.search(probe, GallerySettings(rule=rule))
        for name, similarity in match.ranked:
            mine = rows[[owner == name for owner in owners]]
            if rule == "nearest":
                expected = max(float(row @ probe) for row in mine)
            else:
                centre = mine.mean(0)
                expected = float(centre @ probe) / float(np.linalg.norm(centre))
            assert similarity == pytest.approx(expected, abs=1e-5)
        values = [similarity for _, similarity in match.ranked]
        assert values == sorted(values, reverse=True)
        assert match.name == f"p{index}"
        assert match.lead == pytest.approx(values[0] - values[1])


def test_strangers_are_unknown_not_the_nearest_name():
    gallery, probes = people()
    opposite = gallery.search(-probes[0], GallerySettings(threshold=0.4))
    assert opposite.name is None
    assert opposite.sentence().startswith("Unknown; the most similar is p")
    assert gallery.search(probes[0], GallerySettings(threshold=1.0)).name is None
    assert gallery.search(-probes[0], GallerySettings(threshold=-1.0)).name is not None
    assert Gallery("m").search(probes[0]).sentence() == "Unknown: nobody is enrolled."
    known = gallery.search(probes[0]).to_dict(2)
    assert json.loads(json.dumps(known)) == known
    assert len(known["ranked"]) == 2


def test_matrices():
    gallery, _ = people()
    table = gallery.similarity_matrix()
    np.testing.assert_allclose(np.diag(table), 1, atol=1e-6)
    np.testing.assert_allclose(table, table.T, atol=1e-6)
    pictures, owners = gallery.picture_matrix()
    assert pictures.shape == (20, 20)
    assert owners == [f"p{i}" for i in range(4) for _ in range(5)]


def test_the_gallery_s_own_pairs_make_a_roc():
    gallery, _ = people()
    scores, same = gallery.genuine_and_impostor()
    assert len(scores) == 20 * 19 // 2
    assert same.sum() == 4 * 10
    assert equal_error_rate(roc(scores, same))[0] < 0.1
    assert [len(part) for part in Gallery("m").genuine_and_impostor()] == [0, 0]


def test_people_come_and_go():
    gallery = Gallery("m")
    gallery.enrol("  Ann   Lee ", np.eye(3)[0])
    gallery.enrol("Ann Lee", np.eye(3)[1:])
    gallery.enrol("Bob", np.eye(3)[0])
    assert gallery.names == ("Ann Lee", "Bob")
    assert (gallery.count("Ann Lee"), gallery.count("Nobody"), len(gallery)) == (3, 0, 2)
    gallery.remove("Ann Lee")
    assert list(gallery) == ["Bob"]
    with pytest.raises(InputError, match="Nobody named"):
        gallery.remove("Ann Lee")
    gallery.clear()
    assert gallery.means().shape == (0, 0)
    assert gallery.similarity_matrix().shape == (0, 0)


def test_what_cannot_be_enrolled_changes_nothing(monkeypatch):
    monkeypatch.setattr(module, "MOST_PEOPLE", 1)
    monkeypatch.setattr(module, "MOST_PICTURES", 2)
    gallery = Gallery("m")
    gallery.enrol("Ann", np.eye(3)[0])
    for name, rows, model, words in (
        ("  ", np.eye(3)[0], None, "needs a name"),
        ("x" * 61, np.eye(3)[0], None, "needs a name"),
        ("Ann", np.eye(3)[0], "other", "made with m"),
        ("Ann", np.zeros((0, 3)), None, "no face"),
        ("Ann", np.zeros(3), None, "no face"),
        ("Ann", np.eye(4)[0], None, "length"),
        ("Ann", np.eye(3)[:2], None, "At most 2 pictures"),
        ("Bob", np.eye(3)[0], None, "at most 1 people"),
    ):
        with pytest.raises(InputError, match=words):
            gallery.enrol(name, rows, model)
    assert (gallery.names, gallery.count("Ann")) == (("Ann",), 1)


def test_the_owner_s_file_comes_back_with_its_notice(tmp_path):
    gallery, probes = people()
    path = tmp_path / "mine.json"
    gallery.save(path)
    assert json.loads(path.read_text())["notice"] == NOTICE
    back = Gallery.load(path)
    assert back.names == gallery.names
    np.testing.assert_allclose(back.embeddings()[0], gallery.embeddings()[0], atol=1e-5)
    assert back.search(probes[2]).name == "p2"


@pytest.mark.parametrize("text", ["nothing", "[]", '{"model": "m"}', '{"model": "m", "people": {"A": [["x"]]}}'])
def test_files_that_are_no_gallery(tmp_path, text):
    (tmp_path / "g.json").write_text(text)
    with pytest.raises(InputError, match="not a gallery"):
        Gallery.load(tmp_path / "g.json")
    with pytest.raises(InputError, match="cannot be read"):
        Gallery.load(tmp_path / "none.json")
