"""What benchmarks do with what they have measured: a record, one JSON document, or tables."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.names import check
from harness.record import store
from harness.result import screen

Lines = Sequence[Mapping[str, Any]]


def expect(what: str, names: Iterable[str], there: Iterable[str]) -> None:
    """End the command with the nearest name where one of these is not there."""
    try:
        for name in names:
            check(what, name, there)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def written(options: Any, document: Mapping[str, Any]) -> bool:
    """Write the record to `options.out`, and print it with `options.json`; returns whether printed.

    Then nothing else may be printed.
    """
    if options.out:
        store.write(options.out, json.dumps(document, indent=1) + "\n")
    if options.json:
        print(json.dumps(document))
    return options.json


def told(options: Any, document: Mapping[str, Any], parts: Iterable[str]) -> int:
    """Write the record, and show these parts of it as tables unless JSON was asked for."""
    if not written(options, document):
        for part in parts:
            show(part, document[part])
    return 0


def show(title: str, lines: Lines) -> None:
    """Show lines of the same names as a table; wall times, which stand in the record, are not."""
    if lines:
        heads = [head for head in lines[0] if "wall" not in head]
        screen.show(title, heads, [[_text(line[head]) for head in heads] for line in lines])


def _text(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
