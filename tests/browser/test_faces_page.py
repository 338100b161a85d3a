"""Comparing and recognising in the Faces tab in a real browser: crops, thresholds, consent, enrolment, the webcam."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cvdemo.core.media import save_picture
from tests.browser.driving import runs_of, set_slider, skip_without_models, wait_for_words

pytestmark = pytest.mark.browser
HOSTILE = '<b onclick="x()">Grace</b> ${1+1}'


@pytest.fixture(scope="module", autouse=True)
def _weights() -> None:
    skip_without_models("compact-face-detector", "compact-faces")


@pytest.fixture(scope="module")
def files(crowd: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A picture with one face, one without any, and a file that is no picture."""
    root = tmp_path_factory.mktemp("faces")
    found = {"face": root / "face.png", "none": root / "wall.png", "bad": root / "notes.jpg"}
    save_picture(found["face"], np.ascontiguousarray(crowd[90:600, 520:920]))
    save_picture(found["none"], np.full((120, 160, 3), 180, np.uint8))
    found["bad"].write_text("hello")
    return found


def open_view(newcomer: Any, server: str, query: str) -> Any:
    page = newcomer.page
    page.goto(f"{server}?tab=faces&{query}")
    return page


def says(page: Any, what: str, selector: str) -> str:
    """Wait until a place holds some words; returns all of it."""
    wait_for_words(page, selector, what)
    return str(page.inner_text(selector))


def upload(page: Any, selector: str, paths: list[Path]) -> None:
    with page.expect_file_chooser() as chooser:
        page.click(selector)
    chooser.value.set_files(paths)


def test_two_pictures_are_compared_and_sliders_run_nothing(newcomer: Any, server: str) -> None:
    page = open_view(newcomer, server, "example=crowd&compare_threshold=0.3")
    line = says(page, "Same person", "#faces-compare-status")
    assert "threshold 0.30" in line
    crops = page.locator("#faces-compare-second .crops button")
    assert crops.count() >= 4
    before = runs_of(page)
    crops.nth(1).focus()
    page.keyboard.press("Enter")  # crops are buttons: no mouse is needed
    says(page, "Face 2 of", "#faces-compare-second")
    assert page.locator("#faces-compare-second [aria-pressed=true]").count() == 1
    set_slider(page, "Threshold", 1.0)
    says(page, "Different people", "#faces-compare-status")
    page.wait_for_function("() => location.search.includes('compare_threshold=1')")
    says(page, "threshold 1.00", "#faces-compare-worth")
    page.get_by_role("tab", name="All faces").click()
    page.wait_for_selector("#faces-compare-table td")
    assert runs_of(page) == before
    assert "face" not in re.sub(r"tab=faces|compare_\w+", "", page.evaluate("location.search"))
    assert newcomer.errors == []
    assert newcomer.foreign == []


def test_a_picture_without_a_face_says_what_to_do(newcomer: Any, server: str) -> None:
    page = open_view(newcomer, server, "example=tower")
    assert "second picture" in says(page, "No face was found", "#faces-compare-status")
    says(page, "No face was found", "#faces-compare-second")
    assert newcomer.errors == []
    page.get_by_role("tab", name="Download").locator("visible=true").first.click()
    page.get_by_role("button", name="PNG").locator("visible=true").first.click()
    page.get_by_text("No face was found in the second picture").first.wait_for()


def test_a_comparison_is_downloaded(newcomer: Any, server: str, tmp_path: Path) -> None:
    page = open_view(newcomer, server, "example=crowd")
    says(page, "similarity", "#faces-compare-status")
    page.get_by_role("tab", name="Download").locator("visible=true").first.click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="JSON", exact=True).locator("visible=true").first.click()
    waiting.value.save_as(tmp_path / "a.json")
    told = json.loads((tmp_path / "a.json").read_text())
    assert -1 <= told["similarity"] <= 1
    assert len(told["pictures"]) == 2


def test_people_are_enrolled_with_consent_found_and_forgotten(
    newcomer: Any, server: str, files: dict[str, Path], tmp_path: Path
) -> None:
    page = open_view(newcomer, server, "view=gallery&example=crowd")
    says(page, "Nobody is enrolled yet", "#gallery-status")
    name = page.locator("#gallery-name").get_by_role("textbox")
    name.fill(HOSTILE)
    page.click("#gallery-current")
    says(page, "without consent", "#gallery-line")
    assert page.locator("#gallery-people img").count() == 0
    page.locator("#gallery-consent").get_by_role("checkbox").check()
    page.click("#gallery-current")
    says(page, "1 picture of", "#gallery-line")
    upload(page, "#gallery-upload", [files["face"], files["none"], files["bad"]])
    line = says(page, "wall.png: No face was found", "#gallery-line")
    assert "notes.jpg" in line
    assert page.locator("#gallery-people .person").count() == 1
    assert page.locator("#gallery-people .picture").count() == 2
    says(page, "1 face: <b onclick", "#gallery-status")
    assert page.locator("#gallery-people b, #gallery-matrix b").count() == 0
    name.fill("Copy")
    page.click("#gallery-current")
    says(page, "1 picture of Copy", "#gallery-line")
    page.get_by_role("tab", name="ROC and EER").click()
    says(page, "one person): 1;", "#gallery-errors")
    page.get_by_role("tab", name="Embedding map").click()
    assert page.locator("#gallery-map svg title").count() >= 3
    set_slider(page, "Threshold", 1.0)
    page.get_by_role("tab", name="Export").click()
    with page.expect_download() as waiting:
        page.click("#gallery-export")
    waiting.value.save_as(tmp_path / "g.json")
    assert len(json.loads((tmp_path / "g.json").read_text())["people"]) == 2
    page.locator("#gallery-people .remove").nth(1).click()
    says(page, "Copy is forgotten", "#gallery-line")
    page.click("#gallery-clear")
    says(page, "Everybody is forgotten", "#gallery-line")
    assert page.locator("#gallery-people img").count() == 0
    assert not page.locator("#gallery-consent").get_by_role("checkbox").is_checked()
    assert newcomer.errors == []
    assert newcomer.foreign == []


def test_the_camera_enrols_and_is_recognised(newcomer: Any, server: str) -> None:
    page = open_view(newcomer, server, "view=gallery&example=crowd")
    says(page, "Nobody is enrolled yet", "#gallery-status")
    page.locator("#gallery-consent").get_by_role("checkbox").check()
    page.locator("#gallery-name").get_by_role("textbox").fill("Camera")
    page.click("#gallery-capture")
    says(page, "The next 5 camera pictures", "#gallery-line")
    page.locator("#faces").get_by_role("tab", name="Live", exact=True).click()
    page.locator("#faces-camera").get_by_text("Click to Access Webcam").click()
    page.click("#faces-camera .capture-button")
    says(page, "5 of 5 taken", "#gallery-line")
    assert page.locator("#gallery-people .picture").count() == 5
    page.wait_for_function("() => /faces?: .*Camera/.test(document.querySelector('#gallery-status').innerText)")
    assert newcomer.errors == []
