"""The training loop of stacks: a generator of rows. It knows nothing of files, bars or plots.

`net` is a stack (harness.stack): input (members, batch, ...), output (members, batch, classes).
One seed alone is a stack of one. Members never mix: each has its own order of the data, its own
mean loss, and its own row: a member's curve does not depend on its companions beyond rounding.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from harness.data import Data
from harness.job import Job
from harness.seeding import order, seeded
from harness.train import graph as graphs
from harness.train.clock import Clock
from harness.train.compiled import Bill, Compiled
from harness.train.plateau import Plateau

Step = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
EVAL_CHUNK = 500  # samples of the test set at a time; a stack reads one chunk for all members


def fit(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: Data,
    *,
    seeds: Sequence[int],
    epochs: int,
    batch_size: int,
    job: Job,
    plateau: Plateau | None = None,
    step: Step | None = None,
    clock: Clock | None = None,
    graph: str = "auto",
    within: graphs.Within = nullcontext,
    compiled: bool = False,
) -> Iterator[list[dict[str, Any] | None]]:
    """Train, and yield one row per seed after each epoch.

    Args:
        net: A stack of len(seeds) members.
        optimizer: Over the parameters of net.
        data: Its training part is shuffled by (seed, epoch).
        seeds: One per member.
        epochs: To train in all, counting those of a checkpoint.
        batch_size: Samples per member and step; the last batch may be smaller.
        job: Where to go on from, and where progress is shown.
        plateau: Who cools down when, and ends; by default all train to the last epoch.
        step: Does one batch and returns the loss per member, eagerly; by default descend.
        clock: Measures what one unstacked member costs; adds its times to the rows.
        graph: Whether steps are replayed as a CUDA graph: "on", "off", or "auto" (on a card).
        within: Makes a context for what such a graph records (bibd.replayed).
        compiled: Whether the forward pass goes through torch.compile.

    A member whose loss is no longer finite gets a row with `failed`, which names the step; the
    others go on. A member that has ended gets None.
    """
    plateau = plateau or Plateau(len(seeds), epochs)
    take_step = Bill(_stepper(net, optimizer, data, step, graph, compiled, within), _device(data))
    parts: dict[str, Any] = {"net": net, "optimizer": optimizer, "plateau": plateau}
    for epoch in range(job.attach(**parts), epochs):
        ended = plateau.ended()
        if all(ended):
            return
        plateau.begin(epoch)
        begin = time.perf_counter()
        with seeded(seeds[0], "noise", epoch):
            losses = _epoch(net, take_step, plateau, data, seeds, epoch, batch_size, job)
        seconds = time.perf_counter() - begin
        test_loss, accuracy = evaluate(net, data.test_x, data.test_y, len(seeds))
        rows = [
            _row(epoch, losses[:, i], float(test_loss[i]), float(accuracy[i]))
            for i in range(len(seeds))
        ]
        plateau.end(_validate(net, data, rows))
        times = {"group_time": seconds, **(clock.read() if clock else {})}
        times |= take_step.row() if compiled else {}
        yield [None if done else row | times for done, row in zip(ended, rows, strict=True)]


def gradient_step(
    net: nn.Module, optimizer: torch.optim.Optimizer, plateau: Plateau | None = None
) -> Step:
    """Make a step that goes down the sum of losses: each member sees only its own.

    One optimizer has one rate, so the rate of a member is lowered through its loss. For SGD that is
    the same (but for the momentum of the last steps); Adam would not notice.
    """

    def step(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        rates = plateau.rates() if plateau else None
        return descend(net, optimizer, x, y, *([] if rates is None else [rates]))

    return step


def descend(net, optimizer, x: torch.Tensor, y: torch.Tensor, *rates: torch.Tensor) -> torch.Tensor:
    """Go down the sum of losses, each times its member's share of the rate if there are shares."""
    losses = member_losses(net(x), y)
    optimizer.zero_grad(set_to_none=True)
    (losses * rates[0].to(losses) if rates else losses).sum().backward()
    optimizer.step()
    return losses.detach()


def _stepper(net, optimizer, data: Data, step: Step | None, how: str, compiled: bool, within):
    """Return what makes a step from the numbers of its samples and the shares of the rate."""
    forward = Compiled(net) if compiled else net

    def one(index: torch.Tensor, *rates: torch.Tensor) -> torch.Tensor:
        x, y = take(data.train_x, index), take(data.train_y, index)
        return step(x, y) if step else descend(forward, optimizer, x, y, *rates)

    return one if step else graphs.stepper(one, how, _device(data), optimizer, within)


def _device(data: Data) -> str:
    return str(data.train_x.device)


def member_losses(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return each member's mean cross-entropy for logits (members, batch, classes)."""
    each = F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none")
    return each.view(y.shape).mean(1)


@torch.no_grad()
def evaluate(
    net: nn.Module, x: torch.Tensor, y: torch.Tensor, members: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean loss and the accuracy of each member over all samples."""
    net.eval()
    loss = torch.zeros(members, dtype=torch.float64)
    right = torch.zeros(members, dtype=torch.float64)
    for part, labels in zip(x.split(EVAL_CHUNK), y.split(EVAL_CHUNK), strict=True):
        logits = net(part.expand(members, *part.shape))
        same = labels.expand(members, len(labels))
        loss += member_losses(logits, same).double().cpu() * len(labels)
        right += (logits.argmax(-1) == same).sum(1).cpu()
    net.train()
    return loss / len(x), right / len(x)


def _validate(net: nn.Module, data: Data, rows: list[dict[str, Any]]) -> torch.Tensor | None:
    """Return each member's loss on the validation set if there is one, and add it to its row."""
    if data.validation_x is None or data.validation_y is None:
        return None
    losses, _ = evaluate(net, data.validation_x, data.validation_y, len(rows))
    for row, loss in zip(rows, losses.tolist(), strict=True):
        row["validation_loss"] = loss
    return losses


def _epoch(net, step, plateau: Plateau, data: Data, seeds, epoch: int, batch_size: int, job: Job):
    """Make one pass over the training set; returns the losses (steps, members)."""
    net.train()
    n, device = len(data.train_x), data.train_x.device
    steps = math.ceil(n / batch_size)
    orders = torch.stack([order(seed, epoch, n) for seed in seeds]).to(device)
    rates = plateau.rates()
    shares = [] if rates is None else [rates.to(device)]
    losses = []
    for k, index in enumerate(orders.split(batch_size, dim=1)):
        losses.append(step(index, *shares))
        job.progress = (k + 1) / steps
    return torch.stack(losses).cpu()


def take(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Return values[index]; a flat index_select is three times as fast as fancy indexing."""
    return values.index_select(0, index.reshape(-1)).view(*index.shape, *values.shape[1:])


def _row(epoch: int, losses: torch.Tensor, test_loss: float, accuracy: float) -> dict[str, Any]:
    row = {
        "epoch": epoch + 1,
        "train_loss": float(losses.double().mean()),
        "test_loss": test_loss,
        "test_accuracy": accuracy,
    }
    bad = (~losses.isfinite()).nonzero()
    if len(bad) or not math.isfinite(test_loss):
        step = int(bad[0]) + 1 if len(bad) else len(losses)
        value = float(losses[step - 1]) if len(bad) else test_loss
        row["failed"] = f"the loss became {value} at step {step} of epoch {epoch + 1}"
    return row
