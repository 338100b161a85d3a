"""The endpoints called as functions, with a stand-in for the networks; what they never return."""

import inspect
import json

import gradio as gr
import numpy as np
import pytest

from cvdemo.core.media import save_picture
from cvdemo.faces import api, predict
from cvdemo.faces.embedder import unit
from cvdemo.faces.predict import FaceMatchSettings, FacesInference
from cvdemo.faces.result import Faces
from cvdemo.ui.sessions import files

DEFAULTS = list(FaceMatchSettings().to_dict().values())


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "root", tmp_path / "session")

    def infer(picture, model, **_):
        count = int(picture.pixels.any())
        faces = Faces(np.tile(np.float32([0, 0, 30, 30]), (count, 1)), np.full(count, 0.9, np.float32),
                      np.zeros((count, 5, 2), np.float32), 40, 40, "finder")  # fmt: skip
        vectors = unit(picture.pixels[0, :1].astype(float)).repeat(count, 0)
        crops = np.zeros((count, 112, 112, 3), np.uint8)
        return FacesInference(faces, crops, vectors, {"find: network": 1.5}, "cpu", "float32", model)

    monkeypatch.setattr(predict, "infer", infer)
    paths = {}
    for name, colour in {"red": (200, 0, 0), "dark red": (90, 5, 5), "blue": (0, 0, 200), "black": (0, 0, 0)}.items():
        save_picture(tmp_path / f"{name}.png", np.full((40, 40, 3), colour, np.uint8))
        paths[name] = str(tmp_path / f"{name}.png")
    return paths


def test_two_pictures_are_compared(pictures):
    answer = api.faces_compare(pictures["red"], pictures["dark red"], "", *DEFAULTS, None)
    assert answer["same"] is True
    assert answer["model"] == "compact-faces"
    assert answer["sentence"].startswith("Same person")
    assert answer["milliseconds"] == {"find: network": 3.0}
    assert json.loads(json.dumps(answer)) == answer
    assert api.faces_compare(pictures["red"], pictures["blue"], "", *DEFAULTS, None)["same"] is False
    assert "embedding" not in json.dumps(answer)


@pytest.mark.parametrize(
    ("a", "b", "threshold", "words"),
    [
        ("red", None, 0.4, "Two pictures are needed"),
        (None, "red", 0.4, "Two pictures are needed"),
        ("red", "black", 0.4, "No face was found in the second"),
        ("red", "blue", 3, "from -1 to 1"),
    ],
)
def test_what_cannot_be_done_is_explained(a, b, threshold, words, pictures):
    values = [threshold, *DEFAULTS[1:]]
    with pytest.raises(gr.Error, match=words):
        api.faces_compare(pictures.get(a), pictures.get(b), "", *values, None)


def test_parameters_are_the_settings_in_their_order():
    names = list(inspect.signature(api.faces_compare).parameters)
    assert names == ["image_a", "image_b", "model", *FaceMatchSettings().to_dict(), "request"]
    assert list(api.faces_settings()) == list(FaceMatchSettings().to_dict())
    described = inspect.getdoc(api.faces_compare)
    assert all(f"{name}:" in described for name in names[:-1])


def test_models_say_whether_they_can_be_used():
    (row,) = [row for row in api.faces_models() if row["name"] == "compact-faces"]
    assert row["available"] or row["remedy"]
    assert "compact-face-detector" not in [r["name"] for r in api.faces_models()]


def test_the_endpoints_register():
    with gr.Blocks() as demo:
        api.add_faces_api()
    names = {function.api_name for function in demo.fns.values()}
    assert {"faces_compare", "faces_settings", "faces_models"} <= names
