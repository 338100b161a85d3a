"""Labelling with stand-ins for detector and teacher: whose faces, who is left out, what is written."""

import cv2
import numpy as np
import pytest

from cvdemo.core.errors import InputError
from cvdemo.faces import embed_label
from cvdemo.faces.detector import FaceInference
from cvdemo.faces.embed_data import load_pack
from cvdemo.faces.embed_label import OnnxTeacher, crops_of, label, main, pictures_under, read_names, read_people
from cvdemo.faces.result import Faces, RawFaces

POINTS = np.array([[22, 24], [42, 24], [32, 36], [24, 48], [40, 48]], np.float32)


@pytest.fixture(autouse=True)
def _two_faces(monkeypatch):
    """A small sure face, a large one, and one the detector is not sure of; none in dark pictures."""

    def find(pixels):
        height, width = pixels.shape[:2]
        count = 0 if pixels.mean() < 5 else 3
        boxes = np.array([[60, 60, 82, 84], [12, 10, 52, 60], [0, 0, 40, 40]], np.float32)[:count]
        marks = np.stack([POINTS / 2 + 50, POINTS, POINTS])[:count]
        faces = Faces(boxes, np.array([0.9, 0.8, 0.3], np.float32)[:count], marks, height, width)
        return FaceInference(RawFaces(faces, np.full(count, 8.0), (height, width)), {}, "cpu", "float32", "x")

    monkeypatch.setattr(embed_label, "infer_faces", find)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("Ann_Lee/1.png", "Ann_Lee/2.pgm", "Bob/1.png", "Bob/dark.png"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = np.zeros((100, 120, 3), np.uint8) if "dark" in name else rng.integers(0, 256, (100, 120, 3), np.uint8)
        assert cv2.imwrite(str(path), picture[:, :, 0] if path.suffix == ".pgm" else picture)
    (tmp_path / "in" / "Bob" / "broken.jpg").write_bytes(b"nothing")
    (tmp_path / "in" / "list.txt").write_text("1.png 17\n2.pgm 18\n")
    return tmp_path / "in"


def teach(crops):
    flat = crops.reshape(len(crops), -1)[:, :128].astype(np.float32) + 1
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def test_portraits_give_one_face_and_a_name(folder):
    paths = [p for _, p in pictures_under([folder])]
    assert len(paths) == 5
    made = label(paths, read_people("folder"), teach)
    assert made["names"] == ["Ann_Lee", "Bob"]
    assert made["person"] == [0, 0, 1]
    assert made["unreadable"] == 1
    np.testing.assert_array_equal(made["faces"][0], crops_of(paths[0], False, True)[0])
    np.testing.assert_allclose(made["teacher"], teach(made["faces"]))


def test_pictures_of_nobody_known_give_every_sure_face(folder):
    made = label([p for _, p in pictures_under([folder])], read_people(None), teach)
    assert made["person"] == [-1] * 6
    assert made["faces"].shape == (6, 112, 112, 3)


def test_people_are_left_out_before_their_pictures_are_opened(folder):
    made = label([p for _, p in pictures_under([folder])], read_people("folder"), teach, excluded=["Bob"])
    assert made["names"] == ["Ann_Lee"]
    assert made["person"] == [0, 0]
    assert made["unreadable"] == 0


def test_aligned_pictures_are_taken_as_they_are(folder):
    crop = crops_of(folder / "Bob" / "1.png", True, True)
    original = cv2.imread(str(folder / "Bob" / "1.png"))[:, :, ::-1]
    np.testing.assert_array_equal(crop[0], cv2.resize(original, (112, 112), interpolation=cv2.INTER_AREA))


def test_tiny_pictures_get_air_around_them(tmp_path, monkeypatch):
    seen = []
    find = embed_label.infer_faces
    monkeypatch.setattr(embed_label, "infer_faces", lambda pixels: seen.append(pixels) or find(pixels))
    assert cv2.imwrite(str(tmp_path / "face.png"), np.full((48, 60, 3), 90, np.uint8))
    assert crops_of(tmp_path / "face.png", False, True).shape == (1, 112, 112, 3)
    assert seen[0].shape == (144 + 80, 180 + 80, 3)


def test_lists_of_people_and_names(folder, tmp_path):
    person_of = read_people(str(folder / "list.txt"))
    assert [person_of(p) for p in (folder / "1.png", folder / "Ann_Lee" / "2.pgm", folder / "3.png")] == [
        "17", "18", None,
    ]  # fmt: skip
    assert read_names(folder) == ["Ann_Lee", "Bob"]
    assert read_names(None) == []
    with pytest.raises(InputError, match="cannot be read"):
        read_people(str(tmp_path / "none.txt"))
    with pytest.raises(InputError, match="cannot be read"):
        read_names(tmp_path / "none.txt")


@pytest.mark.parametrize("bare", [False, True])
def test_from_arguments_to_a_pack(folder, tmp_path, monkeypatch, capsys, bare):
    monkeypatch.setattr(embed_label, "OnnxTeacher", lambda path, threads: teach)
    (tmp_path / "test_people.txt").write_text("ann lee\nsomebody else\n")
    main([str(folder), "--teacher", "t.onnx", "--out", str(tmp_path / "pack"), "--people", "folder", "--exclude",
          str(tmp_path / "test_people.txt"), *(["--without-pixels"] if bare else [])])  # fmt: skip
    pack = load_pack(tmp_path / "pack")
    assert pack.names == ("Bob",)
    assert len(pack) == 1
    assert len(pack.faces) == (0 if bare else 1)
    printed = capsys.readouterr().err
    assert "left out: 1 of 2 people: Ann_Lee" in printed
    assert "1 faces, 1 of them of 1 people, 1 unreadable" in printed


def test_the_teacher_sees_normalised_faces_and_their_mirror_images():
    class Session:
        def run(self, outputs, feed):
            (blob,) = feed.values()
            self.seen = blob
            return [blob[:, :, ::28, ::28].reshape(len(blob), -1)]

    teacher = object.__new__(OnnxTeacher)
    teacher.session, teacher.name, teacher.any_number = Session(), "in", True
    crops = np.random.default_rng(0).integers(0, 256, (2, 112, 112, 3), np.uint8)
    vectors = teacher(crops)
    seen = teacher.session.seen
    assert seen.shape == (4, 3, 112, 112)
    assert seen[0, 1, 5, 7] == pytest.approx((crops[0, 5, 7, 1] / 255 - 0.456) / 0.224, abs=1e-5)
    np.testing.assert_array_equal(seen[2], seen[0][:, :, ::-1])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
