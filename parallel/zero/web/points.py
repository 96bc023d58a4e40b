"""The points of the page: records of a checkout, as bytes a weight, so that nets of any size do.

held     what parameters, gradients and Adam's state take after a step (benchmarks.zero_torch)
room     all address space of a rank, of the largest net that trains in it (benchmarks.zero_room)
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parallel.strategy.zero import Held, held
from parallel.zero.formulas import STAGES

RECORDS = Path(__file__).resolve().parents[3] / "benchmarks"
NOTHING = "No record is beside this program: it lies in benchmarks/ of a checkout."
ADAM = Held(4, 4, 8)  # of both records: Adam, float32
WHAT = {"held": "held after a step", "room": "all address space"}


@dataclass(frozen=True)
class Point:
    """Bytes of a rank for each weight of a net, measured and by the formula."""

    kind: str
    name: str
    strategy: str
    ranks: int
    weights: int
    measured: float
    formula: float

    @property
    def what(self) -> str:
        """What was measured, in words."""
        return WHAT[self.kind]

    @property
    def ours(self) -> bool:
        """Whether a strategy of this library was measured, and not a class of torch's."""
        return self.name == self.strategy


def read() -> list[Point]:
    """Return what is on record; nothing where the program is installed without its records."""
    found = [_held(line) for line in _lines("zero_torch")]
    record = _record("zero_room")
    return found + [_room(line, record["room"]) for line in record.get("lines", ())]


def setting(found: list[Point]) -> tuple[int, int, str, str] | None:
    """Return weights, ranks, optimizer and precision of what is held on record."""
    point = next((p for p in found if p.kind == "held"), None)
    return (point.weights, point.ranks, "adam", "float32") if point else None


def _held(line: dict[str, Any]) -> Point:
    weights, n = round(line["model"] / ADAM.parameters), line["ranks"]
    by = {held(k, weights, n, ADAM).total: name for k, name in reversed([*enumerate(STAGES)])}
    each = line["held"] / weights, line["formula"] / weights
    return Point("held", line["name"], by[line["formula"]], n, weights, *each)


def _room(line: dict[str, Any], room: int) -> Point:
    name, n, weights = line["strategy"], line["ranks"], line["weights"]
    formula = held(STAGES.index(name), weights, n, ADAM).total
    return Point("room", name, name, n, weights, room / weights, formula / weights)


def _lines(name: str) -> list[dict[str, Any]]:
    return _record(name).get("lines", [])


def _record(name: str) -> dict[str, Any]:
    path = RECORDS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}
