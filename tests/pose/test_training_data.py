"""Crops and their joints belong together: round trips on random boxes, mirrored joints, and what is read from files."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from cvdemo.core.errors import InputError
from cvdemo.pose import lspet, training_data
from cvdemo.pose.crops import PAD_VALUE, affine_of, crops_of, move, regions_of, to_picture, warp
from cvdemo.pose.skeleton import COCO_JOINTS, JOINT_INDEX
from cvdemo.pose.training_data import (
    PLAIN,
    BatchMaker,
    Example,
    Variation,
    flip_joints,
    half_body_box,
    joints_of,
    load_source,
    people_of,
)


def spots(points: np.ndarray, height: int = 300, width: int = 400, radius: float = 6.0) -> np.ndarray:
    """A picture of the padding's grey with a soft white spot centred exactly on each point (pixels as unit squares)."""
    y, x = np.mgrid[:height, :width] + 0.5
    light = np.zeros((height, width))
    for px, py in points:
        light += np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * radius**2))
    grey = PAD_VALUE + (255 - PAD_VALUE) * np.clip(light, 0, 1)
    return np.repeat(np.round(grey).astype(np.uint8)[..., None], 3, axis=2)


def centroid(crop: np.ndarray) -> np.ndarray:
    """x, y of the centre of mass of what is bright."""
    light = crop[..., 0].astype(float) - PAD_VALUE
    weight = np.where(light > 10, light, 0)
    y, x = np.mgrid[: crop.shape[0], : crop.shape[1]] + 0.5
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corners = rng.uniform(-20, 250, (count, 2))
    return np.concatenate([corners, corners + rng.uniform(10, 200, (count, 2))], axis=1).astype(np.float32)


def test_regions_hold_the_box_a_quarter_larger_at_the_right_aspect():
    boxes = random_boxes(np.random.default_rng(0), 50)
    regions = regions_of(boxes)
    sides, of_box = regions[:, 2:] - regions[:, :2], boxes[:, 2:] - boxes[:, :2]
    np.testing.assert_allclose(sides[:, 0] / sides[:, 1], 0.75, rtol=1e-4)
    np.testing.assert_allclose((regions[:, :2] + regions[:, 2:]) / 2, (boxes[:, :2] + boxes[:, 2:]) / 2, atol=1e-3)
    np.testing.assert_allclose((sides / of_box).min(axis=1), 1.25, rtol=1e-4)
    assert (regions_of(np.array([[5, 5, 5, 5]]))[:, 2:] > regions_of(np.array([[5, 5, 5, 5]]))[:, :2]).all()


def test_places_go_to_the_crop_and_back():
    rng = np.random.default_rng(1)
    regions = regions_of(random_boxes(rng, 30))
    points = rng.uniform(-50, 400, (30, 17, 2))
    there = np.stack([move(p, affine_of(r)) for p, r in zip(points, regions)]) / (192, 256)
    np.testing.assert_allclose(to_picture(there, regions), points, atol=1e-2)


def test_pixels_go_where_places_go():
    rng = np.random.default_rng(2)
    for box in random_boxes(rng, 12):
        region = regions_of(box)[0]
        inner = region[:2] + (region[2:] - region[:2]) * rng.uniform(0.3, 0.7, 2)
        point = np.clip(inner, 30, (370, 270))
        expected = move(point, affine_of(region))
        if not ((expected > 25) & (expected < (167, 231))).all():
            continue
        radius = 4 * max(1.0, (region[3] - region[1]) / 256)
        picture = spots(point[None], radius=radius)
        np.testing.assert_allclose(centroid(warp(picture, affine_of(region))), expected, atol=0.6)
        np.testing.assert_allclose(centroid(crops_of(picture, region[None])[0]), expected, atol=0.6)


def test_crops_equal_opencv_for_whole_pixels():
    picture = np.random.default_rng(3).integers(0, 256, (300, 400, 3), np.uint8)
    crops = crops_of(picture, np.array([[40, 20, 232, 276], [0, 0, 192, 256]], np.float32))
    np.testing.assert_array_equal(crops[0], picture[20:276, 40:232])
    np.testing.assert_array_equal(crops[1], picture[:256, :192])
    outside = crops_of(picture, np.array([[-500, -500, -308, -244], [500, 20, 692, 276]], np.float32))
    assert (outside == PAD_VALUE).all(), "nothing of the picture is there"


def one_spot(rng: np.random.Generator) -> tuple[Example, int]:
    """A person whose only bright pixels are around one random joint, and which joint that is."""
    joints = np.zeros((17, 3), np.float32)
    joints[:, :2] = rng.uniform((150, 110), (250, 190), (17, 2))
    joints[:, 2] = 1
    joint = int(rng.integers(17))
    return Example(
        spots(joints[joint : joint + 1, :2]), np.array([140, 100, 260, 200], np.float32), joints, True
    ), joint


