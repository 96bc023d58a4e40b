"""Tensors as the parts of a file, and back: each kind of compress.file.header has its own pair.

    weight          where, codebook, values
    sparse weight   table of the layer, which of its values are not zero, codebook, values
    vector          halves
    whole           the bytes themselves, pressed where that is shorter
    object          what torch.save makes of it; read without running anything that is in it

The first byte of a codebook says how values are stored: 0, 1: a codebook of halves or singles, and
indices; 2: each a half; 3: each as it is.
"""

import io
import zipfile
import zlib
from typing import Any

import numpy as np
import torch

from compress.file import learned, symbols, values
from compress.file.header import Entry
from compress.file.numbers import Damaged
from compress.file.places import Table

EACH_HALF, AS_IS = 2, 3
PLAIN, PRESSED = 0, 1


def numpy_of(tensor: torch.Tensor) -> np.ndarray:
    """Return a floating tensor as a vector of float64, which holds every value exactly."""
    return tensor.detach().cpu().double().reshape(-1).numpy()


def bytes_of(tensor: torch.Tensor) -> bytes:
    """Return the bytes of a tensor, in the order of its axes."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


def of_bytes(data: bytes, type_: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Return the tensor that has these bytes.

    Raises:
        Damaged: it would have another number of them.
    """
    empty = torch.empty(0, dtype=getattr(torch, type_))
    count = int(np.prod(shape, dtype=object))
    if len(data) != count * empty.element_size():
        raise Damaged(f"{count:,} numbers {type_} cannot have {len(data):,} bytes")
    if not count:
        return empty.reshape(shape)
    return torch.frombuffer(bytearray(data), dtype=empty.dtype).reshape(shape)


def encode_values(kept: torch.Tensor, bits: int | None) -> tuple[bytes, bytes]:
    """Return the codebook and the values of those weights that are kept."""
    if bits is None:
        return bytes([AS_IS]), bytes_of(kept)
    vector = numpy_of(kept)
    if bits == 16 or not len(vector):
        return bytes([EACH_HALF]), values.encode_vector(values.half_or_single(vector))
    book, index = values.codebook(vector, bits)
    return values.encode_codebook(book), symbols.encode(index, values.width(len(book)))


def decode_values(book: bytes, data: bytes, type_: str, count: int) -> torch.Tensor:
    """Return `count` values; the caller has bounded `count`.

    Raises:
        ValueError: damaged parts.
    """
    kind = getattr(torch, type_)
    if book == bytes([AS_IS]):
        return of_bytes(data, type_, (count,))
    if book == bytes([EACH_HALF]):
        return torch.from_numpy(values.decode_vector(data, count).astype(np.float64)).to(kind)
    stored = values.decode_codebook(book)
    index = values.decode_indices(data, len(stored), count)
    return torch.from_numpy(stored.astype(np.float64)[index]).to(kind)


def table_of(shape: tuple[int, ...], before: np.ndarray | None, room: int = learned.MOST) -> Table:
    """Return what is known of the table of a dense weight (outputs, inputs, *window).

    Raises:
        Damaged: a shape that no weight has.
    """
    if len(shape) < 2 or 0 in shape:
        raise Damaged(f"a weight cannot have shape {shape}")
    taps = int(np.prod(shape[2:], dtype=np.int64))
    return Table(shape[0], shape[1] * taps, taps, before, room)


def scatter(entry: Entry, flat: np.ndarray, found: torch.Tensor) -> torch.Tensor:
    """Return a tensor of this entry with values at these places and zeros elsewhere."""
    whole = torch.zeros(entry.count, dtype=found.dtype)
    whole[torch.from_numpy(flat)] = found
    return whole.reshape(entry.shape)


def encode_vector(tensor: torch.Tensor, statistic: bool) -> bytes:
    """Return a vector as halves, or as singles where these are not good enough."""
    return values.encode_vector(values.half_or_single(numpy_of(tensor), each=statistic))


def decode_vector(data: bytes, entry: Entry) -> torch.Tensor:
    """Return the vector; its size was bounded by the header."""
    found = values.decode_vector(data, entry.count).astype(np.float64)
    return torch.from_numpy(found).to(getattr(torch, entry.type)).reshape(entry.shape)


def press(data: bytes) -> bytes:
    """Return bytes, pressed where that is shorter; the first one says which."""
    pressed = zlib.compress(data, 9)
    shorter = len(pressed) < len(data)
    return bytes([PRESSED if shorter else PLAIN]) + (pressed if shorter else data)


def unpress(data: bytes, most: int) -> bytes:
    """Return the bytes again, `most` of them at most.

    Raises:
        Damaged: there are more, or they cannot be read.
    """
    if data[:1] == bytes([PLAIN]):
        return data[1:]
    machine = zlib.decompressobj()
    try:
        found = machine.decompress(data[1:], most + 1)
    except zlib.error as error:
        raise Damaged(f"bytes that were pressed are damaged ({error})") from None
    if data[:1] != bytes([PRESSED]) or not machine.eof or machine.unused_data or len(found) > most:
        raise Damaged(f"bytes that were pressed are not the {most:,} that they should be")
    return found


def encode_object(value: Any) -> bytes:
    """Return what torch.save makes of a value that is no tensor, or one of a rare kind.

    Raises:
        ValueError: one that cannot be read back without running code of it.
    """
    buffer = io.BytesIO()
    try:
        torch.save(value, buffer)
        decode_object(buffer.getvalue())
    except Exception as error:  # (whatever its own code raises as it is taken apart)
        raise ValueError(
            f"it is of type {type(value).__name__}, which cannot be stored as plain data ({error})"
        ) from None
    return buffer.getvalue()


def decode_object(data: bytes) -> Any:
    """Return the value; only tensors and builtin values are read, as many bytes as there are."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as parts:
            claimed = sum(part.file_size for part in parts.infolist())
        if claimed > len(data):  # (torch.save presses nothing)
            raise Damaged(f"an object of {len(data):,} bytes claims {claimed:,}")
        return torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
    except Damaged:
        raise
    except Exception as error:
        text = (str(error) or type(error).__name__).splitlines()[0]
        raise Damaged(f"an object holds more than tensors and builtin values ({text})") from None
