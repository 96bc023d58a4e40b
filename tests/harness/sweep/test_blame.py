"""Where an exception of a trainer arose: on the screen, in the record, and whole in a file."""

import importlib
import json
import sys

from harness.cli import main

EXPERIMENTS = """
from dataclasses import dataclass
from harness.plan import Plan

@dataclass(frozen=True)
class Config:
    epochs: int = 2
    '''Passes.'''

PLANS = {"smoke": Plan("?", {"a": Config()}, (0,), 0.1)}
"""
TRAINER = """
import torch
from .parts import rate

def train(config, seed, job):
    yield {"epoch": 1, "test_accuracy": 0.5}
    torch.ones(rate(config))
"""
PARTS = "def rate(config):\n    return config.rate\n"


def test_the_line_of_the_study_is_told_and_the_traceback_kept(tmp_path, monkeypatch, capsys):
    study = tmp_path / "ones_own"
    study.mkdir()
    files = {"__init__": "", "experiments": EXPERIMENTS, "trainer": TRAINER, "parts": PARTS}
    for name, text in files.items():
        (study / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    plans = importlib.import_module("ones_own.experiments").PLANS
    argv = ["smoke", "--jobs", "1", "--results", str(tmp_path / "r"), "--no-figures"]
    assert main(plans, "ones_own", None, argv) == 1
    (folder,) = (tmp_path / "r").rglob("seed-0")
    error = json.loads((folder / "run.json").read_text())["error"]
    assert error == "AttributeError: 'Config' object has no attribute 'rate' (parts.py, line 2)"
    said = capsys.readouterr().err
    assert f"failed: a seed 0: {error}\nthe whole traceback: {folder / 'traceback.txt'}\n" in said
    trace = (folder / "traceback.txt").read_text()
    assert "return config.rate" in trace
    assert "torch.ones(rate(config))" in trace
    monkeypatch.setattr(sys.modules["ones_own.trainer"], "rate", lambda config: 1)
    assert main(plans, "ones_own", None, argv) == 0
    assert not (folder / "traceback.txt").exists()
