"""The module that `parallel.DataParallel` returns: replicas, and the consensus that they show.

The optimizer's own hooks tell when a step has been taken, so nothing has to be called; gradients
that are averaged are so at the end of each backward, as torch's DistributedDataParallel does it.
The loss is assumed to be a mean over the batch; the gather's backward gives each replica the
gradient of the mean over its own samples, so the learning rate means what it does without.
"""

import copy
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from harness.nets.dropout import KeyedDropout, distinct
from parallel.replicas.executor import Executor, share
from parallel.replicas.optimizer import no_closure, skips
from parallel.replicas.replicas import Looped
from parallel.strategy import Strategy
from parallel.strategy.averaging import GradientAllReduce, PostLocalSGD
from parallel.world.comm import Comm, NotFinite
from parallel.world.ops import AllReduce, Gather
from parallel.wrap.hooks import Backwards
from parallel.wrap.scatter import gather, length, rescale, scatter, to_its_place


class Replicated(nn.Module):
    """What DataParallel returns. In one process it holds all replicas; under torchrun one."""

    _consensus: nn.Module
    executor: Executor

    def __init__(
        self,
        model: nn.Module,
        strategy: Strategy,
        comm: Comm,
        devices: tuple[list[torch.device], Any],
        dim: int,
        reduction: str,
        seed: int,
        initializer: Callable[[nn.Module], Any] | None,
    ):
        super().__init__()
        self.comm, self.dim, self.reduction, self.seed = comm, dim, reduction, seed
        self.devices, self.output_device = devices
        distinct(model)
        strategy.init(comm.workers)
        models = [copy.deepcopy(model) for _ in comm.ranks]
        if initializer:
            _initialize(models, initializer, strategy)
        elif strategy.same_start:
            share(models[0], comm)
        models = strategy.cut(models, comm, seed)
        for i, replica in enumerate(models):
            if self.devices:
                replica.to(self.devices[i % len(self.devices)])
        self.replicas = nn.ModuleList(models)
        # Outside the module tree: parameters() are the replicas'.
        object.__setattr__(self, "_consensus", copy.deepcopy(strategy.whole or models[0]))
        self.steps, self.counts, self.depth = 0, [0] * len(models), 0
        self.version, self.judged = -1, False
        self.keyed = [[m for m in r.modules() if isinstance(m, KeyedDropout)] for r in models]
        for rank, layers in zip(comm.ranks, self.keyed, strict=True):
            for layer in layers:
                layer.seed, layer.workers = seed, (rank,)
        self.executor = Executor(Looped(models), None, strategy, comm)
        self.executor.tolerant = True  # (a GradScaler skips such steps; who steps is told)
        self.normed = any(isinstance(m, nn.BatchNorm1d) for m in model.modules())
        self.shares = [1.0] * comm.workers
        self.shown: Any = None
        self.skipped = False
        self._bare: Any = weakref.ref(model)
        self.train(model.training)
        self._listen()

    # Forward

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """In training each replica takes its share of the batch; in eval the consensus all."""
        if not self.training:
            self.judged = torch.is_grad_enabled()
            return self.module(*args, **kwargs)
        self.depth, self.judged = 0, False
        if self.comm.workers > 1 and self.reduction == "mean":
            self.backwards.watch(self.parameters())  # (some may have been frozen before)
        for layers in self.keyed:
            for layer in layers:
                layer.step = self.steps + 1
        n = length((args, kwargs), self.dim)
        if len(self.replicas) == 1 or n == 0:
            self.counts[0] += n * torch.is_grad_enabled()
            if self.comm.alone and len(self.devices) > 1:
                spread = self.replicas[0], args, self.devices, self.output_device, self.dim, kwargs
                return nn.parallel.data_parallel(*spread)  # pyright: ignore
            return self.replicas[0](*args, **kwargs)
        # (a batch norm of features refuses a single sample: some replicas then sit out)
        most = max(1, n // 2) if self.normed else len(self.replicas)
        parts = scatter((args, kwargs), len(self.replicas), self.dim, most)
        whole, outputs = sum(n for n, _ in parts), []
        for i, (replica, (n, (own, named))) in enumerate(zip(self.replicas, parts, strict=True)):
            self.counts[i] += n * torch.is_grad_enabled()
            if n:
                factor = whole / n if self.reduction == "mean" else 1.0
                own, named = rescale((own, named), 1 / factor)  # what lies before has its own mean
                outputs.append(
                    (factor, replica(*to_its_place(own, replica), **to_its_place(named, replica)))
                )
        return gather(outputs, self.dim, self.output_device)

    @property
    def module(self) -> nn.Module:
        """The consensus model, to look at (under torchrun all ranks have to ask together)."""
        if self.comm.workers == 1 and not self.executor.strategy.centre:
            return self.replicas[0].train(self.training)
        self._refuse_changed()
        version = self._version()
        if self.version != version:
            self.comm.at = f"eval() or state_dict() after step {self.steps}"
            self._consensus.load_state_dict(self._agreed())
            self.version = version
        self.shown = self._look()
        return self._consensus.train(self.training)

    def _look(self) -> list[tuple[int, bool]]:
        return [(p._version, p.requires_grad) for p in self._consensus.parameters()]

    def _refuse_changed(self) -> None:
        """What is written into the consensus reaches no replica."""
        if self.shown is not None and self.shown != self._look():
            raise ValueError(
                "the model that .module gives was changed, and no replica learned of it: load with "
                "net.load_state_dict(state), freeze net.parameters()"
            )

    def _version(self) -> int:
        """A number that grows with every change of the replicas, by whomever."""
        return 1 + sum(t._version for t in (*self.parameters(), *self.buffers()))

    def _agreed(self) -> Any:
        """The consensus; ranks first tell their samples since the last mean: they count there."""
        if self.comm.alone:
            return self.executor.consensus()
        before, self.executor.seen = self.executor.seen, self.comm.everyone(float(self.counts[0]))
        try:
            return self.executor.consensus()
        finally:
            self.executor.seen = before

    # What makes it look like the model

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The consensus model's: it loads into the bare model."""
        return self.module.state_dict(*args, **kwargs)

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """A bare model's state, for all replicas."""
        found = self._consensus.load_state_dict(state_dict, strict, assign)
        held = self._consensus.state_dict()
        state = {k: v.detach().clone() for k, v in held.items() if isinstance(v, torch.Tensor)}
        self.shown = None
        self.executor.strategy.load(self.executor, state)
        for replica in self.replicas:
            for name, buffer in replica.named_buffers():
                if not buffer.is_floating_point() and name in state:
                    buffer.copy_(state[name])
        self.version = self._version()
        return found

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        """As a part of a larger module: the consensus' names, for all replicas."""
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

    def _apply(self, fn: Callable, recurse: bool = True) -> "Replicated":
        """`.to()`, `.double()`, ... also for the consensus model and what the strategy keeps."""
        super()._apply(fn, recurse)
        self._consensus._apply(fn)
        self.version, self.shown = -1, None
        self.executor.strategy.move(fn)
        if self.executor.centre is not None:
            self.executor.centre = {k: fn(v) for k, v in self.executor.centre.items()}
        return self

    def clip_grad_norm_(self, max_norm: float, norm_type: float = 2.0) -> torch.Tensor:
        """As torch's function, for each replica by itself, as for the bare model.

        torch.nn.utils.clip_grad_norm_(net.parameters(), ...) takes one norm over all replicas.
        """
        if self.reduction == "sum" and self.comm.workers > 1:
            raise ValueError(
                'clip_grad_norm_ with loss_reduction="sum": gradients are summed at the step, '
                "after the clipping; take a mean as the loss"
            )
        clip = torch.nn.utils.clip_grad_norm_
        norms = [clip(replica.parameters(), max_norm, norm_type) for replica in self.replicas]
        return torch.stack([norm.to(norms[0].device) for norm in norms]).max()

    def training_state(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """All that it takes to go on to the bit: replicas, optimizer, strategy (of each rank)."""
        self._accept(optimizer)
        return {"steps": self.steps, "team": self.executor.state_dict()}

    def load_training_state(self, state: dict[str, Any], optimizer: torch.optim.Optimizer) -> None:
        """The inverse, for a wrapper and an optimizer that were made alike."""
        self._accept(optimizer)
        self.executor.load_state_dict(state["team"])
        self.steps, self.version, self.shown = state["steps"], -1, None

    # Steps

    def _listen(self) -> None:
        """Hear of every optimizer's steps, as long as this module lives."""
        me = weakref.ref(self)

        def before(optimizer, args, kwargs):
            if (net := me()) is not None:
                net._refuse_bare(optimizer)
            if net is not None and net._holds(optimizer):
                net.depth += 1  # (a step may call another: only the outermost counts)
                if net.depth == 1:
                    no_closure(optimizer, args, kwargs)
                    net.skipped = skips(optimizer)
                    if not net.skipped:
                        net._before(optimizer)

        def after(optimizer, args, kwargs):
            if (net := me()) is not None and net._holds(optimizer):
                net.depth -= 1
                if net.depth == 0 and not net.skipped:
                    net._after()

        hooks = register_optimizer_step_pre_hook(before), register_optimizer_step_post_hook(after)
        for hook in hooks:
            weakref.finalize(self, hook.remove)
        self.backwards = Backwards(self, Replicated._arrived)

    def _arrived(self) -> None:
        """All gradients of a backward are there: average them, if that is what the step will do."""
        if AllReduce("gradients") in self.executor.strategy.plan(self.seed, self.steps + 1).before:
            self.comm.at = f"step {self.steps + 1}"
            self.executor.begin(self.seed, self.steps + 1)
            self.executor.average_early(self._shares())

    def _shares(self) -> list[float]:
        """Samples since the last mean of gradients; or those of the last, if there were none."""
        if any(self.counts) or not self.comm.alone:
            found = self._samples(True)
            self.shares = found if any(found) else self.shares
        return self.shares

    def __getstate__(self) -> dict:
        return {
            **self.__dict__,
            "_bare": None,
            "shown": None,
            "backwards": None,
        }  # (weak references cannot be copied)

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)  # a copy listens for itself
        self._bare = None
        self._listen()

    def _refuse_bare(self, optimizer: torch.optim.Optimizer) -> None:
        """After a forward of ours, the bare model's parameters have nothing to step by."""
        bare = self._bare() if self._bare else None
        if bare is None or not any(self.counts):
            return
        ids = {id(p) for p in bare.parameters()}
        if any(id(p) in ids for group in optimizer.param_groups for p in group["params"]):
            raise ValueError(
                "the optimizer has the parameters of the bare model, which does not train: make it "
                "from the wrapper's, net.parameters()"
            )

    def _holds(self, optimizer: torch.optim.Optimizer) -> bool:
        """Whether this optimizer steps our replicas.

        Raises:
            ValueError: it steps some of them only.
        """
        mine = {id(p) for p in self.parameters() if p.requires_grad}
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        if mine & held and mine - held:
            raise ValueError(
                f"the optimizer has {len(mine & held)} of the {len(mine)} parameters of the "
                "replicas: give one optimizer all of net.parameters()"
            )
        return bool(mine & held)

    def _before(self, optimizer: torch.optim.Optimizer) -> None:
        self._accept(optimizer)
        if self.judged and all(p.grad is None for p in self.parameters()):
            raise ValueError(
                "in eval() mode the consensus answers, and nobody trains: call train()"
            )
        self._refuse_changed()
        self.steps += 1
        self.comm.at = f"step {self.steps}"
        # A replica without samples takes a step with gradient zero.
        self.executor.members.fill_gradients(everywhere=False)
        self.executor.begin(self.seed, self.steps)
        ops = (*self.executor.current.before, *self.executor.current.after)
        if AllReduce("gradients") in ops and self.reduction == "mean":
            shares = self._shares() if self.executor.early is None else self.shares
        else:
            shares = self._samples(any(isinstance(op, AllReduce | Gather) for op in ops))
        self.executor.before(self.seed, self.steps, shares)
        broken, self.executor.broken = self.executor.broken, []
        if broken and self._infinite():
            who = ", ".join(f"worker {r}" for r in broken)
            raise NotFinite(
                f"{who}: NaN or infinity among the gradients of step {self.steps}, which was not "
                "taken. Lower the learning rate, or look at that worker's data"
            )
        if self.reduction == "sum" and AllReduce("gradients") in ops:
            for p in self.parameters():
                if p.grad is not None:
                    p.grad.mul_(self.comm.workers)

    def _infinite(self) -> bool:
        """Whether a gradient is so now (somebody may have mended it)."""
        found = [p.grad for p in self.parameters() if p.grad is not None]
        return not all(bool(torch.isfinite(g).all()) for g in found)

    def _accept(self, optimizer: torch.optim.Optimizer) -> None:
        if optimizer is not self.executor.optimizer:
            self.executor.strategy.accept(optimizer)
            self.executor.optimizer = optimizer

    def _samples(self, wanted: bool) -> list[float]:
        """Of every worker; ranks tell each other only where a mean is due."""
        if self.reduction == "sum":
            self.counts = [0] * len(self.counts)
            return [1.0] * self.comm.workers
        if self.comm.alone:
            counts, self.counts = [float(n) for n in self.counts], [0] * len(self.counts)
            return counts if sum(counts) else [1.0] * len(counts)
        if not wanted:
            return [0.0] * self.comm.workers
        counts, self.counts = self.comm.everyone(float(self.counts[0])), [0]
        return counts

    def _after(self) -> None:
        self.executor.after()
        self.version = -1


def _initialize(models: list[nn.Module], initializer: Callable, strategy: Strategy) -> None:
    """Each replica for itself; one for all where gradients are averaged."""
    alike = isinstance(strategy, GradientAllReduce | PostLocalSGD)
    for i, replica in enumerate(models):
        if i and alike:
            replica.load_state_dict(models[0].state_dict())
            continue
        made = initializer(replica)
        if isinstance(made, nn.Module) and made is not replica:
            raise ValueError("initializer returned another model: change the given one in place")
