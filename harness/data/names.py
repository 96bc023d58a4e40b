"""Which data sets there are and where they live; imports no torch, so that --help stays fast."""

import os
from pathlib import Path

EMBEDDED = ("iris", "digits", "synthetic", "synthetic_images")
DATASETS = (*EMBEDDED, "mnist", "fashion_mnist", "cifar10", "cifar100")
SPLITS = ("official", "holdout")


def data_root(root: str | Path | None = None) -> Path:
    """Where downloaded sets live."""
    return Path(root or os.environ.get("IDDL_DATA") or "~/.cache/iddl").expanduser()
