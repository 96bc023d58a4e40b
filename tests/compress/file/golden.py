"""Files that must decode to the same bits for ever: `python -m tests.compress.file.golden` adds one.

It writes golden/format-<number>.iddlz, once for each format, and prints the digest that
test_golden.py holds it to. A file that is there is never written again.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch

from bibd.pattern import make_pattern
from compress.file import container, places, symbols, tables, tensors, values
from compress.file.container import Content
from compress.file.header import ALIAS, NAMED, OBJECT, SPARSE, VECTOR, WEIGHT, WHOLE, Entry
from compress.file.numbers import pack_bits
from compress.file.places import Table

FOLDER = Path(__file__).parent / "golden"


def digest(state) -> str:
    """SHA-256 of names, types, shapes and bits."""
    found = hashlib.sha256()
    for name, x in state.items():
        told = (
            f"{name} {x.dtype} {tuple(x.shape)}" if isinstance(x, torch.Tensor) else f"{name} {x}"
        )
        found.update(told.encode())
        found.update(tensors.bytes_of(x) if isinstance(x, torch.Tensor) else b"")
    return found.hexdigest()


def content() -> Content:
    """Every kind of tensor, way of places, way of symbols and form of values."""
    random = np.random.default_rng(0)
    made: list[tuple[Entry, tuple[bytes, ...]]] = []
    for way, code, flat, table in _tables(random):
        book, index = values.codebook(random.normal(size=len(flat)), 3)
        parts = code, values.encode_codebook(book), symbols.encode(index, values.width(len(book)))
        shape = (table.rows, table.columns // table.taps, *[table.taps] * (table.taps > 1))
        made.append(
            (Entry(f"places.{places.NAMES[way]}{len(made)}.weight", WEIGHT, shape=shape), parts)
        )
    made += _values(random)
    made += _rest(random, len(made))
    return Content(tuple(entry for entry, _ in made), tuple(parts for _, parts in made))


def _tables(random):
    before = None
    ways = places.LEARNED, places.GAPS, places.ROWS, places.CLASSES, places.FLAGS
    for shape, taps in (((9, 36), 1), ((12, 27), 9), ((7, 12), 1)):
        keep = random.random(shape) < 0.4 * random.random(shape[1])
        flat = np.flatnonzero(keep)
        for way in ways:  # (the first one is told what the layer before keeps)
            table = Table(*shape, taps, before)
            code = [code for code in places.ways(flat, table, None) if code[0] == way][-1]
            yield way, code, flat, table
            before = keep.sum(1)
    for family, seed in (("bibd", None), ("random", 3), ("random_biregular", 4)):
        pattern = make_pattern(family, 16, 12, seed)
        for flat in (pattern.flat, pattern.flat[::2]):
            code = next(places.ways(flat, Table(12, 16), pattern))
            yield code[0], code, flat, Table(12, 16)
    yield places.ALL, bytes([places.ALL]), np.arange(12), Table(3, 4)


def _values(random):
    index = random.integers(0, 5, 48) % 4
    book = values.encode_codebook(np.array([-1, -0.5, 0.25, 3], dtype="<f2"))
    single = values.encode_codebook(np.array([1e-9, 1e9], dtype="<f4"))
    counts = np.bincount(index, minlength=4)
    streams = {
        "bits": b"\0" + pack_bits(index, 2),
        "counted": symbols.encode(index, 2),
        "table": b"\2" + symbols.with_table(index, counts),
        "one": b"\3\2",
    }
    for name, stream in streams.items():
        yield Entry(f"{name}.weight", WEIGHT, shape=(6, 8)), (b"\0", book, stream)
    yield Entry("single.weight", WEIGHT, "float64", (2, 4)), (b"\0", single, b"\0\xa5")
    for type_ in ("float16", "bfloat16", "float64", "float32"):
        x = torch.from_numpy(random.normal(size=12)).to(getattr(torch, type_))
        shape = {"type": type_, "shape": (3, 4)}
        yield Entry(f"half.{type_}.weight", WEIGHT, **shape), (b"\0", *tensors.encode_values(x, 16))
        yield (
            Entry(f"raw.{type_}.weight", WEIGHT, **shape),
            (b"\0", *tensors.encode_values(x, None)),
        )
    for size in (3, 90):
        x = torch.from_numpy(random.normal(size=size))
        yield Entry(f"v{size}.bias", VECTOR, shape=(size,)), (tensors.encode_vector(x, False),)
    x = torch.tensor([1e-7, 2.0, 9e4])
    yield Entry("v.running_var", VECTOR, shape=(3,)), (tensors.encode_vector(x, True),)


def _rest(random, count):
    pattern = make_pattern("cyclic", 13, 13)
    for i, describe in enumerate((True, False)):
        n = pattern.nonzeros
        x = torch.from_numpy(random.normal(size=n)).float()
        some = places.encode(np.arange(0, n, 2), Table(1, n))
        parts = tables.encode(pattern, None, describe)[0], some, *tensors.encode_values(x[::2], 2)
        yield Entry(f"s{i}.weight", SPARSE, shape=(n,)), parts
        yield Entry(f"s{i}._extra_state", NAMED, other=count + 2 * i), ()
    yield (
        Entry("w.num_batches_tracked", WHOLE, "int64", ()),
        (tensors.press(bytes([7, *bytes(7)])),),
    )
    yield Entry("w.mask", WHOLE, "bool", (64,)), (tensors.press(bytes(64)),)
    blob = tensors.encode_object({"steps": 3})
    yield Entry("o._extra_state", OBJECT, "uint8", (len(blob),)), (tensors.press(blob),)
    yield Entry("alias.weight", ALIAS, other=0), ()


if __name__ == "__main__":
    from compress.file import reading

    data = container.write(content())
    path = FOLDER / f"format-{container.FORMAT}.iddlz"
    assert not path.exists(), f"{path} is there; it must never change"
    FOLDER.mkdir(exist_ok=True)
    path.write_bytes(data)
    print(path.name, len(data), digest(reading.decode(data).state))
