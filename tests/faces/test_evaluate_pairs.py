"""``evaluate faces`` in LFW's layout, on pictures of flat colours with a stand-in for the networks."""

import json

import cv2
import numpy as np
import pytest

from cvdemo.__main__ import build_parser
from cvdemo.core.errors import InputError
from cvdemo.faces import evaluate_pairs
from cvdemo.faces.embedder import unit
from cvdemo.faces.evaluate_pairs import Pair, curves_of, picture_path, read_pairs, score_pairs, summarise

COLOURS = {"Ann": (250, 10, 10), "Bob": (10, 250, 10), "Cid": (10, 10, 250)}
LIST = (
    "2\t2\nAnn\t1\t2\nBob\t1\t2\nAnn\t1\tBob\t1\nBob\t2\tCid\t1\nCid\t1\t2\nAnn\t2\t1\nAnn\t2\tCid\t2\nBob\t1\tCid\t1\n"
)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (tmp_path / name).mkdir()
        for number in (1, 2):
            pixels = np.clip(np.array(colour) + rng.normal(0, 4, (20, 20, 3)), 0, 255).astype(np.uint8)
            assert cv2.imwrite(str(tmp_path / name / f"{name}_{number:04d}.png"), pixels[:, :, ::-1])
    (tmp_path / "pairs.txt").write_text(LIST)
    return tmp_path


def evaluate(pairs, folder, embed):
    scores, counts = score_pairs(pairs, folder, embed)
    return {**summarise(scores, pairs), **counts}


def colour_of(pixels):
    return unit(pixels.mean((0, 1)) - 90.0)


def test_pairs_are_read(folder):
    pairs = read_pairs(folder / "pairs.txt")
    assert len(pairs) == 8
    assert pairs[0] == Pair(("Ann", 1), ("Ann", 2), 0)
    assert pairs[3] == Pair(("Bob", 2), ("Cid", 1), 0)
    assert [pair.same for pair in pairs] == [True, True, False, False] * 2
    assert [pair.fold for pair in pairs] == [0] * 4 + [1] * 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "does not start"),
        ("Ann\t1\t2\n", "does not start"),
        ("1\t1\nAnn\t1\t2\nAnn\t1\n", "Line 3"),
        ("1\t1\nAnn\t1\tx\nAnn\t1\tBob\t1\n", "Line 2"),
        ("2\t1\nAnn\t1\t2\nAnn\t1\tBob\t1\n", "announces 4 pairs and holds 2"),
    ],
)
def test_lists_that_are_none(tmp_path, text, words):
    (tmp_path / "pairs.txt").write_text(text)
    with pytest.raises(InputError, match=words):
        read_pairs(tmp_path / "pairs.txt")
    with pytest.raises(InputError, match="cannot be read"):
        read_pairs(tmp_path / "none.txt")


def test_a_perfect_embedder(folder):
    result = evaluate(read_pairs(folder / "pairs.txt"), folder, colour_of)
    assert result["accuracy"] == 1
    assert result["eer"] == 0
    assert result["tar@far=1e-2"] == 1
    assert result["std"] == 0
    assert (result["pairs"], result["pictures"], result["faces_not_found"]) == (8, 6, 0)
    assert -0.5 < result["threshold"] < 1


def test_pairs_without_a_face_are_refused_not_left_out(folder):
    missing = read_pairs(folder / "pairs.txt")

    def blind(pixels):
        return None if pixels[..., 0].mean() > 200 else colour_of(pixels)  # sees nothing on Ann's pictures

    result = evaluate(missing, folder, blind)
    assert result["faces_not_found"] == 2
    assert result["pairs"] == 8
    assert result["tar@far=1e-2"] == 0.5  # both pairs of Ann are lost
    assert result["accuracy"] == 0.75


def test_the_curves_cross_between_the_two_kinds_of_pairs(folder):
    pairs = read_pairs(folder / "pairs.txt")
    curves = curves_of(score_pairs(pairs, folder, colour_of)[0], pairs)
    assert curves["thresholds"][0] == -1
    assert curves["thresholds"][-1] == 1
    assert (curves["far"][0], curves["frr"][0]) == (1.0, 0.0)
    assert curves["far"] == sorted(curves["far"], reverse=True)
    assert curves["frr"] == sorted(curves["frr"])
    assert any(far == 0 and frr == 0 for far, frr in zip(curves["far"], curves["frr"]))


def test_every_picture_is_embedded_once(folder):
    seen = []
    evaluate(read_pairs(folder / "pairs.txt"), folder, lambda p: seen.append(p) or colour_of(p))
    assert len(seen) == 6


def test_pictures_that_are_not_there(folder):
    assert picture_path(folder, "Ann", 2).name == "Ann_0002.png"
    with pytest.raises(InputError, match="folder for each person"):
        picture_path(folder, "Ann", 3)


@pytest.mark.parametrize("grey", [False, True])
def test_the_command_writes_the_documented_keys(folder, capsys, monkeypatch, grey):
    seen = []
    monkeypatch.setattr(evaluate_pairs, "_embed_with_model", lambda p, model: seen.append(p) or colour_of(p))
    command = ["evaluate", "faces", "--pairs", str(folder / "pairs.txt"), "--images", str(folder), "--json", "-"]
    args = build_parser().parse_args([*command, *(["--grey"] if grey else [])])
    assert args.run(args) == 0
    result = json.loads(capsys.readouterr().out)
    assert {"accuracy", "std", "eer", "tar@far=1e-2", "threshold", "faces_not_found"} <= set(result)
    assert result["model"] == "compact-faces"
    assert all((p[..., 0] == p[..., 1]).all() for p in seen) is grey


def test_the_command_in_words(folder, capsys, monkeypatch):
    monkeypatch.setattr(evaluate_pairs, "_embed_with_model", lambda p, model: colour_of(p))
    target, curves = folder / "result.json", folder / "curves.json"
    args = build_parser().parse_args(
        ["evaluate", "faces", "--pairs", str(folder / "pairs.txt"), "--images", str(folder), "--json", str(target),
         "--curves", str(curves)]
    )  # fmt: skip
    assert args.run(args) == 0
    assert "accuracy      100.00 %" in capsys.readouterr().out
    assert json.loads(target.read_text())["accuracy"] == 1
    assert len(json.loads(curves.read_text())["far"]) == 201
