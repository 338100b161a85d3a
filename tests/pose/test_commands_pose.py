"""``python -m cvdemo pose`` from its arguments to what it prints, writes and returns; with a stand-in network."""

import argparse
import csv
import io
import json

import numpy as np
import pytest

from cvdemo.commands import pose as command
from cvdemo.core.errors import CvDemoError
from cvdemo.core.media import read_picture, save_picture
from cvdemo.core.video import VideoWriter, probe_video

BOXES = [[20, 20, 90, 220], [180, 30, 260, 230]]


@pytest.fixture(autouse=True)
def _people(stand_in, crowd_of):
    crowd_of(BOXES)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "a.png"
    save_picture(path, np.full((240, 320, 3), 90, np.uint8))
    return path


def call(*arguments):
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    args = parser.parse_args(["pose", *(str(argument) for argument in arguments), "--model", "stand-in-pose"])
    return args.run(args)


def test_a_picture_with_all_outputs(picture, tmp_path, capsys):
    code = call(
        picture, "--json", "-", "--coco", tmp_path / "c.json", "--csv", tmp_path / "t.csv", "--save",
        tmp_path / "drawn.png", "--hidden-joints", "nose,left ear", "--style", "limbs",
    )  # fmt: skip
    assert code == 0
    printed = capsys.readouterr()
    assert printed.err == "a.png: 2 people: 15 and 15 of 17 joints visible\n"
    result = json.loads(printed.out)
    assert result["image"] == {"name": "a.png", "width": 320, "height": 240}
    assert [person["num_keypoints"] for person in result["people"]] == [15, 15]
    coco = json.loads((tmp_path / "c.json").read_text())
    assert [row["keypoints"] for row in coco["annotations"]] == [row["keypoints"] for row in result["people"]]
    rows = list(csv.DictReader((tmp_path / "t.csv").open()))
    assert sum(row["visible"] == "1" for row in rows) == 30
    assert np.abs(read_picture(tmp_path / "drawn.png").pixels.astype(int) - 90).max() > 100


def test_a_folder_with_one_bad_file_goes_on(picture, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "b.png").write_bytes(picture.read_bytes())
    (folder / "a.jpg").write_bytes(picture.read_bytes()[:60])
    assert call(folder, "--json", "-", "--csv", tmp_path / "t.csv", "--save", tmp_path / "o") == 1
    printed = capsys.readouterr()
    assert [row["image"]["name"] for row in json.loads(printed.out)["pictures"]] == ["b.png"]
    assert "a.jpg is damaged" in printed.err
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["b.png"]
    assert (tmp_path / "t.csv").read_text().splitlines()[1].startswith("b.png,1,nose")


def test_a_video(tmp_path, capsys):
    clip = tmp_path / "clip.mp4"
    with VideoWriter(clip, 4.0, (320, 240)) as writer:
        for index in range(4):
            writer.write(np.full((240, 320, 3), 40 * index, np.uint8))
    assert call(clip, "--json", "-", "--csv", tmp_path / "t.csv", "--save", tmp_path / "out.mp4", "--stride", "2") == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert [frame["index"] for frame in result["frames"]] == [0, 2]
    assert [person["track"] for person in result["frames"][1]["people"]] == [1, 2]
    assert "2 frames; at most 2 people at once" in printed.err
    assert probe_video(tmp_path / "out.mp4").frames == 2
    table = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text())))
    assert [(row["time"], row["person"]) for row in table] == [
        ("0.000", "1"), ("0.000", "2"), ("0.500", "1"), ("0.500", "2"),
    ]  # fmt: skip
    with pytest.raises(CvDemoError, match="pictures only"):
        call(clip, "--coco", "-")


def test_problems(picture, tmp_path):
    with pytest.raises(CvDemoError, match="no file"):
        call(tmp_path / "missing.png")
    with pytest.raises(CvDemoError, match="could not be written"):
        call(picture, "--json", tmp_path / "no" / "out.json")
    with pytest.raises(SystemExit):
        call(picture, "--joint-threshold", "2")
    with pytest.raises(SystemExit):
        call("https://host.invalid/a.jpg")
