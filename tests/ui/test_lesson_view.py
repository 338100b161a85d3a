"""The list of things to try: its markup, and what a pressed button is taken to mean."""

from __future__ import annotations

import gradio as gr
import pytest

from cvdemo.ui.lesson_view import LessonView, tries_html
from cvdemo.ui.lessons import Try

TRIES = (Try("A <b>", {"a": "1"}, "x & y"), Try("Second", {}, "then"))


def test_labels_and_texts_are_text() -> None:
    markup = tries_html(TRIES, "pose")
    assert 'data-try="0" aria-describedby="pose-try-0">A &lt;b&gt;</button>' in markup
    assert '<span id="pose-try-0">x &amp; y</span>' in markup
    assert markup.count("<li>") == 2


@pytest.mark.parametrize(
    ("data", "query"),
    [({"index": 0}, {"a": "1"}), ({"index": 1}, {}), ({"index": 9}, {}), ({"index": -1}, {}), ({"index": "0"}, {}),
     ({}, {}), (None, {}), ("0", {})],
)  # fmt: skip
def test_a_button_sets_its_query_and_a_forged_one_nothing(data: object, query: dict[str, str]) -> None:
    assert LessonView(None, TRIES).query(gr.EventData(None, data)) == query
