"""The Detection tab in a real browser: examples, sliders without the network, files, the webcam, bad input."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cvdemo.core.media import save_picture
from tests.browser.driving import runs_of, set_slider, shown, wait_for_redraw, words

pytestmark = pytest.mark.browser
RESULT = "#detection-result"
sentence = partial(words, place="#detection-status")


def timing(page: Any) -> str:
    return page.inner_text("#detection-status .timing")


def test_opens_on_a_computed_example(visit: Any) -> None:
    assert re.search(r"\d+ (people|person)", sentence(visit.page))
    assert "network" in timing(visit.page)
    assert visit.page.get_attribute("#detection-result img", "alt") == sentence(visit.page)
    assert visit.page.locator("#detection-table tbody tr").count() >= 1
    assert visit.page.evaluate("window.gradio_config.dependencies.constructor.name") == "Unwrapped"  # by early.js
    assert visit.errors == []
    assert visit.foreign == []


def test_sliders_redraw_without_running_the_network(visit: Any) -> None:
    page = visit.page
    before = runs_of(page)
    first = sentence(page)
    count = shown(page, RESULT)
    set_slider(page, "Score threshold", 0.05)
    wait_for_redraw(page, RESULT, count)
    page.wait_for_function("old => document.querySelector('#detection-status .sentence').innerText !== old", arg=first)
    count = shown(page, RESULT)
    set_slider(page, "IoU threshold", 0.95)
    wait_for_redraw(page, RESULT, count)
    count, lenient = shown(page, RESULT), timing(page)
    page.get_by_label(re.compile("Suppression")).click()
    page.get_by_role("option", name="none").click()
    wait_for_redraw(page, RESULT, count)
    page.wait_for_function("old => document.querySelector('#detection-status .timing').innerText !== old", arg=lenient)
    assert runs_of(page) == before
    address = page.url
    assert "score_threshold=0.05" in address
    assert "iou_threshold=0.95" in address
    assert "nms_kind=none" in address
    assert visit.errors == []


def test_the_address_restores_the_controls(newcomer: Any, server: str) -> None:
    page = newcomer.page
    page.goto(f"{server}?score_threshold=0.9&nms_kind=soft-gaussian&classes=dog&example=portrait&model=nonsense")
    page.wait_for_selector("#detection-result .viewer.full")
    assert page.get_by_role("slider", name=re.compile("Score threshold")).input_value() == "0.9"
    assert page.get_by_label(re.compile("Suppression")).input_value() == "soft-gaussian"
    assert sentence(page) == "No objects above the score threshold"


def test_lesson_buttons_set_the_controls(visit: Any) -> None:
    page = visit.page
    page.get_by_role("tab", name="Lesson").click()
    count = shown(page, RESULT)
    page.get_by_role("button", name="Show every candidate").click()
    wait_for_redraw(page, RESULT, count)
    assert page.get_by_role("slider", name=re.compile("Score threshold")).input_value() == "0.05"
    assert "nms_kind=none" in page.url


def test_bad_files_are_explained_and_nothing_is_lost(visit: Any, tmp_path: Path) -> None:
    page = visit.page
    count = shown(page, RESULT)
    page.get_by_role("button", name="Remove Image").click()
    for name, content in (("empty.jpg", b""), ("text.png", b"not a picture"), ("cut.jpg", b"\xff\xd8\xff\xe0\0\x10JF")):
        path = tmp_path / name
        path.write_bytes(content)
        page.set_input_files("#detection-picture input[type=file]", path)
        page.wait_for_function(
            "name => document.querySelector('#detection-status .problem')?.innerText.includes(name)", arg=name
        )
        page.get_by_role("button", name="Remove Image").click()
    assert shown(page, RESULT) == count  # the last good result is still there
    assert page.locator("#detection-result .viewer.full").count() == 1
    good = tmp_path / "good.png"
    save_picture(good, np.full((40, 60, 3), 200, np.uint8))
    page.set_input_files("#detection-picture input[type=file]", good)
    page.wait_for_selector("#detection-status .sentence")
    wait_for_redraw(page, RESULT, count)


@pytest.mark.parametrize("kind", ["png", "json", "csv"])
def test_downloads(visit: Any, kind: str, tmp_path: Path) -> None:
    page = visit.page
    page.get_by_role("tab", name="Download").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name=kind.upper(), exact=True).click()
    target = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(target)
    assert target.name == f"crowd-detections.{kind}"
    content = target.read_bytes()
    if kind == "png":
        assert content.startswith(b"\x89PNG")
    else:
        assert b"person" in content


def test_video_file_is_annotated_and_redrawn_without_the_network(visit: Any, tmp_path: Path) -> None:
    from cvdemo.core.video import VideoWriter, probe_video
    from cvdemo.ui.examples import compose_crowd, load_portrait

    portrait = load_portrait()
    assert portrait is not None
    scene = compose_crowd(portrait)
    clip = tmp_path / "clip.mp4"
    with VideoWriter(clip, 10, (320, 240)) as writer:
        for shift in range(0, 120, 10):
            writer.write(np.ascontiguousarray(scene[300:540, shift + 300 : shift + 620]))
    page = visit.page
    page.get_by_role("tab", name="Video").click()
    page.set_input_files("#detection-clip input[type=file]", clip)
    page.wait_for_selector("#detection-clip video")
    page.click("#detection-run-video")
    page.wait_for_selector("#detection-result-clip video")
    assert sentence(page).startswith("12 frames")
    assert "12 network runs" in timing(page)
    source = page.get_attribute("#detection-result-clip video", "src")
    assert source
    made = tmp_path / "made.mp4"
    made.write_bytes(page.request.get(source).body())
    info = probe_video(made)
    assert (info.codec, info.width, info.height, info.frames) == ("h264", 320, 240, 12)
    page.click("#detection-run-video")
    page.wait_for_function(
        "() => document.querySelector('#detection-status').innerText.includes('without the network')"
    )
    assert visit.errors == []


def test_webcam_shows_boxes_live(visit: Any) -> None:
    page = visit.page
    page.get_by_role("tab", name="Live").click()
    page.get_by_text("Click to Access Webcam").click()
    count = shown(page, RESULT)
    page.click("#detection-camera .capture-button")
    wait_for_redraw(page, RESULT, count + 20)
    assert "frames a second" in timing(page)
    before = sentence(page), shown(page, RESULT)
    set_slider(page, "Score threshold", 0.99)
    page.wait_for_function(
        "() => document.querySelector('#detection-status .sentence').innerText.startsWith('No objects')"
    )
    set_slider(page, "Score threshold", 0.2)
    page.wait_for_function(
        "() => /person|people/.test(document.querySelector('#detection-status .sentence').innerText)"
    )
    assert shown(page, RESULT) > before[1]
    print("live:", timing(page))
    page.get_by_role("tab", name="Picture").click()  # leaving the mode ends the stream
    page.wait_for_selector("#detection-camera [title='start recording']", state="attached")
    assert visit.errors == []
    assert visit.foreign == []


def test_an_unavailable_model_says_what_to_do_and_coming_back_needs_no_network(visit: Any) -> None:
    page = visit.page
    first, before = sentence(page), runs_of(page)
    page.get_by_label(re.compile("Model \\(runs")).click()
    option = page.get_by_role("option", name=re.compile("FCOS.*offline"))
    option.click()
    page.wait_for_selector("#detection-status .problem")
    assert "fcos_resnet50_fpn" in sentence(page)
    assert "weights" in sentence(page)
    assert "model=fcos_resnet50_fpn" in page.url
    page.get_by_label(re.compile("Model \\(runs")).click()
    page.get_by_role("option", name=re.compile("Compact detector")).click()
    page.wait_for_selector("#detection-status .timing")
    assert sentence(page) == first
    assert runs_of(page) == before
    assert visit.errors == []


def test_a_video_can_be_stopped(visit: Any, tmp_path: Path) -> None:
    from cvdemo.core.video import VideoWriter

    clip = tmp_path / "long.mp4"
    with VideoWriter(clip, 25, (320, 240)) as writer:
        for step in range(400):
            writer.write(np.full((240, 320, 3), step % 250, np.uint8))
    page = visit.page
    page.get_by_role("tab", name="Video").click()
    page.set_input_files("#detection-clip input[type=file]", clip)
    page.wait_for_selector("#detection-clip video")
    page.click("#detection-run-video")
    page.wait_for_selector("#detection-status progress")
    page.click("#detection-stop")
    page.wait_for_function("() => document.querySelector('#detection-status').innerText.startsWith('Stopped')")
    assert page.locator("#detection-result-clip video").count() == 0
    page.get_by_role("tab", name="Picture").click()
    page.wait_for_function("() => /people|person/.test(document.querySelector('#detection-status').innerText)")


def test_the_camera_hint_shows_only_where_the_camera_is_refused(browser: Any, visit: Any, server: str) -> None:
    assert not visit.page.locator("#secure-hint p").is_visible()
    port = server.rsplit(":", 1)[1]
    page = visit.page.context.new_page()
    page.goto(f"http://classroom.test:{port}")  # resolved to this machine, but not a secure context
    page.wait_for_selector("#secure-hint p", state="visible")
    assert "--ssl-certfile" in page.inner_text("#secure-hint p")
