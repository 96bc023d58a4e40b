"""Data sets as tensors: `load("mnist")`, or one of your own, `Data.from_csv("my.csv")`.

Public names are loaded on first use: plans ask for DATASETS, and --help must not pay for torch.
"""

from typing import TYPE_CHECKING

from harness.lazy import lazily

if TYPE_CHECKING:
    from harness.data.names import DATASETS as DATASETS
    from harness.data.names import OPTIONS as OPTIONS
    from harness.data.names import SPLITS as SPLITS
    from harness.data.names import DataError as DataError
    from harness.data.names import check_dataset as check_dataset
    from harness.data.names import data_root as data_root
    from harness.data.names import options as options
    from harness.data.registry import as_data as as_data
    from harness.data.registry import load as load
    from harness.data.tensors import Data as Data

_HOME = {
    "DATASETS": "harness.data.names",
    "OPTIONS": "harness.data.names",
    "SPLITS": "harness.data.names",
    "data_root": "harness.data.names",
    "Data": "harness.data.tensors",
    "DataError": "harness.data.names",
    "check_dataset": "harness.data.names",
    "options": "harness.data.names",
    "as_data": "harness.data.registry",
    "load": "harness.data.registry",
}
__all__ = sorted(_HOME)  # pyright: ignore
__getattr__, __dir__ = lazily(__name__, _HOME)
