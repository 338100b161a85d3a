"""Comparing faces: the wiring on stand-in networks, the verdict by arithmetic, which face stands for a picture."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cvdemo.core.engine import Engine, Ran
from cvdemo.core.errors import InputError, SettingsError
from cvdemo.faces import predict
from cvdemo.faces.align import align
from cvdemo.faces.detector import FaceInference
from cvdemo.faces.embedder import unit
from cvdemo.faces.nets.compact_embedder import CompactEmbedder
from cvdemo.faces.predict import (
    FaceMatchSettings,
    FacesInference,
    compare,
    considered,
    distance_of,
    face_of,
    infer,
    similarities,
    similarity_of,
)
from cvdemo.faces.result import Faces, RawFaces

POINTS = np.array([[22, 24], [42, 24], [32, 36], [24, 48], [40, 48]], np.float32)


def inference(vectors, boxes=None, scores=None, model="compact-faces") -> FacesInference:
    vectors = unit(np.asarray(vectors, np.float64).reshape(-1, 3))
    count = len(vectors)
    boxes = np.array([[10 * i, 0, 10 * i + 40, 50] for i in range(count)] if boxes is None else boxes, np.float32)
    scores = np.linspace(0.9, 0.5, count) if scores is None else np.asarray(scores)
    faces = Faces(boxes.reshape(-1, 4), scores.astype(np.float32), np.zeros((count, 5, 2), np.float32), 100, 200, "d")
    crops = np.zeros((count, 112, 112, 3), np.uint8)
    return FacesInference(faces, crops, vectors, {}, "cpu", "float32", model)


def test_similarity_distance_and_verdict_follow_from_the_angle():
    angle = np.radians(50)
    a, b = inference([1, 0, 0]), inference([np.cos(angle), np.sin(angle), 0])
    result = compare(a, b, FaceMatchSettings(threshold=0.6))
    assert result.similarity == pytest.approx(np.cos(angle), abs=1e-6)
    assert result.distance == pytest.approx(2 * np.sin(angle / 2), abs=1e-6)
    assert result.same
    assert result.close_call
    assert not compare(a, b, FaceMatchSettings(threshold=0.7)).same
    assert result.sentence() == "Same person: similarity 0.64 (threshold 0.60), a close call."
    far = compare(a, inference([0, 1, 0]), FaceMatchSettings(threshold=0.4, measure="euclidean"))
    assert far.sentence() == "Different people: distance 1.41 (threshold 1.10)."


@pytest.mark.parametrize("similarity", [-1, -0.3, 0, 0.4, 1])
def test_the_two_measures_are_one_scale(similarity):
    assert similarity_of(distance_of(similarity)) == pytest.approx(similarity)


def test_all_pairs():
    rng = np.random.default_rng(0)
    a, b = inference(rng.normal(size=(4, 3))), inference(rng.normal(size=(2, 3)))
    table = similarities(a, b)
    for i in range(4):
        for j in range(2):
            assert table[i, j] == pytest.approx(compare(a, b, face_a=i, face_b=j).similarity, abs=1e-6)


def test_which_face_stands_for_a_picture():
    boxes = [[0, 0, 30, 30], [85, 35, 115, 65], [150, 0, 198, 50], [98, 48, 104, 54]]
    found = inference(np.eye(3)[[0, 1, 2, 0]], boxes, [0.9, 0.8, 0.7, 0.6])
    assert [face_of(found, FaceMatchSettings(which=w)) for w in ("surest", "largest", "central")] == [0, 2, 1]
    assert face_of(found, FaceMatchSettings(which="surest", min_size=40)) == 2
    assert considered(found, FaceMatchSettings(face_score=0.65)).tolist() == [0, 1, 2]
    assert face_of(inference(np.zeros((0, 3)))) is None


def test_what_cannot_be_compared():
    one, none = inference([1, 0, 0]), inference(np.zeros((0, 3)))
    with pytest.raises(InputError, match=r"No face was found in the second picture.*front"):
        compare(one, none)
    with pytest.raises(InputError, match="no face number 3"):
        compare(one, one, face_a=2)
    with pytest.raises(InputError, match="cannot be compared"):
        compare(one, inference([1, 0, 0], model="other"))
    with pytest.raises(SettingsError, match="from -1 to 1"):
        FaceMatchSettings(threshold=3.0)


def test_the_result_tells_about_these_two_pictures_only():
    result = compare(inference(np.eye(3)[:2]), inference([1, 1, 0]), FaceMatchSettings(threshold=0.5)).to_dict(
        "a.png", "b"
    )
    assert json.loads(json.dumps(result)) == result
    assert result["pictures"] == [
        {"name": "a.png", "faces": 2, "box": [0, 0, 40, 50]}, {"name": "b", "faces": 1, "box": [0, 0, 40, 50]},
    ]  # fmt: skip
    assert result["similarity"] == pytest.approx(0.7071, abs=1e-4)
    assert result["same"] is True
    assert set(result) == {"model", "pictures", "similarity", "distance", "threshold", "distance_threshold", "same"}


@pytest.fixture
def networks(monkeypatch):
    """Two faces in every picture; an "embedding" that is the mean colour of the crop's left and right half."""
    calls = []

    def find(picture, model, engine=None, **_):
        boxes = np.array([[12, 10, 52, 60], [60, 60, 80, 90]], np.float32)
        faces = Faces(boxes, np.array([0.9, 0.3], np.float32), np.stack([POINTS, POINTS / 2 + 50]), 100, 120, model)
        return FaceInference(RawFaces(faces, np.full(2, 8.0), (100, 120)), {"network": 1.0}, "cpu", "float32", model)

    def embed(crops, model, engine=None, **_):
        calls.append(crops)
        halves = [crops[:, :, :56].mean((1, 2)), crops[:, :, 56:].mean((1, 2))]
        return Ran(unit(np.concatenate(halves, 1)), {"network": 2.0}, "cpu", "float32", model)

    monkeypatch.setattr(predict, "infer_faces", find)
    monkeypatch.setattr(predict, "embed", embed)
    return calls


