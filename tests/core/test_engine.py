import dataclasses
import threading
from collections import Counter
from time import sleep

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cvdemo.bench.engine import random_models, random_picture
from cvdemo.core import engine as engine_module
from cvdemo.core import registry, weights
from cvdemo.core.device import Precision
from cvdemo.core.engine import Engine, default_engine, set_default_engine
from cvdemo.core.errors import Cancelled, CvDemoError, ResourceError, WeightsError
from cvdemo.core.registry import RANDOM_WEIGHTS_KEY, ModelSpec, WeightsFile

FLOATS = 1000
BYTES = 4 * FLOATS


class Scale(nn.Module):
    """Multiplies by its first parameter; holds FLOATS of them."""

    def __init__(self):
        super().__init__()
        self.factors = nn.Parameter(torch.full((FLOATS,), 2.0))

    def forward(self, value):
        return self.factors[0] * value


def run_scale(module, value, context):
    with context.stage("network"):
        return float(module(torch.tensor(float(value))))


def spec_of(name="scale", **changes):
    facts = {
        "name": name,
        "task": "test",
        "tier": "compact",
        "title": name.capitalize(),
        "family": "",
        "architecture": "",
        "year": 2024,
        "paper": "",
        "lecture": "",
        "parameters": FLOATS,
        "weights": None,
        "build": Scale,
        "run": run_scale,
        "example": lambda: 1.0,
        "agrees": lambda reference, other: reference == other,
        "extras": {RANDOM_WEIGHTS_KEY: True},
    }
    return ModelSpec(**{**facts, **changes})


