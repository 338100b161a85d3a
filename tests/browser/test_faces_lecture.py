"""Losses, SimCLR and Retrieval on the Faces tab in a real browser: by mouse, by keyboard, and without the network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cvdemo.core.media import save_picture
from cvdemo.faces.collection import MODEL
from cvdemo.faces.playground import WIDE, PlaygroundSettings
from tests.browser.driving import set_slider, skip_without_models, slow_down, wait_for_address, words

pytestmark = pytest.mark.browser


@pytest.fixture
def page_of(newcomer: Any, server: str) -> Any:
    """A function that opens the tab with a query and waits for a selector."""

    def visit(query: str, selector: str) -> Any:
        newcomer.page.goto(f"{server}?tab=faces&{query}")
        newcomer.page.wait_for_selector(selector)
        return newcomer.page

    yield visit
    assert newcomer.errors == []
    assert newcomer.foreign == []


@pytest.fixture
def backbone() -> None:
    """Skips where the classifier's file is absent."""
    skip_without_models(MODEL)


def wait_for_match(page: Any, place: str, pattern: str) -> str:
    """Wait until a part of the page matches a regular expression; returns what its status line shows."""
    page.wait_for_function(
        "([id, text]) => new RegExp(text).test(document.querySelector(id)?.innerText || '')", arg=[place, pattern]
    )
    return words(page, place)


