"""`resnet bench`: what it asks for before it times anything, and the tables that it writes."""

from types import SimpleNamespace

import pytest

from resnet import bench
from resnet.experiments import PLANS, VERBS


def test_bench_without_weights_says_the_command_that_makes_them(tmp_path, capsys):
    """Before any data is read."""
    from harness.cli import main

    argv = ["bench", "--arms", "ResNet-18-EE", "--seed", "2", "--results", str(tmp_path)]
    assert main(PLANS, "resnet", VERBS, argv) == 1
    made = "python -m resnet exits --arms ResNet-18-EE --seeds 2-2 --keep-weights --results"
    assert f"make them by `{made} {tmp_path}`" in capsys.readouterr().err


def test_bench_writes_its_table_to_a_file(tmp_path, monkeypatch, capsys):
    """Forms are checked before anything is timed."""
    line = {"name": "ResNet-18-EE, full net", "batch": 1, "accuracy": 0.75, "macs": 2e6}
    line |= {"p50": 1.5, "p99": 2.25, "mean": 1.6, "shares": [0.0, 1.0]}
    monkeypatch.setattr(bench, "bench", lambda arm, options: [line])
    monkeypatch.setattr(bench, "read", lambda config, job: SimpleNamespace(split="holdout"))
    argv = ["--arms", "ResNet-18-EE", "--to"]
    assert bench.main([*argv, str(tmp_path / "t.csv")]) == 0
    name, values = (tmp_path / "t.csv").read_text().splitlines()
    assert name.split(",")[:4] == ["name", "batch", "accuracy", "macs"]
    assert values.endswith('1.5,2.25,1.6,"[0.0, 1.0]"')
    assert "expected MACs (M)" in capsys.readouterr().out
    assert bench.main([*argv, str(tmp_path / "t.tex"), "--json"]) == 0
    assert "0.7500 & 2.00 & 1.50 & 2.25" in (tmp_path / "t.tex").read_text()
    monkeypatch.setattr(bench, "bench", None)
    with pytest.raises(ValueError, match="expected a file that ends in"):
        bench.main([*argv, "t.latex"])
