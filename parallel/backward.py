"""Hears when a backward is over and all gradients are there."""

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn


def at_end_of_backward(
    parameters: Iterable[nn.Parameter], owner: Any, call: Callable[[Any], None]
) -> None:
    """Call `call(owner)` after each backward that reached one of these, while owner lives."""
    me, heard = weakref.ref(owner), [-1]

    def over() -> None:
        if (found := me()) is not None:
            call(found)

    def reached(_: torch.Tensor) -> None:
        now = torch._C._current_graph_task_id()  # (of this backward)
        if heard[0] != now and me() is not None:
            heard[0] = now
            torch.autograd.Variable._execution_engine.queue_callback(over)  # pyright: ignore

    for p in parameters:
        if p.requires_grad:
            p.register_post_accumulate_grad_hook(reached)
