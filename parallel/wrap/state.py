"""The consensus of a wrapper's replicas, as a model to look at; it is made when somebody asks."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from parallel.replicas.hollow import fill, hollow, is_hollow


class Consensus:
    """A bare model that shows what the replicas agree on.

    `version` is that of the replicas it was made from; `shown`, where somebody has been given the
    model, tells whether he changed it: no replica would learn of that.
    """

    def __init__(self, model: nn.Module):
        self.model, self.version = model, -1
        self.shown: list[tuple[int, bool]] | None = None

    def of(self, net: Any) -> nn.Module:
        """Return the model, brought up to date (under torchrun all ranks have to ask together)."""
        self.refuse_changed()
        now = version(net)
        if self.version != now:
            net.comm.at = f"eval() or state_dict() after step {net.steps}"
            fill(self.model).load_state_dict(_agreed(net))
            self.version = now
        self.shown = self._look()
        return self.model

    def filled(self, net: Any, state: Any) -> nn.Module:
        """Return the model to load a state into; what that leaves out is as replicas have it."""
        model = fill(self.model)
        if self.version != version(net) and not model.state_dict().keys() <= set(state):
            model.load_state_dict(_agreed(net))
        return model

    def move(self, fn: Callable[[torch.Tensor], Any]) -> None:
        """Move or cast the model, which stays without weights where it has none."""
        empty = is_hollow(self.model)
        self.model._apply(fn)
        self.model = hollow(self.model) if empty else self.model
        self.forget()

    def _look(self) -> list[tuple[int, bool]]:
        return [(p._version, p.requires_grad) for p in self.model.parameters()]

    def refuse_changed(self) -> None:
        """Refuse what was written into the consensus, as it would reach no replica."""
        if self.shown is not None and self.shown != self._look():
            raise ValueError(
                "the model that .module gives was changed, and no replica learned of it: load with "
                "net.load_state_dict(state), freeze net.parameters()"
            )

    def forget(self) -> None:
        """Forget the model, as the replicas have changed in a way that no version tells."""
        self.version, self.shown = -1, None

    def __getstate__(self) -> dict[str, Any]:
        return {"model": self.model, "version": -1, "shown": None}  # a copy has versions of its own


def hand_on(model: nn.Module, replicas: Iterable[nn.Module]) -> None:
    """Give replicas what modules of the model keep beside tensors (`get_extra_state`).

    Raises:
        ValueError: a replica's module does not take it.
    """
    for replica in replicas:
        for name, module in replica.named_modules():
            if type(module).set_extra_state is nn.Module.set_extra_state:
                continue
            told = model.get_submodule(name).get_extra_state()
            module.set_extra_state(told)
            mine = module.get_extra_state()
            if isinstance(told, torch.Tensor) and not torch.equal(told, mine):
                raise ValueError(
                    f"the state's {name}._extra_state is another than that of the replicas, which "
                    "do not take it (such as connections that have moved): load it into a bare "
                    "model and wrap that, DataParallel(style, model=model)"
                )


def version(net: nn.Module) -> int:
    """Return a number that grows with every change of the replicas, whoever made it."""
    return 1 + sum(t._version for t in (*net.parameters(), *net.buffers()))


def _agreed(net: Any) -> Any:
    """Return the consensus, for which ranks first tell their samples since the last mean."""
    executor, comm = net.executor, net.comm
    if comm.alone:
        return executor.consensus()
    before, executor.seen = executor.seen, comm.everyone(float(net.counts[0]))
    try:
        return executor.consensus()
    finally:
        executor.seen = before
