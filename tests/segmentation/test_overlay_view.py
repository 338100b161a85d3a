"""What the Overlay view makes of logits and masks: sizes, legend, pixels, tables, downloads."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from cvdemo import tasks
from cvdemo.core.errors import InputError
from cvdemo.core.media import Picture
from cvdemo.segmentation import overlay_tables as tables
from cvdemo.segmentation import overlay_view as view
from cvdemo.segmentation.labels import VOC_CLASSES
from cvdemo.segmentation.overlay_view import EXPORTS, Look, OverlaySettings
from cvdemo.segmentation.predict import SegmentationInference, decode
from cvdemo.segmentation.raw import RawInstances, RawSegmentation, softmax
from cvdemo.segmentation.result import Segmentation

tasks.load_all()
NAMES = ("cat", "dog", "person")


def semantic(height=60, width=80, display=(30, 40), seed=3, notes=()):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 0.2, (21, height // 4, width // 4)).astype(np.float32)
    logits[0] += 1
    logits[15, :, : width // 8] += 5
    logits[12, : height // 8, width // 8 :] += 4
    raw = RawSegmentation(logits, VOC_CLASSES, (0, 0, width, height), height, width, "compact-segmentation")
    picture = Picture(rng.integers(0, 255, (height, width, 3), np.uint8), "park.jpg", notes)
    inference = SegmentationInference(raw, {"network": 12.0, "decode": 1.0}, "cpu", "bf16", raw.model)
    return Look.of(picture, np.ascontiguousarray(picture.pixels[:: height // display[0], :: width // display[1]]),
                   inference)  # fmt: skip


def instances():
    rng = np.random.default_rng(5)
    boxes = np.array([[4, 4, 40, 40], [30, 10, 70, 50], [0, 0, 10, 10]], np.float32)
    raw = RawInstances(boxes, np.array([0.9, 0.8, 0.3], np.float32), np.array([2, 1, 0]),
                       np.ones((3, 28, 28), np.float32), NAMES, 60, 80, "maskrcnn_resnet50_fpn")  # fmt: skip
    picture = Picture(rng.integers(0, 255, (60, 80, 3), np.uint8), "park.jpg")
    return Look.of(picture, np.ascontiguousarray(picture.pixels[::2, ::2]),
                   SegmentationInference(raw, {"network": 80.0}, "cpu", "fp32", raw.model))  # fmt: skip


def test_the_display_copy_shows_the_same_classes():
    look = semantic()
    full, small = decode(look.inference, OverlaySettings()), look.found(OverlaySettings())
    assert small.labels.shape == (30, 40)
    assert np.mean(full.labels[::2, ::2] == small.labels) > 0.97


def test_objects_are_scaled_to_the_display_copy():
    look = instances()
    assert np.allclose(look.small.raw.boxes, look.inference.raw.boxes / 2)
    assert look.small.raw.height == 30
    assert look.small.raw.width == 40


def test_drawing_alone_decodes_nothing():
    look = semantic()
    first = look.found(OverlaySettings())
    assert look.found(OverlaySettings(opacity=0.1, outline=0, background="blur", show="entropy")) is first
    assert look.found(OverlaySettings(temperature=2.0)) is not first


@pytest.mark.parametrize("make", [semantic, instances])
@pytest.mark.parametrize("show", view.SHOW)
@pytest.mark.parametrize("background", ["keep", "blur", "colour", "picture", "cut-out"])
def test_every_way_of_showing_is_a_picture_of_the_display_size(make, show, background):
    look = make()
    before = look.display.copy()
    behind = np.full((7, 9, 3), 40, np.uint8)
    made = view.render(look, OverlaySettings(show=show, background=background), behind=behind)
    assert made.pixels.shape == look.display.shape
    assert made.pixels.dtype == np.uint8
    assert np.array_equal(look.display, before)
    assert "cpu" in made.timing
    assert "network" in made.timing
    words = tables.scale_html(OverlaySettings(show=show), made.found)
    assert ("linear-gradient" in words) == (show != "overlay")


def test_the_legend_counts_hidden_classes_too():
    look = semantic()
    settings = OverlaySettings(classes=("dog",))
    rows = {row.name: row for row in view.legend_rows(look, look.found(settings), settings)}
    assert rows["dog"].shown
    assert not rows["person"].shown
    assert not rows["background"].shown
    assert rows["person"].hex.startswith("#")
    changed = view.legend_rows(look, look.found(settings), settings, {"dog": (1, 2, 3)})
    assert {row.name: row.hex for row in changed}["dog"] == "#010203"


def test_a_press_on_the_legend_switches_a_class():
    look = semantic()

    def press(name, *classes):
        settings = OverlaySettings(classes=classes)
        return view.toggled(settings, look, look.found(settings), name)

    assert press("dog") == ("person",)
    assert press("dog", "person") == ()
    assert set(press("background")) == {"background", "dog", "person"}
    nobody = press("person", "person")
    assert not {"dog", "person", "background"} & set(nobody)
    assert nobody, "an empty choice would mean all"
    assert press("giraffe", "dog") == ("dog",)


def test_hidden_objects_can_be_shown_again():
    look = instances()
    settings = OverlaySettings(classes=("dog",))
    rows = {row.name: row for row in view.legend_rows(look, look.found(settings), settings)}
    assert set(rows) == {"dog", "person"}, "the cat is below the threshold"
    assert rows["dog"].shown
    assert not rows["person"].shown
    assert rows["person"].hex == ""
    assert view.toggled(settings, look, look.found(settings), "person") == ()


@pytest.mark.parametrize(
    ("text", "colour"),
    [("#ff8000", (255, 128, 0)), ("#FFFFFF", (255, 255, 255)), ("ff8000", None), ("#ff80", None), ("#gg0000", None),
     (None, None), (7, None)],
)  # fmt: skip
def test_colours_from_the_page(text, colour):
    assert view.parse_colour(text) == colour
    if colour is not None:
        assert view.hex_of(colour) == text.lower()


def test_a_pixel_tells_the_softmax_of_its_logits():
    look = semantic()
    settings = OverlaySettings(temperature=2.0)
    words = tables.pixel_html(look, settings, (9, 50))
    reference = dict(decode(look.inference, settings).probabilities_at(9, 50))
    assert "Pixel (9, 50): person" in words
    assert f"{100 * reference['person']:.1f} %" in words
    rest = 1 - sum(sorted(reference.values())[-6:])
    assert f"{100 * rest:.1f} %" in words
    centre = softmax(look.inference.raw.logits[:, 12, 2], 2.0)
    assert abs(reference["person"] - centre[15]) < 0.2


def test_pixels_outside_are_moved_to_the_edge_and_none_is_explained():
    look = semantic()
    assert "Pixel (79, 0)" in tables.pixel_html(look, OverlaySettings(), (900, -5))
    assert "arrow keys" in tables.pixel_html(look, OverlaySettings(), None)


def test_a_pixel_of_objects_lists_those_that_cover_it():
    words = tables.pixel_html(instances(), OverlaySettings(), (35, 30))
    assert "2 objects here" in words
    assert "no object" in tables.pixel_html(instances(), OverlaySettings(), (79, 59))


def test_tables_name_every_class_and_object():
    look = semantic()
    words = tables.results_html(look, look.found(OverlaySettings(min_confidence=0.9)))
    assert "person" in words
    assert "undecided" in words
    listed = tables.results_html(instances(), instances().found(OverlaySettings()))
    assert listed.count("data:image/png") == 2
    assert "0.900" in listed
    assert "No objects" in tables.results_html(instances(), instances().found(OverlaySettings(score_threshold=1.0)))
    assert "21 logits" in tables.numbers_html(look, look.found(OverlaySettings()))
    assert "3 objects with a 28 x 28 mask" in tables.numbers_html(instances(), instances().found(OverlaySettings()))


@pytest.mark.parametrize("kind", EXPORTS)
@pytest.mark.parametrize("make", [semantic, instances])
def test_downloads_have_the_full_size(make, kind):
    look = make()
    name, content = view.make_download(look, OverlaySettings(), kind)
    assert name.startswith("park-")
    if name.endswith(".png"):
        image = Image.open(io.BytesIO(content))
        assert image.size == (80, 60)
        assert image.mode == {"png": "RGB", "index": "P", "cut-out": "RGBA"}[kind]
    elif name.endswith(".json"):
        assert json.loads(content)
    else:
        assert content.decode().splitlines()[0].startswith("image,label")


def test_the_index_download_is_the_label_map():
    look = semantic()
    _, content = view.make_download(look, OverlaySettings(), "index")
    assert np.array_equal(np.array(Image.open(io.BytesIO(content))), decode(look.inference, OverlaySettings()).labels)


def test_an_unknown_download_is_explained():
    with pytest.raises(InputError, match="tiff"):
        view.make_download(semantic(), OverlaySettings(), "tiff")


def test_words_are_escaped():
    look = semantic(notes=("<b>turned</b>",))
    raw = look.inference.raw
    evil = RawSegmentation(raw.logits, ("<i>", *VOC_CLASSES[1:]), raw.extent, raw.height, raw.width, raw.model)
    bad = Look.of(look.picture, look.display, SegmentationInference(evil, {}, "cpu", "fp32", raw.model))
    assert "<i>" not in tables.results_html(bad, bad.found(OverlaySettings()))
    assert "<i>" not in tables.pixel_html(bad, OverlaySettings(), (70, 50))


def test_large_pictures_are_averaged_on_a_coarse_copy_and_winners_are_found_once(monkeypatch):
    shape = (600, 1000)
    picture = Picture(np.zeros((*shape, 3), np.uint8), "large.png")
    logits = np.random.default_rng(3).normal(0, 2, (len(VOC_CLASSES), 12, 20)).astype(np.float32)
    raw = RawSegmentation(logits, VOC_CLASSES, (0, 0, 1000, 600), *shape, "compact-segmentation")
    look = Look.of(picture, picture.pixels, SegmentationInference(raw, {}, "cpu", "fp32", "compact-segmentation"))
    found = look.found(OverlaySettings(temperature=2.0))
    coarse = look.coarse(found)
    assert (coarse.height, coarse.width) == (192, 320)
    assert abs(float(coarse.entropy.mean()) - float(found.entropy.mean())) < 0.01
    enlarged = view.value_map(look, found, "confidence").astype(int)
    exact = view.draw_values(found.confidence, 0.0, 1.0, bar=False).astype(int)
    assert np.abs(enlarged - exact).mean() < 2
    monkeypatch.setattr("cvdemo.segmentation.result.label_map", lambda *args: pytest.fail("found again"))
    colder = look.found(OverlaySettings(temperature=0.5, min_confidence=0.4))
    expected = Segmentation(look.small.raw, 0.5)
    expected.take_over(found)
    np.testing.assert_array_equal(colder.labels == 255, expected.confidence < 0.4)
    assert look.coarse(colder).temperature == 0.5
