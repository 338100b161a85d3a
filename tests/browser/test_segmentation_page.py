"""The Segmentation tab in a real browser: sliders, legend and pixels without the network, truth, video, webcam."""

from __future__ import annotations

import io
import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.browser import driving
from tests.browser.driving import (
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
RESULT = "#segmentation-result"
open_view = partial(driving.open_view, "segmentation")


@pytest.fixture
def stranger(newcomer: Any, repository: Path) -> Any:
    """A visitor who has not opened any page yet; skips where the tab's models are missing."""
    skip_without(repository, "compact_segmentation")
    return newcomer


@pytest.fixture
def tab(stranger: Any, server: str) -> Any:
    """A visitor whose address names the tab."""
    return open_tab(stranger, server, "segmentation")


def bring_truth(page: Any, path: Path) -> None:
    with page.expect_file_chooser() as chosen:
        page.click("#segmentation-truth-file")
    chosen.value.set_files(path)


def press_middle(page: Any) -> None:
    box = page.locator("#segmentation-result .viewer").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def test_the_example_is_there_at_once_and_sliders_need_no_network(tab: Any) -> None:
    page = tab.page
    assert "%" in words(page, "#segmentation-status")
    before, count = runs_of(page), shown(page, RESULT)
    set_slider(page, "Overlay opacity", 0.2)
    wait_for_redraw(page, RESULT, count)
    press_middle(page)
    wait_for_words(page, "#segmentation-pixel", "at T = 1")
    set_slider(page, "Softmax temperature", 3)  # leaves the winners, and with them the overlay, as they are
    wait_for_words(page, "#segmentation-pixel", "at T = 3")
    count = shown(page, RESULT)
    set_slider(page, "Least confidence", 0.8)
    wait_for_redraw(page, RESULT, count)
    wait_for_words(page, "#segmentation-status", "undecided")
    assert runs_of(page) == before
    wait_for_address(page, "opacity=0.2")
    wait_for_address(page, "temperature=3")
    assert tab.errors == []
    assert tab.foreign == []


def test_the_edge_between_before_and_after_moves_in_the_browser_alone(tab: Any) -> None:
    page = tab.page
    count = shown(page, RESULT)
    handle = page.locator("#segmentation-result .wipe input")
    handle.evaluate("e => { e.value = 50; e.dispatchEvent(new Event('input', {bubbles: true})); }")
    clip = page.locator("#segmentation-result img.before").evaluate("e => e.style.clipPath")
    width = page.locator("#segmentation-result .viewer").evaluate("e => e.clientWidth")
    right = float(re.search(r"inset\(0(?:px)? ([\d.]+)px", clip)[1])
    assert abs(right - width / 2) < 2
    assert shown(page, RESULT) == count


def test_a_pixel_can_be_asked_about_with_mouse_and_keyboard(tab: Any) -> None:
    page = tab.page
    before, count = runs_of(page), shown(page, RESULT)
    press_middle(page)
    page.wait_for_selector("#segmentation-pixel .class-bars li")
    first = page.inner_text("#segmentation-pixel .said")
    assert re.match(r"Pixel \(\d+, \d+\):", first)
    page.focus("#segmentation-result .viewer")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("old => document.querySelector('#segmentation-pixel .said').innerText !== old", arg=first)
    assert runs_of(page) == before
    assert shown(page, RESULT) == count, "nothing is drawn anew"
    assert tab.errors == []


def test_the_legend_switches_classes_and_colours(tab: Any) -> None:
    page = tab.page
    before = runs_of(page)
    hidden = page.locator("#segmentation-legend button[aria-pressed=true]").first
    name = hidden.locator("b").inner_text()
    hidden.click()
    line = page.locator(f'#segmentation-legend li[data-name="{name}"]')
    page.wait_for_function(
        "name => document.querySelector(`#segmentation-legend li[data-name='${name}'] button`).ariaPressed === 'false'",
        arg=name,
    )
    wait_for_address(page, "classes=")
    line.locator("button").click()
    page.wait_for_function("() => !window.location.search.includes('classes=')")
    count = shown(page, RESULT)
    line.locator("input").evaluate(
        "e => { e.value = '#ff00ff'; e.dispatchEvent(new Event('change', {bubbles: true})); }"
    )
    wait_for_redraw(page, RESULT, count)
    assert line.locator("input").input_value() == "#ff00ff"
    assert runs_of(page) == before
    assert tab.errors == []


def test_the_address_restores_view_and_controls(stranger: Any, server: str) -> None:
    page = stranger.page
    page.goto(f"{server}?tab=segmentation&example=crowd&show=entropy&outline=7&background=blur")
    page.wait_for_selector("#segmentation-result .viewer.full")
    wait_for_words(page, "#segmentation-scale", "Entropy")
    slider = page.locator("#segmentation").get_by_role("slider", name=re.compile("Outline")).locator("visible=true")
    assert slider.first.input_value() == "7"


def test_two_models_are_compared_and_each_runs_once(tab: Any, repository: Path) -> None:
    skip_without(repository, "compact_streets")
    page = tab.page
    open_view(page, "Compare")
    page.wait_for_selector("#segmentation-compare-2 .viewer.full")
    assert "street scenes" in page.input_value("#segmentation-second input")
    page.click("#segmentation-second input")
    page.get_by_role("option", name=re.compile("21 classes")).click()
    wait_for_words(page, "#segmentation-compare-status", "Twice the same model")
    wait_for_address(page, "compare_second=compact-segmentation")
    page.click("#segmentation-second input")
    page.get_by_role("option", name=re.compile("street scenes")).click()
    wait_for_words(page, "#segmentation-compare-status", "against")
    assert re.search(r"differ on [\d.]+ %", words(page, "#segmentation-compare-status"))
    before, count = runs_of(page), shown(page, "#segmentation-compare-2")
    set_slider(page, "Least confidence", 0.5)
    wait_for_redraw(page, "#segmentation-compare-2", count)
    open_view(page, "Overlay")
    open_view(page, "Compare")
    page.wait_for_timeout(800)
    assert runs_of(page) == before
    assert tab.errors == []


def test_a_mask_is_measured_and_a_wrong_one_explained(tab: Any, tmp_path: Path) -> None:
    page = tab.page
    page.get_by_role("tab", name="Download", exact=True).locator("visible=true").first.click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Index PNG").click()
    mask = tmp_path / "mask.png"
    waiting.value.save_as(mask)
    open_view(page, "Ground truth")
    wait_for_words(page, "#segmentation-truth-status", "no ground truth")
    bring_truth(page, mask)
    wait_for_words(page, "#segmentation-truth-status", "Pixel accuracy 1.000")
    wait_for_words(page, "#segmentation-measures", "slide 158")
    before = runs_of(page)
    set_slider(page, "Least confidence", 0.95)
    page.wait_for_function(
        "() => !document.querySelector('#segmentation-truth-status').innerText.includes('1.000, mean')"
    )
    assert runs_of(page) == before
    wrong = tmp_path / "wrong.png"
    Image.fromarray(np.zeros((5, 7), np.uint8)).save(wrong)
    bring_truth(page, wrong)
    wait_for_words(page, "#segmentation-truth-status", "7 x 5")
    assert tab.errors == []


def test_the_bench_computes_the_slides_examples(tab: Any) -> None:
    page = tab.page
    open_view(page, "Up-sampling")
    page.wait_for_selector("#segmentation-bench-slides table")
    page.get_by_role("tab", name="U-Net's skips").click()
    page.wait_for_selector("#segmentation-skips-2 .viewer.full")
    assert "0.0 %" in words(page, "#segmentation-bench-status")
    page.get_by_label("Skip at stride 4").uncheck()
    wait_for_words(page, "#segmentation-bench-status", "Without the skip at stride 4")
    page.get_by_role("tab", name="RoIPool and RoIAlign").click()
    page.wait_for_selector("#segmentation-bench-roi svg")
    assert tab.errors == []


@pytest.mark.parametrize(("button", "ending"), [("Overlay PNG", ".png"), ("Cut-out PNG", ".png"), ("JSON", ".json"),
                                                ("CSV", ".csv")])  # fmt: skip
def test_downloads(tab: Any, button: str, ending: str, tmp_path: Path) -> None:
    page = tab.page
    page.get_by_role("tab", name="Download", exact=True).locator("visible=true").first.click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name=button, exact=True).locator("visible=true").first.click()
    target = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(target)
    assert target.name.startswith("crowd-")
    assert target.suffix == ending
    content = target.read_bytes()
    if button == "Cut-out PNG":
        assert Image.open(io.BytesIO(content)).mode == "RGBA"
    elif ending == ".json":
        assert json.loads(content)["classes"]
    elif ending == ".csv":
        assert content.startswith(b"image,label,pixels,percent")


