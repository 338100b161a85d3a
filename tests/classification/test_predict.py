"""The two halves: ``infer`` runs the network, ``decode`` never does, and settings do what they say."""

import csv
import io
import json
import math
import threading

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cvdemo.classification.nets.compact_backbone import CompactClassifier
from cvdemo.classification.predict import (
    DEFAULT_MODEL,
    ClassificationSettings,
    compare,
    decode,
    embed,
    infer,
    settings_for,
)
from cvdemo.classification.raw import RawClassification
from cvdemo.core import weights
from cvdemo.core.engine import Engine
from cvdemo.core.errors import Cancelled, CvDemoError, InputError, SettingsError
from cvdemo.core.media import Picture

PICTURE = np.random.default_rng(0).integers(0, 256, (120, 180, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """An engine that finds random weights under the compact classifier's name, and no others."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    save_file(CompactClassifier().state_dict(), folder / "compact_classifier.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CVDEMO_WEIGHTS", str(folder))
        patch.setattr(weights, "hub_folder", lambda: folder)
        patch.setenv("CVDEMO_OFFLINE", "1")
        yield Engine("cpu", tune=False)


@pytest.fixture(scope="module")
def inference(engine):
    return infer(PICTURE, engine=engine)


def raw_of(logits, names=None):
    logits = np.asarray(logits, np.float32)
    names = names or tuple(f"class {index}" for index in range(len(logits)))
    return RawClassification(logits, None, names, (0, 0, 30, 20), 20, 30, "a-model")


def test_an_inference_says_what_it_cost_and_where(inference):
    assert (inference.model, inference.device, inference.precision) == (DEFAULT_MODEL, "cpu", "fp32")
    assert list(inference.stages) == ["wait", "load", "preprocess", "network", "decode"]
    assert all(ms >= 0 for ms in inference.stages.values())
    assert inference.raw.logits.shape == (1000,)
    assert inference.raw.embedding.shape == (512,)
    assert (inference.raw.height, inference.raw.width) == (120, 180)
    assert inference.raw.crop == (30, 0, 150, 120)


def test_a_picture_and_its_pixels_are_the_same(inference, engine):
    again = infer(Picture(PICTURE, "noise.png"), engine=engine)
    np.testing.assert_array_equal(again.raw.logits, inference.raw.logits)


def test_settings_never_call_the_network(engine, monkeypatch):
    calls = []
    run = type(engine).run

    def counting(self, *args, **options):
        calls.append(args)
        return run(self, *args, **options)

    monkeypatch.setattr(type(engine), "run", counting)
    inference = infer(PICTURE, engine=engine)
    before = inference.raw.logits.copy()
    for top_k in (1, 5, 20):
        for temperature in (0.1, 1.0, 10.0):
            result = decode(inference, ClassificationSettings(top_k, temperature))
            result.to_dict(), result.to_csv(), result.sentence()
    assert len(calls) == 1
    np.testing.assert_array_equal(inference.raw.logits, before)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0, 4.0])
def test_probabilities_and_entropy_against_torch(temperature):
    logits = np.random.default_rng(1).normal(0, 3, 50).astype(np.float32)
    result = decode(raw_of(logits), ClassificationSettings(7, temperature))
    reference = torch.distributions.Categorical(logits=torch.from_numpy(logits).double() / temperature)
    np.testing.assert_allclose(result.probabilities, reference.probs.numpy(), atol=1e-12)
    assert result.entropy_bits == pytest.approx(float(reference.entropy()) / math.log(2))
    best = reference.probs.topk(7)
    assert [row[0] for row in result.top] == best.indices.tolist()
    assert [row[2] for row in result.top] == pytest.approx(best.values.tolist())
    assert [row[1] for row in result.top] == [f"class {index}" for index in best.indices.tolist()]


def test_the_ends_of_the_entropy():
    assert decode(raw_of(np.zeros(8)), ClassificationSettings()).entropy_bits == pytest.approx(3)
    certain = decode(raw_of([0, 900, 0]), ClassificationSettings(temperature=0.1))
    assert certain.entropy_bits == 0
    assert certain.top[0] == (1, "class 1", 1.0)


def test_temperature_never_changes_the_order():
    raw = raw_of(np.random.default_rng(2).normal(0, 40, 30))
    orders = {
        tuple(row[0] for row in decode(raw, ClassificationSettings(20, t)).top) for t in (0.1, 0.4, 1.0, 3.0, 10.0)
    }
    assert len(orders) == 1


def test_more_classes_asked_for_than_there_are():
    assert [row[0] for row in decode(raw_of([1, 3, 2]), ClassificationSettings(top_k=20)).top] == [1, 2, 0]


def test_equal_logits_keep_the_order_of_the_classes():
    assert [row[0] for row in decode(raw_of([2, 5, 5, 2]), ClassificationSettings()).top] == [1, 2, 0, 3]


@pytest.mark.parametrize(
    ("probabilities", "words"),
    [
        ((0.87, 0.05, 0.05, 0.03), "cheetah (87 %), then leopard (5 %)"),
        ((0.997, 0.001, 0.001, 0.001), "cheetah (100 %)"),
        ((0.2, 0.2) + (0.1,) * 6, "cheetah (20 %), then leopard (20 %)"),
        ((0.19,) + (0.09,) * 9, "Not sure; the best guess is cheetah (19 %), then leopard (9 %)"),
        ((1 / 400,) * 400, "Not sure; the best guess is cheetah"),
    ],
)
def test_sentences(probabilities, words):
    names = ("cheetah", "leopard", *(f"cat {index}" for index in range(len(probabilities) - 2)))
    result = decode(raw_of(np.log(probabilities), names), ClassificationSettings())
    assert result.sentence() == words
    assert result.unsure == words.startswith("Not sure")


def test_one_class_shown_is_one_class_named():
    result = decode(raw_of(np.log([0.6, 0.4]), ("dog", "cat")), ClassificationSettings(top_k=1))
    assert result.sentence() == "dog (60 %)"
    assert len(result.top) == 1


def test_exports():
    result = decode(raw_of(np.log([0.25, 0.7, 0.05]), ("a, b", 'c "d"', "e")), ClassificationSettings(top_k=2))
    document = json.loads(json.dumps(result.to_dict("x.png")))
    assert document == {
        "image": {"name": "x.png", "width": 30, "height": 20},
        "model": "a-model",
        "predictions": [
            {"label": 'c "d"', "index": 1, "probability": 0.7},
            {"label": "a, b", "index": 0, "probability": 0.25},
        ],
    }
    rows = list(csv.DictReader(io.StringIO(result.to_csv("x.png"))))
    assert rows[1] == {"image": "x.png", "rank": "2", "label": "a, b", "index": "0", "probability": "0.250000"}
    assert result.to_csv().startswith("rank,label,index,probability\n1,")
    assert len(result.to_csv(header=False).splitlines()) == 2


def test_features_are_those_of_single_pictures(engine):
    pictures = [np.roll(PICTURE, 7 * index, axis=1) for index in range(18)]
    told = []
    features = embed([Picture(pictures[0]), *pictures[1:]], engine=engine, progress=lambda *a: told.append(a))
    assert features.shape == (18, 512)
    assert features.dtype == np.float32
    for index in (0, 5, 17):
        expected = infer(pictures[index], engine=engine).raw.embedding
        np.testing.assert_allclose(features[index], expected, atol=1e-4)
    assert told[-1] == (1.0, "18 pictures")
    with pytest.raises(InputError, match="no pictures"):
        embed([], engine=engine)


def test_comparing_leaves_out_what_cannot_run(engine):
    compared = compare(PICTURE, [DEFAULT_MODEL, "resnet18", DEFAULT_MODEL], engine)
    assert [inference.model for inference in compared] == [DEFAULT_MODEL]
    assert len(compared) == 1
    assert list(compared.skipped) == ["resnet18"]
    assert "offline" in compared.skipped["resnet18"]
    assert "resnet18-f37072fd.pth" in compared.skipped["resnet18"]
    with pytest.raises(CvDemoError, match="no model named"):
        compare(PICTURE, ["resnet19"], engine)


def test_a_damaged_file_is_a_reason_and_no_stop(engine, tmp_path):
    damaged = weights.weights_folder() / "mobilenet_v3_small-047dcff4.pth"
    damaged.write_bytes(b"not the published bytes")
    try:
        compared = compare(PICTURE, ["mobilenet_v3_small", DEFAULT_MODEL], engine)
    finally:
        damaged.unlink()
    assert [inference.model for inference in compared] == [DEFAULT_MODEL]
    assert "damaged" in compared.skipped["mobilenet_v3_small"]


def test_the_progress_of_a_comparison_is_shared_out(engine, monkeypatch):
    told = []

    def pretend(self, name, *_, progress=None, **__):
        for fraction in (0.0, 0.5, 1.0):
            progress(fraction, name.name)
        raise CvDemoError("no memory")

    monkeypatch.setattr(type(engine), "run", pretend)
    compared = compare(PICTURE, [DEFAULT_MODEL], engine, progress=lambda *a: told.append(a))
    assert told == [(0.0, DEFAULT_MODEL), (0.5, DEFAULT_MODEL), (1.0, DEFAULT_MODEL)]
    assert compared.skipped == {DEFAULT_MODEL: "no memory"}


def test_settings_start_at_the_declared_values():
    assert settings_for(DEFAULT_MODEL) == ClassificationSettings() == ClassificationSettings(5, 1.0)
    for wrong in ({"top_k": 0}, {"top_k": 21}, {"temperature": 0.0}, {"temperature": 11.0}):
        with pytest.raises(SettingsError):
            ClassificationSettings(**wrong)


def test_errors_are_sentences(engine):
    with pytest.raises(CvDemoError, match="Did you mean"):
        infer(PICTURE, "compact-clasifier", engine)
    with pytest.raises(CvDemoError, match="compact-detector does not classify"):
        infer(PICTURE, "compact-detector", engine)
    cancel = threading.Event()
    cancel.set()
    for call in (infer, embed):
        with pytest.raises(Cancelled):
            call(PICTURE if call is infer else [PICTURE], engine=engine, cancel=cancel)
    with pytest.raises(Cancelled):
        compare(PICTURE, [DEFAULT_MODEL], engine, cancel=cancel)
