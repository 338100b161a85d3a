"""What the page benchmark makes of its visits; the visits themselves are a browser test."""

from __future__ import annotations

import contextlib

import pytest

from cvdemo import tasks
from cvdemo.bench import page
from cvdemo.core.errors import CvDemoError


@pytest.fixture
def visits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No app and no browser; the tabs visited, of which the n-th takes n seconds."""
    seen: list[str] = []

    def visit(program: str, address: str, task: str) -> dict[str, float]:
        assert (program, address) == ("chromium", "http://app/")
        seen.append(task)
        return {"seconds": float(len(seen)), "megabytes": 1.5}

    monkeypatch.setattr(page, "running_app", lambda: contextlib.nullcontext(("http://app/", None)))
    monkeypatch.setattr(page, "browser", lambda: contextlib.nullcontext("chromium"))
    monkeypatch.setattr(page, "visit", visit)
    return seen


def test_the_first_visit_of_a_tab_is_not_counted(visits: list[str]) -> None:
    found = page.measure(["pose", "flow"], 3)
    assert visits == ["pose", "flow"] * 4
    assert found["pose"] == {"seconds": [3.0, 5.0, 7.0], "seconds_median": 5.0, "megabytes": 1.5}
    assert found["flow"]["seconds_median"] == 6.0


def test_all_tabs_are_visited_unless_some_are_named(visits: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert page.main(["--rounds", "1"]) == 0
    assert set(visits) == set(tasks.TASKS)
    visits.clear()
    assert page.main(["--rounds", "1", "--task", "faces"]) == 0
    assert visits == ["faces"] * 2
    assert "faces            2.00 s   1.50 MB   [2.0]" in capsys.readouterr().out
    with pytest.raises(CvDemoError, match="at least 1"):
        page.main(["--rounds", "0"])
