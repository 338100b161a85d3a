"""What the page shows and what it lets people download."""

import csv
import dataclasses
import io
import json
import re

import numpy as np
import pytest

from cvdemo.core.errors import InputError
from cvdemo.core.media import Picture, read_picture
from cvdemo.detection.candidates import Candidates, Detections
from cvdemo.detection.predict import DetectionSettings, Inference, decode, draw
from cvdemo.detection.raw import RawDetections
from cvdemo.detection.view import (
    TABLE_HEADER,
    Counts,
    PictureView,
    coco_document,
    export,
    numbers_html,
    render,
    resized,
    table_rows,
    timing_line,
)

LEVELS = ((30, 40, 8.0), (15, 20, 16.0), (8, 10, 32.0))
STAGES = {"wait": 0.01, "load": 0.0, "preprocess": 1.26, "network": 23.7, "decode": 0.62}


def inference_of(rows, height=300, width=400, level=None) -> Inference:
    """Rows of (x1, y1, x2, y2, score, category id)."""
    table = np.array(rows, float).reshape(-1, 6)
    candidates = Candidates.from_arrays(
        table[:, :4], table[:, 4], table[:, 5].astype(int), height=height, width=width, level=level, model="m"
    )
    return Inference(RawDetections(candidates, None, None, LEVELS, (312, 416)), STAGES, "cpu", "fp32", "m")


TWO_PEOPLE_AND_A_DOG = [
    (10, 20, 110, 220, 0.9, 1), (12, 22, 108, 218, 0.8, 1), (200, 20, 300, 220, 0.7, 1), (50, 200, 90, 240, 0.6, 18),
    (0, 0, 5, 5, 0.1, 3),
]  # fmt: skip


def view_of(inference: Inference, scale: float = 1.0, notes=(), name="street.jpg") -> PictureView:
    height, width = inference.candidates.height, inference.candidates.width
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    display = np.full((round(height * scale), round(width * scale), 3), 90, np.uint8)
    return PictureView(Picture(pixels, name, notes), display, scale, inference)


def test_rendering_draws_on_the_displayed_copy_and_counts_in_picture_pixels():
    view = view_of(inference_of(TWO_PEOPLE_AND_A_DOG), scale=0.5)
    rendered = render(view, DetectionSettings(show_labels=False, show_scores=False))
    assert rendered.pixels.shape == (150, 200, 3)
    assert rendered.sentence == "2 people, 1 dog"
    np.testing.assert_allclose(rendered.decoded.detections.boxes[0], [10, 20, 110, 220])
    changed = (rendered.pixels != 90).any(2)
    ys, xs = np.nonzero(changed[:, 100:])  # the right half shows the second person alone
    assert abs(xs.max() + 100 - 150) <= 3
    assert abs(ys.max() - 110) <= 3
    assert (view.display == 90).all(), "the copy itself stays clean"


def test_the_projector_draws_larger():
    view = view_of(inference_of(TWO_PEOPLE_AND_A_DOG))
    plain = render(view, DetectionSettings())
    large = render(view, DetectionSettings(), projector=True)
    assert (large.pixels != 90).sum() > 1.3 * (plain.pixels != 90).sum()
    assert large.sentence == plain.sentence


def test_nothing_found_is_said():
    view = view_of(inference_of([]))
    rendered = render(view, DetectionSettings())
    assert rendered.sentence == "No objects above the score threshold"
    np.testing.assert_array_equal(rendered.pixels, view.display)
    assert "0 candidates, 0 after filters, 0 after NMS" in rendered.timing


def test_boxes_are_resized_with_the_picture():
    found = Detections.from_arrays([[10, 20, 30, 40]], [0.5], [1], height=100, width=200)
    half = resized(found, 0.5, (50, 100))
    assert half.boxes.tolist() == [[5, 10, 15, 20]]
    assert (half.height, half.width) == (50, 100)
    assert resized(found, 1.0, (100, 200)) is found


def test_the_timing_line_lists_stages_and_the_funnel():
    inference = inference_of(TWO_PEOPLE_AND_A_DOG)
    decoded = dataclasses.replace(decode(inference, DetectionSettings()), milliseconds=2.0)
    line = timing_line(inference, decoded, 3.4)
    # 1.26 + 23.7 + 0.62 + 2 + 3.4; what took no time is left out
    assert line == (
        "31 ms (prepare 1.3, network 24, boxes 0.6, NMS 2.0, draw 3.4) · cpu fp32 · "
        "5 candidates, 4 after filters, 3 after NMS"
    )
    few = decode(inference, DetectionSettings(max_detections=2))
    assert timing_line(inference, few, 0.0).endswith("3 after NMS, best 2 kept")
    assert "load" in timing_line(dataclasses.replace(inference, stages={"load": 120.0}), decoded, 0.0)


def test_notes_of_the_file_are_shown():
    notes = ("turned by its EXIF orientation", "16-bit scaled to 8-bit")
    rendered = render(view_of(inference_of(TWO_PEOPLE_AND_A_DOG), notes=notes), DetectionSettings())
    assert rendered.timing.endswith(" · turned by its EXIF orientation; 16-bit scaled to 8-bit")


