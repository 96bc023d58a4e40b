"""Hears when a backward is over and all gradients are there."""

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn


class Backwards:
    """Calls `call(owner)` after each backward that reached a watched parameter."""

    def __init__(self, owner: Any, call: Callable[[Any], None]):
        self.owner, self.call = weakref.ref(owner), call
        self.last = -1  # the backward that was heard
        self.known: set[int] = set()  # (by identity; the owner keeps them alive)

    def watch(self, parameters: Iterable[nn.Parameter]) -> None:
        """Those that have a gradient to come, from now on."""
        for p in parameters:
            if p.requires_grad and id(p) not in self.known:
                self.known.add(id(p))
                p.register_post_accumulate_grad_hook(self._reached)

    def _reached(self, _: torch.Tensor) -> None:
        now = torch._C._current_graph_task_id()
        if self.last != now and self.owner() is not None:
            self.last = now
            torch.autograd.Variable._execution_engine.queue_callback(self._over)  # pyright: ignore

    def _over(self) -> None:
        if (found := self.owner()) is not None:
            self.call(found)
