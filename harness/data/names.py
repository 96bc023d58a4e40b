"""Names the data sets and where they live; imports no torch, so that --help stays fast.

A loader is a function of (root, official) that returns a Data, or where one is, "module:function".
A study adds its own in its experiments.py, by a line:

    DATASETS["mine"] = "mystudy.data:mine"

    def mine(root, official):                  # in mystudy/data.py
        return Data.from_csv(root / "mine.csv", target="species")

A loader that can be told more takes it as keywords, and says so in a second line,

    OPTIONS["mine"] = ("length",)              # def mine(root, official, *, length=200)

which `load("mine", length=100)` and a study's `load(config.data, ..., **options(config))` use.

A name `csv:FILE` or `csv:FILE:COLUMN` needs no line: it is that file, and its last (or that) column
is what to predict.
"""

import os
from collections.abc import Callable, Iterable
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
    "imdb": "harness.data.imdb:imdb",
}
# What else a loader can be told, as keywords; a study's config has fields of these names.
OPTIONS: dict[str, tuple[str, ...]] = {"imdb": ("words", "length")}
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


def options(config: Any) -> dict[str, Any]:
    """What a study's config says on its data set: those of its fields that the loader takes."""
    names = OPTIONS.get(config.data, ())
    return {name: getattr(config, name) for name in names if hasattr(config, name)}


def check_options(name: str, given: Iterable[str]) -> None:
    """Refuse what the loader of this set does not take.

    Raises:
        ValueError: names it, and what can be said.
    """
    known = OPTIONS.get(name, ())
    for word in given:
        if not known:
            raise ValueError(f"data set {name!r} takes no options, got {word}=")
        check(f"option of data set {name}", word, known)


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
