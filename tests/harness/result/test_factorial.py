"""The analysis of a grid: known effects come back, and the plain means are its oracle."""

from fractions import Fraction
from itertools import product
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import f_oneway

from harness.result.factorial import _fit, analyse, rounding
from tests.drawn import examples

FACTORS = {"pattern": ("dense", "iddl", "random"), "groups": ("1", "2"), "exits": ("no", "yes")}
CELLS = list(product(*FACTORS.values()))


def grid(value, seeds=3):
    return {cell: {seed: value(cell, seed) for seed in range(seeds)} for cell in CELLS}


def effect(found, term, *levels):
    return next(e.interval for e in found.effects if (e.term, e.levels) == (term, levels))


def noisy(scale, interaction=0.0):
    rng = np.random.default_rng(0)
    pattern = {"dense": 0.04, "iddl": -0.03, "random": -0.01}

    def value(cell, seed):
        both = interaction * (1 if cell[0] == "dense" else -0.5) * (1 if cell[1] == "1" else -1)
        half = 0.02 if cell[1] == "1" else -0.02
        return 0.8 + pattern[cell[0]] + half + both + 0.005 * seed + scale * rng.normal()

    return value


def test_known_effects_come_back():
    found = analyse(FACTORS, grid(noisy(1e-9, interaction=0.01)))
    assert found.mean == pytest.approx(0.805, abs=1e-7)
    assert effect(found, "pattern", "dense").mean == pytest.approx(0.04, abs=1e-7)
    assert effect(found, "pattern", "random").mean == pytest.approx(-0.01, abs=1e-7)
    assert effect(found, "groups", "2").mean == pytest.approx(-0.02, abs=1e-7)
    assert effect(found, "exits", "yes").mean == pytest.approx(0, abs=1e-7)
    assert effect(found, "pattern:groups", "dense", "1").mean == pytest.approx(0.01, abs=1e-7)
    assert effect(found, "pattern:groups", "iddl", "2").mean == pytest.approx(0.005, abs=1e-7)
    assert (found.n, found.df) == (36, 36 - 12 - 2)
    assert sum(t.df for t in found.terms) == 11 + 2
    assert sum(t.share for t in found.terms) == pytest.approx(1, abs=1e-6)


def test_noise_is_not_taken_for_an_interaction_and_a_real_one_is_found():
    found = {t.name: t for t in analyse(FACTORS, grid(noisy(0.005))).terms}
    assert found["pattern"].p < 1e-6
    assert found["groups"].p < 1e-6
    assert all(found[name].p > 0.01 for name in found if ":" in name or name == "exits")
    real = {t.name: t for t in analyse(FACTORS, grid(noisy(0.005, interaction=0.01))).terms}
    assert real["pattern:groups"].p < 1e-6
    assert real["pattern:exits"].p > 0.01


@examples(20)
@given(st.integers(0, 2**31), st.integers(2, 4))
def test_in_a_full_grid_effects_are_differences_of_means(seed, seeds):
    rng = np.random.default_rng(seed)
    table = grid(lambda *_: rng.normal(), seeds)
    found = analyse(FACTORS, table)
    mean = fmean(v for runs in table.values() for v in runs.values())

    def marginal(**fixed):
        names = list(FACTORS)
        return fmean(
            v
            for cell, runs in table.items()
            for v in runs.values()
            if all(cell[names.index(k)] == level for k, level in fixed.items())
        )

    assert found.mean == pytest.approx(mean)
    for level in FACTORS["pattern"]:
        assert effect(found, "pattern", level).mean == pytest.approx(marginal(pattern=level) - mean)
    got = effect(found, "groups:exits", "1", "yes").mean
    expected = (
        marginal(groups="1", exits="yes") - marginal(groups="1") - marginal(exits="yes") + mean
    )
    assert got == pytest.approx(expected, abs=1e-12)
    for term in {e.term for e in found.effects}:
        assert sum(e.interval.mean for e in found.effects if e.term == term) == pytest.approx(
            0, abs=1e-12
        )


def test_one_factor_without_blocks_is_scipys_analysis_of_variance():
    rng = np.random.default_rng(1)
    levels = ("a", "b", "c")
    samples = {k: rng.normal(i, 1, 5) for i, k in enumerate(levels)}
    # every run a seed of its own would leave nothing to estimate; so: no seeds in common, one block
    table = {(k,): {0: v[0]} for k, v in samples.items()}
    with pytest.raises(ValueError, match="3 runs are too few for 3 effects"):
        analyse({"x": levels}, table)
    within = {(k,): dict(enumerate(v - v.mean() + v.mean())) for k, v in samples.items()}
    found = analyse({"x": levels}, within)
    (term, block) = found.terms
    residual = found.sd**2 * found.df + block.share * _total(samples)
    f = term.share * _total(samples) / 2 / (residual / 12)  # the blocks given back to the error
    assert f == pytest.approx(f_oneway(*samples.values()).statistic)


