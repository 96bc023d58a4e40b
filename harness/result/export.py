"""A table as a file, `--to FILE`, for a spreadsheet, a paper, a page or a program.

.csv    the numbers with all their digits, one column for each key
.json   the same objects as --json prints
.tex    what the terminal shows, as a LaTeX tabular that needs booktabs
.md     what the terminal shows, as a table of Markdown
"""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.record import store

Objects = Sequence[dict[str, Any]]
Rows = Sequence[Sequence[str]]


def check(path: Path | None) -> None:
    """Raise ValueError for a file name whose ending names no form, before anything is computed."""
    if path is not None and path.suffix not in FORMS:
        *some, last = FORMS
        raise ValueError(
            f"--to got {str(path)!r}; expected a file that ends in {', '.join(some)} or {last}, "
            f"such as {path.stem or 'table'}.csv"
        )


def write(path: Path, objects: Objects, heads: Sequence[str], rows: Rows) -> Path:
    """Write the table in the form that the name asks for; `objects` are its rows as data."""
    check(path)
    return store.write(path, FORMS[path.suffix](objects, heads, rows))


def as_csv(objects: Objects, heads: Sequence[str] = (), rows: Rows = ()) -> str:
    """Return CSV text with a column for each key that some row has.

    Lists are written as JSON, and a value that a row lacks as an empty cell.
    """
    keys = list(dict.fromkeys(key for line in objects for key in line))
    text = io.StringIO()
    writer = csv.DictWriter(text, keys, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _plain(value) for key, value in line.items()} for line in objects)
    return text.getvalue()


def as_json(objects: Objects, heads: Sequence[str] = (), rows: Rows = ()) -> str:
    """Return the rows as JSON text: a list with one object per row."""
    return json.dumps(list(objects), indent=1) + "\n"


def as_latex(objects: Objects, heads: Sequence[str], rows: Rows) -> str:
    """Return a LaTeX tabular with names set to the left and numbers to the right."""
    import pandas

    frame = pandas.DataFrame([list(row) for row in rows], columns=list(heads), dtype=str)
    sides = "l" + "r" * (len(heads) - 1)
    text = frame.to_latex(index=False, escape=True, column_format=sides)
    return "% \\usepackage{booktabs}\n" + text.replace("±", "$\\pm$")


def as_markdown(objects: Objects, heads: Sequence[str], rows: Rows) -> str:
    """Return a Markdown table with a line of dashes below its heads."""
    rule = [":---"] + ["---:"] * (len(heads) - 1)
    lines = ([cell.replace("|", "\\|") for cell in row] for row in (heads, rule, *rows))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


FORMS = {".csv": as_csv, ".tex": as_latex, ".md": as_markdown, ".json": as_json}


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | tuple | dict) else value