def test_random_crops_carry_their_joints_along():
    rng = np.random.default_rng(4)
    how = Variation(occluded=0, colour=False, flipped=0, half_body=0)
    checked = 0
    for seed in range(40):
        example, joint = one_spot(rng)
        crop, joints = BatchMaker([example], seed, how).crop(example, 192, 256)
        expected = joints[joint, :2] * (192, 256)
        if ((expected > 40) & (expected < (152, 216))).all():
            np.testing.assert_allclose(centroid(crop), expected, atol=1.5)
            checked += 1
    assert checked > 15


def test_a_mirrored_crop_has_the_other_sides_joint_there():
    rng = np.random.default_rng(5)
    example, joint = one_spot(rng)
    mirrored = COCO_JOINTS[joint].replace("left", "?").replace("right", "left").replace("?", "right")
    crop, joints = BatchMaker([example], 0, Variation(0, 0, 0, 0, 1.0, 0, 0, False)).crop(example, 192, 256)
    plain, before = BatchMaker([example], 0, PLAIN).crop(example, 192, 256)
    np.testing.assert_array_equal(crop, plain[:, ::-1])
    np.testing.assert_allclose(centroid(crop), joints[JOINT_INDEX[mirrored], :2] * (192, 256), atol=1.5)
    np.testing.assert_allclose(joints[JOINT_INDEX[mirrored], 0], 1 - before[joint, 0], atol=1e-6)


def test_mirroring_twice_is_nothing_and_once_swaps_left_and_right():
    joints = np.random.default_rng(6).random((17, 3)).astype(np.float32)
    np.testing.assert_allclose(flip_joints(flip_joints(joints)), joints, atol=1e-6)
    flipped = flip_joints(joints)
    for index, name in enumerate(COCO_JOINTS):
        side, _, part = name.partition(" ")
        partner = JOINT_INDEX[f"{'right' if side == 'left' else 'left'} {part}"] if part else index
        np.testing.assert_allclose(flipped[index], [1 - joints[partner, 0], *joints[partner, 1:]], rtol=1e-6)


def test_the_half_body_box_holds_its_joints_and_needs_three():
    joints = np.random.default_rng(7).uniform(0, 100, (17, 3)).astype(np.float32)
    joints[:, 2] = 1
    box = half_body_box(joints, upper=True)
    assert (joints[:11, :2] > box[:2]).all()
    assert (joints[:11, :2] < box[2:]).all()
    joints[13:, 2] = 0
    assert half_body_box(joints, upper=False) is None


def test_occlusion_covers_pixels_and_leaves_the_joints():
    example, _ = one_spot(np.random.default_rng(8))
    other = Example(np.full((60, 60, 3), 200, np.uint8), example.box, example.joints, True)
    hidden, joints = BatchMaker([other], 3, Variation(0, 0, 0, 0, 0, 0, 1.0, False)).crop(example, 192, 256)
    plain, before = BatchMaker([other], 3, PLAIN).crop(example, 192, 256)
    changed = (hidden != plain).any(axis=2).mean()
    assert 0.003 < changed < 0.4
    np.testing.assert_array_equal(joints, before)


def write_source(folder: Path, score: bool = False) -> tuple[Path, np.ndarray]:
    """Three pictures with one person each; the labels' path and the joints (3, 17, 3)."""
    rng = np.random.default_rng(9)
    images, annotations, everything = [], [], []
    for index in range(3):
        joints = np.concatenate([rng.uniform((60, 40), (140, 160), (17, 2)).round(1), np.full((17, 1), 2)], axis=1)
        joints[index] = 0
        everything.append(joints)
        assert cv2.imwrite(str(folder / f"{index}.png"), spots(joints[5:6, :2], 200, 220))
        images.append({"id": 10 + index, "file_name": f"{index}.png", "width": 220, "height": 200})
        entry = {"id": index, "image_id": 10 + index, "category_id": 1, "bbox": [50, 30, 100, 140], "iscrowd": 0}
        entry |= {"keypoints": joints.ravel().tolist(), "num_keypoints": 16}
        if score:
            entry |= {"score": 0.9, "keypoint_scores": np.linspace(0, 0.8, 17).tolist()}
        annotations.append(entry)
    small = annotations[0] | {"id": 90, "bbox": [50, 30, 10, 14]}
    crowd = annotations[0] | {"id": 91, "iscrowd": 1}
    document = {"images": images, "annotations": [*annotations, small, crowd], "categories": []}
    (folder / "labels.json").write_text(json.dumps(document))
    return folder / "labels.json", np.array(everything)


