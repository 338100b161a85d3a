"""What the recipes share: the schedule, the loader, the average, checkpoints, stopping politely."""

import itertools
import json
import math
import os
import signal
import threading

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cvdemo.core import training, weights
from cvdemo.core.errors import WeightsError
from cvdemo.core.training import Exchange, Trainer, asked_to_stop, learning_rate, prefetch


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.ModuleDict({"body": nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), "head": nn.Linear(4, 2)})


def loss_of(net, batch):
    x, y = batch
    scores = net["head"](net["body"](x).mean((2, 3)))
    loss = nn.functional.cross_entropy(scores, y)
    return loss, {"loss": float(loss.detach())}


def batch():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(6, 3, 8, 8, generator=generator), torch.tensor([0, 1, 0, 1, 0, 1])


def trainer(budget: float = 60.0) -> Trainer:
    return Trainer(network(), torch.device("cpu"), budget, 1e-2)


def run(ours: Trainer, folder, stopping=None) -> None:
    ours.run(batch, loss_of, folder, "net.safetensors", stopping or threading.Event(), count=lambda b: len(b[0]))


def test_the_rate_warms_up_and_falls():
    assert learning_rate(0, 1.0) == pytest.approx(0.05)
    assert learning_rate(0.02, 1.0) == pytest.approx(1.0, abs=0.01)
    assert learning_rate(1.0, 1.0) == pytest.approx(0.02)
    rates = [learning_rate(p, 1.0) for p in np.linspace(0.02, 1, 50)]
    assert all(b < a for a, b in itertools.pairwise(rates)), "falls after the warm-up"


def test_the_loader_hands_over_results_in_order_and_then_what_went_wrong():
    numbers = iter(range(3))

    def make():
        try:
            return next(numbers)
        except StopIteration:
            raise ZeroDivisionError("no pictures") from None

    take = prefetch(make)
    assert [take(), take(), take()] == [0, 1, 2]
    with pytest.raises(ZeroDivisionError, match="no pictures"):
        take()


def test_a_step_learns_and_the_average_follows():
    ours = trainer()
    before = {name: value.clone() for name, value in ours.average.items()}
    weight = ours.network["head"].weight.detach().clone()
    figures = ours.train_step(batch(), loss_of, 6)
    assert math.isfinite(figures["loss"])
    assert (ours.step, ours.pictures) == (1, 6)
    assert not torch.equal(ours.network["head"].weight, weight)
    decay = ours.average_decay * (1 - math.exp(-1 / 1000))
    expected = decay * before["head.weight"] + (1 - decay) * ours.network["head"].weight.detach()
    torch.testing.assert_close(ours.average["head.weight"], expected)


def test_a_run_uses_its_budget_logs_and_leaves_weights_that_load(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "LOG_EVERY", 5)
    ticks = itertools.count()
    monkeypatch.setattr(
        training.time, "monotonic", lambda: next(ticks) * 0.004
    )  # fifty steps, however busy the machine
    ours = trainer(budget=0.2)
    first = loss_of(ours.network, batch())[1]["loss"]
    run(ours, tmp_path)
    assert ours.step == 50
    assert ours.progress == 1
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(5, 5 * len(rows) + 1, 5))
    assert rows[-1]["loss"] < first, "it learned the six pictures"
    state = weights.load_state(tmp_path / "net.safetensors")
    network().load_state_dict(state, strict=True)
    averaged = ours.averaged_state()
    assert all(torch.allclose(value.float(), averaged[name].float(), atol=1e-2) for name, value in state.items())
    assert not list(tmp_path.glob("*.tmp"))


def test_a_stopped_run_goes_on_where_it_stopped(tmp_path):
    ours = trainer()
    stopping = threading.Event()

    def next_batch():
        if ours.step == 3:
            stopping.set()
        return batch()

    ours.run(next_batch, loss_of, tmp_path, "net.safetensors", stopping, count=lambda b: len(b[0]))
    assert ours.step == 4, "the step under way ended"
    again = trainer()
    again.resume(tmp_path / "checkpoint.pt")
    assert (again.step, again.pictures, again.elapsed) == (ours.step, ours.pictures, ours.elapsed)
    mine, theirs = ours.network.state_dict(), again.network.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert all(torch.equal(ours.average[name], again.average[name]) for name in mine)
    moments = [state.optimiser.state_dict()["state"] for state in (ours, again)]
    assert moments[0]
    assert all(torch.equal(row["exp_avg"], moments[1][index]["exp_avg"]) for index, row in moments[0].items())