def test_table_rows():
    inference = inference_of(TWO_PEOPLE_AND_A_DOG, level=[2, 2, 1, 0, 0])
    rows = table_rows(decode(inference, DetectionSettings()).detections)
    assert rows == [
        [1, "person", 0.9, 10.0, 20.0, 110.0, 220.0, 100.0, 200.0, 16.67, 2],
        [2, "person", 0.7, 200.0, 20.0, 300.0, 220.0, 100.0, 200.0, 16.67, 1],
        [3, "dog", 0.6, 50.0, 200.0, 90.0, 240.0, 40.0, 40.0, 1.33, 0],
    ]
    assert all(len(row) == len(TABLE_HEADER) for row in rows)
    unknown = table_rows(decode(inference_of(TWO_PEOPLE_AND_A_DOG), DetectionSettings()).detections)
    assert unknown[0][-1] == "-", "a detector without a pyramid"


def test_numbers_show_the_funnel_and_the_levels():
    inference = inference_of(TWO_PEOPLE_AND_A_DOG, level=[2, 2, 1, 0, 0])
    text = numbers_html(decode(inference, DetectionSettings()).report, inference.candidates, LEVELS)
    cells = re.findall(r"<td>([^<]*)</td>", text)
    funnel = dict(zip(cells[:12:2], cells[1:12:2]))
    assert funnel == {
        "Candidates from the network": "5", "Above the score threshold": "4", "Of the chosen classes": "4",
        "Large enough": "4", "After suppression": "3", "Kept": "3",
    }  # fmt: skip
    assert cells[12:] == ["30 x 40", "8", "1200", "2", "15 x 20", "16", "300", "1", "8 x 10", "32", "80", "2"]
    empty = inference_of([])
    assert "Feature map" not in numbers_html(decode(empty, DetectionSettings()).report, empty.candidates, LEVELS)


def test_the_exported_picture_has_full_size():
    view = view_of(inference_of(TWO_PEOPLE_AND_A_DOG), scale=0.5)
    name, content = export(view, DetectionSettings(), "png")
    assert name == "street-detections.png"
    expected = draw(view.picture.pixels, decode(view.inference, DetectionSettings()), DetectionSettings())
    np.testing.assert_array_equal(read_picture(content).pixels, expected)


def test_the_exported_csv_is_the_table():
    name, content = export(view_of(inference_of(TWO_PEOPLE_AND_A_DOG), scale=0.5), DetectionSettings(), "csv")
    assert name == "street-detections.csv"
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    assert [row["label"] for row in rows] == ["person", "person", "dog"]
    assert [float(rows[2][key]) for key in ("x1", "y1", "x2", "y2", "score")] == pytest.approx([50, 200, 90, 240, 0.6])


def test_the_exported_json_is_coco_and_the_fields_own_tool_reads_it(tmp_path, capsys):
    coco = pytest.importorskip("pycocotools.coco")
    name, content = export(view_of(inference_of(TWO_PEOPLE_AND_A_DOG), scale=0.5), DetectionSettings(), "json")
    assert name == "street-detections.json"
    document = json.loads(content)
    assert document["images"] == [{"id": 1, "file_name": "street.jpg", "width": 400, "height": 300}]
    (tmp_path / name).write_bytes(content)
    data = coco.COCO(str(tmp_path / name))
    capsys.readouterr()
    people = data.loadAnns(data.getAnnIds(catIds=data.getCatIds(catNms=["person"])))
    assert [row["bbox"] for row in people] == [[10, 20, 100, 200], [200, 20, 100, 200]]
    assert [row["score"] for row in people] == pytest.approx([0.9, 0.7])
    assert [row["area"] for row in people] == [20000, 20000]
    assert len(data.getCatIds()) == 80


def test_documents_of_several_pictures_number_their_annotations():
    found = Detections.from_arrays([[0, 0, 5, 5], [1, 1, 4, 4]], [0.9, 0.8], [1, 18], height=9, width=8)
    none = Detections.empty(5, 6)
    document = coco_document([("a.png", found), ("b.png", none), ("c.png", found)])
    assert [image["id"] for image in document["images"]] == [1, 2, 3]
    assert [(a["id"], a["image_id"]) for a in document["annotations"]] == [(1, 1), (2, 1), (3, 3), (4, 3)]
    json.dumps(document)


@pytest.mark.parametrize(
    ("name", "stem"), [("a.b.png", "a.b"), ("", "picture"), ("../../etc/x.png", "x"), ("no_suffix", "no_suffix")]
)
def test_names_of_downloads(name, stem):
    assert export(view_of(inference_of([]), name=name), DetectionSettings(), "csv")[0] == f"{stem}-detections.csv"


def test_an_unknown_export_is_refused():
    with pytest.raises(InputError, match="png, json or csv"):
        export(view_of(inference_of([])), DetectionSettings(), "pdf")


def test_counts_over_time():
    counts = Counts()
    assert counts.sentence() == "No frames"
    person = Detections.from_arrays([[0, 0, 5, 5]] * 2, [0.9, 0.8], [1, 1], height=9, width=9)
    mixed = Detections.from_arrays([[0, 0, 5, 5]] * 2, [0.9, 0.8], [18, 1], height=9, width=9)
    for index, found in enumerate((person, Detections.empty(9, 9), mixed)):
        counts.add(index / 4, found)
    assert counts.classes() == [1, 18]
    assert counts.classes(1) == [1]
    assert counts.to_csv() == "time,person,dog\n0.000,2,0\n0.250,0,0\n0.500,1,1\n"
    assert counts.sentence() == "3 frames; at most 2 people, 1 dog at once"
    series = counts.series()
    assert len(series) == 6
    assert (0.5, "dog", 1) in series
    assert (0.25, "person", 0) in series
    empty = Counts()
    empty.add(0.0, Detections.empty(9, 9))
    assert empty.sentence() == "1 frame, no objects"
    assert empty.to_csv() == "time\n0.000\n"
