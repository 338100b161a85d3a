"""``evaluate action``: folders to classes, figures, and errors that say what to do."""

import json

import numpy as np
import pytest

from cvdemo.__main__ import main
from cvdemo.action.evaluate import class_of_folder, evaluate, labelled_files
from cvdemo.core.errors import InputError
from cvdemo.core.media import save_picture
from tests.action.helpers import CATEGORIES, STAND_IN, coloured, write

COLOURS = {"red": (230, 10, 10), "green": (10, 230, 10), "blue": (10, 10, 230)}


@pytest.fixture
def data(tmp_path):
    """Two clips and a still of three classes; one "green" clip is blue."""
    for name, colour in COLOURS.items():
        folder = tmp_path / name
        folder.mkdir()
        write(folder / "clip.mp4", coloured(colour, 12, 48, 64), 8)
        save_picture(folder / "still.png", coloured(colour, 1)[0])
    write(tmp_path / "green" / "wrong.mp4", coloured(COLOURS["blue"], 12, 48, 64), 8)
    return tmp_path


@pytest.mark.parametrize(
    ("folder", "expected"),
    [("Push-Ups", 4), ("push_up", 4), ("PushUp", 4), ("push ups", 4), ("Red", 0), ("moving_fast", 3), ("reddish", None),
     ("", None)],
)  # fmt: skip
def test_folder_names(folder, expected):
    assert class_of_folder(folder, CATEGORIES) == expected


def test_a_plural_category_takes_a_singular_folder():
    assert class_of_folder("squat", ("squats", "dips")) == 0


def test_the_command_counts(stand_in, data, capsys):
    assert main(["evaluate", "action", "--data", str(data), "--model", STAND_IN, "--json", "-"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["accuracy"] == pytest.approx(6 / 7)
    assert result["top5"] == 1
    assert result["clips"] == 7
    assert result["model"] == STAND_IN
    assert result["per_class"]["green"] == {"accuracy": pytest.approx(2 / 3), "precision": 1.0, "clips": 3}
    assert result["per_class"]["blue"]["precision"] == pytest.approx(2 / 3)
    assert result["skipped_folders"] == []


def test_the_table_and_the_file(stand_in, data, capsys, tmp_path_factory):
    (data / "walking the dog").mkdir()
    target = tmp_path_factory.mktemp("out") / "result.json"
    assert main(["evaluate", "action", "--data", str(data), "--model", STAND_IN, "--json", str(target)]) == 0
    shown = capsys.readouterr().out
    assert "top-1  85.7 %" in shown
    assert "not among the model's actions: walking the dog" in shown
    assert json.loads(target.read_text())["skipped_folders"] == ["walking the dog"]


def test_no_folder_that_is_an_action_names_both_sides(stand_in, tmp_path, capsys):
    (tmp_path / "juggling").mkdir()
    write(tmp_path / "juggling" / "a.mp4", coloured((9, 9, 9), 4), 4)
    assert main(["evaluate", "action", "--data", str(tmp_path), "--model", STAND_IN]) == 2
    said = capsys.readouterr().err
    assert "juggling" in said
    assert "moving fast" in said


def test_other_mistakes(tmp_path):
    with pytest.raises(InputError, match="not a folder"):
        labelled_files(tmp_path / "nowhere", CATEGORIES)
    with pytest.raises(InputError, match="no sub-folders"):
        labelled_files(tmp_path, CATEGORIES)
    (tmp_path / "red").mkdir()
    with pytest.raises(InputError, match="no clips"):
        labelled_files(tmp_path, CATEGORIES)


def test_unreadable_files_are_left_out_and_named(data, capsys):
    def scores_of(path):
        if path.name == "wrong.mp4":
            raise InputError("It is damaged.", hint="Copy it again.")
        return np.eye(6)[CATEGORIES.index(path.parent.name)]

    result = evaluate(data, scores_of, CATEGORIES)
    assert result["accuracy"] == 1
    assert result["unreadable"] == ["wrong.mp4"]
    assert "wrong.mp4 is left out" in capsys.readouterr().err

    def never(path):
        raise InputError("No.", hint="")

    with pytest.raises(InputError, match="None of the 7 files"):
        evaluate(data, never, CATEGORIES)
