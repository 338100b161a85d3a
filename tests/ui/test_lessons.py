"""The lesson that ships, and the form every lesson must have."""

import pytest

from cvdemo import tasks
from cvdemo.detection.predict import DetectionSettings
from cvdemo.ui import lessons

GOOD = """# Title

## What you see

Boxes.
More boxes.

## Try this

- [First](?a=1&b=two+words) and look
  at what happens.
- [Second](?)

## On the slides

Deck 001.
"""


def test_parts_and_buttons():
    lesson = lessons.parse(GOOD)
    assert lesson.see == "Boxes.\nMore boxes."
    assert lesson.slides == "Deck 001."
    first, second = lesson.tries
    assert first == lessons.Try("First", {"a": "1", "b": "two words"}, "and look at what happens.")
    assert second == lessons.Try("Second", {}, "")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("## What you see", "## What we see", "what you see"),
        ("## On the slides", "### On the slides", "on the slides"),
        ("Deck 001.", "", "on the slides"),
        ("- [First](?a=1&b=two+words)", "- First", "not a thing to try"),
        ("(?a=1&b=two+words)", "(https://host.invalid)", "not a thing to try"),
        ("- [Second](?)", "Some prose.", "not a thing to try"),
        (GOOD, "", "what you see, try this, on the slides"),
    ],
)
def test_malformed_lessons_are_refused(old, new, says):
    assert old in GOOD
    with pytest.raises(ValueError, match=says):
        lessons.parse(GOOD.replace(old, new))


@pytest.mark.parametrize("task", tasks.TASKS)
def test_every_task_ships_a_lesson(task):
    lesson = lessons.load(task)
    assert len(lesson.tries) >= 3
    assert "eck" in lesson.slides
    labels = [attempt.label for attempt in lesson.tries]
    assert len(set(labels)) == len(labels)


def test_every_button_of_the_detection_lesson_sets_what_it_says():
    fields = {field.name: field for field in DetectionSettings.fields_of()}
    for attempt in lessons.load("detection").tries:
        settings = DetectionSettings.from_query(attempt.query)
        for name, text in attempt.query.items():
            assert name in fields, f"{attempt.label}: there is no setting {name}"
            assert getattr(settings, name) == fields[name].parse(text), attempt.label
            assert getattr(settings, name) != fields[name].default, f"{attempt.label}: {name} changes nothing"
        assert settings.to_query().keys() == attempt.query.keys()
