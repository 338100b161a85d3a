"""Weights files averaged value by value."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from cvdemo.core.average_weights import main, mean_of
from cvdemo.core.errors import WeightsError


def test_values_are_means_in_their_own_format(tmp_path) -> None:
    rng = torch.Generator().manual_seed(0)
    states = [
        {
            "w": torch.randn(3, 4, generator=rng).half(),
            "steps": torch.tensor(number),
            "b": torch.randn(2, generator=rng),
        }
        for number in (5, 7, 9)
    ]
    paths = []
    for number, state in enumerate(states):
        save_file(state, tmp_path / f"{number}.safetensors")
        paths.append(str(tmp_path / f"{number}.safetensors"))
    main([*paths, "--out", str(tmp_path / "mean.safetensors")])
    found = load_file(tmp_path / "mean.safetensors")
    assert found["w"].dtype == torch.float16
    torch.testing.assert_close(found["w"].double(), sum(s["w"].double() for s in states) / 3, atol=1e-3, rtol=0)
    torch.testing.assert_close(found["b"].float(), sum(s["b"] for s in states) / 3, atol=1e-3, rtol=0)
    assert int(found["steps"]) == 9, "a counter is not averaged"


def test_files_of_different_networks_are_refused(tmp_path) -> None:
    with pytest.raises(WeightsError, match="different networks"):
        mean_of([{"w": torch.zeros(2)}, {"w": torch.zeros(3)}])
    with pytest.raises(WeightsError, match="different networks"):
        mean_of([{"w": torch.zeros(2)}, {"v": torch.zeros(2)}])
    with pytest.raises(SystemExit):
        main([str(tmp_path / "none.safetensors"), "--out", str(tmp_path / "x.safetensors")])
