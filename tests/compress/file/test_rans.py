"""The interleaved coder: exact, near the entropy, and never past its bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.file import rans
from tests.drawn import examples


def through(symbols, alphabet):
    counts = np.bincount(symbols, minlength=alphabet)
    freq = rans.frequencies(counts)
    code = rans.encode(symbols, freq)
    assert np.array_equal(rans.decode(code, freq, len(symbols)), symbols)
    return code, counts, freq


@given(st.data())
@examples(200)
def test_what_was_coded_comes_back(data):
    alphabet = data.draw(st.integers(1, 300))
    size = data.draw(st.integers(0, 6000))
    skew = data.draw(st.floats(0.02, 5))
    draw = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    p = draw.gamma(skew, size=alphabet) + 1e-12
    code, counts, freq = through(draw.choice(alphabet, size, p=p / p.sum()), alphabet)
    assert 8 * len(code) <= most(counts, freq)


def most(counts, freq):
    """The bits that a code may have.

    Before a step a state is at least 2^4 f, and its quotient by f is rounded down, which loses
    log2(1 + 2^-4) of a bit at most; the states at the end are 32 bits each.
    """
    size = int(counts.sum())
    return rans.length(counts, freq) + size * np.log2(1 + 2**-4) + 32 * rans.lanes(size)


@pytest.mark.parametrize("alphabet", [1, 2, 4096])
def test_a_stream_of_one_symbol_is_only_its_states(alphabet):
    symbols = np.full(5000, alphabet - 1)
    code, _, _ = through(symbols, alphabet)
    assert len(code) == 4 * rans.lanes(5000)


def test_an_empty_stream_has_no_bytes():
    code, _, _ = through(np.zeros(0, dtype=int), 4)
    assert code == b""
    with pytest.raises(ValueError, match="a code of no symbols has no bytes, got 1"):
        rans.decode(b"x", rans.frequencies(np.ones(4)), 0)


def test_as_many_symbols_as_a_table_holds_and_one_more():
    through(np.arange(4096), 4096)
    with pytest.raises(ValueError, match="4097 symbols occur, a table of this coder holds 4096"):
        rans.frequencies(np.ones(4097))


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=600))
@examples(200)
def test_frequencies_add_up_and_forget_no_symbol(counts):
    freq = rans.frequencies(np.array(counts))
    assert freq.sum() == (rans.TOTAL if any(counts) else 0)
    assert ((freq > 0) == (np.array(counts) > 0)).all()


def test_a_symbol_without_a_frequency_is_refused():
    freq = rans.frequencies(np.array([1, 0, 3]))
    for bad in (1, 3, -1):
        with pytest.raises(ValueError, match="a symbol has no frequency in this table"):
            rans.encode(np.array([0, bad]), freq)


def test_a_code_that_was_cut_or_is_too_long_is_refused_at_every_byte():
    symbols = np.random.default_rng(0).integers(0, 9, 300)
    code, _, freq = through(symbols, 9)
    for end in range(len(code)):
        with pytest.raises(ValueError, match="a code of 300 symbols"):
            rans.decode(code[:end], freq, 300)
    with pytest.raises(ValueError, match="does not end where it should"):
        rans.decode(code + b"\0\0", freq, 300)


@pytest.mark.slow
def test_ten_million_symbols_come_back():
    symbols = np.minimum(np.random.default_rng(0).geometric(0.3, 10**7) - 1, 15)
    code, counts, freq = through(symbols, 16)
    assert 8 * len(code) <= most(counts, freq)
