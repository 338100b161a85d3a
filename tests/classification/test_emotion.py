"""Emotions of faces: alignment against least squares, the two halves, smoothing over time, and counting."""

import functools
import json
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cvdemo.classification import emotion
from cvdemo.classification.emotion import (
    EMOTIONS,
    EmotionSettings,
    EmotionTracks,
    RawEmotions,
    decode_emotions,
    draw_emotions,
    emotions_of,
    infer_emotions,
    settings_for,
)
from cvdemo.classification.emotion_align import TEMPLATE, crop_face, crop_faces, similarity
from cvdemo.classification.emotion_evaluate import evaluate_emotion
from cvdemo.classification.nets.emotion_net import SIDE, EmotionNet
from cvdemo.core import registry
from cvdemo.core.context import RunContext
from cvdemo.core.engine import Engine
from cvdemo.core.errors import Cancelled, InputError, SettingsError, WeightsError
from cvdemo.core.media import Picture
from cvdemo.faces.result import Faces


def faces_at(*places: tuple[float, float, float, float]) -> Faces:
    """Faces whose landmarks are the template, scaled, turned (degrees) and moved to (x, y) of its top left corner."""
    landmarks, boxes = [], []
    for x, y, scale, degrees in places:
        cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        turned = (TEMPLATE - 23.5) @ np.array([[cos, sin], [-sin, cos]]) + 23.5
        landmarks.append(turned * scale + [x, y])
        boxes.append([x, y, x + 47 * scale, y + 47 * scale])
    count = len(places)
    return Faces(np.array(boxes, np.float32).reshape(count, 4), np.linspace(0.9, 0.6, count).astype(np.float32),
                 np.array(landmarks, np.float32).reshape(count, 5, 2))  # fmt: skip


