"""Splintr's benchmark, made right: time to accuracy of any model under any wrapper, on any data.

    from parallel import DataParallel, benchmarks

    record = benchmarks.cifar100(
        benchmarks.vgg11(100), wrapper=lambda m: DataParallel(style="localSGD", model=m)
    )
    record["seconds_to_target"], record["rows"][-1]["accuracy"]

`run` does the same for every data set of the harness. Inputs are normalised by the training set,
shuffled by (seed, epoch), and live on the model's device; what comes back is builtin values.
"""

import inspect
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from harness.data import Data, load
from harness.names import unknown
from harness.seeding import order, seeded

CHUNK = 500  # samples of the test set at a time


def cifar100(
    model: nn.Module,
    wrapper: Callable[[nn.Module], nn.Module] | None = None,
    batch_size: int = 128,
    target_acc: float = 1,
    target_top10: float = 1,
    evaluate: bool = True,
    verbose: int = 3,
    **options: Any,
) -> dict[str, Any]:
    """Train on CIFAR-100 until both targets are met, or for 30 epochs; see `run`."""
    words = dict(target_acc=target_acc, target_top10=target_top10, verbose=verbose)
    known = list(inspect.signature(run).parameters)
    for option in options:
        if option not in known:
            raise unknown("option of cifar100", option, known)
    return run(model, "cifar100", wrapper, batch_size, evaluate=evaluate, **words, **options)


def vgg11(num_classes: int) -> nn.Module:
    """Build VGG-11 with batch norms: 7 x 7 pooling, 25088-4096-4096-classes, dropout 0.5."""
    from torchvision.models import vgg11_bn

    return vgg11_bn(weights=None, num_classes=num_classes)


def run(
    model: nn.Module,
    data: str | Data,
    wrapper: Callable[[nn.Module], nn.Module] | None = None,
    batch_size: int = 128,
    *,
    target_acc: float = 1,
    target_top10: float = 1,
    evaluate: bool = True,
    verbose: int = 3,
    epochs: int = 30,
    lr: float = 0.01,
    momentum: float = 0.0,
    seed: int = 0,
    flatten: bool = False,
    test_split: str = "official",
    data_root: str | None = None,
) -> dict[str, Any]:
    """Train and say how long it took.

    Args:
        model: Any classifier.
        data: A name of the harness, or data.
        wrapper: Applied to the model, such as `lambda m: DataParallel(style="ist", model=m)`.
        batch_size: Samples per step.
        target_acc: Share of the test set that is to be right; the run ends when both are met.
        target_top10: The same, among the ten highest outputs.
        evaluate: Test after each epoch; without it no target can be met.
        verbose: 0 nothing, 1 the end, 2 each epoch, 3 every 50 batches (all on stderr).
        epochs: The most epochs that are trained.
        lr: Learning rate of SGD.
        momentum: Momentum of SGD.
        seed: Seed of order and noise.
        flatten: One axis per input, for fully connected nets.
        test_split: "official" or "holdout".
        data_root: Folder of downloaded data.

    Returns:
        A dict of builtin values: settings, `rows` (one per epoch), `seconds` of training,
        `seconds_to_target` and `epochs_to_target` (None: not met).
    """
    if not 0 < target_acc <= 1 or not 0 < target_top10 <= 1:
        raise ValueError(f"targets are shares in (0, 1], got {target_acc} and {target_top10}")
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} is a whole number, 1 or more, got {value!r}")
    if wrapper is not None and not callable(wrapper):
        raise ValueError(
            f"wrapper is called with the model, such as lambda m: DataParallel({wrapper!r}, "
            f"model=m); got {wrapper!r}"
        )
    found = load(data, data_root, test_split) if isinstance(data, str) else data
    found = normalised(found.flatten() if flatten else found)
    net = wrapper(model) if wrapper else model
    place = next(net.parameters()).device
    found = found.to(str(place))
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=momentum)
    record: dict[str, Any] = {
        **{"name": found.name, "split": found.split, "model": type(model).__name__},
        **{"wrapper": type(net).__name__ if wrapper else None, "strategy": _strategy(net)},
        **dict(batch_size=batch_size, lr=lr, momentum=momentum, seed=seed, device=str(place)),
        **dict(target_acc=target_acc, target_top10=target_top10, torch=torch.__version__),
        **{"rows": [], "seconds": 0.0, "seconds_to_target": None, "epochs_to_target": None},
    }
    for epoch in range(epochs):
        row = _epoch(net, optimizer, found, batch_size, seed, epoch, verbose)
        record["seconds"] += row["seconds"]
        if evaluate:
            row["accuracy"], row["top10"] = test(net, found)
        record["rows"].append(row)
        _say(verbose >= 2, f"epoch {epoch + 1}/{epochs}", row)
        if evaluate and row["accuracy"] >= target_acc and row["top10"] >= target_top10:
            record["seconds_to_target"] = record["seconds"]
            record["epochs_to_target"] = epoch + 1
            break
    _say(verbose >= 1, f"{record['name']}: {record['seconds']:.1f} s of training", row)
    return record


def _strategy(net: Any) -> str | None:
    """Return the strategy with its settings, such as LocalSGD(period=40, ...)."""
    return repr(net.executor.strategy) if hasattr(net, "executor") else None


def _epoch(net, optimizer, data: Data, batch_size: int, seed: int, epoch: int, verbose: int):
    net.train()
    begin, total = time.perf_counter(), torch.zeros((), device=data.train_y.device)
    parts = order(seed, epoch, len(data.train_y)).to(data.train_y.device).split(batch_size)
    with seeded(seed, "noise", epoch):
        for k, index in enumerate(parts, 1):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(data.train_x[index]), data.train_y[index])
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(index)
            if verbose >= 3 and k % 50 == 0:
                each = (time.perf_counter() - begin) / k
                _say(True, f"  batch {k}/{len(parts)}", {"loss": loss.item(), "s/batch": each})
    seconds = time.perf_counter() - begin
    return {"epoch": epoch + 1, "loss": float(total) / len(data.train_y), "seconds": seconds}


@torch.no_grad()
def test(net: nn.Module, data: Data) -> tuple[float, float]:
    """Return the shares of the test set that are right, and right among the ten highest."""
    net.eval()
    right = among = 0
    parts = zip(data.test_x.split(CHUNK), data.test_y.split(CHUNK), strict=True)
    for x, y in parts:
        outputs = net(x)
        best = outputs.topk(min(10, outputs.shape[1]), 1).indices == y.unsqueeze(1)
        right, among = right + int(best[:, 0].sum()), among + int(best.sum())
    return right / len(data.test_y), among / len(data.test_y)


def normalised(data: Data) -> Data:
    """Return data with mean 0 and deviation 1 per channel, by the training part; not texts."""
    if data.tokens:
        return data
    x = data.train_x
    axes = [a for a in range(x.dim()) if a != 1 or x.dim() != 4]
    mean = x.mean(axes, keepdim=True)
    deviation = x.std(axes, keepdim=True).clamp_min(1e-6)
    return data.map(lambda x: (x - mean) / deviation, ("train_x", "test_x", "validation_x"))


def _say(wanted: bool, head: str, values: dict[str, Any]) -> None:
    if wanted:
        texts = [f"{k} {v:.4f}" for k, v in values.items() if isinstance(v, float)]
        print(head, *texts, file=sys.stderr)
