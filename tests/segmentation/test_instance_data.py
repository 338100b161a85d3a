"""Objects with masks for training: their sources, the cache and random crops, against pycocotools and OpenCV."""

import json

import cv2
import numpy as np
import pytest
import scipy.io
from pycocotools import mask as reference

from cvdemo.core.errors import InputError
from cvdemo.segmentation import instance_batches as batches
from cvdemo.segmentation import instance_data as data
from cvdemo.segmentation.instance_data import Example, Object, Source
from cvdemo.segmentation.labels import VOC_CLASSES

PERSON, DOG = VOC_CLASSES.index("person"), VOC_CLASSES.index("dog")


def whole(item: Object, height: int, width: int) -> np.ndarray:
    out = np.zeros((height, width), np.uint8)
    out[item.y : item.y + item.mask.shape[0], item.x : item.x + item.mask.shape[1]] = item.mask
    return out


# ---------------------------------------------------------------- masks


def test_a_mask_is_cut_to_its_bounds_or_to_a_box():
    mask = np.zeros((60, 80), np.uint8)
    mask[10:40, 20:50] = 1
    item = data.cut(mask, 3)
    assert item.box.tolist() == [20, 10, 50, 40]
    assert (item.x, item.y, item.mask.shape, item.category) == (20, 10, (30, 30), 3)
    boxed = data.cut(mask, 3, np.array([18.4, 9.2, 51.7, 41.0], np.float32))
    np.testing.assert_array_equal(whole(boxed, 60, 80), mask)
    assert (boxed.x, boxed.y) == (18, 9)
    assert data.cut(mask * 0, 3) is None
    assert data.cut(mask, 3, np.array([20, 10, 25, 40], np.float32)) is None, "too narrow to learn from"


def teacher_map():
    labels = np.zeros((100, 120), np.uint8)
    cv2.ellipse(labels, (40, 50), (20, 40), 0, 0, 360, PERSON, -1)
    labels[50:54, 30:50] = 255
    return labels


def test_a_teachers_pixels_in_a_box_are_the_object():
    labels = teacher_map()
    mask = data.from_teacher(labels, np.array([20.0, 10, 61, 91]), np.zeros((0, 4)), PERSON)
    np.testing.assert_array_equal(mask == 1, labels == PERSON)
    np.testing.assert_array_equal(mask == 255, labels == 255)
    assert data.from_teacher(labels, np.array([20.0, 10, 61, 91]), np.zeros((0, 4)), DOG) is None


@pytest.mark.parametrize(
    ("box", "others", "why"),
    [
        ([20, 10, 61, 91], [[20, 10, 60, 60]], "another box of the class takes half of it"),
        ([20, 10, 90, 91], [], "the mask ends far from the right side"),
        ([20, 30, 61, 55], [], "nothing but the object's inside, and too much of it unknown or full"),
        ([70, 10, 110, 91], [], "nothing of the class"),
        ([200, 10, 210, 91], [], "outside of the picture"),
    ],
)
def test_unclear_boxes_are_left_out(box, others, why):
    labels = teacher_map()
    labels[30:55, 20:61] = PERSON
    found = data.from_teacher(labels, np.array(box, float), np.array(others, float).reshape(-1, 4), PERSON)
    assert found is None, why


def test_what_lies_in_another_box_of_the_class_is_unknown():
    labels = teacher_map()
    mask = data.from_teacher(labels, np.array([20.0, 10, 61, 91]), np.array([[50.0, 40, 100, 80]]), PERSON)
    assert set(np.unique(mask[40:80, 50:61])) <= {0, 255}
    assert (mask[labels == PERSON] == 1).mean() > 0.8


# ---------------------------------------------------------------- sources


