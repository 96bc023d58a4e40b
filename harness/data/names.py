"""Names the data sets and where they live; imports no torch, so that --help stays fast.

A loader is a function of (root, official) that returns a Data, or where one is, "module:function".
A study adds its own in its experiments.py, by a line:

    DATASETS["mine"] = "mystudy.data:mine"

    def mine(root, official):                  # in mystudy/data.py
        return Data.from_csv(root / "mine.csv", target="species")

A name `csv:FILE` or `csv:FILE:COLUMN` needs no line: it is that file, and its last (or that) column
is what to predict.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.names import check

DATASETS: dict[str, str | Callable[[Path, bool], Any]] = {
    "iris": "harness.data.embedded:iris",
    "digits": "harness.data.embedded:digits",
    "synthetic": "harness.data.embedded:synthetic",
    "synthetic_images": "harness.data.embedded:synthetic_images",
    "mnist": "harness.data.idx:mnist",
    "fashion_mnist": "harness.data.idx:fashion_mnist",
    "cifar10": "harness.data.cifar:cifar10",
    "cifar100": "harness.data.cifar:cifar100",
}
SPLITS = ("official", "holdout")
CSV = "csv:"


class DataError(ValueError):
    """Raised for data that is missing or damaged, so that no arm of a plan can run."""


def check_dataset(name: str) -> str:
    """Return the name itself if it is one of DATASETS or names a CSV file.

    Raises:
        ValueError: it is neither; says which one is near, or how to name a file.
    """
    if not name.startswith(CSV):
        return check("data set", name, [*DATASETS, "csv:FILE"])
    if name == CSV:
        raise ValueError(f"data set {name!r}: expected csv:FILE or csv:FILE:COLUMN")
    return name


def csv_parts(name: str) -> tuple[Path, str | None]:
    """Split `csv:FILE[:COLUMN]` into file and target column; a file name may hold colons."""
    text = name.removeprefix(CSV)
    file, colon, column = text.rpartition(":")
    if not colon or Path(text).exists():
        return Path(text).expanduser(), None
    return Path(file).expanduser(), column


def data_root(root: str | Path | None = None) -> Path:
    """Return the folder in which downloaded data sets live."""
    return Path(root or os.environ.get("IDDL_DATA") or "~/.cache/iddl").expanduser()
