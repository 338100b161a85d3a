"""The Detection tab's lecture views in a real browser: stepping, ground truth, origins, and no network run for any."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cvdemo.detection.compact import LONG_SIDE
from tests.browser.driving import runs_of, set_slider, words

pytestmark = pytest.mark.browser
sentence = partial(words, place="#detection-status")


def wait_for_sentence(page: Any, pattern: str) -> str:
    page.wait_for_function(
        "pattern => new RegExp(pattern).test(document.querySelector('#detection-status .sentence')?.innerText || '')",
        arg=pattern,
    )
    return sentence(page)


def open_view(page: Any, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def load_truth(page: Any, path: Path) -> None:
    with page.expect_file_chooser() as chosen:
        page.click("#lecture-upload")
    chosen.value.set_files(path)


def annotations(name: str, boxes: list[list[float]], width: int = 1000, height: int = 600) -> dict[str, Any]:
    return {
        "images": [{"id": 1, "file_name": name, "width": width, "height": height}, {"id": 2, "file_name": "other.jpg"}],
        "categories": [{"id": 4, "name": "person"}],
        "annotations": [{"id": i, "image_id": 1, "category_id": 4, "bbox": box} for i, box in enumerate(boxes)],
    }


def downloaded_boxes(page: Any) -> list[list[float]]:
    """The boxes shown now, from the tab's own download."""
    page.get_by_role("tab", name="Download").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="JSON", exact=True).click()
    return [row["bbox"] for row in json.loads(Path(waiting.value.path()).read_text())["annotations"]]


def test_stepping_by_button_slider_and_keyboard(visit: Any) -> None:
    page = visit.page
    plain, before = sentence(page), runs_of(page)
    set_slider(page, "Score threshold", 0.1)
    open_view(page, "NMS steps")
    first = wait_for_sentence(page, r"^Step 1 of \d+: .* picked, suppresses")
    steps = int(re.search(r"of (\d+)", first)[1])  # type: ignore[index]
    assert steps >= 3
    assert page.get_attribute("#detection-result img", "alt") == first
    assert page.locator("#lecture-walk .legend li").count() == 4
    page.click("#lecture-next")
    wait_for_sentence(page, "^Step 2 of")
    page.focus("#lecture-previous")
    page.keyboard.press("Enter")
    assert wait_for_sentence(page, "^Step 1 of") == first
    handle = page.get_by_role("slider", name=re.compile("Step"))
    handle.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    wait_for_sentence(page, "^Step 3 of")
    set_slider(page, "Step", steps)
    wait_for_sentence(page, f"^Step {steps} of {steps}: .*Nothing waits any more")
    page.click("#lecture-next")  # beyond the end nothing happens
    set_slider(page, "Score threshold", 0.35)  # fewer steps: the step follows
    wait_for_sentence(page, r"^Step (\d+) of \1:")
    open_view(page, "Table")
    assert wait_for_sentence(page, "^\\d+ (people|person)") == plain
    assert runs_of(page) == before
    assert visit.errors == []
    assert visit.foreign == []


def test_playing_runs_to_the_end_pauses_and_starts_over(visit: Any) -> None:
    page = visit.page
    open_view(page, "NMS steps")
    wait_for_sentence(page, "^Step 1 of")
    page.click("#lecture-play")
    page.wait_for_function("() => document.querySelector('#lecture-play').innerText === 'Pause'")
    wait_for_sentence(page, "^Step 2 of")
    page.click("#lecture-play")
    page.wait_for_function("() => document.querySelector('#lecture-play').innerText === 'Play'")
    page.click("#lecture-play")
    wait_for_sentence(page, r"^Step (\d+) of \1:")
    page.wait_for_function("() => document.querySelector('#lecture-play').innerText === 'Play'")
    page.click("#lecture-play")
    wait_for_sentence(page, "^Step 1 of")
    open_view(page, "Table")  # leaving the view ends the show
    wait_for_sentence(page, "^\\d+ (people|person)")
    page.wait_for_timeout(2000)
    assert not sentence(page).startswith("Step")
    assert visit.errors == []


def test_soft_suppression_shows_lowered_scores(newcomer: Any, server: str) -> None:
    page = newcomer.page
    page.goto(f"{server}?nms_kind=soft-gaussian&score_threshold=0.2")
    page.wait_for_selector("#detection-result .viewer.full")
    open_view(page, "NMS steps")
    assert re.search(r"lowers \d+ scores? \(0\.\d\d → 0\.\d\d at IoU", wait_for_sentence(page, "^Step 1 of"))
    assert "lowered to" in page.inner_text("#lecture-walk table")


def test_another_picture_starts_at_its_first_step(visit: Any) -> None:
    page = visit.page
    open_view(page, "NMS steps")
    wait_for_sentence(page, "^Step 1 of")
    page.click("#lecture-next")
    wait_for_sentence(page, "^Step 2 of")
    page.locator("#detection-examples .gallery-item").nth(1).click()
    wait_for_sentence(page, "^Step 1 of")
    assert visit.errors == []


