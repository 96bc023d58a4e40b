"""Holds what every study shares: plans, records, seeds, training, statistics, figures, reports."""

from importlib import metadata


def __getattr__(name: str) -> str:
    """Look up `harness.__version__` when it is asked for; a bare checkout has none."""
    if name != "__version__":
        raise AttributeError(f"module 'harness' has no attribute {name!r}; its rooms are modules")
    try:
        return metadata.version("iddl")
    except metadata.PackageNotFoundError:
        return "unknown"
