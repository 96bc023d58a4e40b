"""Data sets as tensors: `load(name, root)`.

    iris digits synthetic synthetic_images    embedded: no download, no files
    mnist fashion_mnist cifar10 cifar100      torchvision's files and layout under root (and
                                              cifar-10-batches-bin: see harness.cifar)

Root is the argument, else $IDDL_DATA, else ~/.cache/iddl. Nothing is ever swapped for another set
in silence. `split` says in words what the test numbers stand on.
"""

import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from math import isqrt, prod
from pathlib import Path
from typing import TYPE_CHECKING

from harness.names import check

if TYPE_CHECKING:
    import torch

EMBEDDED = ("iris", "digits", "synthetic", "synthetic_images")
DATASETS = (
    *EMBEDDED,
    *("mnist", "fashion_mnist", "cifar10", "cifar100"),
)
SPLITS = ("official", "holdout")
INPUTS = ("train_x", "test_x", "validation_x")


class DataError(ValueError):
    """Data that is missing or damaged; no arm of a plan can run."""


@dataclass(frozen=True)
class Data:
    """Inputs are float32 (samples, ...), targets int64; on the device they were asked for."""

    name: str
    split: str
    train_x: "torch.Tensor"
    train_y: "torch.Tensor"
    test_x: "torch.Tensor"
    test_y: "torch.Tensor"
    validation_x: "torch.Tensor | None" = None
    validation_y: "torch.Tensor | None" = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return tuple(self.train_x.shape[1:])

    @property
    def classes(self) -> int:
        """Number of classes (also those that a cut training set has lost)."""
        held = [self.train_y, self.test_y, self.validation_y]
        return max(int(y.max()) for y in held if y is not None and len(y)) + 1

    def flatten(self) -> "Data":
        """The same data with one axis per input."""
        return self._each(lambda x: x.flatten(1), INPUTS)

    def images(self) -> "Data":
        """The same with axes (samples, channels, height, width); flat squares become images.

        Raises:
            ValueError: the inputs are no images of at least 8 x 8 pixels.
        """
        shape = self.shape
        if len(shape) == 1:
            shape = (isqrt(shape[0]),) * 2
        if len(shape) == 2:
            shape = (1, *shape)
        if prod(shape) != prod(self.shape) or min(shape[1:]) < 8:
            raise ValueError(
                f"{self.name} has no images (a sample has shape {self.shape}): use digits, mnist, "
                "fashion_mnist, cifar10, cifar100 or synthetic_images"
            )
        return self._each(lambda x: x.view(-1, *shape), INPUTS)

    def first(self, size: int) -> "Data":
        """Only the first `size` training samples; 0 means all.

        Raises:
            ValueError: there are fewer.
        """
        if size == 0:
            return self
        if size > len(self.train_x):
            raise ValueError(f"{self.name} has {len(self.train_x)} training samples, not {size}")
        x, y = self.train_x[:size], self.train_y[:size]
        return replace(self, split=f"{self.split}, the first {size} to train", train_x=x, train_y=y)

    def pad(self, border: int) -> "Data":
        """The same images with a border of zeros.

        Raises:
            ValueError: the inputs are no images.
        """
        from torch.nn.functional import pad

        if border and len(self.shape) < 2:
            raise ValueError(
                f"pad={border} is for images; a sample of {self.name} has shape {self.shape}"
            )
        return self._each(lambda x: pad(x, [border] * 4), INPUTS) if border else self

    def validate(self, size: int) -> "Data":
        """The last `size` training samples become the validation set.

        Raises:
            ValueError: no training sample would be left.
        """
        if size == 0:
            return self
        cut = len(self.train_x) - size
        if cut < 1:
            raise ValueError(
                f"validation={size} would leave no training sample: {self.name} has "
                f"{len(self.train_x)}"
            )
        x, y = self.train_x, self.train_y
        split = f"{self.split}, of train the last {size} for validation"
        parts = dict(train_x=x[:cut], train_y=y[:cut], validation_x=x[cut:], validation_y=y[cut:])
        return replace(self, split=split, **parts)

    def to(self, device: str) -> "Data":
        """The same data on another device."""
        return self._each(lambda x: x.to(device), (*INPUTS, "train_y", "test_y", "validation_y"))

    def _each(self, change, names: tuple[str, ...]) -> "Data":
        held = {k: getattr(self, k) for k in names}
        return replace(self, **{k: change(x) for k, x in held.items() if x is not None})


