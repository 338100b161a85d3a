"""One pass and the GAN corner in a real browser: sliders, styles, videos, Stop, the webcam, the pen, the address."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.browser.driving import (
    panned_clip,
    set_slider,
    settled,
    shown,
    skip_without_models,
    wait_for_address,
    wait_for_redraw,
    wait_for_words,
)

pytestmark = pytest.mark.browser
RESULT, STATUS, PLANE, GAN = "#style-pass-result", "#style-pass-status", "#style-gan-plane", "#style-gan-status"


def opened(newcomer: Any, server: str, query: str = "", viewer: str = RESULT) -> Any:
    newcomer.page.goto(f"{server}?tab=style&{query}")
    newcomer.page.wait_for_selector(f"{viewer} .viewer.full")
    return newcomer.page


def test_sliders_run_the_decoder_and_networks_are_chosen(newcomer: Any, server: str, tmp_path: Path) -> None:
    skip_without_models("compact-adain", "fast-mosaic")
    page = opened(newcomer, server, "view=one-pass&pass_size=128&pass_strength=0.8")
    wait_for_words(page, STATUS, "strength 80%")
    count = settled(page, RESULT)
    set_slider(page, "Style strength", 0.4)
    wait_for_redraw(page, RESULT, count)
    wait_for_words(page, STATUS, "strength 40%")
    wait_for_address(page, "pass_strength=0.4")
    page.locator(f"{RESULT} .wipe input").evaluate(
        "(e) => { e.value = 50; e.dispatchEvent(new Event('input', {bubbles: true})); }"
    )
    assert page.locator(f"{RESULT} .edge").is_visible()
    page.get_by_role("radio", name="Mosaic").check()
    wait_for_words(page, STATUS, "feed-forward, style: mosaic")
    wait_for_address(page, "pass_network=mosaic")
    page.get_by_text("More: size, scale of the style").click()
    with page.expect_download() as waiting:
        page.click("#style-pass-save")
    assert waiting.value.suggested_filename.endswith("-mosaic.png")
    waiting.value.save_as(tmp_path / "made.png")
    assert (tmp_path / "made.png").read_bytes().startswith(b"\x89PNG")
    assert newcomer.errors == []


def test_a_video_is_stylised_or_stopped(newcomer: Any, server: str, crowd: np.ndarray, tmp_path: Path) -> None:
    skip_without_models("fast-waves")
    page = opened(newcomer, server, "view=one-pass&pass_network=waves&pass_size=64")
    page.locator("#style").get_by_role("tab", name="Video", exact=True).click()
    page.set_input_files("#style-clip input[type=file]", panned_clip(tmp_path / "short.mp4", crowd, 5))
    page.wait_for_selector("#style-clip video")
    page.click("#style-run-video")
    page.wait_for_selector("#style-pass-clip video")
    wait_for_words(page, STATUS, "5 frames")
    wait_for_words(page, STATUS, "smoothed")
    page.locator("#style-clip").get_by_role("button", name="Clear").click()
    page.set_input_files("#style-clip input[type=file]", panned_clip(tmp_path / "long.mp4", crowd, 400))
    page.wait_for_selector("#style-clip video")
    page.click("#style-run-video")
    page.wait_for_selector(f"{STATUS} progress")
    page.click("#style-stop")
    wait_for_words(page, STATUS, "Stopped")
    assert newcomer.errors == []


def test_the_webcam_is_stylised(newcomer: Any, server: str) -> None:
    skip_without_models("fast-waves")
    page = opened(newcomer, server, "view=one-pass&pass_network=waves&pass_size=64")
    page.locator("#style").get_by_role("tab", name="Live", exact=True).click()
    page.locator("#style-camera").get_by_text("Click to Access Webcam").click()
    count = shown(page, RESULT)
    page.click("#style-camera .capture-button")
    wait_for_redraw(page, RESULT, count + 2)
    wait_for_words(page, STATUS, "smoothed over time by 70%")
    wait_for_words(page, "#style-live", "frames a second")
    page.locator("#style").get_by_role("tab", name="Picture", exact=True).click()
    wait_for_words(page, STATUS, "slider")
    assert newcomer.errors == []


def test_the_gan_corner(newcomer: Any, server: str) -> None:
    page = opened(newcomer, server, "view=gan&gan_shape=spiral&gan_hidden=8&gan_batch=16", PLANE)
    assert page.locator("#style-gan-shape").get_by_role("radio", name="Spiral").is_checked()
    wait_for_words(page, GAN, "Nothing is learnt yet")
    page.click("#style-gan-step")
    wait_for_words(page, GAN, "Step 1:")
    page.click("#style-gan-play")
    count = shown(page, PLANE)
    wait_for_redraw(page, PLANE, count + 2)
    page.click("#style-gan-pause")
    page.wait_for_selector("#style-gan-curves svg.plot")
    wait_for_words(page, GAN, "Step ")
    page.click("#style-gan-clear")
    wait_for_words(page, GAN, "Draw real points")
    box = page.locator(f"{PLANE} .viewer").bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.3 * box["height"], steps=8)
    page.mouse.up()
    wait_for_words(page, GAN, "Nothing is learnt yet")
    drawn = int(re.search(r"(\d+) real points", page.inner_text(GAN))[1])
    page.locator(f"{PLANE} .viewer").press("ArrowDown")
    page.locator(f"{PLANE} .viewer").press("Enter")
    wait_for_words(page, GAN, f"{drawn + 8} real points")
    page.locator("#style-gan-shape").get_by_role("radio", name="Two moons").check()
    wait_for_address(page, "gan_shape=two+moons")
    wait_for_words(page, GAN, "400 real points")
    assert newcomer.errors == []
