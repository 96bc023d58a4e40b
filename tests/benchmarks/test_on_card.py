"""The checks of benchmarks.gpu as tests, for machines with a card."""

from importlib import import_module

import pytest
import torch

from benchmarks.gpu import check


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA card")
@pytest.mark.parametrize("part", ["twins", "graphs", "backends", "wrappers"])
def test_what_runs_on_a_cuda_card_is_what_its_twin_says(part, monkeypatch):
    """Kernels, layers, wrappers and replayed training, in small sizes."""
    home = import_module(f"benchmarks.gpu.{part}")
    monkeypatch.setattr(check, "prepare", lambda part, device: home.checks(device, small=True))
    lines = [*check.run(part, "cuda")][-1]
    assert [line for line in lines if not line["ok"]] == []
    assert not all(map(check.is_skipped, lines))
