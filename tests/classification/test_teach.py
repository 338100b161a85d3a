"""The pictures of a lesson, and heads as files: what is written comes back, what is foreign is refused."""

import copy
import json
import struct

import numpy as np
import pytest
from safetensors.numpy import load, save

from cvdemo.classification import teach
from cvdemo.classification.teach import MOST_PICTURES, Head, TeachSet, export_head, import_head, make_thumbnail
from cvdemo.core.errors import InputError

D = 6


def rows(count: int, value: float = 0.0) -> np.ndarray:
    return np.full((count, D), value, np.float32) + np.arange(count, dtype=np.float32)[:, None] / 1000


def small(count: int, side: int = 8) -> list[np.ndarray]:
    return [np.full((side, side, 3), i % 256, np.uint8) for i in range(count)]


def lesson(kind="softmax") -> TeachSet:
    taught = TeachSet(("mug", "cup"), kind)
    taught.add("mug", rows(3, 0.0), small(3), backbone="m")
    taught.add("cup", rows(2, 1.0), small(2), backbone="m")
    return taught


def head(kind="softmax", size=D) -> Head:
    draw = np.random.default_rng(0)
    weight, bias, mean = (draw.normal(size=shape).astype(np.float32) for shape in ((2, size), (2,), (size,)))
    return Head(weight, bias, mean, np.full(size, 0.5, np.float32), ("mug <b>", "Kännchen ☕"), kind, "resnet18")


# The lesson


def test_pictures_become_features_and_labels_in_order():
    taught = lesson()
    features, labels = taught.training_data()
    np.testing.assert_array_equal(features, np.concatenate([rows(3), rows(2, 1.0)]))
    assert labels.tolist() == [0, 0, 0, 1, 1]
    assert taught.counts() == {"mug": 3, "cup": 2}
    assert len(taught) == 5
    assert features.dtype == np.float32
    head_of_lesson = teach.train_head(features, labels, classes=taught.classes, backbone=taught.backbone)
    assert (teach.predict_head(head_of_lesson, features).argmax(1) == labels).all()


def test_attributes_become_a_table_and_pictures_without_any_count():
    taught = lesson("multi-label")
    taught.add(["mug", "cup"], rows(1, 2.0), small(1), backbone="m")
    taught.add([], rows(2, 3.0), small(2), backbone="m")
    _, table = taught.training_data()
    assert table.tolist() == [[1, 0]] * 3 + [[0, 1]] * 2 + [[1, 1]] + [[0, 0]] * 2
    assert taught.counts() == {"mug": 4, "cup": 3}


def test_only_features_and_small_copies_are_kept():
    taught = TeachSet(("mug", "cup"))
    large = np.zeros((600, 800, 3), np.uint8)
    features = np.zeros((1, D))
    (key,) = taught.add("mug", features, [large])
    ((found, thumbnail),) = taught.thumbnails("mug")
    assert found == key
    assert thumbnail.shape == (72, 96, 3)
    assert thumbnail.base is None
    assert taught.nbytes() == D * 4 + 72 * 96 * 3
    features[:] = 9
    assert taught.training_data()[0].max() == 0


def test_a_thumbnail_is_never_the_picture_itself_nor_enlarged():
    tiny = np.arange(4 * 2 * 3, dtype=np.uint8).reshape(4, 2, 3)
    copied = make_thumbnail(tiny)
    np.testing.assert_array_equal(copied, tiny)
    assert not np.shares_memory(copied, tiny)
    assert make_thumbnail(np.zeros((1, 5000, 3), np.uint8)).shape == (1, 96, 3)


def test_a_class_takes_two_hundred_pictures_and_says_so():
    taught = TeachSet(("mug", "cup"))
    assert len(taught.add("mug", rows(MOST_PICTURES - 5), small(MOST_PICTURES - 5))) == MOST_PICTURES - 5
    assert len(taught.add("mug", rows(20), small(20))) == 5
    with pytest.raises(InputError, match="mug has 200 pictures"):
        taught.add("mug", rows(1), small(1))
    assert taught.counts() == {"mug": MOST_PICTURES, "cup": 0}
    (moved,) = taught.add("cup", rows(1), small(1))
    with pytest.raises(InputError, match="mug has 200 pictures"):
        taught.tag(moved, "mug")


