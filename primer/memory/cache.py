"""A cache in small: which of the numbers that a loop reads have to come from memory.

A line of memory may stand in one set only, (address / line) mod sets, which has `ways` places; the
one that was not used for longest goes (LRU). 32 KiB of 8 ways and lines of 64 bytes are 64 sets.

A walk of c lines that fall into one set, again and again: c <= ways misses c times in all, but
c > ways misses every time, because each line goes just before it is asked for again.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import gcd

from primer.memory.layout import LINE, lines


@dataclass
class Cache:
    """Sets of lines; counts what is read and what was not there."""

    size: int = 1 << 15
    ways: int = 8
    line: int = LINE
    reads: int = 0
    misses: int = 0
    _sets: dict[int, OrderedDict] = field(default_factory=dict, repr=False)

    @property
    def sets(self) -> int:
        """Return how many sets it has."""
        return self.size // (self.ways * self.line)

    def read(self, addresses: Iterable[int]) -> "Cache":
        """Read what lies at these addresses, one after the other."""
        for address in addresses:
            number = int(address) // self.line
            places = self._sets.setdefault(number % self.sets, OrderedDict())
            self.reads += 1
            self.misses += number not in places
            places[number] = None
            places.move_to_end(number)
            if len(places) > self.ways:
                places.popitem(last=False)
        return self


def misses(cache: Cache, numbers: int, stride: int, item: int = 8, passes: int = 1) -> int:
    """Return the misses of walks from the start of a line; strides divide a line or are many.

    Lines are t = stride / line apart, so they fall into sets / gcd(t, sets) sets in turn.
    """
    touched = lines(numbers, stride, item, cache.line)
    used = cache.sets // gcd(max(1, stride // cache.line), cache.sets)
    counts = [(touched - r + used - 1) // used for r in range(used)]
    return sum(c * (passes if c > cache.ways else 1) for c in counts)


def columns(cache: Cache, side: int, item: int = 8) -> int:
    """Return the misses of a square that lies by rows and is read by columns.

    The columns of one line of each row follow each other: so many passes over the same lines.
    """
    together = cache.line // item
    return side // together * misses(cache, side, side * item, item, together)
