"""What the endpoints of all tasks share."""

from __future__ import annotations

import gradio as gr

from cvdemo import tasks
from cvdemo.core import registry
from cvdemo.detection.predict import DetectionSettings
from cvdemo.ui.endpoints import models_of, settings_of, unchecked


def test_settings_are_described_by_name_with_default_and_range():
    told = settings_of(DetectionSettings.fields_of())
    assert list(told) == list(DetectionSettings().to_dict())
    assert told["score_threshold"]["default"] == DetectionSettings().score_threshold
    assert all(row["label"] and row["help"] for row in told.values())


def test_models_are_told_with_what_the_registry_knows_and_what_the_task_adds():
    tasks.load_all()
    specs = registry.models(task="pose")
    rows = models_of(specs, lambda spec: {"joints": len(spec.categories)})
    assert [row["name"] for row in rows] == [spec.name for spec in specs]
    for row, spec in zip(rows, specs):
        assert (row["joints"], row["parameters"], row["gflops"]) == (17, spec.parameters, spec.gflops)
        state = registry.availability(spec)
        assert (row["available"], row["reason"], row["remedy"]) == (state.ok, state.reason, state.remedy)


def test_an_unchecked_widget_passes_on_what_it_is_given():
    widget = unchecked(gr.Slider(0, 1, 0.5))
    assert [widget.preprocess(value) for value in (7, None, "x")] == [7, None, "x"]
