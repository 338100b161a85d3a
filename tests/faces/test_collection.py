"""A visitor's pictures: added, named, removed, forgotten; searched and learnt from, against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.neighbors import KNeighborsClassifier

from cvdemo.core.errors import InputError
from cvdemo.core.media import Picture
from cvdemo.faces import retrieval_view as view
from cvdemo.faces.collection import (
    MOST_PICTURES,
    Collection,
    collection_of,
    forget,
    smaller,
    thumbnail,
)
from cvdemo.faces.retrieval_view import RetrievalSettings


def embed(pictures, model, **watch):
    """Features that say how red, green and blue a picture is."""
    rows = np.stack([np.asarray(pixels, np.float64).reshape(-1, 3).mean(0) for pixels in pictures])
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def plain(colour, name="picture", size=(50, 70)):
    return Picture(np.full((*size, 3), colour, np.uint8), name)


def near(colour, rng, spread=40):
    return plain(np.clip(np.array(colour) + rng.integers(-spread, spread + 1, 3), 1, 255).astype(np.uint8))


@pytest.fixture
def colours():
    """Three classes of five pictures."""
    rng, made = np.random.default_rng(0), Collection()
    for name, colour in (("red", (200, 90, 90)), ("green", (90, 200, 90)), ("blue", (90, 90, 200))):
        made.add([near(colour, rng, 60) for _ in range(5)], name, embed=embed)
    return made


def test_adding_naming_and_removing():
    made = Collection()
    first, second = made.add([plain((200, 0, 0), "a"), plain((0, 200, 0), "b")], "  red   wine ", embed=embed)
    assert [item.label for item in made.items] == ["red wine", "red wine"]
    assert made.chosen == second
    made.name_class(second, "green")
    assert made.item(second).label == "green"
    with pytest.raises(InputError, match="too long"):
        made.name_class(second, "x" * 60)
    made.remove(second)
    assert made.chosen == first
    assert made.item(second) is None
    made.clear()
    assert (made.items, made.chosen) == ([], None)
    again = made.add([plain((1, 2, 3))], embed=embed)
    assert again[0] > second  # keys are never used twice


def test_no_more_than_fit_and_nothing_is_lost():
    made = Collection()
    made.add([plain((10, 20, 30))] * (MOST_PICTURES - 1), embed=embed)
    with pytest.raises(InputError, match="room for 1"):
        made.add([plain((1, 1, 1))] * 2, embed=embed)
    assert len(made.items) == MOST_PICTURES - 1


def test_the_start_has_views_of_each_example_under_its_name():
    rng, made = np.random.default_rng(0), Collection()
    pictures = [(name, Picture(rng.integers(0, 256, (90, 120, 3), dtype=np.uint8), name)) for name in ("a", "b")]
    made.start(pictures, embed=embed)
    assert [(item.label, item.made) for item in made.items] == [
        *[("a", False), ("a", True), ("a", True), ("a", True)],
        *[("b", False), ("b", True), ("b", True), ("b", True)],
    ]
    assert made.chosen == made.items[0].key
    assert made.started


def test_pictures_are_kept_small():
    assert smaller(np.zeros((640, 960, 3), np.uint8)).shape == (320, 480, 3)
    assert smaller(np.zeros((100, 50, 3), np.uint8)).shape == (100, 50, 3)
    wide = np.zeros((100, 300, 3), np.uint8)
    wide[:, 100:200] = 255
    assert (thumbnail(wide) == 255).all()


def test_collections_are_apart_and_forgotten():
    mine = collection_of("pool-a")
    assert collection_of("pool-a") is mine
    assert collection_of("pool-b") is not mine
    assert collection_of("") is not collection_of("")
    forget("pool-a")
    assert collection_of("pool-a") is not mine
    forget("pool-a")
    forget("pool-b")


def test_ranking_and_its_precision_against_scikit_learn(colours):
    for query in (0, 7, 14):
        ranking = view.rank(colours, colours.items[query].key)
        features = np.stack([item.features for item in colours.items]).astype(np.float64)
        cosines = np.delete(features @ features[query], query)
        assert np.allclose(ranking.similarities, np.sort(cosines)[::-1], atol=1e-5)
        truth = np.delete([item.label == colours.items[query].label for item in colours.items], query)
        assert ranking.average_precision == pytest.approx(average_precision_score(truth, cosines), abs=1e-6)
        assert ranking.precision(4) == pytest.approx(truth[np.argsort(-cosines, kind="stable")[:4]].mean())
        assert "average precision" in ranking.sentence(4)
    assert view.rank(colours, 999) is None


def test_a_query_without_a_class_is_ranked_but_not_measured(colours):
    key = colours.add([plain((200, 80, 80), "new")], embed=embed)[0]
    ranking = view.rank(colours, key)
    assert ranking.items[0].label == "red"
    assert ranking.precision(3) is None
    assert "name the classes" in ranking.sentence(3)
    lonely = Collection()
    only = lonely.add([plain((9, 9, 9))], "x", embed=embed)[0]
    assert "nothing to rank" in view.rank(lonely, only).sentence(3)


@pytest.mark.parametrize("shots", [1, 2, 3])
def test_prototypes_and_neighbours_against_scikit_learn(colours, shots):
    examples, asked = view.split(colours, shots)
    assert len(examples) == 3 * shots
    features = np.stack([item.features for item in examples])
    labels = np.array([item.label for item in examples])
    queries = np.stack([item.features for item in asked])
    taught = view.teach(colours, RetrievalSettings(topic="lowshot", shots=shots))
    means = np.stack([features[labels == name].mean(0) for name in taught.answer.classes])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    expected = KNeighborsClassifier(1).fit(means, np.array(taught.answer.classes)).predict(queries)
    assert [taught.answer.classes[label] for label in taught.answer.labels] == expected.tolist()
    right = int((expected == [item.label for item in asked]).sum())
    assert (taught.right, taught.judged) == (right, len(asked))
    nearest = view.teach(colours, RetrievalSettings(topic="lowshot", rule="neighbours", shots=shots))
    reference = KNeighborsClassifier(1).fit(features, labels).predict(queries)
    assert [nearest.answer.classes[label] for label in nearest.answer.labels] == reference.tolist()


def test_low_shot_says_what_is_missing_and_who_is_not_judged(colours):
    single = Collection()
    single.add([plain((200, 0, 0))], "red", embed=embed)
    with pytest.raises(InputError, match="two classes"):
        view.teach(single, RetrievalSettings(topic="lowshot"))
    colours.add([plain((10, 10, 200), "unknown")], embed=embed)
    taught = view.teach(colours, RetrievalSettings(topic="lowshot", shots=5))
    assert (len(taught.asked), taught.judged) == (1, 0)
    assert taught.answer.classes[taught.answer.labels[0]] == "blue"
    assert "no other picture" in taught.sentence()


def test_panels_escape_names_and_mark_hits_and_misses(colours):
    key = colours.items[0].key
    colours.name_class(key, "<red>${x}")
    colours.chosen = key
    grid = view.grid_html(colours)
    assert "<red>" not in grid
    assert "${" not in grid
    assert grid.count('aria-pressed="true"') == 1
    ranking = view.rank(colours, colours.items[1].key)
    listed = view.ranking_html(colours, ranking, 3)
    assert 'class="hit' in listed
    assert 'class="miss' in listed
    taught = view.teach(colours, RetrievalSettings(topic="lowshot"))
    assert "✓" in view.taught_html(colours, taught)
    assert "mAP" in view.quality_words(colours, RetrievalSettings())
    assert view.quality_words(Collection(), RetrievalSettings()) == ""
    assert "No pictures yet" in view.grid_html(Collection())
