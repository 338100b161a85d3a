import dataclasses
import json
import os

import numpy as np
import pytest
import torch
from torch import nn

from cvdemo.core import disk_cache, precision
from cvdemo.core.context import RunContext
from cvdemo.core.device import Precision
from cvdemo.core.registry import RANDOM_WEIGHTS_KEY, ModelSpec

CPU = torch.device("cpu")
FLOAT, BF16, LAST = Precision(), Precision("bfloat16"), Precision(channels_last=True)
TRACED = Precision(traced=True)


def trace(module, chosen):
    traced = torch.jit.trace(module, torch.rand(1, 3, 16, 16))
    return torch.jit.optimize_for_inference(torch.jit.freeze(traced))


def run(module, value, context):
    batch = context.tensor(torch.from_numpy(value))
    with context.stage("network"), context.autocast():
        return module(batch).float().numpy()


def spec_of(**changes):
    facts = {
        "name": "net",
        "task": "test",
        "tier": "compact",
        "title": "Net",
        "family": "",
        "architecture": "",
        "year": 2024,
        "paper": "",
        "lecture": "",
        "parameters": 224,
        "weights": None,
        "build": lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()),
        "run": run,
        "example": lambda: np.random.default_rng(0).random((1, 3, 16, 16), dtype=np.float32),
        "agrees": lambda reference, other: bool(np.abs(reference - other).max() < 0.05),
        "precisions": (FLOAT, BF16, LAST, TRACED),
        "extras": {RANDOM_WEIGHTS_KEY: True, "trace": trace},
    }
    return ModelSpec(**{**facts, **changes})


def timer_of(*seconds):
    """A stopwatch that pretends: the reference takes 1 s, the candidates the given seconds in turn."""
    remaining = list(seconds)

    def timer(reference, candidate):
        assert np.allclose(reference(), candidate(), atol=0.05)
        return 1.0, remaining.pop(0)

    return timer


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CVDEMO_CACHE", str(tmp_path))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ((0.5, 0.7, 0.9), BF16),
        ((0.7, 0.5, 0.9), LAST),
        ((0.9, 0.9, 0.4), TRACED),
        ((0.97, 0.98, 0.99), FLOAT),  # faster, but not by the margin
        ((1.5, 2.0, 3.0), FLOAT),
    ],
)
def test_the_fastest_by_a_margin_is_kept(seconds, expected):
    spec = spec_of()
    choice = precision.measure(spec, spec.build().eval(), CPU, timer=timer_of(*seconds))
    assert choice.precision == expected
    assert choice.measured
    assert set(choice.notes) == {"bf16", "fp32 channels_last", "fp32 traced"}
    assert "reference 1000.0 ms" in choice.notes["bf16"]


def test_a_fast_candidate_that_disagrees_is_not_kept():
    spec = spec_of(agrees=lambda reference, other: bool(np.array_equal(reference, other)))
    choice = precision.measure(spec, spec.build().eval(), CPU, timer=lambda reference, candidate: (1.0, 0.1))
    assert choice.precision != BF16
    assert "differs" in choice.notes["bf16"]


def test_a_candidate_that_fails_is_passed_over():
    def failing(module, chosen):
        raise RuntimeError("cannot be traced")

    spec = spec_of(precisions=(FLOAT, TRACED), extras={RANDOM_WEIGHTS_KEY: True, "trace": failing})
    choice = precision.measure(spec, spec.build().eval(), CPU)
    assert choice.precision == FLOAT
    assert choice.notes["fp32 traced"] == "does not run here (RuntimeError)"


def test_a_reference_that_fails_raises():
    def broken(module, value, context):
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        precision.measure(spec_of(run=broken), nn.Identity(), CPU)


def test_measuring_leaves_the_module_as_it_was():
    spec = spec_of()
    module = spec.build().eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    strides = {name: value.stride() for name, value in module.state_dict().items()}
    precision.measure(spec, module, CPU)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
        assert value.stride() == strides[name]
        assert value.dtype == torch.float32


@pytest.mark.parametrize("chosen", [BF16, LAST, TRACED], ids=lambda chosen: chosen.label)
def test_each_form_computes_what_the_reference_computes(chosen):
    spec = spec_of()
    module = spec.build().eval()
    expected = precision.run_once(spec, module, FLOAT, CPU, spec.example())
    form = precision.in_form(spec, module, chosen)
    found = precision.warm_up(spec, form, chosen, CPU, spec.example())
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < (0.05 if chosen is BF16 else 1e-5)


def test_a_choice_is_remembered(tmp_path, monkeypatch):
    spec = spec_of()
    first = precision.choose(spec, spec.build().eval(), CPU, ())
    assert first.measured
    monkeypatch.setattr(precision, "measure", None)
    again = precision.choose(spec, spec.build().eval(), CPU, ())
    assert (again.precision, again.notes, again.measured) == (first.precision, first.notes, False)
    assert json.loads((tmp_path / "precision.json").read_text())


def test_with_one_precision_nothing_is_measured(monkeypatch):
    monkeypatch.setattr(precision, "measure", None)
    assert precision.choose(spec_of(precisions=(BF16,)), nn.Identity(), CPU, ()).precision == BF16


@pytest.mark.parametrize(
    "damage",
    [
        "not json",
        {"precision": {"dtype": "float8"}, "notes": {}},
        {"precision": {"depth": 3}, "notes": {}},
        {"precision": 5},
        {"precision": {"dtype": "float16"}, "notes": {}},
        {"precision": {"dtype": "bfloat16"}, "notes": []},
        [],
        "text",
    ],
)
def test_a_damaged_memory_is_measured_again(tmp_path, damage):
    spec = spec_of()
    if damage == "not json":
        (tmp_path / "precision.json").write_text("{")
    else:
        disk_cache.remember("precision", precision.choice_key(spec, CPU, ()), damage)
    assert precision.choose(spec, spec.build().eval(), CPU, ()).measured


def test_the_key_holds_all_that_a_choice_depends_on(tmp_path, monkeypatch):
    path = tmp_path / "net.pth"
    path.write_bytes(b"123")
    spec = spec_of()
    keys = {precision.choice_key(spec, CPU, ()), precision.choice_key(spec, CPU, (path,))}
    path.write_bytes(b"1234")
    keys.add(precision.choice_key(spec, CPU, (path,)))
    os.utime(path, (1, 1))
    keys.add(precision.choice_key(spec, CPU, (path,)))
    keys.add(precision.choice_key(dataclasses.replace(spec, name="other"), CPU, (path,)))
    keys.add(precision.choice_key(dataclasses.replace(spec, precisions=(FLOAT,)), CPU, (path,)))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    keys.add(precision.choice_key(spec, CPU, (path,)))
    monkeypatch.setattr(torch, "__version__", "9.9")
    keys.add(precision.choice_key(spec, CPU, (path,)))
    monkeypatch.setattr(precision, "device_title", lambda device: "another processor")
    keys.add(precision.choice_key(spec, CPU, (path,)))
    assert len(keys) == 9


def test_autocast_and_layout_follow_the_precision():
    picture = torch.rand(1, 3, 4, 4)
    weight = torch.rand(4, 4)
    assert RunContext(CPU, LAST).tensor(picture).is_contiguous(memory_format=torch.channels_last)
    assert RunContext(CPU, FLOAT).tensor(picture).is_contiguous()
    for chosen, expected in ((FLOAT, torch.float32), (BF16, torch.bfloat16), (TRACED, torch.float32)):
        with RunContext(CPU, chosen).autocast():
            assert (weight @ weight).dtype == expected