def test_the_cache_keeps_joints_on_their_pixels_and_is_made_once(tmp_path, monkeypatch):
    labels, joints = write_source(tmp_path)
    examples = load_source(tmp_path / "cache", (labels, tmp_path, None))
    assert len(examples) == 3, "tiny people and crowds are left out"
    for example, truth in zip(examples, joints):
        np.testing.assert_allclose(centroid(example.pixels), example.joints[5, :2], atol=1.0)
        np.testing.assert_array_equal(example.joints[:, 2] > 0, truth[:, 2] > 0)
        assert example.truth
    monkeypatch.setattr(training_data, "_pack", None)
    again = load_source(tmp_path / "cache", (labels, tmp_path, None))
    for one, other in zip(examples, again):
        np.testing.assert_array_equal(one.pixels, other.pixels)
        np.testing.assert_array_equal(one.joints, other.joints)


def test_large_pictures_are_shrunk_into_the_cache_with_their_joints():
    picture = spots(np.array([[700.0, 500.0]]), 1000, 1400, 20)
    piece, affine = training_data.cut(picture, np.array([500, 200, 900, 900]))
    assert piece.shape[0] <= training_data.CACHE_HEIGHT * training_data.CONTEXT + 2
    np.testing.assert_allclose(centroid(piece), move(np.array([700.0, 500.0]), affine), atol=0.7)


def test_ids_restrict_and_a_teachers_joints_count_by_their_score(tmp_path):
    labels, _ = write_source(tmp_path, score=True)
    assert [name for name, _ in people_of((labels, tmp_path, {11, 12}))] == ["1.png", "2.png"]
    example = load_source(tmp_path / "cache", (labels, tmp_path, {11}))[0]
    assert not example.truth
    weights = np.delete(example.joints[:, 2], 1)
    assert weights[[0, -1]].tolist() == [0, 1]
    assert (np.diff(weights) >= 0).all()
    assert 0 < weights[4] < 1


def test_joints_of_an_annotation_without_scores_count_in_full():
    joints = joints_of({"keypoints": [1, 2, 1, 3, 4, 2] + [0] * 45})
    assert joints[:2].tolist() == [[1, 2, 1], [3, 4, 1]]
    assert not joints[2:, 2].any()


def test_pictures_that_cannot_be_read_are_an_error_with_a_remedy(tmp_path):
    labels, _ = write_source(tmp_path)
    with pytest.raises(InputError, match="No person") as caught:
        load_source(tmp_path / "cache", (labels, tmp_path / "elsewhere", None))
    assert "relative" in str(caught.value.hint)
    assert not list((tmp_path / "cache").glob("*.rgb"))


def test_batches_are_reproducible_and_shaped(tmp_path):
    labels, _ = write_source(tmp_path)
    examples = load_source(tmp_path / "cache", (labels, tmp_path, None))
    crops, joints = BatchMaker(examples, 5).batch(4, 96, 128)
    again, same = BatchMaker(examples, 5).batch(4, 96, 128)
    assert (crops.shape, crops.dtype) == ((4, 128, 96, 3), np.uint8)
    assert (joints.shape, joints.dtype) == ((4, 17, 3), np.float32)
    np.testing.assert_array_equal(crops, again)
    np.testing.assert_array_equal(joints, same)


def test_lspet_joints_become_coco_joints():
    joints = np.arange(42, dtype=float).reshape(14, 3)
    joints[:, 2] = 1
    joints[3, 2] = 0  # left hip
    keypoints = lspet.to_coco(joints)
    for index, name in enumerate(lspet.LSPET_JOINTS):
        if name in JOINT_INDEX and index != 3:
            np.testing.assert_array_equal(keypoints[JOINT_INDEX[name]], [*joints[index, :2], 2])
    assert not keypoints[:5].any(), "the face is not labelled"
    assert not keypoints[JOINT_INDEX["left hip"]].any()
    assert int((keypoints[:, 2] > 0).sum()) == 11


def test_lspet_boxes_stay_in_the_picture_and_hold_the_joints():
    rng = np.random.default_rng(10)
    joints = np.concatenate([rng.uniform(0, 100, (14, 2)), np.ones((14, 1))], axis=1)
    x, y, w, h = lspet.box_of(joints, 100, 100)
    assert min(x, y) >= 0
    assert max(x + w, y + h) <= 100
    assert (joints[:, :2] >= (x, y)).all()
    assert (joints[:, :2] <= (x + w, y + h)).all()
    joints[3:, 2] = 0
    assert lspet.box_of(joints, 100, 100) is None
