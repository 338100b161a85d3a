"""``faces compare|enrol|search|forget`` from arguments to files; a picture's "face" is its mean colour."""

import json

import cv2
import numpy as np
import pytest

from cvdemo.__main__ import main
from cvdemo.core.media import read_picture
from cvdemo.faces import predict
from cvdemo.faces.embedder import unit
from cvdemo.faces.gallery import NOTICE
from cvdemo.faces.predict import FacesInference
from cvdemo.faces.result import Faces

COLOURS = {
    "ann1": (220, 20, 20),
    "ann2": (200, 30, 25),
    "bob1": (20, 210, 30),
    "cid1": (10, 30, 230),
    "none": (0, 0, 0),
}


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch):
    """One face in every picture but black ones, two in pictures wider than 200 pixels."""

    def infer(picture, model="compact-faces", **_):
        pixels = picture.pixels
        height, width = pixels.shape[:2]
        count = 0 if pixels.max() == 0 else 2 if width > 200 else 1
        boxes = np.array([[0, 0, 60, 70], [80, 10, 110, 45]], np.float32)[:count]
        scores = np.array([0.9, 0.8], np.float32)[:count]
        faces = Faces(boxes, scores, np.zeros((count, 5, 2), np.float32), height, width, "finder")
        vector = unit(pixels.mean((0, 1)) - 60.0)
        crops = np.full((count, 112, 112, 3), 9, np.uint8)
        return FacesInference(faces, crops, np.stack([vector, -vector])[:count], {}, "cpu", "float32", model)

    monkeypatch.setattr(predict, "infer", infer)


@pytest.fixture
def folder(tmp_path):
    for name, colour in COLOURS.items():
        width = 240 if name == "cid1" else 120
        assert cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((100, width, 3), colour[::-1], np.uint8))
    return tmp_path


def call(*arguments) -> int:
    return main(["faces", *map(str, arguments)])


def test_the_same_person(folder, capsys):
    save = folder / "sheet.png"
    assert call("compare", folder / "ann1.png", folder / "ann2.png", "--json", "-", "--save", save) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert result["same"] is True
    assert result["pictures"][0] == {"name": "ann1.png", "faces": 1, "box": [0, 0, 60, 70]}
    assert result["sentence"] in printed.err
    assert read_picture(save).pixels.shape[1] > 2 * 112


def test_different_people_and_a_movable_threshold(folder, capsys):
    assert call("compare", folder / "ann1.png", folder / "bob1.png") == 1
    assert "Different people" in capsys.readouterr().err
    assert call("compare", folder / "ann1.png", folder / "bob1.png", "--threshold", "-1") == 0
    assert call("compare", folder / "ann1.png", folder / "none.png") == 2
    assert "No face was found in the second picture." in capsys.readouterr().err


def test_from_enrolling_to_forgetting(folder, capsys):
    gallery = folder / "g" / "mine.json"
    gallery.parent.mkdir()
    assert call("enrol", gallery, folder / "ann1.png", folder / "ann2.png", "--name", "Ann") == 0
    assert NOTICE in capsys.readouterr().err
    assert call("enrol", gallery, folder / "bob1.png", "--name", "Bob") == 0
    people = json.loads(gallery.read_text())["people"]
    assert {name: len(rows) for name, rows in people.items()} == {"Ann": 2, "Bob": 1}
    capsys.readouterr()

    drawn = folder / "g" / "named.png"
    assert call("search", gallery, folder / "ann2.png", "--json", "-", "--save", drawn) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["faces"][0]["match"]["name"] == "Ann"
    assert result["model"] == "compact-faces"
    assert (read_picture(drawn).pixels != read_picture(folder / "ann2.png").pixels).any()

    assert call("search", gallery, folder, "--json", "-", "--threshold", "0.6") == 0
    found = {row["image"]["name"]: row["faces"] for row in json.loads(capsys.readouterr().out)["pictures"]}
    assert [face["match"]["name"] for face in found["cid1.png"]] == [None, None]
    assert found["none.png"] == []
    assert found["bob1.png"][0]["match"]["name"] == "Bob"

    assert call("forget", gallery, "Ann") == 0
    assert list(json.loads(gallery.read_text())["people"]) == ["Bob"]
    assert call("forget", gallery, "Ann") == 2


def test_nothing_is_written_when_a_picture_shows_no_face(folder, capsys):
    gallery = folder / "mine.json"
    assert call("enrol", gallery, folder / "ann1.png", folder / "none.png", "--name", "Ann") == 2
    assert "No face was found in none.png" in capsys.readouterr().err
    assert not gallery.exists()
    assert call("search", gallery, folder / "ann1.png") == 2
    assert call("enrol", gallery, folder / "cid1.png", "--name", "Cid") == 0
    assert "shows several faces; the largest is taken" in capsys.readouterr().err
    assert call("search", gallery, folder, "--save", folder / "x.png") == 2
