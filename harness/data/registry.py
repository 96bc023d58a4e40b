"""Data sets as tensors: `load(name, root)`.

    iris digits synthetic synthetic_images    embedded: no download, no files
    mnist fashion_mnist cifar10 cifar100      torchvision's files and layout under root (and
                                              cifar-10-batches-bin: see harness.data.cifar)
    imdb                                      aclImdb or aclImdb_v1.tar.gz: see harness.data.imdb
    csv:FILE csv:FILE:COLUMN                  a table of your own, the last column to be predicted,
                                              or this one
    what a study adds to DATASETS             see harness.data.names

Root is the argument, else $IDDL_DATA, else ~/.cache/iddl. Nothing is ever swapped for another set
in silence. `split` says in words what the test numbers stand on.
"""

from dataclasses import replace
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from harness.data.names import (
    CSV,
    DATASETS,
    SPLITS,
    check_dataset,
    check_options,
    csv_parts,
    data_root,
)
from harness.data.tensors import Data, held_out
from harness.names import check, kind_of


def load(
    name: str,
    root: str | Path | None = None,
    test_split: str = "official",
    device: str = "cpu",
    **options: Any,
) -> Data:
    """Return the data set of this name, which is read once per process.

    Args:
        name: One of DATASETS, or csv:FILE, or csv:FILE:COLUMN.
        root: Folder of the downloaded sets.
        test_split: "official", or "holdout": the last fifth of the training set serves as test
            set and the official test set is not read.
        device: Where the tensors live.
        options: What the set can be told besides (harness.data.OPTIONS): imdb words and length.

    Raises:
        ValueError: unknown name, split or option.
        DataError: files missing or damaged.
    """
    check_dataset(name)
    check("test split", test_split, SPLITS)
    check_options(name, options)
    if name.startswith(CSV):
        file, column = csv_parts(name)
        stamp = file.stat().st_mtime_ns if file.exists() else 0  # (a file may change under us)
        return _held(_csv(file, column, stamp), test_split).to(device)
    told = tuple(sorted(options.items()))
    return _load(name, DATASETS[name], str(data_root(root)), test_split, told).to(device)


def as_data(source: Any, tokens: bool = False) -> Data:
    """Turn what a caller passes as data into a Data: a name, a Data, tensors or a Dataset.

    Args:
        source: That.
        tokens: The inputs of tensors and Datasets are numbers of words, and stay whole.

    Raises:
        ValueError: it is nothing of these; says what it is.
    """
    if isinstance(source, str):
        return load(source)
    if isinstance(source, Data):
        return source
    if isinstance(source, tuple | list) and len(source) == 2:
        return Data.from_tensors(*source, tokens=tokens)
    if hasattr(source, "__getitem__") and not hasattr(source, "shape"):
        return Data.from_dataset(source, tokens=tokens)
    raise ValueError(
        "data is the name of a data set, tensors (x, y), a torch Dataset or a harness.data.Data; "
        f"got {kind_of(source)}"
    )


@lru_cache(maxsize=4)
def _load(name: str, loader: Any, root: str, test_split: str, told: tuple = ()) -> Data:
    if isinstance(loader, str):
        module, _, function = loader.partition(":")
        loader = getattr(import_module(module), function)
    data = loader(Path(root), test_split == "official", **dict(told))
    if not isinstance(data, Data):
        raise ValueError(
            f"the loader of data set {name!r} returned {kind_of(data)}; expected a Data, "
            "such as Data.from_tensors(x, y)"
        )
    return _held(data, test_split)


@lru_cache(maxsize=4)
def _csv(file: Path, column: str | None, stamp: int) -> Data:
    return Data.from_csv(file, column)


def _held(data: Data, test_split: str) -> Data:
    """Return the data with the test part that this split has."""
    if test_split == "official":
        return data
    cut = held_out(len(data.train_x))
    return replace(
        data,
        split=f"holdout: last {len(data.train_x) - cut} of the training set",
        train_x=data.train_x[:cut],
        train_y=data.train_y[:cut],
        test_x=data.train_x[cut:],
        test_y=data.train_y[cut:],
    )
