"""What the Losses, SimCLR and Retrieval views answer, called as the page calls them."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from cvdemo import tasks
from cvdemo.core import registry
from cvdemo.core.media import save_picture
from cvdemo.faces import gallery_room, losses_room, tab_losses, tab_retrieval, tab_simclr
from cvdemo.faces.collection import MODEL, collection_of
from cvdemo.faces.losses_view import LossesSettings
from cvdemo.faces.retrieval_view import RetrievalSettings
from cvdemo.faces.simclr_view import SimclrSettings
from cvdemo.ui import memory
from cvdemo.ui.sessions import files
from cvdemo.ui.widgets import widget_values

VISITOR = SimpleNamespace(session_hash="lecture-test")


@pytest.fixture(autouse=True)
def left(tmp_path, monkeypatch):
    """Every test is a visit of its own."""
    monkeypatch.setattr(files, "root", tmp_path / "files")
    yield
    for forget in (losses_room.forget, gallery_room.forget, tab_retrieval.store.forget, memory.forget):
        forget(VISITOR.session_hash)


@pytest.fixture
def backbone():
    tasks.load_all()
    state = registry.availability(registry.get(MODEL))
    if not state.ok:
        pytest.skip(f"{MODEL}: {state.reason}")


def losses(**chosen):
    return widget_values(LossesSettings(**chosen), list(tab_losses.NAMES))


def found(**chosen):
    return widget_values(RetrievalSettings(**chosen), list(tab_retrieval.NAMES))


def value_in(line):
    return float(re.search(r"loss ([\d.]+)", line)[1])


@pytest.mark.parametrize(("topic", "words"), [("points", "Triplet loss"), ("mining", "active"), ("training", "Step 0")])
def test_each_topic_draws_a_plane_and_says_what_it_shows(topic, words):
    plane, line, panel = tab_losses._draw(VISITOR, *losses(topic=topic))
    assert plane["svg"].startswith("<svg")
    assert words in line
    assert bool(panel) == (topic != "points")


def test_a_gallery_that_is_not_there_is_told_with_its_remedy():
    _, line, _ = tab_losses._draw(VISITOR, *losses(topic="mining", source="gallery"))
    assert "two people" in line
    assert "Gallery" in line
    room = gallery_room.room_of(VISITOR.session_hash)
    room.gallery = gallery_room.Gallery("compact-faces")
    rows = np.random.default_rng(0).normal(0, 1, (5, 128))
    room.gallery.enrol("Ann", rows[:3])
    room.gallery.enrol("Bea", rows[3:])
    _, line, _ = tab_losses._draw(VISITOR, *losses(topic="mining", source="gallery", rule="hard"))
    assert "8 triplets" in line


def test_play_goes_downhill_until_nothing_moves(monkeypatch):
    monkeypatch.setattr(tab_losses, "PAUSE", 0.001)
    chosen = losses(loss="triplet", margin=0.5, rate=0.2)
    assert value_in(tab_losses._draw(VISITOR, *chosen)[1]) > 0
    *_, last = tab_losses._play(VISITOR, *chosen)
    line = last[len(tab_losses.PLACES) + 1]
    assert value_in(line) == 0.0
    assert "easy triplet" in line


def test_training_follows_what_is_asked_for_meanwhile(monkeypatch):
    monkeypatch.setattr(tab_losses, "MOST_STEPS", 4)
    answers = list(tab_losses._play(VISITOR, *losses(topic="training")))
    assert "Step 4" in answers[-1][-2]
    assert "Finished" in answers[-1][-2]
    room = losses_room.room_of(VISITOR.session_hash)
    room.run(LossesSettings(tiny_margin=0.25))
    assert tab_losses._asked(room, LossesSettings(topic="training")).tiny_margin == 0.25


def test_search_starts_with_the_examples(backbone):
    *_, (line, pool, results, label) = tab_retrieval._open(VISITOR, *found())
    assert "precision" in line
    assert pool.count("data-key") == len(collection_of(VISITOR.session_hash).items)
    assert "hit" in results
    assert label


def test_uploads_are_read_deleted_and_refused_one_by_one(backbone, tmp_path):
    folder = files.root / "upload"
    folder.mkdir(parents=True)
    good, bad = folder / "good.png", folder / "bad.png"
    save_picture(good, np.full((60, 80, 3), (200, 40, 40), np.uint8))
    bad.write_bytes(b"nothing")
    *_, (line, pool, _, label, _) = tab_retrieval._upload(VISITOR, [str(good), str(bad)], "red", *found())
    assert "1 left out" in line
    assert "bad.png" in line
    assert label == "red"
    assert pool.count("data-key") == 1
    assert not good.exists()
    assert not bad.exists()


def test_views_are_made_once_and_the_temperature_acts_on_them(backbone):
    assert tab_simclr._warm(VISITOR, 0.5)[0]["__type__"] == "update"  # nothing to act on yet
    values = widget_values(SimclrSettings(pictures=3), list(tab_simclr.NAMES))
    *_, (line, views, matrix) = tab_simclr._run(VISITOR, None, *values)
    assert views.count("<figure>") == 9
    assert matrix.count('class="partner"') == 6
    warmer, _ = tab_simclr._warm(VISITOR, 1.0)
    assert "Temperature 1 " in warmer
    assert warmer != line
