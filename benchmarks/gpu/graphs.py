"""Training whose steps are replayed as CUDA graphs, against eager training: equal to the bit.

Both run the trainers of the studies for two epochs, with a last batch that is smaller, under
kernels that sum in one order (cudnn.deterministic): without that, two eager runs in float32 differ
from each other as much as a replayed one does. (On an H100 three eager ones lay 0.0172 apart, and a
replayed one lay 0.0173 from the nearest.) Without a card there is a second eager run in the place
of the replayed one.
"""

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.gpu.steps import PRECISIONS, arithmetic
from harness.data import load
from harness.job import Job
from harness.train import graph
from harness.train.fit import fit
from resnet.plans.config import Config
from resnet.trainer import train

BASE = Config(data="synthetic_images", test_split="official", epochs=2, schedule="cosine")
TINY = dict(depth=10, width=8)
EXITS = dict(exits=(2, 3), head="pool", first=400, validation=200)
Checks = list[tuple[str, Callable[[], dict[str, Any]]]]


def checks(device: str, small: bool) -> Checks:
    """Patterns x types, exits, a run that goes on, stacks, and steps that cannot be recorded."""
    size = TINY | dict(first=200, batch_size=64) if small else {}
    found: Checks = []
    for pattern in ("dense", "iddl", "random")[: 1 if small else 3]:
        for precision in PRECISIONS[: 1 if small else 3]:
            config = replace(BASE, pattern=pattern, autocast=precision.startswith("bf16"), **size)
            call = partial(equal, device, config, precision)
            found.append((f"{pattern}, {precision}", call))
    for kind in ("joint", "frozen"):
        config = replace(BASE, exit_loss=kind, batch_size=64, **(EXITS | TINY))
        found.append((f"exits, {kind}", partial(equal, device, config, "float32")))
    found.append(("goes on after an epoch", partial(goes_on, device)))
    found.append(("stack with dropout", partial(stacked, device)))
    found.append(("a step that waits", partial(eager, device, waits, "waits for the device at")))
    found.append(("a capture that fails", partial(eager, device, fails, "captur")))
    return found


@contextmanager
def one_order() -> Iterator[None]:
    """Kernels of which each sums in one order, while inside."""
    before, torch.backends.cudnn.deterministic = torch.backends.cudnn.deterministic, True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before


def run(config: Config, job: Job) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
    """Rows without times, and weights."""
    rows = [
        {k: v for k, v in row.items() if not k.endswith("_time")} for row in train(config, 0, job)
    ]
    return rows, copy.deepcopy(job.parts["net"].state_dict())


def ways(device: str) -> tuple[str, str]:
    """An eager way, and one that is replayed where that is possible."""
    return "off", "on" if device == "cuda" else "off"


def equal(device: str, config: Config, precision: str) -> dict[str, Any]:
    """Two eager runs, then one that is replayed: rows and weights, to the bit."""
    first, second = ways(device)
    with arithmetic(precision), one_order():
        runs = [run(replace(config, graph=how), Job(device)) for how in (first, first)]
        graph.taken()
        runs.append(run(replace(config, graph=second), Job(device)))
    recorded(device)
    same(runs[0], runs[1], "two eager runs differ, so that nothing can be said of a graph")
    same(runs[0], runs[2], "the replayed run is another one")
    return {"losses": [row["train_loss"] for row in runs[2][0]]}


def recorded(device: str) -> None:
    """The last step was replayed, on a card."""
    said = graph.taken().get("step")
    assert said == ("CUDA graph" if device == "cuda" else None), f"steps were made so: {said}"


def same(one: Any, other: Any, words: str) -> None:
    """Rows and weights, to the bit.

    Raises:
        AssertionError: they differ; says where.
    """
    assert one[0] == other[0], f"{words}: {one[0]} and {other[0]}"
    bad = [name for name, value in one[1].items() if not torch.equal(value, other[1][name])]
    assert not bad, f"{words}: {len(bad)} tensors, first {bad[0]}"


def goes_on(device: str) -> dict[str, Any]:
    """A replayed run that is cut off after an epoch ends where a whole one does."""
    config = replace(BASE, graph=ways(device)[1], **(TINY | dict(first=800, batch_size=64)))
    with one_order():
        whole, first = run(config, Job(device)), Job(device)
        next(train(config, 0, first))
        saved = copy.deepcopy(first.state(1))
        rest = run(config, Job(device, saved=saved))
    same((whole[0][1:], whole[1]), rest, "the run that went on is another one")
    return {"losses": [row["train_loss"] for row in rest[0]]}


def stacked(device: str) -> dict[str, Any]:
    """Masks of dropout are drawn on the card: anew in each replay, as eager steps draw them."""
    found, data = [], load("synthetic", device=device)
    for how in ways(device):
        torch.manual_seed(0)
        layers = nn.Linear(64, 96), nn.ReLU(), nn.Dropout(0.5), nn.Linear(96, 10)
        net = nn.Sequential(*layers).to(device)
        members = Members(net)
        optimizer = torch.optim.SGD(members.parameters(), lr=0.1, momentum=0.9, fused=True)
        graph.taken()
        options: dict[str, Any] = dict(seeds=[0], epochs=2, batch_size=96, job=Job(device))
        rows = list(fit(members, optimizer, data, graph=how, **options))
        for (row,) in rows:
            row.pop("group_time")  # pyright: ignore
        found.append((rows, net.state_dict()))
    recorded(device)
    same(found[0], found[1], "replayed masks are others")
    return {"losses": [row["train_loss"] for (row,) in found[1][0]]}


class Members(nn.Module):
    """A stack of one."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Its only member reads the only slice."""
        return self.net(x[0])[None]


def waits(x: torch.Tensor) -> torch.Tensor:
    """A step that asks for a number."""
    return x * float(x.sum())


def fails(x: torch.Tensor) -> torch.Tensor:
    """A step that does while it is recorded what cannot be recorded."""
    if x.is_cuda and torch.cuda.is_current_stream_capturing():
        x.cpu()
    return nn.functional.dropout(x, 0.5)


def eager(device: str, step: graph.Step, why: str) -> dict[str, Any]:
    """What cannot be recorded runs eagerly, says why, and draws what it would have drawn."""
    take, found = graph.stepper(step, ways(device)[1], device), []
    for call in (step, take):
        torch.manual_seed(0)
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            found.append([call(torch.full((64,), float(k), device=device)) for k in range(8)])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True)), "other numbers"
    said = [str(one.message) for one in heard if "not as a CUDA graph" in str(one.message)]
    assert len(said) == (device == "cuda"), f"said {len(said)} times: {said}"
    assert all(why in text for text in said), said
    return {"said": said}
