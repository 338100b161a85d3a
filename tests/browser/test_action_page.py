"""The Action tab in a real browser: sliders and windows without the network, motion test, bad videos, Stop, webcam."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
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
    skip_without,
    wait_for_address,
    wait_for_redraw,
    wait_for_words,
    words,
)

pytestmark = pytest.mark.browser
open_mode = partial(driving.open_mode, "action")
open_view = partial(driving.open_view, "action")

WEIGHTS = ("compact_detector", "compact_action")


@pytest.fixture
def stranger(newcomer: Any, repository: Path) -> Any:
    """A visitor who has not opened any page yet; skips where the tab's model is missing."""
    skip_without(repository, *WEIGHTS)
    return newcomer


@pytest.fixture
def tab(stranger: Any, server: str) -> Any:
    """A visitor whose address names the tab."""
    return open_tab(stranger, server, "action")


def run_video(page: Any, path: Path) -> None:
    open_mode(page, "Video")
    page.set_input_files("#action-clip input[type=file]", path)
    page.wait_for_selector("#action-clip video")
    page.click("#action-run-video")


def test_the_example_is_there_at_once_and_sliders_need_no_network(tab: Any) -> None:
    page = tab.page
    assert "going by one picture" in words(page, "#action-status")
    assert page.locator("#action-bars li").count() == 6, "five actions and the others"
    assert page.locator("#action-strip img").count() > 1
    before = runs_of(page)
    set_slider(page, "Actions shown", 2)
    page.wait_for_function("() => document.querySelectorAll('#action-bars li').length === 3")
    wait_for_address(page, "top_k=2")
    first = page.inner_text("#action-bars li:first-child .value")
    set_slider(page, "Temperature", 10)
    page.wait_for_function(
        "first => document.querySelector('#action-bars li .value').innerText !== first", arg=first
    )  # fmt: skip
    set_slider(page, "Sure from", 1.0)
    wait_for_words(page, "#action-status", "Not sure")
    assert runs_of(page) == before
    assert tab.errors == []
    assert tab.foreign == []


def test_the_address_restores_view_and_controls(stranger: Any, server: str) -> None:
    page = stranger.page
    page.goto(f"{server}?tab=action&view=motion&example=crowd&motion_factor=5&motion_seed=7")
    page.wait_for_selector("#action-motion-table table")
    # The parts of one answer appear one after the other.
    wait_for_words(page, "#action-motion-table", "every 5th frame")
    wait_for_words(page, "#action-motion-status", "Nothing moves")
    assert page.get_by_role("slider", name=re.compile("Stride")).input_value() == "5"
    assert page.get_by_role("slider", name=re.compile("Shuffle number")).input_value() == "7"
    assert stranger.errors == []


def test_lesson_buttons_open_what_they_name(tab: Any) -> None:
    page = tab.page
    open_view(page, "Lesson")
    page.get_by_role("button", name="Shuffle, freeze, reverse").click()
    page.wait_for_selector("#action-motion-table table")
    open_view(page, "Lesson")
    page.get_by_role("button", name="Less sure, more actions").click()
    page.wait_for_function("() => document.querySelectorAll('#action-bars li').length === 9")
    wait_for_address(page, "temperature=3")
    assert tab.errors == []


@pytest.mark.parametrize("ending", ["json", "csv"])
def test_downloads_of_a_picture(tab: Any, ending: str, tmp_path: Path) -> None:
    with tab.page.expect_download() as waiting:
        tab.page.click(f"#action-{ending}")
    target = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(target)
    text = target.read_text()
    assert target.suffix == f".{ending}"
    if ending == "json":
        assert {"clip", "model", "predictions", "settings"} <= set(json.loads(text))
    else:
        assert text.startswith("action,probability")


def test_a_video_is_seen_once_and_its_windows_are_inspected(tab: Any, crowd: np.ndarray, tmp_path: Path) -> None:
    page = tab.page
    run_video(page, panned_clip(tmp_path / "clip.mp4", crowd, 60))
    page.wait_for_selector("#action-result-clip video")
    assert re.search(r"[1-9]\d* network runs", page.inner_text("#action-status"))
    before = runs_of(page)
    # Until the clip knows its size, what lies below it moves.
    page.wait_for_function("() => document.querySelector('#action-result-clip video').readyState >= 1")
    page.locator("#action-timeline .area").scroll_into_view_if_needed()
    box = page.locator("#action-timeline .area").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.click(box["x"] + 3, middle)
    wait_for_words(page, "#action-bars", "Window 1 of")
    assert page.locator("#action-timeline .chosen").count() == 1
    page.locator("#action-timeline .timeline").press("ArrowRight")
    wait_for_words(page, "#action-bars", "Window 2 of")
    page.mouse.move(box["x"] + 5, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 5, middle, steps=4)
    page.mouse.up()
    wait_for_words(page, "#action-bars", "averaged")
    wait_for_words(page, "#action-strip", "The middle frame of each window")
    set_slider(page, "Smoothing", 0)
    set_slider(page, "Actions shown", 1)
    page.wait_for_function("() => document.querySelectorAll('#action-timeline .line').length === 1")
    with page.expect_download() as waiting:
        page.click("#action-csv")
    waiting.value.save_as(tmp_path / "windows.csv")
    assert (tmp_path / "windows.csv").read_text().startswith("start,time,best,")
    assert runs_of(page) == before, "windows, smoothing and exports use scores that are there"
    page.click("#action-run-video")
    wait_for_words(page, "#action-status", "without the network")
    open_view(page, "Does it use motion?")
    page.click("#action-run-video")
    page.wait_for_selector("#action-motion-table tr[data-kind=reversed]")
    assert runs_of(page) > before
    assert tab.errors == []


