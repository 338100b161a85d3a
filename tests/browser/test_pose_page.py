"""The Pose tab in a real browser: views, sliders without the network, the mouse on a heatmap, video, Stop, webcam."""

from __future__ import annotations

import itertools
import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.browser import driving
from tests.browser.driving import (
    missing_weights,
    open_tab,
    panned_clip,
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
open_mode = partial(driving.open_mode, "pose")
open_view = partial(driving.open_view, "pose")

WEIGHTS = ("compact_detector", "compact_pose")
TWO_STAGE_WEIGHTS = ("compact_pose_regression", "compact_pose_hourglass")


@pytest.fixture
def stranger(newcomer: Any, repository: Path) -> Any:
    """A visitor who has not opened any page yet; skips where the tab's models are missing."""
    skip_without(repository, *WEIGHTS)
    return newcomer


@pytest.fixture
def tab(stranger: Any, server: str) -> Any:
    """A visitor whose address names the tab."""
    return open_tab(stranger, server, "pose")


def test_the_example_is_there_at_once_and_sliders_need_no_network(tab: Any) -> None:
    page = tab.page
    assert re.match(r"\d+ (people|person)", words(page, "#pose-status"))
    before, count = runs_of(page), shown(page, "#pose-result")
    set_slider(page, "Joint confidence", 1.0)  # no score is above it
    page.wait_for_function("() => /\\b0 of 17 joints/.test(document.querySelector('#pose-status').innerText)")
    wait_for_address(page, "joint_threshold=1")
    set_slider(page, "Joint confidence", 0.01)
    wait_for_redraw(page, "#pose-result", count)
    set_slider(page, "Person score", 1.0)
    wait_for_words(page, "#pose-status", "No person was found")
    set_slider(page, "Person score", 0.3)
    page.wait_for_function("() => /^[0-9]+ (people|person)/.test(document.querySelector('#pose-status').innerText)")
    assert runs_of(page) == before
    wait_for_address(page, "joint_threshold=0.01")
    assert tab.errors == []
    assert tab.foreign == []


def test_the_address_restores_view_and_controls(stranger: Any, server: str) -> None:
    page = stranger.page
    page.goto(f"{server}?tab=pose&view=heatmap&example=portrait&look=cover&left=10&fill=black")
    page.wait_for_selector("#pose-heatmap .viewer.full.paint")
    assert page.get_by_role("radio", name="Cover a part").is_checked()
    assert page.get_by_role("slider", name=re.compile("Left")).input_value() == "10"
    assert page.locator("#pose-two-stage").is_hidden()


def test_the_mouse_chooses_joints_and_covers_parts(stranger: Any, server: str) -> None:
    page = stranger.page
    page.goto(f"{server}?tab=pose&view=heatmap&example=portrait")
    page.wait_for_selector("#pose-heatmap .viewer.full")
    wait_for_words(page, "#pose-heatmap-table", "sub-pixel")
    before = runs_of(page)
    box = page.locator("#pose-heatmap img").bounding_box()
    first = page.get_by_label("Joint", exact=True).input_value()
    page.evaluate("document.addEventListener('said', event => { window.lastJoint = event.detail.joint; }, true)")
    for across, down in itertools.product(range(8, 95, 4), range(8, 95, 6)):
        page.mouse.move(box["x"] + box["width"] * across / 100, box["y"] + box["height"] * down / 100)
        if page.evaluate("window.lastJoint || 0"):  # 0 is the nose, which is shown already
            break
    page.wait_for_function(
        "first => [...document.querySelectorAll('#pose input[aria-label=\"Joint\"]')].some(e => e.value !== first)",
        arg=first,
    )
    assert runs_of(page) == before, "heatmaps are there already"
    page.get_by_role("radio", name="Cover a part").click()
    page.wait_for_selector("#pose-heatmap .viewer.paint")
    wait_for_words(page, "#pose-heatmap-caption", "White crosses")
    middle_x, middle_y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    count = shown(page, "#pose-heatmap")
    page.mouse.move(middle_x - 60, middle_y - 60)
    page.mouse.down()
    page.mouse.move(middle_x + 40, middle_y + 30, steps=3)
    page.mouse.up()
    wait_for_redraw(page, "#pose-heatmap", count)
    painted = page.get_by_role("slider", name=re.compile("Left")).input_value()
    assert painted != "30"
    page.mouse.click(middle_x - 40, middle_y - 80)
    wait_for_words(page, "#pose-heatmap-status", "opposite corner")
    count = shown(page, "#pose-heatmap")
    page.mouse.click(middle_x + 50, middle_y + 20)
    wait_for_redraw(page, "#pose-heatmap", count)
    assert page.get_by_role("slider", name=re.compile("Left")).input_value() != painted
    assert runs_of(page) > before, "covering runs the network"
    assert stranger.errors == []


def test_stages_and_kinds_run_once_and_are_remembered(stranger: Any, server: str, repository: Path) -> None:
    skip_without(repository, *TWO_STAGE_WEIGHTS)
    page = stranger.page
    page.goto(f"{server}?tab=pose&view=heatmap&example=portrait&look=stages")
    wait_for_words(page, "#pose-heatmap-caption", "after stage 1")
    page.get_by_role("radio", name="Regression and heatmap").click()
    wait_for_words(page, "#pose-heatmap-caption", "Left: regression")
    before = runs_of(page)
    page.get_by_role("radio", name="Stage 1 and stage 2").click()
    wait_for_words(page, "#pose-heatmap-caption", "after stage 1")
    assert runs_of(page) == before
    assert stranger.errors == []


def test_looks_whose_model_is_missing_show_the_person_and_say_why(stranger: Any, server: str, repository: Path) -> None:
    missing = missing_weights(repository, *TWO_STAGE_WEIGHTS)
    if len(missing) < len(TWO_STAGE_WEIGHTS):
        pytest.skip("the weights of the lecture's models are there")
    page = stranger.page
    page.goto(f"{server}?tab=pose&view=heatmap&example=portrait&look=stages")
    page.wait_for_selector("#pose-heatmap .viewer.full")
    wait_for_words(page, "#pose-heatmap-status", "compact_pose_hourglass.safetensors")
    page.get_by_role("radio", name="Regression and heatmap").click()
    wait_for_words(page, "#pose-heatmap-status", "compact_pose_regression.safetensors")
    wait_for_words(page, "#pose-heatmap-caption", "nothing to compare it with")
    page.get_by_role("radio", name="One joint's heatmap").click()
    wait_for_words(page, "#pose-heatmap-status", "peak")
    page.get_by_label("Model (runs the network again)").and_(page.locator("#pose input")).click()
    options = page.get_by_role("option").all_inner_texts()
    assert sum("its file is missing" in option for option in options) == len(TWO_STAGE_WEIGHTS)
    assert not any("ships with cvdemo" in option and "missing" in option for option in options)
    assert stranger.errors == []


def test_ground_truth_stand_in_and_bad_files(tab: Any, tmp_path: Path) -> None:
    page = tab.page
    set_slider(page, "Joint confidence", 0.01)
    open_view(page, "Ground truth")
    wait_for_words(page, "#pose-truth-status", "COCO keypoints json")
    for name, content in (("empty.json", b""), ("list.json", b"[]"), ("picture.json", b"\xff\xd8\xff")):
        path = tmp_path / name
        path.write_bytes(content)
        with page.expect_file_chooser() as choosing:
            page.click("#pose-truth-upload")
        choosing.value.set_files(path)
        page.wait_for_function(
            "name => document.querySelector('#pose-truth-status .problem')?.innerText.includes(name)", arg=name
        )
    page.click("#pose-truth-stand-in")
    page.wait_for_function("() => /PCK@0.2 100 %/.test(document.querySelector('#pose-truth-status').innerText)")
    page.click("#pose-truth-forget")
    wait_for_words(page, "#pose-truth-status", "COCO keypoints json")
    assert tab.errors == []


def test_lesson_buttons_open_what_they_name(tab: Any) -> None:
    page = tab.page
    open_view(page, "Lesson")
    page.get_by_role("button", name="Cover the face").click()
    page.wait_for_selector("#pose-heatmap .viewer.full.paint")
    wait_for_address(page, "look=cover")
    open_view(page, "Lesson")
    page.get_by_role("button", name="How exact are people?").click()
    page.wait_for_function("() => document.querySelector('#pose-status').offsetParent !== null")
    wait_for_address(page, "show_oks=true")
    assert tab.errors == []


@pytest.mark.parametrize(("button", "ending"), [("PNG", "png"), ("COCO keypoints JSON", "json"), ("CSV", "csv")])
def test_downloads(tab: Any, button: str, ending: str, tmp_path: Path) -> None:
    page = tab.page
    page.locator("#pose").get_by_role("tab", name="Download", exact=True).click()
    with page.expect_download() as waiting:
        page.locator("#pose").get_by_role("button", name=button, exact=True).click()
    target = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(target)
    content = target.read_bytes()
    assert target.suffix == f".{ending}"
    if ending == "png":
        assert content.startswith(b"\x89PNG")
    elif ending == "json":
        assert {"images", "annotations", "categories"} <= set(json.loads(content))
    else:
        assert content.startswith(b"person,joint,x,y,score,visible")


def test_bad_pictures_are_explained_and_the_last_result_stays(tab: Any, tmp_path: Path) -> None:
    page = tab.page
    count = shown(page, "#pose-result")
    page.locator("#pose").get_by_role("button", name="Remove Image").click()
    path = tmp_path / "text.png"
    path.write_bytes(b"not a picture")
    page.set_input_files("#pose-picture input[type=file]", path)
    wait_for_words(page, "#pose-status", "text.png")
    assert shown(page, "#pose-result") == count
    assert page.locator("#pose-result .viewer.full").count() == 1


def test_a_video_is_analysed_once_for_both_views(tab: Any, crowd: np.ndarray, tmp_path: Path) -> None:
    page = tab.page
    open_mode(page, "Video")
    page.set_input_files("#pose-clip input[type=file]", panned_clip(tmp_path / "clip.mp4", crowd, 8))
    page.wait_for_selector("#pose-clip video")
    page.click("#pose-run-video")
    page.wait_for_selector("#pose-result-clip video")
    wait_for_words(page, "#pose-status", "8 network runs")
    open_view(page, "Angles")
    page.click("#pose-run-video")
    wait_for_words(page, "#pose-angles-status", "without the network")
    page.wait_for_selector("#pose-angles-plot svg, #pose-angles-plot .hint")
    if page.locator("#pose-angles-plot svg").count():
        with page.expect_download() as waiting:
            page.click("#pose-angles-csv")
        waiting.value.save_as(tmp_path / "angles.csv")
        assert (tmp_path / "angles.csv").read_text().startswith("time,person,left_elbow")
        before = runs_of(page)
        set_slider(page, "Bent below", 60)
        wait_for_words(page, "#pose-angles-plot", "bent below 60")
        assert runs_of(page) == before
    assert tab.errors == []


def test_a_video_can_be_stopped(tab: Any, crowd: np.ndarray, tmp_path: Path) -> None:
    page = tab.page
    open_mode(page, "Video")
    page.set_input_files("#pose-clip input[type=file]", panned_clip(tmp_path / "long.mp4", crowd, 300))
    page.wait_for_selector("#pose-clip video")
    page.click("#pose-run-video")
    page.wait_for_selector("#pose-status progress")
    page.click("#pose-stop")
    wait_for_words(page, "#pose-status", "Stopped")
    assert page.locator("#pose-result-clip video").count() == 0
    open_mode(page, "Picture")
    page.wait_for_function("() => /people|person/.test(document.querySelector('#pose-status').innerText)")


def test_the_webcam_feeds_the_view_that_is_open(tab: Any) -> None:
    page = tab.page
    open_mode(page, "Live")
    page.locator("#pose-camera").get_by_text("Click to Access Webcam").click()
    count = shown(page, "#pose-result")
    page.click("#pose-camera .capture-button")
    wait_for_redraw(page, "#pose-result", count + 5)
    wait_for_words(page, "#pose-live", "frames a second")
    open_view(page, "Angles")
    wait_for_redraw(page, "#pose-angles-result", 3)
    page.wait_for_selector("#pose-angles-plot svg, #pose-angles-plot .hint")
    open_view(page, "Heatmap")
    wait_for_redraw(page, "#pose-heatmap", 3)
    open_view(page, "Ground truth")
    wait_for_words(page, "#pose-live", "does not follow the camera")
    open_mode(page, "Picture")  # leaving the mode ends the stream
    page.wait_for_selector("#pose-camera [title='start recording']", state="attached")
    assert tab.errors == []
    assert tab.foreign == []