NO_FACES = faces_at()
THREE_FACES = faces_at((20, 30, 2, 0), (150, 40, 1.3, 12), (220, 100, 1, -8))


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    rng = np.random.default_rng(0)
    return cv2.resize(rng.integers(0, 256, (20, 30, 3), np.uint8), (300, 200), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Engine:
    """The processor, with an untrained network in a folder of its own: numbers are checked, never their meaning."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    network = EmotionNet()
    torch.nn.init.normal_(network.head.weight, 0, 1)
    save_file(network.state_dict(), folder / "compact_emotion.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CVDEMO_WEIGHTS", str(folder))
        yield Engine(device="cpu", tune=False)


def raw_of(logits, boxes=None) -> RawEmotions:
    logits = np.asarray(logits, np.float32).reshape(-1, 7)
    count = len(logits)
    if boxes is None:
        boxes = [[60 * i, 0, 60 * i + 40, 40] for i in range(count)]
    crops, transforms = np.zeros((count, SIDE, SIDE), np.uint8), np.zeros((count, 2, 3))
    boxes = np.array(boxes, np.float32).reshape(count, 4)
    return RawEmotions(logits, crops, transforms, boxes, np.ones(count, np.float32), 100, 200, "compact-emotion")


# ------------------------------------------------------------------ alignment


@pytest.mark.parametrize("seed", range(10))
def test_similarity_is_the_least_squares_solution(seed):
    rng = np.random.default_rng(seed)
    source, target = rng.normal(50, 20, (5, 2)), rng.normal(20, 10, (5, 2))
    rows = [[x, -y, 1, 0] for x, y in source] + [[y, x, 0, 1] for x, y in source]
    a, b, x, y = np.linalg.lstsq(np.array(rows), np.concatenate([target[:, 0], target[:, 1]]), rcond=None)[0]
    np.testing.assert_allclose(similarity(source, target), [[a, -b, x], [b, a, y]], atol=1e-9)


@pytest.mark.parametrize("place", [(0, 0, 1, 0), (30, 12, 2.5, 20), (-4, 7, 0.6, -75), (100, 50, 4, 179)])
def test_landmarks_of_a_moved_turned_and_scaled_face_land_on_the_template(place):
    landmarks = faces_at(place).landmarks[0]
    matrix = similarity(landmarks)
    np.testing.assert_allclose(landmarks @ matrix[:, :2].T + matrix[:, 2], TEMPLATE, atol=1e-3)


def test_unusable_landmarks():
    with pytest.raises(ValueError, match="finite"):
        similarity(np.full((5, 2), np.nan))
    matrix = similarity(np.full((5, 2), 30.0))
    assert np.isfinite(matrix).all()
    np.testing.assert_allclose(matrix @ [30, 30, 1], TEMPLATE.mean(0))


def test_a_crop_at_the_original_size_is_the_picture_itself():
    grey = np.random.default_rng(1).integers(0, 256, (70, 90)).astype(np.uint8)
    matrix = np.array([[1.0, 0, -25], [0, 1, -10]])
    np.testing.assert_array_equal(crop_face(grey, matrix), grey[10:58, 25:73])


@pytest.mark.parametrize("factor", [2, 3, 6])
def test_large_faces_are_averaged_not_sampled(factor):
    """A region of 48 f pixels is reduced to the means of its f x f squares."""
    grey = np.random.default_rng(factor).integers(0, 256, (SIDE * factor, SIDE * factor)).astype(np.uint8)
    matrix = np.array([[1 / factor, 0, (1 / factor - 1) / 2], [0, 1 / factor, (1 / factor - 1) / 2]])
    means = grey.reshape(SIDE, factor, SIDE, factor).mean((1, 3))
    np.testing.assert_allclose(crop_face(grey, matrix).astype(float), means, atol=0.51)


def test_a_turned_face_is_turned_back():
    face = cv2.resize(np.random.default_rng(3).integers(0, 256, (6, 6)).astype(np.uint8), (SIDE, SIDE))
    place = (60.0, 40.0, 2.0, 25.0)
    forward = similarity(TEMPLATE, faces_at(place).landmarks[0])
    grey = cv2.warpAffine(face, forward, (240, 220), flags=cv2.INTER_LINEAR)
    crop = crop_faces(np.repeat(grey[..., None], 3, 2), faces_at(place).landmarks)[0][0]
    assert np.abs(crop[4:-4, 4:-4].astype(int) - face[4:-4, 4:-4]).mean() < 6


def test_crops_of_several_faces_and_of_none(picture):
    crops, transforms = crop_faces(picture, THREE_FACES.landmarks)
    assert crops.shape == (3, SIDE, SIDE)
    assert transforms.shape == (3, 2, 3)
    for row in range(3):
        np.testing.assert_array_equal(crops[row], crop_faces(picture, THREE_FACES.landmarks[row : row + 1])[0][0])
    assert crop_faces(picture, NO_FACES.landmarks)[0].shape == (0, SIDE, SIDE)


# ------------------------------------------------------------------ inference


def test_the_registry_entry_is_true():
    spec = registry.get("compact-emotion")
    network = spec.build()
    assert spec.parameters == sum(p.numel() for p in network.parameters())
    assert spec.categories == EMOTIONS
    assert settings_for(spec.name) == EmotionSettings()
    work = []

    def count(module, inputs, output):
        work.append(module.weight[0].numel() * output[0].numel() if output.dim() == 4 else module.weight.numel())

    for module in network.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            module.register_forward_hook(count)
    with torch.inference_mode():
        network.eval()(torch.zeros(1, 1, SIDE, SIDE))
    assert spec.gflops == pytest.approx(sum(work) / 1e9, rel=0.02)


def test_inference_is_the_network_on_face_and_mirror_image(engine, picture):
    found = infer_emotions(picture, THREE_FACES, engine=engine)
    assert found.model == "compact-emotion"
    assert found.device == "cpu"
    assert list(found.stages) == ["align", "wait", "load", "preprocess", "network", "decode"]
    assert len(found.raw) == 3
    assert (found.raw.height, found.raw.width) == (200, 300)
    spec = registry.get("compact-emotion")
    network = spec.build().eval()
    from cvdemo.core import weights

    network.load_state_dict(weights.load_state(weights.find(spec.weights)))
    x = torch.from_numpy(found.raw.crops)[:, None].float() / 255
    with torch.inference_mode():
        expected = (network(x) + network(x.flip(3))) / 2
    np.testing.assert_allclose(found.raw.logits, expected.numpy(), rtol=1e-3, atol=1e-3)


def test_a_picture_and_its_pixels_are_the_same(engine, picture):
    first = emotions_of(picture, THREE_FACES, engine=engine)
    second = emotions_of(Picture(picture, "people.png"), THREE_FACES, engine=engine)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first.sum(1), 1)


def test_a_mirrored_picture_gives_the_same_emotions(engine, picture):
    mirrored = THREE_FACES.landmarks[:, [1, 0, 2, 4, 3]].copy()
    mirrored[..., 0] = picture.shape[1] - 1 - mirrored[..., 0]
    first = emotions_of(picture, THREE_FACES, engine=engine)
    second = emotions_of(
        np.ascontiguousarray(picture[:, ::-1]), replace(THREE_FACES, landmarks=mirrored), engine=engine
    )
    np.testing.assert_allclose(first, second, atol=0.05)


def test_without_faces_nothing_runs(picture):
    class Refusing:
        def run(self, *_, **__):
            raise AssertionError("the network was run")

    found = infer_emotions(picture, NO_FACES, engine=Refusing())
    decoded = decode_emotions(found, EmotionSettings())
    assert len(found.raw) == len(decoded) == 0
    assert decoded.sentence() == "No face was found"
    assert decoded.to_dict("empty.png")["faces"] == []
    np.testing.assert_array_equal(draw_emotions(picture, decoded), picture)


def test_missing_weights_are_an_error_and_never_random(picture, tmp_path, monkeypatch):
    spec = replace(
        registry.get("compact-emotion"),
        name="compact-emotion-elsewhere",
        weights=replace(registry.get("compact-emotion").weights, filename="nowhere.safetensors"),
    )
    registry.register(spec)
    try:
        with pytest.raises(WeightsError):
            infer_emotions(picture, THREE_FACES, spec.name, Engine(device="cpu", tune=False))
    finally:
        registry.unregister(spec.name)


def test_settings_never_call_the_network(engine, picture, monkeypatch):
    calls = []
    run = Engine.run
    monkeypatch.setattr(Engine, "run", lambda self, *a, **o: calls.append(a) or run(self, *a, **o))
    found = infer_emotions(picture, THREE_FACES, engine=engine)
    before = found.raw.logits.copy()
    for temperature in (0.1, 1.0, 7.5):
        for smoothing in (0.0, 2.0):
            decoded = decode_emotions(found, EmotionSettings(temperature, smoothing), EmotionTracks(), 1.0)
            draw_emotions(picture, decoded)
    assert len(calls) == 1
    np.testing.assert_array_equal(found.raw.logits, before)


def test_many_faces_are_run_in_batches_with_progress(engine, monkeypatch):
    monkeypatch.setattr(emotion, "BATCH", 4)
    crops = np.random.default_rng(5).integers(0, 256, (10, SIDE, SIDE)).astype(np.uint8)
    said = []
    logits = engine.run("compact-emotion", crops, progress=lambda share, _: said.append(share)).output
    alone = np.concatenate([engine.run("compact-emotion", crop[None]).output for crop in crops])
    np.testing.assert_allclose(logits, alone, rtol=1e-3, atol=1e-3)
    assert [share for share in said if share < 1][-3:] == [0.0, 0.4, 0.8]


def test_a_cancelled_run_stops():
    import threading

    event = threading.Event()
    event.set()
    context = RunContext(torch.device("cpu"), cancel=event)
    with pytest.raises(Cancelled):
        emotion.logits_of_crops(EmotionNet().eval(), np.zeros((3, SIDE, SIDE), np.uint8), context)


def test_agreement_of_number_formats():
    logits = np.random.default_rng(6).normal(0, 2, (5, 7)).astype(np.float32)
    assert emotion.agree(logits, logits + 0.01)
    assert emotion.agree(logits, logits + 50), "a shift of all logits means nothing"
    assert not emotion.agree(logits, logits[:, ::-1])
    assert not emotion.agree(logits, np.full_like(logits, np.nan))
    assert emotion.example_crops().shape == (4, SIDE, SIDE)


# ------------------------------------------------------------------ decoding


@pytest.mark.parametrize("temperature", [0.1, 0.7, 1.0, 10.0])
def test_probabilities_are_the_softmax(temperature):
    logits = np.random.default_rng(7).normal(0, 3, (6, 7))
    found = decode_emotions(raw_of(logits), EmotionSettings(temperature)).probabilities
    expected = torch.softmax(torch.from_numpy(logits.astype(np.float32)).double() / temperature, 1)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-12)
    assert (found.argmax(1) == logits.argmax(1)).all(), "the order never changes"


def test_sentences():
    def of(*names_and_margins):
        logits = np.zeros((len(names_and_margins), 7))
        for row, (name, margin) in enumerate(names_and_margins):
            logits[row, EMOTIONS.index(name)] = margin
        return decode_emotions(raw_of(logits), EmotionSettings(temperature=1.0)).sentence()

    assert of(("happy", 5.0)) == "1 face: happy (96 %)"
    assert of(("fear", 0.5)) == "1 face: not sure, perhaps fear (22 %)"
    assert of(("happy", 5), ("neutral", 5), ("happy", 5)) == "3 faces: 2 happy, 1 neutral"
    assert of(("sad", 5), ("sad", 0.1)) == "2 faces: 1 sad, 1 unclear"


def test_the_result_is_data():
    raw = raw_of(np.eye(7)[[3, 6]] * 4, [[10, 20, 50, 80], [0, 0, 30, 30]])
    content = json.loads(json.dumps(decode_emotions(raw, EmotionSettings()).to_dict("two.png")))
    assert content["image"] == {"name": "two.png", "width": 200, "height": 100}
    first, second = content["faces"]
    assert first["bbox"] == [10, 20, 40, 60]
    assert (first["emotion"], second["emotion"]) == ("happy", "neutral")
    assert list(first["probabilities"]) == list(EMOTIONS)
    assert sum(first["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert first["probability"] == first["probabilities"]["happy"]
    assert "track" not in first
    live = decode_emotions(raw, EmotionSettings(), EmotionTracks(), 0.0).to_dict()
    assert [face["track"] for face in live["faces"]] == [1, 2]


def test_drawing_marks_each_face_and_leaves_the_picture(picture):
    decoded = decode_emotions(
        raw_of(np.eye(7)[[3, 0]] * 4, [[10, 60, 80, 150], [120, 50, 200, 140]]), EmotionSettings()
    )
    before = picture.copy()
    drawn = draw_emotions(picture, decoded)
    np.testing.assert_array_equal(picture, before)
    assert drawn.shape == picture.shape
    changed = (drawn != picture).any(2)
    assert changed[60:150, 10:80].any()
    assert changed[50:140, 120:200].any()
    assert not changed[160:, :].any()


def test_settings_are_checked():
    for wrong in ({"temperature": 0.0}, {"temperature": 11.0}, {"smoothing": -1.0}, {"smoothing": float("nan")}):
        with pytest.raises(SettingsError):
            EmotionSettings.from_mapping(wrong)


def test_raw_emotions_are_checked():
    with pytest.raises(ValueError, match="logits"):
        RawEmotions(np.zeros((2, 6)), *[np.zeros((2, 1))] * 4, 1, 1, "")
    with pytest.raises(ValueError, match="every face"):
        replace(raw_of(np.zeros((2, 7))), scores=np.ones(1))


# ------------------------------------------------------------------ over time


def box_at(x: float, y: float = 0, side: float = 40) -> list[float]:
    return [x, y, x + side, y + side]


def test_smoothing_is_an_exponential_average_of_time():
    rng = np.random.default_rng(8)
    tracks, expected, before = EmotionTracks(), None, 0.0
    for seconds in np.cumsum(rng.uniform(0.02, 0.4, 20)):
        p = rng.dirichlet(np.ones(7))
        kept = np.exp(-(seconds - before) / 0.5)
        expected = p if expected is None else kept * expected + (1 - kept) * p
        found, numbers = tracks.update([box_at(10)], p[None], seconds, 0.5)
        np.testing.assert_allclose(found[0], expected)
        assert numbers.tolist() == [1]
        before = seconds


def test_the_frame_rate_does_not_matter():
    """From certain of one emotion to certain of another: after a second the same share is left, however many frames."""
    left = []
    for frames in (4, 40):
        tracks = EmotionTracks()
        tracks.update([box_at(0)], np.eye(7)[[3]], 0.0, 0.5)
        for step in range(1, frames + 1):
            found, _ = tracks.update([box_at(0)], np.eye(7)[[6]], step / frames, 0.5)
        left.append(found[0, 3])
    assert left == pytest.approx([np.exp(-2)] * 2)


def test_faces_that_move_and_change_rows_keep_their_average():
    tracks = EmotionTracks()
    happy, sad = np.eye(7)[3], np.eye(7)[4]
    tracks.update([box_at(0), box_at(200)], [happy, sad], 0.0, 1e9)
    for step in range(1, 10):
        moved = [box_at(200 - 8 * step), box_at(8 * step)]  # the two approach each other, in the other order
        found, numbers = tracks.update(moved, [happy, sad], 0.1 * step, 1e9)
        np.testing.assert_allclose(found, [sad, happy], atol=1e-6)
        assert numbers.tolist() == [2, 1]
    assert len(tracks) == 2


def test_the_best_overlap_wins_and_the_other_face_is_new():
    tracks = EmotionTracks()
    tracks.update([box_at(0)], np.eye(7)[[3]], 0.0, 1.0)
    _, numbers = tracks.update([box_at(12), box_at(2)], np.eye(7)[[3, 4]], 0.1, 1.0)
    assert numbers.tolist() == [2, 1]


def test_a_face_that_was_away_for_long_starts_afresh():
    for away, number, kept in ((0.8, 1, True), (1.5, 2, False)):
        tracks = EmotionTracks()
        tracks.update([box_at(0)], np.eye(7)[[3]], 10.0, 5.0)
        tracks.update(np.zeros((0, 4)), np.zeros((0, 7)), 10.4, 5.0)
        found, numbers = tracks.update([box_at(0)], np.eye(7)[[6]], 10.0 + away, 5.0)
        assert numbers.tolist() == [number]
        assert (found[0, 3] > 0) == kept


def test_without_smoothing_each_picture_stands_alone():
    tracks, rng = EmotionTracks(), np.random.default_rng(9)
    for step in range(5):
        p = rng.dirichlet(np.ones(7), 2)
        found, _ = tracks.update([box_at(0), box_at(100)], p, 0.1 * step, 0.0)
        np.testing.assert_array_equal(found, p)


def test_live_decoding_averages_and_single_pictures_do_not():
    tracks, settings = EmotionTracks(), EmotionSettings(smoothing=1.0)
    one, other = raw_of(np.eye(7)[[3]] * 9), raw_of(np.eye(7)[[6]] * 9)
    happiness = [decode_emotions(one, settings, tracks, 0.0).probabilities[0, 3]]
    happiness += [decode_emotions(other, settings, tracks, 0.2 * k).probabilities[0, 3] for k in range(1, 6)]
    assert all(later < earlier for earlier, later in pairwise(happiness))
    assert happiness[-1] > 0.3
    assert decode_emotions(other, settings).probabilities[0, 3] < 0.01
    assert decode_emotions(other, settings).tracks is None


# ------------------------------------------------------------------ counting


def labelled_folder(root, names, per_folder=4):
    rng = np.random.default_rng(10)
    for name in names:
        (root / name).mkdir()
        for number in range(per_folder):
            face = cv2.resize(rng.integers(0, 256, (6, 6)).astype(np.uint8), (SIDE, SIDE))
            assert cv2.imwrite(str(root / name / f"{number}.png"), face)


def test_evaluation_counts_what_the_network_says(engine, tmp_path):
    labelled_folder(tmp_path, ("anger", "happy", "neutral", "contempt"))
    done = []
    result = evaluate_emotion(tmp_path, engine=engine, progress=lambda *counts: done.append(counts))
    true, best = [], []
    for name, index in (("anger", 0), ("happy", 3), ("neutral", 6)):
        for path in sorted((tmp_path / name).iterdir()):
            crop = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            best.append(int(engine.run("compact-emotion", crop[None]).output.argmax()))
            true.append(index)
    hits = np.array(true) == np.array(best)
    assert result["images"] == 12
    assert result["model"] == "compact-emotion"
    assert result["accuracy"] == pytest.approx(hits.mean())
    assert {name: row["accuracy"] for name, row in result["per_class"].items()} == pytest.approx(
        {"angry": hits[:4].mean(), "happy": hits[4:8].mean(), "neutral": hits[8:].mean()}
    )
    assert result["confusion"]["labels"][:3] == ["angry", "happy", "neutral"]
    assert np.sum(result["confusion"]["matrix"]) == 12
    assert done[-1] == (12, 12)
    json.dumps(result)


def test_evaluation_without_pictures_is_an_error(engine, tmp_path):
    with pytest.raises(InputError):
        evaluate_emotion(tmp_path / "nowhere", engine=engine)
    labelled_folder(tmp_path, ("contempt",))
    with pytest.raises(InputError, match="no pictures"):
        evaluate_emotion(tmp_path, engine=functools.partial(Engine)())
