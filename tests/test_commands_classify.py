"""``python -m cvdemo classify`` and ``evaluate classification`` from arguments to what they print and return."""

import csv
import io
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cvdemo.__main__ import main
from cvdemo.classification.labels import IMAGENET_CLASSES
from cvdemo.classification.nets.compact_backbone import CompactClassifier
from cvdemo.classification.predict import ClassificationSettings, decode, infer
from cvdemo.core import weights
from cvdemo.core.engine import Engine, set_default_engine
from cvdemo.core.media import save_picture

PICTURE = np.random.default_rng(4).integers(0, 256, (90, 140, 3), dtype=np.uint8)


@pytest.fixture(scope="module", autouse=True)
def _random_weights(tmp_path_factory):
    """The default engine with random weights whose classes differ clearly; no other file, no network."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(7)
    network = CompactClassifier()
    with torch.no_grad():
        network.head.weight.mul_(60)
    save_file(network.state_dict(), folder / "compact_classifier.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CVDEMO_WEIGHTS", str(folder))
        patch.setattr(weights, "hub_folder", lambda: folder)
        patch.setenv("CVDEMO_OFFLINE", "1")
        set_default_engine(Engine("cpu", tune=False))
        yield
        set_default_engine(None)


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "noise.png"
    save_picture(path, PICTURE)
    return path


def call(capsys, *arguments) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    code = main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err
    return code, printed.out, printed.err


def test_a_picture_as_json_in_the_documented_form(picture, capsys):
    code, out, err = call(capsys, "classify", picture, "--json", "-")
    assert code == 0
    expected = decode(infer(PICTURE), ClassificationSettings())
    assert json.loads(out) == expected.to_dict("noise.png")
    rows = json.loads(out)["predictions"]
    assert [set(row) for row in rows] == [{"label", "index", "probability"}] * 5
    assert all(IMAGENET_CLASSES[row["index"]] == row["label"] for row in rows)
    assert err == f"noise.png: {expected.sentence()}\n"


def test_settings_and_files(picture, tmp_path, capsys):
    code, out, _ = call(
        capsys, "classify", picture, "--top-k", "3", "--temperature", "0.5", "--csv", "-", "--json", tmp_path / "a.json"
    )
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    written = json.loads((tmp_path / "a.json").read_text())
    assert [row["label"] for row in written["predictions"]] == [row["label"] for row in rows]
    plain = json.loads(call(capsys, "classify", picture, "--json", "-")[1])
    assert [row["label"] for row in plain["predictions"][:3]] == [row["label"] for row in rows]
    assert written["predictions"][0]["probability"] > plain["predictions"][0]["probability"]


def test_a_folder_with_one_bad_file_goes_on(picture, tmp_path, capsys):
    for name in ("b.png", "c.PNG"):
        (tmp_path / name).write_bytes(picture.read_bytes())
    (tmp_path / "a.jpg").write_bytes(picture.read_bytes()[:300])
    (tmp_path / "notes.txt").write_text("no picture")
    code, out, err = call(capsys, "classify", tmp_path, "--json", "-", "--csv", tmp_path / "t.csv")
    assert code == 1
    assert [row["image"]["name"] for row in json.loads(out)["pictures"]] == ["b.png", "c.PNG"]
    lines = err.splitlines()
    assert lines[0].startswith("[1/3] a.jpg is damaged")
    assert lines[1].startswith("[2/3] b.png: ")
    rows = list(csv.DictReader((tmp_path / "t.csv").open()))
    assert [row["image"] for row in rows] == ["b.png"] * 5 + ["c.PNG"] * 5
    (tmp_path / "a.jpg").unlink()
    assert call(capsys, "classify", tmp_path)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.jpg"], "no file"),
        (["text.jpg"], "text file"),
        (["empty"], "holds no pictures"),
        (["PICTURE", "--model", "resnet81"], "Did you mean"),
        (["PICTURE", "--model", "compact-detector"], "does not classify"),
        (["PICTURE", "--model", "resnet18"], "downloads are switched off"),
        (["PICTURE", "--json", "missing/out.json"], "could not be written"),
    ],
)
def test_problems_are_one_line_on_standard_error(arguments, words, picture, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.jpg").write_text("I am a text. " * 30)
    (tmp_path / "empty").mkdir()
    code, out, err = call(capsys, "classify", *(picture if word == "PICTURE" else word for word in arguments))
    assert code == 2
    assert out == ""
    (problem,) = (line for line in err.splitlines() if line.startswith("cvdemo: "))
    assert words in problem


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--top-k", "0"], "Classes shown"), (["--temperature", "cold"], "Temperature"), (["--colour"], "--colour")],
)
def test_wrong_flags_end_with_a_usage_message(arguments, words, picture, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["classify", str(picture), *arguments])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_an_address_is_no_file(capsys):
    with pytest.raises(SystemExit):
        main(["classify", "https://host.invalid/a.jpg"])
    assert "https://host.invalid/a.jpg is a web address" in capsys.readouterr().err


@pytest.fixture
def labelled(tmp_path):
    """Five pictures in the folder of what the network calls them, and one in another."""
    rng = np.random.default_rng(8)
    for number in range(6):
        pixels = rng.integers(0, 256, (rng.integers(2, 9), 8, 3), dtype=np.uint8).repeat(12, 0).repeat(12, 1)
        index = decode(infer(pixels), ClassificationSettings()).top[0][0] if number else 1
        (tmp_path / str(index)).mkdir(exist_ok=True)
        save_picture(tmp_path / str(index) / f"{number}.png", pixels)
    return tmp_path


def test_evaluating_a_folder(labelled, tmp_path, capsys):
    code, out, err = call(capsys, "evaluate", "classification", "--images", labelled, "--json", "-")
    assert code == 0
    result = json.loads(out)
    assert {"accuracy", "top5", "per_class", "confusion", "images", "model"} <= set(result)
    assert result["accuracy"] == pytest.approx(5 / 6)
    assert (result["images"], result["model"]) == (6, "compact-classifier")
    assert result["per_class"]["goldfish"] == {"accuracy": 0.0, "precision": 0.0, "images": 1}
    assert "6 of 6 pictures" in err
    target = tmp_path / "result.json"
    code, out, _ = call(capsys, "evaluate", "classification", "--images", labelled, "--json", target)
    assert code == 0
    assert json.loads(target.read_text()) == result
    assert "compact-classifier on 6 pictures" in out
    assert "83.3 %" in out


def test_evaluating_says_what_is_wrong(labelled, capsys):
    code, _, err = call(capsys, "evaluate", "classification", "--images", labelled / "nowhere")
    assert code == 2
    assert "is not a folder" in err
    code, _, err = call(capsys, "evaluate", "classification", "--images", labelled, "--model", "vgg61")
    assert code == 2
    assert "vgg16" in err
    (labelled / "unicorn").mkdir()
    save_picture(labelled / "unicorn" / "1.png", PICTURE)
    code, _, err = call(capsys, "evaluate", "classification", "--images", labelled)
    assert code == 2
    assert "The folder unicorn is none of the model's 1000 classes" in err


def test_evaluating_emotions(tmp_path, capsys):
    from cvdemo.classification.nets.emotion_net import EmotionNet

    save_file(EmotionNet().state_dict(), weights.weights_folder() / "compact_emotion.safetensors")
    rng = np.random.default_rng(1)
    for name in ("happy", "sad", "neutral"):
        (tmp_path / name).mkdir()
        for number in range(2):
            pixels = rng.integers(0, 256, (48, 48, 1), dtype=np.uint8).repeat(3, 2)
            save_picture(tmp_path / name / f"{number}.png", pixels)
    code, out, _ = call(capsys, "evaluate", "emotion", "--images", tmp_path, "--json", "-")
    assert code == 0
    result = json.loads(out)
    assert {"accuracy", "top5", "per_class", "confusion", "images", "model"} <= set(result)
    assert set(result["per_class"]) == {"happy", "sad", "neutral"}
    assert (result["images"], result["model"]) == (6, "compact-emotion")
    code, _, err = call(capsys, "evaluate", "emotion", "--images", tmp_path, "--model", "compact-classifier")
    assert code == 2
    assert "does not tell emotions" in err