def load(
    name: str, root: str | Path | None = None, test_split: str = "official", device: str = "cpu"
) -> Data:
    """The data set; read once per process.

    Args:
        name: One of DATASETS.
        root: Folder of the downloaded sets.
        test_split: "official", or "holdout": the last fifth of the training set serves as test
            set and the official test set is not read.
        device: Where the tensors live.

    Raises:
        ValueError: unknown name or split.
        DataError: files missing or damaged.
    """
    check("data set", name, DATASETS)
    check("test split", test_split, SPLITS)
    return _load(name, str(data_root(root)), test_split).to(device)


def data_root(root: str | Path | None = None) -> Path:
    """Where downloaded sets live."""
    return Path(root or os.environ.get("IDDL_DATA") or "~/.cache/iddl").expanduser()


@lru_cache(maxsize=4)
def _load(name: str, root: str, test_split: str) -> Data:
    data = LOADERS[name](Path(root), test_split == "official")
    if test_split == "official":
        return data
    cut = len(data.train_x) * 4 // 5
    return Data(
        data.name,
        f"holdout: last {len(data.train_x) - cut} of the training set",
        data.train_x[:cut],
        data.train_y[:cut],
        data.train_x[cut:],
        data.train_y[cut:],
    )


def _own(name: str):
    def loader(_root: Path, _official: bool = True) -> Data:
        from harness import embedded

        return embedded.SETS[name]()

    return loader


def _mnist(root: Path, _official: bool = True) -> Data:
    return _torchvision("mnist", "MNIST", root)


def _fashion_mnist(root: Path, _official: bool = True) -> Data:
    return _torchvision("fashion_mnist", "FashionMNIST", root)


def _cifar10(root: Path, official: bool = True) -> Data:
    from harness import cifar

    return cifar.cifar10(root, official)


def _cifar100(root: Path, official: bool = True) -> Data:
    from harness import cifar

    return cifar.cifar100(root, official)


LOADERS = {
    **{name: _own(name) for name in EMBEDDED},
    "mnist": _mnist,
    "fashion_mnist": _fashion_mnist,
    "cifar10": _cifar10,
    "cifar100": _cifar100,
}

_PARTS = ("train-images", "train-labels", "t10k-images", "t10k-labels")
# MD5 of the unpacked IDX files, in the order of _PARTS.
_MD5 = {
    "MNIST": (
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    ),
    "FashionMNIST": (
        "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "9018921c3c673c538a1fc5bad174d6f9",
        "8181f5470baa50b63fa0f6fddb340f0a",
        "15d484375f8d13e6eb1aabb0c3f46965",
    ),
}


def _torchvision(name: str, folder: str, root: Path) -> Data:
    from torchvision import datasets

    raw = root / folder / "raw"
    files = [raw / f"{part}-idx{3 if 'images' in part else 1}-ubyte" for part in _PARTS]
    maker = getattr(datasets, folder)
    if not all(file.exists() for file in files):
        _download(maker, name, root, files)
    for file, expected in zip(files, _MD5[folder], strict=True):
        got = hashlib.md5(file.read_bytes()).hexdigest()
        if got != expected:
            raise DataError(
                f"{file} is damaged: its MD5 is {got}, expected {expected}. Delete it (and its .gz "
                "if there is one) and let it be fetched again, or put the original there"
            )
    train, test = (maker(root, train=flag, download=False) for flag in (True, False))
    split = f"official split, {len(train.data)} train / {len(test.data)} test"
    xs = [part.data.float().div(255) for part in (train, test)]
    return Data(name, split, xs[0], train.targets, xs[1], test.targets)


def _download(maker, name: str, root: Path, files: list[Path]) -> None:
    """Let torchvision unpack what is there and fetch what is not; explain what it could not."""
    with patience():
        try:
            maker(root, train=True, download=True)
        except (OSError, RuntimeError) as error:
            raise missing(name, files, error) from None


@contextmanager
def patience(seconds: float = 20) -> Iterator[None]:
    """No wait for a network without an end."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def missing(name: str, files: list[Path], error: object, embedded: str = "digits") -> DataError:
    """The error that names the files that are not there, and what to do."""
    absent = ", ".join(f.name for f in files if not f.exists())
    return DataError(
        f"data set {name!r} is not at {files[0].parent} and could not be fetched ({error}). "
        f"Missing: {absent}. Put these files there (or their .gz), or name another root with "
        f"--data-root or IDDL_DATA; the embedded set {embedded!r} needs no files"
    )
