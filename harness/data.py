"""Data sets as tensors: `load(name, root)`.

    iris digits synthetic        embedded: no download, no files
    mnist fashion_mnist          torchvision's files and layout under root

Root is the argument, else $IDDL_DATA, else ~/.cache/iddl. Nothing is ever swapped for another set
in silence. `split` says in words what the test numbers stand on.
"""

import hashlib
import os
import socket
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness.names import check

if TYPE_CHECKING:
    import torch

DATASETS = ("iris", "digits", "synthetic", "mnist", "fashion_mnist")
SPLITS = ("official", "holdout")
INPUTS = ("train_x", "test_x", "validation_x")
EMBEDDED_SEED = 0  # fixes the split of iris and digits, which come without one


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
        """Number of classes."""
        return int(self.train_y.max()) + 1

    def flatten(self) -> "Data":
        """The same data with one axis per input."""
        return self._each(lambda x: x.flatten(1), INPUTS)

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
    data = _LOADERS[name](Path(root))
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


def _embedded(name: str, x, y) -> Data:
    import torch
    from sklearn.model_selection import train_test_split

    parts = train_test_split(x, y, test_size=0.2, random_state=EMBEDDED_SEED, stratify=y)
    train_x, test_x = (torch.tensor(p, dtype=torch.float32) for p in parts[:2])
    train_y, test_y = (torch.tensor(p, dtype=torch.int64) for p in parts[2:])
    split = f"fixed stratified split, {len(train_x)} train / {len(test_x)} test"
    return Data(name, split, train_x, train_y, test_x, test_y)


def _iris(_root: Path) -> Data:
    from sklearn.datasets import load_iris

    x, y = load_iris(return_X_y=True)
    data = _embedded("iris", x, y)
    mean, std = data.train_x.mean(0), data.train_x.std(0)
    return replace(data, train_x=(data.train_x - mean) / std, test_x=(data.test_x - mean) / std)


def _digits(_root: Path) -> Data:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return _embedded("digits", x / 16.0, y)


def _synthetic(_root: Path) -> Data:
    """Ten Gaussian clouds in 64 dimensions, close enough that they overlap."""
    import torch

    g = torch.Generator().manual_seed(EMBEDDED_SEED)
    centres = torch.randn(10, 64, generator=g) * 0.35
    y = torch.arange(2500) % 10
    x = centres[y] + torch.randn(2500, 64, generator=g)
    return Data("synthetic", "2000 train / 500 test", x[:2000], y[:2000], x[2000:], y[2000:])


def _mnist(root: Path) -> Data:
    return _torchvision("mnist", "MNIST", root)


def _fashion_mnist(root: Path) -> Data:
    return _torchvision("fashion_mnist", "FashionMNIST", root)


_LOADERS = {
    "iris": _iris,
    "digits": _digits,
    "synthetic": _synthetic,
    "mnist": _mnist,
    "fashion_mnist": _fashion_mnist,
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
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(20)
    try:
        maker(root, train=True, download=True)
    except (OSError, RuntimeError) as error:
        missing = ", ".join(f.name for f in files if not f.exists())
        raise DataError(
            f"data set {name!r} is not at {files[0].parent} and could not be fetched ({error}). "
            f"Missing: {missing}. Put these files there (or their .gz), or name another root with "
            "--data-root or IDDL_DATA; the embedded set 'digits' needs no files"
        ) from None
    finally:
        socket.setdefaulttimeout(before)