@pytest.fixture(autouse=True)
def _folders(tmp_path, monkeypatch):
    monkeypatch.setenv("CVDEMO_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("CVDEMO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("CVDEMO_OFFLINE", "1")
    (tmp_path / "weights").mkdir()


@pytest.fixture
def engine():
    return Engine("cpu", memory_budget=1 << 30)


def in_threads(count, work):
    """Run work(number) in that many threads begun together; their results or exceptions in order."""
    results = [None] * count
    barrier = threading.Barrier(count)

    def call(number):
        barrier.wait()
        try:
            results[number] = work(number)
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=call, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    return results


# ---------------------------------------------------------------- running


def test_a_run_says_what_happened(engine):
    ran = engine.run(spec_of(), 21)
    assert (ran.output, ran.device, ran.precision, ran.model) == (42.0, "cpu", "fp32", "scale")
    assert list(ran.stages) == ["wait", "load", "network"]
    assert ran.stages["load"] > 0


def test_the_second_run_is_a_hit(engine):
    spec = spec_of()
    engine.run(spec, 1)
    assert engine.run(spec, 2).stages["load"] == 0.0
    found = engine.statistics()
    assert (found.loads, found.hits, found.evictions, found.used) == (1, 1, 0, BYTES)
    assert found.models[0].runs == 2
    assert found.models[0].megabytes == BYTES / 1e6
    assert set(found.models[0].stages) == {"wait", "load", "network"}
    assert [record.model for record in found.last_runs] == ["scale", "scale"]
    assert found.to_dict()["models"][0]["name"] == "scale"


def test_models_run_by_registered_name(engine, monkeypatch):
    monkeypatch.setattr(registry, "_models", {})
    registry.register(spec_of("known"))
    assert engine.run("known", 1).output == 2.0
    with pytest.raises(CvDemoError, match="Did you mean: known"):
        engine.run("knwon", 1)


def test_no_gradients_and_eval_mode(engine):
    seen = {}

    def look(module, value, context):
        seen.update(inference=torch.is_inference_mode_enabled(), training=module.training)
        seen.update(grad=any(parameter.requires_grad for parameter in module.parameters()))

    engine.run(spec_of(run=look), 0)
    assert seen == {"inference": True, "training": False, "grad": False}
    assert not torch.is_inference_mode_enabled()


def test_a_run_may_ask_for_gradients_of_its_input(engine):
    def slope(module, value, context):
        with torch.inference_mode(False), torch.enable_grad():
            picture = torch.tensor(float(value), requires_grad=True)
            (module(picture) ** 2).backward()
            return float(picture.grad)

    assert engine.run(spec_of(run=slope), 3).output == pytest.approx(2 * 2.0**2 * 3)


def test_an_operation_runs_in_place_of_the_model_with_gradients(engine):
    def slope(module, value, context):
        x = torch.tensor([float(value)], requires_grad=True)
        with context.stage("gradient"):
            module(x).sum().backward()
        return float(x.grad), torch.is_inference_mode_enabled()

    ran = engine.run(spec_of(), 3, operation=slope)
    factor = engine.run(spec_of(), 1.0).output
    assert ran.output == (pytest.approx(float(factor)), False)
    assert "gradient" in ran.stages


def test_prepare_sees_the_loaded_weights(engine, tmp_path):
    save_file({"factors": torch.full((FLOATS,), 5.0).half()}, tmp_path / "weights" / "scale.safetensors")

    def prepare(module):
        with torch.no_grad():
            module.factors += 1
        return module

    spec = spec_of(weights=WeightsFile("scale.safetensors"), prepare=prepare, extras={})
    assert engine.run(spec, 10).output == 60.0


def test_an_untrained_network_is_refused(engine):
    with pytest.raises(WeightsError, match="no trained weights"):
        engine.run(spec_of(extras={}), 1)
    assert engine.statistics().loads == 0


@pytest.mark.parametrize("while_loading", [True, False])
def test_a_run_inside_a_run_is_refused_and_not_waited_for(while_loading):
    engine = Engine("cpu", memory_budget=1 << 30, at_once=1)
    inner = spec_of("inner")

    def run(module, value, context):
        return engine.run(inner, 1) if value else None

    with pytest.raises(RuntimeError, match="inner was asked for inside a run of outer"):
        engine.run(spec_of("outer", run=run, example=lambda: while_loading), 1)
    assert engine.run(inner, 1).output == 2.0


def test_an_error_of_a_model_leaves_the_engine_usable(engine):
    def moody(module, value, context):
        if value < 0:
            raise ValueError("negative")
        return value

    spec = spec_of(run=moody)
    with pytest.raises(ValueError, match="negative"):
        engine.run(spec, -1)
    assert engine.run(spec, 1).output == 1
    assert engine.statistics().failures == 1
    assert not engine.statistics().models[0].in_use


# ---------------------------------------------------------------- loading


def test_sixteen_callers_load_once(engine):
    built = []
    spec = spec_of(build=lambda: built.append(1) or Scale())
    results = in_threads(16, lambda number: engine.run(spec, number).output)
    assert results == [2.0 * number for number in range(16)]
    assert len(built) == engine.statistics().loads == 1
    assert engine.statistics().hits == 15


def test_a_failed_load_reaches_all_who_wait_and_can_be_retried():
    engine = Engine("cpu", memory_budget=1 << 30)
    waiting = threading.Event()
    attempts = []

    def build():
        attempts.append(1)
        if len(attempts) > 1:
            return Scale()
        waiting.wait(20)
        raise WeightsError("broken file")

    spec = spec_of(build=build)

    def work(number):
        if number == 0:
            while engine.statistics().waiting < 7:
                sleep(0.001)
            waiting.set()
            return None
        return engine.run(spec, number).output

    results = in_threads(9, work)
    assert [str(result) for result in results[1:]] == ["broken file"] * 8
    assert len(attempts) == 1
    assert engine.run(spec, 4).output == 8.0
    assert len(attempts) == 2


def test_a_download_happens_once_and_its_failure_reaches_all(engine, tmp_path, monkeypatch):
    asked, go = [], threading.Event()

    def ensure(file, *, progress=None, cancel=None, offline=None):
        asked.append(file.filename)
        if len(asked) == 1:
            progress(1_000_000, 4_000_000)
            go.wait(20)
            raise WeightsError("no network")
        return tmp_path / "weights" / file.filename

    monkeypatch.setattr(weights, "ensure", ensure)
    save_file({"factors": torch.full((FLOATS,), 3.0)}, tmp_path / "weights" / "scale.safetensors")
    spec = spec_of(weights=WeightsFile("scale.safetensors"), extras={})
    reports = Counter()

    def work(number):
        def progress(fraction, text):
            reports[number] += 1
            assert fraction == 0.25
            assert text == "Downloading scale.safetensors: 1 of 4 MB"
            if len(reports) == 6:
                go.set()

        return engine.run(spec, 1, progress=progress).output

    results = in_threads(6, work)
    assert [str(result) for result in results] == ["no network"] * 6
    assert len(asked) == 1
    assert engine.run(spec, 1).output == 3.0


def test_a_missing_file_says_how_to_get_it(engine, tmp_path):
    spec = spec_of(weights=WeightsFile("net.pth", url="https://host.invalid/net.pth"), extras={})
    with pytest.raises(WeightsError, match=r"https://host\.invalid/net\.pth") as caught:
        engine.run(spec, 1)
    assert str(tmp_path / "weights") in str(caught.value)


def test_a_file_of_another_network_is_explained(engine, tmp_path):
    save_file({"other": torch.zeros(3)}, tmp_path / "weights" / "net.safetensors")
    with pytest.raises(WeightsError, match="another network"):
        engine.run(spec_of(weights=WeightsFile("net.safetensors"), extras={}), 1)
    assert engine.statistics().used == 0


def test_preload(engine):
    spec = spec_of()
    engine.preload(spec)
    assert engine.statistics().loads == 1
    assert engine.run(spec, 1).stages["load"] == 0.0


def test_another_spec_of_the_same_name_replaces_the_first(engine):
    engine.run(spec_of(), 1)
    assert engine.run(spec_of(run=lambda module, value, context: "new"), 1).output == "new"
    assert len(engine.statistics().models) == 1


# ---------------------------------------------------------------- precision


def test_the_chosen_precision_is_used_and_tuning_can_be_off(monkeypatch):
    chosen = Precision("bfloat16", channels_last=True)
    spec = spec_of(
        precisions=(Precision(), chosen),
        run=lambda module, value, context: context.precision.label,
        agrees=lambda a, b: True,
    )
    choice = engine_module.precision_module.Choice(chosen, {"bf16 channels_last": "faster"})
    monkeypatch.setattr(engine_module.precision_module, "choose", lambda *arguments: choice)
    tuned = Engine("cpu")
    assert tuned.run(spec, 1).output == tuned.run(spec, 1).precision == "bf16 channels_last"
    assert tuned.statistics().models[0].notes == {"bf16 channels_last": "faster"}
    assert Engine("cpu", tune=False).run(spec, 1).output == "fp32"


def test_a_remembered_precision_that_no_longer_works_falls_back(monkeypatch):
    def picky(module, value, context):
        if context.precision.dtype != "float32":
            raise RuntimeError("unsupported")
        return "fine"

    chosen = Precision("bfloat16")
    choice = engine_module.precision_module.Choice(chosen)
    monkeypatch.setattr(engine_module.precision_module, "choose", lambda *arguments: choice)
    ran = Engine("cpu").run(spec_of(run=picky, precisions=(Precision(), chosen)), 1)
    assert (ran.output, ran.precision) == ("fine", "fp32")


# ---------------------------------------------------------------- memory


def test_the_budget_holds_and_the_least_recently_used_leaves():
    engine = Engine("cpu", memory_budget=2 * BYTES)
    specs = [spec_of(f"net {number}") for number in range(3)]
    for index in (0, 1, 0, 2):
        engine.run(specs[index], 1)
    found = engine.statistics()
    assert [model.name for model in found.models] == ["net 0", "net 2"]
    assert (found.used, found.evictions, found.loads, found.hits) == (2 * BYTES, 1, 3, 1)


def test_the_budget_holds_under_concurrent_callers():
    engine = Engine("cpu", memory_budget=2 * BYTES, at_once=4)
    most = []
    specs = [
        spec_of(f"net {number}", run=lambda module, value, context: most.append(engine.statistics().used) or value)
        for number in range(5)
    ]
    results = in_threads(16, lambda number: [engine.run(specs[(number + step) % 5], step).output for step in range(10)])
    assert results == [list(range(10))] * 16
    assert max(most) <= 2 * BYTES


def test_a_model_larger_than_the_budget_runs_and_stays():
    engine = Engine("cpu", memory_budget=10)
    spec = spec_of()
    assert [engine.run(spec, number).output for number in range(3)] == [0.0, 2.0, 4.0]
    assert engine.statistics().loads == 1


def test_evict_and_clear(engine):
    first, second = spec_of("first"), spec_of("second")
    engine.preload(first)
    engine.preload(second)
    assert engine.evict("first")
    assert not engine.evict("first")
    engine.clear()
    assert engine.statistics().used == 0
    assert engine.run(first, 1).output == 2.0


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError("can't allocate memory")]
)
def test_out_of_memory_drops_idle_models_and_retries_once(engine, error):
    failures = [error]

    def hungry(module, value, context):
        with context.stage("network"):
            if value and failures:
                raise failures.pop()
        return value

    engine.preload(spec_of("idle"))
    hungry_spec = spec_of("hungry", run=hungry)
    engine.preload(hungry_spec)
    assert engine.run(hungry_spec, 7).output == 7
    assert [model.name for model in engine.statistics().models] == ["hungry"]
    failures += [error, error]
    with pytest.raises(ResourceError, match="not enough memory for Hungry"):
        engine.run(hungry_spec, 7)
    assert failures == []
    assert engine.run(hungry_spec, 7).output == 7


