"""Data sets as tensors: `load(name, root)`.

    iris digits synthetic synthetic_images    embedded: no download, no files
    mnist fashion_mnist cifar10 cifar100      torchvision's files and layout under root (and
                                              cifar-10-batches-bin: see harness.data.cifar)

Root is the argument, else $IDDL_DATA, else ~/.cache/iddl. Nothing is ever swapped for another set
in silence. `split` says in words what the test numbers stand on.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from harness.data import cifar, embedded, idx
from harness.data.names import DATASETS, EMBEDDED, SPLITS, data_root
from harness.data.tensors import Data
from harness.names import check

Loader = Callable[[Path, bool], Data]


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


def _own(name: str) -> Loader:
    return lambda _root, _official: embedded.SETS[name]()


LOADERS: dict[str, Loader] = {
    **{name: _own(name) for name in EMBEDDED},
    "mnist": lambda root, _official: idx.read("mnist", "MNIST", root),
    "fashion_mnist": lambda root, _official: idx.read("fashion_mnist", "FashionMNIST", root),
    "cifar10": cifar.cifar10,
    "cifar100": cifar.cifar100,
}
