"""Tells wrappers of each step of any torch optimizer, before and after it, as long as they live.

torch is given one hook of each kind, for all of them, and never asked to take it back: a wrapper
that is collected while torch goes through its hooks would change what torch goes through.
"""

import itertools
import weakref
from typing import Any, Protocol

import torch
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)


class Listener(Protocol):
    """Who wants to be told."""

    def _stepping(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None: ...

    def _stepped(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None: ...


_COUNT = itertools.count()
_LISTENERS: dict[int, weakref.ref[Any]] = {}  # in the order in which they came


def listen(listener: Listener) -> None:
    """Tell it from now on, without keeping it alive."""
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