# ---------------------------------------------------------------- cancelling, progress, fairness


def test_cancelling_before_while_waiting_and_inside(engine):
    inside, go = threading.Event(), threading.Event()

    def slow(module, value, context):
        if value:
            inside.set()
            while not go.wait(0.005):
                context.check_cancelled()
        return value

    spec = spec_of(run=slow, example=lambda: 0)
    engine.preload(spec)
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(Cancelled):
        engine.run(spec, 1, cancel=cancelled)

    cancels = [threading.Event(), threading.Event()]

    def work(number):
        if number == 0:
            return engine.run(spec, 1, cancel=cancels[0])
        inside.wait(20)
        if number == 1:
            return engine.run(spec, 1, cancel=cancels[1])
        while not engine.statistics().waiting:
            sleep(0.001)
        cancels[1].set()
        while engine.statistics().waiting:
            sleep(0.001)
        cancels[0].set()
        return None

    results = in_threads(3, work)
    assert [type(result) for result in results[:2]] == [Cancelled, Cancelled]
    go.set()
    assert engine.run(spec, 5).output == 5
    assert engine.statistics().failures == 0


def test_progress_reaches_the_caller(engine):
    reports = []

    def steps(module, value, context):
        for step in range(value):
            context.report((step + 1) / value, f"step {step + 1}")

    spec = spec_of(run=steps, example=lambda: 0)
    engine.run(spec, 2, progress=lambda fraction, text: reports.append((fraction, text)))
    assert reports[-2:] == [(0.5, "step 1"), (1.0, "step 2")]
    assert any("Loading" in text for _, text in reports)


