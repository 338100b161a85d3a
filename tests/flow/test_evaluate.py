"""Measuring on folders of pairs and on scenes; what the command writes."""

import argparse
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from cvdemo.core.errors import InputError
from cvdemo.core.media import save_picture
from cvdemo.flow import evaluate as module
from cvdemo.flow.evaluate import evaluate, pair_folders, read_pair, still, synthetic_pairs
from cvdemo.flow.files import write_flow
from tests.flow.conftest import moved_pair, textured


@pytest.fixture
def data(tmp_path):
    """Three pairs that moved by (3, 2), (5, 0) and (0, 4), their truth in three formats."""
    for number, (x, y, name) in enumerate([(3, 2, "flow.flo"), (5, 0, "a_flow.png"), (0, 4, "z.npy")]):
        folder = tmp_path / "data" / f"pair{number}"
        folder.mkdir(parents=True)
        for order, frame in enumerate(moved_pair(x=x, y=y, seed=number)):
            save_picture(folder / f"frame1{order}.png", frame)
        write_flow(folder / name, np.full((96, 128, 2), (x, y), np.float32))
    return tmp_path / "data"


def call(*arguments):
    parser = argparse.ArgumentParser()
    module.add_parser(parser.add_subparsers())
    args = parser.parse_args(["flow", *map(str, arguments)])
    return args.run(args)


def test_nothing_moves_is_as_wrong_as_the_motion_is_long(data, capsys):
    assert call("--data", data, "--model", "zero", "--json", "-") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["epe"] == pytest.approx((13**0.5 + 5 + 4) / 3, abs=1e-3)
    assert (result["pairs"], result["model"], result["fl_all"]) == (3, "zero", 100.0)
    assert [row["name"] for row in result["per_pair"]] == ["pair0", "pair1", "pair2"]


def test_a_method_is_measured_by_its_name(data, tmp_path, processor, capsys):
    assert call("--data", data, "--model", "dis-medium", "--json", tmp_path / "r.json") == 0
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["epe"] < 0.3
    assert "EPE" in capsys.readouterr().out


def test_frames_come_in_the_order_of_their_names(data):
    pair = read_pair(data / "pair0")
    first, second = moved_pair(x=3, y=2, seed=0)
    assert np.array_equal(pair.first, first)
    assert np.array_equal(pair.second, second)
    assert (pair.flow == (3, 2)).all()
    assert pair.known.all()


def test_one_pair_can_be_given_directly(data):
    assert pair_folders(data / "pair1") == [data / "pair1"]


def test_unknown_pixels_do_not_count(data):
    truth = np.full((96, 128, 2), (3, 2), np.float32)
    truth[:50] = 1e10
    write_flow(data / "pair0" / "flow.flo", truth)
    found = evaluate([read_pair(data / "pair0")], still)
    assert found["per_pair"][0]["pixels"] == 46 * 128
    assert found["epe"] == pytest.approx(13**0.5, rel=1e-5)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "flow.flo").unlink(), "2 frames and 0 flow files"),
        (lambda folder: (folder / "frame10.png").unlink(), "1 frames"),
        (lambda folder: cv2.imwrite(str(folder / "frame12.png"), np.zeros((4, 4, 3), np.uint8)), "3 frames"),
        (lambda folder: save_picture(folder / "frame11.png", textured(90, 128)), "different sizes: 128 x 96, 128 x 90"),
        (lambda folder: (folder / "flow.flo").write_bytes(b"PIEH12345678"), "flow.flo"),
    ],
)
def test_incomplete_pairs_are_explained(spoil, words, data):
    spoil(data / "pair0")
    with pytest.raises(InputError, match=words):
        evaluate(map(read_pair, pair_folders(data)), still)


def test_folders_without_pairs_are_explained(tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        call("--data", tmp_path / "nowhere", "--model", "zero")
    with pytest.raises(InputError, match="holds no pairs"):
        call("--data", tmp_path, "--model", "zero")
    with pytest.raises(InputError, match="either --data"):
        call("--model", "zero")


def test_scenes_are_the_same_for_everybody(capsys):
    settings = replace(module.LARGE_MOTION, height=96, width=128)
    none = np.zeros((0, 1, 1, 3), np.uint8)
    one, two = (list(synthetic_pairs(2, none, settings)) for _ in range(2))
    assert np.array_equal(one[1].flow, two[1].flow)
    found = evaluate(one, still, model="zero")
    expected = np.mean([np.linalg.norm(pair.flow, axis=2).mean() for pair in one])
    assert found["epe"] == pytest.approx(expected, rel=1e-5)
    assert found["epe_visible"] < found["epe_occluded"] * 3
    assert call("--synthetic", 1, "--model", "zero", "--motion", "5") == 0
    assert "zero on 1 pairs" in capsys.readouterr().out