def test_earlier_weights_start_a_new_run_and_foreign_ones_do_not(tmp_path):
    torch.manual_seed(9)
    earlier = {name: torch.rand_like(v) if v.is_floating_point() else v for name, v in network().state_dict().items()}
    save_file(earlier, tmp_path / "earlier.safetensors")
    ours = trainer()
    ours.start_from(tmp_path / "earlier.safetensors")
    assert all(torch.equal(value, earlier[name]) for name, value in ours.network.state_dict().items())
    assert torch.equal(ours.average["head.weight"], earlier["head.weight"])
    save_file({"other.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="another network"):
        ours.start_from(tmp_path / "other.safetensors")


def test_a_checkpoint_comes_before_earlier_weights(tmp_path):
    earlier = tmp_path / "earlier.safetensors"
    save_file({name: torch.zeros_like(value) for name, value in network().state_dict().items()}, earlier)
    fresh = trainer()
    before = {name: value.clone() for name, value in fresh.network.state_dict().items()}
    assert not fresh.begin(tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in fresh.network.state_dict().items())
    assert not fresh.begin(tmp_path, earlier)
    assert not fresh.network.state_dict()["head.weight"].any()
    begun = trainer()
    begun.step = 7
    begun.save(tmp_path, "net.safetensors")
    resumed = trainer()
    assert resumed.begin(tmp_path, earlier)
    assert resumed.step == 7
    assert resumed.network.state_dict()["head.weight"].any()


def test_one_part_can_come_from_another_network(tmp_path):
    state = {"body." + name: torch.full_like(v, 2) for name, v in network()["body"].state_dict().items()}
    save_file(state | {"another.head": torch.zeros(7)}, tmp_path / "other.safetensors")
    ours = trainer()
    head = ours.network["head"].weight.detach().clone()
    ours.start_from(tmp_path / "other.safetensors", prefix="body.")
    assert (ours.network["body"][0].weight == 2).all()
    assert torch.equal(ours.network["head"].weight, head)
    with pytest.raises(WeightsError, match="another network"):
        ours.start_from(tmp_path / "other.safetensors", prefix="another.")


def test_a_part_that_is_kept_stays_as_it_is_and_is_not_written(tmp_path):
    other = {name: value + 0.25 for name, value in network().state_dict().items() if value.is_floating_point()}
    other = {name: value.half() for name, value in other.items()} | {"body.1.num_batches_tracked": torch.tensor(3)}
    save_file(other, tmp_path / "other.safetensors")
    ours = trainer()
    ours.keep(tmp_path / "other.safetensors", "body")
    head = ours.network["head"].weight.detach().clone()
    for _ in range(3):
        ours.train_step(batch(), loss_of, 6)
    ours.save(tmp_path, "net.safetensors")
    assert not torch.equal(ours.network["head"].weight, head)
    assert set(weights.load_state(tmp_path / "net.safetensors")) == {"head.weight", "head.bias"}
    joined = weights.joined_state({"": tmp_path / "net.safetensors", "body.": tmp_path / "other.safetensors"})
    for name, value in ours.network["body"].state_dict().items():
        assert torch.equal(joined[f"body.{name}"], value), name
    weights.apply_state(network(), joined, "net.safetensors")
    again = trainer()  # and the file without that part is enough to go on from, beside the one that has it
    again.keep(tmp_path / "other.safetensors", "body")
    again.start_from(tmp_path / "net.safetensors")
    for name, value in again.network.state_dict().items():
        assert torch.equal(value, joined[name]), name


def test_processes_that_train_together_move_to_their_mean(tmp_path):
    torch.manual_seed(0)
    nets = [network() for _ in range(3)]
    for number, net in enumerate(nets):
        for value in net.state_dict().values():
            if value.is_floating_point():
                value.fill_(float(2**number))
    meetings = [Exchange(tmp_path, name) for name in "abc"]
    assert meetings[0].meet(nets[0]) == 0, "nobody else left anything yet"
    assert meetings[1].meet(nets[1]) == 1
    assert (nets[1]["head"].weight == 1.5).all(), "the mean of 1 and 2"
    assert meetings[2].meet(nets[2]) == 2
    assert torch.allclose(nets[2]["head"].weight, torch.tensor((1 + 2 + 4) / 3)), "each as it was left"
    assert meetings[2].meet(nets[2]) == 0, "what was taken in once is not taken in again"
    assert meetings[0].meet(nets[0]) == 2
    assert int(nets[0]["body"][1].num_batches_tracked) == 0
    meetings[0].every = 1000.0
    before = nets[0]["head"].weight.clone()
    meetings[1].meet(nets[1])
    meetings[0].meet_when_due(nets[0])
    assert torch.equal(nets[0]["head"].weight, before), "not due yet"


def test_a_run_exchanges_weights(tmp_path):
    exchange = Exchange(tmp_path / "shared", "one", every=0.0)
    ours = trainer(budget=0.05)
    ours.run(batch, loss_of, tmp_path, "net.safetensors", threading.Event(), lambda b: len(b[0]), exchange)
    left = weights.load_state(tmp_path / "shared" / "one.safetensors")
    assert left["head.weight"].shape == (2, 4)


def test_a_polite_kill_ends_the_step_and_gives_the_handlers_back():
    before = signal.getsignal(signal.SIGTERM)
    with asked_to_stop() as stopping:
        assert not stopping.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopping.wait(5)
    assert signal.getsignal(signal.SIGTERM) is before
