"""The embedder's recipe end to end on noise: a run, a resumed run, what it leaves, and that it learns."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cvdemo.core import weights
from cvdemo.faces.embed_data import Example, save_pack
from cvdemo.faces.embedder import unit
from cvdemo.faces.nets.compact_embedder import CompactEmbedder
from cvdemo.faces.train_embedder import FILENAME, Learner, agreement, gather, loss_of, main, prototypes_of


def noise(person, seed):
    rng = np.random.default_rng(seed)
    faces = rng.integers(0, 256, (len(person), 112, 112, 3), np.uint8)
    return faces, unit(rng.normal(size=(len(person), 128))), person


@pytest.fixture(scope="module")
def packs(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("packs")
    save_pack(folder / "known", *noise([0, 0, 1, 1, 2, 2], 0), ["a", "b", "c"])
    save_pack(folder / "unknown", *noise([-1] * 4, 1), [])
    return ["--pack", str(folder / "known"), "--pack", str(folder / "unknown")]


@pytest.fixture(scope="module")
def first_run(packs, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run")
    main([*packs, "--out", str(out), "--minutes", "0.004", "--batch", "4", "--device", "cpu"])
    return out


def test_a_run_leaves_the_embedder_alone_and_a_checkpoint(first_run):
    clock = torch.load(first_run / "checkpoint.pt", weights_only=True)["clock"]
    assert clock["step"] >= 1
    assert clock["pictures"] == 4 * clock["step"]
    CompactEmbedder().load_state_dict(weights.load_state(first_run / FILENAME), strict=True)
    assert (first_run / FILENAME).stat().st_size < 3_000_000


def test_the_same_command_goes_on_where_it_stopped(first_run, packs, tmp_path, capsys):
    before = torch.load(first_run / "checkpoint.pt", weights_only=True)["clock"]
    (tmp_path / "checkpoint.pt").write_bytes((first_run / "checkpoint.pt").read_bytes())
    minutes = str(before["elapsed"] / 60 + 0.003)
    main([*packs, "--out", str(tmp_path), "--minutes", minutes, "--batch", "4", "--device", "cpu"])
    after = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["clock"]
    assert after["step"] > before["step"]
    assert f"10 faces, 6 of 3 people, from step {before['step']}" in capsys.readouterr().err


def test_people_like_those_of_another_pack_are_left_out(packs, tmp_path, capsys):
    known = Path(packs[1])
    examples, _, classes = gather([known], None, 0.6)
    assert (len(examples), classes) == (6, 3)
    save_pack(tmp_path / "test", *noise([0, 0], 5)[:1], np.stack([examples[0].teacher, examples[1].teacher]), [0, 0],
              ["x"])  # fmt: skip
    examples, held, classes = gather([known], tmp_path / "test", 0.9)
    assert (len(examples), len(held), classes) == (4, 0, 2)
    assert "1 people look like somebody" in capsys.readouterr().err


def test_packs_that_are_not_there_end_the_run_with_a_sentence(tmp_path):
    with pytest.raises(SystemExit, match="no pack of faces"):
        main(["--pack", str(tmp_path / "none"), "--out", str(tmp_path / "out"), "--device", "cpu"])


def test_a_loss_reports_its_terms_and_learning_lowers_it():
    torch.manual_seed(0)
    faces, teacher, _ = noise([0] * 8, 3)
    labels = np.array([0, 0, 1, 1, -1, -1, -1, -1])
    examples = [Example(f, t, int(n)) for f, t, n in zip(faces, teacher, labels)]
    network = Learner(prototypes_of(examples, 2)).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    seen = []
    for _ in range(8):
        loss, figures = loss_of(network, (faces, teacher, labels), 0.1)
        assert float(loss.detach()) == pytest.approx(10 * (1 - figures["teacher"]) + 0.1 * figures["margin"], rel=1e-3)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        seen.append(figures["teacher"])
    assert seen[-1] > seen[0] + 0.2
    assert network.prototypes.grad is not None


def test_prototypes_start_at_the_people_s_means():
    _, teacher, _ = noise([0] * 3, 4)
    examples = [Example(np.zeros(0), teacher[i], label) for i, label in enumerate((1, 1, -1))]
    prototypes = prototypes_of(examples, 2).numpy()
    np.testing.assert_allclose(prototypes[1], unit(teacher[:2].mean(0)), atol=1e-6)
    assert not prototypes[0].any()


def test_agreement_is_one_for_the_embedder_itself():
    torch.manual_seed(0)
    network = CompactEmbedder().eval()
    faces, _, _ = noise([0, 0, 0], 6)
    x = torch.from_numpy(faces).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        own = unit(network(x).numpy())
    examples = [Example(f, v, -1) for f, v in zip(faces, own)]
    assert agreement(network.state_dict(), examples, torch.device("cpu")) == pytest.approx(1, abs=1e-4)
    opposite = [Example(faces[0], -own[0], -1)]
    assert agreement(network.state_dict(), opposite, torch.device("cpu")) == pytest.approx(-1, abs=1e-4)
