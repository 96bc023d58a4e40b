"""Decisions, counted symbols, tables of symbols, and numbers of any size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.file import bits, counted, gaps, symbols
from compress.file.numbers import Damaged, Reader, number, pack_bits, unpack_bits
from tests.drawn import examples

CHANCE = st.integers(bits.LEAST, bits.ONE - bits.LEAST)


@given(st.lists(st.tuples(st.integers(0, 1), CHANCE), max_size=300))
@examples(200)
def test_decisions_come_back_whatever_their_chances(steps):
    code = bits.encode(*zip(*steps, strict=True)) if steps else bits.encode([], [])
    decoder = bits.Decoder(code)
    assert [decoder.bit(f) for _, f in steps] == [bit for bit, _ in steps]
    decoder.end()


def test_likely_decisions_take_little_and_unlikely_ones_much():
    likely = bits.encode([1] * 1000, [bits.ONE * 9 // 10] * 1000)
    entropy = 1000 * np.log2(10 / 9) / 8
    # A state of 24 bits and more, a rounding of 2^-8 at most a step, and 4 bytes at the end.
    assert entropy <= len(likely) <= entropy * (1 + 2**-7) + 5
    assert len(bits.encode([0] * 1000, [bits.ONE * 9 // 10] * 1000)) > 1000 * np.log2(10) / 8


@given(st.integers(1, 8), st.lists(st.integers(0, 255), max_size=400))
@examples(200)
def test_symbols_come_back(width, values):
    values = [v % (1 << width) for v in values]
    assert counted.decode(counted.encode(values, width), width, len(values)).tolist() == values
    code = symbols.encode(np.array(values, dtype=int), width)
    assert symbols.decode(code, width, len(values)).tolist() == values
    assert len(code) <= 1 + (len(values) * width + 7) // 8


@pytest.mark.parametrize(
    ("make", "way"),
    [
        (lambda draw: draw.integers(0, 16, 5000), 0),
        (lambda draw: np.minimum(draw.geometric(0.6, 300), 15), 1),
        (lambda draw: np.minimum(draw.geometric(0.6, 200_000), 15), 2),
        (lambda draw: np.full(300, 7), 3),
    ],
)
def test_each_way_is_the_shortest_somewhere(make, way):
    values = make(np.random.default_rng(0))
    code = symbols.encode(values, 4)
    assert code[0] == way
    assert np.array_equal(symbols.decode(code, 4, len(values)), values)


@given(st.binary(max_size=60), st.integers(0, 8), st.integers(0, 500))
@examples(300)
def test_bytes_from_elsewhere_are_refused_or_read_as_symbols(data, width, count):
    try:
        found = symbols.decode(data, width, count)
    except ValueError:
        return
    assert len(found) == count
    assert found.max(initial=0) < 1 << width


@given(st.lists(st.integers(0, 2**52), max_size=200))
@examples(200)
def test_numbers_of_any_size_come_back(values):
    found = gaps.decode(gaps.encode(np.array(values, dtype=np.int64)), len(values))
    assert found.tolist() == values


def test_numbers_at_the_borders_of_their_classes_come_back():
    values = np.unique([2**k + d for k in range(52) for d in (-1, 0, 1)])
    assert np.array_equal(gaps.decode(gaps.encode(values), len(values)), values)


@given(st.binary(min_size=1, max_size=60), st.integers(0, 300))
@examples(300)
def test_bytes_from_elsewhere_are_refused_or_read_as_numbers(data, count):
    try:
        found = gaps.decode(data, count)
    except ValueError:
        return
    assert len(found) == count
    assert (found >= 0).all()


@given(st.integers(0, 2**62))
def test_a_number_comes_back_in_seven_bits_a_byte(n):
    code = number(n)
    assert len(code) == max(1, -(-n.bit_length() // 7))
    reader = Reader(code)
    assert reader.number() == n
    reader.end()


def test_a_reader_never_goes_past_its_bytes():
    for code, read in (
        (b"\x05abc", Reader.block),
        (b"\xff" * 30, Reader.number),
        (b"\x80", Reader.number),
        (b"", Reader.byte),
    ):
        with pytest.raises(Damaged):
            read(Reader(code))
    with pytest.raises(Damaged, match="a number is 200 where 100 is the highest"):
        Reader(number(200)).number(100)
    with pytest.raises(Damaged, match="1 bytes follow the end"):
        Reader(b"x").end()


def test_bits_behind_the_last_number_are_refused():
    code = pack_bits(np.array([5, 2]), 3)
    assert unpack_bits(code, 3, 2).tolist() == [5, 2]
    with pytest.raises(Damaged, match="bits are set behind the last number"):
        unpack_bits(bytes([code[0] | 1]), 3, 2)
    with pytest.raises(Damaged, match="2 numbers of 3 bits cannot have 2 bytes"):
        unpack_bits(code + b"\0", 3, 2)


@given(st.integers(1, 6).flatmap(lambda w: st.tuples(
    st.just(w), st.lists(st.integers(0, 2**w - 1), max_size=200))))  # fmt: skip
@examples(100)
def test_many_symbols_at_once_are_those_that_are_read_one_by_one(case):
    width, symbols_ = case
    code = counted.encode(symbols_, width) or bits.encode([], [])
    both = [(counted.Counts(width), bits.Decoder(code)) for _ in range(2)]
    (plain, slow), (quick, fast) = both
    assert [plain.read(slow) for _ in symbols_] == symbols_
    assert quick.read_all(fast, len(symbols_)).tolist() == symbols_
    assert (plain.zeros, plain.ones) == (quick.zeros, quick.ones)
    assert (slow.x, slow.at) == (fast.x, fast.at)
    fast.end()


def test_what_was_only_ever_one_thing_stays_possible():
    """Chances are bounded: a long run of one symbol does not make the others cost without end."""
    run = [1] * 40_000 + [0]
    assert counted.decode(counted.encode(run, 1), 1, len(run)).tolist() == run
