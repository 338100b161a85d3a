"""What the ImageNet view shows and lets people download."""

import csv
import io
import json
import math
import re

import numpy as np
import pytest

from cvdemo import tasks
from cvdemo.classification.imagenet_view import Look, bars_html, export, framed, numbers_html, panel, timing_line
from cvdemo.classification.labels import IMAGENET_CLASSES
from cvdemo.classification.predict import ClassificationSettings, Inference, decode
from cvdemo.classification.race_view import Contestant
from cvdemo.classification.raw import RawClassification
from cvdemo.core.errors import InputError
from cvdemo.core.media import Picture, read_picture

tasks.load_all()
STAGES = {"wait": 0.01, "load": 0.0, "preprocess": 1.26, "network": 9.4, "decode": 0.12}


def look_of(logits=None, height=40, width=60, scale=1.0, notes=(), name="cat.jpg", crop=None) -> Look:
    values = np.zeros(1000, np.float32) if logits is None else np.asarray(logits, np.float32)
    margin = (width - height) / 2
    raw = RawClassification(
        values, np.ones(256, np.float32), IMAGENET_CLASSES, crop or (margin, 0.0, width - margin, float(height)),
        height, width, "compact-classifier",
    )  # fmt: skip
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    display = np.full((round(height * scale), round(width * scale), 3), 200, np.uint8)
    return Look(
        Picture(pixels, name, notes), display, scale, Inference(raw, STAGES, "cpu", "fp32", "compact-classifier")
    )


def peaked() -> np.ndarray:
    """Probabilities 3/4 for class 293 and nearly 1/4 for class 290."""
    logits = np.full(1000, -30.0, np.float32)
    logits[[293, 290]] = np.log([3.0, 1.0])
    return logits


def test_what_the_network_did_not_see_is_darkened():
    pixels = np.full((40, 60, 3), 200, np.uint8)
    marked = framed(pixels, (10.0, 0.0, 50.0, 40.0))
    assert (marked[:, :10] < 100).all()
    assert (marked[:, 50:] < 100).all()
    assert (marked[2:-2, 12:48] == 200).all()
    assert (marked[20, 10] == 255).all(), "the edge of the crop is a white line"
    assert (pixels == 200).all(), "the picture itself stays as it is"


def test_a_crop_of_the_whole_picture_needs_no_mark():
    pixels = np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8)
    np.testing.assert_array_equal(framed(pixels, (0.4, 0.0, 59.7, 40.0)), pixels)


def test_the_crop_is_scaled_to_the_displayed_copy():
    marked = framed(np.full((20, 30, 3), 200, np.uint8), (10.0, 0.0, 50.0, 40.0), scale=0.5)
    dark = (marked[10] < 100).all(1)
    assert np.flatnonzero(dark).tolist() == [*range(5), *range(25, 30)]


def test_bars_list_the_best_classes_and_the_rest():
    result = decode(look_of(peaked()).inference, ClassificationSettings(top_k=2))
    text = bars_html(result)
    names = re.findall(r'class="name">([^<]*)', text)
    assert names == [IMAGENET_CLASSES[293], IMAGENET_CLASSES[290], "the other 998 classes"]
    widths = [float(width) for width in re.findall(r"width:([\d.]+)%", text)]
    assert widths == pytest.approx([75, 25, 0], abs=0.01)
    assert "unsure" not in text


def test_bars_say_when_the_network_is_unsure_and_escape_names():
    result = decode(look_of().inference, ClassificationSettings())
    assert 'class="class-bars unsure"' in bars_html(result)
    raw = RawClassification(np.zeros(2, np.float32), None, ("<b>", "b & c"), (0, 0, 1, 1), 1, 1, "m")
    text = bars_html(decode(raw, ClassificationSettings()))
    assert "&lt;b&gt;" in text
    assert "<b>" not in text
    assert "other" not in text, "all classes are shown"


def test_the_timing_line_lists_stages_and_what_was_seen():
    assert timing_line(look_of()) == (
        "11 ms (prepare 1.3, network 9.4, read out 0.1) · cpu fp32 · saw the middle 40 x 40 px of 60 x 40"
    )
    whole = look_of(height=40, width=40, notes=("first of 3 frames",))
    assert timing_line(whole).endswith("saw the whole picture · first of 3 frames")


def test_numbers_tell_margin_and_entropy():
    look = look_of(peaked())
    text = numbers_html(look, decode(look.inference, ClassificationSettings()))
    cells = dict(re.findall(r"<tr><td>([^<]*)</td><td>([^<]*)</td></tr>", text))
    expected = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    assert cells["Entropy"].startswith(f"{expected:.2f} bits of at most {math.log2(1000):.2f}")
    assert cells["First ahead of second"] == "50.0 %"
    assert cells["Features before the last layer"] == "256"
    assert cells["Cut out of it"] == "x 10 to 50, y 0 to 40"


def test_the_panel_is_beside_the_picture_and_its_bars_are_as_long_as_the_probabilities():
    result = decode(look_of(peaked()).inference, ClassificationSettings(top_k=2))
    pixels = np.full((600, 500, 3), 77, np.uint8)
    drawn = panel(pixels, result, "Compact classifier")
    np.testing.assert_array_equal(drawn[:600, :500], pixels)
    blue = (drawn[:, 500:] == (11, 98, 184)).all(2)
    lengths = sorted({int(row.sum()) for row in blue if row.any()})
    assert len(lengths) == 2
    assert lengths[1] / lengths[0] == pytest.approx(3, rel=0.02)


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (700, 2)])
def test_a_panel_fits_pictures_of_any_shape(size):
    result = decode(look_of(peaked()).inference, ClassificationSettings(top_k=20))
    pixels = np.full((*size, 3), 77, np.uint8)
    drawn = panel(pixels, result, "Ünsupported letters")
    np.testing.assert_array_equal(drawn[: size[0], : size[1]], pixels)
    assert drawn.shape[0] >= size[0]


def test_exports():
    look = look_of(peaked())
    settings = ClassificationSettings(top_k=3, temperature=2.0)
    expected = decode(look.inference, settings)

    name, content = export(look, settings, "csv")
    assert name == "cat-classes.csv"
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    assert [row["label"] for row in rows] == [label for _, label, _ in expected.top]
    assert float(rows[0]["probability"]) == pytest.approx(expected.top[0][2], abs=1e-6)

    name, content = export(look, settings, "png")
    assert name == "cat-classes.png"
    picture = read_picture(content).pixels
    np.testing.assert_array_equal(picture[2:38, 12:48], look.picture.pixels[2:38, 12:48])

    line = Contestant("m", "M", 2020, 10, 0.1, 70.0, "cat", 0.5, 3.0)
    name, content = export(look, settings, "json", [line])
    document = json.loads(content)
    assert name == "cat-classes.json"
    assert document["image"] == {"name": "cat.jpg", "width": 60, "height": 40}
    assert len(document["predictions"]) == 3
    assert document["temperature"] == 2.0
    assert document["comparison"] == [line.to_dict()]
    assert "comparison" not in json.loads(export(look, settings, "json")[1])


def test_an_unknown_export_is_refused():
    with pytest.raises(InputError, match="png, json or csv"):
        export(look_of(), ClassificationSettings(), "pdf")
