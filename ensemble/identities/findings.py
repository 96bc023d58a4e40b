"""Shows anyone the identities that ensembles must fulfil: `python -m ensemble verify`.

A subject is a module beside this one with `identities()`, which yields what is to be shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated

import tyro

from harness import flags
from harness.names import check
from harness.result import export
from harness.result.findings import Findings, find, tell

SUBJECTS = {
    "members": "ensemble.identities.joining",
    "combine": "ensemble.identities.combining",
    "scores": "ensemble.identities.scoring",
    "cascade": "ensemble.identities.cascading",
    "boosting": "ensemble.identities.boosting",
    "training": "ensemble.identities.training",
}


@dataclass(frozen=True)
class Options:
    """Checks the identities that ensembles must fulfil; exit status 1 if one does not hold."""

    names: Annotated[
        tyro.conf.Positional[tuple[str, ...]],
        tyro.conf.arg(metavar="[SUBJECT ...]", help_behavior_hint="(default: all subjects)"),
    ] = ()
    """Which subjects."""
    json: bool = False
    """Print a list of objects, one per identity."""
    to: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the table there: as .csv, .tex, .md or .json, by the name's ending."""


def verify(*subjects: str) -> Findings:
    """Check the identities of some subjects, or of all: `print(verify("cascade"))`.

    Raises:
        ValueError: an unknown subject.
    """
    for name in subjects:
        check("subject", name, SUBJECTS)
    found = Findings()
    for name in subjects or SUBJECTS:
        for each in import_module(SUBJECTS[name]).identities():
            found.append(find(name, each.title, each.kind, each.check, each.limit))
    return found


def main(argv: Sequence[str]) -> int:
    """Check the identities that the command line asks for, and print or write them."""
    options = flags.read(Options, argv, "python -m ensemble verify")
    export.check(options.to)
    return tell(verify(*options.names), "subject", options.json, options.to)
