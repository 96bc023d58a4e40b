"""What `--compile` gives a step of ResNet-18, eager and replayed, and the seconds that it costs.

Compiling the deeper nets may take longer than this part may: a third of a minute is expected for 18
layers, which a plan of fifty epochs has to win back. bfloat16, and dense in TF32.
"""

import time
from functools import partial
from typing import Any

import torch

from benchmarks.gpu.beside import wait
from benchmarks.gpu.steps import Checks, arithmetic, each, made, spread
from resnet.plans.config import Config
from resnet.plans.published import ORIGINAL, models


def checks(device: str, small: bool) -> Checks:
    """One line a net."""
    size: dict[str, Any] = dict(width=8, batch_size=16) if small else {}
    nets = {name: (config, "bf16 autocast") for name, config in models(ORIGINAL, (18,)).items()}
    nets["ResNet-18, tf32"] = nets["ResNet-18"][0], "tf32"
    return [
        (name, partial(both, device, config, precision, size))
        for name, (config, precision) in nets.items()
    ]


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
    return found
