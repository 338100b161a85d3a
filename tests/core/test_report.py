"""How an evaluation hands over what it measured."""

from __future__ import annotations

import json

import pytest

from cvdemo.core.errors import CvDemoError
from cvdemo.core.report import hand_over

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