def take_hold(page: Any, selector: str) -> tuple[float, float]:
    """Press the mouse on the middle of an element; returns where that is."""
    spot = page.locator(selector).bounding_box()
    x, y = spot["x"] + spot["width"] / 2, spot["y"] + spot["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    return x, y


def value_of(page: Any) -> float:
    return float(re.search(r"loss ([\d.]+)", words(page, "#faces-losses-status"))[1])


def test_points_are_dragged_stepped_and_go_downhill(page_of: Any) -> None:
    page = page_of("view=losses", "#faces-plane [data-point=negative]")
    wait_for_match(page, "#faces-losses-status", "hard triplet")
    x, y = take_hold(page, "#faces-plane [data-point=negative] rect")
    page.mouse.move(x + 60, y + 5, steps=4)
    page.mouse.move(x + 190, y + 10, steps=6)
    page.mouse.up()
    wait_for_match(page, "#faces-losses-status", "easy triplet")
    wait_for_address(page, "loss_negative_x=")
    page.focus("#faces-plane [data-point=positive]")
    for _ in range(8):
        page.keyboard.press("Shift+ArrowRight")
        page.wait_for_timeout(60)
    wait_for_match(page, "#faces-losses-status", "(hard|semi-hard) triplet")
    assert page.evaluate("document.activeElement.dataset.point") == "positive"  # the focus outlives the redrawing
    before = value_of(page)
    page.click("#faces-step")
    page.wait_for_function(
        "before => Number(document.querySelector('#faces-losses-status').innerText.match(/loss ([\\d.]+)/)[1])"
        " < before",
        arg=before,
    )


def test_a_point_stays_where_it_was_dropped_over_a_slow_connection(newcomer: Any, page_of: Any) -> None:
    slow_down(newcomer.page, 0.3)
    page = page_of("view=losses", "#faces-plane [data-point=anchor]")
    wait_for_match(page, "#faces-losses-status", "triplet")
    x, y = take_hold(page, "#faces-plane [data-point=anchor]")
    for step in range(1, 8):
        page.mouse.move(x + 20 * step, y)
        page.wait_for_timeout(70)  # the drawing reports every 60 ms
    page.mouse.up()
    width = page.locator("#faces-plane svg").bounding_box()["width"]
    dropped = PlaygroundSettings().anchor_x + 2 * WIDE * 140 / width
    answered = page.wait_for_function(
        "place => { const x = Number(new URLSearchParams(location.search).get('loss_anchor_x'));"
        " return Math.abs(x - place) < 0.05 ? [x] : null; }",
        arg=dropped,
    )
    page.wait_for_timeout(1000)  # what was held back is answered by then
    wait_for_address(page, f"loss_anchor_x={answered.json_value()[0]:g}")
    assert answered.json_value() == [pytest.approx(dropped, abs=0.05)]


def test_mining_picks_triplets_of_the_chosen_anchor(page_of: Any) -> None:
    page = page_of("view=losses&loss_topic=mining&loss_rule=hard", "#faces-losses-panel td")
    assert wait_for_match(page, "#faces-losses-status", "36 triplets").startswith("Hard mining")
    page.focus("#faces-plane [data-point='5']")
    page.keyboard.press("Enter")
    wait_for_match(page, "#faces-losses-status", "anchor 6")
    set_slider(page, "Spread", 0.05)
    wait_for_match(page, "#faces-losses-status", "36 triplets, 0 of them active")
    wait_for_address(page, "loss_spread=0.05")
    page.get_by_role("radio", name="Semi-hard", exact=True).click()
    wait_for_match(page, "#faces-losses-status", "Semi-hard mining")


def test_a_tiny_embedding_is_trained_and_stopped(page_of: Any) -> None:
    page = page_of("view=losses&loss_topic=training", "#faces-digits img")
    wait_for_match(page, "#faces-losses-status", "Step 0")
    page.click("#faces-step")
    wait_for_match(page, "#faces-losses-status", r"Step 1\b")
    page.click("#faces-play")
    wait_for_match(page, "#faces-losses-status", r"Step \d\d")
    page.click("#faces-stop-play")
    said = wait_for_match(page, "#faces-losses-status", "Stopped")
    page.wait_for_selector("#faces-losses-panel svg.curve")
    page.wait_for_timeout(1000)
    assert words(page, "#faces-losses-status") == said, "no step is made after Stop"
    page.click("#faces-afresh")
    wait_for_match(page, "#faces-losses-status", "Step 0")


def test_views_of_a_batch_and_its_temperature(page_of: Any, backbone: None) -> None:
    page = page_of("view=simclr", "#faces-matrix td.partner")
    said = wait_for_match(page, "#faces-simclr-status", r"NT-Xent [\d.]+")
    assert page.locator("#faces-views figure").count() == 12
    assert page.locator("#faces-matrix td.partner").count() == 8
    before = page.locator("#faces-views img").nth(1).get_attribute("src")
    set_slider(page, "Temperature", 1.0)
    wait_for_match(page, "#faces-simclr-status", "Temperature 1 ")
    assert words(page, "#faces-simclr-status") != said
    assert page.locator("#faces-views img").nth(1).get_attribute("src") == before  # nothing ran again
    page.click("#faces-draw-views")
    page.wait_for_function("before => document.querySelectorAll('#faces-views img')[1].src !== before", arg=before)


def test_search_and_low_shot(page_of: Any, backbone: None, tmp_path: Path) -> None:
    page = page_of("view=retrieval", "#faces-found li")
    page.locator("#faces-pool button").filter(has_text="lion").first.click()
    wait_for_match(page, "#faces-find-status", "Most like lion")
    assert page.locator("#faces-found li.hit").count() >= 1
    count = page.locator("#faces-pool button").count()
    good = tmp_path / "red.png"
    save_picture(good, np.full((80, 90, 3), (200, 30, 30), np.uint8))
    bad = tmp_path / "broken.png"
    bad.write_bytes(b"no picture")
    page.fill("#faces-class textarea, #faces-class input", "red")
    with page.expect_file_chooser() as chooser:
        page.click("#faces-add")
    chooser.value.set_files([str(good), str(bad)])
    wait_for_match(page, "#faces-find-status", "1 left out")
    assert page.locator("#faces-pool button").count() == count + 1
    page.get_by_role("radio", name="Low-shot classes").click()
    wait_for_match(page, "#faces-find-status", "of 6 classes.*named right")
    wait_for_address(page, "find_topic=lowshot")
    page.click("#faces-clear")
    wait_for_match(page, "#faces-find-status", "needs two classes")
    page.click("#faces-again")
    wait_for_match(page, "#faces-find-status", "of 5 classes.*named right")
