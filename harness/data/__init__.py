"""Data sets as tensors: `load("mnist")`, or one of your own, `Data.from_csv("my.csv")`.

Public names are loaded on first use: plans ask for DATASETS, and --help must not pay for torch.
"""

from importlib import import_module

_HOME = {
    "DATASETS": "names",
    "OPTIONS": "names",
    "SPLITS": "names",
    "data_root": "names",
    "Data": "tensors",
    "DataError": "names",
    "check_dataset": "names",
    "options": "names",
    "as_data": "registry",
    "load": "registry",
}
__all__ = sorted(_HOME)  # pyright: ignore


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(
            f"module 'harness.data' has no attribute {name!r}; it has {', '.join(__all__)}"
        )
    value = getattr(import_module(f"harness.data.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return __all__
