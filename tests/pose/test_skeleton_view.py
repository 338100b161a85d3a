"""The Skeleton view's words, tables and downloads, and what the tab's views share."""

import csv
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from cvdemo.core.media import Picture
from cvdemo.pose import skeleton_view as view
from cvdemo.pose import tab_shared as kept
from cvdemo.pose.angles import AngleSeries
from cvdemo.pose.predict import PoseSettings, decode
from cvdemo.ui import memory

PIXELS = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
BOXES = [[40, 20, 140, 220], [180, 30, 280, 230]]
USER = "pose-view-tests"


@pytest.fixture
def look(stand_in, crowd_of):
    crowd_of(BOXES, [0.9, 0.5])
    yield kept.look_at(Picture(PIXELS, "two <b>.png"), stand_in.name, USER)
    memory.forget(USER)
    kept.forget(USER)


def test_the_timing_leaves_out_what_took_no_time(look):
    timed = replace(look.inference, stages={"detector": 22.4, "crop": 0.4, "network": 0.6})
    assert kept.timing_line(timed, 1.2, 0.3).startswith("25 ms (")
    parts = kept.timing_line(timed, 1.2, 0.3).partition("(")[2].partition(")")[0].split(", ")
    assert [part.split()[-1] for part in parts] == ["22", "1", "1"]
    assert kept.timing_line(replace(timed, stages={}), 0.1, 0.1).startswith("0 ms ·")


def test_render_draws_and_says_what_decode_finds(look):
    made = view.render(look, PoseSettings())
    assert made.pixels.shape == PIXELS.shape
    assert (made.pixels != look.display).any()
    assert made.sentence == "2 people: 17 and 17 of 17 joints visible"
    assert re.fullmatch(r"\d+ ms.* · cpu fp32", made.timing)
    nobody = view.render(look, PoseSettings(box_threshold=0.95))
    assert "No person was found" in nobody.sentence
    assert "lower the person score" in nobody.sentence
    assert (nobody.pixels == look.display).all()


def test_tables_hold_what_the_result_holds(look):
    poses = decode(look.inference, PoseSettings(hidden_joints=("nose",)))
    people = view.people_rows(poses)
    assert [row[:3] for row in people] == [["1", 0.9, 16], ["2", 0.5, 16]]
    assert people[0][4:] == [40.0, 20.0, 140.0, 220.0]
    joints = view.joint_rows(poses)
    assert len(joints) == 34
    assert joints[0][1] == "nose"
    assert joints[0][5] == "no"
    assert joints[1][5] == "yes"
    numbers = view.numbers_html(look, poses)
    assert "34 of 48 x 64 cells" in numbers
    assert "32 of 34" in numbers


def test_downloads_are_files_other_programs_read(look):
    name, data = view.export(look, PoseSettings(), "json")
    document = json.loads(data)
    assert name == "two <b>-keypoints.json"
    assert len(document["annotations"]) == 2
    assert document["annotations"][0]["num_keypoints"] == 17
    assert document["info"]["settings"]["decode"] == "sub-pixel"
    rows = list(csv.DictReader(io.StringIO(view.export(look, PoseSettings(), "csv")[1].decode())))
    assert len(rows) == 34
    assert view.export(look, PoseSettings(), "png")[1].startswith(b"\x89PNG")
    with pytest.raises(KeyError):
        view.export(look, PoseSettings(), "pdf")


def test_texts_are_escaped():
    assert "<script>" not in view.table_html(("<script>",), [("<script>",)], "<script>")


def test_a_look_is_computed_once(stand_in, crowd_of):
    crowd_of(BOXES)
    picture = Picture(PIXELS, "a.png")
    first = kept.look_of(USER, picture, stand_in.name)
    assert kept.look_of(USER, picture, stand_in.name) is first
    store = memory.memory_of(USER)
    boxes = first.inference.raw.boxes[[0]]
    once = kept.on_people(USER, picture, stand_in.name, boxes, store)
    assert kept.on_people(USER, picture, stand_in.name, boxes, store) is once
    assert kept.on_people(USER, picture, stand_in.name, boxes) is not once
    assert len(once.raw) == 1
    memory.forget(USER)


def test_scaled_poses_are_those_of_the_small_picture(look):
    poses = decode(look.inference, PoseSettings())
    half = kept.scaled(poses, 0.5)
    np.testing.assert_allclose(half.keypoints[..., :2], poses.keypoints[..., :2] / 2)
    np.testing.assert_allclose(half.keypoints[..., 2], poses.keypoints[..., 2])
    assert (half.width, half.height) == (160, 120)
    assert kept.scaled(poses, 1.0) is poses


def test_live_people_keep_their_numbers_and_forget_what_is_long_ago(look, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(kept, "monotonic", lambda: clock[0])
    people = kept.LivePeople(began=clock[0])
    poses = decode(look.inference, PoseSettings())
    for _ in range(30):
        clock[0] += 0.1
        followed, trails = people.follow(poses, 0.5)
    assert followed.tracks.tolist() == [1, 2]
    assert set(trails) == {1, 2}
    assert len(people.series().rows) == 60
    for _ in range(100):
        clock[0] += 0.9
        people.follow(poses, 0.5)
    rows = people.series().rows
    assert rows[-1][0] - rows[0][0] <= 1.2 * kept.LIVE_SECONDS
    clock[0] += kept.AWAY_SECONDS + 1
    people.follow(poses, 0.5)
    assert len(people.series().rows) == 2
    assert people.series() is not people.angles


def test_clips_are_kept_by_session_and_only_a_few(tmp_path):
    paths = [tmp_path / f"{number}.mp4" for number in range(5)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * 10)
    first = kept.track_of(USER, paths[0], "model", 1)
    assert kept.track_of(USER, paths[0], "model", 1) is first
    assert kept.track_of(USER, paths[0], "model", 2) is not first
    assert kept.track_of("somebody else", paths[0], "model", 1) is not first
    for path in paths[1:]:
        kept.track_of(USER, path, "model", 1)
    assert kept.track_of(USER, paths[0], "model", 1) is not first
    kept.forget(USER)
    kept.forget("somebody else")
    assert isinstance(kept.live_people(USER).series(), AngleSeries)
    kept.forget(USER)
