"""The views "Teach it" and "Emotion" in a real browser: files, webcam, attributes, heads as files, faces."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cvdemo.core import registry
from cvdemo.core.media import save_picture
from tests.browser.driving import runs_of

pytestmark = pytest.mark.browser
HOSTILE = '<b onclick="x()">cat</b> ${1+1} {{x}}'


@pytest.fixture(scope="module", autouse=True)
def _weights() -> None:
    from cvdemo import tasks

    tasks.load_all()
    if not registry.availability(registry.get("compact-classifier")).local:
        pytest.skip("weights/compact_classifier.safetensors is not there")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Two kinds of pictures that any features tell apart, and three files that are no pictures."""
    root, rng = tmp_path_factory.mktemp("taught"), np.random.default_rng(0)
    found: dict[str, list[Path]] = {"stripes": [], "blobs": [], "bad": []}
    for index in range(6):
        width = 6 + 2 * index
        stripes = np.where(np.arange(160) // width % 2, 240, 30).astype(np.uint8)
        picture = np.stack([np.tile(stripes, (120, 1))] * 3, 2)
        blob = cv2.resize(rng.integers(0, 256, (4, 5, 3), np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC)
        for kind, pixels in (("stripes", picture), ("blobs", blob)):
            found[kind].append(root / f"{kind}{index}.png")
            save_picture(found[kind][-1], np.ascontiguousarray(pixels))
    for name, content in (("cut.jpg", b"\xff\xd8\xff\xe0\0\x10JF"), ("notes.txt", b"hello"), ("empty.png", b"")):
        (root / name).write_bytes(content)
        found["bad"].append(root / name)
    return found


def open_view(newcomer: Any, server: str, view: str, example: str = "cheetah") -> Any:
    page = newcomer.page
    page.goto(f"{server}?tab=classification&view={view}&example={example}")
    return page


def says(page: Any, what: str, selector: str = "#teach-line") -> str:
    """Wait until a line holds some words; returns all of it."""
    page.wait_for_function(
        "([selector, what]) => document.querySelector(selector)?.innerText.includes(what)", arg=[selector, what]
    )
    return page.inner_text(selector)


def upload(page: Any, selector: str, paths: list[Path]) -> None:
    with page.expect_file_chooser() as chooser:
        page.click(selector)
    chooser.value.set_files(paths)


def teach_two(page: Any, folders: dict[str, list[Path]]) -> None:
    page.wait_for_selector("#teach-card-1")
    upload(page, "#teach-upload-0", folders["stripes"])
    says(page, "6 pictures added to Class 1")
    upload(page, "#teach-upload-1", folders["blobs"])
    says(page, "6 pictures added to Class 2")


def test_two_classes_are_taught_from_files_and_deleted(
    newcomer: Any, server: str, folders: dict[str, list[Path]]
) -> None:
    page = open_view(newcomer, server, "teach")
    page.wait_for_selector("#teach-card-1")
    page.click("#teach-train")
    assert "add 2 to Class 1, 2 to Class 2" in says(page, "too little to learn from")
    upload(page, "#teach-upload-0", [*folders["stripes"][:3], *folders["bad"], *folders["stripes"][3:]])
    line = says(page, "6 pictures added to Class 1")
    assert "3 left out" in line
    assert all(path.name in line for path in folders["bad"])
    upload(page, "#teach-upload-1", folders["blobs"])
    says(page, "6 pictures added to Class 2")
    page.click("#teach-current-1")  # the cheetah
    says(page, "1 picture added to Class 2")
    assert page.locator("#teach-strip-1 img").count() == 7
    name = page.locator("#teach-name-0").get_by_role("textbox")
    name.fill(HOSTILE[:40])
    name.press("Enter")
    says(page, "is now called")
    second = page.locator("#teach-name-1").get_by_role("textbox")
    second.fill(HOSTILE[:40])
    second.press("Enter")
    says(page, "already")
    assert second.input_value() == "Class 2"
    page.click("#teach-train")
    says(page, "held-back pictures right")
    page.wait_for_selector("#teach-results svg.confusion")
    assert page.locator("#teach-results svg.curve").count() == 2
    says(page, "Class 2 (", "#teach-answer .says")
    assert page.locator("#teach-answer b, #teach-strip-0 b, #teach-results b").count() == 0
    assert HOSTILE[:16] in page.inner_text("#teach-answer")
    page.click("#teach-delete")
    says(page, "Everything is deleted")
    assert page.locator("#teach-strip-0 img, #teach-strip-1 img").count() == 0
    assert "Train a head first" in page.inner_text("#teach-answer")
    assert newcomer.errors == []
    assert newcomer.foreign == []


def test_pictures_can_be_moved_and_removed(newcomer: Any, server: str, folders: dict[str, list[Path]]) -> None:
    page = open_view(newcomer, server, "teach")
    teach_two(page, folders)
    page.click("#teach-strip-0 [data-key] >> nth=0")
    page.wait_for_selector("#teach-panel", state="visible")
    page.locator("#teach-labels").get_by_label("Class 2").check()
    says(page, "7 pictures", "#teach-strip-1")
    says(page, "5 pictures", "#teach-strip-0")
    page.click("#teach-remove-picture")
    says(page, "6 pictures", "#teach-strip-1")
    page.click("#teach-add-class")
    page.wait_for_selector("#teach-card-2", state="visible")
    page.click("#teach-remove-0")
    says(page, "Class 1 is removed, with its 5 pictures")
    assert page.locator("#teach-name-0").get_by_role("textbox").input_value() == "Class 2"
    says(page, "6 pictures", "#teach-strip-0")
    assert newcomer.errors == []


def test_attributes_and_heads_as_files(
    newcomer: Any, server: str, folders: dict[str, list[Path]], tmp_path: Path
) -> None:
    page = open_view(newcomer, server, "teach")
    page.wait_for_selector("#teach-card-1")
    page.locator("#teach-kind").get_by_text("Attributes").click()
    page.wait_for_selector("#teach-card--1", state="visible")
    upload(page, "#teach-upload-0", folders["stripes"][:3])
    says(page, "3 pictures added to Class 1")
    page.locator("#teach-also").get_by_label("Class 2").check()
    upload(page, "#teach-upload-0", folders["stripes"][3:])
    says(page, "3 pictures", "#teach-strip-1")
    says(page, "6 pictures", "#teach-strip-0")
    upload(page, "#teach-upload--1", folders["blobs"])
    says(page, "6 pictures added to no attribute")
    page.click("#teach-train")
    says(page, "answers on held-back pictures right")
    assert "with it, found" in page.inner_text("#teach-results")
    page.wait_for_selector("#teach-answer .says")
    before = page.inner_text("#teach-answer")
    page.locator("#teach-kind").get_by_text("One class per picture").click()
    says(page, "several attributes or none")
    with page.expect_download() as waiting:
        page.click("#teach-export")
    head = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(head)
    assert head.name == "Class1-Class2-head.safetensors"
    page.click("#teach-delete")
    says(page, "Everything is deleted")
    upload(page, "#teach-import", [folders["stripes"][0]])
    says(page, "cannot be used as a head")
    upload(page, "#teach-import", [head])
    says(page, "A head for 2 attributes (Class 1, Class 2)")
    page.wait_for_selector("#teach-answer .says")
    assert page.inner_text("#teach-answer") == before
    assert newcomer.errors == []


def test_the_webcam_is_recorded_and_judged(newcomer: Any, server: str, folders: dict[str, list[Path]]) -> None:
    page = open_view(newcomer, server, "teach")
    page.wait_for_selector("#teach-card-1")
    upload(page, "#teach-upload-0", folders["stripes"])
    says(page, "6 pictures added to Class 1")
    page.click("#teach-record-1")
    assert "press Record" in says(page, "The next 20 frames")
    page.locator("#classification").get_by_role("tab", name="Live").click()
    page.locator("#classification-camera").get_by_text("Click to Access Webcam").click()
    page.click("#classification-camera .capture-button")
    says(page, "The recording for Class 2 is finished")
    assert "20 pictures" in page.inner_text("#teach-strip-1")
    page.click("#teach-train")
    says(page, "held-back pictures right")
    says(page, "Class 2 (", "#teach-answer .says")  # the camera goes on
    page.locator("#classification").get_by_role("tab", name="Picture").click()
    page.wait_for_selector("#classification-camera [title='start recording']", state="attached")


def test_emotions_of_a_face(newcomer: Any, server: str, tmp_path: Path) -> None:
    from cvdemo.classification.emotion_view import EMOTIONS, missing_weights

    page = open_view(newcomer, server, "emotion", "portrait")
    lacking = missing_weights()
    if lacking:
        assert "file is missing" in says(page, "Emotions cannot be read here", "#emotion-status .problem")
        return
    line = says(page, "1 face: ", "#emotion-status .sentence")
    assert re.search(r"\(\d+ %\)", line)
    assert page.get_attribute("#emotion-result img", "alt") == line
    assert page.locator("#emotion-cards figure").count() == 1
    assert page.locator("#emotion-cards .bar").count() == 7
    before = runs_of(page)
    temperature = page.get_by_role("slider", name=re.compile("Temperature")).locator("visible=true")
    temperature.evaluate("e => { e.value = 8; e.dispatchEvent(new Event('input', {bubbles: true})); }")
    page.wait_for_function("old => document.querySelector('#emotion-status .sentence').innerText !== old", arg=line)
    assert "not sure" in page.inner_text("#emotion-status .sentence")
    assert runs_of(page) == before
    page.locator("#emotion-cards").locator("xpath=ancestor::*[@role='tabpanel'][1]/..").get_by_role(
        "tab", name="Download"
    ).click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="JSON", exact=True).locator("visible=true").click()
    target = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(target)
    (face,) = json.loads(target.read_text())["faces"]
    assert set(face["probabilities"]) == set(EMOTIONS)
    page.locator("#classification-examples .gallery-item").last.click()  # the tower
    says(page, "No face found", "#emotion-status .sentence")
    assert newcomer.errors == []
    assert newcomer.foreign == []
