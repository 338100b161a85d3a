"""From a picture to faces: geometry by arithmetic, decoding against a loop, the shipped weights if they are there."""

import threading

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cvdemo.core import registry, weights
from cvdemo.core.engine import Engine
from cvdemo.core.errors import Cancelled, CvDemoError
from cvdemo.core.registry import Precision, RunContext
from cvdemo.faces import detector
from cvdemo.faces.detector import DEFAULT_MODEL, SPEC, FaceDetectionSettings, agree, decode_faces, infer_faces
from cvdemo.faces.nets.face_detector import OUTPUTS, STRIDES, TYPICAL_SIDE, CompactFaceDetector
from cvdemo.faces.result import Faces, RawFaces


class OneFace(torch.nn.Module):
    """Answers every picture with one certain face in one cell: landmarks 0, 1, 2, 3, 4 strides right of its centre."""

    def __init__(self, level: int, row: int, column: int) -> None:
        super().__init__()
        self.place = (level, row, column)

    def forward(self, x):
        level, row, column = self.place
        maps = []
        for index, stride in enumerate(STRIDES):
            values = torch.zeros(1, OUTPUTS, x.shape[2] // stride, x.shape[3] // stride)
            values[:, 0] = -12.0
            if index == level:
                landmarks = [value for k in range(5) for value in (k, -0.5)]
                values[0, :, row, column] = torch.tensor([4.0, 0.5, -0.25, np.log(2.0), 0.0, *landmarks])
            maps.append(values)
        return maps


@pytest.mark.parametrize(("level", "row", "column"), [(0, 20, 30), (1, 9, 17), (2, 4, 6)])
@pytest.mark.parametrize(("height", "width", "scale"), [(384, 512, 1.0), (768, 1024, 0.5), (200, 320, 1.0)])
def test_faces_come_back_in_pixels_of_the_picture(level, row, column, height, width, scale):
    context = RunContext(torch.device("cpu"))
    raw = detector.run(OneFace(level, row, column), np.zeros((height, width, 3), np.uint8), context)
    assert raw.input_size == (height * scale, width * scale)
    assert raw.scale == pytest.approx(scale)
    faces = decode_faces(raw, FaceDetectionSettings(score_threshold=0.5))
    assert len(faces) == 1
    assert (faces.height, faces.width) == (height, width)
    stride = STRIDES[level]
    cell = np.array([column + 0.5, row + 0.5]) * stride
    middle, half = cell + np.array([0.5, -0.25]) * stride, np.array([2.0, 1.0]) * TYPICAL_SIDE * stride / 2
    box = np.concatenate([middle - half, middle + half]) / scale
    np.testing.assert_allclose(faces.boxes[0], np.clip(box, 0, [width, height] * 2), rtol=1e-5)
    points = cell + np.array([[k * stride, -0.5 * stride] for k in range(5)])
    np.testing.assert_allclose(faces.landmarks[0], points / scale, rtol=1e-5)
    assert faces.scores[0] == pytest.approx(1 / (1 + np.exp(-4)))
    assert raw.levels[0] == stride
    assert list(context.stages) == ["preprocess", "network", "decode"]


def random_raw(seed: int, count: int = 60) -> RawFaces:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 80, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(4, 40, (count, 2))], 1).astype(np.float32)
    scores = np.sort(rng.random(count).astype(np.float32))[::-1].copy()
    faces = Faces(boxes, scores, rng.uniform(0, 120, (count, 5, 2)).astype(np.float32), 120, 120, "test")
    return RawFaces(faces, np.full(count, 8.0), (120, 120))


def iou(a, b) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    overlap = max(w, 0) * max(h, 0)
    return overlap / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap)


@pytest.mark.parametrize("seed", range(10))
def test_decoding_against_a_loop(seed):
    rng = np.random.default_rng(seed)
    raw = random_raw(seed)
    settings = FaceDetectionSettings(
        score_threshold=float(rng.uniform(0, 0.6)), iou_threshold=float(rng.uniform(0.1, 0.8)),
        min_size=float(rng.uniform(0, 20)), max_faces=int(rng.integers(1, 30)),
    )  # fmt: skip
    kept: list[int] = []
    for row, score in enumerate(raw.candidates.scores):
        box = raw.candidates.boxes[row].astype(float)
        overlaps = [iou(box, raw.candidates.boxes[k].astype(float)) for k in kept]
        if score > settings.score_threshold and all(value <= settings.iou_threshold for value in overlaps):
            kept.append(row)
    boxes = raw.candidates.boxes
    kept = [r for r in kept if min(boxes[r, 2:] - boxes[r, :2]) >= settings.min_size][: settings.max_faces]
    faces = decode_faces(raw, settings)
    np.testing.assert_array_equal(faces.boxes, boxes[kept])
    np.testing.assert_array_equal(faces.landmarks, raw.candidates.landmarks[kept])


