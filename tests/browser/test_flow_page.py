"""The Flow tab in a real browser: a pair at once, sliders that run nothing, views, files, clips, Stop, the webcam."""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.browser import driving
from tests.browser.driving import (
    open_tab,
    panned_clip,
    runs_of,
    set_slider,
    shown,
    wait_for_address,
    wait_for_redraw,
    wait_for_words,
    words,
)

pytestmark = pytest.mark.browser
open_mode = partial(driving.open_mode, "flow")
open_view = partial(driving.open_view, "flow")


@pytest.fixture
def tab(newcomer: Any, server: str) -> Any:
    """A visitor whose address names the tab."""
    return open_tab(newcomer, server, "flow")


def test_the_example_is_there_at_once_and_sliders_run_nothing(tab: Any) -> None:
    page = tab.page
    assert "EPE" in words(page, "#flow-status")
    before, count = runs_of(page), shown(page, "#flow-result")
    set_slider(page, "Full colour", 60)
    wait_for_redraw(page, "#flow-result", count)
    wait_for_address(page, "flow_maximum=60")
    for look, text in (("Warp error", "Warp error"), ("Occlusion", "no partner"), ("Arrows", "Mean motion")):
        page.get_by_role("radio", name=look).check()
        wait_for_words(page, "#flow-status", text)
    page.get_by_role("radio", name="Warped frame").check()
    page.wait_for_selector("#flow-result .viewer.double")
    wait_for_address(page, "flow_view=warped")
    page.locator("#flow-result .swap .step").click()
    page.wait_for_selector("#flow-result .viewer.second")
    page.locator("#flow-result .swap .run").check()
    page.wait_for_selector("#flow-result .viewer:not(.second)")
    page.wait_for_selector("#flow-result .viewer.second")
    assert runs_of(page) == before
    assert tab.errors == []
    assert tab.foreign == []


def test_the_address_restores_view_pair_and_controls(newcomer: Any, server: str) -> None:
    page = newcomer.page
    page.goto(f"{server}?tab=flow&example=disc&flow_view=arrows&flow_maximum=35&model=dis-fast")
    page.wait_for_selector("#flow-result .viewer.full")
    assert page.get_by_role("radio", name="Arrows").is_checked()
    assert page.get_by_role("slider", name=re.compile("Full colour")).first.input_value() == "35"
    wait_for_words(page, "#flow-status", "in different directions")
    assert newcomer.errors == []


def test_methods_are_compared_on_one_pair(newcomer: Any, server: str, tmp_path: Path) -> None:
    page = newcomer.page
    page.goto(f"{server}?tab=flow&view=compare&example=disc")
    wait_for_words(page, "#flow-compare-status", "most exact")
    assert page.locator("#flow-compare-panels img").count() >= 4
    before = runs_of(page)
    page.click("#flow-truth-forget")
    wait_for_words(page, "#flow-compare-status", "smallest warp error")
    for name, content in (("empty.flo", b""), ("text.flo", b"hello"), ("cut.flo", b"PIEH" + b"\x10\0\0\0\x10\0\0\0")):
        path = tmp_path / name
        path.write_bytes(content)
        with page.expect_file_chooser() as choosing:
            page.click("#flow-truth-file")
        choosing.value.set_files(path)
        page.wait_for_function(
            "name => document.querySelector('#flow-compare-status .problem')?.innerText.includes(name)", arg=name
        )
    truth = Path(__file__).parents[2] / "assets" / "examples" / "flow-disc-truth.png"
    with page.expect_file_chooser() as choosing:
        page.click("#flow-truth-file")
    choosing.value.set_files(truth)
    wait_for_words(page, "#flow-compare-status", "most exact")
    assert runs_of(page) == before, "every method has seen this pair"
    assert newcomer.errors == []


def test_a_synthetic_pair_becomes_the_input(newcomer: Any, server: str) -> None:
    page = newcomer.page
    page.goto(f"{server}?tab=flow&view=synthetic&scene_seed=7&scene_motion=12")
    page.wait_for_function("() => document.querySelectorAll('#flow-synthetic-panels img').length === 6")
    first = words(page, "#flow-synthetic-status")
    assert "saying that nothing moves" in first
    page.click("#flow-synthetic-next")
    page.wait_for_function(
        "text => document.querySelector('#flow-synthetic-status .sentence').innerText !== text", arg=first
    )
    page.click("#flow-synthetic-take")
    wait_for_words(page, "#flow-synthetic-status", "input pair now")
    open_view(page, "Flow")
    wait_for_words(page, "#flow-status", "EPE")
    open_view(page, "Compare")
    wait_for_words(page, "#flow-compare-panels", "generated, scene 8")
    assert newcomer.errors == []


def test_the_lecture_corner(newcomer: Any, server: str) -> None:
    page = newcomer.page
    page.goto(f"{server}?tab=flow&view=lecture")
    wait_for_words(page, "#flow-lecture-status", "only its part across the stripes")
    page.get_by_role("radio", name="Motion from one blurred picture").check()
    wait_for_words(page, "#flow-lecture-status", "off by")
    wait_for_address(page, "lecture_topic=blur")
    set_slider(page, "Angle", 80)
    wait_for_words(page, "#flow-lecture-status", "at 80°")
    page.get_by_role("radio", name="Lucas-Kanade tracks").check()
    wait_for_words(page, "#flow-lecture-status", "corners followed")
    assert newcomer.errors == []


def test_lesson_buttons_open_what_they_name(tab: Any) -> None:
    page = tab.page
    open_view(page, "Lesson")
    page.get_by_role("button", name="Every direction at once").click()
    wait_for_words(page, "#flow-status", "in different directions")
    open_view(page, "Lesson")
    page.get_by_role("button", name="Was the flow right?").click()
    page.wait_for_selector("#flow-result .viewer.double")
    wait_for_address(page, "flow_view=warped")
    wait_for_words(page, "#flow-status", "Warp error")
    assert tab.errors == []