def test_pictures_and_classes_are_removed_and_renamed():
    taught = lesson()
    first, second, _ = (key for key, _ in taught.thumbnails("mug"))
    taught.remove(first)
    with pytest.raises(InputError, match="not in the lesson"):
        taught.remove(first)
    taught.rename("mug", "Mug")  # only its spelling
    taught.rename("Mug", "beaker")
    assert taught.names_of(second) == ("beaker",)
    assert taught.counts() == {"beaker": 2, "cup": 2}
    taught.remove_class("beaker")
    assert taught.classes == ("cup",)
    assert len(taught) == 2
    assert taught.training_data()[1].tolist() == [0, 0]
    taught.add_class("mug")
    assert taught.counts() == {"cup": 2, "mug": 0}  # the removed pictures did not come back with the name


def test_an_attribute_is_taken_off_its_pictures_which_stay():
    taught = lesson("multi-label")
    taught.remove_class("mug")
    assert len(taught) == 5
    assert taught.training_data()[1].tolist() == [[0], [0], [0], [1], [1]]


def test_pictures_are_moved_and_tagged():
    taught = lesson()
    key = taught.thumbnails("cup")[0][0]
    taught.tag(key, "mug")
    assert taught.counts() == {"mug": 4, "cup": 1}
    with pytest.raises(InputError, match="needs a class"):
        taught.tag(key, "mug", on=False)
    attributes = lesson("multi-label")
    key = attributes.thumbnails("cup")[0][0]
    attributes.tag(key, "mug")
    assert attributes.names_of(key) == ("mug", "cup")
    attributes.tag(key, "cup", on=False)
    assert attributes.names_of(key) == ("mug",)


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda t: t.add_class("MUG"), "called MUG already"),
        (lambda t: t.rename("mug", "cup"), "called cup already"),
        (lambda t: t.rename("fork", "knife"), "no class called fork"),
        (lambda t: t.add("fork", rows(1), small(1), backbone="m"), "no class called fork"),
        (lambda t: t.add(["mug", "cup"], rows(1), small(1), backbone="m"), "exactly one class"),
        (lambda t: t.add([], rows(1), small(1), backbone="m"), "exactly one class"),
        (lambda t: t.add("mug", rows(1), small(1), backbone="other"), "were read by m"),
        (lambda t: t.add("mug", np.zeros((1, D + 1)), small(1), backbone="m"), "were read by m"),
        (lambda t: [t.add_class(f"c{i}") for i in range(9)], "10 classes already"),
        (lambda t: t.add_class("  "), "no name"),
        (lambda t: TeachSet(kind="tree"), "kind 'tree'"),
        (lambda t: TeachSet().training_data(), "no pictures yet"),
    ],
)
def test_what_cannot_be_done_is_explained(act, says):
    with pytest.raises(InputError, match=says):
        act(lesson())


def test_every_picture_needs_its_thumbnail():
    with pytest.raises(ValueError, match="1 thumbnails for 2 pictures"):
        lesson().add("mug", rows(2), small(1), backbone="m")


def test_clearing_allows_another_backbone():
    taught = lesson()
    taught.clear()
    assert taught.counts() == {"mug": 0, "cup": 0}
    taught.add("mug", np.zeros((1, D + 3)), small(1), backbone="other")
    assert taught.backbone == "other"


def test_a_session_gets_its_own_copy():
    taught = lesson()
    copied = copy.deepcopy(taught)
    copied.add("mug", rows(1), small(1), backbone="m")
    copied.rename("cup", "glass")
    assert taught.counts() == {"mug": 3, "cup": 2}
    assert copied.counts() == {"mug": 4, "glass": 2}


@pytest.mark.parametrize(
    ("kind", "classes", "mug", "cup", "says"),
    [
        ("softmax", ("mug",), 3, 0, "Add at least two classes."),
        ("softmax", ("mug", "cup"), 1, 0, "Each class needs 2 pictures: add 1 to mug, 2 to cup."),
        ("softmax", ("mug", "cup"), 2, 2, ""),
        ("multi-label", (), 0, 0, "Add at least one attribute."),
        ("multi-label", ("mug",), 3, 0, "Each attribute needs 2 pictures: add 2 without mug."),
        ("multi-label", ("mug", "cup"), 3, 2, ""),
    ],
)
def test_what_is_missing_is_said_and_nothing_is_missing_exactly_when_it_trains(kind, classes, mug, cup, says):
    taught = TeachSet(classes, kind)
    for name, count in (("mug", mug), ("cup", cup)):
        if count:
            taught.add(name, rows(count, len(name)), small(count))
    assert taught.missing() == says
    if says:
        with pytest.raises(InputError):
            teach.train_head(*_data(taught), classes=taught.classes, kind=kind)
    else:
        assert teach.train_head(*_data(taught), classes=taught.classes, kind=kind).classes == classes


