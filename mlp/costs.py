"""`python -m mlp costs`: what each model costs, counted and measured (with the study's threads)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import tyro

from harness import cost
from harness.names import unknown
from harness.result import costs as table
from harness.result import export
from mlp.experiments import PLANS
from mlp.model import build

SHAPES = {"iris": (4, 3), "digits": (64, 10), "synthetic": (64, 10)}
SIDE = 28  # of the images of MNIST and Fashion-MNIST


@dataclass(frozen=True)
class Options(table.Options):
    """Connections, parameters, MACs, FLOPs, bytes and latency of each model of a plan."""

    plan: tyro.conf.Positional[str] = "paper"
    """Whose models."""


def main(argv: Sequence[str]) -> int:
    """Print what each model costs."""
    options = tyro.cli(Options, prog="python -m mlp costs", args=list(argv))
    if options.plan not in PLANS:
        raise unknown("plan", options.plan, PLANS)
    export.check(options.to)
    lines = costs(options.plan, options.mode, options.latency)
    table.show(f"mlp {options.plan}: costs", lines, options, millions=False)
    return 0


def costs(plan: str, mode: str = "true", measured: bool = True) -> list[dict[str, Any]]:
    """Return one object per model of the plan, with its costs."""
    lines = []
    torch.set_num_threads(PLANS[plan].threads or torch.get_num_threads())  # as in the study
    for name, config in PLANS[plan].arms.items():
        images = (SIDE + 2 * config.pad) ** 2, 10
        inputs, classes = SHAPES.get(config.data, images)
        model = build(config, inputs, classes, seed=0)
        total = cost.total(model, (inputs,))
        parameters = sum(p.numel() for p in model.parameters())
        biases = parameters - total.nonzeros
        line = table.line(name, model, total, mode, biases=biases)
        lines.append(line | (table.timed(model, (inputs,)) if measured else {}))
    return lines
