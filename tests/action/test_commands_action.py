"""``python -m cvdemo action`` on a stand-in model."""

import json

import pytest

from cvdemo.__main__ import main
from cvdemo.core.media import read_picture, save_picture
from cvdemo.core.video import probe_video
from tests.action.helpers import STAND_IN, coloured

pytestmark = pytest.mark.usefixtures("stand_in")


def run(capsys, *arguments):
    code = main(["action", *map(str, arguments), "--model", STAND_IN])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_a_clip(red_then_blue, capsys):
    code, out, err = run(capsys, red_then_blue, "--top-k", 2)
    assert code == 0
    assert out.splitlines()[0].endswith("red")
    assert len(out.splitlines()) == 2
    assert "red-then-blue.mp4: red (" in err
    assert run(capsys, red_then_blue, "--start", 2.5)[1].splitlines()[0].endswith("blue")


def test_json(red_then_blue, capsys):
    code, out, _ = run(capsys, red_then_blue, "--json", "-")
    assert code == 0
    answer = json.loads(out)
    assert answer["predictions"][0]["label"] == "red"
    assert answer["clip"]["frames"] == 4


def test_a_timeline_and_a_video(red_then_blue, tmp_path, capsys):
    target = tmp_path / "out.mp4"
    code, out, err = run(capsys, red_then_blue, "--timeline", "--out", target, "--smoothing", 0, "--json", "-")
    assert code == 0
    answer = json.loads(out)
    assert answer["segments"][0]["label"] == "red"
    assert len(answer["windows"]) == 7
    assert "red 0.0 to" in err
    assert probe_video(target).frames == 40
    code, out, _ = run(capsys, red_then_blue, "--timeline")
    assert out.splitlines()[0].endswith("red")


def test_a_picture(tmp_path, capsys):
    path, drawn = tmp_path / "blue.png", tmp_path / "drawn.png"
    save_picture(path, coloured((0, 0, 240), 1, 120, 200)[0])
    code, out, _ = run(capsys, path, "--out", drawn)
    assert code == 0
    assert out.splitlines()[0].endswith("blue")
    assert (read_picture(drawn).pixels != read_picture(path).pixels).any()
    code, _, err = run(capsys, path, "--timeline")
    assert code == 2
    assert "no video" in err


def test_a_file_that_is_nothing(tmp_path, capsys):
    path = tmp_path / "text.mp4"
    path.write_text("nothing")
    code, _, err = run(capsys, path)
    assert code == 2
    assert err.startswith("cvdemo: ")
