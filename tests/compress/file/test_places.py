"""Where weights are: every way is exact, the shortest is taken, and no damage gets through."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibd.pattern import make_pattern, without_dead
from compress.file import described, learned, places
from compress.file.numbers import Damaged, Reader
from compress.file.places import Table
from tests.drawn import examples

FAMILIES = ("bibd", "bibd_dual", "cyclic", "block_diagonal", "iddl", "random", "random_biregular")


@st.composite
def tables(draw):
    rows, channels = draw(st.integers(1, 30)), draw(st.integers(1, 12))
    taps = draw(st.sampled_from([1, 3, 9]))
    seed, share = draw(st.integers(0, 10**6)), draw(st.floats(0, 1))
    random = np.random.default_rng(seed)
    rate = share * random.random((rows, 1)) ** 0.5 * random.random((1, channels * taps)) ** 0.5
    before = random.integers(0, 9, channels) if draw(st.booleans()) else None
    flat = np.flatnonzero(random.random((rows, channels * taps)) < rate)
    return Table(rows, channels * taps, taps, before), flat


@given(tables())
@examples(150)
def test_every_way_gives_back_the_same_places(drawn):
    table, flat = drawn
    for code in places.ways(flat, table, None):
        found, pattern = places.decode(code, table)
        assert np.array_equal(found, flat), places.NAMES[code[0]]
        assert pattern is None
    code = places.encode(flat, table)
    assert np.array_equal(places.decode(code, table)[0], flat)
    assert len(code) <= 3 + (table.size + 7) // 8


@pytest.mark.parametrize("count", [0, 1, 599, 600])
def test_no_weight_one_weight_all_but_one_and_all(count):
    table = Table(20, 30)
    code = places.encode(np.arange(count), table)
    assert np.array_equal(places.decode(code, table)[0], np.arange(count))
    assert len(code) == 1 if count == 600 else len(code) < 12


@given(tables(), st.binary(max_size=40), st.integers(0, 7))
@examples(400)
def test_bytes_from_elsewhere_are_refused_or_read_as_places(drawn, data, way):
    table, _ = drawn
    try:
        found, _ = places.decode(bytes([way]) + data, table)
    except ValueError:
        return
    assert (np.diff(found) > 0).all()
    assert not len(found) or 0 <= found[0] <= found[-1] < table.size


def test_learning_takes_less_where_columns_differ_and_neighbours_are_kept_together():
    random = np.random.default_rng(0)
    picture = np.exp(-((np.indices((16, 16)) - 7.5) ** 2).sum(0) / 20).ravel()
    kept = random.random((100, 256)) < 0.2 * picture
    kept |= np.roll(kept, 1, axis=1) & (random.random(kept.shape) < 0.5)
    codes = {
        code[0]: len(code) for code in places.ways(np.flatnonzero(kept), Table(*kept.shape), None)
    }
    share = kept.mean()
    entropy = -(share * np.log2(share) + (1 - share) * np.log2(1 - share)) * kept.size / 8
    assert codes[places.LEARNED] < codes[places.GAPS]
    assert codes[places.LEARNED] < entropy
    code = places.encode(np.flatnonzero(kept), Table(*kept.shape))
    assert (code[0], code[4]) == (places.LEARNED, 16)  # the period of the picture was found


def test_what_the_layer_before_keeps_helps():
    random = np.random.default_rng(0)
    before = random.integers(0, 40, 200)
    kept = random.random((8, 200)) < before / 80
    alone, hinted = (
        places.encode(np.flatnonzero(kept), Table(8, 200, 1, b)) for b in (None, before)
    )
    assert len(hinted) < len(alone)
    with pytest.raises(Damaged, match="is not coded by learning"):
        places.decode(hinted, Table(8, 200))


def test_a_wrong_period_is_refused():
    with pytest.raises(ValueError, match="a period of 7 does not divide 20 columns"):
        learned.decode(b"1234", (3, 20), 4, 7)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", [None, 3])
def test_indices_of_a_described_pattern_take_no_bytes(family, seed):
    pattern = make_pattern(family, 64, 48, seed)
    code = places.encode(pattern.flat, Table(48, 64), pattern)
    found, made = places.decode(code, Table(48, 64))
    assert len(code) == 1 + 2 + (seed is not None) + 2 + described.DIGEST
    assert np.array_equal(found, pattern.flat)
    assert str(made) == str(pattern)
    assert made.digest() == pattern.digest()


@pytest.mark.parametrize(
    "pattern",
    [
        make_pattern("random", 40, 30, 7, nonzeros=200),
        make_pattern("bibd", 40, 30, 7, groups=2),
        make_pattern("random", 40, 30, 7, nonzeros=90, groups=10),
        without_dead(make_pattern("random", 9, 80, 3)),
        make_pattern("tiled", 64, 16),
    ],
    ids=str,
)
def test_counts_groups_and_fed_outputs_are_described_too(pattern):
    words = described.describe(pattern)
    made = described.read(Reader(words), (pattern.out_features, pattern.in_features))
    assert (str(made), made.digest()) == (str(pattern), pattern.digest())


def test_what_no_words_make_is_stored_by_its_places():
    from bibd import from_mask

    mask = np.random.default_rng(0).random((6, 9)) < 0.5
    assert described.describe(make_pattern(from_mask(mask), 9, 6)) is None


def test_a_part_of_a_described_pattern_is_stored_as_that_part():
    pattern = make_pattern("random", 300, 200, 5, nonzeros=900)
    flat = pattern.flat[np.random.default_rng(0).random(900) < 0.3]
    code = places.encode(flat, Table(200, 300), pattern)
    assert code[0] == places.WITHIN
    assert len(code) < len(places.encode(flat, Table(200, 300)))
    assert np.array_equal(places.decode(code, Table(200, 300))[0], flat)


def test_a_pattern_that_misses_a_weight_is_not_used():
    pattern = make_pattern("bibd", 64, 48)
    off = np.setdiff1d(np.arange(48 * 64), pattern.flat)[:1]
    flat = np.union1d(pattern.flat, off)
    code = places.encode(flat, Table(48, 64), pattern)
    assert np.array_equal(places.decode(code, Table(48, 64))[0], flat)


def test_a_pattern_that_is_drawn_otherwise_today_is_refused_with_what_to_do(monkeypatch):
    pattern = make_pattern("random", 40, 30, 7)
    words = described.describe(pattern)
    right = described.make_pattern

    def other(family, inputs, outputs, seed, count, groups):
        return right(family, inputs, outputs, seed + 1, count, groups)

    monkeypatch.setattr(described, "make_pattern", other)
    with pytest.raises(Damaged, match=r"comes out otherwise here.*numpy \d+\.\d+ .*describe=False"):
        described.read(Reader(words), (30, 40))


def test_the_number_of_a_family_stands_in_files_for_ever():
    from bibd import FAMILIES as known

    assert described.NAMES[:10] == (
        *("bibd", "bibd_dual", "cyclic", "tiled", "block_diagonal", "iddl"),
        *("random", "random_fan_in", "random_biregular", "dense"),
    )
    assert set(described.NAMES) == set(known)