def _total(samples):
    values = np.concatenate(list(samples.values()))
    return float(np.square(values - values.mean()).sum())


def shuffled(table, seed):
    """The same runs, summed in another order."""
    rng = np.random.default_rng(seed)
    mixed = lambda keys: [keys[i] for i in rng.permutation(len(keys))]  # noqa: E731
    return {c: {s: table[c][s] for s in mixed(list(table[c]))} for c in mixed(list(table))}


@pytest.mark.parametrize("order", range(4))
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("value", [0.5, 0.1, 1e-3, 97.31])
def test_what_does_exactly_nothing_is_not_found(value, scale, order):
    """Rounding is no effect: no NaN, no infinity, and no tiny p."""
    for table in (
        grid(lambda *_: scale * value),
        grid(lambda cell, seed: scale * (value + 0.3 * seed)),
    ):
        for term in analyse(FACTORS, shuffled(table, order)).terms:
            if term.name != "seed":
                assert (term.f, term.p, term.share) == (0.0, 1.0, 0.0)


@pytest.mark.parametrize("order", range(8))
@pytest.mark.parametrize("offset", [0, 1e3, -1e6])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_what_does_exactly_nothing_is_not_found_under_noise(scale, offset, order):
    exits_do_nothing = noisy(0.0)
    rng = np.random.default_rng(order)
    noise = {(c[0], c[1], s): rng.normal() for c in CELLS for s in range(3)}
    table = grid(
        lambda cell, seed: (
            scale * (offset + exits_do_nothing(cell, seed) + noise[cell[0], cell[1], seed])
        )
    )
    terms = {t.name: t for t in analyse(FACTORS, shuffled(table, order)).terms}
    for name in terms:
        if "exits" in name:
            assert (terms[name].f, terms[name].p, terms[name].share) == (0.0, 1.0, 0.0)
        else:
            assert terms[name].f > 0


def coded(seeds=3):
    """The columns of the whole model with its seeds."""
    from harness.result.factorial import _blocks

    runs = [(cell, seed) for cell in CELLS for seed in range(seeds)]
    blocks = _blocks(FACTORS, [r[0] for r in runs], [r[1] for r in runs])
    return np.column_stack([np.ones(len(runs)), *blocks.values()])


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_an_effect_just_above_rounding_is_found_and_one_below_is_not(scale):
    x = coded()
    y = np.full(len(x), 0.7 * scale)
    bound = rounding(x, y)
    assert bound < 1e-12 * np.linalg.norm(y)  # not so wide that a bug fits through
    for times, found in ((1.9, False), (2.1, True)):  # a term is the difference of two fits
        half = times * bound / np.sqrt(len(x))  # of the difference between no and yes
        table = grid(lambda cell, _, half=half: 0.7 * scale + half * (1 if cell[2] == "no" else -1))
        terms = {t.name: t for t in analyse(FACTORS, table).terms}
        assert (terms["exits"].f > 0, terms["exits"].p < 1e-6) == (found, found)
        assert all(terms[name].f == 0 for name in terms if name != "exits")


def exactly_left(x, y):
    """What least squares leave of y, in fractions: no rounding at all."""
    columns = [[Fraction(int(v)) for v in column] for column in x.T]
    left, done = [Fraction(float(v)) for v in y], []
    dot = lambda a, b: sum((p * q for p, q in zip(a, b, strict=True)), Fraction(0))  # noqa: E731
    for column in columns:  # Gram-Schmidt
        for other in done:
            part = dot(column, other) / dot(other, other)
            column = [c - part * o for c, o in zip(column, other, strict=True)]
        done.append(column)
        part = dot(left, column) / dot(column, column)
        left = [v - part * c for v, c in zip(left, column, strict=True)]
    return left


@examples(15)
@given(st.integers(0, 2**31), st.sampled_from([0.0, 1.0, -1e5]), st.sampled_from([1e-8, 1.0, 1e8]))
def test_rounding_stays_within_its_bound_of_exact_arithmetic(seed, offset, scale):
    rng = np.random.default_rng(seed)
    x = coded(seeds=2)
    kept = rng.permutation(len(x))[: len(x) - 1]  # in any order, one run missing
    x = x[kept]
    exact = x @ rng.integers(-9, 9, x.shape[1]).astype(float)
    for y in (scale * (offset + rng.normal(size=len(x))), exact):
        off = [
            Fraction(float(v)) - e for v, e in zip(_fit(x, y)[1], exactly_left(x, y), strict=True)
        ]
        assert float(sum(v * v for v in off)) ** 0.5 <= rounding(x, y)


def test_missing_runs_are_no_trouble_but_missing_cells_are():
    table = grid(noisy(0.002))
    del table[CELLS[0]][1]
    found = analyse(FACTORS, table)
    assert effect(found, "pattern", "dense").mean == pytest.approx(0.04, abs=0.005)
    del table[CELLS[3]]
    with pytest.raises(ValueError, match="every cell of the grid needs a run"):
        analyse(FACTORS, table)
