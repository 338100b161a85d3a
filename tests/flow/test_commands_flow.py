"""``python -m cvdemo flow`` from its arguments to what it prints and writes."""

import argparse
import json

import numpy as np
import pytest

from cvdemo.commands import flow as command
from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.media import read_picture, save_picture
from cvdemo.core.video import VideoWriter, probe_video
from cvdemo.flow.files import read_flow, write_flow
from tests.flow.conftest import moved_pair, textured


@pytest.fixture
def pictures(tmp_path, processor):
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path, frame in zip(paths, moved_pair(x=3, y=2)):
        save_picture(path, frame)
    return paths


@pytest.fixture
def clip(tmp_path, processor):
    big = textured(120, 200)
    with VideoWriter(tmp_path / "clip.mp4", 10, (128, 96)) as writer:
        for t in range(5):
            writer.write(big[10:106, 40 - 2 * t : 168 - 2 * t])
    return tmp_path / "clip.mp4"


def call(*arguments):
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    args = parser.parse_args(["flow", *map(str, arguments)])
    return args.run(args)


def test_a_pair_with_all_outputs(pictures, tmp_path, capsys):
    truth = tmp_path / "truth.flo"
    write_flow(truth, np.full((96, 128, 2), (3, 2), np.float32))
    outs = [tmp_path / name for name in ("o.flo", "o.png", "o.npy")]
    code = call(
        *pictures, "--json", "-", "--save", tmp_path / "drawn.png", "--truth", truth, "--view", "arrows", "--backward",
        *[word for out in outs for word in ("--out", out)],
    )  # fmt: skip
    assert code == 0
    printed = capsys.readouterr()
    assert "a.png to b.png: Mean motion 3.6 px down and to the right" in printed.err
    assert "endpoint error 0." in printed.err
    result = json.loads(printed.out)
    assert result["truth"]["epe"] < 0.5
    assert result["occluded_share"] is not None
    fields = [read_flow(out)[0] for out in outs]
    assert np.array_equal(fields[0], fields[2])
    assert np.abs(fields[0] - fields[1]).max() <= 1 / 127
    assert np.allclose(np.median(fields[0], axis=(0, 1)), (3, 2), atol=0.1)
    assert read_picture(tmp_path / "drawn.png").pixels.shape == (96, 128, 3)


def test_a_video_is_drawn_and_its_fields_written(clip, tmp_path, capsys):
    code = call(clip, "--save", tmp_path / "out.mp4", "--out", tmp_path / "fields", "--json", tmp_path / "r.json",
                "--model", "dis-fast")  # fmt: skip
    assert code == 0
    assert probe_video(tmp_path / "out.mp4").width == 128
    files = sorted(path.name for path in (tmp_path / "fields").iterdir())
    assert files == [f"{number:06d}.flo" for number in range(4)]
    assert np.allclose(np.median(read_flow(tmp_path / "fields" / files[2])[0], axis=(0, 1)), (2, 0), atol=0.2)
    result = json.loads((tmp_path / "r.json").read_text())
    assert [row["frame"] for row in result["pairs"]] == [1, 2, 3, 4]
    assert result["maximum"] > 0
    assert "4 pairs of frames, mean motion 2.0 px" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["A"], "motion is between two"),
        (["A", "B", "--out", "x.txt"], "cannot be written as x.txt"),
        (["A", "missing.png"], "no file"),
        (["A", "B", "--model", "nonsense"], "no model named"),
        (["CLIP"], "Where should the video go"),
        (["CLIP", "--save", "OUT.mp4", "--truth", "t.flo"], "belongs to two pictures"),
        (["CLIP", "--save", "OUT.mp4", "--out", "a", "--out", "b"], "one folder"),
    ],
)
def test_mistakes_are_explained(arguments, words, pictures, clip, tmp_path):
    names = {"A": pictures[0], "B": pictures[1], "CLIP": clip, "OUT.mp4": tmp_path / "o.mp4"}
    with pytest.raises(CvDemoError, match=words):
        call(*[names.get(argument, argument) for argument in arguments])
    assert not (tmp_path / "o.mp4").exists()


def test_a_video_of_one_frame_has_no_motion(tmp_path, processor):
    with VideoWriter(tmp_path / "one.mp4", 10, (64, 64)) as writer:
        writer.write(textured(64, 64))
    with pytest.raises(InputError, match="single frame"):
        call(tmp_path / "one.mp4", "--save", tmp_path / "o.mp4")
    assert not (tmp_path / "o.mp4").exists()
