"""Reads a CSV file as tensors: numbers to read, a column to predict, and no silent guess."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from harness.data.names import DataError
from harness.names import unknown


def read(path: str | Path) -> tuple[Any, str]:
    """Read the table; returns it with a name that changes with its content.

    Raises:
        DataError: no such file, or no table of at least two columns.
    """
    import pandas

    path = Path(path).expanduser()
    if not path.exists():
        raise DataError(f"{path} cannot be read as CSV: there is no such file{_seen_from(path)}")
    try:
        table = pandas.read_csv(path)
        name = said(path)
    except (OSError, ValueError) as error:  # (pandas' errors of parsing are ValueErrors)
        raise DataError(f"{path} cannot be read as CSV: {error}") from None
    if len(table.columns) < 2 or not len(table):
        raise DataError(
            f"{path} has {len(table)} lines of {len(table.columns)} columns below its head; "
            "expected inputs and a target, separated by commas, with a head"
        )
    return table, name


def said(path: Path) -> str:
    """Return the name of a file with a checksum of what is in it."""
    return f"{path.name} ({hashlib.sha256(path.read_bytes()).hexdigest()[:8]})"


def _seen_from(path: Path) -> str:
    """Where a relative name is looked for."""
    return "" if path.is_absolute() else f" in {Path.cwd()}"


def inputs(table: Any, columns: Sequence[str], where: str) -> torch.Tensor:
    """Return these columns as a float32 tensor.

    Raises:
        DataError: a column that is missing, is no numbers, or has empty cells.
    """
    import pandas

    for name in columns:
        column = _column(table, name, where)
        if not pandas.api.types.is_numeric_dtype(column):
            raise DataError(
                f"column {name!r} of {where} holds text such as {str(column.iloc[0])!r}: only "
                "numbers can be read; leave it out (drop=...) or make numbers of it"
            )
    return torch.tensor(table[list(columns)].to_numpy("float32"))


def target(table: Any, name: str, where: str) -> list[Any]:
    """Return the column to predict, as text, booleans or whole numbers.

    Raises:
        DataError: it is missing, has empty cells, or holds numbers with a fraction.
    """
    import pandas

    column = _column(table, name, where)
    if pandas.api.types.is_float_dtype(column):
        broken = column[column % 1 != 0]
        if len(broken):
            raise DataError(
                f"column {name!r} of {where} holds {broken.iloc[0]}: what is predicted is a class, "
                "text or a whole number; name the column of the classes as target"
            )
        column = column.astype("int64")
    return column.tolist()


def number(values: Sequence[Any], classes: Sequence[Any], where: str) -> torch.Tensor:
    """Return the place of each value in the list of classes.

    Raises:
        DataError: a value that is none of them.
    """
    places = {name: i for i, name in enumerate(classes)}
    for value in values:
        if value not in places:
            raise DataError(
                f"{where} has class {value!r}, which the training part has not: "
                f"{', '.join(map(str, classes))}"
            )
    return torch.tensor([places[value] for value in values])


def _column(table: Any, name: str, where: str) -> Any:
    """Return a column of the table, which must not have gaps."""
    if name not in table.columns:
        raise DataError(f"{where}: {unknown('column', name, map(str, table.columns))}")
    column = table[name]
    empty = column.isna() | column.isin([float("inf"), float("-inf")])
    if empty.any():
        raise DataError(
            f"column {name!r} of {where} has {int(empty.sum())} empty or infinite cells, the first "
            f"in line {int(empty.to_numpy().argmax()) + 2}: fill them or leave these lines out"
        )
    return column
