"""Data sets: the embedded ones, and downloaded ones that are missing, damaged or there."""

import gzip
import hashlib
import pickle
import re
import shutil
import socket

import numpy as np
import pytest
import torch

from harness.data import DATASETS, DataError, cifar, idx, load, registry

EMBEDDED = {
    "iris": ((4,), 3, 120, 30),
    "digits": ((64,), 10, 1437, 360),
    "synthetic": ((64,), 10, 2000, 500),
    "synthetic_images": ((3, 32, 32), 10, 1200, 300),
}


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    registry._load.cache_clear()
    monkeypatch.delenv("IDDL_DATA", raising=False)
    yield
    registry._load.cache_clear()


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_sets(name):
    d = load(name)
    shape, classes, train, test = EMBEDDED[name]
    assert (d.shape, d.classes, len(d.train_x), len(d.test_x)) == (shape, classes, train, test)
    assert d.train_x.dtype == torch.float32
    assert d.train_y.dtype == torch.int64
    assert str(train) in d.split
    registry._load.cache_clear()
    again = load(name)
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


def idx_bytes(values: np.ndarray) -> bytes:
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
            content = idx_bytes(values)
            (raw / f"{part}-{kind}-ubyte").write_bytes(content)
            sums.append(hashlib.md5(content).hexdigest())
    monkeypatch.setitem(idx._MD5, "MNIST", tuple(sums))
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
    every = ", ".join([*DATASETS, "csv:FILE"])  # (a study that was imported may have added its own)
    assert every.startswith("iris, digits, synthetic, synthetic_images, mnist")
    with pytest.raises(ValueError, match=re.escape(f"there are {every}") + "$"):
        load("weather")


@pytest.fixture
def tiny_cifar(tmp_path, monkeypatch):
    """Both layouts of CIFAR-10 with 4 images a file, and the checksums of those files."""
    from torchvision import datasets

    rng, n = np.random.default_rng(0), 4
    pickles, binary = tmp_path / "cifar-10-batches-py", tmp_path / cifar.BINARY
    pickles.mkdir(), binary.mkdir()
    sums, train_md5, blobs = {}, {}, {}
    for name in (
        "data_batch_1",
        "data_batch_2",
        "data_batch_3",
        "data_batch_4",
        "data_batch_5",
        "test_batch",
    ):
        images, labels = rng.integers(0, 256, (n, 3072)).astype(np.uint8), list(range(n))
        content = pickle.dumps({"data": images, "labels": labels}, protocol=2)
        (pickles / name).write_bytes(content)
        sums[name] = hashlib.md5(content).hexdigest()
        records = np.concatenate([np.array(labels, np.uint8)[:, None], images], 1).tobytes()
        (binary / f"{name}.bin").write_bytes(records)
        if name == "test_batch":
            blobs["test_batch.bin"] = hashlib.sha1(
                b"blob %d\0" % len(records) + records
            ).hexdigest()
        else:
            train_md5[f"{name}.bin"] = hashlib.md5(records).hexdigest()
    meta = pickle.dumps({"label_names": list("0123456789")}, protocol=2)
    (pickles / "batches.meta").write_bytes(meta)
    md5 = hashlib.md5(meta).hexdigest()
    monkeypatch.setattr(cifar, "FILE", n * cifar.RECORD)
    monkeypatch.setattr(cifar, "TRAIN_MD5", train_md5)
    monkeypatch.setattr(cifar, "TEST_BLOB", blobs)
    kind = datasets.CIFAR10
    test = sums.pop("test_batch")
    monkeypatch.setattr(kind, "train_list", [[k, v] for k, v in sums.items()])
    monkeypatch.setattr(kind, "test_list", [["test_batch", test]])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": md5})
    monkeypatch.setattr(socket, "create_connection", _no_network)
    monkeypatch.setattr(socket, "getaddrinfo", _no_network)
    return tmp_path


def test_both_layouts_of_cifar_are_the_same_images(tiny_cifar):
    from_pickles = load("cifar10", tiny_cifar)
    assert from_pickles.split == "official split, 20 train / 4 test"
    registry._load.cache_clear()
    for file in (tiny_cifar / "cifar-10-batches-py").iterdir():
        file.unlink()
    from_binary = load("cifar10", tiny_cifar)
    for part in ("train_x", "train_y", "test_x", "test_y"):
        assert torch.equal(getattr(from_pickles, part), getattr(from_binary, part)), part
    assert from_binary.shape == (3, 32, 32)
    assert (from_binary.train_x.dtype, from_binary.train_y.dtype) == (torch.float32, torch.int64)
    raw = (tiny_cifar / cifar.BINARY / "data_batch_2.bin").read_bytes()
    pixel = from_binary.train_x[4, 1, 3, 5] * 255  # green, row 3, column 5 of the fifth image
    assert round(pixel.item()) == raw[1 + 1024 + 3 * 32 + 5]


@pytest.mark.parametrize("layout", ["cifar-10-batches-py", "cifar-10-batches-bin"])
def test_the_holdout_split_of_cifar_needs_no_test_file(tiny_cifar, layout):
    other = {"cifar-10-batches-py", "cifar-10-batches-bin"} - {layout}
    shutil.rmtree(tiny_cifar / other.pop())
    (file,) = (tiny_cifar / layout).glob("test_batch*")
    file.unlink()
    d = load("cifar10", tiny_cifar, "holdout")
    assert (len(d.train_x), len(d.test_x)) == (16, 4)
    assert d.split == "holdout: last 4 of the training set"
    with pytest.raises(DataError, match="test_batch"):
        load("cifar10", tiny_cifar)


def test_a_missing_truncated_or_damaged_file_of_cifar_is_named(tiny_cifar):
    binary, pickles = tiny_cifar / cifar.BINARY, tiny_cifar / "cifar-10-batches-py"
    content = (pickles / "data_batch_3").read_bytes()
    (pickles / "data_batch_3").write_bytes(content[:-1] + b"!")
    with pytest.raises(DataError, match=r"data_batch_3 is damaged: its MD5 is"):
        load("cifar10", tiny_cifar)
    shutil.rmtree(pickles)
    file = binary / "data_batch_4.bin"
    content = file.read_bytes()
    file.write_bytes(content[:-7])
    with pytest.raises(
        DataError, match=r"data_batch_4\.bin is truncated: it has 12,285 bytes, expected"
    ):
        load("cifar10", tiny_cifar)
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError, match=r"data_batch_4\.bin is damaged: its MD5"):
        load("cifar10", tiny_cifar)
    file.unlink()
    with pytest.raises(DataError, match=r"data_batch_4\.bin of cifar10 is missing in"):
        load("cifar10", tiny_cifar)
    shutil.rmtree(binary)
    with pytest.raises(DataError, match=r"data_batch_1, .*'synthetic_images' needs no files"):
        load("cifar10", tiny_cifar)


def test_images_of_all_sets():
    assert load("digits").images().shape == (1, 8, 8)
    assert load("synthetic_images").images().shape == (3, 32, 32)
    assert torch.equal(load("digits").images().flatten().train_x, load("digits").train_x)
    with pytest.raises(ValueError, match="iris has no images"):
        load("iris").images()
    few = load("synthetic").first(100)
    assert len(few.train_x) == len(few.train_y) == 100
    assert few.split == "2000 train / 500 test, the first 100 to train"
    with pytest.raises(ValueError, match="synthetic has 2000 training samples, not 2001"):
        load("synthetic").first(2001)
