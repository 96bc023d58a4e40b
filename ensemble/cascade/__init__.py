"""Nets asked in turn, until one is sure enough: the cheap opinion first.

>>> from ensemble.cascade import Cascade, Rule, answered, fitted, spent
>>> found = answered(logp, Rule(0.9, answer="replace"))     # from stored log-probabilities
>>> spent(found.asked, macs)                                # mean, p50, p99

Public names are loaded on first use, so that words and settings never pay for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ensemble.cascade.bounds import lost, needed, upper
    from ensemble.cascade.fitting import Fit, fitted
    from ensemble.cascade.module import Cascade
    from ensemble.cascade.rule import Asked, Rule
    from ensemble.cascade.stored import answered, spent
    from ensemble.cascade.timing import timed

_HOME = {
    "Asked": "rule",
    "Cascade": "module",
    "Fit": "fitting",
    "Rule": "rule",
    "answered": "stored",
    "fitted": "fitting",
    "lost": "bounds",
    "needed": "bounds",
    "spent": "stored",
    "timed": "timing",
    "upper": "bounds",
}
__all__ = [
    "Asked",
    "Cascade",
    "Fit",
    "Rule",
    "answered",
    "fitted",
    "lost",
    "needed",
    "spent",
    "timed",
    "upper",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(
            f"module 'ensemble.cascade' has no attribute {name!r}; it has {', '.join(__all__)}"
        )
    globals()[name] = value = getattr(import_module(f"ensemble.cascade.{_HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    return __all__
