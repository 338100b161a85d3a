"""The Compare view against brute force."""

import numpy as np
import pytest
from sklearn.metrics import jaccard_score

from cvdemo import tasks
from cvdemo.core.media import Picture
from cvdemo.segmentation import compare_view as view
from cvdemo.segmentation.labels import CAMVID_CLASSES, VOC_CLASSES
from cvdemo.segmentation.overlay_view import Look
from cvdemo.segmentation.predict import SegmentationInference, SegmentationSettings
from cvdemo.segmentation.raw import RawSegmentation

tasks.load_all()


def look(seed, names=VOC_CLASSES, model="compact-segmentation", present=4):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (len(names), 12, 16)).astype(np.float32)
    logits[present:] -= 100
    picture = Picture(np.full((48, 64, 3), 90, np.uint8))
    raw = RawSegmentation(logits, names, (0, 0, 64, 48), 48, 64, model)
    stages = {"load": 900.0, "network": 10.0 * seed, "decode": 1.0}
    return Look.of(picture, picture.pixels, SegmentationInference(raw, stages, "cpu", "fp32", model))


def test_same_classes_differ_where_the_label_maps_differ():
    first, second = (look(seed).found(SegmentationSettings()) for seed in (1, 2))
    found = view.difference(first, second)
    assert np.array_equal(found.different, first.labels != second.labels)
    assert found.percent == pytest.approx(100 * np.mean(first.labels != second.labels))
    assert found.names == VOC_CLASSES
    assert found.alone == ()
    reference = jaccard_score(second.labels.ravel(), first.labels.ravel(), average="macro")
    assert found.scores.mIoU == pytest.approx(reference)
    counts = {(a, b): share for a, b, share in found.pairs()}
    a, b, share = found.pairs()[0]
    brute = np.mean((first.labels == VOC_CLASSES.index(a)) & (second.labels == VOC_CLASSES.index(b)))
    assert share == pytest.approx(100 * brute)
    assert all(one != other for one, other in counts)


def test_the_same_result_twice_differs_nowhere():
    found = look(3).found(SegmentationSettings())
    assert view.difference(found, found).percent == 0
    assert view.difference(found, found).pairs() == []
    assert view.difference(found, found).scores.mIoU == 1


def test_classes_only_one_model_knows_count_as_something_else():
    voc = look(1, present=21).found(SegmentationSettings())
    streets = look(2, CAMVID_CLASSES, "compact-streets", present=11).found(SegmentationSettings())
    found = view.difference(voc, streets)
    assert set(found.names) == {view.OTHER, "car", "person"}
    assert "sky" in found.alone
    assert "aeroplane" in found.alone
    ours = {VOC_CLASSES.index("car"): "car", VOC_CLASSES.index("person"): "person"}
    theirs = {CAMVID_CLASSES.index("car"): "car", CAMVID_CLASSES.index("pedestrian"): "person"}
    brute = np.array([
        ours.get(int(a)) != theirs.get(int(b)) for a, b in zip(voc.labels.ravel(), streets.labels.ravel())
    ])  # fmt: skip
    assert np.array_equal(found.different.ravel(), brute)


def test_differing_pixels_stand_out_by_more_than_colour():
    pixels = np.full((40, 40, 3), 100, np.uint8)
    different = np.zeros((40, 40), bool)
    different[10:30, 10:30] = True
    drawn = view.draw_difference(pixels, different)
    assert np.all(drawn[~different] == 100)
    assert len(np.unique(drawn[different].reshape(-1, 3), axis=0)) == 2
    assert np.all(pixels == 100)


def test_the_table_names_both_and_times_them_without_loading():
    looks = [look(1), look(2, CAMVID_CLASSES, "compact-streets", present=11)]
    found = [each.found(SegmentationSettings()) for each in looks]
    words = view.comparison_html(looks, found, view.difference(*found))
    assert "street scenes" in words
    assert "<td>11 ms</td>" in words
    assert "<td>21 ms</td>" in words
    assert "known to one of the two only" in words
