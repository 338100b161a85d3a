"""The distillation recipe on a handful of synthetic pictures, from labelling to weights."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cvdemo.classification import soft_labels, train
from cvdemo.classification.labels import IMAGENET_CLASSES, INDEX_OF_WORDNET
from cvdemo.classification.nets.compact_backbone import CompactClassifier
from cvdemo.core import training, weights
from cvdemo.core.errors import InputError

TENCH, DOG = "n01440764", "n02102040"


def teacher(pictures: np.ndarray) -> np.ndarray:
    """Reddish pictures are class 0, others class 5, with 0.8; the rest is spread evenly."""
    red = pictures[..., 0].mean((1, 2)) > pictures[..., 2].mean((1, 2))
    probabilities = np.full((len(pictures), 1000), 0.2 / 999, np.float32)
    probabilities[np.arange(len(pictures)), np.where(red, 0, 5)] = 0.8
    return probabilities


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six red pictures of the tench, six blue ones without a known class, and one that is no picture."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for index in range(12):
        pixels = rng.integers(0, 80, (200, 260, 3), np.uint8)  # BGR, as OpenCV writes
        pixels[..., 2 if index < 6 else 0] += 150
        place = root / (TENCH if index < 6 else "others")
        place.mkdir(exist_ok=True)
        assert cv2.imwrite(str(place / f"{index}.png"), pixels)
    (root / "broken.jpg").write_bytes(b"no picture")
    return root


@pytest.fixture(scope="module")
def pack(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("pack") / "some"
    files = sorted(path for path in folder.rglob("*") if path.suffix in soft_labels.SUFFIXES)
    assert soft_labels.pack(files, out, teacher, views=3, side=64, seed=0) == 36
    return out


def test_the_thousand_classes():
    assert len(IMAGENET_CLASSES) == 1000
    assert (IMAGENET_CLASSES[0], IMAGENET_CLASSES[999]) == ("tench", "toilet tissue")
    assert IMAGENET_CLASSES[INDEX_OF_WORDNET[DOG]] == "English springer"
    assert len(INDEX_OF_WORDNET) == 1000
    assert all(IMAGENET_CLASSES)
    ids = list(INDEX_OF_WORDNET)
    assert ids == sorted(ids), "the official order is the order of the WordNet ids"


def test_class_names_are_torchvisions():
    from torchvision.models import AlexNet_Weights

    assert list(IMAGENET_CLASSES) == AlexNet_Weights.DEFAULT.meta["categories"]


def test_a_pack_holds_pictures_crops_and_labels(pack):
    opened = train.Pack.open(str(pack))
    assert (len(opened), opened.share) == (36, 1.0)
    assert opened.tables["shapes"].tolist() == [[160, 208]] * 12, "the short side is 160"
    assert sorted(opened.tables["classes"].tolist()) == [-1] * 6 + [0] * 6
    boxes = opened.tables["view_box"]
    assert ((boxes >= 0) & (boxes <= 1)).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    for view in range(36):
        index = int(opened.tables["view_picture"][view])
        red = opened.picture(index)[..., 0].mean() > opened.picture(index)[..., 2].mean()
        assert opened.tables["top_class"][view, 0] == (0 if red else 5)
        assert opened.tables["top_probability"][view, 0] == pytest.approx(0.8, abs=1e-3)


def test_packs_that_do_not_fit_are_refused(pack, tmp_path):
    with pytest.raises(InputError, match="not a pack"):
        train.Pack.open(str(tmp_path / "nothing"))
    (tmp_path / "cut.npz").write_bytes(pack.with_suffix(".npz").read_bytes())
    (tmp_path / "cut.rgb").write_bytes(pack.with_suffix(".rgb").read_bytes()[:-1])
    with pytest.raises(InputError, match="do not belong together"):
        train.Pack.open(str(tmp_path / "cut"))


@pytest.mark.parametrize("shape", [(50, 200), (200, 50), (1, 1), (90, 91)])
def test_crops_lie_in_the_picture(shape):
    rng = np.random.default_rng(0)
    for _ in range(200):
        x1, y1, x2, y2 = soft_labels.random_crop(*shape, rng)
        assert 0 <= x1 < x2 <= shape[1]
        assert 0 <= y1 < y2 <= shape[0]
        box = train.jitter_box(np.array([x1 / shape[1], y1 / shape[0], x2 / shape[1], y2 / shape[0]]), rng)
        assert ((box >= 0) & (box <= 1)).all()
        assert (box[2:] > box[:2]).all()
        assert train.crop_and_resize(np.zeros((*shape, 3), np.uint8), box, 32).shape == (32, 32, 3)


def test_targets_mix_the_teacher_and_the_truth(pack):
    maker = train.BatchMaker([train.Pack.open(str(pack))], seed=0)
    pixels, targets = maker.batch(40, 48)
    assert pixels.shape == (40, 48, 48, 3)
    assert pixels.dtype == np.uint8
    np.testing.assert_allclose(targets.sum(1), 1, atol=1e-5)
    assert (targets >= 0).all()
    known = targets[:, 0] > targets[:, 5]
    # The teacher's 0.8 and the truth's 1, half and half; without a truth the teacher's 0.8 alone.
    np.testing.assert_allclose(targets[known, 0], 0.9, atol=2e-3)
    np.testing.assert_allclose(targets[~known, 5], 0.8, atol=2e-3)
    assert 5 < known.sum() < 35


def test_the_truth_counts_more_where_the_teacher_saw_everything_and_did_not_recognise_it(folder, tmp_path):
    def blind(pictures):
        probabilities = np.full((len(pictures), 1000), 0.1 / 990, np.float32)
        probabilities[:, 20:30] = 0.09
        return probabilities

    files = sorted(folder.glob(f"{TENCH}/*.png"))
    shares = {}
    for views in (1, 3):
        assert soft_labels.pack(files, tmp_path / str(views), blind, views=views, side=64, seed=0) == 6 * views
        _, targets = train.BatchMaker([train.Pack.open(str(tmp_path / str(views)))], seed=0).batch(8, 32)
        shares[views] = targets[:, 0]
    np.testing.assert_allclose(shares[1], 0.9, atol=1e-3)
    np.testing.assert_allclose(shares[3], 0.5, atol=1e-3)


def test_the_true_class_is_read_from_folders_and_file_names():
    assert soft_labels.true_class(Path("a") / TENCH / "1.jpg") == 0
    assert soft_labels.true_class(Path(f"{DOG}_English_springer.JPEG")) == INDEX_OF_WORDNET[DOG]
    assert soft_labels.true_class(Path("n0_nothing") / "1.jpg") == -1


def test_blurring_by_size_keeps_the_shape_and_takes_fine_detail_from_a_third():
    board = np.tile(np.array([[0, 255], [255, 0]], np.uint8), (32, 32))[:, :, None].repeat(3, 2)
    rng = np.random.default_rng(0)
    contrast = np.array([train.blur_by_size(board, rng).std() for _ in range(300)])
    blurred = contrast < 60
    assert (contrast[~blurred] == board.std()).all()
    assert 0.25 < blurred.mean() < 0.42
    assert train.blur_by_size(np.zeros((48, 48, 3), np.uint8), rng).shape == (48, 48, 3)


def test_packs_are_drawn_by_their_share(pack):
    packs = [train.Pack.open(f"{pack}*3"), train.Pack.open(f"{pack}*1")]
    assert train.BatchMaker(packs, seed=0).cumulative.tolist() == pytest.approx([0.75, 1.0])


def test_colour_jitter_keeps_shape_and_range():
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    rng = np.random.default_rng(1)
    made = [train.jitter_colour(picture, rng) for _ in range(20)]
    assert all(m.shape == picture.shape and m.dtype == np.uint8 for m in made)
    assert len({m.tobytes() for m in made}) == 20


def test_the_loss_is_the_cross_entropy_of_soft_targets():
    torch.manual_seed(0)
    network = CompactClassifier().eval()
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2, 64, 64, 3), np.uint8)
    targets = rng.dirichlet(np.ones(1000), 2).astype(np.float32)
    loss, figures = train.loss_of(network, (pixels, targets))
    with torch.inference_mode():
        logits = network(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255)
    expected = -(torch.from_numpy(targets) * logits.log_softmax(1)).sum(1).mean()
    assert float(loss.detach()) == pytest.approx(float(expected), rel=0.02), "bfloat16 against float32"
    assert 0 <= figures["agreement"] <= 1


def test_the_recipe_trains_resumes_and_ships_weights(pack, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(train, "SIZES", ((0.0, 32), (0.5, 64)))
    assert [train.size_at(p) for p in (0, 0.49, 0.5, 1)] == [32, 32, 64, 64]
    earlier = CompactClassifier()
    save_file(earlier.state_dict(), tmp_path / "earlier.safetensors")
    command = ["--pack", str(pack), "--out", str(tmp_path / "run"), "--batch", "4", "--device", "cpu"]
    train.main([*command, "--minutes", "0.004", "--from", str(tmp_path / "earlier.safetensors")])
    state = weights.load_state(tmp_path / "run" / train.FILENAME)
    CompactClassifier().load_state_dict(state, strict=True)
    first = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["clock"]
    assert first["pictures"] == 4 * first["step"] > 0
    train.main([*command, "--minutes", str(first["elapsed"] / 60 + 0.003)])
    again = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["clock"]
    assert again["step"] > first["step"]
    # Of a classifier the head is taken over too; of another network's file only the backbone.
    train.main([*command[:3], str(tmp_path / "whole"), *command[4:], "--minutes", "1e-6", "--from",
                str(tmp_path / "earlier.safetensors")])  # fmt: skip
    taken = weights.load_state(tmp_path / "whole" / train.FILENAME)
    torch.testing.assert_close(taken["head.weight"].float(), earlier.head.weight, atol=2e-3, rtol=2e-2)
    assert f"from step {first['step']}" in capsys.readouterr().err


def test_a_missing_pack_ends_the_recipe_with_a_sentence(tmp_path):
    with pytest.raises(SystemExit, match="not a pack"):
        train.main(["--pack", str(tmp_path / "none"), "--out", str(tmp_path), "--device", "cpu"])


def test_the_labelling_command_skips_what_it_is_told_to(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(soft_labels, "mobilenet_teacher", lambda path: teacher)
    (tmp_path / "skip.json").write_text(json.dumps([f"{index}.png" for index in range(9)]))
    soft_labels.main([str(folder), "--teacher", "t.pth", "--out", str(tmp_path / "few"), "--views", "1",
                      "--skip", str(tmp_path / "skip.json")])  # fmt: skip
    opened = train.Pack.open(str(tmp_path / "few"))
    assert len(opened) == 3
    assert opened.tables["view_box"].tolist() == [[0, 0, 1, 1]] * 3


def test_without_a_teacher_the_true_classes_are_the_labels(folder, tmp_path):
    soft_labels.main([str(folder), "--out", str(tmp_path / "true"), "--views", "2"])
    opened = train.Pack.open(str(tmp_path / "true"))
    assert len(opened) == 12  # those without a known class are left out
    assert opened.tables["classes"].tolist() == [0] * 6
    _, targets = train.BatchMaker([opened], seed=0).batch(4, 32)
    np.testing.assert_allclose(targets.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(targets[:, 0], 0.5 + 0.5 * (soft_labels.SURE + 0.0001), atol=1e-3)


def test_the_backbone_can_be_kept_for_the_models_that_borrow_it(pack, tmp_path):
    earlier = CompactClassifier()
    training.write_weights(earlier.state_dict(), tmp_path / "earlier.safetensors")
    train.main(["--pack", str(pack), "--out", str(tmp_path / "run"), "--batch", "4", "--device", "cpu", "--minutes",
                "0.01", "--keep-backbone", "--from", str(tmp_path / "earlier.safetensors")])  # fmt: skip
    before, after = (
        weights.load_state(path) for path in (tmp_path / "earlier.safetensors", tmp_path / "run" / train.FILENAME)
    )
    changed = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"widen", "head"}
