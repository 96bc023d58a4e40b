"""The file: a mark, a format number, a header, the parts of each tensor, a checksum.

    "IDLz"  format  pressed  header         parts of tensor 1, of tensor 2, ...       CRC-32
    4       1       1        length, bytes  each: length, bytes                       4 bytes

The header says of each tensor of the state its kind, type, shape and name. Whatever a file says, a
size is believed only after the checksum, and only as far as the caller allows (`check_claim`).
"""

import zlib
from dataclasses import dataclass

from compress.file import header
from compress.file.header import PARTS, Entry
from compress.file.numbers import Damaged, Reader, block

MARK, FORMAT = b"IDLz", 1
MOST_HEADER = 1 << 24
RATIO, FLOOR = 10_000, 1 << 20  # what a file may claim: FLOOR, and RATIO bytes for each of its own


@dataclass(frozen=True)
class Content:
    """What a file holds: entries and the parts of each."""

    entries: tuple[Entry, ...]
    parts: tuple[tuple[bytes, ...], ...]


def write(content: Content) -> bytes:
    """Return the file."""
    head = header.write(content.entries)
    pressed = zlib.compress(head, 9)
    shorter = len(pressed) < len(head)
    out = MARK + bytes([FORMAT, shorter]) + block(pressed if shorter else head)
    out += b"".join(block(part) for parts in content.parts for part in parts)
    return out + zlib.crc32(out).to_bytes(4, "little")


def read(data: bytes, most: int | None = None) -> Content:
    """Return what a file holds, as far as it can be told without its tensors.

    Args:
        data: The file.
        most: Bytes that its tensors may take; None: RATIO times its own, and FLOOR.

    Raises:
        Damaged: no file of this kind, one of another format, one that was cut or changed, or one
            that claims more than it may.
    """
    reader = _checked(data)
    pressed, head = reader.byte(1), reader.block()
    if pressed:
        head = _unpressed(head)
    entries = header.read(Reader(head))
    check_claim(sum(e.bytes for e in entries), len(data), most)
    parts = [tuple(reader.block() for _ in range(PARTS[entry.kind])) for entry in entries]
    reader.end()
    return Content(entries, tuple(parts))


def check_claim(claim: int, size: int, most: int | None) -> None:
    """Refuse tensors that would take more bytes than a file of this size may claim."""
    bound = allowed(size, most)
    if claim > bound:
        raise Damaged(
            f"it claims tensors of {claim:,} bytes in a file of {size:,}, {bound:,} are allowed; "
            f"if you trust it, say so: most={claim} (unpack --most {claim})"
        )


def allowed(size: int, most: int | None = None) -> int:
    """Return how many bytes tensors may take that come out of a file of this size."""
    return RATIO * size + FLOOR if most is None else most


def _checked(data: bytes) -> Reader:
    """Look at mark, format and checksum; return a reader of what is between them."""
    if not data.startswith(MARK):
        begin = bytes(data[:4])
        raise Damaged(
            f"it begins with {begin!r} where a packed net has {MARK!r}: it is no file of compress "
            "pack (a state of torch.save is packed by: python -m compress pack STATE FILE)"
            if len(data) >= len(MARK)
            else f"it has {len(data)} bytes, less than the mark at the front of a packed net"
        )
    if len(data) > 4 and data[4] != FORMAT:
        raise Damaged(
            f"it has format {data[4]}, this version reads format {FORMAT}: update this package, or "
            "unpack it with the version that wrote it"
        )
    if len(data) < 11 or zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        raise Damaged(
            f"its {len(data):,} bytes do not fit the checksum at their end: it was cut or changed "
            "on its way; copy it again, or pack the net again"
        )
    return Reader(memoryview(data)[5:-4])


def _unpressed(head: bytes) -> bytes:
    machine = zlib.decompressobj()
    try:
        found = machine.decompress(head, MOST_HEADER)
    except zlib.error as error:
        raise Damaged(f"its header is damaged ({error})") from None
    if not machine.eof or machine.unused_data:
        raise Damaged(f"its header is longer than {MOST_HEADER:,} bytes, or ends too early")
    return found
