"""Several nets as one: their answers combined, scored, calibrated, and asked for in turn.

>>> from ensemble import Ensemble
>>> net = Ensemble(factory, 9, seed=0)                  # or Ensemble([a, b, c])
>>> net(x)                                              # the log of the pooled probabilities

>>> from ensemble import log_probabilities, scored
>>> logp = log_probabilities(net.members(x))            # (members, samples, classes)
>>> scored(logp, y)                                     # accuracy, nll, brier, ece, ...

>>> from ensemble import Cascade
>>> net = Cascade([sparse, dense], thresholds=0.9, answer="replace", shape=(784,)).eval()
>>> net.fit(held_out_x, held_out_y, split="validation") # loses at most .005, 95 % sure

>>> from ensemble import BoostedNets, Training, made
>>> nets = Training(made(factory, 9), x, y, epochs=10).fit()   # independent, or bagged
>>> BoostedNets(factory, n_estimators=9).fit(x, y).predict(x)   # as a classifier of scikit-learn

Public names are loaded on first use, so that `import ensemble` never pays for torch.
"""

from importlib import import_module, metadata
from typing import Any

_HOME = {
    "BatchEnsembleLinear": "ensemble.shared",
    "BoostedNets": "ensemble.face",
    "Boosting": "ensemble.fit.boosting",
    "Calibrated": "ensemble.calibrate",
    "Cascade": "ensemble.cascade.module",
    "Ensemble": "ensemble.members",
    "PackedLinear": "ensemble.packed",
    "Rule": "ensemble.cascade.rule",
    "Training": "ensemble.fit.training",
    "averaged": "ensemble.averaging",
    "boost": "ensemble.boosting.learner",
    "decided": "ensemble.combine",
    "designed": "ensemble.designs",
    "log_probabilities": "ensemble.checks",
    "made": "ensemble.given",
    "packed_conv2d": "ensemble.packed",
    "pooled": "ensemble.combine",
    "scored": "ensemble.metrics",
    "snapshots": "ensemble.averaging",
    "temperature": "ensemble.calibrate",
    "tempered": "ensemble.calibrate",
    "verify": "ensemble.identities.findings",
}
__all__ = sorted(_HOME)  # pyright: ignore


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return metadata.version("iddl")
    if name not in _HOME:
        raise AttributeError(
            f"module 'ensemble' has no attribute {name!r}; it has {', '.join(__all__)}"
        )
    globals()[name] = value = getattr(import_module(_HOME[name]), name)
    return value


def __dir__():
    return __all__
