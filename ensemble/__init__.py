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

from typing import TYPE_CHECKING

from harness.lazy import lazily

if TYPE_CHECKING:
    from ensemble.averaging import averaged as averaged
    from ensemble.averaging import snapshots as snapshots
    from ensemble.boosting.learner import boost as boost
    from ensemble.calibrate import Calibrated as Calibrated
    from ensemble.calibrate import temperature as temperature
    from ensemble.calibrate import tempered as tempered
    from ensemble.cascade.module import Cascade as Cascade
    from ensemble.cascade.rule import Rule as Rule
    from ensemble.checks import log_probabilities as log_probabilities
    from ensemble.combine import decided as decided
    from ensemble.combine import pooled as pooled
    from ensemble.designs import designed as designed
    from ensemble.face import BoostedNets as BoostedNets
    from ensemble.fit.boosting import Boosting as Boosting
    from ensemble.fit.training import Training as Training
    from ensemble.given import made as made
    from ensemble.identities.findings import verify as verify
    from ensemble.members import Ensemble as Ensemble
    from ensemble.metrics import scored as scored
    from ensemble.packed import PackedLinear as PackedLinear
    from ensemble.packed import packed_conv2d as packed_conv2d
    from ensemble.shared import BatchEnsembleLinear as BatchEnsembleLinear

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
__getattr__, __dir__ = lazily(__name__, _HOME)
