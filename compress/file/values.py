"""The values of weights and vectors as bytes: a codebook and indices, halves, or as they are.

Halves (float16) are stored where they lose no more than the eleventh digit of the largest value;
where values are too large or too small for that, float32 is.
"""

import numpy as np

from compress.file import symbols
from compress.file.numbers import Damaged, Reader, number, pack_bits, unpack_bits
from compress.file.share import MOST_BITS, kmeans

HALF = 2.0**-11  # the rounding of a half
RAW = 9  # of the 16 bits of a half, those that are noise: the last digits of its mantissa
FORMS = (np.dtype("<f2"), np.dtype("<f4"))


def half_or_single(values: np.ndarray, each: bool = False) -> np.ndarray:
    """Return values as float16 where these are good enough, otherwise as float32.

    Args:
        values: Numbers.
        each: Ask it of every value by itself, as of variances, not of all in terms of the largest.

    Raises:
        ValueError: values that are beyond float32.
    """
    values = np.asarray(values, dtype=np.float64)
    with np.errstate(over="ignore"):
        single = values.astype("<f4")
        if not np.isfinite(single).all() or (values.any() and not single.any()):
            raise ValueError(
                f"values up to {np.abs(values).max():.3g} are beyond float32, in which shared "
                "values and vectors are stored: bits=None stores them as they are, or scale the net"
            )
        half = values.astype("<f2")
        scale = np.abs(values) if each else np.abs(values).max(initial=0)
        fits = np.isfinite(half) & (np.abs(half.astype(np.float64) - values) <= HALF * scale)
    return half if fits.all() else single


def codebook(values: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Return at most 2^bits ascending values as they are stored, and the index of each weight."""
    found, index = kmeans(values, 1 << bits)
    stored, merged = np.unique(half_or_single(found), return_inverse=True)
    return stored, merged[index]


def encode_codebook(stored: np.ndarray) -> bytes:
    """Return a codebook of 1 to 256 values as bytes."""
    return bytes([FORMS.index(stored.dtype)]) + stored.tobytes()


def decode_codebook(data: bytes) -> np.ndarray:
    """Return the codebook.

    Raises:
        Damaged: none, or too many values.
    """
    reader = Reader(data)
    form = FORMS[reader.byte(len(FORMS) - 1)]
    if reader.left % form.itemsize or not 0 < reader.left // form.itemsize <= 1 << MOST_BITS:
        reader.refuse(f"a codebook cannot have {reader.left} bytes")
    return np.frombuffer(reader.take(reader.left), form)


def width(size: int) -> int:
    """Return how many bits number so many values of a codebook."""
    return (size - 1).bit_length()


def decode_indices(data: bytes, size: int, count: int) -> np.ndarray:
    """Return `count` indices into a codebook of this size; the caller has bounded `count`.

    Raises:
        ValueError: a damaged stream, or an index behind the last value.
    """
    index = symbols.decode(data, width(size), count)
    if count and index.max() >= size:
        raise Damaged(f"value {index.max()} was named of a codebook of {size}")
    return index


def encode_vector(values: np.ndarray) -> bytes:
    """Return a vector of halves or singles; of halves, signs and sizes are coded."""
    form = FORMS.index(values.dtype)
    raw = bytes([2 * form]) + values.tobytes()
    if form or not values.size:
        return raw
    digits = values.ravel().view("<u2").astype(np.int64)
    head = symbols.encode(digits >> RAW, 16 - RAW)
    coded = number(len(head)) + head + pack_bits(digits & ((1 << RAW) - 1), RAW)
    return min(raw, b"\1" + coded, key=len)


def decode_vector(data: bytes, count: int) -> np.ndarray:
    """Return `count` values; the caller has bounded `count`.

    Raises:
        ValueError: a damaged stream.
    """
    reader = Reader(data)
    way = reader.byte(2)
    if way == 1:
        head = symbols.decode(reader.block(), 16 - RAW, count)
        rest = unpack_bits(reader.take(reader.left), RAW, count)
        return (head << RAW | rest).astype("<u2").view("<f2")
    form = FORMS[way // 2]
    if reader.left != count * form.itemsize:
        reader.refuse(f"{count:,} values cannot have {reader.left:,} bytes")
    return np.frombuffer(reader.take(reader.left), form)