def test_agreement():
    raw = random_raw(1)
    faces = raw.candidates

    def changed(boxes=0.0, scores=0.0, landmarks=0.0) -> RawFaces:
        other = Faces(
            faces.boxes + np.float32(boxes), faces.scores + np.float32(scores), faces.landmarks + np.float32(landmarks)
        )
        return RawFaces(other, raw.levels, raw.input_size)

    assert agree(raw, raw)
    assert agree(raw, changed(boxes=0.05, scores=0.01, landmarks=0.1))
    assert not agree(raw, changed(boxes=5.0))
    assert not agree(raw, changed(scores=0.2))
    assert not agree(raw, changed(landmarks=5.0))
    order = np.random.default_rng(0).permutation(len(faces))
    assert agree(raw, RawFaces(faces.take(order), raw.levels, raw.input_size)), "the order does not matter"


@pytest.fixture(scope="module")
def random_engine(tmp_path_factory):
    """An engine whose weights folder holds a random network: for plumbing, never for quality."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    save_file(
        {n: v.contiguous() for n, v in CompactFaceDetector().state_dict().items()}, folder / SPEC.weights.filename
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CVDEMO_WEIGHTS", str(folder))
        yield Engine(device="cpu", tune=False)


def test_the_network_runs_through_the_engine(random_engine):
    for height, width in ((1, 1), (1, 500), (3000, 20), (33, 31), (700, 1100)):
        pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
        inference = infer_faces(pixels, engine=random_engine)
        assert inference.model == DEFAULT_MODEL
        assert {"preprocess", "network", "decode"} <= set(inference.stages)
        found = inference.raw.candidates
        assert (found.height, found.width) == (height, width)
        assert ((found.boxes >= 0) & (found.boxes <= [width, height, width, height])).all()
        assert (np.diff(found.scores) <= 0).all(), "best first"
        assert np.isfinite(found.landmarks).all()
        decode_faces(inference, FaceDetectionSettings(score_threshold=0.0))


def test_a_cancelled_run_stops(random_engine):
    event = threading.Event()
    event.set()
    with pytest.raises(Cancelled):
        infer_faces(np.zeros((64, 64, 3), np.uint8), engine=random_engine, cancel=event)


def test_an_unknown_model_is_refused(random_engine):
    with pytest.raises(CvDemoError, match="no model named"):
        infer_faces(np.zeros((64, 64, 3), np.uint8), "compact-face-detectr", random_engine)


def test_without_weights_it_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("CVDEMO_WEIGHTS", str(tmp_path))
    state = detector.available()
    assert not state.ok
    assert "missing" in state.reason
    assert SPEC.weights.filename in state.remedy


def test_the_traced_form_agrees_with_the_reference():
    from cvdemo.core import precision

    torch.manual_seed(1)
    network = SPEC.prepare(CompactFaceDetector().eval()).requires_grad_(False)
    traced = next(p for p in SPEC.precisions if p.traced and p.dtype == "float32")
    form = precision.in_form(SPEC, network, traced)
    cpu = torch.device("cpu")
    for height, width in ((480, 640), (90, 120)):
        picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        reference = precision.run_once(SPEC, network, Precision(), cpu, picture)
        other = precision.run_once(SPEC, form, traced, cpu, picture)
        np.testing.assert_allclose(other.candidates.scores, reference.candidates.scores, atol=1e-4)


def test_it_is_registered():
    assert registry.get(DEFAULT_MODEL) is SPEC
    assert (SPEC.task, SPEC.tier) == ("faces", "compact")


@pytest.fixture(scope="module")
def shipped_engine(repository):
    if not (repository / "weights" / SPEC.weights.filename).is_file():
        pytest.skip(f"weights/{SPEC.weights.filename} is not there")
    with pytest.MonkeyPatch.context() as patch:
        # The random weights' folder above lasts as long as this module.
        patch.setenv("CVDEMO_WEIGHTS", str(repository / "weights"))
        yield Engine(device="cpu", tune=False)


def test_the_shipped_weights_find_the_faces_of_the_crowd(shipped_engine, crowd):
    faces = decode_faces(infer_faces(crowd, engine=shipped_engine))
    assert len(faces) >= 3
    for box, points in zip(faces.boxes, faces.landmarks):
        centre = points.mean(0)
        assert (box[:2] <= centre).all()
        assert (centre <= box[2:]).all()
        assert points[:2, 1].mean() < points[2, 1] < points[3:, 1].mean(), "eyes over nose over mouth"
        assert points[0, 0] < points[1, 0], "the person's right eye is on the left"


def test_the_shipped_file_is_small(repository, shipped_engine):
    file = repository / "weights" / SPEC.weights.filename
    assert file.stat().st_size < 1_000_000
    assert all(torch.isfinite(value).all() for value in weights.load_state(file).values())
