"""Labelling with a teacher: geometry, doubt, files and what the recipe reads back, with a stand-in for the network."""

import cv2
import numpy as np
import pytest
import torch

from cvdemo.segmentation import pseudo_label
from cvdemo.segmentation.labels import IGNORE, VOC_CLASSES
from cvdemo.segmentation.pseudo_label import TEACHER_SIZE, enlarge, label_map, pictures_in
from cvdemo.segmentation.training_data import Source, pairs_of


def by_brightness(picture: np.ndarray) -> np.ndarray:
    """A teacher that calls dark cells background and bright ones a person; grey ones it is unsure about."""
    cells = picture[::16, ::16, 0].astype(np.float32)
    logits = np.full((*cells.shape, len(VOC_CLASSES)), -20, np.float32)
    logits[..., 15] = (cells - 128) / 8
    logits[..., 0] = -logits[..., 15]
    return logits


def half_bright(height: int, width: int) -> np.ndarray:
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, width // 2 :] = 255
    return picture


@pytest.mark.parametrize(("height", "width", "shape"), [(100, 200, (100, 200)), (600, 400, (384, 256))])
@pytest.mark.parametrize("mirror", [True, False])
def test_labels_lie_where_the_picture_says(height, width, shape, mirror):
    labels = label_map(half_bright(height, width), by_brightness, 384, 0.0, mirror)
    assert labels.shape == shape
    assert labels.dtype == np.uint8
    edge = shape[1] // 2
    margin = round(16 / TEACHER_SIZE * shape[1]) + 1
    assert (labels[:, : edge - margin] == 0).all()
    assert (labels[:, edge + margin :] == 15).all()


def test_only_unsure_pixels_are_ignored():
    labels = label_map(half_bright(256, 256), by_brightness, 384, 0.9)
    columns = np.flatnonzero((labels == IGNORE).any(0))
    assert 1 <= len(columns) <= 10
    assert abs(columns.mean() - 127.5) < 8
    grey = np.full((64, 64, 3), 128, np.uint8)
    assert (label_map(grey, by_brightness, 384, 0.6) == IGNORE).all()
    assert not (label_map(grey, by_brightness, 384, 0.0) == IGNORE).any()


def test_the_mirror_image_is_asked_and_turned_back():
    """A teacher that always sees something on the left is contradicted by the mirror image, and believed by nobody."""
    asked = []

    def left_handed(picture):
        asked.append(picture)
        logits = np.zeros((33, 33, len(VOC_CLASSES)), np.float32)
        logits[..., 0] = 6
        logits[:, :16, 8] = 12
        return logits

    picture = np.random.default_rng(0).integers(0, 256, (TEACHER_SIZE, TEACHER_SIZE, 3), np.uint8)
    labels = label_map(picture, left_handed, 513, 0.6)
    np.testing.assert_array_equal(asked[1], asked[0][:, ::-1])
    assert (labels == IGNORE).mean() > 0.9


def test_enlarging_against_torch():
    coarse = np.random.default_rng(0).normal(size=(33, 33, 3)).astype(np.float32)
    ours = enlarge(coarse, TEACHER_SIZE, TEACHER_SIZE)
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(coarse).permute(2, 0, 1)[None], size=(TEACHER_SIZE, TEACHER_SIZE), mode="bilinear",
        align_corners=True,
    )[0].permute(1, 2, 0)  # fmt: skip
    # OpenCV interpolates with weights of 1/32.
    np.testing.assert_allclose(ours, theirs.numpy(), atol=0.15)
    assert np.abs(ours - theirs.numpy()).mean() < 0.02


@pytest.fixture
def folder(tmp_path):
    for index in range(5):
        place = tmp_path / "pictures" / ("deep" if index % 2 else "")
        place.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place / f"{index}.jpg"), half_bright(60, 80))
    (tmp_path / "pictures" / "notes.txt").write_text("not a picture")
    (tmp_path / "teacher.tflite").write_bytes(b"")
    return tmp_path


