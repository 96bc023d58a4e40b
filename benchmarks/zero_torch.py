"""`python -m benchmarks.zero_torch`: what a rank holds and sends under ZeRO, by us and by torch.

An MLP 784-1001-1001-10, Adam, float32, in processes. Held are the bytes of parameters, gradients
and optimizer state after a step, each piece of memory once: of the rank that holds most of all, and
of the one that holds least. Sent are those that the loopback counted, by rank and step, so that
nothing else may use it; a network namespace has one of its own:

    unshare -rn sh -c "ip link set lo up && exec python -m benchmarks.zero_torch"
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
import tyro
from torch import nn

from benchmarks.parallel_worlds import numbers
from benchmarks.telling import told
from harness.nets.perceptron import mlp
from harness.record.provenance import collect
from parallel import executors
from parallel.identities.by_torch import KINDS, Made, missing
from parallel.strategy import make
from parallel.strategy.zero import Held, held
from parallel.training.training import Training
from parallel.world.comm import Comm
from parallel.world.run import run
from parallel.world.traffic import traffic_out
from parallel.world.world import World
from parallel.zero.meter import stored

WIDTHS, BATCH = (784, 1001, 1001, 10), 32
WARM, STEPS = 2, 10  # steps before the counter is read, and between
ADAM = partial(torch.optim.Adam, lr=1e-3)
STAGES = {"all_reduce": 0, "zero1": 1, "zero2": 2, "zero3": 3}
THEIRS: dict[str, tuple[int, Callable[..., Made]]] = {
    "DDP": (0, KINDS["ddp"]),
    "ZeroRedundancyOptimizer": (1, KINDS["zero_redundancy"]),
    "fully_shard(reshard_after_forward=False)": (2, partial(KINDS["fully_shard"], between=False)),
    "fully_shard": (3, KINDS["fully_shard"]),
}
Counted = dict[str, list[float]]  # bytes of each rank


@dataclass(frozen=True)
class Options:
    """What a rank holds and sends under ZeRO, by us and by torch."""

    ranks: tuple[int, ...] = (2, 4)
    """How many ranks."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the record there."""
    json: bool = False
    """Print one JSON document and nothing else."""


def ours(comm: Comm, name: str) -> Iterator[Counted]:
    """Train in this process by a strategy; yield what all ranks hold and send."""
    data = numbers(WIDTHS, BATCH * comm.workers)
    words: Any = partial(_net, WIDTHS), data, F.cross_entropy, ADAM, make(name), comm
    training = Training(*words, batch_size=BATCH * comm.workers, seed=0)

    def look() -> Held:
        if name != "all_reduce":
            return Held(**executors.held(training.executor)["held_rest"])
        members = training.members
        return _held(members.leaves(), training.executor.optimizer)

    yield _counted(comm, training.step, look)


def theirs(comm: Comm, name: str) -> Iterator[Counted]:
    """Train in this process by one of torch's classes; yield what all ranks hold and send."""
    data = numbers(WIDTHS, BATCH)
    model, optimizer = THEIRS[name][1](_net(WIDTHS), ADAM)
    loss: Any = F.cross_entropy

    def step() -> None:
        optimizer.zero_grad()
        loss(model(data.train_x), data.train_y).backward()
        optimizer.step()

    own = getattr(optimizer, "optim", optimizer)  # (that of ZeroRedundancyOptimizer's part)
    yield _counted(comm, step, lambda: _held(list(model.parameters()), own))


def _net(widths: tuple[int, ...], rank: int = 0) -> nn.Module:
    return mlp(widths, 0)


def _held(params: list[Any], optimizer: torch.optim.Optimizer) -> Held:
    """Return the bytes of memory behind parameters, gradients and state (but counts of steps)."""
    state = (
        v
        for own in optimizer.state.values()
        for k, v in own.items()
        if k != "step" and isinstance(v, torch.Tensor)
    )
    kinds = params, [p.grad for p in params if p.grad is not None], state
    return Held(*(stored(_local(v.detach()) for v in kind) for kind in kinds))


def _local(value: Any) -> torch.Tensor:
    return value.to_local() if hasattr(value, "to_local") else value


def _counted(comm: Comm, step: Callable[[], Any], look: Callable[[], Held]) -> Counted:
    for _ in range(WARM):
        step()
    comm.agree(0, 0, now=True)
    begin = traffic_out()
    for _ in range(STEPS):
        step()
    comm.agree(0, 0, now=True)
    sent = (traffic_out(begin) or 0) / STEPS / comm.workers
    found = {k: comm.everyone(v) for k, v in asdict(look()).items()}
    return found | {"sent": [sent]}


def line(task: Callable[..., Iterator[Counted]], name: str, stage: int, n: int) -> dict[str, Any]:
    """Return what the ranks that hold most and least hold, and what a rank sends, by formula too.

    M are the bytes of the weights.
    """
    (found,) = run(World.procs(n, threads=1, timeout=60), task, name)
    kinds = list(asdict(Held(0, 0, 0)))
    total = [sum(found[k][r] for k in kinds) for r in range(n)]
    most, least = total.index(max(total)), total.index(min(total))
    size = sum(a * b + b for a, b in pairwise(WIDTHS))
    strategy = make(list(STAGES)[stage])
    strategy.init(n)
    return {
        "name": name,
        "ranks": n,
        **{k: found[k][most] for k in kinds},
        "held": total[most],
        "least": total[least],
        "formula": held(stage, size, n, Held(4, 4, 8)).total,
        "sent": found["sent"][0],
        "sent_formula": strategy.theory(4 * size),
        "model": 4.0 * size,
    }


def lines(n: int) -> Iterator[dict[str, Any]]:
    """Yield ours and theirs, stage by stage."""
    for (name, stage), (other, (_, _)) in zip(STAGES.items(), THEIRS.items(), strict=True):
        yield line(ours, name, stage, n)
        if not other.startswith("fully_shard") or not missing("fully_shard"):
            yield line(theirs, other, stage, n)


def main() -> int:
    """Measure, print, and write the record if asked to."""
    options = tyro.cli(Options, prog="python -m benchmarks.zero_torch")
    found = [one for n in options.ranks for one in lines(n)]
    document: dict[str, Any] = {"lines": found, "provenance": collect()}
    return told(options, document, ["lines"])


if __name__ == "__main__":
    raise SystemExit(main())
