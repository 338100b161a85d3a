"""The Classification tab in a real browser: views, sliders and class choices without the network, the webcam."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.browser import driving
from tests.browser.driving import (
    begin_and_stop,
    open_tab,
    runs_of,
    set_slider,
    shown,
    skip_without,
    wait_for_address,
    wait_for_redraw,
    wait_for_words,
    words,
)

pytestmark = pytest.mark.browser
open_view = partial(driving.open_view, "classification")


@pytest.fixture
def stranger(newcomer: Any, repository: Path) -> Any:
    """A visitor who has not opened any page yet; skips where the tab's models are missing."""
    skip_without(repository, "compact_classifier")
    return newcomer


@pytest.fixture
def tab(stranger: Any, server: str) -> Any:
    """A visitor whose address names the tab."""
    return open_tab(stranger, server, "classification")


def choose_class(page: Any, menu: str, name: str) -> None:
    page.locator(f"{menu} input").click()  # which selects the present choice, so that typing replaces it
    page.wait_for_timeout(100)
    page.keyboard.type(name)
    page.get_by_role("option", name=name).first.click()


def test_a_tab_chosen_before_the_page_has_loaded_stays(stranger: Any, server: str) -> None:
    page = stranger.page
    page.goto(server, wait_until="commit")
    page.get_by_role("tab", name="Classification").click()  # as soon as it is there
    page.wait_for_selector("#classification-result .viewer.full")
    page.wait_for_selector("#detection-result .viewer.full", state="attached")  # the page's own example came, too
    assert page.get_by_role("tab", name="Classification", exact=True).get_attribute("aria-selected") == "true"
    assert stranger.errors == []


def test_the_address_opens_the_tab_and_no_other_is_computed(tab: Any) -> None:
    page = tab.page
    assert re.search(r"\(\d+ %\)", words(page, "#classification-status"))
    assert page.locator("#classification-bars li").count() == 6  # five classes and the rest
    assert page.locator("#detection-result .viewer.full").count() == 0
    page.get_by_role("tab", name="Detection").click()
    page.wait_for_selector("#detection-result .viewer.full")  # computed when it is first opened
    page.wait_for_function("() => !window.location.search.includes('classification')")
    page.get_by_role("tab", name="Classification").click()
    wait_for_address(page, "tab=classification")
    page.wait_for_selector("#classification-result .viewer.full")
    assert tab.errors == []
    assert tab.foreign == []


def test_sliders_act_on_logits_that_are_there(tab: Any) -> None:
    page = tab.page
    before, first = runs_of(page), page.inner_text("#classification-bars li:first-child .value")
    set_slider(page, "Classes shown", 12)
    page.wait_for_function("() => document.querySelectorAll('#classification-bars li').length === 13")
    set_slider(page, "Temperature", 5)
    page.wait_for_function(
        "old => document.querySelector('#classification-bars li:first-child .value').innerText !== old", arg=first
    )
    assert runs_of(page) == before
    wait_for_address(page, "temperature=5")
    wait_for_address(page, "top_k=12")
    assert tab.errors == []


def test_the_address_restores_view_and_controls(stranger: Any, server: str) -> None:
    page = stranger.page
    page.goto(f"{server}?tab=classification&view=why&example=lion&method=gradient&opacity=0.2")
    page.wait_for_selector("#classification-why .viewer.full")
    assert words(page, "#classification-why-status").startswith("Input gradient")
    assert page.get_by_role("slider", name=re.compile("Map over picture")).input_value() == "0.2"
    assert page.get_by_role("radio", name="Input gradient").is_checked()


def test_maps_are_computed_once_and_the_sanity_check_compares_them(tab: Any) -> None:
    page = tab.page
    open_view(page, "Why")
    wait_for_words(page, "#classification-why-status", "Grad-CAM")
    first = words(page, "#classification-why-status")
    choose_class(page, "#classification-target", "tiger shark")
    wait_for_words(page, "#classification-why-status", "tiger shark")
    page.locator("#classification-target input").click()
    page.get_by_role("option", name=re.compile("^the most probable")).click()
    wait_for_words(page, "#classification-why-status", first)
    before, count = runs_of(page), shown(page, "#classification-why")
    set_slider(page, "Map over picture", 0.1)
    wait_for_redraw(page, "#classification-why", count)
    choose_class(page, "#classification-target", "tiger shark")
    wait_for_words(page, "#classification-why-status", "tiger shark")
    assert runs_of(page) == before, "both maps are remembered"
    page.click("#classification-check")
    page.wait_for_selector("#classification-check-2 .viewer.full")
    wait_for_words(page, "#classification-check-line", ".")
    assert "randomised" in (page.get_attribute("#classification-check-2 img", "alt") or "").lower()
    assert tab.errors == []


