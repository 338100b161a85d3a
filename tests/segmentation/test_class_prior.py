"""The frequencies of classes put right: against draws from a known shift, scikit-learn, and on real files."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.metrics import jaccard_score, log_loss

from cvdemo.segmentation import class_prior
from cvdemo.segmentation.class_prior import BIAS, Sample, fitted_bias
from cvdemo.segmentation.labels import CAMVID_CLASSES
from cvdemo.segmentation.nets.compact_unet import CompactUNet


def drawn(bias: torch.Tensor, count: int = 20_000) -> Sample:
    """Logits, and labels drawn from the softmax of logits + bias."""
    torch.manual_seed(0)
    logits = torch.randn(count, len(bias)) * 2
    return Sample(logits, torch.distributions.Categorical(logits=logits + bias).sample())


def test_a_known_shift_is_found_again() -> None:
    true = torch.tensor([2.0, -1.0, 0.5, -1.5])
    sample = drawn(true)
    found = fitted_bias(sample)
    assert float(found.mean()) == pytest.approx(0, abs=1e-5)
    np.testing.assert_allclose(found, true - true.mean(), atol=0.06)
    assert float(sample.cross_entropy(found)) < float(sample.cross_entropy(torch.zeros(4)))


def test_a_class_that_never_appears_gets_a_finite_number() -> None:
    sample = drawn(torch.tensor([0.0, 0.0, -90.0]), 2000)
    assert 2 not in sample.labels
    found = fitted_bias(sample)
    assert torch.isfinite(found).all()
    assert found.argmin() == 2


def test_measures_are_those_of_scikit_learn() -> None:
    bias = torch.tensor([0.5, 0.0, -0.2, 0.1, 0.0])
    sample = drawn(torch.zeros(5), 3000)
    shares = (sample.logits + bias).softmax(1).double().numpy()
    expected = jaccard_score(sample.labels, shares.argmax(1), average="macro")
    assert sample.mean_iou(bias) == pytest.approx(expected, abs=1e-9)
    expected = log_loss(sample.labels, shares / shares.sum(1, keepdims=True), labels=range(5))
    assert float(sample.cross_entropy(bias)) == pytest.approx(expected, rel=1e-5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures that are nearly all class 3, and street weights with arbitrary values."""
    made = tmp_path_factory.mktemp("prior")
    rng = np.random.default_rng(0)
    for kind in ("pictures", "labels"):
        (made / kind).mkdir()
    for index in range(3):
        labels = np.full((70, 96), 3, np.uint8)
        labels[:8] = 255
        labels[-6:, :20] = index
        assert cv2.imwrite(str(made / "pictures" / f"{index}.png"), rng.integers(0, 255, (70, 96, 3), np.uint8))
        assert cv2.imwrite(str(made / "labels" / f"{index}.png"), labels)
    torch.manual_seed(0)
    state = {name: value.half() if value.is_floating_point() else value
             for name, value in CompactUNet(len(CAMVID_CLASSES)).state_dict().items()}  # fmt: skip
    save_file(state, made / "whole.safetensors")
    borrowed = {name: value for name, value in state.items() if name.startswith("backbone.stage5.")}
    save_file(borrowed, made / "lender.safetensors")
    save_file({n: v for n, v in state.items() if n not in borrowed}, made / "own.safetensors")
    return made


def options(folder: Path, *more: str) -> list[str]:
    return ["--classes", "camvid", "--source", f"{folder}/pictures:{folder}/labels", "--side", "96", *more]


def test_only_the_last_biases_change_and_the_frequent_class_gains(folder: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "new.safetensors"
    class_prior.main(options(folder, "--weights", f"{folder}/whole.safetensors", "--strength", "1", "--out", str(out)))
    said = capsys.readouterr().out
    before, after = load_file(folder / "whole.safetensors"), load_file(out)
    assert before.keys() == after.keys()
    assert [name for name in before if not torch.equal(before[name], after[name])] == [BIAS]
    assert after[BIAS].dtype == torch.float16
    assert (after[BIAS] - before[BIAS]).argmax() == 3
    losses = [float(line.split()[3].rstrip(",")) for line in said.splitlines() if line.startswith("strength")]
    assert losses == sorted(losses, reverse=True)
    assert "strength 1.00" in next(line for line in said.splitlines() if "<- written" in line)


def test_a_borrowed_part_is_used_but_not_written(folder: Path, tmp_path: Path) -> None:
    whole, own = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    class_prior.main(options(folder, "--weights", f"{folder}/whole.safetensors", "--out", str(whole)))
    lender = ["--keep", f"{folder}/lender.safetensors"]
    class_prior.main(options(folder, "--weights", f"{folder}/own.safetensors", *lender, "--out", str(own)))
    assert load_file(own).keys() == load_file(folder / "own.safetensors").keys()
    torch.testing.assert_close(load_file(own)[BIAS], load_file(whole)[BIAS])
    with pytest.raises(SystemExit):
        class_prior.main(options(folder, "--weights", f"{folder}/own.safetensors", "--out", str(own)))
