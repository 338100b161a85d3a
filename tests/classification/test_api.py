"""The endpoints called as functions, and the race that reuses forward passes, on random weights."""

import gradio as gr
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cvdemo.classification import tab_shared
from cvdemo.classification.api import (
    class_index,
    classification_models,
    classify,
    classify_settings,
    emotions,
    explain_class,
)
from cvdemo.classification.nets.compact_backbone import CompactClassifier
from cvdemo.classification.predict import ClassificationSettings, decode, infer
from cvdemo.classification.tab_imagenet import raced
from cvdemo.core import weights
from cvdemo.core.engine import Engine, default_engine, set_default_engine
from cvdemo.core.errors import InputError
from cvdemo.core.media import read_picture, save_picture
from cvdemo.faces.nets.face_detector import CompactFaceDetector
from cvdemo.ui import memory
from cvdemo.ui.sessions import files

PIXELS = np.random.default_rng(0).integers(0, 256, (120, 180, 3), dtype=np.uint8)


@pytest.fixture(scope="module", autouse=True)
def _engine(tmp_path_factory):
    """A default engine that finds random weights under the compact classifier's name, and no others."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    save_file(CompactClassifier().state_dict(), folder / "compact_classifier.safetensors")
    save_file(CompactFaceDetector().state_dict(), folder / "compact_face_detector.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CVDEMO_WEIGHTS", str(folder))
        patch.setattr(weights, "hub_folder", lambda: folder)
        patch.setenv("CVDEMO_OFFLINE", "1")
        set_default_engine(Engine("cpu", tune=False))
        yield
        set_default_engine(None)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "noise.png"
    save_picture(path, PIXELS)
    return str(path)


def test_classify_answers_like_the_library(picture):
    answer = classify(picture, "compact-classifier", 3, 2.0, None)
    expected = decode(infer(PIXELS), ClassificationSettings(top_k=3, temperature=2.0))
    assert answer["predictions"] == expected.to_dict()["predictions"]
    assert answer["image"] == {"name": "noise.png", "width": 180, "height": 120}
    assert answer["sentence"] == expected.sentence()
    assert answer["entropy_bits"] == pytest.approx(expected.entropy_bits, abs=1e-4)
    assert "network" in answer["milliseconds"]


@pytest.mark.parametrize(
    ("image", "model", "top_k", "words"),
    [
        (None, "compact-classifier", 5, "No picture was sent"),
        ("PICTURE", "nonsense", 5, "no model named"),
        ("PICTURE", "compact-classifier", 0, "from 1 to 20"),
        ("PICTURE", "resnet18", 5, "weights"),
    ],
)
def test_what_cannot_be_classified_is_explained(image, model, top_k, words, picture):
    with pytest.raises(gr.Error, match=words):
        classify(picture if image else None, model, top_k, 1.0, None)


def test_emotions_without_a_face_says_so_and_refuses_what_is_out_of_range(picture):
    answer = emotions(picture, 1.0, 1.0, None)  # no score is above 1
    assert answer["faces"] == []
    assert answer["image"] == {"name": "noise.png", "width": 180, "height": 120}
    assert "face" in answer["sentence"]
    assert "faces network" in answer["milliseconds"]
    wrong = ((2.0, 1.0, "from 0 to 1"), (0.5, 0.0, "from 0.1 to 10"), (None, 1.0, "cannot be None"))
    for threshold, temperature, words in wrong:
        with pytest.raises(gr.Error, match=words):
            emotions(picture, threshold, temperature, None)
    with pytest.raises(gr.Error, match="No picture was sent"):
        emotions(None, 0.5, 1.0, None)


def test_emotions_of_the_shipped_models(crowd, tmp_path, repository, monkeypatch):
    names = ("compact_face_detector.safetensors", "compact_emotion.safetensors")
    if not all((repository / "weights" / name).is_file() for name in names):
        pytest.skip("the shipped weights are not there")
    monkeypatch.setenv("CVDEMO_WEIGHTS", str(repository / "weights"))
    set_default_engine(Engine("cpu", tune=False))
    save_picture(tmp_path / "crowd.png", crowd)
    answer = emotions(str(tmp_path / "crowd.png"), 0.5, 1.0, None)
    assert len(answer["faces"]) >= 3
    for face in answer["faces"]:
        assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-3)


def test_explain_names_the_class_and_draws_the_map(picture, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "root", tmp_path)
    answer, drawn = explain_class(picture, "", "grad-cam", "tiger", 1.0, "viridis", None)
    assert answer["label"] == "tiger"
    assert answer["method"] == "grad-cam"
    assert 0 <= answer["probability"] <= 1
    assert read_picture(drawn).pixels.shape == PIXELS.shape
    best, _ = explain_class(picture, "compact-classifier", "gradient", "", 0.5, "inferno", None)
    assert best["label"] == classify(picture, "", 1, 1.0, None)["predictions"][0]["label"]
    with pytest.raises(gr.Error, match="no class"):
        explain_class(picture, "", "grad-cam", "unicorn", 0.5, "inferno", None)


def test_classes_are_named_or_numbered():
    assert class_index("compact-classifier", "tench") == 0
    assert class_index("compact-classifier", " 292 ") == 292
    assert class_index("compact-classifier", "") is None
    assert class_index("compact-classifier", None) is None
    for text in ("1000", "-1", "nothing"):
        with pytest.raises(InputError):
            class_index("compact-classifier", text)


def test_settings_and_models_are_described():
    assert set(classify_settings()) == {"top_k", "temperature"}
    rows = {row["name"]: row for row in classification_models()}
    assert rows["compact-classifier"]["available"] is True
    assert rows["compact-classifier"]["classes"] == 1000
    assert rows["resnet50"]["available"] is False
    assert rows["resnet50"]["remedy"]


def test_a_race_runs_only_what_has_not_run(picture):
    session = "racer"
    loaded = read_picture(picture)
    look = tab_shared.look_of(session, loaded, "compact-classifier")
    before = sum(model.runs for model in default_engine().statistics().models)
    comparison = raced(session, loaded, ["resnet18", "compact-classifier"], None, None)
    assert sum(model.runs for model in default_engine().statistics().models) == before
    assert comparison.inferences == (look.inference,)
    assert set(comparison.skipped) == {"resnet18"}
    memory.forget(session)
    raced(session, loaded, ["compact-classifier"], None, None)
    assert sum(model.runs for model in default_engine().statistics().models) == before + 1
    tab_shared.look_of(session, loaded, "compact-classifier")
    assert sum(model.runs for model in default_engine().statistics().models) == before + 1
    memory.forget(session)