def test_pictures_are_found_and_restricted(folder):
    root = folder / "pictures"
    assert [p.name for p in pictures_in([root], None, root)] == ["0.jpg", "2.jpg", "4.jpg", "1.jpg", "3.jpg"]
    (folder / "names.txt").write_text("deep/3.jpg\n0.jpg\nmissing.jpg\n")
    assert [p.name for p in pictures_in([root], folder / "names.txt", root)] == ["0.jpg", "3.jpg"]


def command(folder, *more: str) -> list[str]:
    return [str(folder / "pictures"), "--root", str(folder / "pictures"), "--out", str(folder / "labels"),
            "--teacher", str(folder / "teacher.tflite"), *more]  # fmt: skip


def test_the_command_writes_what_the_recipe_reads(folder, monkeypatch, capsys):
    monkeypatch.setattr(pseudo_label, "DeepLabTeacher", lambda path: by_brightness)
    (folder / "pictures" / "broken.jpg").write_bytes(b"no picture")
    pseudo_label.main(command(folder, "--every", "2"))
    assert "3 new label maps of 3" in capsys.readouterr().err
    pseudo_label.main(command(folder))
    assert "2 new label maps of 6, 1 unreadable" in capsys.readouterr().err, "only what is missing"
    pairs = pairs_of(Source(folder / "pictures", folder / "labels"))
    assert len(pairs) == 5
    labels = cv2.imread(str(pairs[0][1]), cv2.IMREAD_UNCHANGED)
    assert labels.shape == (60, 80)
    assert set(np.unique(labels)) <= {0, 15, IGNORE}
    assert not list((folder / "labels").rglob("*.draft.png"))


def test_a_missing_teacher_ends_the_command_with_a_sentence(folder):
    (folder / "teacher.tflite").unlink()
    with pytest.raises(SystemExit, match="no teacher"):
        pseudo_label.main(command(folder))


def test_the_graph_is_cut_after_its_last_convolution_with_the_classes():
    """A hand-made graph: convolution to 21 channels, then an argmax. What remains runs up to the logits."""
    flatbuffers = pytest.importorskip("flatbuffers")
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    builtin = schema.BuiltinOperator
    model = schema.ModelT()
    model.version = 3
    model.buffers = [schema.BufferT()]
    model.operatorCodes = []
    for code in (builtin.CONV_2D, builtin.ARG_MAX):
        entry = schema.OperatorCodeT()
        entry.builtinCode = entry.deprecatedBuiltinCode = code
        model.operatorCodes.append(entry)
    graph = schema.SubGraphT()
    graph.tensors, graph.operators = [], []
    for shape in ((1, 33, 33, 8), (1, 33, 33, 21), (1, 33, 33)):
        tensor = schema.TensorT()
        tensor.shape = np.asarray(shape, np.int32)
        graph.tensors.append(tensor)
    for code in (0, 1):
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = code, np.int32([code]), np.int32([code + 1])
        graph.operators.append(operator)
    graph.inputs, graph.outputs = np.int32([0]), np.int32([2])
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(256)
    builder.Finish(model.Pack(builder), b"TFL3")
    cut = schema.ModelT.InitFromObj(
        schema.Model.GetRootAs(pseudo_label._cut_before_argmax(bytes(builder.Output()), 21), 0)
    )
    assert list(cut.subgraphs[0].outputs) == [1]
    assert len(cut.subgraphs[0].operators) == 1


def test_a_thumbnail_is_shown_amid_grey_and_only_asked_for_its_class():
    """The stand-in teacher is sure of a person where it is bright, and surer of a cat everywhere."""
    shown = []

    def teacher(square):
        shown.append(square)
        logits = by_brightness(square)
        logits[..., 8] = 40
        return logits

    labels = pseudo_label.label_thumbnail(half_bright(64, 64), teacher, 15, 0.6)
    assert labels.shape == (64, 64)
    assert set(np.unique(labels)) <= {0, 15, IGNORE}
    assert (labels[8:-8, 8:27] == 0).all()
    assert (labels[8:-8, 37:-8] == 15).all()
    (square,) = shown
    edge = (TEACHER_SIZE - pseudo_label.THUMBNAIL) // 2
    assert (square[: edge - 1] == pseudo_label.GREY).all()
    assert (square[edge + 5, edge + 5 : edge + 90] < 30).all()
