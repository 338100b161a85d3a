"""The Ground truth view: measures against scikit-learn, other class lists, pictures and words."""

import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from cvdemo.core.errors import InputError
from cvdemo.segmentation import truth_view as view
from cvdemo.segmentation.labels import CAMVID_CLASSES, IGNORE, VOC_CLASSES
from cvdemo.segmentation.truth_view import ALL, Truth


def maps(seed=1, classes=(0, 12, 15)):
    rng = np.random.default_rng(seed)
    truth, predicted = rng.choice(classes, (2, 30, 40)).astype(np.uint8)
    truth[:3] = IGNORE
    return truth, predicted


def assessed(seed=1):
    truth, predicted = maps(seed)
    return view.assess(Truth(truth, VOC_CLASSES, "mask.png"), predicted, VOC_CLASSES)


def test_the_numbers_are_those_of_scikit_learn():
    truth, predicted = maps()
    result = assessed()
    judged = truth != IGNORE
    assert result.scores.pixel_accuracy == pytest.approx(accuracy_score(truth[judged], predicted[judged]))
    f1 = f1_score(truth[judged], predicted[judged], labels=[15], average=None)[0]
    assert f"**{f1:.4f}**" in view.definitions_markdown(result, "person")
    assert result.present == ("background", "dog", "person")
    assert f"{accuracy_score(truth[judged], predicted[judged]):.3f}" in view.sentence(result)


def test_every_definition_stands_beside_its_number():
    words = view.definitions_markdown(assessed())
    assert len(words.splitlines()) == 2 + len(view.DEFINITIONS)
    for each in view.DEFINITIONS:
        assert f"${each.formula}$" in words
        assert each.source in words


def test_a_truth_is_counted_in_another_list_where_it_can():
    truth = Truth(np.array([[0, 8, IGNORE]], np.uint8), CAMVID_CLASSES, "mask.png")
    assert truth.counted_in(CAMVID_CLASSES) is truth.labels
    with pytest.raises(InputError, match="sky"):
        truth.counted_in(VOC_CLASSES)
    cars = Truth(np.array([[8, 8, IGNORE]], np.uint8), CAMVID_CLASSES, "mask.png")
    assert cars.counted_in(VOC_CLASSES).tolist() == [[VOC_CLASSES.index("car")] * 2 + [IGNORE]]


def test_nothing_to_judge_is_said():
    blank = np.full((4, 4), IGNORE, np.uint8)
    result = view.assess(Truth(blank, VOC_CLASSES, "x"), np.zeros((4, 4), np.uint8), VOC_CLASSES)
    assert view.sentence(result) == "No pixel of the truth is judged"
    assert "undefined" in view.definitions_markdown(result)
    assert "nan" not in view.classes_html(result) + view.confusion_html(result)


def test_hits_false_alarms_and_misses_have_their_colours():
    truth, predicted = maps()
    display = np.full((30, 40, 3), 120, np.uint8)
    drawn = view.errors_over(display, assessed(), "person")
    for mask, colour in (
        ((truth == 15) & (predicted == 15), view.HIT),
        ((truth == 15) & (predicted != 15), view.MISS),
        ((truth != 15) & (truth != IGNORE) & (predicted == 15), view.FALSE_ALARM),
    ):
        expected = np.round(0.25 * 120 + 0.75 * np.array(colour))
        assert np.abs(drawn[mask].astype(int) - expected).max() <= 1
    both = view.errors_over(display, assessed(), ALL)
    wrong = (truth != predicted) & (truth != IGNORE)
    assert len(np.unique(both[wrong].reshape(-1, 3), axis=0)) == 1
    assert np.all(view.classes_over(display, truth, VOC_CLASSES)[truth == 0] == 120)


def test_the_matrix_is_in_per_cent_of_the_row():
    truth, predicted = maps()
    judged = truth == 15
    share = 100 * np.mean(predicted[judged] == 12)
    assert f">{share:.1f}</td>" in view.confusion_html(assessed())
    assert f"<td>{int(judged.sum()):,}</td>" in view.confusion_html(assessed())


def test_the_report_is_that_of_the_command_line():
    name, content = view.report(assessed(), "park.jpg", "m")
    document = json.loads(content)
    assert name == "park-measures.json"
    assert {"pixel_accuracy", "mean_pixel_accuracy", "mIoU", "per_class", "confusion"} <= set(document)
    assert np.sum(document["confusion"]) == 27 * 40


@pytest.mark.parametrize(
    ("show", "chosen", "words"),
    [("classes", ALL, "Left of the edge"), ("errors", ALL, "another class"), ("errors", "dog", "false negative")],
)
def test_the_colours_are_explained(show, chosen, words):
    assert words in view.legend_html(show, chosen)
