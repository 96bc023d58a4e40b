"""Trains one config with one seed, and yields a row per epoch."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from bibd import kernels, replayed
from harness import cost
from harness.cost import synchronize
from harness.data import Data, load
from harness.data.pictures import Batches, images
from harness.exits import EarlyExit, losses
from harness.job import Job
from harness.seeding import order, seeded
from harness.train import arithmetic, graph
from harness.train.arithmetic import float32
from harness.train.compiled import Bill, Compiled
from harness.train.faults import told
from resnet import facts
from resnet.model import resnet
from resnet.plans.config import Config

CHUNK = 250  # images of the test set at a time
RISE = 0.05  # share of a cosine schedule in which the rate goes up


def train(config: Config, seed: int, job: Job | None = None) -> Iterator[dict[str, Any]]:
    """Train one seed; yields one row per epoch."""
    job = job or Job()
    with memory(config), float32(config.tf32, job.device):
        yield from _trained(config, seed, job)


def _trained(config: Config, seed: int, job: Job) -> Iterator[dict[str, Any]]:
    data = read(config, job)
    check_last_batch(config, data)
    lay = layout(config, job.device)
    net = build(config, data, seed).to(job.device).to(memory_format=lay)  # pyright: ignore
    optimizer = make_optimizer(config, net)
    batches = Batches(data, config.augment, seed, lay)
    test, held = images(data.test_x, data, lay), _held_out(data, lay)
    begun = job.attach(net=net, optimizer=optimizer)
    take = Bill(stepper(config, net, optimizer, batches), job.device)
    lr = graph.Rate(optimizer, job.device)
    for epoch in range(begun, config.epochs):
        begin = time.perf_counter()
        with seeded(seed, "noise", epoch):
            net.train()
            found = _epoch(config, take, lr, batches, epoch, job)
        synchronize(test.device)
        middle = time.perf_counter()
        row = _row(epoch, found, evaluate(net, test, data.test_y, config.autocast))
        synchronize(test.device)
        row |= {"train_time": middle - begin, "inference_time": time.perf_counter() - middle}
        row |= take.row() if config.compile else {}
        if epoch + 1 == config.epochs and isinstance(net, EarlyExit) and "failed" not in row:
            with half(config, test.device):
                row["exits"] = facts.exits(net, held, (test, data.test_y))
        yield row


def paths() -> dict[str, str]:
    """Return the ways to compute that were taken since: of sparse layers, and of steps on a card.

    (For the runner: into the provenance of an arm.)
    """
    return kernels.paths() | graph.taken() | arithmetic.taken()


def layout(config: Config, device: str) -> torch.memory_format:
    """Return channels last as memory format, but for what the native CPU kernels read."""
    native = config.pattern != "dense" and device == "cpu"
    return torch.contiguous_format if native else torch.channels_last


def _held_out(data: Data, lay: torch.memory_format) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the images on which thresholds are fitted; none if none were set aside."""
    if data.validation_x is None or data.validation_y is None:
        return data.test_x[:0], data.test_y[:0]
    return images(data.validation_x, data, lay), data.validation_y


def build(config: Config, data: Data, seed: int) -> nn.Module:
    """Build the model of a config for this data."""
    return resnet(
        config.depth,
        config.pattern,
        config.groups,
        config.exits,
        width=config.width,
        classes=data.classes,
        shape=data.shape,  # pyright: ignore
        preact=config.preact,
        sparse_shortcuts=config.sparse_shortcuts,
        classifier=config.classifier,
        head=config.head,
        criterion=config.criterion,
        match=config.match,
        relabel=config.relabel,
        init=config.init,
        seed=seed,
    )


def make_optimizer(config: Config, net: nn.Module) -> torch.optim.SGD:
    """Make SGD; heads of a frozen trunk learn without momentum and decay.

    The original study did it so.
    """
    groups: list[dict[str, Any]] = [{"params": list(net.parameters())}]
    if isinstance(net, EarlyExit) and config.exit_loss == "frozen":
        groups = [
            {"params": list(net.net.parameters())},
            {"params": list(net.heads.parameters()), "momentum": 0.0, "weight_decay": 0.0},
        ]
    options = dict(lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay)
    return torch.optim.SGD(groups, **options, fused=True)  # pyright: ignore


def rate(config: Config, step: int, steps: int) -> float:
    """Return the learning rate of this step (counted from 0) of so many in all."""
    if config.schedule == "constant":
        return config.lr
    rise = RISE * steps
    if step < rise:
        return config.lr * (step + 1) / (rise + 1)
    return config.lr * 0.5 * (1 + math.cos(math.pi * (step - rise) / (steps - rise)))


def _epoch(config, take, lr: graph.Rate, batches: Batches, epoch: int, job: Job) -> torch.Tensor:
    """Make one pass over the training set; returns the losses (steps, exits).

    The losses are weighted by the batches' sizes.
    """
    batches.begin(epoch)
    samples = order(batches.seed, epoch, len(batches.labels)).to(batches.labels.device)
    parts = samples.split(config.batch_size)
    found = []
    for k, index in enumerate(parts):
        lr.set(rate(config, epoch * len(parts) + k, config.epochs * len(parts)))
        found.append(take(index) * (len(index) / len(samples)))
        job.progress = (k + 1) / len(parts)
    return torch.stack(found).cpu()


