"""The two halves: ``infer`` runs the network, ``decode`` never does, and settings do what they say."""

import dataclasses
import threading

import numpy as np
import pytest

from cvdemo.core import registry
from cvdemo.core.errors import Cancelled, CvDemoError, SettingsError
from cvdemo.core.media import Picture
from cvdemo.detection.candidates import Candidates
from cvdemo.detection.nms import NMS_KINDS
from cvdemo.detection.predict import DEFAULT_MODEL, DetectionSettings, decode, draw, infer, settings_for

pytestmark = pytest.mark.usefixtures("compact_engine")


@pytest.fixture(scope="module")
def inference(compact_engine, crowd):
    return infer(crowd)


def random_candidates(seed: int, count: int = 400) -> Candidates:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 400, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 200, (count, 2))], 1)
    scores = np.sort(rng.random(count))[::-1]
    return Candidates.from_arrays(boxes, scores, rng.choice([1, 18, 44], count), height=600, width=640)


def test_an_inference_says_what_it_cost_and_where(inference):
    assert inference.model == DEFAULT_MODEL
    assert inference.device == "cpu"
    assert inference.precision
    assert set(inference.stages) == {"wait", "load", "preprocess", "network", "decode"}
    assert all(ms >= 0 for ms in inference.stages.values())
    assert inference.candidates is inference.raw.candidates


def test_a_picture_and_its_pixels_are_the_same(inference, crowd):
    again = infer(Picture(crowd, "crowd.png"))
    np.testing.assert_array_equal(again.candidates.boxes, inference.candidates.boxes)
    np.testing.assert_array_equal(again.candidates.scores, inference.candidates.scores)


def test_settings_never_call_the_network(compact_engine, crowd, monkeypatch):
    calls = []
    run = type(compact_engine).run

    def counting(self, *args, **options):
        calls.append(args)
        return run(self, *args, **options)

    monkeypatch.setattr(type(compact_engine), "run", counting)
    inference = infer(crowd)
    assert len(calls) == 1
    for kind in NMS_KINDS:
        for threshold in (0.05, 0.5):
            settings = DetectionSettings(threshold, 0.3, kind, classes=("person",), min_size=5, line_width=3)
            draw(crowd, decode(inference, settings), settings)
    assert len(calls) == 1


def test_decoding_leaves_the_candidates_as_they_were(inference):
    before = inference.candidates.scores.copy(), inference.candidates.boxes.copy()
    decode(inference, DetectionSettings(score_threshold=0.05, nms_kind="soft-gaussian"))
    np.testing.assert_array_equal(inference.candidates.scores, before[0])
    np.testing.assert_array_equal(inference.candidates.boxes, before[1])


def test_decode_takes_an_inference_a_raw_output_or_candidates(inference):
    settings = DetectionSettings()
    boxes = [decode(value, settings).detections.boxes for value in (inference, inference.raw, inference.raw.candidates)]
    np.testing.assert_array_equal(boxes[0], boxes[1])
    np.testing.assert_array_equal(boxes[0], boxes[2])


def test_every_model_has_settings_of_its_own():
    for spec in registry.models(task="detection"):
        settings = settings_for(spec.name)
        for name, value in spec.extras.get("defaults", {}).items():
            assert getattr(settings, name) == value, spec.name
    assert settings_for(DEFAULT_MODEL) == DetectionSettings(), "the page starts with the default model's settings"
    with pytest.raises(CvDemoError, match="no model named"):
        settings_for("compact-detectr")


def test_only_the_chosen_classes_are_shown():
    candidates = random_candidates(0)
    settings = DetectionSettings(score_threshold=0.01, nms_kind="none", max_detections=1000)
    everything = decode(candidates, settings).detections
    for chosen, ids in ((("dog",), {18}), (("person", "bottle"), {1, 44}), (("zebra",), set())):
        found = decode(candidates, dataclasses.replace(settings, classes=chosen)).detections
        assert set(found.labels.tolist()) == ids
        assert len(found) == int(np.isin(everything.labels, list(ids)).sum())
    assert DetectionSettings().class_ids is None
    assert DetectionSettings(classes=("dog", "person")).class_ids == {1, 18}


@pytest.mark.parametrize("kind", ["hard", "class-agnostic", "none", "soft-linear", "soft-gaussian"])
def test_a_higher_threshold_never_shows_more(kind):
    candidates = random_candidates(1)
    counts = []
    for threshold in np.linspace(0.02, 1.0, 15):
        settings = DetectionSettings(float(threshold), nms_kind=kind, max_detections=1000)
        decoded = decode(candidates, settings)
        assert (decoded.detections.scores > threshold).all()
        assert decoded.report.total >= decoded.report.after_score >= decoded.report.kept == len(decoded.detections)
        counts.append(len(decoded.detections))
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1] == 0


def test_a_higher_iou_threshold_never_suppresses_more():
    candidates = random_candidates(2)
    counts = [
        len(decode(candidates, DetectionSettings(0.05, float(iou), max_detections=1000)).detections)
        for iou in np.linspace(0, 1, 11)
    ]
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]


def test_most_boxes_and_smallest_box():
    candidates = random_candidates(3)
    loose = DetectionSettings(0.01, nms_kind="none", max_detections=1000)
    best = decode(candidates, dataclasses.replace(loose, max_detections=7)).detections
    np.testing.assert_array_equal(best.scores, candidates.scores[:7])
    large = decode(candidates, dataclasses.replace(loose, min_size=60.0)).detections
    sides = candidates.boxes[:, 2:] - candidates.boxes[:, :2]
    assert len(large) == int(((sides.min(1) >= 60) & (candidates.scores > 0.01)).sum())


def test_drawing_makes_a_new_picture(inference, crowd):
    before = crowd.copy()
    settings = DetectionSettings()
    drawn = draw(crowd, decode(inference, settings), settings)
    np.testing.assert_array_equal(crowd, before)
    assert drawn.shape == crowd.shape
    assert drawn.dtype == np.uint8
    assert (drawn != crowd).any()
    bare = dataclasses.replace(settings, show_labels=False, show_scores=False)
    assert (draw(crowd, decode(inference, bare), bare) != drawn).any()


def test_errors_are_sentences():
    with pytest.raises(CvDemoError, match="Did you mean"):
        infer(np.zeros((9, 9, 3), np.uint8), "compact-detektor")
    with pytest.raises(SettingsError, match="Score threshold"):
        DetectionSettings(score_threshold=1.5)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        infer(np.zeros((9, 9, 3), np.uint8), cancel=cancel)
