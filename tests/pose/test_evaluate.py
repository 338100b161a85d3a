"""``evaluate pose``: the numbers, the people that count, and unusable annotation files."""

import argparse
import json

import numpy as np
import pytest

from cvdemo.core.errors import InputError
from cvdemo.core.media import save_picture
from cvdemo.pose import evaluate as module
from cvdemo.pose.evaluate import evaluate, read_people
from cvdemo.pose.metrics import coco_keypoint_metrics
from cvdemo.pose.poses import Poses


@pytest.fixture
def people(tmp_path, standing):
    """Two pictures with two standing people each (one small), a third without anybody."""
    annotations = []
    for image in (1, 2):
        for x, y, width, height in ((20, 10, 80, 180), (150, 30, 30, 70)):
            points = np.array([x, y]) + standing * (width, height)
            keypoints = np.concatenate([points, np.full((17, 1), 2)], axis=1)
            annotations.append({
                "id": len(annotations) + 1, "image_id": image, "category_id": 1, "bbox": [x, y, width, height],
                "area": width * height * 0.5, "iscrowd": 0, "num_keypoints": 17,
                "keypoints": keypoints.reshape(-1).tolist(),
            })  # fmt: skip
    images = [{"id": i, "file_name": f"sub/{i}.png", "width": 200, "height": 200} for i in (1, 2, 3)]
    for image in (1, 2):
        save_picture(tmp_path / f"{image}.png", np.full((200, 200, 3), 40 * image, np.uint8))
    path = tmp_path / "people.json"
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    path.write_text(json.dumps(content))
    return path


def perfect(standing, shift=0.0):
    def predict(pixels, boxes):
        given = np.array([[20, 10, 100, 190], [150, 30, 180, 100]], np.float32) if boxes is None else boxes
        points = given[:, None, :2] + standing * (given[:, None, 2:] - given[:, None, :2]) + shift
        keypoints = np.concatenate([points, np.full((len(given), 17, 1), 0.9)], axis=2)
        count = len(given)
        return Poses(
            keypoints, np.ones((count, 17), bool), given, np.ones(count, np.float32), np.arange(count), 200, 200, ""
        )

    return predict


@pytest.mark.parametrize("boxes", ["true", "detected"])
def test_perfect_predictions(people, standing, boxes):
    found = evaluate(people, people.parent, perfect(standing), model="m", boxes=boxes)
    assert found["PCK@0.2"] == 1
    assert found["PCKh@0.5"] == 1
    assert found["mean_OKS"] == pytest.approx(1)
    assert found["OKS_AP"] == pytest.approx(1)
    assert found["OKS_AP50"] == pytest.approx(1)
    assert found["people"] == 2  # the small ones count for average precision only
    assert found["images"] == 2
    assert found["boxes"] == boxes
    assert found["model"] == "m"
    json.dumps(found, allow_nan=False)


def test_wrong_joints_and_the_limit_of_size(people, standing):
    torso = np.hypot(*(standing[5] - standing[12]) * (80, 180))
    near, far = (evaluate(people, people.parent, perfect(standing, factor * torso / 2**0.5)) for factor in (0.19, 0.21))
    assert near["PCK@0.2"] == 1
    assert far["PCK@0.2"] == 0
    assert set(far["per_joint"].values()) == {0}
    everybody = evaluate(people, people.parent, perfect(standing), min_side=0.0)
    assert everybody["people"] == 4
    nobody = evaluate(people, people.parent, perfect(standing), min_joints=18)
    assert nobody["PCK@0.2"] is None
    assert nobody["people"] == 0


def test_people_that_were_not_found_are_wrong(people, standing):
    def first_only(pixels, boxes):
        return perfect(standing)(pixels, boxes).take(np.array([1]))

    for boxes in ("true", "detected"):
        found = evaluate(people, people.parent, first_only, boxes=boxes)
        assert found["PCK@0.2"] == 0
        assert found["people"] == 2
        assert found["mean_OKS"] == pytest.approx(0, abs=1e-6)


def test_average_precision_is_that_of_the_metric(people, standing):
    found = evaluate(people, people.parent, perfect(standing, 4.0), [2])
    data = json.loads(people.read_text())
    results = perfect(standing, 4.0)(None, None).to_coco(2)
    expected = coco_keypoint_metrics(data["annotations"], results, [2])
    assert {name: found[f"OKS_{name}"] for name in ("AP", "AP50", "AR")} == {
        name: pytest.approx(expected[name]) for name in ("AP", "AP50", "AR")
    }
    assert 0 < found["OKS_AP"] < 1
    assert found["images"] == 1


def test_missing_pictures_and_wrong_sizes(people, standing):
    with pytest.raises(InputError, match="ids are not in"):
        evaluate(people, people.parent, perfect(standing), [77])
    with pytest.raises(InputError, match="Check --images"):
        evaluate(people, people.parent / "nowhere", perfect(standing))
    (people.parent / "2.png").unlink()
    with pytest.raises(InputError, match="skip-missing"):
        evaluate(people, people.parent, perfect(standing))
    found = evaluate(people, people.parent, perfect(standing), skip_missing=True)
    assert (found["images"], found["skipped"]) == (1, 1)
    save_picture(people.parent / "2.png", np.zeros((100, 200, 3), np.uint8))
    with pytest.raises(InputError, match="200 x 100"):
        evaluate(people, people.parent, perfect(standing))
    with pytest.raises(InputError, match="--boxes"):
        evaluate(people, people.parent, perfect(standing), boxes="guessed")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: [row.pop("keypoints") for row in rows], "no person with keypoints"),
        (lambda rows: rows[0]["keypoints"].pop(), "not 51 numbers"),
        (lambda rows: rows[0]["keypoints"].__setitem__(3, None), "not 51 numbers"),
        (lambda rows: rows[0].pop("bbox"), "unusable annotation"),
    ],
)
def test_unusable_annotations(people, change, words):
    content = json.loads(people.read_text())
    change(content["annotations"])
    people.write_text(json.dumps(content))
    with pytest.raises(InputError, match=words):
        read_people(people)


def test_the_command(people, stand_in, capsys, tmp_path):
    parser = argparse.ArgumentParser()
    module.add_parser(parser.add_subparsers())
    base = ["pose", "--annotations", str(people), "--images", str(people.parent), "--model", "stand-in-pose"]
    args = parser.parse_args([*base, "--json", "-"])
    assert args.run(args) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["PCK@0.2"] == 1
    assert found["OKS_AP"] > 0.95
    assert found["model"] == "stand-in-pose"
    args = parser.parse_args([*base, "--json", str(tmp_path / "out.json"), "--decode", "argmax"])
    assert args.run(args) == 0
    printed = capsys.readouterr().out
    assert "PCK@0.2" in printed
    assert "left ankle" in printed
    assert json.loads((tmp_path / "out.json").read_text())["mean_OKS"] < found["mean_OKS"]