def test_occlusion_waits_for_the_button_and_can_be_stopped(tab: Any) -> None:
    page = tab.page
    open_view(page, "Why")
    wait_for_words(page, "#classification-why-status", "Grad-CAM")
    page.get_by_role("radio", name=re.compile("Occlusion")).check()
    wait_for_words(page, "#classification-why-status", "Run occlusion")
    begin_and_stop(page, "#classification-cover", "#classification-why-halt", "#classification-why-status")
    page.wait_for_timeout(500)  # progress that was still under way must not take the place of the word
    assert words(page, "#classification-why-status").startswith("Stopped")
    page.click("#classification-cover")
    wait_for_words(page, "#classification-why-status", "Occlusion sensitivity for")
    assert tab.errors == []


def test_a_window_slides_once_for_all_classes(tab: Any) -> None:
    page = tab.page
    open_view(page, "Sliding window")
    wait_for_words(page, "#classification-sliding-status", "evaluations of the network")
    planned = re.search(r"= ([\d,]+) evaluations", page.inner_text("#classification-sliding-status"))
    page.click("#classification-slide")
    wait_for_words(page, "#classification-bill", "evaluations took")
    assert planned
    assert page.inner_text("#classification-bill").startswith(f"{planned[1]} evaluations")
    assert "detector" in page.inner_text("#classification-bill")
    before, count = runs_of(page), shown(page, "#classification-sliding")
    choose_class(page, "#classification-sliding-class", "tiger shark")
    wait_for_words(page, "#classification-sliding-status", "tiger shark")
    page.get_by_label(re.compile("^Heat")).click()
    page.get_by_role("option", name="mean").click()
    wait_for_redraw(page, "#classification-sliding", count + 1)
    assert runs_of(page) == before
    assert tab.errors == []


def test_models_race_and_those_without_weights_say_so(tab: Any) -> None:
    page = tab.page
    page.click("#classification-race")
    page.wait_for_selector("#classification-table .race tbody tr")
    rows = page.locator("#classification-table tbody tr")
    assert rows.count() == 5
    assert "offline" in page.inner_text("#classification-table")
    assert re.search(r"\d+\.\d", rows.first.locator(".time").inner_text())


@pytest.mark.parametrize("kind", ["png", "json", "csv"])
def test_downloads(tab: Any, kind: str, tmp_path: Path) -> None:
    page = tab.page
    page.get_by_role("tab", name="Download").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name=kind.upper(), exact=True).click()
    target = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(target)
    assert target.name == f"lion-classes.{kind}"
    content = target.read_bytes()
    if kind == "png":
        assert content.startswith(b"\x89PNG")
    elif kind == "json":
        assert len(json.loads(content)["predictions"]) == 5
    else:
        assert content.startswith(b"rank,label,index,probability")


def test_lesson_buttons_open_the_view(tab: Any) -> None:
    page = tab.page
    open_view(page, "Lesson")
    page.get_by_role("button", name="Which pixels matter?").click()
    page.wait_for_selector("#classification-why .viewer.full")
    wait_for_words(page, "#classification-why-status", "SmoothGrad")
    wait_for_address(page, "method=smooth-grad")
    wait_for_address(page, "view=why")
    assert tab.errors == []


def test_an_unavailable_model_says_what_to_do(tab: Any) -> None:
    page = tab.page
    first = words(page, "#classification-status")
    page.locator("#classification-model input").click()
    page.get_by_role("option", name=re.compile("VGG-16.*offline")).click()
    page.wait_for_selector("#classification-status .problem")
    assert "vgg16" in words(page, "#classification-status")
    wait_for_address(page, "model=vgg16")
    page.locator("#classification-model input").click()
    page.get_by_role("option", name=re.compile("Compact classifier")).click()
    page.wait_for_selector("#classification-status .timing")
    assert words(page, "#classification-status") == first


def test_bad_files_are_explained_and_nothing_is_lost(tab: Any, tmp_path: Path) -> None:
    page = tab.page
    count = shown(page, "#classification-result")
    page.get_by_role("button", name="Remove Image").click()
    path = tmp_path / "text.png"
    path.write_bytes(b"not a picture")
    page.set_input_files("#classification-picture input[type=file]", path)
    wait_for_words(page, "#classification-status", "text.png")
    assert shown(page, "#classification-result") == count
    assert page.locator("#classification-result .viewer.full").count() == 1


def test_the_webcam_feeds_the_view_that_is_open(tab: Any) -> None:
    page = tab.page
    page.get_by_role("tab", name="Live").click()
    page.get_by_text("Click to Access Webcam").click()
    count = shown(page, "#classification-result")
    page.click("#classification-camera .capture-button")
    wait_for_redraw(page, "#classification-result", count + 10)
    wait_for_words(page, "#classification-live", "frames a second")
    set_slider(page, "Classes shown", 3)
    page.wait_for_function("() => document.querySelectorAll('#classification-bars li').length === 4")
    open_view(page, "Why")
    page.wait_for_selector("#classification-why .viewer.full")
    wait_for_redraw(page, "#classification-why", 3)
    open_view(page, "Sliding window")
    wait_for_words(page, "#classification-live", "does not follow the camera")
    page.get_by_role("tab", name="Picture").click()  # leaving the mode ends the stream
    page.wait_for_selector("#classification-camera [title='start recording']", state="attached")
    assert tab.errors == []
    assert tab.foreign == []
