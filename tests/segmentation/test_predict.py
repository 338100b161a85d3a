"""``infer`` and ``decode`` through the engine, a clip, and the command line, with random weights in a folder of theirs.

What a random network sees means nothing, and nothing here looks at it: only at what is done with it.
"""

import argparse
import csv
import io
import json

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from cvdemo.commands import segment
from cvdemo.core import registry
from cvdemo.core.engine import Engine, set_default_engine
from cvdemo.core.errors import CvDemoError, InputError, SettingsError
from cvdemo.core.media import read_picture, save_picture
from cvdemo.core.video import VideoWriter, probe_video
from cvdemo.segmentation import evaluate, models, video  # noqa: F401  (registers the models)
from cvdemo.segmentation.instances import InstanceSegmentation
from cvdemo.segmentation.labels import VOC_CLASSES
from cvdemo.segmentation.predict import BACKGROUNDS, DEFAULT_MODEL, SegmentationSettings, decode, draw, infer
from cvdemo.segmentation.raw import RawInstances
from cvdemo.segmentation.result import Segmentation
from cvdemo.segmentation.video import KeptFrame


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """The default engine of this module, with random weights for the compact model."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    spec = registry.get(DEFAULT_MODEL)
    state = {key: value.contiguous() for key, value in spec.build().state_dict().items()}
    save_file(state, str(folder / spec.weights.filename))
    patch = pytest.MonkeyPatch()
    patch.setenv("CVDEMO_WEIGHTS", str(folder))
    found = Engine(device="cpu", tune=False)
    set_default_engine(found)
    yield found
    set_default_engine(None)
    patch.undo()


@pytest.fixture(scope="module")
def photo():
    return registry.get(DEFAULT_MODEL).example()[:240, :320].copy()


@pytest.fixture(scope="module")
def inference(engine, photo):
    return infer(photo)


def instances():
    rng = np.random.default_rng(0)
    boxes = np.array([[10, 10, 90, 120], [100, 30, 200, 200], [5, 150, 300, 230]], np.float32)
    scores = np.array([0.9, 0.6, 0.3], np.float32)
    masks = rng.random((3, 28, 28)).astype(np.float32)
    return RawInstances(boxes, scores, np.array([0, 16, 0]), masks, registry.get("maskrcnn_resnet50_fpn").categories,
                        240, 320, "test")  # fmt: skip


def test_an_inference_says_what_it_cost(inference):
    assert inference.semantic
    assert inference.model == DEFAULT_MODEL
    assert {"preprocess", "network", "decode"} <= set(inference.stages)
    found = decode(inference, SegmentationSettings())
    assert isinstance(found, Segmentation)
    assert found.labels.shape == (240, 320)
    assert found.raw is inference.raw


def test_settings_never_call_the_network_and_change_no_raw_output(engine, inference, photo, monkeypatch):
    before = inference.raw.logits.copy()
    monkeypatch.setattr(Engine, "run", lambda *_, **__: pytest.fail("the network was run"))
    for background in BACKGROUNDS:
        for raw in (inference, instances()):
            settings = SegmentationSettings(
                temperature=2.0, min_confidence=0.2, background=background, classes=("person", "dog"),
                score_threshold=0.2,
            )  # fmt: skip
            out = draw(photo, decode(raw, settings), settings, behind=photo[::-1])
            assert out.shape == (240, 320, 4 if background == "cut-out" else 3)
    np.testing.assert_array_equal(inference.raw.logits, before)


def test_instances_follow_their_own_settings():
    found = decode(instances(), SegmentationSettings(score_threshold=0.5))
    assert isinstance(found, InstanceSegmentation)
    assert found.names == ("person", "dog")
    assert decode(instances(), SegmentationSettings(score_threshold=0.2, classes=("person",))).rows.tolist() == [0, 2]
    assert len(decode(instances(), SegmentationSettings(score_threshold=0.1, max_instances=1))) == 1


def test_classes_of_another_vocabulary_are_passed_over(inference):
    assert decode(inference, SegmentationSettings(classes=("road",))).shown == frozenset(range(1, 21))
    assert decode(inference, SegmentationSettings(classes=("road", "dog"))).shown == {VOC_CLASSES.index("dog")}
    with pytest.raises(SettingsError, match="temperature"):
        SegmentationSettings(temperature=0.0)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 500), (3000, 20)])
def test_adversarial_pictures(engine, height, width):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    settings = SegmentationSettings(min_confidence=0.1)
    found = decode(infer(pixels), settings)
    assert found.labels.shape == (height, width)
    assert draw(pixels, found, settings).shape == pixels.shape
    assert found.probabilities_at(width - 1, height - 1)[0][1] > 0
    assert json.dumps(found.to_dict())


# ------------------------------------------------------------------ video


@pytest.fixture(scope="module")
def clip(photo, tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    with VideoWriter(path, 4.0, (160, 96)) as writer:
        for index in range(4):
            writer.write(cv2.resize(np.roll(photo, 20 * index, axis=1), (160, 96), interpolation=cv2.INTER_AREA))
    return path


def test_a_clip_is_drawn_once_and_redrawn_without_the_network(engine, clip, tmp_path, monkeypatch):
    first = video.annotate(clip, tmp_path / "a.mp4", DEFAULT_MODEL, SegmentationSettings())
    assert first.network_runs == 4
    assert len(first.areas.rows) == 4
    assert probe_video(first.path).frames == 4
    lines = list(csv.reader(io.StringIO(first.areas.to_csv())))
    assert lines[0][0] == "time"
    assert len(lines) == 5
    monkeypatch.setattr(Engine, "run", lambda *_, **__: pytest.fail("the network was run"))
    seen = []
    again = video.annotate(
        clip, tmp_path / "b.mp4", DEFAULT_MODEL, SegmentationSettings(background="cut-out"), track=first.track,
        preview=lambda pixels, text: seen.append((pixels.shape, text)),
    )  # fmt: skip
    assert again.network_runs == 0
    assert again.areas.rows == first.areas.rows
    assert [shape for shape, _ in seen] == [(96, 160, 3)] * 4


def test_what_a_clip_keeps_decodes_alike(inference):
    kept = KeptFrame.of(inference).restored()
    full, small = (decode(value, SegmentationSettings()) for value in (inference, kept))
    assert (full.labels == small.labels).mean() > 0.99
    assert np.abs(full.confidence - small.confidence).max() < 0.01
    raw = instances()
    again = KeptFrame.of(type(inference)(raw, {}, "cpu", "fp32", "test")).restored().raw
    np.testing.assert_allclose(again.boxes, raw.boxes)
    np.testing.assert_array_equal(again.labels, raw.labels)
    np.testing.assert_allclose(again.masks, raw.masks, atol=1e-3)
    assert KeptFrame.of(inference).size < inference.raw.logits.nbytes


def test_a_full_memory_forgets_frames_and_runs_again(engine, clip, tmp_path, monkeypatch):
    monkeypatch.setattr(video, "MEMORY", 0)
    first = video.annotate(clip, tmp_path / "a.mp4", DEFAULT_MODEL, SegmentationSettings())
    assert first.track.frames == {}
    assert video.annotate(clip, tmp_path / "b.mp4", DEFAULT_MODEL, SegmentationSettings(), track=first.track,
                          stride=1).network_runs == 4  # fmt: skip


# ------------------------------------------------------------------ command line


def call(capsys, *arguments):
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    segment.add_parser(commands)
    evaluate.add_parser(commands)
    args = parser.parse_args([str(argument) for argument in arguments])
    code = args.run(args)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_a_picture_with_all_outputs(engine, photo, inference, tmp_path, capsys):
    save_picture(tmp_path / "p.png", photo)
    code, out, err = call(
        capsys, "segment", tmp_path / "p.png", "--json", "-", "--coco", tmp_path / "c.json", "--csv",
        tmp_path / "a.csv", "--save", tmp_path / "drawn.jpg", "--mask", tmp_path / "m.png", "--cut-out",
        tmp_path / "cut.png", "--opacity", "0.7",
    )  # fmt: skip
    assert code == 0
    expected = decode(inference, SegmentationSettings())
    assert json.loads(out) == expected.to_dict("p.png")
    assert err == f"p.png: {expected.sentence()}\n"
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "m.png")), expected.labels)
    assert Image.open(tmp_path / "cut.png").mode == "RGBA"
    assert read_picture(tmp_path / "drawn.jpg").pixels.shape == photo.shape
    assert json.loads((tmp_path / "c.json").read_text())["images"][0]["file_name"] == "p.png"
    assert (tmp_path / "a.csv").read_text().startswith("image,label,pixels,percent\n")
    with pytest.raises(CvDemoError, match="--behind"):
        call(capsys, "segment", tmp_path / "p.png", "--background", "picture")
    with pytest.raises(InputError, match="no file"):
        call(capsys, "segment", tmp_path / "missing.png")


def test_a_folder_with_a_bad_file_and_a_clip(engine, photo, clip, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    save_picture(folder / "a.png", photo)
    (folder / "b.png").write_bytes(b"not a picture")
    code, out, _ = call(capsys, "segment", folder, "--csv", "-", "--mask", tmp_path / "masks", "--save", tmp_path / "o")
    assert code == 1
    assert {row["image"] for row in csv.DictReader(io.StringIO(out))} == {"a.png"}
    assert [path.name for path in (tmp_path / "masks").iterdir()] == ["a.png"]
    code, out, err = call(capsys, "segment", clip, "--json", "-", "--stride", "2")
    assert code == 0
    assert len(json.loads(out)["frames"]) == 2
    assert "frames; on average" in err
    with pytest.raises(CvDemoError, match="pictures only"):
        call(capsys, "segment", clip, "--mask", tmp_path / "m.png")


def test_evaluating_the_masks_a_model_wrote_gives_full_marks(engine, photo, tmp_path, capsys):
    images = tmp_path / "images"
    images.mkdir()
    save_picture(images / "a.png", photo)
    call(capsys, "segment", images, "--mask", tmp_path / "masks")
    code, out, _ = call(capsys, "segmentation", "--images", images, "--masks", tmp_path / "masks", "--json", "-")
    report = json.loads(out)
    assert code == 0
    assert (report["pixel_accuracy"], report["mean_pixel_accuracy"], report["mIoU"]) == (1.0, 1.0, 1.0)
    assert report["per_class"]
    assert report["model"] == DEFAULT_MODEL
    with pytest.raises(InputError, match="is a model for detection"):
        call(capsys, "segmentation", "--images", images, "--masks", images, "--model", "compact-detector")
