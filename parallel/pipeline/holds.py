"""What a weight policy has each stage hold, in theory: `python -m parallel schedule --weights`.

    stage   delay   ahead (F, B)   versions kept   beside   bytes

`versions` are those of the stage's weights, true or predicted, once the pipeline is full; `beside`
is what else has their size, such as PipeMare's drift. The optimizer's own state is not counted.
"""

from typing import Any

from rich.console import Console

from harness.result import screen
from parallel.pipeline.weights import Policy

HEADS = ["stage", "delay", "ahead (F, B)", "versions kept", "beside", "bytes"]


def holds(policy: Policy, stages: int, size: int | None) -> list[dict[str, Any]]:
    """For each stage what the policy says of it; bytes where the size of its weights is known.

    Args:
        policy: The policy.
        stages: How many.
        size: Bytes of the weights of a stage.
    """
    found = []
    for k in range(stages):
        theory = {"beside": 0, **policy.theory(k, stages)}
        copies = theory["versions"] + theory["beside"]
        found.append({"stage": k, **theory, "bytes": None if size is None else copies * size})
    return found


def text(name: str, rows: list[dict[str, Any]], width: int) -> str:
    """The same as a table for people, with what all stages hold."""
    cells = [_cells(row) for row in rows]
    copies = sum(row["versions"] + row["beside"] for row in rows)
    times = f"{copies / len(rows):.3g} times the net's weights, for even stages"
    said = f"{name}: {copies} copies of the weights of a stage ({times})"
    if rows[0]["bytes"] is not None:
        said += f", {sum(row['bytes'] for row in rows):,} bytes"
    console = Console(width=width, highlight=False)
    with console.capture() as capture:
        console.print(*screen.layout(HEADS, cells, width), sep="\n\n")
    return f"\n{said}\n{capture.get().rstrip()}"


def _cells(row: dict[str, Any]) -> list[str]:
    size = "?" if row["bytes"] is None else f"{row['bytes']:,}"
    ahead = ", ".join(map(str, row["ahead"]))
    plain = [str(row[key]) for key in ("stage", "delay")]
    return [*plain, ahead, str(row["versions"]), str(row["beside"]), size]
