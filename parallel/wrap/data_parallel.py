"""`DataParallel`: one line makes a model train under any strategy, in an ordinary loop.

    net = DataParallel(style="localSGD", model=net, iterations=40)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)            # the replicas' parameters
    for x, y in batches:
        optimizer.zero_grad()
        loss(net(x), y).backward()                                   # each replica gets its share
        optimizer.step()                                             # and here they talk
    net.eval()(x); torch.save(net.state_dict(), file)                # the consensus model's

Alone, all replicas live in this process; under torchrun each rank is one.
"""

import inspect
import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from harness.names import check, unknown
from parallel.strategy import STRATEGIES, make
from parallel.world.comm import Comm
from parallel.wrap.replicated import Replicated

STYLES = {"torch": "all_reduce", "localSGD": "local_sgd"}  # and all of STRATEGIES
ITERATIONS = 40
SYNCHRONISED = ("local_sgd", "post_local_sgd", "ist")  # `iterations` is their period


def DataParallel(
    style: str = "torch",
    *,
    model: Any = None,
    iterations: int = ITERATIONS,
    initializer: Callable[[nn.Module], Any] | None = None,
    workers: int | None = None,
    device_ids: Sequence[int | str] | None = None,
    output_device: int | str | None = None,
    dim: int = 0,
    loss_reduction: str = "mean",
    seed: int = 0,
    timeout: float = 60.0,
    **options: Any,
) -> "Replicated":
    """A module that behaves like `model` and trains as several.

    Args:
        style: "torch", "localSGD", "ist", or any of parallel.STRATEGIES.
        model: Any module; replicas are copies, it is left as it is.
        iterations: Steps between two synchronisations of localSGD and ist.
        initializer: Called with each replica, to start it elsewhere.
        workers: Replicas in this process; default: the GPUs, or 2 without. Under torchrun there is
            one per rank.
        device_ids: GPUs; default: all of them.
        output_device: Where outputs go; default: the first.
        dim: Axis of the batch.
        loss_reduction: Of the user's loss: "mean" or "sum".
        seed: Of partitions and peers.
        timeout: Seconds that a rank waits for another, under torchrun.
        **options: Of the strategy, such as probability=1/32.

    Raises:
        ValueError: unknown style or keyword, with the nearest name.
    """
    if not isinstance(style, str) or not isinstance(model, nn.Module):
        raise ValueError(
            f'DataParallel(style="torch", model=net): the style is a name and the model a keyword, '
            f"an nn.Module; got {type(style).__name__} and {type(model).__name__}"
        )
    name = STYLES.get(style, style)
    check("style", style, {**STYLES, **STRATEGIES})
    check("loss_reduction", loss_reduction, ("mean", "sum"))
    if initializer is not None and not callable(initializer):
        raise ValueError(f"initializer is called with each replica, got {initializer!r}")
    own = [k for k in inspect.signature(DataParallel).parameters if k != "options"]
    theirs = list(inspect.signature(STRATEGIES[name]).parameters)
    for key in options:
        if key not in theirs:
            raise unknown(f"keyword of DataParallel(style={style!r})", key, own + theirs)
    if iterations != ITERATIONS and (name not in SYNCHRONISED or "period" in options):
        raise ValueError(
            f"iterations={iterations} is the period of localSGD, post_local_sgd and ist, and has "
            f"no effect here; options of style={style!r}: {', '.join(theirs)}"
        )
    if name in SYNCHRONISED:
        options.setdefault("period", iterations)
    strategy, comm = make(name, **options), _comm(style, workers, device_ids, timeout)
    devices = _devices(device_ids, output_device)
    return Replicated(model, strategy, comm, devices, dim, loss_reduction, seed, initializer)


def _comm(style: str, workers: int | None, device_ids: Sequence | None, timeout: float) -> Comm:
    """Alone, or the rank that torchrun gives."""
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        from parallel.world.attach import attach

        if workers is not None and str(workers) != os.environ["WORLD_SIZE"]:
            ranks = os.environ["WORLD_SIZE"]
            raise ValueError(f"workers={workers}, but there are {ranks} ranks: leave it out")
        return attach(timeout)
    if style == "torch":
        if workers not in (None, 1):
            raise ValueError(
                f'style="torch" has one set of weights, so workers={workers} has no effect: use '
                'style="all_reduce" for replicas'
            )
        return Comm(1)  # one set of weights; several GPUs share the batch
    if workers is None:
        workers = len(device_ids or ()) or torch.cuda.device_count() or 2
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
        raise ValueError(f"workers must be a number, 1 or more, got {workers!r}")
    return Comm(workers)


def _devices(device_ids: Sequence | None, output: Any) -> tuple[list[torch.device], Any]:
    if device_ids is None:
        device_ids = range(torch.cuda.device_count())
    found = [torch.device("cuda", d) if isinstance(d, int) else torch.device(d) for d in device_ids]
    if isinstance(output, int):
        output = torch.device("cuda", output)
    return found, output or (found[0] if found else None)