@pytest.fixture
def coco(tmp_path):
    """Two pictures: an outlined person beside a dog the teacher saw; the second has a lone boxed person."""
    rng = np.random.default_rng(0)
    (tmp_path / "p").mkdir()
    (tmp_path / "t" / "p").mkdir(parents=True)
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / "p" / f"{name}.png"), rng.integers(0, 256, (100, 120, 3), np.uint8))
    labels = teacher_map()
    cv2.ellipse(labels, (99, 77), (18, 17), 0, 0, 360, DOG, -1)
    cv2.imwrite(str(tmp_path / "t" / "p" / "a.png"), labels)
    cv2.imwrite(str(tmp_path / "t" / "p" / "b.png"), cv2.resize(teacher_map(), (60, 50), interpolation=0))
    polygon = [22.0, 12.5, 58.0, 15.0, 52.5, 88.0, 40.0, 70.0, 25.5, 90.0]
    rows = [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [22, 12.5, 36, 77.5], "segmentation": [polygon]},
        {"id": 2, "image_id": 1, "category_id": 18, "bbox": [80, 60, 38, 35]},
        {"id": 3, "image_id": 1, "category_id": 77, "bbox": [0, 0, 38, 35]},
        {"id": 4, "image_id": 2, "category_id": 1, "bbox": [20, 10, 41, 81]},
    ]
    images = [{"id": k, "file_name": f"p/{n}.png", "width": 120, "height": 100} for k, n in ((1, "a"), (2, "b"))]
    path = tmp_path / "coco.json"
    path.write_text(json.dumps({"images": images, "annotations": rows, "categories": []}))
    return path, polygon


def test_polygons_are_rasterised_as_pycocotools_does(coco, tmp_path):
    path, polygon = coco
    (example,) = data.load_source(tmp_path / "cache", Source("polygons", path, tmp_path), 480)
    (item,) = example.objects
    expected = reference.decode(reference.frPyObjects([polygon], 100, 120))[..., 0]
    np.testing.assert_array_equal(whole(item, 100, 120), expected)
    assert item.category == 0
    again = data.load_source(tmp_path / "cache", Source("polygons", path, tmp_path), 480)[0]
    np.testing.assert_array_equal(again.pixels, example.pixels)
    np.testing.assert_array_equal(again.pixels, cv2.imread(str(tmp_path / "p" / "a.png"))[:, :, ::-1])


def test_shrunk_pictures_have_shrunk_masks(coco, tmp_path):
    path, polygon = coco
    (example,) = data.load_source(tmp_path / "cache", Source("polygons", path, tmp_path), 60)
    assert example.pixels.shape == (50, 60, 3)
    full = reference.decode(reference.frPyObjects([polygon], 100, 120))[..., 0]
    small = full.reshape(50, 2, 60, 2).mean((1, 3)) >= 0.5
    np.testing.assert_array_equal(whole(example.objects[0], 50, 60), small)


def test_pseudo_objects_are_those_without_outline(coco, tmp_path):
    path, _ = coco
    source = Source("pseudo", path, tmp_path, tmp_path / "t")
    first, second = data.load_source(tmp_path / "cache", source, 480)
    assert [item.category for item in first.objects] == [16], "the person has an outline, the phone no teacher"
    assert 0.7 < first.objects[0].mask.mean() < 0.85, "an ellipse in its box"
    (person,) = second.objects
    assert (whole(person, 100, 120) == 1).sum() == pytest.approx((teacher_map() == PERSON).sum(), rel=0.05)
    only = Source("pseudo", path, tmp_path, tmp_path / "t", frozenset({"2"}))
    assert len(data.load_source(tmp_path / "cache", only, 480)) == 1


