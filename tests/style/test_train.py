"""The recipes on tiny made-up packs: that their losses fall, that they stop, resume and leave what ships."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cvdemo.core import training
from cvdemo.core.errors import InputError
from cvdemo.core.registry import get
from cvdemo.core.weights import apply_state, joined_state, load_state
from cvdemo.style import losses, train_adain, train_encoder, train_fast, training_data
from cvdemo.style.nets.adain_decoder import AdaInNetwork, encoded
from cvdemo.style.nets.compact_vgg import LAYERS, CompactVgg, VggClassifier, mean_activations
from cvdemo.style.nets.transformer_net import TransformerNet
from cvdemo.style.raw import adain as numpy_adain


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    """Four 24x32 pictures with one whole crop each, in the layout of ``soft_labels``."""
    path = tmp_path_factory.mktemp("packs") / "pack"
    rng = np.random.default_rng(0)
    rng.integers(0, 256, 4 * 24 * 32 * 3, np.uint8).tofile(path.with_suffix(".rgb"))
    np.savez(
        path.with_suffix(".npz"),
        shapes=np.full((4, 2), (24, 32), np.int32), classes=np.full(4, -1, np.int16),
        view_picture=np.arange(4, dtype=np.int32), view_box=np.tile(np.float32([0, 0, 1, 1]), (4, 1)),
        top_class=np.tile(np.arange(10, dtype=np.int16), (4, 1)), top_probability=np.full((4, 10), 0.1, np.float16),
    )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def encoder_file(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("encoder") / "compact_vgg.safetensors"
    encoder = train_encoder.finished(VggClassifier().state_dict(), [torch.rand(2, 3, 32, 32)])
    train_encoder.save_encoder(encoder, path)
    return path


def test_the_finished_encoder_has_mean_activations_of_one(encoder_file):
    encoder = CompactVgg()
    apply_state(encoder, load_state(encoder_file), "encoder")
    torch.manual_seed(0)
    VggClassifier()
    means = mean_activations(encoder, [torch.rand(4, 3, 32, 32)])
    for name in LAYERS:
        assert float(means[name].mean()) == pytest.approx(1, abs=0.25)


def test_train_encoder_leaves_classifier_and_encoder(pack, tmp_path, monkeypatch):
    monkeypatch.setattr(train_encoder, "RESCALING_PICTURES", 16)
    monkeypatch.setattr(train_encoder, "RESCALING_SIZE", 32)
    monkeypatch.setattr(train_encoder, "SIZES", ((0.0, 32),))
    train_encoder.main(["--pack", str(pack), "--out", str(tmp_path), "--minutes", "0.004", "--batch", "2",
                        "--device", "cpu"])  # fmt: skip
    assert (tmp_path / "vgg_classifier.safetensors").is_file()
    shipped = load_file(tmp_path / "compact_vgg.safetensors")
    assert {value.dtype for value in shipped.values()} == {torch.float16}
    apply_state(get("compact-vgg").build(), load_state(tmp_path / "compact_vgg.safetensors"), "encoder")
    assert (tmp_path / "compact_vgg.safetensors").stat().st_size < 5e6


def test_torch_adain_is_the_numpy_one():
    content, style = torch.rand(1, 4, 6, 6), torch.rand(1, 4, 5, 5) * 3
    mean, deviation = losses.statistics(style)
    expected = numpy_adain(content[0].numpy(), mean[0].numpy(), deviation[0].numpy())
    assert np.allclose(train_adain.adain(content, style)[0], expected, atol=1e-3)


def steps(network, loss, batch, count, rate):
    trainer = training.Trainer(network, torch.device("cpu"), 100, rate, weight_decay=0.0)
    trainer.elapsed = 5.0  # past the warm-up
    return [trainer.train_step(batch, loss, 2)["loss"] for _ in range(count)]


def test_the_decoders_loss_falls(encoder_file):
    torch.manual_seed(1)
    encoder = train_adain.load_encoder(encoder_file, torch.device("cpu"))
    loss = train_adain.AdaInLoss(encoder, 2.0, 10.0, 0.01)
    rng = np.random.default_rng(0)
    batch = tuple(rng.integers(0, 256, (2, 32, 32, 3), np.uint8) for _ in range(2))
    found = steps(train_adain.DecoderOnly(), loss, batch, 12, 2e-3)
    assert found[-1] < found[0]
    assert all(not parameter.requires_grad for parameter in encoder.parameters())


def test_the_feed_forward_loss_falls(encoder_file):
    torch.manual_seed(1)
    encoder = train_adain.load_encoder(encoder_file, torch.device("cpu"))
    rng = np.random.default_rng(0)
    loss = train_fast.FastLoss(encoder, rng.integers(0, 60, (40, 40, 3), np.uint8), 5.0, 0.01)
    found = steps(TransformerNet(), loss, rng.integers(100, 256, (2, 32, 32, 3), np.uint8), 12, 2e-3)
    assert found[-1] < 0.9 * found[0]


def test_a_feed_forward_network_starts_as_the_identity():
    photo = torch.rand(1, 3, 40, 48) * 0.96 + 0.02
    assert torch.allclose(TransformerNet()(photo), photo, atol=1e-5)


def test_a_photo_that_was_only_encoded_must_come_back(encoder_file):
    torch.manual_seed(1)
    encoder = train_adain.load_encoder(encoder_file, torch.device("cpu"))
    rng = np.random.default_rng(0)
    batch = tuple(rng.integers(0, 256, (2, 32, 32, 3), np.uint8) for _ in range(2))
    network = train_adain.DecoderOnly()
    without, _ = train_adain.AdaInLoss(encoder, 2.0, 0.0, 0.01)(network, batch)
    total, figures = train_adain.AdaInLoss(encoder, 2.0, 10.0, 0.01)(network, batch)
    with torch.no_grad():
        x = torch.from_numpy(batch[0]).permute(0, 3, 1, 2).float() / 255
        back = network(encoded(encoder, x))
    assert figures["identity"] == pytest.approx(float((back - x).square().mean()), rel=1e-4)
    assert float(total - without) == pytest.approx(10 * figures["identity"], rel=1e-3)


def test_train_adain_ships_what_the_registry_loads_and_resumes(pack, encoder_file, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    monkeypatch.setattr(training_data.StyleMaker, "draw", lambda _: rng.integers(0, 256, (40, 40, 3), np.uint8))
    command = ["--pack", str(pack), "--encoder", str(encoder_file), "--out", str(tmp_path), "--batch", "2",
               "--size", "32", "--device", "cpu"]  # fmt: skip
    train_adain.main([*command, "--minutes", "0.003"])
    path = tmp_path / train_adain.FILENAME
    assert path.name == get("compact-adain").weights.filename
    apply_state(AdaInNetwork(), joined_state({"": path, "encoder.": encoder_file}), "both")
    before = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["clock"]
    train_adain.main([*command, "--minutes", str(before["elapsed"] / 60 + 0.003)])
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["clock"]["step"] > before["step"]


def test_train_fast_ships_what_the_registry_loads(pack, encoder_file, tmp_path):
    train_fast.main(["--pack", str(pack), "--encoder", str(encoder_file), "--out", str(tmp_path), "--batch", "2",
                     "--size", "32", "--style-size", "32", "--style", "brush-strokes", "--minutes", "0.003",
                     "--device", "cpu"])  # fmt: skip
    path = tmp_path / get("fast-brush-strokes").weights.filename
    apply_state(TransformerNet(), load_state(path), path.name)
    assert not (tmp_path / "log.jsonl").exists() or json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])


def test_style_pictures_come_from_the_program_and_a_folder(tmp_path, monkeypatch):
    import cv2

    monkeypatch.setattr(training_data.StyleMaker, "draw", lambda _: np.full((60, 60, 3), 10, np.uint8))
    cv2.imwrite(str(tmp_path / "a.png"), np.full((50, 90, 3), 240, np.uint8))
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    maker = training_data.StyleMaker(0, pool=3, folder=tmp_path, own=0.5)
    pictures = maker.batch(24, 32)
    assert pictures.shape == (24, 32, 32, 3)
    bright = pictures.mean((1, 2, 3)) > 110
    assert 0 < bright.sum() < 24
    with pytest.raises(InputError, match="no pictures"):
        training_data.read_folder(tmp_path / "nowhere")
