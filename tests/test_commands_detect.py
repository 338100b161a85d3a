"""``python -m cvdemo detect`` from its arguments to what it prints, writes and returns."""

import csv
import io
import json
import os

import cv2
import numpy as np
import pytest

from cvdemo.__main__ import main
from cvdemo.core.media import read_picture, save_picture
from cvdemo.core.video import VideoWriter, probe_video
from cvdemo.detection.predict import decode, infer, settings_for

pytestmark = pytest.mark.usefixtures("compact_engine")


@pytest.fixture(scope="module")
def picture(crowd, tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "crowd.png"
    save_picture(path, crowd)
    return path


@pytest.fixture(scope="module")
def clip(crowd, tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    with VideoWriter(path, 4.0, (320, 192)) as writer:
        for index in range(4):
            writer.write(cv2.resize(np.roll(crowd, 20 * index, axis=1), (320, 192), interpolation=cv2.INTER_AREA))
    return path


def call(capsys, *arguments) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    code = main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err
    return code, printed.out, printed.err


def test_a_picture_as_json_in_the_documented_form(picture, crowd, capsys):
    code, out, err = call(capsys, "detect", picture, "--json", "-")
    assert code == 0
    result = json.loads(out)
    assert set(result) == {"image", "model", "detections"}
    assert result["image"] == {"name": "crowd.png", "width": 1000, "height": 600}
    assert result["model"] == "compact-detector"
    for row in result["detections"]:
        assert set(row) == {"label", "category_id", "score", "box"}
        x1, y1, x2, y2 = row["box"]
        assert 0 <= x1 < x2 <= 1000
        assert 0 <= y1 < y2 <= 600
        assert 0.35 < row["score"] <= 1
    expected = decode(infer(crowd), settings_for("compact-detector")).detections
    assert result["detections"] == expected.to_dict()["detections"]
    assert err == f"crowd.png: {expected.sentence()}\n"


def test_settings_and_all_outputs_at_once(picture, crowd, tmp_path, capsys):
    code, out, _ = call(
        capsys, "detect", picture, "--score-threshold", "0.1", "--nms-kind", "none", "--classes", "person",
        "--max-detections", "6", "--json", tmp_path / "a.json", "--coco", tmp_path / "coco.json", "--csv", "-",
        "--save", tmp_path / "drawn.jpg",
    )  # fmt: skip
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["label"] for row in rows] == ["person"] * 6
    plain = json.loads((tmp_path / "a.json").read_text())
    assert [row["score"] for row in plain["detections"]] == pytest.approx([float(row["score"]) for row in rows])
    coco = json.loads((tmp_path / "coco.json").read_text())
    assert [image["file_name"] for image in coco["images"]] == ["crowd.png"]
    assert len(coco["annotations"]) == 6
    drawn = read_picture(tmp_path / "drawn.jpg").pixels
    assert drawn.shape == crowd.shape
    assert np.abs(drawn.astype(int) - crowd).max() > 100


def test_a_folder_with_one_bad_file_goes_on(picture, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "b.png").write_bytes(picture.read_bytes())
    (folder / "c.JPG").write_bytes(cv2.imencode(".jpg", np.zeros((40, 50, 3), np.uint8))[1].tobytes())
    (folder / "a.jpg").write_bytes(picture.read_bytes()[:2000])
    (folder / "notes.txt").write_text("no picture")
    code, out, err = call(
        capsys, "detect", folder, "--json", "-", "--csv", tmp_path / "t.csv", "--save", tmp_path / "o"
    )
    assert code == 1
    names = [row["image"]["name"] for row in json.loads(out)["pictures"]]
    assert names == ["b.png", "c.JPG"]
    lines = err.splitlines()
    assert lines[0].startswith("[1/3] a.jpg is damaged or cut short")
    assert lines[1].startswith("[2/3] b.png: ")
    assert lines[2] == "[3/3] c.JPG: No objects above the score threshold"
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == ["b.png", "c.png"]
    table = list(csv.DictReader((tmp_path / "t.csv").open()))
    assert {row["image"] for row in table} == {"b.png"}
    (folder / "a.jpg").unlink()
    assert call(capsys, "detect", folder)[0] == 0


def test_drawn_pictures_of_a_folder_never_replace_each_other_or_the_originals(picture, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    for name, shade in (("a.jpg", 10), ("a.png", 200)):
        save_picture(folder / name, np.full((40, 50, 3), shade, np.uint8))
    original = (folder / "a.png").read_bytes()
    assert call(capsys, "detect", folder, "--save", tmp_path / "o")[0] == 0
    shades = {p.name: read_picture(p).pixels[20, 25, 0] for p in (tmp_path / "o").iterdir()}
    assert shades == {"a.jpg.png": pytest.approx(10, abs=2), "a.png.png": 200}
    code, _, err = call(capsys, "detect", folder, "--save", folder)
    assert code == 2
    assert "write over" in err
    assert (folder / "a.png").read_bytes() == original


def test_a_video(clip, tmp_path, capsys):
    code, out, err = call(capsys, "detect", clip, "--json", "-", "--csv", tmp_path / "c.csv", "--save",
                          tmp_path / "out.mp4", "--stride", "2")  # fmt: skip
    assert code == 0
    result = json.loads(out)
    assert result["video"] == {"name": "clip.mp4", "width": 320, "height": 192, "fps": pytest.approx(2)}
    assert [frame["index"] for frame in result["frames"]] == [0, 2]
    assert [frame["time"] for frame in result["frames"]] == pytest.approx([0, 0.5], abs=0.01)
    for frame in result["frames"]:
        assert sum(frame["counts"].values()) == len(frame["detections"]) >= 1
        labels = [row["label"] for row in frame["detections"]]
        assert frame["counts"] == {name: labels.count(name) for name in labels}
    assert "2 frames; at most" in err
    assert probe_video(tmp_path / "out.mp4").frames == 2
    assert (tmp_path / "c.csv").read_text().startswith("time,person")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.jpg"], "no file"),
        (["x" * 300 + ".jpg"], "long"),
        (["text.jpg"], "text file"),
        (["text.mp4"], "text file"),
        (["empty"], "holds no pictures"),
        (["PICTURE", "--model", "compact-detektor"], "Did you mean: compact-detector"),
        (["PICTURE", "--save", "missing/out.png"], "does not exist"),
        (["PICTURE", "--json", "missing/out.json"], "could not be written"),
        (["CLIP", "--coco", "-"], "Use --json for a video"),
        (["CLIP", "--stride", "0"], "stride"),
        (["full", "--save", "text.jpg"], "cannot be used as a folder"),
    ],
)
def test_problems_are_one_line_on_standard_error(arguments, words, picture, clip, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("text.jpg", "text.mp4"):
        (tmp_path / name).write_text("I am a text. " * 30)
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.png").write_bytes(picture.read_bytes())
    places = {"PICTURE": picture, "CLIP": clip}
    code, out, err = call(capsys, "detect", *(places.get(word, word) for word in arguments))
    assert code == 2
    assert out == ""
    (problem,) = (line for line in err.splitlines() if line.startswith("cvdemo: "))
    assert words in problem
    assert problem == err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--score-threshold", "2"], "Score threshold"),
        (["--score-threshold", "nan"], "Score threshold"),
        (["--classes", "persn"], "Did you mean person"),
        (["--nms-kind", "loud"], "hard"),
        (["--stride", "two"], "--stride"),
        (["--no-such-flag"], "--no-such-flag"),
    ],
)
def test_wrong_flags_end_with_a_usage_message(arguments, words, picture, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["detect", str(picture), *arguments])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_an_address_is_no_file(capsys):
    with pytest.raises(SystemExit):
        main(["detect", "https://host.invalid/a.jpg"])
    assert "https://host.invalid/a.jpg is a web address" in capsys.readouterr().err


def test_no_labels_are_drawn_when_none_are_wanted(picture, tmp_path, capsys):
    call(capsys, "detect", picture, "--save", tmp_path / "with.png")
    call(capsys, "detect", picture, "--save", tmp_path / "without.png", "--no-show-labels", "--no-show-scores")
    assert (read_picture(tmp_path / "with.png").pixels != read_picture(tmp_path / "without.png").pixels).any()


def test_a_reader_that_stops_early_is_no_error(picture, capsys, monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        monkeypatch.setattr("sys.stdout", closed)
        assert main(["detect", str(picture), "--json", "-"]) == 0


def test_stopping_by_hand(picture, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("cvdemo.commands.detect.infer", interrupted)
    code, _, err = call(capsys, "detect", picture)
    assert code == 130
    assert err == "cvdemo: stopped.\n"


def test_the_commands_are_listed_and_one_is_needed(capsys):
    for arguments, code in ((["--help"], 0), ([], 2), (["--version"], 0)):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == code
    printed = capsys.readouterr()
    assert all(name in printed.out for name in ("detect", "evaluate", "models", "download"))
    assert "cvdemo " in printed.out
