"""`python -m parallel schedule 1f1b --stages 4 --micro 8`: what a schedule does, and what it costs.

`--weights pipedream` also shows what a weight policy holds (parallel.pipeline.holds).

Nothing is trained, and nothing is measured: the times follow from the table and from --costs.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from harness import flags
from harness.names import check
from harness.result import screen
from parallel.pipeline.actions import OPS, Table
from parallel.pipeline.clock import UNIT, Clock, simulate
from parallel.pipeline.schedules import SCHEDULES, schedule
from parallel.pipeline.summary import facts, text

OTHERS = (".pdf", ".svg", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
SEPARATORS = tuple(filter(None, (os.sep, os.altsep)))


@dataclass(frozen=True)
class Options:
    """Show a pipeline schedule: its table over time, its bubble, what it holds, how stale it is."""

    name: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="SCHEDULE")]]
    """naive, gpipe, 1f1b, interleaved, zb_h1, zbv or async_1f1b."""
    stages: int = 4
    """Into how many parts the net is cut, over all ranks."""
    micro: int | None = None
    """Into how many micro-batches a minibatch is cut; default: 8, of async_1f1b 1."""
    minibatches: int | None = None
    """How many are trained; default: 1, of async_1f1b twice the stages."""
    chunks: int | None = None
    """Stages on each rank, of interleaved (default: 2) and zb_h1 (default: 1)."""
    costs: Annotated[str, tyro.conf.arg(metavar="F=1,B=2,...")] = ""
    """How long each takes, 1F=3 on stage 1 only; default: F=1,B=2,I=1,W=1,U=0."""
    communication: str = "0"
    """How long a tensor is on its way from rank to rank, in the same unit."""
    weights: Annotated[str, tyro.conf.arg(metavar="POLICY")] = ""
    """Also what a weight policy (pipedream, ...) holds in each stage; goes with 1f1b unflushed."""
    stage_bytes: int | None = None
    """Bytes of the weights of one stage, for those that the policy holds."""
    draw: Annotated[str, tyro.conf.arg(metavar="FILE")] = ""
    """Also write FILE.png, FILE.eps and FILE.json; a folder (FOLDER/): a name is chosen."""
    json: bool = False
    """Print one JSON object, and nothing else."""

    def table(self) -> Table:
        """The schedule that is asked for.

        Raises:
            ValueError: unknown, or of sizes that it cannot have.
        """
        check("schedule", self.name, SCHEDULES)
        if self.stage_bytes is not None and (not self.weights or self.stage_bytes < 1):
            raise ValueError(
                f"--stage-bytes {self.stage_bytes}: expected 1 or more, with --weights POLICY"
            )
        stream = self.name == "async_1f1b" or bool(self.weights)
        micro = self.micro
        if micro is None:
            micro = max(1, self.stages - 1) if self.weights == "two_bw" else 1 if stream else 8
        minibatches = self.minibatches
        if minibatches is None:
            minibatches = 2 * self.stages if stream else 1
        chunks = {} if self.chunks is None else {"chunks": self.chunks}
        if self.weights:
            return self._unflushed(minibatches, micro)
        return schedule(self.name, self.stages, minibatches, micro, **chunks)

    def _unflushed(self, minibatches: int, micro: int) -> Table:
        """That of a pipeline with these weights, which checks that they go together."""
        from parallel.pipeline.pipeline import Pipeline  # (this one needs torch)

        how = Pipeline(self.stages, self.name, self.weights, micro, self.chunks)
        return how.table(minibatches)

    def held(self) -> list[dict[str, Any]]:
        """What the policy holds in each stage; nothing without one."""
        if not self.weights:
            return []
        from parallel.pipeline.holds import holds
        from parallel.pipeline.policies import policy

        return holds(policy(self.weights), self.stages, self.stage_bytes)


def main(argv: Sequence[str]) -> int:
    """Run the verb."""
    options = flags.read(Options, argv, "python -m parallel schedule")
    table = options.table()
    costs = {**UNIT, **read_costs(options.costs, table)}
    clock = simulate(table, costs, _number(options.communication, "--communication"))
    paths = _draw(options.draw, clock) if options.draw else []
    held = options.held()
    if options.json:
        own = {"policy": options.weights, "held": held} if held else {}
        print(json.dumps({**facts(clock), **own, "paths": [str(path) for path in paths]}))
        return 0
    width = screen.width_of(Console())
    print(text(clock, width))
    if held:
        from parallel.pipeline import holds

        print(holds.text(options.weights, held, width))
    print(*paths, sep="\n", end="\n" * bool(paths))
    return 0


def read_costs(text: str, table: Table) -> dict[Any, Fraction]:
    """`F=1,1B=5/2`: by op, or by stage and op.

    Raises:
        ValueError: no such form, or what the table has not.
    """
    found: dict[Any, Fraction] = {}
    ops = [op for op in OPS if any(a.op == op for row in table.ranks for a in row)]
    for part in filter(None, text.replace(" ", "").split(",")):
        key, equals, value = part.partition("=")
        if not equals or not key or (key[:-1] and not key[:-1].isdecimal()):
            raise ValueError(f"cost {part!r}: expected such as F=1,B=2, or 0F=1.5 on stage 0 only")
        op = check(f"cost of {table.name}", key[-1], ops)
        if key[:-1] and int(key[:-1]) >= table.stages:
            raise ValueError(f"cost {part!r}: expected a stage from 0 to {table.stages - 1}")
        found[(int(key[:-1]), op) if key[:-1] else op] = _number(value, f"cost {part!r}")
    return found


def _number(text: str, what: str) -> Fraction:
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{what}: expected a number such as 2, 1.5 or 3/2, got {text!r}") from None


def _draw(where: str, clock: Clock) -> list[Path]:
    """Write the picture; the suffix of a file is not needed, and a folder need not be there."""
    from harness.result import figure
    from parallel.pipeline.draw import data, timeline

    to = Path(where)
    if to.suffix in OTHERS:
        raise ValueError(f"--draw {where}: pictures are .png and .eps: name one, or no suffix")
    stem = to.with_suffix("") if to.suffix in (".png", ".eps", ".json") else to
    table = clock.table
    name = f"schedule_{table.name}_{table.stages}x{table.minibatches}x{table.micro}"
    stem = stem / name if where.endswith(SEPARATORS) or stem.is_dir() else stem
    try:
        return figure.save(timeline(clock), stem, data(clock))
    except OSError as error:
        raise OSError(f"cannot write {stem} ({error}): name another place with --draw") from None