def test_lesson_buttons_open_views_and_set_controls(tab: Any) -> None:
    page = tab.page
    open_view(page, "Lesson")
    page.get_by_role("button", name="Where is it unsure?").click()
    wait_for_words(page, "#segmentation-scale", "Entropy")
    wait_for_address(page, "show=entropy")
    open_view(page, "Lesson")
    page.get_by_role("button", name="Stamp a kernel").click()
    wait_for_words(page, "#segmentation-bench-slides", "slide 144")
    assert tab.errors == []


def test_bad_files_are_explained_and_nothing_is_lost(tab: Any, tmp_path: Path) -> None:
    page = tab.page
    count = shown(page, RESULT)
    page.locator("#segmentation-picture").get_by_role("button", name="Remove Image").click()
    path = tmp_path / "text.png"
    path.write_bytes(b"not a picture")
    page.set_input_files("#segmentation-picture input[type=file]", path)
    wait_for_words(page, "#segmentation-status", "text.png")
    assert shown(page, RESULT) == count
    assert page.locator("#segmentation-result .viewer.full").count() == 1


def test_a_video_is_segmented_stopped_and_redrawn_without_the_network(tab: Any) -> None:
    page = tab.page
    page.locator("#segmentation").get_by_role("tab", name="Video", exact=True).click()
    wait_for_words(page, "#segmentation-status", "Choose a video")
    page.locator("#segmentation .gallery-item").locator("visible=true").first.click()
    page.wait_for_selector("#segmentation-clip video")
    page.click("#segmentation-run-video")
    page.wait_for_selector("#segmentation-status progress")
    page.click("#segmentation-stop")
    wait_for_words(page, "#segmentation-status", "Stopped")
    set_slider(page, "Every n-th frame", 9)
    page.click("#segmentation-run-video")
    page.wait_for_selector("#segmentation-result-clip video")
    wait_for_words(page, "#segmentation-status", "network runs")
    set_slider(page, "Overlay opacity", 0.9)
    page.click("#segmentation-run-video")
    wait_for_words(page, "#segmentation-status", "redrawn without the network")
    page.locator("#segmentation").get_by_role("tab", name="Picture", exact=True).click()
    page.wait_for_selector("#segmentation-result .viewer.full")
    assert tab.errors == []


def test_the_webcam_feeds_the_open_view(tab: Any) -> None:
    page = tab.page
    page.locator("#segmentation").get_by_role("tab", name="Live", exact=True).click()
    page.locator("#segmentation").get_by_text("Click to Access Webcam").click()
    count = shown(page, RESULT)
    page.click("#segmentation-camera .capture-button")
    wait_for_redraw(page, RESULT, count + 5)
    wait_for_words(page, "#segmentation-live", "frames a second")
    press_middle(page)
    page.wait_for_selector("#segmentation-pixel .class-bars li")
    open_view(page, "Ground truth")
    wait_for_words(page, "#segmentation-live", "does not follow the camera")
    page.locator("#segmentation").get_by_role("tab", name="Picture", exact=True).click()
    page.wait_for_selector("#segmentation-camera [title='start recording']", state="attached")
    assert tab.errors == []
    assert tab.foreign == []
