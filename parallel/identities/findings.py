"""Shows anyone the identities that strategies must fulfil: `python -m parallel verify`.

    bitwise      the same operations in the same order: not one bit differs
    rounding     the same mathematics in another order: float64, at most 1e-12 apart
    exact        integers
    negative     must differ: shows that the test can tell

`verify pipeline` shows those of pipelines: of prediction, schedules and weight policies.

`verify(strategy)` does the same for a strategy, a weight policy or a schedule of yours: an object,
or what makes one.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from harness import flags
from harness.names import check
from harness.result import export, screen

if TYPE_CHECKING:
    from parallel.identities.chosen import Thing

CLASSES = ("bitwise", "rounding", "exact", "negative")
WORLDS = ("sim", "procs")
LIMITS = {"bitwise": 0.0, "rounding": 1e-12, "exact": 0.0, "negative": 1e-3}


@dataclass(frozen=True)
class Finding:
    """One identity of one strategy; a negative one is fulfilled by a deviation above its limit."""

    strategy: str
    identity: str
    kind: str
    deviation: float
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether the identity holds."""
        if self.error:
            return False
        limit = LIMITS[self.kind]
        return self.deviation > limit if self.kind == "negative" else self.deviation <= limit


class Findings(list):
    """The list that verify returns; it prints as a table, and is `ok` where all of it holds."""

    @property
    def ok(self) -> bool:
        """Whether every identity holds."""
        return all(f.ok for f in self)

    def __repr__(self) -> str:
        lines = [
            f"{'ok    ' if f.ok else 'FAILED'} {f.strategy}: {f.identity} ({f.kind}, "
            f"{f.error or f'{f.deviation:.1e}'})"
            for f in self
        ]
        return "\n".join([*lines, f"{sum(f.ok for f in self)} of {len(self)} identities hold"])


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
    from parallel.identities.chosen import chosen
    from parallel.world.procs import NoGuard, end_readers

    if check("world", world, WORLDS) == "procs":
        end_readers()
    name, identities = chosen(strategy, world)
    found = Findings()
    for identity, kind, check_it in identities:
        try:
            found.append(Finding(name, identity, kind, float(check_it())))
        except NoGuard:  # nothing is wrong with the strategy
            raise
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            found.append(Finding(name, identity, kind, float("nan"), text))
    return found


HEADS = ["strategy", "identity", "class", "worst deviation", ""]


def objects(found: Sequence[Finding]) -> list[dict[str, Any]]:
    """Return what --json prints and files hold; where a check broke there is no deviation."""
    lines = [{"name": f"{f.strategy}: {f.identity}", **asdict(f), "ok": f.ok} for f in found]
    return [line | ({"deviation": None} if line["error"] else {}) for line in lines]


def cells(found: Sequence[Finding]) -> list[list[str]]:
    """Return the same as the texts of a table."""
    words = ("FAILED", "ok")
    return [[f.strategy, f.identity, f.kind, f"{f.deviation:.1e}", words[f.ok]] for f in found]


def main(argv: Sequence[str]) -> int:
    """Check the identities that the command line asks for, and print or write them."""
    options = flags.read(Options, argv, "python -m parallel verify")
    export.check(options.to)
    from parallel.identities.chosen import names

    found = [f for name in names(options.names) for f in verify(name, options.world)]
    lines, rows = objects(found), cells(found)
    if options.to:
        export.write(options.to, lines, HEADS, rows)
    if options.json:
        print(json.dumps(lines))
    else:
        screen.show(
            f"{sum(f.ok for f in found)} of {len(found)} identities hold",
            HEADS,
            rows,
            ("identity",),
        )
        for f in found:
            if f.error:
                print(f"{f.strategy}, {f.identity}: {f.error}")
    return 0 if all(f.ok for f in found) else 1
