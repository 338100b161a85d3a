"""Correcting the teacher by masks, boxes and outlines: who wins where, pixel by pixel, and the commands."""

import json

import cv2
import numpy as np
import pytest

from cvdemo.segmentation import exact_labels
from cvdemo.segmentation.exact_labels import NEAR, coco_objects, with_boxes, with_object_mask
from cvdemo.segmentation.labels import HORSE, IGNORE, PERSON, VOC_CLASSES

CHAIR, DOG = VOC_CLASSES.index("chair"), VOC_CLASSES.index("dog")


def square(x1: int, y1: int, x2: int, y2: int, side: int = 120) -> np.ndarray:
    mask = np.zeros((side, side), bool)
    mask[y1:y2, x1:x2] = True
    return mask


def test_an_exact_mask_wins_and_cleans_its_surroundings():
    mask = square(30, 30, 60, 60)
    teacher = np.zeros((120, 120), np.uint8)
    teacher[24:64, 24:64] = PERSON  # too large by six pixels
    teacher[26:64, 64:67] = IGNORE  # doubt at the edge
    teacher[90:110, 90:110] = PERSON  # somebody else
    teacher[100:118, 5:20] = IGNORE  # doubt about something else
    teacher[40:50, 40:50] = CHAIR  # inside the person
    teacher[5:15, 5:100] = CHAIR
    result = with_object_mask(teacher, mask, PERSON)
    assert (result[mask] == PERSON).all()
    assert (result[24:64, 24:67][~mask[24:64, 24:67]] == 0).all()
    assert (result[90:110, 90:110] == IGNORE).all()
    assert (result[100:118, 5:20] == IGNORE).all()
    assert (result[5:15, 5:100] == CHAIR).all()
    assert teacher[40, 40] == CHAIR, "the teacher's map itself stays"


def test_near_is_a_distance_in_pixels():
    mask = square(60, 60, 61, 61)
    result = with_object_mask(np.full((120, 120), HORSE, np.uint8), mask, HORSE)
    rows, columns = np.nonzero(result == 0)
    distance = np.hypot(rows - 60, columns - 60)
    assert distance.max() <= NEAR + 0.5
    far = np.hypot(*np.mgrid[-60:60, -60:60]) > NEAR + 1
    assert (result[far] == IGNORE).all()


def test_boxes_confirm_or_doubt_the_teacher():
    teacher = np.zeros((120, 120), np.uint8)
    teacher[10:40, 10:40] = PERSON  # boxed
    teacher[10:40, 80:110] = PERSON  # nobody boxed a person here
    teacher[60:90, 10:40] = DOG  # boxed as a chair
    boxes = np.array([[10, 10, 40, 40], [10, 60, 40, 90], [80, 80, 110, 110]], float)
    labels = np.array([PERSON, CHAIR, DOG])
    result = with_boxes(teacher, boxes, labels, [[], [], []])
    assert (result[10:40, 10:40] == PERSON).all()
    assert (result[10:40, 80:110] == IGNORE).all()
    assert (result[60:90, 10:40] == IGNORE).all(), "the dog is contradicted"
    assert (result[80:110, 80:110] == IGNORE).all(), "a dog the teacher missed"
    assert (result[45:55, 45:115] == 0).all(), "background stays background"
    assert (with_boxes(np.zeros((50, 50), np.uint8), np.array([[5.0, 5, 12, 12]]), np.array([DOG]), [[]]) == 0).all()


def test_an_outline_wins_inside_and_leaves_the_rest_to_the_teacher():
    teacher = np.zeros((120, 120), np.uint8)
    teacher[20:80, 20:60] = PERSON
    outline = np.array([[30, 20], [60, 20], [60, 80], [30, 80]], float)
    result = with_boxes(teacher, np.array([[20.0, 20, 61, 81]]), np.array([PERSON]), [[outline]])
    assert (result[20:81, 30:61] == PERSON).all()
    assert (result[20:80, 20:30] == PERSON).all()
    assert result[100, 100] == 0


def test_without_objects_every_label_is_doubted():
    teacher = np.zeros((20, 20), np.uint8)
    teacher[:9] = DOG
    result = with_boxes(teacher, np.zeros((0, 4)), np.zeros(0, int), [])
    assert (result[:9] == IGNORE).all()
    assert (result[9:] == 0).all()


