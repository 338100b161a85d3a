"""A lesson on the page: what is seen, a list of things to try, and where the slides say it.

The whole list is one component. With a button, a row and a text each, the lessons were a seventh of the page's
components and a fifth of its events, and the page starts later with each of either.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from cvdemo.ui import lessons

CSS = """
.tries { list-style: none; margin: 0; padding: 0; display: grid; gap: var(--spacing-md); }
.tries li { display: grid; grid-template-columns: minmax(11em, 1fr) 3fr; gap: var(--spacing-lg); align-items: center; }
.tries button { padding: var(--spacing-md) var(--spacing-lg); border-radius: var(--radius-md); text-align: center;
  font-size: var(--text-sm); font-weight: 600; background: var(--button-secondary-background-fill);
  color: var(--button-secondary-text-color); border: 1px solid var(--border-color-primary); cursor: pointer; }
.tries button:hover { background: var(--button-secondary-background-fill-hover); }
@media (max-width: 640px) { .tries li { grid-template-columns: 1fr; gap: var(--spacing-sm); } }
"""

_SCRIPT = """
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-try]");
  if (button) trigger("click", { index: Number(button.dataset.try) });
});
"""


@dataclass(frozen=True)
class LessonView:
    """list: the component whose ``click`` event carries the button's ``index``; tries: what each button sets."""

    list: Any
    tries: tuple[lessons.Try, ...]

    def query(self, event: gr.EventData) -> dict[str, str]:
        """What the pressed button sets. An index that is none, which only a forged event has, sets nothing."""
        index = event._data.get("index") if isinstance(event._data, dict) else None
        return self.tries[index].query if isinstance(index, int) and 0 <= index < len(self.tries) else {}


def tries_html(tries: tuple[lessons.Try, ...], task: str) -> str:
    """The list: a button and the sentence that describes it, of each thing to try."""
    rows = (
        f'<li><button type="button" data-try="{index}" aria-describedby="{task}-try-{index}">{escape(attempt.label)}'
        f'</button><span id="{task}-try-{index}">{escape(attempt.text)}</span></li>'
        for index, attempt in enumerate(tries)
    )
    return f'<ul class="tries">{"".join(rows)}</ul>'


def create_lesson(task: str) -> LessonView:
    """Build the lesson of a task inside the current tab."""
    lesson = lessons.load(task)
    gr.Markdown(f"**What you see.** {lesson.see}")
    gr.Markdown("**Try this.**")
    listed = gr.HTML(
        tries_html(lesson.tries, task), css_template=CSS, js_on_load=_SCRIPT, elem_id=f"{task}-tries",
        apply_default_css=False,
    )  # fmt: skip
    gr.Markdown(f"**On the slides.** {lesson.slides}")
    return LessonView(listed, lesson.tries)
