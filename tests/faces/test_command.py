"""``python -m cvdemo faces detect`` from arguments to what it prints, writes and returns; the network is a stand-in."""

import argparse
import csv
import io
import json

import cv2
import numpy as np
import pytest

from cvdemo.commands import faces as command
from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.faces.detector import FaceInference
from cvdemo.faces.result import Faces, RawFaces

POINTS = np.array([[22, 24], [42, 24], [32, 36], [24, 48], [40, 48]], np.float32)


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch):
    """Two faces in every picture, one sure and one not."""

    def infer(picture, model):
        height, width = picture.pixels.shape[:2]
        boxes = np.array([[12, 10, 52, 60], [60, 60, 80, 90]], np.float32)
        landmarks = np.stack([POINTS, POINTS / 2 + 50])
        faces = Faces(boxes, np.array([0.9, 0.3], np.float32), landmarks, height, width, model)
        return FaceInference(RawFaces(faces, np.full(2, 8.0), (height, width)), {}, "cpu", "float32", model)

    monkeypatch.setattr(command, "infer_faces", infer)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "pictures" / "a.png"
    path.parent.mkdir()
    rng = np.random.default_rng(0)
    assert cv2.imwrite(str(path), rng.integers(0, 256, (100, 120, 3), np.uint8))
    return path


def call(*arguments) -> int:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    args = parser.parse_args(["faces", "detect", *map(str, arguments)])
    return args.run(args)


def test_a_picture_as_json(picture, capsys):
    assert call(picture, "--json", "-") == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert result["image"] == {"name": "a.png", "width": 120, "height": 100}
    assert [face["box"] for face in result["faces"]] == [[12, 10, 52, 60]]
    assert result["faces"][0]["landmarks"]["right eye"] == [22, 24]
    assert printed.err == "a.png: 1 face, 40 px wide.\n"


def test_settings_and_all_outputs_at_once(picture, tmp_path, capsys):
    code = call(picture, "--score-threshold", "0.2", "--csv", "-", "--coco", tmp_path / "coco.json", "--save",
                tmp_path / "drawn.png", "--crops", tmp_path / "crops")  # fmt: skip
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [float(row["score"]) for row in rows] == pytest.approx([0.9, 0.3])
    coco = json.loads((tmp_path / "coco.json").read_text())
    assert [row["id"] for row in coco["annotations"]] == [1, 2]
    assert coco["images"][0]["file_name"] == "a.png"
    assert coco["categories"][0]["name"] == "face"
    drawn, original = cv2.imread(str(tmp_path / "drawn.png")), cv2.imread(str(picture))
    assert drawn.shape == original.shape
    assert (drawn != original).any()
    crops = sorted((tmp_path / "crops").iterdir())
    assert [path.name for path in crops] == ["a-1.png", "a-2.png"]
    assert cv2.imread(str(crops[0])).shape == (112, 112, 3)


def test_a_folder_with_a_broken_file(picture, tmp_path, capsys):
    (picture.parent / "b.jpg").write_bytes(b"nothing")
    (picture.parent / "notes.txt").write_text("no picture")
    assert call(picture.parent, "--json", tmp_path / "all.json", "--save", tmp_path / "drawn") == 1
    printed = capsys.readouterr().err
    assert "[1/2] a.png: 1 face" in printed
    assert "[2/2]" in printed
    assert [entry["image"]["name"] for entry in json.loads((tmp_path / "all.json").read_text())["pictures"]] == [
        "a.png"
    ]
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["a.png"]


def test_pictures_are_never_written_over(picture):
    for option in ("--save", "--crops"):
        with pytest.raises(InputError, match="over the pictures"):
            call(picture.parent, option, picture.parent)


def test_inputs_that_cannot_be_used(picture, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no pictures"):
        call(tmp_path / "empty")
    with pytest.raises(CvDemoError):
        call(tmp_path / "nowhere.png")
    with pytest.raises(CvDemoError, match="could not be written"):
        call(picture, "--json", tmp_path / "no" / "folder.json")
    with pytest.raises(SystemExit):
        call("https://example.org/a.png")
    assert "web address" in capsys.readouterr().err
