"""Ground truth on the page: reading, matching by name, numbers equal to the command line's, what is said and drawn."""

import json

import numpy as np
import pytest

from cvdemo.core.errors import InputError
from cvdemo.core.media import save_picture
from cvdemo.pose import truth, truth_view
from cvdemo.pose.evaluate import evaluate
from cvdemo.pose.poses import Poses, coco_document
from cvdemo.pose.skeleton import COCO_JOINTS

HEIGHT, WIDTH = 300, 400
BOXES = np.array([[20, 20, 140, 280], [180, 40, 300, 290], [310, 60, 395, 280]], np.float32)


def people_at(standing, boxes=BOXES, noise=0.0, seed=0, scores=None):
    rng = np.random.default_rng(seed)
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    points = boxes[:, None, :2] + standing * (boxes[:, None, 2:] - boxes[:, None, :2])
    points = points + rng.normal(0, 1, points.shape) * noise
    keypoints = np.concatenate([points, rng.uniform(0.5, 1, (*points.shape[:2], 1))], axis=2)
    scores = np.linspace(0.9, 0.6, len(boxes)) if scores is None else np.asarray(scores)
    return Poses(keypoints, np.ones(points.shape[:2], bool), boxes, scores.astype(np.float32), np.arange(len(boxes)),
                 HEIGHT, WIDTH, "m")  # fmt: skip


@pytest.fixture
def document(standing):
    return coco_document([("street.png", people_at(standing))])


def written(tmp_path, document, name="people.json"):
    path = tmp_path / name
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize("boxes", ["true", "detected"])
def test_numbers_equal_those_of_the_command_line(boxes, document, standing, tmp_path):
    save_picture(tmp_path / "street.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    found = people_at(standing, BOXES if boxes == "true" else BOXES[[1, 0]] + 6, noise=9, seed=4)
    known = truth.read_truth(written(tmp_path, document))
    rows, remark = known.of("street.png", HEIGHT, WIDTH)
    mine = truth.assess(rows, found, given=boxes == "true")
    theirs = evaluate(tmp_path / "people.json", tmp_path, lambda *_: found, boxes=boxes)
    assert remark == ""
    assert mine.torso.mean == pytest.approx(theirs["PCK@0.2"])
    assert mine.head.mean == pytest.approx(theirs["PCKh@0.5"])
    assert mine.oks_of.mean() == pytest.approx(theirs["mean_OKS"])
    assert mine.average["AP"] == pytest.approx(theirs["OKS_AP"])
    np.testing.assert_allclose(mine.torso.per_joint, list(theirs["per_joint"].values()))
    assert 0 < mine.torso.mean < 1
    assert mine.right.sum(axis=0) / 3 == pytest.approx(mine.torso.per_joint)


def test_a_joint_alone_has_its_own_similarity_and_precision(document, standing):
    rows = document["annotations"]
    found = people_at(standing)
    found.keypoints[:, 9, 0] += 500
    score = truth.assess(rows, found, given=False)
    others = np.arange(17) != 9
    np.testing.assert_allclose(score.oks_joint[others], 1, atol=1e-3)  # the file is rounded to hundredths of a pixel
    np.testing.assert_allclose(score.ap_joint[others], 1, atol=1e-6)
    assert score.oks_joint[9] < 1e-6
    assert score.ap_joint[9] == 0
    distances = np.linalg.norm(score.found[..., :2] - score.truth[..., :2], axis=2)
    assert distances[:, 9] == pytest.approx([500, 500, 500], abs=0.1)


def test_people_who_were_missed_have_all_joints_wrong(document, standing):
    rows = document["annotations"]
    score = truth.assess(rows, people_at(standing, BOXES[:2]), given=False)
    assert score.partner.tolist() == [0, 1, -1]
    assert score.torso.mean == pytest.approx(2 / 3)
    assert score.oks_of[2] == 0
    assert "1 missed" in truth_view.sentence_of(score, "found")
    nobody = truth.assess([], people_at(standing), given=False)
    assert "nobody" in truth_view.sentence_of(nobody, "found")
    empty = truth.assess(rows, people_at(standing, np.zeros((0, 4))), given=False)
    assert empty.torso.mean == 0


def test_crowds_and_unlabelled_joints_do_not_count(document, standing):
    rows = [dict(row) for row in document["annotations"]]
    rows[0]["iscrowd"] = 1
    rows[1]["keypoints"] = [*rows[1]["keypoints"][:-3], 0, 0, 0]
    score = truth.assess(rows, people_at(standing), given=False)
    assert len(score.truth) == 2
    assert score.torso.counted.tolist() == [2] * 16 + [1]
    assert truth.boxes_of(rows).shape == (2, 4)


def test_pictures_are_matched_by_name_and_size(document, tmp_path):
    known = truth.read_truth(written(tmp_path, document))
    assert len(known.of("C:\\photos\\Street.PNG", HEIGHT, WIDTH)[0]) == 3
    assert "only picture" in known.of("other.png", HEIGHT, WIDTH)[1]
    with pytest.raises(InputError, match="400 x 300"):
        known.of("street.png", 100, 100)
    twice = {**document, "images": [*document["images"], {"id": 9, "file_name": "b/street.png"}]}
    with pytest.raises(InputError, match="2 pictures called"):
        truth.read_truth(written(tmp_path, twice)).of("street.png", HEIGHT, WIDTH)
    with pytest.raises(InputError, match="none is called"):
        truth.read_truth(written(tmp_path, twice)).of("other.png", HEIGHT, WIDTH)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: "not json at all {",
        lambda d: [],
        lambda d: {**d, "annotations": []},
        lambda d: {**d, "annotations": [{**d["annotations"][0], "keypoints": [1, 2]}]},
        lambda d: {**d, "annotations": [{**d["annotations"][0], "bbox": [0, 0, "wide", 3]}]},
        lambda d: {**d, "annotations": [{**d["annotations"][0], "area": "large"}]},
        lambda d: {**d, "images": [{"id": 1}]},
    ],
)
def test_what_is_no_ground_truth_is_explained(change, document, tmp_path):
    path = tmp_path / "bad.json"
    made = change(document)
    path.write_text(made if isinstance(made, str) else json.dumps(made))
    with pytest.raises(InputError, match=r"bad\.json"):
        truth.read_truth(path)


