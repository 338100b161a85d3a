"""The data and the recipe: folders, augmentation, targets, a whole run, a resumed one, and what it leaves behind."""

import json

import cv2
import numpy as np
import pytest
import torch

from cvdemo.classification import train_emotion
from cvdemo.classification.emotion_data import (
    FaceSet,
    augment,
    emotion_of_folder,
    erase,
    load_faces,
    picture_files,
    random_affine,
    random_tone,
    read_grey,
)
from cvdemo.classification.nets.emotion_net import EMOTIONS, SIDE, EmotionNet, mirrored_logits
from cvdemo.classification.train_emotion import BatchMaker, accuracy, loss_of, size_at, soften
from cvdemo.core import weights
from cvdemo.core.errors import InputError


def pattern(emotion: int, rng: np.random.Generator) -> np.ndarray:
    """A noisy crop with a bright bar whose height tells the emotion."""
    face = rng.integers(0, 120, (SIDE, SIDE)).astype(np.uint8)
    face[4 + 6 * emotion : 8 + 6 * emotion, 10:38] = 250
    return face


@pytest.fixture(scope="module")
def fer(tmp_path_factory):
    """Folders like fer2013's with five crops per emotion in train/ and two in validation/."""
    root = tmp_path_factory.mktemp("fer")
    rng = np.random.default_rng(0)
    for split, count in (("train", 5), ("validation", 2)):
        for index, name in enumerate(EMOTIONS):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                assert cv2.imwrite(str(root / split / name / f"{number}.png"), pattern(index, rng))
    return root


@pytest.mark.parametrize(
    ("folder", "emotion"),
    [("angry", 0), ("anger", 0), ("Disgust", 1), ("fear", 2), ("HAPPY", 3), ("happiness", 3), ("sadness", 4),
     ("surprise", 5), ("neutral", 6), ("contempt", None), ("train", None), ("", None)],
)  # fmt: skip
def test_folder_names(folder, emotion):
    assert emotion_of_folder(folder) == emotion


