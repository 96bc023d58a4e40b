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

import copy
import inspect
import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from harness.names import check, uncalled, unknown
from harness.nets.dropout import distinct
from parallel.executors import executor_of, shown
from parallel.replicas.consensus import broadcast
from parallel.replicas.replicas import Looped, kept_buffers
from parallel.strategy import STRATEGIES, Strategy, make
from parallel.strategy.averaging import GradientAllReduce, PostLocalSGD
from parallel.strategy.base import every
from parallel.strategy.hierarchical import Hierarchical
from parallel.world.comm import Comm
from parallel.wrap import alike
from parallel.wrap.by_name import by_name
from parallel.wrap.hooks import Hooks
from parallel.wrap.scatter import Scattered
from parallel.wrap.state import Consensus, hand_on, version
from parallel.zero import resume
from parallel.zero.clip import clipped
from parallel.zero.executor import Executor as Slices

STYLES = {"torch": "all_reduce", "localSGD": "local_sgd"}  # and all of STRATEGIES
ITERATIONS = 40
PERIODIC = "localSGD, post_local_sgd, diloco, hierarchical and ist"
# (`iterations` is their period)
SYNCHRONISED = ("local_sgd", "post_local_sgd", "diloco", "hierarchical", "ist")


class DataParallel(Scattered):
    """A module that behaves like `model` and trains as several.

    Args:
        style: "torch", "localSGD", "ist", any of parallel.STRATEGIES, or a Strategy of yours.
        model: Any module; replicas are copies, it is left as it is.
        iterations: Steps between two synchronisations of localSGD and ist.
        initializer: Called with each replica, to start it elsewhere.
        workers: Replicas in this process; default: the GPUs, or 2 without. Under torchrun there is
            one per rank.
        device_ids: GPUs; default: all of them.
        output_device: Where outputs go; default: the first.
        dim: Axis of the batch.
        loss_reduction: That of the user's loss: "mean" or "sum".
        seed: Seed of partitions and peers.
        timeout: Seconds that a rank waits for another, under torchrun.
        **options: Options of the strategy, such as probability=1/32.

    Raises:
        ValueError: unknown style or keyword, with the nearest name.
    """

    @by_name
    def __init__(
        self,
        style: str | Strategy = "torch",
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
    ):
        strategy = strategy_of(style, model, iterations, options)
        check("loss_reduction", loss_reduction, ("mean", "sum"))
        if initializer is not None and not callable(initializer):
            raise ValueError(f"initializer is called with each replica, got {initializer!r}")
        comm = _comm(style, workers, device_ids, timeout)
        devices, place = _devices(device_ids, output_device)
        distinct(model)
        executor = executor_of(strategy, comm, seed)
        models = executor.cut(_started(model, comm, strategy, initializer), seed)
        for i, replica in enumerate(models):
            if devices:
                replica.to(devices[i % len(devices)])
        super().__init__(models, comm.ranks, seed, dim)
        self.comm, self.seed, self.reduction = comm, seed, loss_reduction
        self.devices, self.output_device = devices, place
        executor.attach(Looped(models))
        executor.optimizer = None  # the user makes it, later
        if executor.gradients is not None:
            executor.gradients.tolerant = True  # (a GradScaler skips such steps; who steps is told)
        self.executor, self.consensus = executor, Consensus(shown(executor))
        self.hooks, self.heard = Hooks(self, model), set()
        self.train(model.training)

    def listen(self) -> None:
        """Hear the backwards of parameters that have a gradient to come from now on."""
        if isinstance(self.executor, Slices):
            self.executor.room.refuse_late(self.executor.states)
        self.hooks.watch(self.heard)

    def _first(self, args: tuple, kwargs: dict) -> Any:
        if self.comm.alone and len(self.devices) > 1:
            spread = self.replicas[0], args, self.devices, self.output_device, self.dim, kwargs
            return nn.parallel.data_parallel(*spread)  # pyright: ignore
        return super()._first(args, kwargs)

    @property
    def module(self) -> nn.Module:
        """The consensus model, to look at (under torchrun all ranks have to ask together)."""
        strategy = self.executor.strategy
        apart = strategy.centre or getattr(strategy, "stage", 0) == 3  # (weights are in slices)
        if self.comm.workers == 1 and not apart:
            return self.replicas[0].train(self.training)
        return self.consensus.of(self).train(self.training)

    @property
    def bytes_sent(self) -> float:
        """The bytes that the replicas here have sent (in one process: would have sent)."""
        return self.comm.sent

    def extra_repr(self) -> str:
        """Return strategy and number of workers, shown in front of the replicas."""
        return f"{self.executor.strategy!r}, workers={self.comm.workers}"

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return the consensus model's state, which loads into the bare model."""
        return self.module.state_dict(*args, **kwargs)

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Load a bare model's state into all replicas."""
        model = self.consensus.filled(self, state_dict)
        found = model.load_state_dict(state_dict, strict, assign)
        self.consensus.forget()
        hand_on(model, self.replicas)
        held = model.state_dict()
        state = {k: v.detach().clone() for k, v in held.items() if isinstance(v, torch.Tensor)}
        self.executor.load(state)
        for replica in self.replicas:
            kept = kept_buffers(replica) & state.keys()
            for name, buffer in replica.named_buffers():
                if not buffer.is_floating_point() and name in kept:
                    buffer.copy_(state[name])
        self.consensus.version, self.consensus.shown = version(self), None
        return found

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        """Load the consensus' names into all replicas, as part of a larger module."""
        _, strict, missing, unexpected, errors = rest
        own = {k.removeprefix(prefix): v for k, v in state_dict.items() if k.startswith(prefix)}
        try:
            found = self.load_state_dict(own, strict=False)
            missing += [prefix + k for k in found.missing_keys] if strict else []
            unexpected += [prefix + k for k in found.unexpected_keys] if strict else []
        except RuntimeError as error:
            errors.append(str(error))
        for i, replica in enumerate(self.replicas):  # what the recursion will look for
            values = replica.state_dict().items()
            state_dict.update({f"{prefix}replicas.{i}.{k}": v for k, v in values})

    def _apply(self, fn: Callable, recurse: bool = True) -> "DataParallel":
        """Move or cast (`.to()`, `.double()`) also the consensus and what the executor keeps."""
        super()._apply(fn, recurse)
        self.consensus.move(fn)
        self.executor.states.move(fn)
        return self

    def clip_grad_norm_(self, max_norm: float, norm_type: Any = 2.0) -> torch.Tensor:
        """Clip each replica by itself, as torch's function does for the bare model.

        Under zero1 to zero3, whose replicas have a slice each, by the norm over all of them.

        torch.nn.utils.clip_grad_norm_(net.parameters(), ...) takes one norm over all replicas.
        """
        if self.reduction == "sum" and self.comm.workers > 1:
            raise ValueError(
                'clip_grad_norm_ with loss_reduction="sum": gradients are summed at the step, '
                "after the clipping; take a mean as the loss"
            )
        if isinstance(self.executor, Slices):
            return clipped(self.executor, max_norm, norm_type)
        clip = torch.nn.utils.clip_grad_norm_
        norms = [clip(replica.parameters(), max_norm, norm_type) for replica in self.replicas]
        return torch.stack([norm.to(norms[0].device) for norm in norms]).max()

    def training_state(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """Return all that it takes to go on to the bit: replicas, optimizer, strategy.

        Each rank has its own.

        Raises:
            ValueError: the optimizer has none of the replicas' parameters.
        """
        alike.refuse_foreign(self, optimizer)
        self.executor.accept(optimizer)
        team = self.executor.state_dict()
        return {"steps": self.steps, "team": team, "made": alike.made(self)}

    def load_training_state(self, state: Any, optimizer: torch.optim.Optimizer) -> None:
        """Go on from a training_state, with a wrapper and an optimizer made alike.

        Under zero1 to zero3 a list of the states of all ranks loads into any number of workers,
        whichever of the three stages saved it (all ranks together); so does a checkpoint of
        parallel.zero.checkpoint.

        Raises:
            ValueError: the state, or its optimizer, is of another kind than what is here.
        """
        if isinstance(state, list):
            executor = resume.sliced(self.executor, state)
            alike.fits(self, state, optimizer, whole=True)
            resume.load(executor, [one["team"] for one in state], optimizer)
            state = state[0]
        else:
            alike.fits(self, [state], optimizer)
            self.executor.accept(optimizer)
            self.executor.load_state_dict(state["team"])
        self.steps = state["steps"]
        self.consensus.forget()

    def __getstate__(self) -> dict:
        return {**self.__dict__, "hooks": None, "heard": set()}  # (weak references are not copied)

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        self.hooks = Hooks(self, None)  # a copy listens for itself


def strategy_of(
    style: str | Strategy, model: Any, iterations: int, options: dict[str, Any]
) -> Strategy:
    """Return the strategy that a style means, with its options checked by name.

    Raises:
        ValueError: unknown style or keyword, with the nearest name.
    """
    if not isinstance(style, str | Strategy) or not isinstance(model, nn.Module):
        raise ValueError(
            'DataParallel(style="torch", model=net): the style is a name and the model a keyword, '
            f"an nn.Module (a Strategy of yours is a style too); got {type(style).__name__} and "
            f"{type(model).__name__}{uncalled(style) or uncalled(model)}"
        )
    own = [k for k in inspect.signature(DataParallel).parameters if k != "options"]
    if isinstance(style, Strategy):
        own.remove("iterations")
        if iterations != ITERATIONS:
            raise ValueError(
                f"iterations={iterations} is the period of {PERIODIC}, and has no effect here: a "
                "Strategy has its own"
            )
        for key in options:
            raise unknown(f"keyword of DataParallel(style={type(style).__name__}(...))", key, own)
        return style
    name = STYLES.get(style, style)
    check("style", style, {**STYLES, **STRATEGIES})
    if name not in SYNCHRONISED:
        own.remove("iterations")
    theirs = list(inspect.signature(STRATEGIES[name]).parameters)
    for key in options:
        if key not in theirs:
            raise unknown(f"keyword of DataParallel(style={style!r})", key, own + theirs)
    if iterations != ITERATIONS and (name not in SYNCHRONISED or "period" in options):
        raise ValueError(
            f"iterations={iterations} is the period of {PERIODIC}, and has no effect here; "
            f"options of style={style!r}: {', '.join(theirs)}"
        )
    if name in SYNCHRONISED and "period" not in options:
        options["period"] = every("iterations", iterations)
    return make(name, **options)


def _started(
    model: nn.Module, comm: Comm, strategy: Strategy, initializer: Callable | None
) -> list[nn.Module]:
    """Copy the model for each replica here, and give it the weights it begins with."""
    models = [copy.deepcopy(model) for _ in comm.ranks]
    if initializer:
        _initialize(models, initializer, strategy)
    elif strategy.same_start:
        broadcast(models[0], comm)
    return models


def _initialize(models: list[nn.Module], initializer: Callable, strategy: Strategy) -> None:
    """Start each replica by itself, or all from one where gradients are averaged."""
    alike = isinstance(strategy, GradientAllReduce | PostLocalSGD | Hierarchical)
    for i, replica in enumerate(models):
        if i and alike:
            replica.load_state_dict(models[0].state_dict())
            continue
        made = initializer(replica)
        if isinstance(made, nn.Module) and made is not replica:
            raise ValueError("initializer returned another model: change the given one in place")


def _comm(style: Any, workers: int | None, device_ids: Sequence | None, timeout: float) -> Comm:
    """Return a simulation if this process is alone, or else the rank that torchrun gives."""
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