@pytest.mark.parametrize(("kind", "category"), [("clothing", 0), ("horses", 17)])
def test_figures(kind, category, tmp_path):
    (tmp_path / "m").mkdir()
    mask = (teacher_map() == PERSON).astype(np.uint8)
    for stem in ("1", "2"):
        cv2.imwrite(str(tmp_path / f"{stem}.jpg"), np.full((100, 120, 3), 90, np.uint8))
        if kind == "clothing":
            scipy.io.savemat(tmp_path / "m" / f"{stem}.mat", {"groundtruth": mask * 7})
        else:
            cv2.imwrite(str(tmp_path / "m" / f"{stem}.jpg"), mask * 255)
    source = Source(kind, tmp_path / "m", tmp_path, ids=frozenset({"2", "9"}))
    (example,) = data.load_source(tmp_path / "cache", source, 480)
    assert example.objects[0].category == category
    np.testing.assert_array_equal(whole(example.objects[0], 100, 120), mask)


def test_a_source_without_masks_is_an_error(coco, tmp_path):
    path, _ = coco
    with pytest.raises(InputError, match="No picture with a usable mask"):
        data.load_source(tmp_path / "cache", Source("pseudo", path, tmp_path, tmp_path / "nowhere"), 480)
    assert not list((tmp_path / "cache").glob("*.bin"))


def test_groups_are_drawn_by_their_share():
    one, two = [Example(np.zeros(0), ()) for _ in range(4)], [Example(np.zeros(0), ()) for _ in range(2)]
    found = [example.weight for example in data.weighted([(0.5, one), (0.25, two), (0.25, [])])]
    assert found == pytest.approx([1 / 6] * 6)


# ---------------------------------------------------------------- crops


def marked_example(rng):
    """White ellipses on black: the picture itself says where the masks must be."""
    pixels = np.zeros((150, 200, 3), np.uint8)
    objects = []
    for x in (50, 140):
        mask = np.zeros((150, 200), np.uint8)
        cv2.ellipse(mask, (x, 75), (30, int(rng.integers(30, 60))), 0, 0, 360, 1, -1)
        objects.append(data.cut(mask, 5))
        pixels[mask == 1] = 255
    return Example(pixels, tuple(objects))


def test_crops_move_picture_box_and_mask_alike(monkeypatch):
    monkeypatch.setattr(batches, "jitter_colour", lambda pixels, rng: pixels)
    rng = np.random.default_rng(0)
    maker = batches.InstanceBatchMaker([marked_example(rng) for _ in range(5)], 0, 200)
    mirrored = 0
    for _ in range(40):
        pixels, objects = maker.one(128)
        assert objects
        assert pixels.shape == (128, 128, 3)
        together = np.zeros((64, 64), np.uint8)
        for box, category, mask in objects:
            assert category == 5
            together |= mask
            rows, columns = np.nonzero(mask)
            bounds = 2 * np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            np.testing.assert_allclose(bounds, box, atol=4.5)
        half = cv2.resize(pixels[..., 0], (64, 64), interpolation=cv2.INTER_AREA) > 127
        assert (half & (together == 1)).sum() >= 0.93 * together.sum()
        mirrored += len(objects) == 2 and objects[0][0][0] > objects[1][0][0]
    assert 0 < mirrored < 40


def test_a_batch_lists_the_objects_of_all_crops():
    rng = np.random.default_rng(0)
    maker = batches.InstanceBatchMaker([marked_example(rng)], 1, 200)
    batch = maker.batch(4, 96)
    assert batch.pixels.shape == (4, 96, 96, 3)
    assert set(batch.picture) == {0, 1, 2, 3}
    assert batch.boxes.shape == (len(batch.picture), 4)
    assert batch.masks.shape == (len(batch.picture), 48, 48)
    assert (batch.boxes[:, 2:] - batch.boxes[:, :2]).min() >= batches.SMALLEST_SIDE
    with pytest.raises(InputError, match="no pictures"):
        batches.InstanceBatchMaker([], 0, 200)


def test_boxes_under_a_mirrored_enlargement():
    matrix = np.array([[-2.0, 0, 199], [0, 2.0, 10.5]])  # column 0 becomes columns 198 and 199
    found = batches.moved_box(np.array([0.0, 5, 10, 20]), matrix)
    np.testing.assert_allclose(found, [180.5, 20.0, 200.5, 50.0])
