"""The house of every study: plans, records, seeds, training loop, statistics, figures, reports."""

from importlib import metadata


def __getattr__(name: str) -> str:
    """`harness.__version__`, looked up when it is asked for; a bare checkout has none."""
    if name != "__version__":
        raise AttributeError(f"module 'harness' has no attribute {name!r}; its rooms are modules")
    try:
        return metadata.version("iddl")
    except metadata.PackageNotFoundError:
        return "unknown"
