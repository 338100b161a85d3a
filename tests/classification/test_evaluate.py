"""The counting against scikit-learn, and folders whose names mean classes."""

import warnings

import numpy as np
import pytest

from cvdemo.classification import evaluate as evaluation
from cvdemo.classification.labels import IMAGENET_CLASSES, INDEX_OF_WORDNET
from cvdemo.core.errors import InputError
from cvdemo.core.media import save_picture

metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")

NAMES = ("red", "green", "blue", "dark red")
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "dark red": (120, 0, 0)}


def random_scores(seed, count=200, classes=9):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, count)
    scores = rng.normal(0, 1, (count, classes)).astype(np.float32)
    scores[np.arange(count), true] += 1
    return scores, true


@pytest.mark.parametrize("seed", range(4))
def test_confusion_precision_and_recall_against_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    true, predicted = rng.integers(0, 6, 300), rng.integers(0, 5, 300)  # class 5 is never predicted
    found = evaluation.confusion_matrix(true, predicted, 7)  # and class 6 is nowhere
    labels = range(7)
    np.testing.assert_array_equal(found, metrics.confusion_matrix(true, predicted, labels=labels))
    precision, recall = evaluation.precision_and_recall(found)
    reference = metrics.precision_recall_fscore_support(true, predicted, labels=labels, zero_division=0)
    np.testing.assert_allclose(precision, reference[0])
    np.testing.assert_allclose(recall, reference[1])


@pytest.mark.parametrize("k", [1, 3, 5])
def test_top_k_against_scikit_learn(k):
    scores, true = random_scores(k)
    expected = metrics.top_k_accuracy_score(true, scores, k=k, labels=range(9), normalize=False)
    assert evaluation.top_k_hits(scores, true, k).sum() == expected


def test_equal_scores_count_for_the_lower_index():
    scores = np.zeros((2, 4), np.float32)
    assert evaluation.top_k_hits(scores, np.array([0, 3]), 2).tolist() == [True, False]


@pytest.mark.parametrize("seed", range(3))
def test_all_figures_against_scikit_learn(seed):
    """Folders for only some of the classes: the other classes may be chosen, and then count as wrong."""
    scores, true = random_scores(seed)
    keep = np.isin(true, [1, 2, 5, 7])
    scores, true = scores[keep], true[keep]
    names = tuple("abcdefghi")
    result = evaluation.summarise(scores, true, names)
    best = scores.argmax(1)
    assert result["accuracy"] == pytest.approx(metrics.accuracy_score(true, best))
    assert result["top5"] == pytest.approx(metrics.top_k_accuracy_score(true, scores, k=5, labels=range(9)))
    present = np.array([1, 2, 5, 7])
    among = present[scores[:, present].argmax(1)]
    assert result["accuracy_among_folders"] == pytest.approx(metrics.accuracy_score(true, among))
    assert result["accuracy_among_folders"] > result["accuracy"]
    full = metrics.confusion_matrix(true, best, labels=range(9))
    matrix = np.array(result["confusion"]["matrix"])
    np.testing.assert_array_equal(matrix[:, :4], full[np.ix_(present, present)])
    np.testing.assert_array_equal(matrix[:, 4], full[present].sum(1) - matrix[:, :4].sum(1))
    assert result["confusion"]["labels"] == ["b", "c", "f", "h", "other"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        precision, recall, _, support = metrics.precision_recall_fscore_support(true, best, labels=present)
    for index, name in enumerate("bcfh"):
        row = result["per_class"][name]
        assert row == {
            "accuracy": pytest.approx(recall[index]),
            "precision": pytest.approx(precision[index]),
            "images": support[index],
        }
    assert result["images"] == len(true)


@pytest.mark.parametrize(
    ("folder", "index"),
    [
        ("tench", 0),
        ("great white shark", 2),
        ("Great_White_Shark", 2),
        ("n01440764", INDEX_OF_WORDNET["n01440764"]),
        ("517", 517),
        ("0", 0),
        ("crane", 517),
    ],
)
def test_what_a_folder_stands_for(folder, index):
    assert evaluation.class_of_folder(folder, IMAGENET_CLASSES) == index


@pytest.mark.parametrize(
    ("folder", "categories", "words"),
    [
        ("tenches", IMAGENET_CLASSES, "none of the model's 1000 classes"),
        ("1000", IMAGENET_CLASSES, "none of the model's 1000 classes"),
        ("n01440764", NAMES, "none of the model's 4 classes"),
        ("-1", NAMES, "none of the model's 4 classes"),
        ("²", NAMES, "none of the model's 4 classes"),
    ],
)
def test_folders_that_stand_for_no_class(folder, categories, words):
    with pytest.raises(InputError, match=words):
        evaluation.class_of_folder(folder, categories)


@pytest.fixture
def folder(tmp_path):
    """Two pictures a colour; one lies deeper, and there are things that are no pictures."""
    for name, colour in COLOURS.items():
        if name == "blue":
            continue
        place = tmp_path / name.replace(" ", "_")
        (place / "images").mkdir(parents=True)
        for path in (place / "1.png", place / "images" / "2.PNG"):
            save_picture(path.with_suffix(".png"), np.full((6, 9, 3), colour, np.uint8))
    (tmp_path / "red" / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "loose.txt").write_text("no picture")
    return tmp_path


def nearest_colour(pixels):
    return -np.array([np.abs(pixels[0, 0].astype(int) - COLOURS[name]).sum() for name in NAMES], np.float32)


def test_a_perfect_predictor_is_perfect(folder):
    told = []
    result = evaluation.evaluate(folder, nearest_colour, NAMES, model="nearest", progress=lambda *a: told.append(a))
    assert result["accuracy"] == result["top5"] == result["accuracy_among_folders"] == 1
    assert (result["images"], result["model"]) == (6, "nearest")
    assert list(result["per_class"]) == ["red", "green", "dark red"]
    assert result["confusion"]["matrix"] == [[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0]]
    assert told[0] == (0, 6)
    assert told[-1] == (6, 6)
    shown = evaluation.table(result)
    assert "nearest on 6 pictures" in shown
    assert "dark red" in shown


def test_a_predictor_that_always_says_blue(folder):
    result = evaluation.evaluate(folder, lambda _: np.array([0, 0, 9, 1], np.float32), NAMES)
    assert result["accuracy"] == 0
    assert result["accuracy_among_folders"] == pytest.approx(1 / 3)
    assert [row[-1] for row in result["confusion"]["matrix"]] == [2, 2, 2]
    assert result["per_class"]["red"] == {"accuracy": 0, "precision": 0, "images": 2}


def test_errors_are_sentences(folder, tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        evaluation.evaluate(folder / "loose.txt", nearest_colour, NAMES)
    with pytest.raises(InputError, match="no sub-folders with pictures"):
        evaluation.evaluate(folder / "empty", nearest_colour, NAMES)
    with pytest.raises(ValueError, match="not 4 scores"):
        evaluation.evaluate(folder, lambda _: np.zeros(3), NAMES)
    (folder / "red" / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut short")
    with pytest.raises(InputError, match=r"bad\.jpg"):
        evaluation.evaluate(folder, nearest_colour, NAMES)
