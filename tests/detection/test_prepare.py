"""The preparations of the detector's training data."""

import json

import pytest

from cvdemo.core.errors import InputError
from cvdemo.detection import prepare
from cvdemo.detection.labels import NAME_OF_ID


def write_tiny_imagenet(root):
    for folders in prepare.COCO_TO_WORDNET.values():
        for folder in folders:
            (root / folder).mkdir(parents=True)
            (root / folder / f"{folder}_boxes.txt").write_text(f"{folder}_0.JPEG\t0\t10\t63\t58\n")


def test_tiny_imagenet_boxes_become_coco_boxes(tmp_path):
    write_tiny_imagenet(tmp_path)
    made = prepare.tiny_imagenet(tmp_path)
    assert len(made["images"]) == sum(len(folders) for folders in prepare.COCO_TO_WORDNET.values()) == 49
    labelled = [row for row in made["annotations"] if not row["iscrowd"]]
    assert {row["category_id"] for row in labelled} == set(prepare.COCO_TO_WORDNET) <= set(NAME_OF_ID)
    assert all(row["bbox"] == [0, 10, 64, 49] and row["area"] == 64 * 49 for row in labelled)
    crowds = [row for row in made["annotations"] if row["iscrowd"]]
    assert len(crowds) == 49
    assert all(row["category_id"] == 1 and row["bbox"] == [0, 0, 64, 64] for row in crowds)
    assert [row["id"] for row in made["annotations"]] == list(range(98))


def test_no_wordnet_id_stands_for_two_categories():
    listed = [folder for folders in prepare.COCO_TO_WORDNET.values() for folder in folders]
    assert len(listed) == len(set(listed))


def test_a_wrong_folder_is_explained(tmp_path):
    with pytest.raises(InputError, match="is missing"):
        prepare.tiny_imagenet(tmp_path)


def test_holding_back_splits_and_repeats():
    train = list(range(1000, 0, -3))
    parts = prepare.hold_back(train, 40)
    assert len(parts["dev"]) == 40
    assert sorted(parts["fit"] + parts["dev"]) == sorted(train)
    assert parts == prepare.hold_back(train[::-1], 40)
    assert parts["dev"] != prepare.hold_back(train, 40, seed=1)["dev"]
    with pytest.raises(InputError):
        prepare.hold_back(train, len(train))


def test_the_command_writes_json(tmp_path):
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train": list(range(10)), "test": [99]}))
    prepare.main(["hold-back", str(split), "--count", "3", "--out", str(tmp_path / "fit.json")])
    made = json.loads((tmp_path / "fit.json").read_text())
    assert len(made["dev"]) == 3
    assert 99 not in made["fit"] + made["dev"]