def test_faces_are_found_aligned_and_embedded_in_one_batch(networks):
    pixels = np.random.default_rng(0).integers(0, 256, (100, 120, 3), np.uint8)
    found = infer(pixels)
    assert len(found) == 2
    assert len(networks) == 1
    np.testing.assert_array_equal(networks[0][0], align(pixels, POINTS))
    np.testing.assert_array_equal(networks[0], found.crops)
    assert list(found.stages) == ["find: network", "align", "embed: network"]
    assert (found.stages["find: network"], found.stages["embed: network"]) == (1.0, 2.0)
    assert "embeddings" not in json.dumps(found.to_dict("a.png"))
    assert found.sentence() == "2 faces, 20 to 40 px wide."


def test_with_the_mirror_a_mirrored_face_is_the_same(networks):
    pixels = np.random.default_rng(0).integers(0, 256, (100, 120, 3), np.uint8)
    found = infer(pixels, mirror=True)
    assert networks[0].shape == (4, 112, 112, 3)
    np.testing.assert_allclose(found.embeddings[:, :3], found.embeddings[:, 3:], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found.embeddings, axis=1), 1, atol=1e-6)


@pytest.fixture(scope="module")
def real_engine(repository, tmp_path_factory):
    """The detector that ships and an embedder of random weights, from files, as a user's machine would run them."""
    finder = repository / "weights" / "compact_face_detector.safetensors"
    if not finder.is_file():
        pytest.skip("weights/compact_face_detector.safetensors is not there")
    folder = tmp_path_factory.mktemp("weights")
    shutil.copy(finder, folder)
    torch.manual_seed(0)
    network = CompactEmbedder()
    with torch.no_grad():
        network(torch.rand(8, 3, 112, 112))
    save_file({name: value.half() if value.is_floating_point() else value for name, value in
               network.state_dict().items()}, folder / "compact_faces.safetensors")  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CVDEMO_WEIGHTS", str(folder))
        yield Engine(device="cpu", tune=False)


def test_a_real_picture_from_finding_to_the_verdict(real_engine, crowd):
    found = infer(crowd, engine=real_engine)
    assert len(found) >= 1
    assert found.embeddings.shape == (len(found), 128)
    assert compare(found, found).similarity == pytest.approx(1, abs=1e-5)
    assert {"find: network", "embed: network"} <= set(found.stages)
    empty = infer(np.zeros((1, 1, 3), np.uint8), engine=real_engine)
    with pytest.raises(InputError, match="first picture"):
        compare(empty, found)
