"""The run shared by all classifiers, on a tiny network whose outputs can be written down."""

import dataclasses
import threading

import numpy as np
import pytest
import torch
from torch import nn

from cvdemo.classification.prepare import Preprocess
from cvdemo.classification.raw import RawClassification, agree, classify, feature_vectors, softmax
from cvdemo.core.context import RunContext
from cvdemo.core.errors import Cancelled
from cvdemo.core.media import Picture

PLAIN = Preprocess(8, 8, mean=(0.0,) * 3, std=(1.0,) * 3, resampling="area")
NAMES = ("a", "b", "c", "d")


class Tiny(nn.Module):
    """The picture's mean colour through one linear layer."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 4)
        self.batches = []

    def forward(self, x):
        self.batches.append(len(x))
        return self.head(x.mean((2, 3)))


@pytest.fixture
def tiny():
    torch.manual_seed(3)
    return Tiny().eval().requires_grad_(False)


def context(**options):
    return RunContext(torch.device("cpu"), **options)


def colours(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 1, 1, 3), dtype=np.uint8).repeat(9, 1).repeat(12, 2)


def raw_of(logits):
    logits = np.asarray(logits, np.float32)
    return RawClassification(logits, None, tuple(map(str, range(len(logits)))), (0, 0, 1, 1), 1, 1, "m")


def test_logits_and_embedding_of_a_picture(tiny):
    picture = colours(1)[0]
    run = context()
    raw = classify(tiny, Picture(picture), run, preprocess=PLAIN, head="head", name="tiny", categories=NAMES)
    mean = picture[0, 0] / 255
    np.testing.assert_allclose(raw.embedding, mean, atol=1e-6)
    expected = tiny.head.weight.numpy() @ mean + tiny.head.bias.numpy()
    np.testing.assert_allclose(raw.logits, expected, atol=1e-5)
    assert raw.logits.dtype == raw.embedding.dtype == np.float32
    assert (raw.height, raw.width, raw.model, raw.categories) == (9, 12, "tiny", NAMES)
    assert raw.crop == (1, 0, 11, 9)
    assert list(run.stages) == ["preprocess", "network", "decode"]
    assert not tiny.head._forward_pre_hooks, "nothing is left hanging on the shared network"


def test_features_come_in_batches_of_sixteen(tiny):
    pictures = colours(35)
    told = []
    run = context(progress=lambda fraction, text: told.append((fraction, text)))
    rows = feature_vectors(tiny, list(pictures), run, preprocess=PLAIN, head="head")
    assert tiny.batches == [16, 16, 3]
    np.testing.assert_allclose(rows, pictures[:, 0, 0] / 255, atol=1e-6)
    assert rows.dtype == np.float32
    assert [fraction for fraction, _ in told] == pytest.approx([0, 16 / 35, 32 / 35, 1])
    assert told[-1][1] == "35 pictures"


def test_features_can_be_stopped_between_batches(tiny):
    cancel = threading.Event()
    run = context(cancel=cancel, progress=lambda fraction, _: cancel.set() if fraction else None)
    with pytest.raises(Cancelled):
        feature_vectors(tiny, list(colours(40)), run, preprocess=PLAIN, head="head")
    assert tiny.batches == [16, 16]
    assert not tiny.head._forward_pre_hooks


@pytest.mark.parametrize("temperature", [0.1, 0.7, 1.0, 10.0])
def test_softmax_against_torch(temperature):
    logits = np.random.default_rng(5).normal(0, 30, (6, 11)).astype(np.float32)
    expected = torch.from_numpy(logits).double().div(temperature).softmax(1).numpy()
    np.testing.assert_allclose(softmax(logits, temperature), expected, atol=1e-12)


def test_softmax_of_huge_logits_is_finite():
    np.testing.assert_allclose(softmax(np.array([1e30, 1e30, -1e30]), 0.1), [0.5, 0.5, 0])


def test_a_close_format_agrees_and_a_wrong_one_does_not():
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 2, 1000)
    reference = raw_of(logits)
    assert agree(reference, reference)
    assert agree(reference, raw_of(logits + rng.normal(0, 0.01, 1000)))
    assert agree(reference, raw_of(logits + 7)), "a common offset changes no probability"
    assert not agree(reference, raw_of(rng.permutation(logits)))
    assert not agree(reference, raw_of(logits * 1.2))
    assert not agree(reference, raw_of(np.where(logits > 1, np.nan, logits)))
    sure = logits.copy()
    sure[7] = 12.0
    assert not agree(raw_of(sure), raw_of(np.where(np.arange(1000) == 7, 10.0, sure))), "0.99 is not 0.9"


def test_logits_must_match_the_classes():
    with pytest.raises(ValueError, match=r"\(3,\) for 2 classes"):
        dataclasses.replace(raw_of([1, 2]), logits=np.zeros(3, np.float32))