def test_a_greedy_user_does_not_starve_another():
    engine = Engine("cpu", memory_budget=1 << 30, at_once=1)
    order, go = [], threading.Event()

    def note(module, value, context):
        if value == "first":
            go.wait(20)
        order.append(value)

    spec = spec_of(run=note)
    engine.preload(spec)
    order.clear()

    def ask(value, user):
        before = engine.statistics().waiting
        thread = threading.Thread(target=engine.run, args=(spec, value), kwargs={"user": user})
        thread.start()
        while value != "first" and engine.statistics().waiting == before:
            sleep(0.001)
        return thread

    threads = [ask("first", "greedy")]
    while not any(model.in_use for model in engine.statistics().models):
        sleep(0.001)
    threads += [ask("greedy", "greedy") for _ in range(5)]
    threads += [ask("modest", "modest")]
    go.set()
    for thread in threads:
        thread.join(20)
    assert order.index("modest") <= 2
    assert order.count("greedy") == 5


# ---------------------------------------------------------------- real models


def test_sixteen_concurrent_callers_of_real_models_get_the_serial_results():
    specs = random_models()
    serial = Engine("cpu", tune=False, at_once=1)
    shared = Engine("cpu", tune=False)
    jobs = [(specs[number % 2], random_picture(number, 160)) for number in range(32)]
    expected = [serial.run(spec, picture).output for spec, picture in jobs]

    def work(number):
        return [shared.run(*jobs[index], user=str(number)).output for index in (number, number + 16)]

    results = in_threads(16, work)
    for number, outputs in enumerate(results):
        for output, index in zip(outputs, (number, number + 16)):
            assert output.size
            assert np.array_equal(output, expected[index])
    assert shared.statistics().loads == 2


