"""What checking identities has found: how far off each is, how far it may be, and whether it holds.

bitwise     the same operations in the same order: not one bit differs
rounding    the same mathematics in another order: float64, 1e-12 apart, or a bound of its own
exact       whole numbers
negative    must differ by more than its bound: shows that the check can tell
"""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.result import export, screen

LIMITS = {"bitwise": 0.0, "rounding": 1e-12, "exact": 0.0, "negative": 1e-3}


@dataclass(frozen=True)
class Finding:
    """One identity of a subject; a negative one is fulfilled by a deviation above its bound."""

    subject: str
    identity: str
    kind: str
    deviation: float
    bound: float
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether the identity holds."""
        if self.error:
            return False
        far = self.deviation > self.bound
        return far if self.kind == "negative" else self.deviation <= self.bound


class Findings(list[Finding]):
    """The list that a verify returns; it prints as a table, and is `ok` where all of it holds.

    `notes` say what could not be checked here, and what to do about that.
    """

    def __init__(self, found: Iterable[Finding] = (), notes: Iterable[str] = ()):
        super().__init__(found)
        self.notes = tuple(notes)

    @property
    def ok(self) -> bool:
        """Whether every identity holds."""
        return all(f.ok for f in self)

    @property
    def title(self) -> str:
        """How many hold."""
        return f"{sum(f.ok for f in self)} of {len(self)} identities hold"

    def __repr__(self) -> str:
        lines = [
            f"{'ok    ' if f.ok else 'FAILED'} {f.subject}: {f.identity} ({f.kind}, "
            f"{f.error or f'{f.deviation:.1e}'}, bound {f.bound:.1e})"
            for f in self
        ]
        return "\n".join([*lines, self.title, *self.notes])


def find(
    subject: str,
    identity: str,
    kind: str,
    check: Callable[[], float],
    bound: float | None = None,
    through: tuple[type[Exception], ...] = (),
) -> Finding:
    """Check an identity; what breaks is no deviation but an error in words.

    Args:
        subject: Whose identity it is.
        identity: Its title.
        kind: Its class, of LIMITS.
        check: Computes how far off it is.
        bound: How far it may be; None: as far as its class.
        through: Errors that say nothing of the subject, and are the caller's.
    """
    limit = LIMITS[kind] if bound is None else bound
    try:
        return Finding(subject, identity, kind, float(check()), limit)
    except through:
        raise
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        return Finding(subject, identity, kind, math.nan, limit, text)


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


def tell(found: Findings, subject: str, as_json: bool, to: Path | None) -> int:
    """Print findings, and write them to a file if asked to; returns the exit status of a verb.

    Args:
        found: The findings.
        subject: Head of the first column.
        as_json: Print a list of objects and nothing else.
        to: A file for the table.
    """
    heads = [subject, "identity", "class", "worst deviation", "bound", ""]
    lines, rows = objects(found), cells(found)
    if to:
        export.write(to, lines, heads, rows)
    if as_json:
        print(json.dumps(lines))
    else:
        screen.show(found.title, heads, rows, ("identity",))
        for f in found:
            if f.error:
                print(f"{f.subject}, {f.identity}: {f.error}")
        print(*found.notes, sep="\n", end="\n" * bool(found.notes))
    return 0 if found.ok else 1
