"""Hears what an ordinary training loop does, and has the executor do its part around it.

    loss.backward()     autograd reaches a replica's parameter                    [1]
                        ... all of them: the backward is over                     [2]
                            gradients are averaged, if the coming round has that  [3]
    (clipping, scaling by the user: on gradients that all replicas share)
    optimizer.step()    before: whose parameters? which round? how many samples?  [4]
                            executor.before                                       [5]
                        ... the local step of all replicas ...
                        after: executor.after, if the round has something left    [6]

Nothing has to be called by the user: torch tells of every optimizer's steps and of every gradient.
A step may call another optimizer's (as wrappers of optimizers do): only the outermost counts. One
that a GradScaler leaves out, since it found infinity, is no step.
"""

import itertools
import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from parallel.world.comm import NotFinite
from parallel.world.ops import AllReduce, Gather, ReduceScatter

SLICED = ReduceScatter("gradients")


class Hooks:
    """Listens as long as its wrapper lives; `bare` is the model that was wrapped."""

    def __init__(self, net: Any, bare: nn.Module | None):
        self.net = weakref.ref(net)
        # (its parameters, as an optimizer keeps them alive where nobody keeps the model)
        self.bare = [weakref.ref(p) for p in bare.parameters()] if bare is not None else []
        self.backward = -1  # the backward that was heard last
        self.averaged = False  # whether a mean of gradients has come that no step has taken
        self.depth, self.skipped, self.due = 0, False, False  # of steps within steps
        self.outer = 0  # the optimizer of the outermost, by identity
        self.shares = [1.0] * net.comm.workers  # samples at the last mean of gradients
        if net.executor.strategy.holds == "slices":
            net.executor.gradients.weights = weakly_asked(weakref.ref(self))
            net.executor.gradients.factor = net.comm.workers if net.reduction == "sum" else 1.0
        listen(self)

    def shared(self) -> list[float]:
        """Return the samples of each worker in the backward that goes on."""
        net: Any = self.net()
        net.comm.at = f"step {net.steps + 1}"
        return self._weights(net)

    def watch(self, heard: set[int]) -> None:
        """Hear of gradients of what was not heard of so far: [1]."""
        net: Any = self.net()
        for p in net.parameters():
            if p.requires_grad and id(p) not in heard:
                heard.add(id(p))  # (by identity: the wrapper keeps them alive)
                if net.comm.workers > 1 and net.reduction == "mean":
                    p.register_post_accumulate_grad_hook(weakly(weakref.ref(self), Hooks._reached))

    def _reached(self, _: torch.Tensor) -> None:
        """Note that a parameter has its gradient, and be called when the backward is over."""
        now = torch._C._current_graph_task_id()
        if self.backward != now:
            self.backward = now
            torch.autograd.Variable._execution_engine.queue_callback(self._over)  # pyright: ignore

    def _over(self) -> None:
        """End a backward [2]: average the gradients [3] if the coming step will do that."""
        if (net := self.net()) is None:
            return
        net.comm.at = f"step {net.steps + 1}"
        if net.executor.begin(net.seed, net.steps + 1).gradients:
            net.executor.early(net.seed, net.steps + 1, self._weights(net))

    def _stepping(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        """Do our part before the step of an optimizer, whosever it is."""
        net = self.net()
        if net is None:
            return
        self._refuse_bare(net, optimizer)
        if holds(net.parameters(), optimizer, "replicas"):
            self.depth += 1
            if self.depth == 1:
                self.outer = id(optimizer)
                no_closure(optimizer, args, kwargs)
                self.skipped = skips(optimizer)
                if not self.skipped:
                    self._before(net, optimizer)

    def _stepped(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        """Do our part after the step: [6]."""
        net = self.net()
        if net is None:
            return
        # (one that steps slices has other parameters now)
        if id(optimizer) == self.outer or holds(net.parameters(), optimizer, "replicas"):
            self.depth -= 1
            if self.depth == 0 and not self.skipped:
                if self.due:
                    net.executor.after()
                net.consensus.version = -1
            if self.depth == 0:
                self.outer = 0

    def _before(self, net: Any, optimizer: torch.optim.Optimizer) -> None:
        """Find out what the step is about [4], and have the executor begin it [5]."""
        executor, comm = net.executor, net.comm
        if optimizer is not executor.optimizer:
            executor.accept(optimizer)
        if net.judged and all(p.grad is None for p in net.parameters()):
            raise ValueError(
                "in eval() mode the consensus answers, and nobody trains: call train()"
            )
        if net.consensus.shown is not None:
            net.consensus.refuse_changed()
        net.steps += 1
        comm.at = f"step {net.steps}"
        known = executor.begun == net.steps
        found = executor.round if known else executor.begin(net.seed, net.steps)
        ops = (*found.before, *found.after)
        averaged = found.gradients is not None or SLICED in ops
        if not averaged:  # a replica without samples takes a step with gradient zero
            executor.members.fill_gradients(everywhere=False)
        if averaged and net.reduction == "mean":
            shares = self._weights(net) if executor.gradients.early is None else self.shares
        else:
            shares = samples(net, any(isinstance(op, AllReduce | Gather) for op in ops))
        self.due, self.averaged = executor.before(net.seed, net.steps, shares), False
        if executor.gradients is not None:
            self._refuse_broken(net)
        if net.reduction == "sum" and (mean := found.gradients):
            for p in net.parameters():
                if p.grad is not None:
                    p.grad.mul_(mean.among or comm.workers)

    def _weights(self, net: Any) -> list[float]:
        """Return the samples since the last mean of gradients, or those of it if none came."""
        self.averaged = True
        if any(net.counts) or not net.comm.alone:
            mean = net.executor.round.gradients
            found = samples(net, True, mean.among if mean else 0)
            self.shares = found if any(found) else self.shares
        return self.shares

    def _refuse_broken(self, net: Any) -> None:
        """Say whose gradients are not finite (unless somebody has mended them)."""
        broken, net.executor.gradients.broken = net.executor.gradients.broken, []
        if broken and not all(_finite(p) for p in net.parameters()):
            who = ", ".join(f"worker {r}" for r in broken)
            raise NotFinite(
                f"{who}: NaN or infinity among the gradients of step {net.steps}, which was not "
                "taken. Lower the learning rate, or look at that worker's data"
            )

    def _refuse_bare(self, net: Any, optimizer: torch.optim.Optimizer) -> None:
        """After a forward of ours, the bare model's parameters have nothing to step by."""
        if not (self.averaged or any(net.counts)):
            return
        ids = {id(p) for ref in self.bare if (p := ref()) is not None}
        if any(id(p) in ids for group in optimizer.param_groups for p in group["params"]):
            raise ValueError(
                "the optimizer has the parameters of the bare model, which does not train: make it "
                "from the wrapper's, net.parameters()"
            )


def samples(net: Any, wanted: bool, among: int = 0) -> list[float]:
    """Return each worker's samples since the last call; ranks tell them only if `wanted`.

    With `among`, only to those in one row of so many.
    """
    if net.reduction == "sum":
        net.counts = [0] * len(net.counts)
        return [1.0] * net.comm.workers
    if net.comm.alone:
        counts, net.counts = [float(n) for n in net.counts], [0] * len(net.counts)
        return counts if sum(counts) else [1.0] * len(counts)
    if not wanted:
        return [0.0] * net.comm.workers
    told = (float(net.counts[0]), among) if among else (float(net.counts[0]),)
    counts, net.counts = net.comm.everyone(*told), [0]
    return counts


def skips(optimizer: Any) -> bool:
    """Return whether a GradScaler found infinity, so that a fused optimizer skips this step."""
    found = getattr(optimizer, "found_inf", None)
    return found is not None and bool(found)


def no_closure(optimizer: Any, args: Any, kwargs: Any) -> None:
    """Refuse a step that would compute gradients by itself."""
    closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
    if closure is not None:
        raise ValueError(
            f"{type(optimizer).__name__}.step(closure): gradients have to be there before the "
            "step; call backward() first, then step() of one that needs no closure, such as SGD or "
            "AdamW"
        )


def holds(params: Iterable[nn.Parameter], optimizer: torch.optim.Optimizer, whose: str) -> bool:
    """Return whether this optimizer steps these parameters.

    Raises:
        ValueError: it steps some of them only.
    """
    mine = {id(p) for p in params if p.requires_grad}
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if mine & held and mine - held:
        raise ValueError(
            f"the optimizer has {len(mine & held)} of the {len(mine)} parameters of the "
            f"{whose}: give one optimizer all of net.parameters()"
        )
    return bool(mine & held)


def _finite(p: torch.Tensor) -> bool:
    return p.grad is None or bool(torch.isfinite(p.grad).all())


def weakly_asked(me: weakref.ref) -> Any:
    """Return what asks a listener for samples as long as it lives."""

    def asked() -> list[float]:
        hooks = me()
        assert hooks is not None
        return hooks.shared()

    return asked


def weakly(me: weakref.ref, call: Any) -> Any:
    """Return a function that torch may keep for ever: without its hooks it does nothing."""

    def heard(*args: Any) -> None:
        if (hooks := me()) is not None:
            call(hooks, *args)

    return heard


# torch is given one hook of each kind, for all wrappers, and never asked to take it back: one that
# is collected while torch goes through its hooks would change what torch goes through.
_COUNT = itertools.count()
_LISTENERS: dict[int, weakref.ref[Any]] = {}  # in the order in which they came


def listen(listener: Any) -> None:
    """Tell it of each step of any optimizer from now on, as long as it lives."""
    number = next(_COUNT)
    _LISTENERS[number] = weakref.ref(listener)
    weakref.finalize(listener, _LISTENERS.pop, number, None)


def _alive() -> list[Any]:
    return [one for ear in list(_LISTENERS.values()) if (one := ear()) is not None]


def _before(*step: Any) -> None:
    for one in _alive():
        one._stepping(*step)


def _after(*step: Any) -> None:
    for one in _alive():
        one._stepped(*step)


register_optimizer_step_pre_hook(_before)
register_optimizer_step_post_hook(_after)
