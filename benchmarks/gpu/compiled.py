"""What `--compile` gives a step of a ResNet, eager and replayed, and the seconds that it costs.

A third of a minute of compiling is expected for 18 layers, which a plan of fifty epochs has to win
back. bfloat16; ResNet-50 comes last, since it may take longer than what is left of the part.
"""

import time
from functools import partial
from typing import Any

import torch

from benchmarks.gpu.beside import wait
from benchmarks.gpu.steps import Checks, arithmetic, each, made, spread
from harness.train import graph
from resnet.plans.config import Config
from resnet.plans.published import ORIGINAL, models

NETS = "ResNet-18", "B-ResNet-18", "ResNet-50"


def checks(device: str, small: bool) -> Checks:
    """One line a net."""
    size: dict[str, Any] = dict(width=8, batch_size=16) if small else {}
    nets = models(ORIGINAL)
    return [(name, partial(both, device, nets[name], "bf16 autocast", size)) for name in NETS]


def both(device: str, config: Config, precision: str, size: dict) -> dict[str, Any]:
    """Seconds until the first steps are made, then milliseconds of a step, eager and replayed."""
    found: dict[str, Any] = {}
    torch.compiler.reset()
    with arithmetic(precision):
        for way in ("eager", "graph"):
            wait(device)
            begin = time.perf_counter()
            step = made(device, config, precision, way, compile=True, **size)
            wait(device)
            found[f"{way} s"] = round(time.perf_counter() - begin, 2)
            found[f"{way} ms"] = spread(each(step, device))
            found[f"{way} step"] = graph.taken().get("step", "eager")
    assert device == "cpu" or found["graph step"] == "CUDA graph", found["graph step"]
    return found
