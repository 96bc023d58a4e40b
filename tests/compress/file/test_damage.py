"""Files that were cut, changed, made up, or written by something else."""

import io
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bibd import SparseLinear
from compress import pack, unpack
from compress.file import container, header, reading
from compress.file.container import Content
from compress.file.header import OBJECT, SPARSE, VECTOR, WEIGHT, WHOLE, Entry
from compress.file.numbers import Damaged, block, number
from compress.file.tensors import press
from tests.compress.file.nets import Mixed, pruned
from tests.drawn import examples


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A small file, of a sparse layer with words and of a dense one."""
    path = tmp_path_factory.mktemp("file") / "net"
    net = nn.Sequential(SparseLinear(9, 8, "random", seed=1), nn.BatchNorm1d(8), pruned((8, 5))[0])
    pack(net, path, 3)
    return path.read_bytes()


def sealed(data: bytes) -> bytes:
    """The bytes with a checksum that fits."""
    return data + zlib.crc32(data).to_bytes(4, "little")


def test_a_file_that_was_cut_is_refused_at_every_byte(file):
    for end in range(len(file)):
        with pytest.raises(Damaged, match=r"it (has|begins|was)|fit the checksum"):
            reading.decode(file[:end])


def test_a_flipped_bit_is_noticed_at_every_place(file):
    for place in range(8 * len(file)):
        data = bytearray(file)
        data[place // 8] ^= 1 << place % 8
        with pytest.raises(Damaged):
            reading.decode(bytes(data))


def test_what_follows_the_end_is_noticed(file):
    with pytest.raises(Damaged, match="fit the checksum"):
        reading.decode(file + b"\0")
    with pytest.raises(Damaged, match="1 bytes follow the end"):
        reading.decode(sealed(file[:-4] + b"\0"))


def test_changed_bytes_under_a_right_checksum_raise_nothing_but_a_sentence(file):
    """A checksum is no signature: whoever changes a file can make it fit."""
    wrong = 0
    for place in range(5, len(file) - 4):
        for value in (0, 1, file[place] ^ 128, 255):
            data = bytearray(file[:-4])
            data[place] = value
            wrong += said(sealed(bytes(data))) != ""
    assert wrong > len(file)


def said(data: bytes) -> str:
    """What is said of a file that is refused; anything but a Damaged is an error of the test."""
    try:
        reading.decode(data)
    except Damaged as error:
        return str(error)
    return ""


@given(st.data())
@examples(300)
def test_cut_and_changed_parts_raise_nothing_but_a_sentence(data):
    made = mixed()
    at = data.draw(st.integers(0, len(made.entries) - 1))
    parts = [list(each) for each in made.parts]
    if parts[at]:
        which = data.draw(st.integers(0, len(parts[at]) - 1))
        part = bytearray(parts[at][which])
        for _ in range(data.draw(st.integers(0, 3))):
            if part:
                part[data.draw(st.integers(0, len(part) - 1))] = data.draw(st.integers(0, 255))
        parts[at][which] = bytes(part[: data.draw(st.integers(0, len(part)))])
    entries = list(made.entries)
    if data.draw(st.booleans()):
        shape = tuple(data.draw(st.lists(st.integers(0, 40), max_size=4)))
        kind = data.draw(st.integers(0, 6))
        old = entries[at]
        entries[at] = Entry(
            old.name, kind, old.type, shape, data.draw(st.integers(0, max(0, at - 1)))
        )
        parts[at] = (parts[at] + [b""] * 4)[: header.PARTS[kind]]
    content = Content(tuple(entries), tuple(tuple(each) for each in parts))
    text = said(container.write(content))
    assert text == "" or len(text) > 10


_MIXED = []


def mixed() -> Content:
    if not _MIXED:
        from compress.file import states
        from compress.file.writing import Options, encode

        _MIXED.append(encode(states.parts(Mixed()), Options()))
    return _MIXED[0]


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"", "it has 0 bytes, less than the mark"),
        (b"ID", "it has 2 bytes, less than the mark"),
        (b"PK\3\4" + bytes(100), r"it begins with b'PK\\x03\\x04' .* no file of compress pack"),
        (b"IDLz\2" + bytes(100), "it has format 2, this version reads format 1: update"),
        (b"IDLz\1", "do not fit the checksum"),
    ],
)
def test_foreign_files_and_other_formats_are_refused_in_words(tmp_path, data, answer):
    (tmp_path / "net").write_bytes(data)
    with pytest.raises(ValueError, match=answer) as caught:
        unpack(tmp_path / "net")
    assert str(caught.value).startswith(str(tmp_path / "net"))


def test_a_state_of_torch_is_sent_to_pack(tmp_path):
    torch.save(pruned().state_dict(), tmp_path / "net.pt")
    with pytest.raises(ValueError, match="python -m compress pack STATE FILE"):
        unpack(tmp_path / "net.pt")


HUGE = 1 << 40


def claims():
    """Files that claim terabytes in few bytes."""
    table = number(1 << 20) + number(1 << 20)
    for kind, type_, shape, parts in (
        (WEIGHT, "float32", (1 << 20, 1 << 20), (b"\0", b"\3", b"")),
        (WEIGHT, "float32", (1 << 61, 8), (b"\0", b"\3", b"")),
        (WHOLE, "float64", (HUGE,), (b"\0",)),
        (VECTOR, "float16", (HUGE,), (b"\0",)),
        (SPARSE, "float32", (4,), (table + b"\0\0\0", b"\0", b"\3", bytes(16))),
        (SPARSE, "float32", (4,), (table + b"\1\0\1\0\0\0", b"\0", b"\3", bytes(16))),
        (WHOLE, "uint8", (50,), (b"\1" + zlib.compress(bytes(1 << 26), 9),)),
        (OBJECT, "uint8", (50,), (b"\1" + zlib.compress(bytes(1 << 26), 9),)),
    ):
        entry = Entry("0.weight", kind, type_, shape)
        yield container.write(Content((entry,), (parts,)))
    body = b"IDLz\1\1" + block(zlib.compress(bytes(1 << 26), 9))
    yield sealed(body)
    yield sealed(b"IDLz\1\0" + block(number(1 << 60) + b"x" * 9))
    yield sealed(b"IDLz\1\0" + number(1 << 60))


@pytest.fixture(scope="module")
def claimed():
    return list(claims())


@pytest.mark.parametrize("which", range(11))
def test_sizes_that_claim_gigabytes_are_refused_before_anything_is_allocated(
    which, claimed, monkeypatch
):
    data = claimed[which]
    empty, zeros = torch.empty, torch.zeros
    for name, right in (("empty", empty), ("zeros", zeros)):

        def counted(*size, right=right, **options):
            assert np.prod(size, dtype=object) < 1 << 24
            return right(*size, **options)

        monkeypatch.setattr(torch, name, counted)
    tracemalloc.start()
    try:
        with pytest.raises(Damaged):
            reading.decode(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A header may have MOST_HEADER bytes: as it grows it is copied, and then read.
    assert peak < 3 * container.MOST_HEADER


def test_an_object_that_would_run_code_is_not_read(tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    for blob in (pickle.dumps(Evil()), pickle.dumps(Evil(), protocol=2)):
        entry = Entry("x", OBJECT, "uint8", (len(blob),))
        data = container.write(Content((entry,), ((b"\0" + blob,),)))
        assert "more than tensors and builtin values" in said(data)
    assert not (tmp_path / "ran").exists()


def test_names_come_back_and_no_two_are_one():
    names = ("", "weight", "a.weight", "a.bias", "a.b.running_var", "a.b.x", "ä.weight", "b.weight")
    entries = tuple(Entry(name, WHOLE, "uint8", (0,)) for name in names)
    parts = ((b"\0",),) * len(names)
    found = container.read(container.write(Content(entries, parts)))
    assert tuple(e.name for e in found.entries) == names
    twice = Content((entries[1], entries[1]), parts[:2])
    with pytest.raises(Damaged, match="two of its tensors have one name"):
        container.read(container.write(twice))
    with pytest.raises(ValueError, match=r"a tensor is called 'a\\nb'"):
        container.write(Content((Entry("a\nb", WHOLE, "uint8", (0,)),), parts[:1]))


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="net"):
        unpack(tmp_path / "net")


def test_an_object_that_was_pressed_twice_claims_nothing_that_is_not_there(tmp_path):
    plain, pressed = io.BytesIO(), io.BytesIO()
    torch.save(torch.zeros(1_000_000), plain)
    with (
        zipfile.ZipFile(plain) as old,
        zipfile.ZipFile(pressed, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for part in old.infolist():
            new.writestr(part.filename, old.read(part.filename))
    blob = pressed.getvalue()
    entry = Entry("x", OBJECT, "uint8", (len(blob),))
    (tmp_path / "net").write_bytes(container.write(Content((entry,), ((press(blob),),))))
    with pytest.raises(ValueError, match=r"an object of [\d,]+ bytes claims 4,\d\d\d,\d\d\d"):
        unpack(tmp_path / "net")