def _data(taught: TeachSet) -> tuple[np.ndarray, np.ndarray]:
    return taught.training_data() if len(taught) else (np.zeros((0, D)), np.zeros((0, len(taught.classes))))


# Files


@pytest.mark.parametrize("kind", ["softmax", "multi-label"])
def test_a_head_comes_back_from_its_file(kind):
    original = head(kind)
    found = import_head(export_head(original))
    for name in ("weight", "bias", "mean", "std"):
        np.testing.assert_array_equal(getattr(found, name), getattr(original, name))
    assert (found.classes, found.kind, found.backbone) == (original.classes, kind, "resnet18")
    features = np.random.default_rng(1).normal(size=(4, D))
    np.testing.assert_array_equal(teach.predict_head(found, features), teach.predict_head(original, features))
    assert found.history.loss == ()


def test_the_file_is_small_and_readable_by_anybody():
    data = export_head(head(size=512))
    tensors = load(data)
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        "weight": (2, 512), "bias": (2,), "mean": (512,), "std": (512,),
    }  # fmt: skip
    (length,) = struct.unpack("<Q", data[:8])
    metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    assert metadata["feature_size"] == "512"
    assert metadata["backbone"] == "resnet18"
    assert json.loads(metadata["classes"]) == ["mug <b>", "Kännchen ☕"]
    assert len(data) < 10_000


def forged(tensors: dict | None = None, **metadata: str) -> bytes:
    """A head file with some tensors or entries replaced; an entry of None is left out."""
    original = head()
    parts = {"weight": original.weight, "bias": original.bias, "mean": original.mean, "std": original.std}
    entries = {
        "format": "cvdemo-head-1", "classes": '["a", "b"]', "kind": "softmax", "backbone": "m", "feature_size": str(D),
    }  # fmt: skip
    changed = {name: value for name, value in (entries | metadata).items() if value is not None}
    return save({n: t for n, t in (parts | (tensors or {})).items() if t is not None}, changed)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"PK\x03\x04 a zip archive", b"\x80\x04\x95pickle" * 10, b"\xff" * 64,
        struct.pack("<Q", 1 << 62) + b"{}",
        struct.pack("<Q", 100_000) + b"[" * 100_000,
        struct.pack("<Q", 4) + b"null",
        save({"weight": np.zeros((2, 2), np.float32)}),
        bytes(3 << 20),
        forged(format="cvdemo-head-2"), forged(format=None), forged(classes=None), forged(kind=None),
        forged(classes='["a"]'), forged(classes='["a", "a"]'), forged(classes='"ab"'), forged(classes="[1, 2]"),
        forged(classes="{}"), forged(classes="["), forged(classes="[" * 50_000),
        forged(classes='["a", "b", "c"]'), forged(classes='["a", "\\ud800"]'), forged(classes='["a", "\\u202e"]'),
        forged(classes=json.dumps(["a", "b" * 1000])), forged(classes=json.dumps([str(i) for i in range(1000)])),
        forged(kind="tree"), forged(backbone="a\x00b"), forged(backbone="x" * 500),
        forged(feature_size="7"), forged(feature_size="-1"), forged(feature_size="many"),
        forged(feature_size="9" * 9999),
        forged({"bias": None}), forged({"extra": np.zeros(3, np.float32)}),
        forged({"weight": np.zeros((D, 2), np.float32)}), forged({"weight": np.zeros((2, D), np.float64)}),
        forged({"weight": np.zeros((2, D), np.int32)}), forged({"bias": np.array([0, np.nan], np.float32)}),
        forged({"mean": np.full(D, np.inf, np.float32)}), forged({"std": np.zeros(D, np.float32)}),
        forged({"std": np.full(D, -1, np.float32)}),
    ],
)  # fmt: skip
def test_foreign_and_hostile_files_are_refused(data):
    with pytest.raises(InputError):
        import_head(data)


def test_damage_anywhere_gives_a_head_or_an_explanation():
    draw = np.random.default_rng(2)
    whole = export_head(head())
    refused = 0
    for _ in range(600):
        damaged = bytearray(whole)
        for place in draw.integers(0, len(whole), draw.integers(1, 4)):
            damaged[place] = draw.integers(0, 256)
        try:
            found = import_head(bytes(damaged[: len(whole) - draw.integers(0, 3) * draw.integers(0, 40)]))
        except InputError:
            refused += 1
        else:
            assert np.isfinite(teach.predict_head(found, np.ones((1, D)))).all()
    assert refused > 300
