"""The Style tab in a real browser: a run watched, changed, paused and stopped, layers, the race, the address."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.browser.driving import set_slider, skip_without_models, wait_for_address, wait_for_words

pytestmark = pytest.mark.browser
SMALL = "optimise_size=64"


@pytest.fixture(autouse=True)
def weights() -> None:
    skip_without_models("compact-vgg")


def opened(newcomer: Any, server: str, query: str) -> Any:
    """The page of a visitor whose address is ``query``; the first picture of a run is there."""
    newcomer.page.goto(f"{server}?tab=style&{SMALL}&{query}")
    newcomer.page.wait_for_selector("#style-result .viewer.full")
    return newcomer.page


def steps_done(page: Any) -> int:
    found = re.search(r"step (\d+) of", page.inner_text("#style-status"), re.IGNORECASE)
    return int(found[1]) if found else 0


def pressed(page: Any, name: str) -> None:
    page.locator("#style-run").get_by_role("button", name=name, exact=True).click()


def test_a_run_is_watched_changed_paused_and_stopped(newcomer: Any, server: str) -> None:
    page = opened(newcomer, server, "optimise_steps=2000&style=mosaic")
    before = int(page.get_attribute("#style-result .viewer", "data-shown"))
    page.wait_for_function(
        "n => Number(document.querySelector('#style-result .viewer').dataset.shown) > n", arg=before
    )  # fmt: skip
    set_slider(page, "Style weight", 2)
    wait_for_words(page, "#style-ratio", "style : content = 100 : 1")
    page.wait_for_selector("#style-curves .mark", state="attached")  # it counted from the next step on
    wait_for_address(page, "optimise_style_power=2")
    pressed(page, "Pause")
    wait_for_words(page, "#style-status", "Paused at step")
    reached = steps_done(page)
    pressed(page, "Resume")
    page.wait_for_function(
        "n => Number((document.querySelector('#style-status').innerText.match(/step (\\d+)/i) || [0, 0])[1]) > n",
        arg=reached,
    )
    pressed(page, "Stop, keep the best")
    wait_for_words(page, "#style-status", "Stopped at step")
    assert page.get_attribute("#style-result img", "alt").startswith("Stopped at step")
    page.get_by_role("tab", name="Download").click()
    with page.expect_download() as coming:
        page.get_by_role("button", name="Losses (CSV)").click()
    lines = Path(coming.value.path()).read_text().splitlines()
    assert len(lines) == steps_done(page) + 1
    assert newcomer.errors == []
    assert newcomer.foreign == []


def test_a_thumbnail_or_a_file_is_the_style(newcomer: Any, server: str, tmp_path: Path) -> None:
    page = opened(newcomer, server, "optimise_steps=2")
    wait_for_words(page, "#style-status", "Finished at step 2 of 2")
    page.locator("#style-seconds .gallery-item").nth(9).click()
    wait_for_address(page, "style=circles")
    wait_for_words(page, "#style-status", "Finished")
    cv2.imwrite(str(tmp_path / "dot.png"), np.full((1, 1, 3), 90, np.uint8))
    page.locator("#style-second").get_by_role("button", name="Remove Image").click()
    page.locator("#style-second input[type=file]").set_input_files(str(tmp_path / "dot.png"))
    wait_for_words(page, "#style-status", "it has a colour but no texture")
    assert "style=" not in page.evaluate("window.location.search").replace("tab=style", "")
    assert newcomer.errors == []


def test_presets_set_the_weights_and_layers_are_compared(newcomer: Any, server: str) -> None:
    page = opened(newcomer, server, "optimise_steps=2")
    page.locator("#style-presets").get_by_role("button", name="Feature inversion").click()
    wait_for_words(page, "#style-ratio", "feature inversion")
    wait_for_address(page, "optimise_init=noise")
    page.get_by_role("tab", name="Layer comparison").click()
    page.get_by_role("button", name="Compare layers: texture synthesis").click()
    page.wait_for_selector("#style-layers img[alt^='relu1_1 to relu2_1']")
    page.click("#style-layers-stop")
    wait_for_words(page, "#style-layers-status", "What is finished stays.")
    assert page.locator("#style-layers img").count() >= 2
    assert newcomer.errors == []


def test_a_race_compares_methods_and_says_who_could_not_start(newcomer: Any, server: str) -> None:
    newcomer.page.goto(f"{server}?tab=style&view=race&style=circles&race_steps=3&race_size=64")
    page = newcomer.page
    page.wait_for_selector("#style-race-start:visible")
    page.wait_for_timeout(1500)
    page.click("#style-race-start")
    page.wait_for_selector("#style-race-table table")
    wait_for_words(page, "#style-race-status", "Fastest")
    assert page.locator("#style-race-panels img").count() >= 2
    assert "unavailable: A feed-forward network knows one style" in page.inner_text("#style-race-table")
    assert newcomer.errors == []
