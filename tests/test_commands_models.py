import argparse
import json

import pytest
from torch import nn

from cvdemo import tasks
from cvdemo.bench.__main__ import benchmarks
from cvdemo.bench.__main__ import main as bench_main
from cvdemo.commands import models as command
from cvdemo.core import registry, weights
from cvdemo.core.errors import WeightsError
from cvdemo.core.registry import ModelSpec, WeightsFile


def spec_of(name, **changes):
    facts = {
        "name": name,
        "task": "detection",
        "tier": "full",
        "title": name,
        "family": "",
        "architecture": "",
        "year": 2020,
        "paper": "",
        "lecture": "",
        "parameters": 1_500_000,
        "weights": WeightsFile(f"{name}.pth", url=f"https://host.invalid/{name}.pth", size=6_000_000),
        "build": nn.Identity,
        "run": lambda module, value, context: value,
        "example": lambda: 0,
        "agrees": lambda reference, other: True,
    }
    return ModelSpec(**{**facts, **changes})


@pytest.fixture(autouse=True)
def _models(monkeypatch, tmp_path):
    monkeypatch.setenv("CVDEMO_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("CVDEMO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("CVDEMO_OFFLINE", "1")
    monkeypatch.setattr(registry, "_models", {})
    monkeypatch.setattr(tasks, "load_all", lambda: None)
    (tmp_path / "small.pth").write_bytes(b"12345")
    registry.register(spec_of("small", tier="compact", weights=WeightsFile("small.pth", size=5)))
    registry.register(spec_of("large"))
    registry.register(spec_of("poser", task="pose"))


def call(*arguments):
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    return command.run(parser.parse_args(arguments))


def test_the_table_says_what_is_missing_and_how_to_get_it(capsys):
    assert call("models") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "task", "tier", "parameters", "MB", "available"]
    assert lines[1].split() == ["small", "detection", "compact", "1.5", "M", "0.0", "yes"]
    assert lines[2].endswith("no, needs 6 MB, offline")
    assert any("https://host.invalid/large.pth" in line for line in lines)


def test_the_table_as_json_and_filtered(capsys):
    assert call("models", "--json", "--task", "detection") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["available"], row["local"]) for row in rows] == [
        ("small", True, True),
        ("large", False, False),
    ]
    assert rows[1]["reason"] == "needs 6 MB, offline"
    assert call("models", "--tier", "compact") == 0
    assert "large" not in capsys.readouterr().out
    assert call("models", "--task", "flow") == 0
    assert "no such models" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["small"], 0),
        (["small", "large"], 1),
        (["--all"], 1),
        (["unknown"], 2),
        ([], 2),
        (["small", "--all"], 2),
    ],
)
def test_exit_codes_of_download(arguments, code):
    assert call("download", *arguments) == code


def test_download_goes_on_after_a_failure_and_shows_progress(capsys, monkeypatch, tmp_path):
    asked = []

    def ensure(file, *, progress):
        asked.append(file.filename)
        if file.filename == "large.pth":
            raise WeightsError("refused", hint="fetch it by hand")
        for done in range(0, 101, 5):
            progress(done * 10_000, 1_000_000)
        return tmp_path / file.filename

    monkeypatch.setattr(weights, "ensure", ensure)
    assert call("download", "--all") == 1
    printed = capsys.readouterr()
    assert asked == ["small.pth", "large.pth", "poser.pth"]
    assert "large: refused fetch it by hand" in printed.err
    assert "Failed: large." in printed.err
    assert printed.err.count("poser: ") == 11
    assert str(tmp_path / "poser.pth") in printed.out


def test_the_bench_dispatcher(capsys):
    assert "engine" in benchmarks()
    assert all(benchmarks().values())
    assert bench_main([]) == 0
    assert "engine" in capsys.readouterr().out
    assert bench_main(["nothing"]) == 2
    assert "engine" in capsys.readouterr().err


def test_a_model_of_two_files_names_both(capsys, tmp_path):
    registry.register(spec_of("pair", weights=WeightsFile("own.bin"), borrowed={"body.": WeightsFile("small.pth")}))
    assert call("models") == 0
    printed = capsys.readouterr().out
    assert "no, own.bin is missing" in printed
    assert "Put own.bin into " in printed
    assert call("download", "pair") == 1
    assert "own.bin is not on this machine" in capsys.readouterr().err
    (tmp_path / "own.bin").write_bytes(b"123")
    assert call("models") == 0
    assert "yes, with own.bin and small.pth" in capsys.readouterr().out
    assert call("download", "pair") == 0
    assert capsys.readouterr().out.splitlines() == [f"pair: {tmp_path / name}" for name in ("own.bin", "small.pth")]
    assert call("models", "--json") == 0
    assert json.loads(capsys.readouterr().out)[-1]["files"] == ["own.bin", "small.pth"]
