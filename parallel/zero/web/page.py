"""Writes the page: the formulas' terms are asked of Python's, so that there is one source of them.

a kind of a strategy    is it a slice?   what the first of 2 ranks holds of 2 numbers: 1 or 2
what a step sends       in half rings    theory(1) of 2 ranks is one half of that
"""

from collections.abc import Iterable
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

from harness.record import store
from harness.result import onefile
from harness.result.page import table
from parallel.strategy import make
from parallel.strategy.zero import Held, held
from parallel.zero.formulas import STAGES, STATES, each_number
from parallel.zero.web import points

TEMPLATE = Path(__file__).with_name("memory.html")
PROGRAMS = "formula", "curves", "memory"
ONE = Held(1, 1, 1)
PRECISIONS = "mixed", "float32"
WEIGHTS, STEPS = range(5, 12), (1, 1.5, 2, 3, 5, 7.5)  # powers of ten, and what lies between
RANKS = [n for k in range(11) for n in (2**k, 3 * 2**k) if n <= 1024]


@dataclass(frozen=True)
class Setting:
    """Where the sliders stand."""

    params: int
    ranks: int
    optimizer: str
    precision: str
    activations: int = 0
    strategy: str = "zero2"


PAPER = Setting(7_500_000_000, 64, "adam", "mixed")


def write(path: Path, start: Setting) -> Path:
    """Write the page."""
    found = points.read()
    texts = {"terms": onefile.data(terms(start, found)), "measured": points_table(found)}
    return store.write(path, onefile.filled(TEMPLATE, PROGRAMS, texts))


def terms(start: Setting, found: list[points.Point]) -> dict[str, Any]:
    """Return all that the page's program knows: the formulas' terms, stops of sliders, points."""
    measured = points.setting(found)
    settings = [start, PAPER, *([Setting(*measured)] if measured else [])]
    return {
        "strategies": [term(stage, name) for stage, name in enumerate(STAGES)],
        "kinds": list(asdict(ONE)),
        "each": {p: {o: astuple(each_number(o, p)) for o in STATES} for p in PRECISIONS},
        "stops": stops(settings),
        "settings": dict(zip(("start", "paper", "measured"), map(asdict, settings), strict=False)),
        "points": [asdict(point) for point in found],
    }


def term(stage: int, name: str) -> dict[str, Any]:
    """Return which kinds a strategy cuts into slices, and how many half rings a step sends."""
    strategy = make(name)
    strategy.init(2)
    sliced = [count < 2 for count in astuple(held(stage, 2, 2, ONE))]
    return {"name": name, "sliced": sliced, "halves": 2 * strategy.theory(1)}


def stops(settings: Iterable[Setting]) -> dict[str, list[int]]:
    """Return where each slider may stand; what is set from the start is among it."""
    many = [int(step * 10**power) for power in WEIGHTS for step in STEPS] + [10**12]
    found = {"params": many, "ranks": RANKS, "activations": [0, *many]}
    return {
        name: sorted({*values, *(getattr(one, name) for one in settings)})
        for name, values in found.items()
    }


def points_table(found: list[points.Point]) -> str:
    """Return what was measured as a table, in bytes a weight; a sentence where there is nothing."""
    if not found:
        return f"<p>{points.NOTHING}</p>"
    heads = [
        "strategy or class",
        "what was measured",
        "weights",
        "ranks",
        "bytes a weight",
        "by the formula",
    ]
    rows = [
        [p.name, p.what, f"{p.weights:,}", str(p.ranks), f"{p.measured:.2f}", f"{p.formula:.2f}"]
        for p in found
    ]
    return table(heads, rows, "what was measured", words=[1])
