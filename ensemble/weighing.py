"""Weighs a trained side: its scores by number of members, its reliability, and what it costs.

Times are CPU times of the side and of the one dense net in turn: of a training step, and of a call
at batch 1 and 128.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from math import ceil
from typing import Any

import torch
from torch import nn

from ensemble import compressed
from ensemble.account import row
from ensemble.calibrate import tempered
from ensemble.combine import pooled
from ensemble.members import Ensemble
from ensemble.nets import build
from ensemble.plans.budget import Budget
from ensemble.scores.calibration import reliability
from ensemble.sides import Side
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
    nets = build(config, data, 0)
    used = nets
    if config.designs == "pruned":  # (all members cost the same; one is enough to be sketched)
        used = [compressed.sketch(config, nets[0])] * len(nets)
    whole = _sum([cost.facts(net, data.shape) for net in used])
    return {**whole, "train_macs": train_macs(config, data, nets, whole["macs"])}


def _sum(found: list[dict[str, int]]) -> dict[str, int]:
    return {k: sum(one[k] for one in found) for k in found[0]}


def train_macs(config: Budget, data: Data, nets: list[nn.Module], macs: int) -> int:
    """Return the multiply-adds of a whole training.

    Pruned members are trained as what they were built as, dense nets. A change of connections
    (RigL) needs the gradient of the dense weights in the place of that of the sparse ones.

    Args:
        config: How nets are trained.
        data: What they learn.
        nets: Which, as they are built.
        macs: Of all of them for one sample, as they are used.
    """
    built = macs
    if config.designs == "pruned":
        built = sum(cost.total(net, data.shape).macs for net in nets)
    samples = len(data.train_y)
    found = BACKWARD * built * samples * config.epochs
    if config.designs == "rigl":
        steps = ceil(samples / config.batch_size) * config.epochs
        dense = build(replace(config, designs="dense", connections=0, members=1), data, 0)
        more = config.members * cost.total(dense[0], data.shape).macs - macs
        found += config.changes(steps) * config.batch_size * more
    return found


def times(side: Side, data: Data) -> dict[str, float]:
    """Return milliseconds of a training step and of a call, beside those of the dense net."""
    config = side.config
    few = replace(data, train_x=data.train_x[: STEPS * config.batch_size],
                  train_y=data.train_y[: STEPS * config.batch_size])  # fmt: skip
    plain = Side(Budget(data=config.data, epochs=1), few, 0)
    found = _steps(Side(replace(config, epochs=1), few, 0), plain)
    if config.alone:
        found["step"] += _changes(config, few, found["step"])
    sides: dict[str, Callable] = {"": _call(side), "dense_": plain.nets[0].eval()}
    for batch, calls in CALLS.items():
        for name, told in turns(sides, data.test_x, batch, calls).items():
            found[f"{name}call_{batch}"] = told["cpu"]
    return {k: float(f"{v:.4g}") for k, v in found.items()}


def _call(side: Side) -> nn.Module:
    nets = side.finished()
    return (nets[0] if len(nets) == 1 else Ensemble(nets)).eval()


def _steps(side: Side, plain: Side) -> dict[str, float]:
    """Return the least CPU time of a step over some rounds, of both in turn."""
    best = {"step": float("inf"), "dense_step": float("inf")}
    for _ in range(ROUNDS):
        for name, each in zip(best, (side, plain), strict=True):
            best[name] = min(best[name], _run(each) / each.steps)
    return best


def _run(side: Side) -> float:
    """Return the CPU milliseconds of a pass."""
    begin = time.process_time()
    side.run()
    return 1e3 * (time.process_time() - begin)


def _changes(config: Budget, few: Data, step: float) -> float:
    """Return what changes of connections add to a step, in the mean: those of a run full of them.

    A change that takes the place of an update adds what it costs beyond one.
    """
    often = replace(config, epochs=1, every=1, until=1.0)
    sides = [Side(often, few, 0) for _ in range(ROUNDS)]
    steps = sides[0].steps
    more = min(_run(side) for side in sides) - steps * step
    return max(0.0, more) / often.changes(steps) * config.until / config.every
