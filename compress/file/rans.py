"""Codes symbols near their entropy: an interleaved range coder of the ANS kind, in numpy.

    state x of 32 bits, words of 16, frequencies f of 12 bits that begin at F
    put(s):    x >= f << 20: write x % 2^16, x //= 2^16;   x = (x // f << 12) + x % f + F[s]
    get():     s = symbol_at[x % 4096];   x = f * (x >> 12) + x % 4096 - F[s];
               x < 2^16: x = x << 16 | next word

L such states (lanes) go side by side, symbol i in lane i % L, and share one stream of words, so
that a step is a few operations on arrays of length L. A code is exact, and ends in the states from
which the coder began: a decoder that does not get back there has read something else.
(J. Duda, arXiv 1311.2540; F. Giesen, arXiv 1402.3392.)
"""

import numpy as np

BITS = 12
TOTAL = 1 << BITS  # what the frequencies of a table add up to
LOW = 1 << 16  # states are in [LOW, LOW << 16)
MOST_LANES = 1024
EACH = 2048  # symbols for one lane more, whose state costs four bytes


def lanes(count: int) -> int:
    """Return how many lanes a stream of so many symbols has."""
    return max(1, min(MOST_LANES, count // EACH))


def frequencies(counts: np.ndarray) -> np.ndarray:
    """Scale counts to frequencies that add up to TOTAL; what occurs keeps at least one.

    Raises:
        ValueError: more than TOTAL symbols occur.
    """
    counts = np.asarray(counts, dtype=np.int64)
    used = counts > 0
    if used.sum() > TOTAL:
        raise ValueError(f"{used.sum()} symbols occur, a table of this coder holds {TOTAL}")
    if not used.any():
        return np.zeros_like(counts)
    found = np.where(used, np.maximum(1, counts * TOTAL // counts.sum()), 0)
    while (rest := TOTAL - int(found.sum())) != 0:
        found = _nearer(found, counts, rest)
    return found


def _nearer(found: np.ndarray, counts: np.ndarray, rest: int) -> np.ndarray:
    """Give or take one where it changes the length of the code least."""
    sign = 1 if rest > 0 else -1
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = counts * np.log2((found + sign) / found)
    gain[(counts == 0) | (found + sign < 1)] = -np.inf
    some = np.argsort(-gain, kind="stable")[: min(abs(rest), int(np.isfinite(gain).sum()))]
    found = found.copy()
    found[some] += sign
    return found


def encode(symbols: np.ndarray, freq: np.ndarray) -> bytes:
    """Code symbols, whole numbers that index `freq`, by these frequencies.

    Raises:
        ValueError: a symbol without a frequency.
    """
    symbols = np.asarray(symbols).ravel()
    count, n = len(symbols), lanes(len(symbols))
    freq = np.asarray(freq, dtype=np.uint64)
    if count == 0:
        return b""
    if symbols.min() < 0 or symbols.max() >= len(freq) or (freq[np.unique(symbols)] == 0).any():
        raise ValueError("a symbol has no frequency in this table: count the symbols first")
    start = np.cumsum(freq) - freq
    x, words = np.full(n, LOW, dtype=np.uint64), []
    for first in range((count - 1) // n * n, -1, -n):
        some = symbols[first : first + n]
        f, now = freq[some], x[: len(some)]
        over = now >= f << np.uint64(20)
        words.append((now[over] & np.uint64(LOW - 1)).astype("<u2"))
        now[over] >>= np.uint64(16)
        now[:] = (now // f << np.uint64(BITS)) + now % f + start[some]
    # (the decoder reads the other way: steps last to first, in each the lanes in order)
    return x.astype("<u4").tobytes() + np.concatenate(words[::-1]).tobytes()


def decode(data: bytes, freq: np.ndarray, count: int) -> np.ndarray:
    """Return the `count` symbols that `encode` has coded; the caller has bounded `count`.

    Raises:
        ValueError: a code that is too short, too long, or ends in other states.
    """
    freq, n = np.asarray(freq, dtype=np.int64), lanes(count)
    if count == 0:
        return _nothing(data)
    if int(freq.sum()) != TOTAL or len(data) < 4 * n or len(data) % 2:
        raise ValueError(f"a code of {count} symbols cannot have {len(data)} bytes and this table")
    kind = np.uint8 if len(freq) <= 256 else np.uint16
    x = np.frombuffer(data, "<u4", n).astype(np.int64)
    words = np.frombuffer(data, "<u2", offset=4 * n)
    slots, at = np.empty(count, dtype=np.uint16), 0
    f_at, rest_at = _tables(freq)
    # (Steps are many and short: numbers of the width of a place in memory, all of them arrays
    # already, spare every operation a conversion that takes as long as itself.)
    mask, bits, low, word = (np.array(k) for k in (TOTAL - 1, BITS, LOW, 16))
    for first in range(0, count, n):
        now = x[: min(n, count - first)]
        slot = now & mask
        slots[first : first + n] = slot
        np.right_shift(now, bits, now)
        np.multiply(now, f_at[slot], now)
        np.add(now, rest_at[slot], now)
        under = (now < low).nonzero()[0]
        if len(under) > len(words) - at:
            raise ValueError(f"a code of {count} symbols ends too early")
        now[under] = now[under] << word | words[at : at + len(under)]
        at += len(under)
    if at != len(words) or (x != LOW).any():
        raise ValueError(f"a code of {count} symbols does not end where it should")
    return np.repeat(np.arange(len(freq), dtype=kind), freq)[slots]


def _tables(freq: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each of TOTAL slots, the frequency of its symbol and its place among them."""
    start = np.cumsum(freq) - freq
    at = np.repeat(np.arange(len(freq)), freq)
    return freq[at].astype(np.int64), np.arange(TOTAL) - start[at]


def _nothing(data: bytes) -> np.ndarray:
    if data:
        raise ValueError(f"a code of no symbols has no bytes, got {len(data)}")
    return np.empty(0, dtype=np.uint8)


def length(counts: np.ndarray, freq: np.ndarray) -> float:
    """Return the bits that symbols with these counts take under these frequencies, without ends."""
    some = np.asarray(counts) > 0
    return float((counts[some] * (BITS - np.log2(np.asarray(freq)[some]))).sum())
