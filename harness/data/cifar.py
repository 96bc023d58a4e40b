"""Reads CIFAR-10 and CIFAR-100 in their official layouts.

    cifar-10-batches-py/    data_batch_1 ... data_batch_5  test_batch  batches.meta  (torchvision)
    cifar-10-batches-bin/   data_batch_1.bin ... data_batch_5.bin  test_batch.bin
    cifar-100-python/       train  test  meta                                        (torchvision)

A record of the binary form is a label and 32 x 32 bytes of red, of green and of blue. Every file is
checked before it is read; those of the test set only where they are asked for.
"""

import hashlib
from pathlib import Path
from typing import Any

from harness.data.fetch import missing, patience
from harness.data.names import DataError
from harness.data.tensors import Data

BINARY = "cifar-10-batches-bin"
SIDE = 32
RECORD = 1 + 3 * SIDE * SIDE
FILE = 10_000 * RECORD  # bytes of each binary file
# MD5 of the binary training files; of the test file the id that git gives its content.
TRAIN_MD5 = {
    "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
}
TEST_BLOB = {"test_batch.bin": "e3f3b4653f18f27ada1558cabc3352a3ed1b25cc"}


def cifar10(root: Path, official: bool) -> Data:
    """Read CIFAR-10 from its pickles, from its binary files or from the network, in this order."""
    from torchvision import datasets

    pickles = _pickles(datasets.CIFAR10, root, official)
    if not all(path.exists() for path in pickles) and (root / BINARY).is_dir():
        return _binary(root / BINARY, official)
    return _torchvision("cifar10", datasets.CIFAR10, root, official)


def cifar100(root: Path, official: bool) -> Data:
    """Read CIFAR-100 from its pickles or from the network."""
    from torchvision import datasets

    return _torchvision("cifar100", datasets.CIFAR100, root, official)


def _pickles(maker: Any, root: Path, official: bool) -> dict[Path, str]:
    """Return the files that torchvision wants, with the MD5 of each."""
    lists = [*maker.train_list, *(maker.test_list if official else ())]
    lists.append([maker.meta["filename"], maker.meta["md5"]])
    return {root / maker.base_folder / name: md5 for name, md5 in lists}


def _torchvision(name: str, maker: Any, root: Path, official: bool) -> Data:
    files = _pickles(maker, root, official)
    # torchvision refuses a training set whose test file is missing; nobody asked for that one.
    part = maker if official else type(maker.__name__, (maker,), {"test_list": []})
    if not all(path.exists() for path in files):
        with patience():
            try:
                part(root, train=True, download=True)
            except (OSError, RuntimeError) as error:
                raise missing(name, list(files), error, "synthetic_images") from None
    for path, md5 in files.items():  # what is not as it was published is never unpickled
        _check(path, hashlib.md5(path.read_bytes()).hexdigest(), md5, "MD5")
    train = part(root, train=True)
    test = part(root, train=False) if official else None
    return _data(name, _of(train), _of(test) if test else None)


def _of(part: Any) -> tuple[Any, Any]:
    import torch

    return torch.from_numpy(part.data).permute(0, 3, 1, 2), torch.tensor(part.targets)


def _binary(folder: Path, official: bool) -> Data:
    names = [*TRAIN_MD5, *(TEST_BLOB if official else ())]
    files = [folder / name for name in names]
    absent = [path.name for path in files if not path.exists()]
    if absent:
        hint = "" if absent != [*TEST_BLOB] else "; --test-split holdout does without that one"
        raise DataError(
            f"{', '.join(absent)} of cifar10 is missing in {folder}: put the original there{hint}"
        )
    parts = [_read(path) for path in files]
    test = parts.pop() if official else None
    import torch

    x, y = (torch.cat(pieces) for pieces in zip(*parts, strict=True))
    return _data("cifar10", (x, y), test)


def _read(path: Path) -> tuple[Any, Any]:
    import numpy as np
    import torch

    content = path.read_bytes()
    if len(content) != FILE:
        raise DataError(
            f"{path} is truncated: it has {len(content):,} bytes, expected {FILE:,}. Put the "
            "original there"
        )
    if path.name in TRAIN_MD5:
        _check(path, hashlib.md5(content).hexdigest(), TRAIN_MD5[path.name], "MD5")
    else:
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        _check(path, blob, TEST_BLOB[path.name], "git blob id")
    records = torch.from_numpy(np.frombuffer(content, np.uint8).reshape(-1, RECORD).copy())
    return records[:, 1:].view(-1, 3, SIDE, SIDE), records[:, 0].long()


def _check(path: Path, got: str, expected: str, kind: str) -> None:
    if got != expected:
        raise DataError(
            f"{path} is damaged: its {kind} is {got}, expected {expected}. Delete it and let it be "
            "fetched again, or put the original there"
        )


def _data(name: str, train: tuple[Any, Any], test: tuple[Any, Any] | None) -> Data:
    split = f"official split, {len(train[0])} train / {len(test[0]) if test else 0} test"
    x, y = train
    test_x, test_y = test or (x[:0], y[:0])
    return Data(name, split, x.float().div(255), y, test_x.float().div(255), test_y)
