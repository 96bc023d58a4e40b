"""Does it matter that inputs are scaled? No torch here: --help reads only this file."""

from dataclasses import dataclass

from harness.data import DATASETS
from harness.plan import Plan

DATASETS["wine"] = f"{__package__}.trainer:wine"


@dataclass(frozen=True)
class Config:
    """An arm. A field on which all arms agree is an option of the command."""

    scale: bool = True
    """Whether each input gets mean 0 and deviation 1."""
    data: str = "wine"
    """Data set: wine, another name, or csv:FILE[:COLUMN]."""
    epochs: int = 20
    """Passes over the training set."""


PLANS = {
    "smoke": Plan(
        question="Three growers of wine, told apart by a net: must its inputs be scaled?",
        arms={"scaled": Config(), "raw": Config(scale=False)},
        seeds=tuple(range(5)),
        minutes=0.1,
        compare=(("scaled", "raw"),),
        metric="worst_recall",  # a key of the rows
        threads=1,  # small nets: one thread each, several at a time
    ),
}