def stepper(config: Config, net, optimizer, batches: Batches) -> graph.Step:
    """Return what makes a step from the numbers of its samples, as the config wants it.

    On a card all of it is replayed: gather, augment, forward, losses, backward, SGD.
    """
    answer: Callable[[torch.Tensor], list[torch.Tensor]] = partial(answers, config, net)
    if config.compile:
        answer = Compiled(answer)

    def one(index: torch.Tensor) -> torch.Tensor:
        return step(config, answer, optimizer, *batches.draw(index))

    return graph.stepper(one, config.graph, str(batches.labels.device), within=replayed)


def answers(config: Config, net: Any, x: torch.Tensor) -> list[torch.Tensor]:
    """Return the logits of each exit that trains."""
    if isinstance(net, EarlyExit):
        return net.forward_exits(x, frozen=not joint(config))
    return [net(x)]


def joint(config: Config) -> bool:
    """Return whether all exits train the stages."""
    return config.exit_loss == "joint"


def step(config: Config, answer, optimizer, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Make one step of the optimizer; returns the loss of each exit, given what answers."""
    with half(config, x.device):
        each = losses(answer(x), y)
    early = each.new_full((len(each) - 1,), config.exit_weight if joint(config) else 1.0)
    weights = torch.cat(
        [early, each.new_ones(1)]
    )  # (in old releases weights[-1] = 1 waits for a card)
    optimizer.zero_grad(set_to_none=True)
    (each * weights).sum().backward()
    optimizer.step()
    return each.detach()


def half(config: Config, device: torch.device) -> torch.autocast:
    """Return an autocast to bfloat16, which is on if the config wants it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=config.autocast)


@torch.no_grad()
def evaluate(
    net: nn.Module, x: torch.Tensor, y: torch.Tensor, autocast: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean loss and accuracy of each exit over all samples."""
    net.eval()
    loss = right = torch.zeros(())
    for part, labels in zip(x.split(CHUNK), y.split(CHUNK), strict=True):
        with torch.autocast(x.device.type, torch.bfloat16, enabled=autocast):
            outputs = net.forward_exits(part)  # pyright: ignore
        logits = torch.stack(outputs).double()
        same = labels.expand(len(logits), -1)
        each = F.cross_entropy(logits.flatten(0, 1), same.flatten(), reduction="none")
        loss = loss + each.view(same.shape).sum(1).cpu()
        right = right + (logits.argmax(-1) == same).sum(1).double().cpu()
    return loss / len(x), right / len(x)


def _row(epoch: int, found: torch.Tensor, tested: tuple[torch.Tensor, torch.Tensor]) -> dict:
    trained, (test, accuracy) = found.double().sum(0), tested
    row: dict[str, Any] = {
        "epoch": epoch + 1,
        "train_loss": float(trained[-1]),
        "test_loss": float(test[-1]),
        "test_accuracy": float(accuracy[-1]),
    }
    if len(trained) > 1:
        row["exit_train_loss"] = trained.tolist()
        row["exit_loss"], row["exit_accuracy"] = test.tolist(), accuracy.tolist()
    bad = (~found.isfinite().all(1)).nonzero()
    if len(bad) or not test.isfinite().all():
        step = int(bad[0]) + 1 if len(bad) else len(found)
        row["failed"] = f"the loss became NaN or infinite at step {step} of epoch {epoch + 1}"
    return row


def memory(config: Config) -> AbstractContextManager[None]:
    """Turn an error for lack of memory, or of a card that is gone, into words that help."""
    return told(
        f"batch_size={config.batch_size}, depth {config.depth}, width {config.width}",
        "lower --batch-size first, then --width; --autocast halves activations",
    )


def check_last_batch(config: Config, data: Data) -> None:
    """Refuse data whose last batch would be a single sample.

    Raises:
        ValueError: says which batch size would do.
    """
    n = len(data.train_y)
    if n % config.batch_size == 1:
        fits = next(b for b in range(config.batch_size + 1, n + 2) if n % b != 1)
        raise ValueError(
            f"{n} training images in batches of {config.batch_size} leave a last batch of one, and "
            f"batch norms compare samples: choose --batch-size {fits}"
        )


def check(config: Config, job: Job) -> None:
    """Refuse what cannot train, before anything does.

    Raises:
        ValueError: says what does not fit.
    """
    data = read(config, job)
    check_last_batch(config, data)
    build(config, data, seed=0)


def describe(config: Config, job: Job) -> dict[str, Any]:
    """Return costs of the model, its patterns' labels, and what its test numbers stand on."""
    data = read(config, job)
    model = build(config, data, seed=0)
    found = {**cost.facts(model, data.shape), "split": data.split, "labels": facts.labels(model)}
    if isinstance(model, EarlyExit):
        found["exit_macs"] = [c.macs for c in model.costs()]
        found["trunk_macs"] = model.trunk().macs
    return found


def read(config: Config, job: Job) -> Data:
    """Return the images of a config."""
    data = load(config.data, job.data_root, config.test_split, job.device).images()
    return data.first(config.first).validate(config.validation)
