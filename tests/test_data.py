"""Data sets: the embedded ones, and downloaded ones that are missing, damaged or there."""

import gzip
import hashlib
import socket

import numpy as np
import pytest
import torch

from harness import data
from harness.data import DATASETS, DataError, load

EMBEDDED = {
    "iris": ((4,), 3, 120, 30),
    "digits": ((64,), 10, 1437, 360),
    "synthetic": ((64,), 10, 2000, 500),
}


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    data._load.cache_clear()
    monkeypatch.delenv("IDDL_DATA", raising=False)
    yield
    data._load.cache_clear()


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_sets(name):
    d = load(name)
    shape, classes, train, test = EMBEDDED[name]
    assert (d.shape, d.classes, len(d.train_x), len(d.test_x)) == (shape, classes, train, test)
    assert d.train_x.dtype == torch.float32
    assert d.train_y.dtype == torch.int64
    assert str(train) in d.split
    again = data.LOADERS[name](None)
    assert torch.equal(again.train_x, d.train_x)


def test_iris_is_scaled_by_its_training_part():
    d = load("iris")
    assert d.train_x.mean(0).abs().max() < 1e-5
    assert (d.train_x.std(0) - 1).abs().max() < 1e-5
    assert load("digits").train_x.min() >= 0
    assert load("digits").train_x.max() == 1


def test_embedded_splits_do_not_overlap():
    d = load("digits")
    rows = {r.tobytes() for r in d.train_x.numpy()} & {r.tobytes() for r in d.test_x.numpy()}
    assert not rows


def test_holdout_never_reads_the_test_part():
    whole, held = load("synthetic"), load("synthetic", test_split="holdout")
    assert torch.equal(held.train_x, whole.train_x[:1600])
    assert torch.equal(held.test_x, whole.train_x[1600:])
    assert held.split == "holdout: last 400 of the training set"


def idx(values: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, values.ndim]) + b"".join(int(n).to_bytes(4, "big") for n in values.shape)
    return head + values.astype(np.uint8).tobytes()


@pytest.fixture
def tiny_mnist(tmp_path, monkeypatch):
    """MNIST's layout with 20 + 10 images, and the checksums of those files."""
    rng = np.random.default_rng(0)
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    sums = []
    for part, n in (("train", 20), ("t10k", 10)):
        images, labels = rng.integers(0, 256, (n, 28, 28)), np.arange(n) % 10
        for kind, values in (("images-idx3", images), ("labels-idx1", labels)):
            content = idx(values)
            (raw / f"{part}-{kind}-ubyte").write_bytes(content)
            sums.append(hashlib.md5(content).hexdigest())
    monkeypatch.setitem(data._MD5, "MNIST", tuple(sums))
    return tmp_path


def test_files_in_the_official_layout(tiny_mnist):
    d = load("mnist", tiny_mnist)
    assert (d.shape, len(d.train_x), len(d.test_x)) == ((28, 28), 20, 10)
    assert d.train_x.max() <= 1
    assert d.flatten().shape == (784,)
    assert d.split == "official split, 20 train / 10 test"
    assert load("mnist", tiny_mnist, "holdout").split == "holdout: last 4 of the training set"


def test_root_comes_from_the_environment(tiny_mnist, monkeypatch):
    monkeypatch.setenv("IDDL_DATA", str(tiny_mnist))
    assert len(load("mnist").train_x) == 20


def test_a_damaged_file_is_named_with_its_checksum(tiny_mnist):
    file = tiny_mnist / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    with pytest.raises(
        DataError, match=r"t10k-images-idx3-ubyte is damaged: its MD5 is .*expected"
    ):
        load("mnist", tiny_mnist)
    file.write_bytes(content[:50])
    with pytest.raises(DataError, match="is damaged"):
        load("mnist", tiny_mnist)


def _no_network(*_args, **_options):
    raise OSError("no network")


def test_missing_files_are_named_and_the_embedded_set_offered(tiny_mnist, monkeypatch):
    monkeypatch.setattr(socket, "create_connection", _no_network)
    monkeypatch.setattr(socket, "getaddrinfo", _no_network)
    (tiny_mnist / "MNIST" / "raw" / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="train-labels-idx1-ubyte") as caught:
        load("mnist", tiny_mnist)
    text = str(caught.value)
    assert str(tiny_mnist / "MNIST" / "raw") in text
    assert "train-images" not in text.split("Missing:")[1].split(".")[0]
    assert "'digits' needs no files" in text
    assert "--data-root" in text
    assert socket.getdefaulttimeout() is None


def test_packed_files_are_unpacked(tiny_mnist, monkeypatch):
    """Only the .gz there, as a browser saves them: torchvision unpacks what passes its checksum."""
    from torchvision import datasets

    monkeypatch.setattr(socket, "create_connection", _no_network)
    raw = tiny_mnist / "MNIST" / "raw"
    resources = []
    for file in sorted(raw.iterdir()):
        packed = gzip.compress(file.read_bytes(), mtime=0)
        (raw / f"{file.name}.gz").write_bytes(packed)
        resources.append((f"{file.name}.gz", hashlib.md5(packed).hexdigest()))
        file.unlink()
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    assert len(load("mnist", tiny_mnist).train_x) == 20


def test_wrong_names():
    with pytest.raises(ValueError, match="unknown data set 'mnits': did you mean 'mnist'"):
        load("mnits")
    with pytest.raises(ValueError, match="unknown test split 'offical': did you mean 'official'"):
        load("iris", test_split="offical")
    assert set(DATASETS) == set(data.LOADERS)
