"""`python -m benchmarks.ensembles`: members in a loop, as a stack, and through `Ensemble`.

cases      a training step or an answer of all members, the sides in turn, round by round:
           loop       each member by itself, as one alone is trained: its loss, its optimizer
           at_once    the same members in a loop, one loss and one optimizer for all of them
           stack      harness.stack, with an optimizer for its parameters
           ensemble   `Ensemble`, which chooses by measurement, with an optimizer for its leaves
           (answers: at_once is the loop whose answers are put together, as the others' are)
overhead   what `Ensemble` adds to one member, microseconds a call

All sides have the same class of optimizer, and all but the loop the same loss, in the form that is
fastest. Ratios are medians over the rounds of CPU time in one thread; wall time stands beside it.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Annotated, Any, NamedTuple

import torch
import torch.nn.functional as F
import tyro
from torch import nn
from torchvision.models import resnet18

from benchmarks.telling import told
from bibd import BibdLinear
from ensemble import Ensemble
from harness.record.provenance import collect
from harness.stack import stack
from harness.sweep.launch import keep_pages

SGD = partial(torch.optim.SGD, lr=0.001, momentum=0.9)
TURN = 0.03  # seconds of a side, at least, in a round
Call = Callable[[torch.Tensor], torch.Tensor]
SIDES = ("loop", "at_once", "stack", "ensemble")


@dataclass(frozen=True)
class Options:
    """Members in a loop, as a stack and through Ensemble, in one run."""

    rounds: int = 9
    """Of each side, in turn."""
    only: str = ""
    """Cases whose name has this in it."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the record there."""
    json: bool = False
    """Print one JSON document and nothing else."""


class Case(NamedTuple):
    """So many members of a net, inputs of this shape, a batch, and whether they are trained."""

    net: Callable[[], nn.Module]
    members: int
    shape: tuple[int, ...]
    batch: int
    train: bool


def dense(*widths: int) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    layers = [m for a, b in pairwise(widths[:-1]) for m in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


def sparse(*widths: int) -> nn.Sequential:
    """The same with designs of its own in all layers but the last."""
    layers: list[nn.Module] = []
    for a, b in pairwise(widths[:-1]):
        layers += [BibdLinear(a, b, seed=int(torch.randint(2**31, ()))), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


def convolutions() -> nn.Sequential:
    """Three convolutions on 16 x 16 pixels, without batch norm."""
    layers = [
        m for a, b in ((3, 8), (8, 16), (16, 16)) for m in (nn.Conv2d(a, b, 3, 2, 1), nn.ReLU())
    ]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 10))


NETS: dict[str, tuple[Callable[[], nn.Module], int, tuple[int, ...]]] = {
    "784-10": (partial(dense, 784, 10), 9, (784,)),
    "64-64-64-10": (partial(dense, 64, 64, 64, 10), 16, (64,)),
    "784-49-56-10": (partial(dense, 784, 49, 56, 10), 16, (784,)),
    "784-300-100-10": (partial(dense, 784, 300, 100, 10), 16, (784,)),
    "bibd 784-49-56-10": (partial(sparse, 784, 49, 56, 10), 22, (784,)),
    "bibd 1024-256-272-10": (partial(sparse, 1024, 256, 272, 10), 10, (1024,)),
    "3 convolutions": (convolutions, 4, (3, 16, 16)),
    "ResNet-18": (partial(resnet18, num_classes=10), 2, (3, 32, 32)),
}
BATCHES = {"784-10": (1, 32, 128), "ResNet-18": (4,)}


def cases(only: str) -> dict[str, Case]:
    """All cases by name: each net trained and asked, at each of its batch sizes."""
    found = {}
    for name, (net, members, shape) in NETS.items():
        for batch in BATCHES.get(name, (32,)):
            for train in (True, False):
                words = f"{members} x {name}, batch {batch}, {'training' if train else 'answers'}"
                found[words] = Case(net, members, shape, batch, train)
    return {words: case for words, case in found.items() if only in words}


def sides(case: Case) -> dict[str, Callable[[], Any]]:
    """One call of each side, on members that start alike."""
    torch.manual_seed(0)
    nets = [case.net() for _ in range(case.members)]
    x = torch.randn(case.batch, *case.shape)
    y = torch.randint(10, (case.batch,))
    loop, once = (nn.ModuleList(copy.deepcopy(nets)).train(case.train) for _ in range(2))
    one = stack(copy.deepcopy(nets)).train(case.train)
    whole = Ensemble(nets).train(case.train)
    members = case.members
    asked: dict[str, tuple[Call, Any]] = {
        "at_once": (lambda x: torch.stack([net(x) for net in once]), once.parameters),
        "stack": (lambda x: one(x.expand(members, *x.shape)), one.parameters),
        "ensemble": (whole.members, lambda: whole.leaves(x)),
    }
    if not case.train:
        found = {side: answer(call, x) for side, (call, _) in asked.items()}
        return {"loop": found["at_once"], **found}
    steps = [step(net, SGD(net.parameters()), x, y) for net in loop]
    targets = y.expand(members, -1).contiguous()
    found = {
        side: step(lambda x, call=call: call(x).mT, SGD(leaves()), x, targets)
        for side, (call, leaves) in asked.items()
    }
    return {"loop": lambda: [each() for each in steps], **found}