def test_a_stand_in_fits_its_own_picture_only(standing):
    poses = people_at(standing)
    known = truth.stand_in("street.png", poses)
    rows, _ = known.of("street.png", HEIGHT, WIDTH)
    score = truth.assess(rows, poses, given=False)
    assert score.torso.mean == score.average["AP"] == 1
    with pytest.raises(InputError, match="stand in"):
        known.of("another.png", HEIGHT, WIDTH)


def test_panel_and_picture_show_right_and_wrong(document, standing):
    rows = document["annotations"]
    found = people_at(standing, BOXES[:2])
    found.keypoints[0, 9, :2] += 120
    score = truth.assess(rows, found, given=False)
    text = truth_view.panel_html(score, truth.stand_in("<b>", people_at(standing)), "a remark")
    assert all(name in text for name in COCO_JOINTS)
    assert all(name in text for name, _ in truth_view.DEFINITIONS)
    assert "a remark." in text
    pixels = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    drawn = truth_view.draw_truth(pixels, truth.true_poses(rows, HEIGHT, WIDTH), score, 1.0)
    assert drawn.shape == pixels.shape
    wrong, missed = score.truth[0, 9, :2], score.truth[2, 5, :2]
    for x, y in (wrong, missed):
        around = drawn[int(y) - 9 : int(y) + 9, int(x) - 9 : int(x) + 9]
        assert (around != 90).any()
    assert (pixels == 90).all()


def test_somebody_without_a_torso_is_labelled_but_not_judged(document, standing):
    rows = [{**document["annotations"][0]}]
    labels = np.array(rows[0]["keypoints"], float).reshape(17, 3)
    labels[11:13, 2] = 0
    rows[0]["keypoints"] = labels.reshape(-1).tolist()
    score = truth.assess(rows, people_at(standing, BOXES[:1]), given=False)
    assert not score.judged.any()
    assert "no torso labelled" in truth_view.sentence_of(score, "found")
    text = truth_view.panel_html(score, truth.stand_in("a", people_at(standing)), "")
    assert "<td>nose</td><td>1</td><td>-</td>" in text
    pixels = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    drawn = truth_view.draw_truth(pixels, truth.true_poses(rows, HEIGHT, WIDTH), score, 1.0)
    x, y = np.round(score.found[0, 5, :2]).astype(int)
    assert (drawn[y, x] == 255).all()


def test_another_alpha_measures_as_a_fresh_assessment_does(document, standing):
    rows = document["annotations"]
    found = people_at(standing, BOXES[:2])
    found.keypoints[..., :2] += np.random.default_rng(2).normal(0, 12, found.keypoints[..., :2].shape)
    first = truth.assess(rows, found, given=False, alpha=0.2)
    for alpha in (0.05, 0.1, 0.4):
        fresh, moved = truth.assess(rows, found, given=False, alpha=alpha), truth.with_alpha(first, alpha)
        np.testing.assert_array_equal(moved.right, fresh.right)
        np.testing.assert_array_equal(moved.torso.per_joint, fresh.torso.per_joint)
        assert moved.alpha == alpha
        assert moved.average == fresh.average
    assert truth.with_alpha(first, 0.05).torso.mean < first.torso.mean < truth.with_alpha(first, 0.4).torso.mean
