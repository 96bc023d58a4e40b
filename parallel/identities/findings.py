"""Shows anyone the identities that strategies must fulfil: `python -m parallel verify`.

`verify pipeline` shows those of pipelines: of prediction, schedules and weight policies.

`verify(strategy)` does the same for a strategy, a weight policy or a schedule of yours: an object,
or what makes one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from harness import flags
from harness.names import check
from harness.result import export
from harness.result.findings import Findings, find, tell

if TYPE_CHECKING:
    from parallel.identities.chosen import Thing

WORLDS = ("sim", "procs")


@dataclass(frozen=True)
class Options:
    """Checks the identities of strategies; exit status 1 if one does not hold."""

    names: Annotated[
        tyro.conf.Positional[tuple[str, ...]],
        tyro.conf.arg(metavar="[NAME ...]", help_behavior_hint="(default: all strategies)"),
    ] = ()
    """Which strategies; pipeline, and weight policies or schedules of pipelines after it."""
    world: Literal["sim", "procs"] = "sim"
    """procs also compares processes with the simulation."""
    json: bool = False
    """Print a list of objects, one per identity."""
    to: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the table there: as .csv, .tex, .md or .json, by the name's ending."""


def verify(strategy: "Thing", world: str = "sim") -> Findings:
    """Check all identities that apply to a strategy: `print(verify(Yours()))`.

    Args:
        strategy: A strategy, a weight policy or a schedule of pipelines: by name, an object, or
            what makes one. "pipeline": what prediction is, whatever the policy.
        world: "sim", or "procs": also in processes.

    Raises:
        ValueError: an unknown name, or "procs" in a script without a main guard.
    """
    from parallel.identities.by_torch import notes
    from parallel.identities.chosen import chosen
    from parallel.world.procs import NoGuard, end_readers

    if check("world", world, WORLDS) == "procs":
        end_readers()
    name, identities = chosen(strategy, world)
    # (a script without a main guard is no fault of the strategy)
    found = (find(name, *identity, through=(NoGuard,)) for identity in identities)
    return Findings(found, notes(world) if name.lower().startswith("zero") else ())


def main(argv: Sequence[str]) -> int:
    """Check the identities that the command line asks for, and print or write them."""
    options = flags.read(Options, argv, "python -m parallel verify")
    export.check(options.to)
    from parallel.identities.chosen import names

    parts = [verify(name, options.world) for name in names(options.names)]
    told = dict.fromkeys(note for part in parts for note in part.notes)
    found = Findings((f for part in parts for f in part), told)
    return tell(found, "strategy", options.json, options.to)
