"""Lesson texts: Markdown files with three headed parts, read into buttons and prose.

``## What you see`` and ``## On the slides`` are prose. Each bullet under ``## Try this`` starts with a link whose
address is a query of settings, such as ``- [Show every candidate](?nms_kind=none) to see …``; it becomes a button.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

LESSONS = Path(__file__).parent / "lessons"
_BULLET = re.compile(r"^- \[(?P<label>[^\]]+)\]\(\?(?P<query>[^)]*)\)\s*(?P<text>.*)$")


@dataclass(frozen=True)
class Try:
    """One thing to try: the button's words, the settings it sets (query form), and what to look for."""

    label: str
    query: dict[str, str]
    text: str


@dataclass(frozen=True)
class Lesson:
    see: str
    tries: tuple[Try, ...]
    slides: str


def parse(text: str) -> Lesson:
    """A lesson file's text; ValueError when a part is missing or a bullet is not a button."""
    parts: dict[str, str] = {}
    for block in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title, _, body = block.partition("\n")
        parts[title.strip().lower()] = body.strip()
    missing = [name for name in ("what you see", "try this", "on the slides") if not parts.get(name)]
    if missing:
        raise ValueError(f"the lesson lacks: {', '.join(missing)}")
    tries = []
    for line in re.sub(r"\n {2,}", " ", parts["try this"]).splitlines():
        if not line.strip():
            continue
        match = _BULLET.match(line)
        if match is None:
            raise ValueError(f"not a thing to try: {line!r}")
        tries.append(Try(match["label"], dict(parse_qsl(match["query"], keep_blank_values=True)), match["text"]))
    return Lesson(parts["what you see"], tuple(tries), parts["on the slides"])


def load(task: str) -> Lesson:
    """The lesson of a task, from ``cvdemo/ui/lessons/<task>.md``."""
    return parse((LESSONS / f"{task}.md").read_text(encoding="utf-8"))
