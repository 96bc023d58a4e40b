"""Sees in every call whether members still are the modules that a stack was made of.

A stack runs the code of the first member as it was. A layer that was put in, taken away or set
otherwise since would be missed without a word, and so would connections that have moved.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from torch import nn

from bibd.state import Patterned
from ensemble.together.alike import OWN

# Whose settings no answer depends on (the sizes of Linear are those of its numbers).
PLAIN = {nn.Sequential, nn.Linear, nn.ReLU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Identity}


class Structure:
    """The modules of members and their settings, as they are now.

    Args:
        nets: The members.
    """

    def __init__(self, nets: Sequence[nn.Module] | nn.ModuleList):
        modules = [m for net in nets for m in net.modules()]
        holders = [m for m in modules if m._modules or isinstance(m, nn.Sequential)]
        self._inner = [m._modules for m in ([nets] if isinstance(nets, nn.ModuleList) else [])]
        self._inner += [m._modules for m in holders]
        self._free = [
            vars(m) for m in modules if type(m) not in PLAIN and not isinstance(m, Patterned)
        ]
        places = [(d, name) for d in self._free for name in d.keys() - OWN]
        places += [(vars(m), "pattern") for m in modules if isinstance(m, Patterned)]
        # (the members themselves, too: one may be given a forward of its own)
        self._sizes = [*self._free, *map(vars, nets)]
        self._at: tuple[Any, ...] = tuple(zip(*places, strict=True))
        self._was = self._now()

    def _now(self) -> tuple[list[Any], list[Any], list[int]]:
        # (This runs in every call, over all members; so no line of Python for each of them.)
        inner = list(chain.from_iterable(map(dict.values, self._inner)))
        settings = list(map(dict.get, *self._at)) if self._at else []
        return inner, settings, list(map(len, self._sizes))

    def changed(self) -> bool:
        """Return whether modules, settings or patterns are others than they were."""
        try:
            return self._now() != self._was
        except (ValueError, RuntimeError, TypeError):  # (arrays and tensors have no single answer)
            return True
