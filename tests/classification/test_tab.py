"""The Classification tab's lesson sets what exists."""

from cvdemo.classification.predict import ClassificationSettings
from cvdemo.classification.sliding import SlidingSettings
from cvdemo.ui import lessons


def test_the_lesson_sets_only_what_exists():
    lesson = lessons.load("classification")
    names = {"view", "model", "example", "method", *ClassificationSettings().to_dict(), "opacity", "colours"}
    names |= {"sliding_" + name for name in SlidingSettings().to_dict()}
    assert len(lesson.tries) >= 5
    for attempt in lesson.tries:
        assert set(attempt.query) <= names, attempt.label
