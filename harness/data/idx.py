"""Reads MNIST and Fashion-MNIST: four IDX files each, in torchvision's layout, `<folder>/raw/`."""

import hashlib
from pathlib import Path

from harness.data.fetch import missing, patience
from harness.data.names import DataError
from harness.data.tensors import Data

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


def mnist(root: Path, official: bool) -> Data:
    """Read the ten digits; all four files are read, also for a holdout split."""
    return read("mnist", "MNIST", root)


def fashion_mnist(root: Path, official: bool) -> Data:
    """Read the ten kinds of clothes, which have the layout of MNIST."""
    return read("fashion_mnist", "FashionMNIST", root)


def read(name: str, folder: str, root: Path) -> Data:
    """Read a set from the four files in its folder, each of which is checked first."""
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
    """Let torchvision unpack what is there and fetch the rest; explain what it could not get."""
    with patience():
        try:
            maker(root, train=True, download=True)
        except (OSError, RuntimeError) as error:
            raise missing(name, files, error) from None
