"""Shows anyone the identities that ensembles must fulfil: `python -m ensemble verify`.

A subject is a module beside this one with `identities()`, which yields what is to be shown.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import tyro

from ensemble.identities.identity import Identity
from harness import flags
from harness.names import check
from harness.result import export, screen

SUBJECTS = {
    "members": "ensemble.identities.joining",
    "combine": "ensemble.identities.combining",
    "scores": "ensemble.identities.scoring",
    "cascade": "ensemble.identities.cascading",
    "boosting": "ensemble.identities.boosting",
    "training": "ensemble.identities.training",
}
HEADS = ["subject", "identity", "class", "worst deviation", "bound", ""]


@dataclass(frozen=True)
class Finding:
    """One identity, how far off it is, and how far it may be."""

    subject: str
    identity: str
    kind: str
    deviation: float
    bound: float
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether the identity holds: a negative one where it is further off than its bound."""
        if self.error:
            return False
        far = self.deviation > self.bound
        return far if self.kind == "negative" else self.deviation <= self.bound


class Findings(list):
    """The list that verify returns; it prints as a table, and is `ok` where all of it holds."""

    @property
    def ok(self) -> bool:
        """Whether every identity holds."""
        return all(f.ok for f in self)

    def __repr__(self) -> str:
        lines = [
            f"{'ok    ' if f.ok else 'FAILED'} {f.subject}: {f.identity} ({f.kind}, "
            f"{f.error or f'{f.deviation:.1e}'}, bound {f.bound:.1e})"
            for f in self
        ]
        return "\n".join([*lines, _title(self)])


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
        found += [_find(name, each) for each in import_module(SUBJECTS[name]).identities()]
    return found


def _find(subject: str, identity: Identity) -> Finding:
    words = subject, identity.title, identity.kind
    try:
        return Finding(*words, float(identity.check()), identity.bound)
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        return Finding(*words, math.nan, identity.bound, text)


def objects(found: Sequence[Finding]) -> list[dict[str, Any]]:
    """Return what --json prints and files hold; where a check broke there is no deviation."""
    lines = [{"name": f"{f.subject}: {f.identity}", **asdict(f), "ok": f.ok} for f in found]
    return [line | ({"deviation": None} if line["error"] else {}) for line in lines]


def cells(found: Sequence[Finding]) -> list[list[str]]:
    """Return the same as the texts of a table."""
    words = ("FAILED", "ok")
    return [
        [f.subject, f.identity, f.kind, f"{f.deviation:.1e}", _limit(f), words[f.ok]] for f in found
    ]


def _limit(f: Finding) -> str:
    sign = "> " if f.kind == "negative" else ""
    return f"{sign}{f.bound:.1e}" if f.bound else "0"


def _title(found: Sequence[Finding]) -> str:
    return f"{sum(f.ok for f in found)} of {len(found)} identities hold"


def main(argv: Sequence[str]) -> int:
    """Check the identities that the command line asks for, and print or write them."""
    options = flags.read(Options, argv, "python -m ensemble verify")
    export.check(options.to)
    found = verify(*options.names)
    lines, rows = objects(found), cells(found)
    if options.to:
        export.write(options.to, lines, HEADS, rows)
    if options.json:
        print(json.dumps(lines))
    else:
        screen.show(_title(found), HEADS, rows, ("identity",))
        for f in found:
            if f.error:
                print(f"{f.subject}, {f.identity}: {f.error}")
    return 0 if found.ok else 1
