"""How an evaluation hands over what it measured."""

from __future__ import annotations

import json

import pytest

from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.report import ProgressLine, hand_over, locate

RESULT = {"accuracy": 0.5, "pairs": [1, 2]}


def test_words_alone_without_a_target(capsys):
    hand_over(RESULT, None, "half of them")
    assert capsys.readouterr().out == "half of them\n"


def test_a_dash_prints_json_alone(capsys):
    hand_over(RESULT, "-", "half of them")
    assert json.loads(capsys.readouterr().out) == RESULT


def test_a_file_gets_the_json_and_the_words_are_printed(tmp_path, capsys):
    hand_over(RESULT, str(tmp_path / "figures.json"), "half of them")
    assert json.loads((tmp_path / "figures.json").read_text()) == RESULT
    assert capsys.readouterr().out == "half of them\n"


def test_a_file_that_cannot_be_written_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CvDemoError):
        hand_over(RESULT, str(tmp_path / "file" / "figures.json"), "half of them")


def test_progress_is_said_every_few_seconds_and_at_the_end(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("cvdemo.core.report.time.monotonic", lambda: now[0])
    line = ProgressLine(seconds=5.0)
    for done, moment in ((1, 101.0), (2, 106.0), (3, 107.0), (4, 108.0)):
        now[0] = moment
        line(done, 4)
    assert capsys.readouterr().err.splitlines() == ["2 of 4 pictures, about 6 s left", "4 of 4 pictures"]


def test_pictures_are_found_by_their_whole_name_or_the_last_part_of_it(tmp_path):
    (tmp_path / "val").mkdir()
    for name in ("val/1.jpg", "2.jpg", "1.jpg"):
        (tmp_path / name).touch()
    names = {1: "val/1.jpg", 2: "val/2.jpg"}
    assert locate(names, tmp_path, False) == {1: tmp_path / "val/1.jpg", 2: tmp_path / "2.jpg"}
    with pytest.raises(InputError, match=r"1 of 3 pictures are not in .* the first: val/3.jpg.*--skip-missing"):
        locate(names | {3: "val/3.jpg"}, tmp_path, False)
    assert set(locate(names | {3: "val/3.jpg"}, tmp_path, True)) == {1, 2}
    with pytest.raises(InputError, match="Check --images"):
        locate({3: "3.jpg"}, tmp_path, True)
