"""What a pointer said last reaches its handler, however the page holds events back."""

from __future__ import annotations

import inspect

import gradio as gr
import pytest

from cvdemo.ui.canvas import canvas
from cvdemo.ui.plane import moved, plane
from cvdemo.ui.pointer import pointer, said, teller
from cvdemo.ui.shell import build_app


@pytest.mark.parametrize("create", [plane, lambda name: canvas(name, "empty")])
def test_a_component_tells_the_pointer_of_its_own_name(create):
    component, hidden = create("some-place"), pointer("some-place")
    assert teller("some-place") in component.js_on_load
    assert f'"#{hidden.elem_id} .said"' in component.js_on_load
    assert 'class="said"' in hidden.html_template
    assert hidden.visible == "hidden", "in the page, but out of sight"


def test_what_claims_to_be_a_pointer_is_not_trusted():
    assert said({"joint": 3}, "joint") == 3
    for value in (None, 3, "joint", ["joint"], {"other": 3}):
        assert said(value, "joint") is None
    assert moved({"point": "anchor", "x": 0.25, "y": 7}) == ("anchor", 0.25, 1.0)
    for value in (None, {"point": "anchor", "x": 0.25}, {"point": 3, "x": 0, "y": 0}, {"point": "a", "x": "0", "y": 0}):
        assert moved(value) is None


def test_events_that_are_held_back_take_nothing_from_the_event():
    """Gradio makes up for them with the data of the event before (see ``cvdemo.ui.pointer``)."""
    held_back = [fn for fn in build_app().fns.values() if fn.trigger_mode == "always_last" and callable(fn.fn)]
    assert len(held_back) > 50
    for fn in held_back:
        for parameter in inspect.signature(fn.fn).parameters.values():
            assert "EventData" not in str(parameter.annotation), f"{fn.fn.__module__}.{fn.fn.__qualname__}"
            assert not (isinstance(parameter.annotation, type) and issubclass(parameter.annotation, gr.EventData))
