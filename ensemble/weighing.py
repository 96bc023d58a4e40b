"""Weighs a trained side: its scores by number of members, its reliability, and what it costs.

Times are CPU times of the side and of the one dense net in turn: of a training step, and of a call
at batch 1 and 128.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ensemble.account import row
from ensemble.calibrate import tempered
from ensemble.combine import pooled
from ensemble.members import Ensemble
from ensemble.plans.budget import Budget
from ensemble.scores.calibration import reliability
from ensemble.sides import Side, build
from ensemble.turns import turns
from harness import cost
from harness.data import Data

SIZES = (1, 2, 4, 8, 16, 22)
CALLS = {1: 200, 128: 30}  # batch size: calls
STEPS, ROUNDS = 16, 3  # of training, that are timed
BACKWARD = 3  # a training step has the multiply-adds of about three forward passes


def weighed(side: Side, data: Data) -> dict[str, Any]:
    """Return the scores of the first 1, 2, 4, ... members, and the reliability of all."""
    targets = {p: getattr(data, f"{p}_y") for p in ("test", "validation")}
    sizes = sorted({m for m in SIZES if m < side.members} | {side.members})
    rows = [{"members": m, **row(_first(side.logp, m), targets, None)} for m in sizes]
    answer, t = pooled(side.logp["test"]), rows[-1]["temperature"]
    after = {"raw": answer, "calibrated": tempered(answer, t)}
    found = {name: _bins(logp, data.test_y.cpu()) for name, logp in after.items()}
    whole = {k: v for k, v in rows[-1].items() if k != "members"}
    return {**whole, "sizes": rows, "reliability": found}


def _first(logp: dict[str, torch.Tensor], members: int) -> dict[str, torch.Tensor]:
    return {part: found[:members] for part, found in logp.items()}


def _bins(logp: torch.Tensor, y: torch.Tensor) -> list[list[float]]:
    """Return samples, confidence and accuracy of the bins that are not empty."""
    keys = ("samples", "confidence", "accuracy")
    found = [b for b in reliability(logp, y) if b["samples"]]
    return [[float(f"{b[k]:.6g}") for k in keys] for b in found]


def costs(config: Budget, data: Data) -> dict[str, Any]:
    """Return connections and multiply-adds of all members together, of inference and training."""
    found = [cost.facts(net, data.shape) for net in build(config, data, 0)]
    whole = {k: sum(one[k] for one in found) for k in found[0]}
    train = BACKWARD * whole["macs"] * len(data.train_y) * config.epochs
    return {**whole, "train_macs": train}


def times(side: Side, data: Data) -> dict[str, float]:
    """Return milliseconds of a training step and of a call, beside those of the dense net."""
    config = side.config
    few = replace(data, train_x=data.train_x[: STEPS * config.batch_size],
                  train_y=data.train_y[: STEPS * config.batch_size])  # fmt: skip
    plain = Side(Budget(data=config.data, epochs=1), few, 0)
    found = _steps(Side(replace(config, epochs=1), few, 0), plain)
    sides: dict[str, Callable] = {"": _call(side), "dense_": plain.nets[0].eval()}
    for batch, calls in CALLS.items():
        for name, told in turns(sides, data.test_x, batch, calls).items():
            found[f"{name}call_{batch}"] = told["cpu"]
    return {k: float(f"{v:.4g}") for k, v in found.items()}


def _call(side: Side) -> nn.Module:
    if side.config.designs == "packed" or side.members == 1:
        return side.nets[0].eval()
    return Ensemble(side.nets).eval()


def _steps(side: Side, plain: Side) -> dict[str, float]:
    """Return the least CPU time of a step over some rounds, of both in turn."""
    best = {"step": float("inf"), "dense_step": float("inf")}
    for _ in range(ROUNDS):
        for name, each in zip(best, (side, plain), strict=True):
            begin = time.process_time()
            each.run()
            spent = 1e3 * (time.process_time() - begin) / each.group.steps
            best[name] = min(best[name], spent)
    return best