@pytest.mark.parametrize(
    ("button", "start"), [("PNG", b"\x89PNG"), (".flo", b"PIEH"), ("npy", b"\x93NUMPY"), ("JSON", b"{")]
)
def test_downloads(tab: Any, button: str, start: bytes, tmp_path: Path) -> None:
    page = tab.page
    page.locator("#flow").get_by_role("tab", name="Download", exact=True).click()
    with page.expect_download() as waiting:
        page.locator("#flow").get_by_role("button", name=button, exact=True).click()
    target = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(target)
    assert target.read_bytes().startswith(start)


def test_bad_and_missing_frames_are_explained_and_the_last_result_stays(tab: Any, tmp_path: Path) -> None:
    page = tab.page
    count = shown(page, "#flow-result")
    page.locator("#flow-second").get_by_role("button", name="Remove Image").click()
    path = tmp_path / "text.png"
    path.write_bytes(b"not a picture")
    wait_for_words(page, "#flow-status", "choose the second frame")
    page.set_input_files("#flow-second input[type=file]", path)
    wait_for_words(page, "#flow-status", "text.png")
    assert shown(page, "#flow-result") == count
    assert page.locator("#flow-result .viewer.full").count() == 1


def test_a_clip_in_colours_and_a_label_that_is_carried(
    newcomer: Any, server: str, crowd: np.ndarray, tmp_path: Path
) -> None:
    page = newcomer.page
    page.goto(f"{server}?tab=flow&view=clip&model=dis-fast")
    page.wait_for_selector("#flow-clip-status .sentence")
    open_mode(page, "Video")
    page.set_input_files("#flow-clip input[type=file]", panned_clip(tmp_path / "clip.mp4", crowd, 6))
    page.wait_for_selector("#flow-clip video")
    page.click("#flow-run-video")
    page.wait_for_selector("#flow-clip-result video")
    wait_for_words(page, "#flow-clip-status", "6 frames")
    before = runs_of(page)
    page.get_by_role("radio", name="Carry a label").check()
    page.click("#flow-run-video")
    wait_for_words(page, "#flow-clip-status", "drag a box")
    box = page.locator("#flow-clip-first img").bounding_box()
    x, y = box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.45
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 70, y + 60, steps=3)
    page.mouse.up()
    page.wait_for_selector("#flow-drift svg")
    wait_for_words(page, "#flow-clip-status", "carried through 6 frames")
    assert runs_of(page) == before, "the clip's flow is there already"
    assert newcomer.errors == []


def test_a_clip_can_be_stopped(newcomer: Any, server: str, crowd: np.ndarray, tmp_path: Path) -> None:
    page = newcomer.page
    page.goto(f"{server}?tab=flow&view=clip&model=farneback")
    page.wait_for_selector("#flow-clip-status .sentence")
    open_mode(page, "Video")
    page.set_input_files("#flow-clip input[type=file]", panned_clip(tmp_path / "long.mp4", crowd, 800))
    page.wait_for_selector("#flow-clip video")
    page.click("#flow-run-video")
    page.wait_for_selector("#flow-clip-status progress")
    page.click("#flow-stop")
    wait_for_words(page, "#flow-clip-status", "Stopped")
    assert page.locator("#flow-clip-result video").count() == 0


def test_the_webcam_is_held_against_its_previous_capture(tab: Any) -> None:
    page = tab.page
    open_mode(page, "Live")
    page.locator("#flow-camera").get_by_text("Click to Access Webcam").click()
    count = shown(page, "#flow-result")
    page.click("#flow-camera .capture-button")
    wait_for_redraw(page, "#flow-result", count + 5)
    wait_for_words(page, "#flow-live", "frames a second")
    open_view(page, "Compare")
    wait_for_words(page, "#flow-live", "does not follow the camera")
    open_mode(page, "Picture")  # leaving the mode ends the stream
    page.wait_for_selector("#flow-camera [title='start recording']", state="attached")
    assert tab.errors == []
    assert tab.foreign == []


def test_the_scrubber_walks_through_refinements_without_a_second_run(
    newcomer: Any, server: str, repository: Path
) -> None:
    folder = Path(os.environ.get("CVDEMO_WEIGHTS") or repository / "weights")
    if not (folder / "compact_raft.safetensors").is_file():
        pytest.skip("there are no weights of compact_raft.safetensors")
    page = newcomer.page
    page.goto(f"{server}?tab=flow&example=disc&model=compact-raft")
    page.wait_for_selector("#flow-result .viewer.full")
    before, count = runs_of(page), shown(page, "#flow-result")
    set_slider(page, "Refinement", 1)
    wait_for_redraw(page, "#flow-result", count)
    wait_for_words(page, "#flow-status", "after 1 of 13 refinements")
    page.locator("#flow").get_by_role("tab", name="Refinements", exact=True).click()
    wait_for_words(page, "#flow-refinements", "Refinement 1 of 13: mean endpoint error")
    wait_for_address(page, "flow_iteration=1")
    set_slider(page, "Refinement", 0)
    wait_for_words(page, "#flow-refinements", "Refinement 13 of 13, the variational one: mean endpoint error")
    page.get_by_text("More: arrows, occlusion check").click()
    page.get_by_label("Variational refinement").locator("visible=true").click()
    page.get_by_role("option", name="off").click()
    wait_for_words(page, "#flow-refinements", "Refinement 12 of 12: mean endpoint error")
    assert runs_of(page) == before
    assert newcomer.errors == []
