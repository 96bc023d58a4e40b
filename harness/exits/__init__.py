"""Early exits for any net with stages; no model is imported here.

>>> from harness.exits import attach, fit, record
>>> net = attach(nn.Sequential(...), after=(1, 2), shape=(3, 32, 32), classes=10)
>>> answers = net.eval().early(x, thresholds=0.8)            # sure samples leave the batch
>>> best = fit(record(net, held_out_x, held_out_y), accuracy=0.9)

Public names are loaded on first use, so that words and settings never pay for torch.
"""

from typing import TYPE_CHECKING

from harness.lazy import lazily

if TYPE_CHECKING:
    from harness.exits.criteria import CRITERIA as CRITERIA
    from harness.exits.exits import Answers as Answers
    from harness.exits.exits import EarlyExit as EarlyExit
    from harness.exits.exits import attach as attach
    from harness.exits.exits import losses as losses
    from harness.exits.fitting import fit as fit
    from harness.exits.recording import Record as Record
    from harness.exits.recording import record as record
    from harness.exits.thresholds import Outcome as Outcome
    from harness.exits.thresholds import outcome as outcome
    from harness.exits.thresholds import sweep as sweep
    from harness.exits.timing import measure as measure

_HOME = {
    "Answers": "harness.exits.exits",
    "CRITERIA": "harness.exits.criteria",
    "EarlyExit": "harness.exits.exits",
    "Outcome": "harness.exits.thresholds",
    "Record": "harness.exits.recording",
    "attach": "harness.exits.exits",
    "fit": "harness.exits.fitting",
    "losses": "harness.exits.exits",
    "measure": "harness.exits.timing",
    "outcome": "harness.exits.thresholds",
    "record": "harness.exits.recording",
    "sweep": "harness.exits.thresholds",
}
__all__ = sorted(_HOME)  # pyright: ignore
__getattr__, __dir__ = lazily(__name__, _HOME)
