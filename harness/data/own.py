"""Turns a user's arrays and torch Datasets into the tensors that a Data holds.

What has no test part is split by a fixed seed, each class in proportion, and the split is said in
words, as every number of a study stands on one.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch

from harness.data.names import DataError
from harness.names import kind_of

Pair = tuple[torch.Tensor, torch.Tensor]


def pair(x: Any, y: Any, what: str = "data", tokens: bool = False) -> Pair:
    """Return the inputs as float32, or as int64 where they are tokens, and the classes as int64.

    Raises:
        DataError: lengths that differ, no samples, values that are no numbers, or no classes.
    """
    x, y = _tensor(x, f"inputs of {what}"), _tensor(y, f"targets of {what}")
    if not x.dim() or y.dim() != 1 or len(x) != len(y):
        raise DataError(
            f"{what}: inputs of shape {tuple(x.shape)} and targets of shape {tuple(y.shape)}; "
            "expected (samples, ...) and (samples,), as many of both"
        )
    if not len(x) or x.dim() == 1:
        raise DataError(
            f"{what}: inputs of shape {tuple(x.shape)}; expected (samples, values), at least one "
            "sample (x[:, None] makes single values a column)"
        )
    if tokens:
        return _tokens(x, what), _classes(y, what)
    if x.is_complex() or not (x := x.float()).isfinite().all():
        raise DataError(f"{what}: the inputs hold NaN, infinite or complex numbers; fill or drop")
    return x, _classes(y, what)


def _tensor(values: Any, what: str) -> torch.Tensor:
    try:
        return torch.as_tensor(values).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{what} are no array of numbers: {error}") from None


def _tokens(x: torch.Tensor, what: str) -> torch.Tensor:
    if x.is_floating_point() or x.is_complex() or x.min() < 0:
        raise DataError(f"{what}: tokens are whole numbers from 0 on, got {x.dtype} with {x.min()}")
    return x.long()


def _classes(y: torch.Tensor, what: str) -> torch.Tensor:
    whole = y.long()
    if y.is_complex() or not torch.equal(whole.to(y.dtype), y) or (whole < 0).any():
        wrong = next(v for v in y.tolist() if isinstance(v, complex) or v != v or v < 0 or v % 1)
        raise DataError(
            f"{what}: a target is {wrong}; expected classes, whole numbers from 0 on (numbers as "
            "targets, regression, are not to be had)"
        )
    return whole


def from_zero(y: torch.Tensor, what: str) -> None:
    """Refuse classes of which nothing is the first, as those that are counted from 1.

    Raises:
        DataError: no training sample is of class 0.
    """
    if y.min() > 0:
        raise DataError(
            f"{what}: the targets are {int(y.min())} to {int(y.max())} and none is 0, so a net "
            "would have outputs that nothing trains: number the classes from 0 on, as "
            "y.unique(return_inverse=True)[1] does"
        )


def divide(x: torch.Tensor, y: torch.Tensor, share: float, seed: int) -> tuple[Pair, Pair, str]:
    """Split the data into train and test, each class in proportion; says so in a sentence.

    Raises:
        DataError: a share that leaves a part empty, or a class that has a single sample.
    """
    from sklearn.model_selection import train_test_split

    if not 0 < share < 1:
        raise DataError(f"test={share}: expected a share between 0 and 1, or the test part (x, y)")
    names, counts = y.unique(return_counts=True)
    if counts.min() < 2:
        raise DataError(
            f"class {names[counts.argmin()]} has a single sample, a split needs two of each: leave "
            "the class out, or give the test part, test=(x, y)"
        )
    n = min(max(math.ceil(share * len(y)), len(names)), len(y) - len(names))
    rest, held = train_test_split(range(len(y)), test_size=n, random_state=seed, stratify=y.numpy())
    said = f"stratified by seed {seed}, {len(rest)} train / {len(held)} test"
    return (x[rest], y[rest]), (x[held], y[held]), said


def same_shape(train: torch.Tensor, other: torch.Tensor | None, what: str) -> None:
    """Refuse a part whose samples are not shaped like those of the training part."""
    if other is not None and other.shape[1:] != train.shape[1:]:
        got, expected = tuple(other.shape[1:]), tuple(train.shape[1:])
        raise DataError(f"{what}: samples of shape {got}; the training part has {expected}")


def gather(dataset: Any, what: str, tokens: bool = False) -> Pair:
    """Read all samples of a torch Dataset once; pictures become floats between 0 and 1.

    Raises:
        DataError: items that are no pairs, or inputs of different shapes.
    """
    sized = hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")
    items: Iterable[Any] = (dataset[i] for i in range(len(dataset))) if sized else dataset
    xs, ys = [], []
    for i, item in enumerate(items):
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise DataError(f"{what}: item {i} is {kind_of(item)}; expected (input, class)")
        xs.append(_picture(item[0]))
        ys.append(item[1])
    shapes = list(dict.fromkeys(tuple(x.shape) for x in xs))
    if len(shapes) > 1:
        raise DataError(f"{what}: inputs of shapes {shapes[0]} and {shapes[1]}; resize them first")
    x = torch.stack(xs) if xs else torch.zeros(0, 1)
    return pair(x, torch.as_tensor(ys), what, tokens)


def _picture(x: Any) -> torch.Tensor:
    if hasattr(x, "getbands"):  # a PIL image: what torchvision gives without a transform
        from torchvision.transforms.functional import to_tensor

        return to_tensor(x)
    return _tensor(x, "an input")