# ---------------------------------------------------------------- the shared engine


def test_the_default_engine_is_one_and_replaceable():
    mine = Engine("cpu")
    try:
        set_default_engine(mine)
        assert default_engine() is mine
        set_default_engine(None)
        made = in_threads(8, lambda number: default_engine())
        assert all(one is made[0] for one in made)
        assert made[0] is not mine
    finally:
        set_default_engine(None)


def test_specs_are_data_that_can_be_varied():
    spec = spec_of()
    assert dataclasses.replace(spec, name="other").build is spec.build


# ---------------------------------------------------------------- several weights files


class Pair(nn.Module):
    """Two scales: its own, and one of another model."""

    def __init__(self):
        super().__init__()
        self.own, self.body = nn.Linear(1, 1, bias=False), Scale()

    def forward(self, value):
        return self.own.weight[0, 0] * self.body(value)


def test_a_model_is_loaded_from_its_own_file_and_the_one_it_borrows(engine, tmp_path):
    spec = spec_of("pair", build=Pair, weights=WeightsFile("own.safetensors"),
                   borrowed={"body.": WeightsFile("scale.safetensors")}, parameters=FLOATS + 1)  # fmt: skip
    save_file({"own.weight": torch.full((1, 1), 5.0)}, str(tmp_path / "weights" / "own.safetensors"))
    with pytest.raises(WeightsError, match=r"scale\.safetensors is not on this machine"):
        engine.run(spec, 1)
    save_file({"factors": torch.full((FLOATS,), 3.0)}, str(tmp_path / "weights" / "scale.safetensors"))
    assert engine.run(spec, 2).output == 30.0
    assert engine.statistics().models[0].megabytes == (BYTES + 4) / 1e6


def test_files_that_do_not_make_the_network_are_named_together(engine, tmp_path):
    spec = spec_of("pair", build=Pair, weights=WeightsFile("own.safetensors"),
                   borrowed={"body.": WeightsFile("scale.safetensors")})  # fmt: skip
    save_file({"own.weight": torch.ones(1, 1)}, str(tmp_path / "weights" / "own.safetensors"))
    save_file({"wrong": torch.ones(1)}, str(tmp_path / "weights" / "scale.safetensors"))
    with pytest.raises(WeightsError, match=r"own\.safetensors with scale\.safetensors belongs to another network"):
        engine.run(spec, 1)
