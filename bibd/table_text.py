"""A pattern's whole table as text, beside its digest in a checkpoint.

A layer whose pattern moves cannot be built anew from arguments: its checkpoint brings the table.
"""

import base64
import binascii
import zlib

import numpy as np

from bibd.moved import of_places
from bibd.pattern import Pattern


def written(pattern: Pattern) -> str:
    """Return the places of the connections as text: their gaps, packed."""
    gaps = np.diff(pattern.flat, prepend=0).astype("<i8")
    return base64.b64encode(zlib.compress(gaps.tobytes(), 6)).decode()


def read(text: str, like: Pattern, count: int) -> Pattern:
    """Return the pattern of that text, for a layer of that size with that many connections.

    Raises:
        ValueError: it is damaged, or of another layer.
    """
    size = like.in_features * like.out_features
    places = np.cumsum(_gaps(text, count))
    if count and not (0 <= places[0] <= places[-1] < size and (np.diff(places) > 0).all()):
        raise ValueError(
            f"its table of connections does not fit a layer of {like.in_features} inputs and "
            f"{like.out_features} outputs"
        )
    return of_places(places, like)


def _gaps(text: str, count: int) -> np.ndarray:
    try:  # (no more is unpacked than the values account for)
        unpack = zlib.decompressobj()
        raw = unpack.decompress(base64.b64decode(text, validate=True), 8 * count + 1)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise ValueError(f"its table of connections is damaged ({error})") from None
    if len(raw) != 8 * count:
        raise ValueError(f"its table of connections is damaged: it is not one of {count} values")
    return np.frombuffer(raw, "<i8")