def test_a_video_can_be_stopped_and_keeps_what_was_seen(tab: Any, crowd: np.ndarray, tmp_path: Path) -> None:
    page = tab.page
    run_video(page, panned_clip(tmp_path / "long.mp4", crowd, 1200))
    page.wait_for_function(
        "() => /Window (?:[3-9]|\\d\\d)/.test(document.querySelector('#action-status').innerText)"
    )  # fmt: skip
    page.click("#action-stop")
    wait_for_words(page, "#action-status", "Stopped")
    assert page.locator("#action-result-clip video").count() == 0
    page.wait_for_selector("#action-timeline .line")
    open_mode(page, "Picture")
    wait_for_words(page, "#action-status", "going by one picture")


def _audio_only(path: Path) -> None:
    import av

    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def _truncated(path: Path, crowd: np.ndarray) -> None:
    whole = panned_clip(path.with_name("whole.mp4"), crowd, 60).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


BAD: dict[str, Callable[[Path, np.ndarray], None]] = {
    "sound.mp4": lambda path, crowd: _audio_only(path),
    "empty.mp4": lambda path, crowd: path.write_bytes(b""),
    "text.mp4": lambda path, crowd: path.write_bytes(b"not a video"),
}


def test_bad_videos_are_explained_and_the_next_one_works(tab: Any, crowd: np.ndarray, tmp_path: Path) -> None:
    page = tab.page
    open_mode(page, "Video")
    for name, make in BAD.items():
        make(tmp_path / name, crowd)
        page.set_input_files("#action-clip input[type=file]", tmp_path / name)
        page.wait_for_selector("#action-clip video")
        page.click("#action-run-video")
        page.wait_for_function(
            "name => document.querySelector('#action-status .problem')?.innerText.includes(name)", arg=name
        )
        page.locator("#action-clip").get_by_role("button", name="Clear").first.click()
        page.wait_for_selector("#action-clip video", state="detached")
    _truncated(tmp_path / "cut.mp4", crowd)
    page.set_input_files("#action-clip input[type=file]", tmp_path / "cut.mp4")
    page.wait_for_selector("#action-clip video")
    page.click("#action-run-video")
    page.wait_for_selector("#action-result-clip video")
    wait_for_words(page, "#action-status", "damaged")
    assert page.locator("#action-status .problem").count() == 0, "what could be read is a result, not a problem"


def test_a_video_of_one_frame_is_one_window(tab: Any, crowd: np.ndarray, tmp_path: Path) -> None:
    page = tab.page
    run_video(page, panned_clip(tmp_path / "one.mp4", crowd, frames=1))
    page.wait_for_selector("#action-result-clip video")
    wait_for_words(page, "#action-status", "Window 1 of 1")
    wait_for_words(page, "#action-strip", "Nothing moves")
    assert tab.errors == []


def test_odd_sizes_are_looked_at(tab: Any, tmp_path: Path) -> None:
    import av

    path = tmp_path / "odd.avi"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 101, 75, "yuvj444p"
        for step in range(12):
            pixels = np.full((75, 101, 3), 20 * step, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(stream.encode(None))
    run_video(tab.page, path)
    tab.page.wait_for_selector("#action-result-clip video")
    wait_for_words(tab.page, "#action-status", "Window 1 of")
    assert tab.errors == []


def test_the_webcam_fills_a_clip_and_is_tested_for_motion(tab: Any) -> None:
    page = tab.page
    open_mode(page, "Live")
    page.locator("#action-camera").get_by_text("Click to Access Webcam").click()
    count = shown(page, "#action-result")
    page.click("#action-camera .capture-button")
    wait_for_redraw(page, "#action-result", count + 5)
    wait_for_words(page, "#action-live", "frames a second")
    wait_for_words(page, "#action-status", "clips a second")
    page.wait_for_function("() => /result [0-9.]+ s old/.test(document.querySelector('#action-status').innerText)")
    page.wait_for_function("() => document.querySelectorAll('#action-timeline .line').length > 0")
    assert page.locator("#action-strip img").count() > 1
    wait_for_words(page, "#action-strip", "now")
    open_view(page, "Does it use motion?")
    wait_for_words(page, "#action-motion-status", "The clip is full")
    page.click("#action-motion-test")
    page.wait_for_selector("#action-motion-table tr[data-kind=shuffled]")
    open_mode(page, "Picture")  # leaving the mode ends the stream
    page.wait_for_selector("#action-camera [title='start recording']", state="attached")
    assert tab.errors == []
    assert tab.foreign == []


def test_demonstrations_follow_their_sliders_without_a_network(stranger: Any, server: str) -> None:
    page = stranger.page
    page.goto(f"{server}?tab=action&view=pathways&example=portrait&path_padding=zeros")
    wait_for_words(page, "#action-pathways-inflation", "frames 1, 8")
    before = runs_of(page)
    set_slider(page, "Camera moves", 4)
    wait_for_words(page, "#action-pathways-inflation", "every frame")
    set_slider(page, "Frames of fast", 8)
    wait_for_words(page, "#action-pathways-status", "Slow: 2 of 16")
    open_view(page, "3-D convolution")
    page.wait_for_selector("#action-convolution-panel svg.taps")
    set_slider(page, "Stride in time", 2)
    wait_for_words(page, "#action-convolution-status", "of 4,")
    page.get_by_role("checkbox", name="Causal").check()
    wait_for_words(page, "#action-convolution-status", "no later frame")
    wait_for_address(page, "conv_stride_time=2")
    assert runs_of(page) == before
    assert stranger.errors == []
