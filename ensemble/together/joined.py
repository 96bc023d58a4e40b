"""Asks members together: one stack or a loop, whichever is faster for inputs like these.

    joined = Joined(nets)
    joined(x)                (batch, ...) -> (members, batch, classes): all read the same inputs
    joined(xs, each=True)    (members, batch, ...): each reads its own
    joined.leaves(x)         what to give an optimizer: with a stack, few large tensors

What cannot be stacked is looped, and `explain` says why. All inputs being one, the first layers of
a stack are one wide layer: no input is copied.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from bibd.kernels import tune
from ensemble.together.alike import difference
from ensemble.together.answers import together
from ensemble.together.choice import Kind, digest, faster, trial
from ensemble.together.storage import Storage
from ensemble.together.structure import Structure
from ensemble.together.watch import Watch

MOST_KINDS = 1000
MOST_MOVES = 5  # of members' numbers or layers, before a stack is given up


class Joined:
    """Members and, where they can be stacked, a stack that holds their numbers.

    Args:
        nets: The members; they stay ordinary modules.
    """

    def __init__(self, nets: Sequence[nn.Module] | nn.ModuleList):
        self.nets = nets
        self.why, self.moves, self.wholes = "", 0, False
        self._look()
        if len(nets) == 1:
            self.why = "there is one member"

    def _look(self) -> None:
        """Take the members as they are now."""
        self.storage: Storage | None = None
        self._chosen: dict[tuple, str] = {}
        self._watch, self._structure = Watch(self.nets), Structure(self.nets)
        self._first, self._digest = self._watch.first, digest(self.nets[0])

    def __call__(self, x: torch.Tensor, each: bool = False) -> torch.Tensor:
        """Return the logits of all members on a leading axis.

        Raises:
            ValueError: members answer in different classes, or not each has inputs; or an
                optimizer has their leaves, and they cannot be one stack in this call.
        """
        if each and len(x) != len(self.nets):
            raise ValueError(
                f"{len(self.nets)} members need as many slices of inputs, got {len(x)} of shape "
                f"{tuple(x.shape[1:])}"
            )
        return self.stacked(x, each) if self.way(x, each) == "stack" else self.loop(x, each)

    def way(self, x: torch.Tensor, each: bool = False) -> str:
        """Return how inputs like these are answered: "stack" or "loop"."""
        if why := self.hindrance():
            if self.wholes and torch.is_grad_enabled():
                raise ValueError(
                    f"an optimizer got the leaves of a stack, and now {why}: ask for the leaves "
                    "once more, ensemble.leaves(x), and make the optimizer anew"
                )
            return "loop"
        grad = torch.is_grad_enabled()
        if grad and self.wholes:
            return "stack"
        threads = torch.get_num_threads()
        kind = x.shape, x.dtype, grad, self._first.training, threads, each, self.wholes
        found = self._chosen.get(kind)
        if found is None:
            if len(self._chosen) >= MOST_KINDS:  # (sentences of every length)
                self._chosen.clear()
            found = self._chosen[kind] = self._choose(x, each)
        return found

    def hindrance(self) -> str:
        """Return why members as they are now, or calls as now, are looped; or nothing."""
        if self.why:
            return self.why
        if self._structure.changed():
            if self.wholes:
                return "members have other layers or settings"
            self._look()
        if why := self._watch.hindrance():
            return why
        storage = self.storage
        return "" if storage is not None and storage.whole() else self._hold()

    def leaves(self, x: torch.Tensor, each: bool = False) -> list[nn.Parameter]:
        """Return what to give an optimizer that trains all members on inputs like these.

        These are the members' parameters; or, where a stack is faster, the few large tensors that
        those are slices of. Gradients then come to these tensors and not to the members.
        """
        self.wholes = False
        own = [p for net in self.nets for p in net.parameters()]
        if self.hindrance() or self.storage is None:
            return own
        with torch.enable_grad():
            wholes = self.storage.trained()
            self.wholes = bool(wholes) and self._choose(x, each, wholes) == "stack"
        return wholes if self.wholes else own

    def explain(self, x: torch.Tensor | None = None, each: bool = False) -> str:
        """Return in words how members are asked, for inputs like these or at all."""
        if why := self.hindrance():
            return f"{len(self.nets)} members in a loop: {why}"
        if x is None:
            return f"{len(self.nets)} members in a stack or a loop, whichever is measured faster"
        way = self.way(x, each)
        return f"{len(self.nets)} members in a {way}, for inputs {tuple(x.shape)}: measured faster"

    def _hold(self) -> str:
        """Make a stack that holds the members' numbers, or return why there is none."""
        if self.storage is not None and self.storage.foreign():
            return "other tensors stand in the place of parameters"
        if self.wholes and torch.is_grad_enabled():
            return "members' numbers were moved or replaced"
        self.moves += 1
        self.why = difference(self.nets)
        if not self.why and self.moves > MOST_MOVES:
            self.why = f"the members' numbers were moved or layers changed {MOST_MOVES} times"
        self.storage, self.wholes = None, False
        if self.why:
            return self.why
        try:
            with torch.inference_mode(False):
                self.storage = Storage(self.nets)
        except (ValueError, RuntimeError, TypeError, AttributeError, NotImplementedError) as error:
            self.why = str(error)
        return self.why

    def _choose(self, x: torch.Tensor, each: bool, wholes: Any = ()) -> str:
        if not x.numel():
            return "loop"
        leaves = self._needed()
        whose = ("whole" if wholes else "members") if leaves else ""
        kind = Kind(
            *(self._digest, len(self.nets), tuple(x.shape[1 + each :]), tune.bucket(x.shape[each])),
            *(x.dtype, x.device.type, torch.get_num_threads(), self._first.training, whose, each),
        )
        return faster(kind, lambda: self._trials(x.detach(), each, leaves, wholes))

    def _trials(self, x: torch.Tensor, each: bool, leaves: Any, wholes: Any) -> dict[str, Any]:
        def stack() -> torch.Tensor:
            self.wholes = bool(wholes)
            return self.stacked(x, each)

        return {
            "loop": trial(lambda: self.loop(x, each), leaves, x.device),
            "stack": trial(stack, wholes or leaves, x.device),
        }

    def _needed(self) -> list[Any]:
        """Return the members' parameters that get gradients now."""
        if not torch.is_grad_enabled():
            return []
        return [p for net in self.nets for p in net.parameters() if p.requires_grad]

    def loop(self, x: torch.Tensor, each: bool = False) -> torch.Tensor:
        """Ask one member after the other."""
        parts = x if each else [x] * len(self.nets)
        return together([net(part) for net, part in zip(self.nets, parts, strict=True)])

    def stacked(self, x: torch.Tensor, each: bool = False) -> torch.Tensor:
        """Ask the stack, which is there after `way` has looked for one."""
        storage, mode = self.storage, self._first.training
        assert storage is not None
        if storage.stack.training is not mode:
            storage.stack.train(mode)
        inputs = x if each else x.expand(storage.members, *x.shape)
        if not torch.is_grad_enabled() or self.wholes:
            return storage.ask(inputs)
        return storage.gathered(inputs)