def step(
    call: Call, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor
) -> Callable[[], Any]:
    """A training step; answers with their classes on the second axis, as cross entropy has them."""

    def once() -> None:
        optimizer.zero_grad()
        F.cross_entropy(call(x), y).backward()
        optimizer.step()

    return once


def answer(call: Call, x: torch.Tensor) -> Callable[[], Any]:
    """The answers of all members, without gradients."""

    @torch.no_grad()
    def once() -> None:
        call(x)

    return once


Times = dict[str, list[tuple[float, float]]]


def in_turn(calls: dict[str, Callable[[], Any]], rounds: int) -> Times:
    """CPU and wall seconds of a call, for each side and round."""
    counts = {side: max(1, round(TURN / timed(call, 1)[1])) for side, call in calls.items()}
    for side, call in calls.items():  # (the first call built and chose)
        counts[side] = max(1, round(TURN / timed(call, 1)[1]))
    times: Times = {side: [] for side in calls}
    for _ in range(rounds):
        for side, call in calls.items():
            times[side].append(timed(call, counts[side]))
    return times


def timed(call: Callable[[], Any], times: int) -> tuple[float, float]:
    """CPU and wall seconds of a call."""
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(times):
        call()
    return (time.process_time() - cpu) / times, (time.perf_counter() - wall) / times


def ratio(times: Times, above: str, below: str) -> float:
    """The median over rounds of one side's CPU time over another's in the same round."""
    return median(a[0] / b[0] for a, b in zip(times[above], times[below], strict=True))


def line(name: str, case: Case, rounds: int) -> dict[str, Any]:
    """One object: what the sides took, and how they compare."""
    calls = sides(case)
    times = in_turn(calls, rounds)
    found: dict[str, Any] = {"name": name}
    found |= {f"{side}_ms": 1e3 * median(t[0] for t in times[side]) for side in SIDES}
    found |= {f"{side}_wall_ms": 1e3 * median(t[1] for t in times[side]) for side in SIDES}
    found["stack_gain"] = ratio(times, "loop", "stack")
    found["stack_gain_at_once"] = ratio(times, "at_once", "stack")
    found["ensemble_gain"] = ratio(times, "loop", "ensemble")
    best = {side: min(t[0] for t in times[side]) for side in SIDES}
    rivals = [side for side in SIDES if side != "ensemble"]
    found["better"] = min(rivals, key=lambda side: median(t[0] for t in times[side]))
    found["over_better"] = ratio(times, "ensemble", found["better"]) - 1
    found["over_better_at_best"] = best["ensemble"] / min(best[side] for side in rivals) - 1
    return found


def overhead(rounds: int) -> list[dict[str, Any]]:
    """What Ensemble adds to one member: microseconds a call, medians of rounds."""
    lines = []
    for name, net in (("784-10", dense(784, 10)), ("64-64-64-10", dense(64, 64, 64, 10))):
        x, one = torch.randn(32, 64 if name.startswith("64") else 784), Ensemble([net]).eval()
        calls = {
            "member": answer(lambda x, net=net: torch.log_softmax(net(x), -1), x),
            "ensemble": answer(one, x),
        }
        times = in_turn(calls, 3 * rounds)
        rows = list(zip(times["ensemble"], times["member"], strict=True))
        lines.append(
            {
                "name": f"1 x {name}, batch 32, answers",
                "member_us": 1e6 * median(t[0] for t in times["member"]),
                "over_us": 1e6 * median(a[0] - b[0] for a, b in rows),
                "over_wall_us": 1e6 * median(a[1] - b[1] for a, b in rows),
            }
        )
    return lines


def main() -> int:
    """Run the benchmark."""
    options = tyro.cli(Options, prog="python -m benchmarks.ensembles")
    torch.set_num_threads(1)
    keep_pages()  # (else a side pays by chance, for where the heap ends, as much as it computes)
    document: dict[str, Any] = {
        "cases": [line(n, case, options.rounds) for n, case in cases(options.only).items()],
        "overhead": overhead(options.rounds),
        "rounds": options.rounds,
        "provenance": collect(),
    }
    return told(options, document, ("cases", "overhead"))


if __name__ == "__main__":
    raise SystemExit(main())
