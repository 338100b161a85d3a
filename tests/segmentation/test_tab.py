"""The Segmentation tab's lesson sets what exists, and a network runs once a session."""

import numpy as np

from cvdemo.core.media import Picture
from cvdemo.segmentation import tab_shared
from cvdemo.segmentation.bench_view import BenchSettings
from cvdemo.segmentation.labels import VOC_CLASSES
from cvdemo.segmentation.overlay_view import OverlaySettings
from cvdemo.segmentation.predict import SegmentationInference
from cvdemo.segmentation.raw import RawSegmentation
from cvdemo.segmentation.tab import PLAN
from cvdemo.segmentation.truth_view import TruthSettings
from cvdemo.ui import lessons
from cvdemo.ui.memory import forget


def test_the_lesson_sets_only_what_exists():
    lesson = lessons.load("segmentation")
    names = {"view", "model", "example", *OverlaySettings().to_dict()}
    names |= {"truth_" + name for name in TruthSettings().to_dict()}
    names |= {"compare_" + name for name in tab_shared.NAMES}
    names |= {"bench_" + name for name in BenchSettings().to_dict()}
    assert len(lesson.tries) >= 8
    for attempt in lesson.tries:
        assert set(attempt.query) <= names, attempt.label
        assert attempt.query.get("view", "overlay") in PLAN.names, attempt.label
        own = {name: value for name, value in attempt.query.items() if name in OverlaySettings().to_dict()}
        assert set(OverlaySettings.from_query(own).to_query()) == set(own), "it sets what is not the default"
        bench = {name[6:]: value for name, value in attempt.query.items() if name.startswith("bench_")}
        assert BenchSettings.from_query(bench).to_query() == bench


def test_a_network_runs_once_for_a_picture_and_a_model(monkeypatch):
    calls = []

    def infer(picture, model, *, user, **watch):
        calls.append((picture.fingerprint, model, user))
        logits = np.zeros((len(VOC_CLASSES), 2, 2), np.float32)
        raw = RawSegmentation(logits, VOC_CLASSES, (0, 0, 5, 4), 4, 5, model)
        return SegmentationInference(raw, {}, "cpu", "fp32", model)

    monkeypatch.setattr(tab_shared, "infer", infer)
    picture = Picture(np.zeros((4, 5, 3), np.uint8), "a.png")
    first = tab_shared.look_of("visitor", picture, "m")
    assert tab_shared.look_of("visitor", Picture(picture.pixels.copy(), "other name"), "m") is first
    assert tab_shared.look_of("visitor", picture, "n") is not first
    assert [model for _, model, _ in calls] == ["m", "n"]
    forget("visitor")
    assert tab_shared.look_of("visitor", picture, "m") is not first
    forget("visitor")
