"""What the tests of every tab do with a page: read it, wait for it, move its controls."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cvdemo import tasks
from cvdemo.core import registry


def missing_weights(repository: Path, *names: str) -> list[str]:
    """Those of the files (named without their ending) that are not in the folder the server takes weights from."""
    folder = Path(os.environ.get("CVDEMO_WEIGHTS") or repository / "weights")
    return [f"{name}.safetensors" for name in names if not (folder / f"{name}.safetensors").is_file()]


def skip_without(repository: Path, *names: str) -> None:
    """Skip the test where weights are missing."""
    missing = missing_weights(repository, *names)
    if missing:
        pytest.skip(f"there are no weights of {', '.join(missing)}")


def skip_without_models(*names: str) -> None:
    """Skip the test where a model cannot be used with what is on this machine."""
    tasks.load_all()
    for name in names:
        state = registry.availability(registry.get(name))
        if not state.local:
            pytest.skip(f"{name}: {state.reason}")


def slow_down(page: Any, seconds: float) -> None:
    """From the next page on, every event waits that long before it goes to the server, as over a long way."""
    page.add_init_script(
        "{ const fetch = window.fetch; window.fetch = async (...given) => {"
        "  if (/gradio_api\\/(run|queue\\/join)/.test(String(given[0].url || given[0])))"
        f"    await new Promise(go => setTimeout(go, {1000 * seconds}));"
        "  return fetch(...given); }; }"
    )


def open_tab(visit: Any, server: str, task: str) -> Any:
    """Open the page at an address that names the tab, whose first example is then computed; returns the visit."""
    visit.page.goto(f"{server}?tab={task}")
    visit.page.wait_for_selector(f"#{task}-result .viewer.full")
    return visit


def open_view(task: str, page: Any, name: str) -> None:
    """Press the tab of a view, beside the result."""
    page.locator(f"#{task}-views").get_by_role("tab", name=name, exact=True).click()


def open_mode(task: str, page: Any, name: str) -> None:
    """Press one of Picture, Video and Live."""
    page.locator(f"#{task}").get_by_role("tab", name=name, exact=True).click()


def words(page: Any, place: str) -> str:
    """The sentence or the problem that a status line shows."""
    return page.inner_text(f"{place} .sentence, {place} .problem")


def shown(page: Any, viewer: str) -> int:
    """How often a viewer has changed its picture."""
    return int(page.get_attribute(f"{viewer} .viewer", "data-shown") or 0)


def settled(page: Any, viewer: str) -> int:
    """How often a viewer has changed its picture, once that has stayed the same for two seconds.

    Opening a page may compute twice: for the pictures, and for the settings of the address.
    """
    count = -1
    while count != (now := shown(page, viewer)):
        count = now
        page.wait_for_timeout(2000)
    return count


def wait_for_redraw(page: Any, viewer: str, before: int) -> None:
    """Wait until a viewer has changed its picture more than ``before`` times."""
    page.wait_for_function(
        "([id, n]) => Number(document.querySelector(id + ' .viewer').dataset.shown || 0) > n", arg=[viewer, before]
    )


def wait_for_words(page: Any, place: str, text: str) -> None:
    """Wait until a part of the page holds a text."""
    page.wait_for_function("([id, text]) => document.querySelector(id)?.innerText.includes(text)", arg=[place, text])


def wait_for_address(page: Any, text: str) -> None:
    """Wait until the address's query holds a text."""
    page.wait_for_function("text => window.location.search.includes(text)", arg=text)


def begin_and_stop(page: Any, begin: str, stop: str, place: str) -> None:
    """Press the button that begins work, then the one that stops it, ten times a second until a status says so.

    For work of a fraction of a second, which a fast machine has finished by the time that a test has seen its progress.
    """
    page.evaluate("ids => ids.forEach(id => document.querySelector(id).click())", [begin, stop])
    page.wait_for_function(
        """([stop, place]) => {
            if (document.querySelector(place).innerText.startsWith("Stopped")) return true;
            document.querySelector(stop).click();
        }""",
        arg=[stop, place],
        polling=100,
    )


def set_slider(page: Any, label: str, value: float) -> None:
    """Move the one visible slider of that label by its handle's own input event, as dragging does."""
    page.locator("input[type=range]:visible").and_(page.get_by_role("slider", name=re.compile(label))).evaluate(
        "(element, value) => { element.value = value; element.dispatchEvent(new Event('input', {bubbles: true})); }",
        value,
    )


def runs_of(page: Any) -> int:
    """How often networks and methods ran since the server started, from the system panel."""
    page.click("#status-pill")
    page.wait_for_selector("#system-panel td")
    page.get_by_role("button", name="Refresh").click()
    page.wait_for_timeout(500)
    text = page.inner_text("#system-panel")
    page.click("#status-pill")
    page.wait_for_selector("#system-panel td", state="hidden")  # the page is as it was, places on it too
    return sum(int(found) for found in re.findall(r"(\d+) runs", text))


def panned_clip(path: Path, crowd: np.ndarray, frames: int, fps: int = 10) -> Path:
    """Write a clip of 320 x 240 pixels that pans over the crowd, 5 pixels a frame and back again."""
    from cvdemo.core.video import VideoWriter

    with VideoWriter(path, fps, (320, 240)) as writer:
        for step in range(frames):
            shift = 300 + 5 * (step % 40)
            writer.write(np.ascontiguousarray(crowd[300:540, shift : shift + 320]))
    return path