@pytest.fixture
def annotations(tmp_path):
    document = {
        "images": [{"id": 1, "file_name": "in/a.jpg", "width": 200, "height": 100},
                   {"id": 2, "file_name": "in/b.jpg", "width": 50, "height": 50}],
        "categories": [{"id": 1, "name": "person"}, {"id": 63, "name": "settee"}, {"id": 90, "name": "toothbrush"}],
        "annotations": [
            {"image_id": 1, "category_id": 1, "bbox": [20, 10, 40, 50], "segmentation": [[20, 10, 60, 10, 60, 60]]},
            {"image_id": 1, "category_id": 63, "bbox": [100, 0, 100, 100], "segmentation": None},
            {"image_id": 1, "category_id": 90, "bbox": [0, 0, 9, 9]},
        ],
    }  # fmt: skip
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(document))
    return path


def test_coco_objects_become_fractions_and_voc_classes(annotations):
    objects = coco_objects(annotations)
    assert objects["in/b.jpg"] == []
    (person, label, outlines), (sofa, sofa_label, none) = objects["in/a.jpg"]
    np.testing.assert_allclose(person, [0.1, 0.1, 0.3, 0.6])
    np.testing.assert_allclose(outlines[0], [[0.1, 0.1], [0.3, 0.1], [0.3, 0.6]])
    np.testing.assert_allclose(sofa, [0.5, 0, 1, 1])
    assert (VOC_CLASSES[label], VOC_CLASSES[sofa_label], none) == ("person", "sofa", [])


def test_the_command_for_coco(annotations, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "teacher" / "in").mkdir(parents=True, exist_ok=True)
        teacher = np.full((50, 100), PERSON, np.uint8)
        cv2.imwrite(str(tmp_path / "teacher" / "in" / f"{name}.png"), teacher)
    (tmp_path / "split.json").write_text('{"train": [1], "test": [2]}')
    exact_labels.main(["coco", "--teacher", str(tmp_path / "teacher"), "--annotations", str(annotations),
                       "--ids", f"{tmp_path}/split.json#train", "--out", str(tmp_path / "out")])  # fmt: skip
    assert [p.name for p in (tmp_path / "out").rglob("*.png")] == ["a.png"], "held-back pictures are never touched"
    result = cv2.imread(str(tmp_path / "out" / "in" / "a.png"), cv2.IMREAD_UNCHANGED)
    assert result[10, 25] == PERSON
    assert result[45, 20] == IGNORE
    assert result[25, 75] == IGNORE


@pytest.mark.parametrize("kind", ["clothing", "horses"])
def test_the_commands_for_masks(kind, tmp_path):
    scipy_io = pytest.importorskip("scipy.io")
    mask = np.zeros((60, 40), np.uint8)
    mask[20:40, 10:30] = 7
    (tmp_path / "masks").mkdir()
    (tmp_path / "teacher").mkdir()
    for name in ("0001", "0002"):
        scipy_io.savemat(tmp_path / "masks" / f"{name}.mat", {"groundtruth": mask})
        cv2.imwrite(str(tmp_path / "masks" / f"{name}.jpg"), (mask > 0).astype(np.uint8) * 255)
        cv2.imwrite(str(tmp_path / "teacher" / f"{name}.png"), np.zeros((30, 20), np.uint8))
    (tmp_path / "ids.json").write_text('["0002"]')
    exact_labels.main([kind, "--teacher", str(tmp_path / "teacher"), "--masks", str(tmp_path / "masks"),
                       "--ids", f"{tmp_path}/ids.json", "--out", str(tmp_path / "out")])  # fmt: skip
    (written,) = (tmp_path / "out").iterdir()
    assert written.name == "0002.png"
    result = cv2.imread(str(written), cv2.IMREAD_UNCHANGED)
    expected = np.zeros((30, 20), np.uint8)
    expected[10:20, 5:15] = PERSON if kind == "clothing" else HORSE
    np.testing.assert_array_equal(result, expected)


def test_the_command_asks_for_what_it_needs(tmp_path):
    (tmp_path / "ids.json").write_text("[]")
    with pytest.raises(SystemExit):
        exact_labels.main(
            ["horses", "--teacher", str(tmp_path), "--ids", f"{tmp_path}/ids.json", "--out", str(tmp_path)]
        )