def test_ground_truth_from_a_file_follows_the_sliders_without_the_network(visit: Any, tmp_path: Path) -> None:
    page = visit.page
    boxes, before = downloaded_boxes(page), runs_of(page)
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(annotations("crowd.jpg", [*boxes, [5, 5, 30, 30]])))
    open_view(page, "Ground truth")
    page.wait_for_selector("#lecture-truth .said")
    load_truth(page, path)
    page.wait_for_selector("#lecture-truth svg[role=img]")
    assert sentence(page).startswith(f"All classes: {len(boxes)} right, 0 wrong, 1 missed. Precision 1.00")
    assert "truth.json" in page.inner_text("#lecture-truth")
    assert page.locator("#lecture-truth circle").count() == 11
    set_slider(page, "Score threshold", 0.99)
    wait_for_sentence(page, f"0 right, 0 wrong, {len(boxes) + 1} missed")
    set_slider(page, "Score threshold", 0.02)
    wait_for_sentence(page, rf"{len(boxes)} right, [1-9]\d* wrong, 1 missed")
    page.wait_for_function("() => /Hard negatives/.test(document.querySelector('#lecture-truth').innerText)")
    set_slider(page, "A hit needs an IoU of", 0.95)
    wait_for_sentence(page, "and IoU 0.95")
    page.get_by_label("Look at").click()
    page.get_by_role("option", name="person").click()
    wait_for_sentence(page, "^Person: ")
    page.click("#lecture-forget")
    page.wait_for_function("() => /COCO json/.test(document.querySelector('#lecture-truth').innerText)")
    assert "right" not in sentence(page)
    assert runs_of(page) == before
    assert visit.errors == []


def test_wrong_ground_truth_is_explained_and_the_good_one_stays(visit: Any, tmp_path: Path) -> None:
    page = visit.page
    open_view(page, "Ground truth")
    page.wait_for_selector("#lecture-truth .said")
    good = tmp_path / "good.json"
    good.write_text(json.dumps(annotations("crowd.jpg", [[5, 5, 30, 30]])))
    cases = {
        "text.json": ("not json", "not valid JSON"),
        "list.json": ("[1, 2]", "not a COCO annotation file"),
        "elsewhere.json": (json.dumps(annotations("a.jpg", [])), "none is called crowd.jpg"),
        "size.json": (json.dumps(annotations("crowd.jpg", [], 640, 480)), "this one has 1000 x 600"),
    }
    for name, (content, problem) in cases.items():
        (tmp_path / name).write_text(content)
        load_truth(page, tmp_path / name)
        page.wait_for_function(
            "words => document.querySelector('#lecture-truth .problem')?.innerText.includes(words)", arg=problem
        )
        assert re.search("people|person", sentence(page))
    load_truth(page, good)
    wait_for_sentence(page, "^All classes: ")
    load_truth(page, tmp_path / "text.json")
    page.wait_for_selector("#lecture-truth .problem")
    set_slider(page, "Score threshold", 0.3)
    page.wait_for_selector("#lecture-truth svg[role=img]")
    assert visit.errors == []


def test_the_boxes_shown_now_can_stand_in(visit: Any) -> None:
    page = visit.page
    open_view(page, "Ground truth")
    page.wait_for_selector("#lecture-truth .said")
    page.click("#lecture-stand-in")
    assert re.match(r"All classes: (\d+) right, 0 wrong, 0 missed", wait_for_sentence(page, "^All classes: "))
    assert "no measure of quality" in page.inner_text("#lecture-truth")
    page.locator("#detection-examples .gallery-item").nth(1).click()
    page.wait_for_function("() => /belong to crowd/.test(document.querySelector('#lecture-truth').innerText)")


def test_origins_levels_and_grid(visit: Any) -> None:
    page = visit.page
    before = runs_of(page)
    open_view(page, "Anchors")
    wait_for_sentence(page, r"found objects? from \d of 3 levels: .*at stride 32")
    width, height = LONG_SIDE // 8, -(-LONG_SIDE * 600 // 1000 // 32) * 4  # cells of stride 8 on the 1000x600 crowd
    assert f"{height} x {width}" in page.inner_text("#lecture-origins")
    page.get_by_label("Trace back").click()
    page.get_by_role("option", name="best candidates").click()
    wait_for_sentence(page, "^20 best candidates")
    set_slider(page, "How many, best first", 5)
    wait_for_sentence(page, "^5 best candidates")
    picture = page.get_attribute("#detection-result img", "src")
    page.get_by_label("Grid of one level").click()
    page.get_by_role("option", name=re.compile("stride 16: ")).click()
    page.wait_for_function("old => document.querySelector('#detection-result img').src !== old", arg=picture)
    page.get_by_label("Trace back").click()
    page.get_by_role("option", name=re.compile("proposals")).click()
    page.wait_for_function("() => /works in one stage/.test(document.querySelector('#lecture-origins').innerText)")
    assert runs_of(page) == before
    assert visit.errors == []
    assert visit.foreign == []


def test_the_controls_of_a_step_are_on_the_first_screen_of_a_laptop(visit: Any) -> None:
    page = visit.page
    page.set_viewport_size({"width": 1440, "height": 900})
    open_view(page, "NMS steps")
    wait_for_sentence(page, "^Step 1 of")
    places = []
    for following in (2, 3):
        box = page.locator("#lecture-next").bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= 900
        places.append(box["y"])
        page.click("#lecture-next")
        wait_for_sentence(page, f"^Step {following} of")
    assert places[0] == pytest.approx(places[1], abs=1), "the buttons stay where they are"


def test_other_modes_say_that_the_views_are_about_pictures(visit: Any) -> None:
    page = visit.page
    open_view(page, "NMS steps")
    wait_for_sentence(page, "^Step 1 of")
    page.get_by_role("tab", name="Video").click()
    page.wait_for_function("() => /Picture mode/.test(document.querySelector('#lecture-walk').innerText)")
    page.get_by_role("tab", name="Picture").click()
    wait_for_sentence(page, "^Step 1 of")
    page.wait_for_selector("#lecture-walk .legend")
    assert visit.errors == []
