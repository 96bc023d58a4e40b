"""Early exits for any net with stages; no model is imported here.

>>> from harness.exits import attach, fit, record
>>> net = attach(nn.Sequential(...), after=(1, 2), shape=(3, 32, 32), classes=10)
>>> answers = net.eval().early(x, thresholds=0.8)            # sure samples leave the batch
>>> best = fit(record(net, held_out_x, held_out_y), accuracy=0.9)

Public names are loaded on first use, so that words and settings never pay for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.exits.criteria import CRITERIA
    from harness.exits.exits import Answers, EarlyExit, attach, losses
    from harness.exits.fitting import fit
    from harness.exits.recording import Record, record
    from harness.exits.thresholds import Outcome, outcome, sweep
    from harness.exits.timing import measure

_HOME = {
    "Answers": "exits",
    "CRITERIA": "criteria",
    "EarlyExit": "exits",
    "Outcome": "thresholds",
    "Record": "recording",
    "attach": "exits",
    "fit": "fitting",
    "losses": "exits",
    "measure": "timing",
    "outcome": "thresholds",
    "record": "recording",
    "sweep": "thresholds",
}
__all__ = [
    "CRITERIA",
    "Answers",
    "EarlyExit",
    "Outcome",
    "Record",
    "attach",
    "fit",
    "losses",
    "measure",
    "outcome",
    "record",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(
            f"module 'harness.exits' has no attribute {name!r}; it has {', '.join(__all__)}"
        )
    globals()[name] = value = getattr(import_module(f"harness.exits.{_HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    return __all__
