"""The flags of ``app.py``; wrong ones must fail before anything slow is imported."""

import pytest

from cvdemo.commands import serve
from cvdemo.core import device, engine, weights


def test_the_defaults_serve_this_machine_only():
    args = serve.build_parser().parse_args([])
    assert args.host is None, "Gradio then listens on this machine only, or where a hosting service says"
    assert args.port is None
    assert args.max_users == 32
    assert not args.share
    assert not args.offline
    assert args.device is args.memory_budget is args.ssl_certfile is args.ssl_keyfile is None


def test_every_flag_of_the_manual():
    args = serve.build_parser().parse_args(
        ["--host", "0.0.0.0", "--port", "7000", "--device", "cpu", "--memory-budget", "800M", "--share",
         "--ssl-certfile", "a.pem", "--ssl-keyfile", "b.pem", "--max-users", "5", "--offline"]
    )  # fmt: skip
    assert (args.host, args.port, args.device, args.max_users) == ("0.0.0.0", 7000, "cpu", 5)
    assert device.parse_bytes(args.memory_budget) == 800 * 2**20
    assert args.share
    assert args.offline
    assert (args.ssl_certfile, args.ssl_keyfile) == ("a.pem", "b.pem")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--device", "abacus"], "abacus"),
        (["--memory-budget", "plenty"], "plenty"),
        (["--memory-budget=-4G"], "-4G"),
    ],
)
def test_unusable_values_end_with_a_sentence(arguments, words, monkeypatch):
    monkeypatch.setattr(serve, "set_default_engine", lambda engine: pytest.fail("an engine was made"))
    monkeypatch.setattr(serve, "configure_threads", lambda: None)
    with pytest.raises(SystemExit, match=words):
        serve.main(arguments)


@pytest.mark.parametrize("arguments", [["--port", "http"], ["--max-users", "many"], ["--nonsense"]])
def test_wrong_flags_end_with_a_usage_message(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        serve.main(arguments)
    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err


class Launched(Exception):
    """Raised in place of the page."""


def test_flags_reach_the_engine_and_the_weights(monkeypatch):
    made = {}

    def note(chosen):
        made["engine"] = chosen
        raise Launched

    monkeypatch.setattr(serve, "configure_threads", lambda: None)
    monkeypatch.setattr(serve, "set_default_engine", note)
    try:
        with pytest.raises(Launched):
            serve.main(["--device", "cpu", "--memory-budget", "123M", "--offline"])
        assert weights.is_offline()
    finally:
        weights.set_offline(None)
    assert isinstance(made["engine"], engine.Engine)
    assert str(made["engine"].device) == "cpu"
    assert made["engine"].statistics().budget == device.parse_bytes("123M")
