"""Holds what every study shares: plans, records, seeds, training, statistics, figures, reports."""

from harness.lazy import version


def __getattr__(name: str) -> str:
    """Look up `harness.__version__` when it is asked for."""
    if name != "__version__":
        raise AttributeError(f"module 'harness' has no attribute {name!r}; its rooms are modules")
    return version()
