"""Tables and numbers of ZeRO for `pages.py`: what ranks hold, beside torch's, and what fits."""

import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from harness.result.pages import Rows, fixed

RECORDS = Path(__file__).resolve().parent.parent / "benchmarks"


@cache
def record(name: str) -> dict[str, Any]:
    """Return the record of `python -m benchmarks.zero_torch` or `.zero_room`, read once."""
    return json.loads((RECORDS / f"{name}.json").read_text())


def beside_torch() -> Rows:
    """Return the table of what ranks hold and send, in bytes of the model."""
    lines = record("zero_torch")["lines"]
    ranks = sorted({line["ranks"] for line in lines})
    yield "", *(f"{what}, {n} ranks" for n in ranks for what in ("held", "sent"))
    for name in dict.fromkeys(line["name"] for line in lines):
        each = [line for n in ranks for line in lines if (line["name"], line["ranks"]) == (name, n)]
        yield f"`{name}`", *(cell for line in each for cell in (_held(line), _sent(line)))


def _held(line: dict[str, Any]) -> str:
    least, most, formula = (
        fixed(line[key] / line["model"], 2) for key in ("least", "held", "formula")
    )
    return f"{most if least == most else f'{least} to {most}'} ({formula})"


def _sent(line: dict[str, Any]) -> str:
    found, formula = (fixed(line[key] / line["model"], 2) for key in ("sent", "sent_formula"))
    return f"{found} ({formula})"


def shares(name: str) -> str:
    """Return the least and the most of the formula's weights that a strategy's net has."""
    found = [line["share"] for line in record("zero_room")["lines"] if line["strategy"] == name]
    return f"{fixed(100 * min(found), 0)} to {fixed(100 * max(found), 0)} %"


def gain() -> str:
    """Return how many times larger a net four ranks of zero3 train than those of all-reduce."""
    found = {
        line["strategy"]: line["weights"]
        for line in record("zero_room")["lines"]
        if line["ranks"] == 4
    }
    return fixed(found["zero3"] / found["all_reduce"], 1)


TABLES: dict[str, Callable[[], Rows]] = {"zero_torch": beside_torch}
VALUES: dict[str, Callable[[], str]] = {
    **{f"room_{name}": partial(shares, name) for name in ("all_reduce", "zero1", "zero2", "zero3")},
    "room_gain": gain,
}
