"""Reads samples and labels as people hand them over: lists, arrays, frames, tensors.

Labels are anything that can be told apart and sorted: numbers, texts. They become numbers of
classes, 0 to K-1, in sorted order.
"""

from typing import Any

import numpy as np
import torch

from harness.names import kind_of

Array = np.ndarray


def rows(x: Any) -> torch.Tensor:
    """Return samples as a floating-point tensor with one axis of samples and at least one more.

    Raises:
        ValueError: no samples, a single axis, something that is no number or sparse, NaN or
            infinite.
    """
    if hasattr(x, "toarray"):
        raise ValueError(f"samples are dense here, got {kind_of(x)}: x.toarray()")
    found = x.detach() if isinstance(x, torch.Tensor) else torch.as_tensor(_numbers(x))
    if found.dtype != torch.float32:
        found = found.float()
    if found.ndim < 2 or not len(found):
        raise ValueError(
            f"samples have the axes (samples, features ...), at least one sample; got shape "
            f"{tuple(found.shape)}"
        )
    if not bool(found.isfinite().all()):
        at = int((~found.isfinite()).flatten(1).any(1).nonzero()[0])
        raise ValueError(f"sample {at} is not finite in {found.dtype} (NaN, infinite, too large)")
    return found


def _numbers(x: Any) -> Array:
    """Return an array of numbers that torch may own."""
    try:
        return np.array(x, dtype=np.float32, order="C")  # (a frame lies by columns)
    except (TypeError, ValueError) as error:
        raise ValueError(f"samples are numbers, one row each: {error}") from None


def feature_names(x: Any) -> Array | None:
    """Return the names of a frame's columns; None for what has no columns named by texts."""
    names = list(getattr(x, "columns", ()))
    if not names or not all(isinstance(name, str) for name in names):
        return None
    return np.array(names, dtype=object)


def same_features(names: Array | None, fitted: Array | None) -> None:
    """Raise ValueError where both have names, and these are others or in another order."""
    if names is None or fitted is None or list(names) == list(fitted):
        return
    new = [name for name in names if name not in fitted]
    gone = [name for name in fitted if name not in names]
    what = "in another order" if not new + gone else f"new: {new[:5]}, missing: {gone[:5]}"
    raise ValueError(
        f"the columns are not those of the fit ({what}): x[list(model.feature_names_in_)]"
    )


def classes_of(y: Any) -> tuple[Array, Array]:
    """Return the classes that there are, sorted, and the number of each sample's.

    Raises:
        ValueError: not one label per sample, NaN, numbers that are measured, not counted, or a
            single class.
    """
    y = np.asarray(y.detach().cpu() if isinstance(y, torch.Tensor) else y)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise ValueError(f"y is one label per sample, got shape {y.shape}")
    if y.dtype.kind in "fc" and not (whole := np.isfinite(y) & (y == np.floor(y.real))).all():
        at = int(np.flatnonzero(~whole)[0])
        raise ValueError(f"y holds classes, and sample {at} has {y[at]}, which is no whole number")
    try:
        classes, numbers = np.unique(y, return_inverse=True)
    except TypeError as error:  # (None among texts)
        raise ValueError(f"y holds labels that can be sorted, all of one kind: {error}") from None
    if len(classes) < 2:
        raise ValueError(
            f"y holds the single class {classes.tolist()}: there is nothing to tell apart"
        )
    return classes, numbers.astype(np.int64)


def same_count(x: torch.Tensor, y: Array) -> None:
    """Raise ValueError if there is not one label per sample."""
    if len(x) != len(y):
        raise ValueError(f"{len(x)} samples need a label each, got {len(y)}")