def test_loading_reads_every_known_folder_and_no_other(fer, tmp_path):
    faces = load_faces(fer / "train")
    assert faces.pixels.shape == (35, SIDE, SIDE)
    assert faces.pixels.dtype == np.uint8
    assert np.bincount(faces.labels).tolist() == [5] * 7
    bars = np.array([face[:, 12:36].mean(1) for face in faces.pixels]).argmax(1)
    assert (bars // 6 == (4 + 6 * faces.labels) // 6).all(), "pixels and labels stay together"
    for name in ("anger", "contempt"):
        (tmp_path / name).mkdir()
        assert cv2.imwrite(str(tmp_path / name / "a.png"), np.full((60, 50, 3), 90, np.uint8))
        (tmp_path / name / "notes.txt").write_text("not a picture")
    assert [(path.parent.name, emotion) for path, emotion in picture_files(tmp_path)] == [("anger", 0)]
    both = faces + load_faces(tmp_path)
    assert len(both) == 36
    assert both.labels[-1] == 0
    assert (both.pixels[-1] == 90).all(), "other sizes and colours are converted"


def test_unusable_folders_and_files_are_named(tmp_path):
    with pytest.raises(InputError, match="not a folder"):
        load_faces(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no pictures"):
        load_faces(tmp_path)
    for content in (b"", b"not a picture"):
        (tmp_path / "broken.png").write_bytes(content)
        with pytest.raises(InputError, match=r"broken\.png"):
            read_grey(tmp_path / "broken.png")


def test_affine_maps_keep_the_face_in_the_frame():
    rng = np.random.default_rng(1)
    mirrored = 0
    for _ in range(300):
        matrix = random_affine(rng, SIDE, 40)
        centre = matrix @ [(SIDE - 1) / 2, (SIDE - 1) / 2, 1]
        assert (np.abs(centre - 39 / 2) <= 0.09 * 40 + 1e-9).all()
        singular = np.linalg.svd(matrix[:, :2], compute_uv=False) * SIDE / 40
        assert 0.85 / 1.07 <= singular.min() <= singular.max() <= 1.2 * 1.07
        mirrored += np.linalg.det(matrix[:, :2]) < 0
    assert 100 < mirrored < 200, "about half are mirrored"


def test_tones_are_monotonous():
    rng = np.random.default_rng(2)
    tables = [random_tone(rng).astype(int) for _ in range(50)]
    assert all((np.diff(table) >= 0).all() and len(np.unique(table)) > 40 for table in tables)


def test_erasing_overwrites_one_rectangle_of_the_stated_area():
    rng = np.random.default_rng(3)
    for _ in range(50):
        face = np.tile(np.arange(48, dtype=np.uint8), (48, 1))
        before = face.copy()
        erase(face, rng)
        rows, columns = np.nonzero(face != before)
        inside = face[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert len(np.unique(inside)) == 1, "a rectangle of one grey"
        assert 0.01 < inside.size / 48**2 < 0.25


@pytest.mark.parametrize("size", [40, 48])
def test_augmenting_varies_and_leaves_the_original_alone(size):
    rng = np.random.default_rng(4)
    face = pattern(2, rng)
    before = face.copy()
    variants = [augment(face, size, rng) for _ in range(30)]
    np.testing.assert_array_equal(face, before)
    assert all(v.shape == (size, size) and v.dtype == np.uint8 for v in variants)
    assert len({v.tobytes() for v in variants}) == 30


def test_soft_targets():
    targets = soften(np.array([0, 3, 6]))
    np.testing.assert_allclose(targets.sum(1), 1, atol=1e-6)
    assert targets.argmax(1).tolist() == [0, 3, 6]
    np.testing.assert_allclose(targets.max(1), 0.9 + 0.1 / 7, atol=1e-6)


def test_an_epoch_shows_every_face_once(fer, monkeypatch):
    faces = load_faces(fer / "train")
    shown = []

    def noting(face, size, *_):
        shown.append(face.tobytes())
        return face[:size, :size]

    monkeypatch.setattr(train_emotion, "augment", noting)
    maker = BatchMaker(faces, 0)
    for _ in range(5):
        pixels, targets = maker.batch(7, SIDE)
        assert pixels.shape == (7, SIDE, SIDE)
        assert pixels.dtype == targets.dtype == np.float32
        assert 0 <= pixels.min() <= pixels.max() <= 1
        np.testing.assert_allclose(targets.sum(1), 1, atol=1e-6)
    assert sorted(shown) == sorted(face.tobytes() for face in faces.pixels)


def test_mixup_blends_pixels_and_targets_alike(monkeypatch):
    """Each emotion's crops have a grey of their own, so a blend's targets can be read off its pixels."""
    monkeypatch.setattr(train_emotion, "MIXUP_SHARE", 1.1)
    monkeypatch.setattr(train_emotion, "soften", lambda labels: np.eye(7, dtype=np.float32)[labels])
    monkeypatch.setattr(train_emotion, "augment", lambda face, *_: face)
    greys = 30 * np.arange(7)
    coded = FaceSet(np.stack([np.full((SIDE, SIDE), grey, np.uint8) for grey in greys]), np.arange(7))
    pixels, targets = BatchMaker(coded, 5).batch(7, SIDE)
    np.testing.assert_allclose(pixels[:, 0, 0], targets @ (greys / 255), atol=1e-5)
    assert (targets.max(1) < 1).any()


def test_sizes_grow_over_the_budget():
    sizes = [size_at(p) for p in np.linspace(0, 1, 21)]
    assert sizes == sorted(sizes)
    assert sizes[-1] == SIDE
    assert all(size % 8 == 0 for size in sizes)


def test_the_loss_is_the_cross_entropy_of_the_soft_targets(monkeypatch):
    class Constant(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.logits = torch.nn.Parameter(torch.arange(7.0))

        def forward(self, x):
            return self.logits.expand(len(x), 7)

    rng = np.random.default_rng(6)
    targets = soften(np.array([6, 0]))
    loss, figures = loss_of(Constant(), (rng.random((2, SIDE, SIDE), np.float32), targets))
    z = np.arange(7.0)
    expected = -(targets * (z - np.log(np.exp(z).sum()))).sum(1).mean()
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-2)
    assert figures["agreement"] == 0.5


def test_accuracy_counts(fer):
    faces = load_faces(fer / "train")
    network = EmotionNet().eval()
    x = torch.from_numpy(faces.pixels)[:, None].float() / 255
    with torch.inference_mode():
        single, both = network(x).argmax(1).numpy(), mirrored_logits(network, x).argmax(1).numpy()
    assert accuracy(network, faces, mirror=False, chunk=8) == pytest.approx((single == faces.labels).mean())
    assert accuracy(network, faces, chunk=8) == pytest.approx((both == faces.labels).mean())


def run(fer, out, minutes, *more):
    train_emotion.main(["--fer2013", str(fer), "--out", str(out), "--minutes", str(minutes), "--batch", "8",
                        "--device", "cpu", *more])  # fmt: skip


def test_a_run_saves_weights_and_the_same_command_goes_on(fer, tmp_path, capsys):
    run(fer, tmp_path, 0.01, "--ckplus", str(fer / "validation"))
    printed = capsys.readouterr()
    assert "49 faces, from step 0" in printed.err
    report = json.loads(printed.out)
    assert set(report) == {"epochs", "validation", "validation, mirrored"}
    assert 0 <= report["validation"] <= 1
    state = weights.load_state(tmp_path / train_emotion.FILENAME)
    EmotionNet().load_state_dict(state, strict=True)
    assert (tmp_path / train_emotion.FILENAME).stat().st_size < 3_000_000, "stored in 16 bits"
    clock = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["clock"]
    steps = clock["step"]
    assert steps >= 1
    run(fer, tmp_path, clock["elapsed"] / 60 + 0.005)
    assert f"from step {steps}" in capsys.readouterr().err
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["clock"]["step"] > steps


def test_a_run_may_start_from_earlier_weights(fer, tmp_path, capsys):
    (tmp_path / "first").mkdir()
    run(fer, tmp_path / "first", 0.002)
    run(fer, tmp_path / "second", 0.002, "--from", str(tmp_path / "first" / train_emotion.FILENAME))
    assert "from step 0" in capsys.readouterr().err


def test_wrong_folders_end_with_a_sentence(tmp_path):
    with pytest.raises(SystemExit, match="not a folder"):
        run(tmp_path / "nowhere", tmp_path / "out", 0.01)


def test_it_learns_an_easy_task(fer):
    """Forty steps on bars at seven heights: the loss falls by a third, so pixels and targets belong together."""
    torch.manual_seed(0)
    network = EmotionNet(widths=(16, 16, 32), dropout=0.0).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3)
    maker = BatchMaker(load_faces(fer / "train"), 0)
    losses = []
    for _ in range(40):
        loss, figures = loss_of(network, maker.batch(32, SIDE, strength=0.0))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(figures["loss"])
    assert np.mean(losses[-5:]) < 0.67 * losses[0]
