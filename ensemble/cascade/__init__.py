"""Nets asked in turn, until one is sure enough: the cheap opinion first.

>>> from ensemble.cascade import Cascade, Rule, answered, fitted, spent
>>> found = answered(logp, Rule(0.9, answer="replace"))     # from stored log-probabilities
>>> spent(found.asked, macs)                                # mean, p50, p99

Public names are loaded on first use, so that words and settings never pay for torch.
"""

from typing import TYPE_CHECKING

from harness.lazy import lazily

if TYPE_CHECKING:
    from ensemble.cascade.bounds import lost as lost
    from ensemble.cascade.bounds import needed as needed
    from ensemble.cascade.bounds import upper as upper
    from ensemble.cascade.fitting import Fit as Fit
    from ensemble.cascade.fitting import fitted as fitted
    from ensemble.cascade.module import Cascade as Cascade
    from ensemble.cascade.rule import Asked as Asked
    from ensemble.cascade.rule import Rule as Rule
    from ensemble.cascade.stored import answered as answered
    from ensemble.cascade.stored import spent as spent
    from ensemble.cascade.timing import timed as timed

_HOME = {
    "Asked": "ensemble.cascade.rule",
    "Cascade": "ensemble.cascade.module",
    "Fit": "ensemble.cascade.fitting",
    "Rule": "ensemble.cascade.rule",
    "answered": "ensemble.cascade.stored",
    "fitted": "ensemble.cascade.fitting",
    "lost": "ensemble.cascade.bounds",
    "needed": "ensemble.cascade.bounds",
    "spent": "ensemble.cascade.stored",
    "timed": "ensemble.cascade.timing",
    "upper": "ensemble.cascade.bounds",
}
__all__ = sorted(_HOME)  # pyright: ignore
__getattr__, __dir__ = lazily(__name__, _HOME)
