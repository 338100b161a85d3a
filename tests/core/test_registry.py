import dataclasses
import hashlib

import pytest
from torch import nn

from cvdemo.core import registry, weights
from cvdemo.core.device import Precision
from cvdemo.core.errors import CvDemoError
from cvdemo.core.registry import ModelSpec, WeightsFile


def spec_of(name="one", **changes):
    facts = {
        "name": name,
        "task": "detection",
        "tier": "full",
        "title": "One",
        "family": "family",
        "architecture": "layers | heads",
        "year": 2015,
        "paper": "arXiv:1506.01497",
        "lecture": "Deck, topic",
        "parameters": 2_000_000,
        "gflops": 4.5,
        "metrics": {"COCO val2017 box AP": 37.0},
        "licence": "BSD-3-Clause",
        "categories": tuple(f"label {index}" for index in range(20)),
        "input": "RGB, 320 x 320",
        "weights": WeightsFile("one.pth", url="https://host.invalid/one.pth", size=5),
        "build": nn.Identity,
        "run": lambda module, value, context: value,
        "example": lambda: 0,
        "agrees": lambda reference, other: True,
    }
    return ModelSpec(**{**facts, **changes})


@pytest.fixture(autouse=True)
def _empty_registry(monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "_models", {})
    monkeypatch.setattr(weights, "_failures", {})
    monkeypatch.setenv("CVDEMO_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("CVDEMO_OFFLINE", raising=False)
    (tmp_path / "weights").mkdir()


def test_register_and_get():
    spec = registry.register(spec_of())
    assert registry.get("one") is spec
    with pytest.raises(ValueError, match="already"):
        registry.register(spec_of())
    registry.unregister("one")
    assert registry.models() == ()


def test_register_by_decorator():
    facts = {field.name: getattr(spec_of(), field.name) for field in dataclasses.fields(ModelSpec)}
    del facts["build"]

    @registry.register_model(**facts)
    def build():
        return nn.Linear(2, 3)

    assert registry.get("one").build is build
    assert isinstance(build(), nn.Linear)


def test_an_unknown_name_lists_near_ones():
    with pytest.raises(CvDemoError, match="No models"):
        registry.get("anything")
    for name in ("ssdlite320", "fasterrcnn_resnet50", "retinanet"):
        registry.register(spec_of(name))
    with pytest.raises(CvDemoError, match="Did you mean: ssdlite320"):
        registry.get("ssdlite300")
    with pytest.raises(CvDemoError, match="fasterrcnn_resnet50, retinanet, ssdlite320"):
        registry.get("@@@")


def test_filters(tmp_path):
    (tmp_path / "weights" / "two.pth").write_bytes(b"12345")
    one = registry.register(spec_of("one", weights=WeightsFile("missing.safetensors")))
    two = registry.register(spec_of("two", tier="compact", weights=WeightsFile("two.pth", size=5)))
    three = registry.register(spec_of("three", task="pose"))
    assert registry.models() == (one, two, three)
    assert registry.models(task="detection") == (one, two)
    assert registry.models(tier="compact") == (two,)
    assert registry.models(available=False) == (one,)
    assert registry.models(task="detection", available=True) == (two,)


def test_availability_in_every_state(tmp_path, monkeypatch):
    spec = spec_of()
    state = registry.availability(spec)
    assert (state.ok, state.local) == (True, False)
    assert "first use" in state.reason

    monkeypatch.setenv("CVDEMO_OFFLINE", "1")
    state = registry.availability(spec_of(weights=WeightsFile("one.pth", "https://host.invalid/one.pth", 167_000_000)))
    assert not state.ok
    assert state.reason == "needs 167 MB, offline"
    assert all(part in state.remedy for part in ("https://host.invalid/one.pth", "one.pth", str(tmp_path / "weights")))

    (tmp_path / "weights" / "one.pth").write_bytes(b"123")
    assert not registry.availability(spec).ok
    assert "damaged" in registry.availability(spec_of(weights=WeightsFile("one.pth", size=5))).reason
    (tmp_path / "weights" / "one.pth").write_bytes(b"12345")
    assert registry.availability(spec) == registry.Availability(True, "", "", 5e-6, local=True)

    assert "missing" in registry.availability(spec_of(weights=WeightsFile("two.safetensors"))).reason
    assert not registry.availability(spec_of(weights=None)).ok
    assert registry.availability(spec_of(weights=None, extras={registry.RANDOM_WEIGHTS_KEY: True})).ok


def test_a_model_whose_file_is_missing_does_not_claim_to_ship(tmp_path):
    spec = spec_of(tier="compact", title="Two (ships with cvdemo)", weights=WeightsFile("two.safetensors"))
    card = registry.model_card(spec)
    assert "ships with" not in card
    assert "### Two\n" in card
    assert "two.safetensors" in registry.availability(spec).remedy
    (tmp_path / "weights" / "two.safetensors").write_bytes(b"12345")
    assert "### Two (ships with cvdemo)\n" in registry.model_card(spec)


def test_availability_hashes_nothing(tmp_path, monkeypatch):
    (tmp_path / "weights" / "one.pth").write_bytes(b"12345")
    monkeypatch.setattr(hashlib, "sha256", None)
    assert registry.availability(spec_of(weights=WeightsFile("one.pth", size=5, sha256="0" * 64))).ok


def test_model_card_has_the_facts():
    card = registry.model_card(spec_of())
    for text in (
        "### One",
        "2.00 million",
        "37",
        "arXiv:1506.01497 (2015)",
        "Deck, topic",
        "BSD-3-Clause",
        "20: label",
    ):
        assert text in card
    assert "layers \\| heads" in card
    assert "GFLOPs" not in registry.model_card(spec_of(gflops=None))
    lines = [line for line in card.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in lines} == {3}


@pytest.mark.parametrize(
    "changes",
    [
        {"precisions": ()},
        {"precisions": (Precision(), Precision(traced=True))},
        {"precisions": (Precision(traced=True),), "extras": {"trace": lambda module, precision: module}},
    ],
)
def test_a_spec_that_cannot_work_is_refused(changes):
    with pytest.raises(ValueError, match="'one'"):
        spec_of(**changes)


def borrowing(**changes):
    """A model whose own file ships, as does the one it borrows."""
    facts = {"weights": WeightsFile("own.safetensors"), "borrowed": {"body.": WeightsFile("other.safetensors")}}
    return spec_of(**{**facts, **changes})


def test_a_model_needs_every_file_it_borrows(tmp_path):
    spec = borrowing()
    assert [(prefix, file.filename) for prefix, file in spec.files.items()] == [
        ("", "own.safetensors"),
        ("body.", "other.safetensors"),
    ]
    state = registry.availability(spec)
    assert not state.ok
    assert state.reason == "own.safetensors is missing and other.safetensors is missing"
    assert all(name in state.remedy for name in ("own.safetensors", "other.safetensors"))

    (tmp_path / "weights" / "own.safetensors").write_bytes(b"12345")
    state = registry.availability(spec)
    assert (state.ok, state.reason) == (False, "other.safetensors is missing")
    assert "own.safetensors" not in state.remedy
    damaged = borrowing(weights=WeightsFile("own.safetensors", size=9))
    assert registry.availability(damaged).reason == "own.safetensors is damaged and other.safetensors is missing"

    (tmp_path / "weights" / "other.safetensors").write_bytes(b"1234567")
    assert registry.availability(spec) == registry.Availability(True, "", "", 12e-6, local=True)
    assert "own.safetensors and other.safetensors, 0.0 MB" in registry.model_card(spec)


def test_files_to_fetch_are_counted_together(tmp_path, monkeypatch):
    first, second = (WeightsFile(f"{n}.pth", f"https://host.invalid/{n}.pth", 60_000_000) for n in "ab")
    spec = borrowing(weights=first, borrowed={"body.": second})
    assert registry.availability(spec).reason == "fetched on first use, 120 MB"
    weights._failures["b.pth"] = (weights.monotonic(), "the last download failed")
    assert registry.availability(spec).reason == "needs 120 MB, the last download failed"
    monkeypatch.setenv("CVDEMO_OFFLINE", "1")
    assert registry.availability(spec).reason == "needs 120 MB, offline"
    assert spec_of(weights=WeightsFile("one.pth", size=9), borrowed={"x.": WeightsFile("y")}).megabytes == 8.0
    assert spec_of(weights=None, borrowed={"x.": WeightsFile("y")}).files == {}
