"""`python -m mlp costs`: what each model costs, counted and measured (with the study's threads)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import tyro

from harness import cost
from harness.names import unknown
from harness.result import table
from mlp.experiments import PLANS
from mlp.model import build

SHAPES = {"iris": (4, 3), "digits": (64, 10), "synthetic": (64, 10)}
SIDE = 28  # of the images of MNIST and Fashion-MNIST


@dataclass(frozen=True)
class Options:
    """Connections, parameters, MACs, FLOPs, bytes and latency of each model of a plan."""

    plan: tyro.conf.Positional[str] = "paper"
    """Whose models."""
    mode: Literal["true", "iddl"] = "true"
    """true: 2 per multiply-add, plus biases and norms; iddl: as the original study counted."""
    latency: bool = True
    """Measure a forward pass at batch 1 and 128."""
    json: bool = False
    """Print a list of objects, one per model."""


def main(argv: Sequence[str]) -> int:
    """Run the verb."""
    options = tyro.cli(Options, prog="python -m mlp costs", args=list(argv))
    if options.plan not in PLANS:
        raise unknown("plan", options.plan, PLANS)
    lines = costs(options.plan, options.mode, options.latency)
    if options.json:
        print(json.dumps(lines))
        return 0
    heads = ["model", "connections", "parameters", "biases", "MACs", "FLOPs", "bytes"]
    heads += ["batch 1, us", "batch 128, us"] if options.latency else []
    rows = [[_text(value) for value in line.values()] for line in lines]
    table.show(f"mlp {options.plan}: costs (FLOPs mode {options.mode})", heads, rows)
    return 0


def costs(plan: str, mode: str = "true", measured: bool = True) -> list[dict[str, Any]]:
    """One object per model."""
    lines = []
    torch.set_num_threads(PLANS[plan].threads or torch.get_num_threads())  # as in the study
    for name, config in PLANS[plan].arms.items():
        images = (SIDE + 2 * config.pad) ** 2, 10
        inputs, classes = SHAPES.get(config.data, images)
        model = build(config, inputs, classes, seed=0)
        total = cost.total(model, (inputs,))
        parameters = sum(p.numel() for p in model.parameters())
        line: dict[str, Any] = {
            "name": name,
            "connections": total.nonzeros,
            "parameters": parameters,
            "biases": parameters - total.nonzeros,
            "macs": total.macs,
            "flops": total.flops(mode),
            "bytes": total.bytes,
        }
        if measured:
            line["latency_1_us"] = 1e6 * cost.latency(model, (inputs,), 1)
            line["latency_128_us"] = 1e6 * cost.latency(model, (inputs,), 128)
        lines.append(line)
    return lines


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1f}"
    return f"{value:,}" if isinstance(value, int) else value
