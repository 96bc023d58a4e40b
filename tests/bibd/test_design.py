"""Designs by their axioms, families by what they promise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibd import design, families
from bibd.certificate import certify
from bibd.design import (
    affine_plane,
    complement,
    difference_set,
    dual,
    from_blocks,
    from_mask,
    modular,
    projective_plane,
    singer,
    tiled,
    truncate,
)
from bibd.field import factor, field, prime_power
from bibd.pattern import make_pattern
from tests.drawn import ALL, examples

POWERS = [q for q in range(2, 65) if prime_power(q)]
SOME = [q for q in POWERS if ALL or q <= 32]  # (the largest take a second each)


def table(d):
    return d.incidence().astype(int)


@pytest.mark.parametrize("q", [q for q in POWERS if q <= 27])
def test_field_axioms(q):
    f, a = field(q), np.arange(q)
    x, y, z = np.meshgrid(a, a, a, indexing="ij")
    assert (f.add(x, y) == f.add(y, x)).all()
    assert (f.mul(x, y) == f.mul(y, x)).all()
    assert (f.add(x, f.add(y, z)) == f.add(f.add(x, y), z)).all()
    assert (f.mul(x, f.mul(y, z)) == f.mul(f.mul(x, y), z)).all()
    assert (f.mul(x, f.add(y, z)) == f.add(f.mul(x, y), f.mul(x, z))).all()
    assert (f.add(a, 0) == a).all()
    assert (f.mul(a, 1) == a).all()
    assert (np.sort(f.add(x[:, :, 0], y[:, :, 0]), axis=1) == a).all()  # so negatives exist
    assert (np.sort(f.mul(x[1:, 1:, 0], y[1:, 1:, 0]), axis=1) == a[1:]).all()  # and inverses


def test_prime_powers():
    for n in range(2, 300):
        assert math.prod(p**m for p, m in factor(n).items()) == n
    assert [q for q in range(2, 20) if prime_power(q)] == [2, 3, 4, 5, 7, 8, 9, 11, 13, 16, 17, 19]
    assert prime_power(128) == (2, 7)
    assert prime_power(1) is None
    with pytest.raises(ValueError, match="12 is none; near: 11, 13"):
        field(12)


MAKERS = {
    affine_plane: lambda q: (q * q, q * q + q, q + 1, q, 1),
    projective_plane: lambda q: (q * q + q + 1, q * q + q + 1, q + 1, q + 1, 1),
    singer: lambda q: (q * q + q + 1, q * q + q + 1, q + 1, q + 1, 1),
}


@examples(60)
@given(q=st.sampled_from(SOME), make=st.sampled_from(list(MAKERS)))
def test_planes_cover_every_pair_once(q, make):
    d = make(q)
    n = table(d)
    v, b, r, k, lam = MAKERS[make](q)
    assert n.shape == (b, v)
    assert v * r == b * k
    assert lam * (v - 1) == r * (k - 1)
    assert b >= v  # Fisher
    assert (n.astype(np.float32).T @ n.astype(np.float32) == (r - lam) * np.eye(v) + lam).all()
    assert (n.sum(1) == k).all()


def test_affine_planes_are_resolvable_and_modular_for_primes():
    for q in POWERS:
        d = affine_plane(q)
        n = table(d)
        assert all((n[d.classes == c].sum(0) == 1).all() for c in range(q + 1))
        same = (d.indices == modular(q).indices).all()
        assert same == (prime_power(q)[1] == 1), q
        assert d.b >= d.v + (q + 1) - 1  # Bose


def test_orders_up_to_128_build():
    for q in (81, 121, 125, 127, 128):
        assert affine_plane(q).b == q * q + q
        assert len(difference_set(q)) == q + 1


def test_cyclic_means_circulant():
    n = table(singer(5))
    for t in range(len(n)):
        assert (n[t] == np.roll(n[0], t)).all()


@pytest.mark.parametrize("q", [4, 5, 8, 9])
def test_spectrum_complement_and_dual(q):
    d = affine_plane(q)
    values = np.linalg.svd(table(d).astype(float), compute_uv=False)
    assert values[0] == pytest.approx(math.sqrt((q + 1) * q))
    assert values[1:] == pytest.approx(math.sqrt(q))  # flat, and as low as can be
    c = certify(complement(d))
    v, b, r, k = q * q, q * q + q, q + 1, q
    assert (c.label, c.v, c.b, c.r, c.k, c.lam) == ("BIBD", v, b, b - r, v - k, b - 2 * r + 1)
    assert (table(dual(d)) == table(d).T).all()
    assert certify(dual(d)).label == "packing"
    assert (table(dual(dual(d))) == table(d)).all()
    x, y = np.random.default_rng(0).normal(size=(2, 1, b))
    w = table(d)
    assert (w @ x[0, :v]) @ y[0] == pytest.approx(x[0, :v] @ (table(dual(d)) @ y[0]))


def test_tiles_have_any_side_and_as_many_an_output_as_are_asked_for():
    assert make_pattern("tiled-4", 36, 48).digest() == make_pattern("tiled", 36, 48).digest()
    assert make_pattern("tiled-1", 36, 42).digest() == make_pattern("bibd", 36, 42).digest()
    whole, part = (make_pattern(name, 128, 144, 3).mask() for name in ("tiled-2", "tiled-2x3"))
    assert (whole | ~part).all()
    assert (part.sum(1) == 6).all()
    assert (part == np.kron(part[::2, ::2], np.ones((2, 2), bool))).all()


def test_tiles_are_a_kronecker_product():
    d = affine_plane(3)
    assert (table(tiled(d, 4)) == np.kron(table(d), np.ones((4, 4)))).all()
    assert (
        make_pattern("tiled", 36, 48).mask() == np.kron(table_of("bibd", 9, 12), np.ones((4, 4)))
    ).all()


def table_of(family, v, b, *rest):
    return make_pattern(family, v, b, *rest).mask()


def test_truncation_keeps_the_first():
    d = truncate(affine_plane(5), 17, 20)
    assert (table(d) == table(affine_plane(5))[:20, :17]).all()
    assert certify(d).label == "packing"
    with pytest.raises(ValueError, match="has 25 points and 30 blocks; cannot cut it to 26 points"):
        truncate(affine_plane(5), 26, 30)


@examples(150)
@given(v=st.integers(1, 120), b=st.integers(1, 150), seed=st.one_of(st.none(), st.integers(0, 99)))
def test_bibd_for_any_size(v, b, seed):
    """No empty rows; every fan-in within one up to q^2 outputs; a packing until blocks run out."""
    p = make_pattern("bibd", v, b, seed)
    assert p.fan_in.min() >= 1
    q = next(q for q in [*POWERS, 67] if q * q >= v)
    order = math.isqrt(v)
    projective = v == order * order + order + 1 and prime_power(order)
    if not projective and b <= q * q:
        assert p.fan_in.max() - p.fan_in.min() <= 1
    blocks = len(families.plane_blocks(v))
    if b <= blocks and v > 1:
        assert certify(p.design()).label in ("BIBD", "packing")
    if b > blocks:  # copies differ
        assert (
            len({p.indices[p.indptr[j] : p.indptr[j + 1]].tobytes() for j in range(b)})
            > blocks // 2
        )
    transposed = make_pattern("bibd_dual", b, v, seed)
    assert transposed.fan_in.min() >= 1
    unread = certify(p.design()).unconnected_inputs
    assert transposed.nonzeros == p.nonzeros + unread
    assert (transposed.mask().T & p.mask() == p.mask()).all()


@examples(100)
@given(
    family=st.sampled_from([f for f in families.FAMILIES if f != "tiled"]),
    v=st.integers(1, 60),
    b=st.integers(1, 60),
    seed=st.one_of(st.none(), st.integers(0, 99)),
)
def test_every_family_gives_a_table(family, v, b, seed):
    p = make_pattern(family, v, b, seed)
    assert (np.diff(p.flat) > 0).all()
    assert ((p.indices >= 0) & (p.indices < v)).all()
    assert p.digest() == make_pattern(family, v, b, seed).digest()


@examples(80)
@given(
    family=st.sampled_from(["random", "random_fan_in", "random_biregular"]),
    v=st.integers(1, 40),
    b=st.integers(1, 40),
    share=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_counts_are_as_asked(family, v, b, share, seed):
    n = 1 + round(share * (v * b - 1))
    p = make_pattern(family, v, b, seed, nonzeros=n)
    assert p.nonzeros == n
    fan_out = np.bincount(p.indices, minlength=v)
    if family != "random":
        assert p.fan_in.max() - p.fan_in.min() <= 1
    if family == "random_biregular":
        assert fan_out.max() - fan_out.min() <= 1


def test_equal_budgets_of_the_balance_question():
    for v, b, n in [(1024, 256, 8192), (256, 272, 4352)]:
        for family in (
            "bibd",
            "iddl",
            "random",
            "random_fan_in",
            "random_biregular",
            "block_diagonal",
        ):
            p = make_pattern(family, v, b, seed=1)
            assert p.nonzeros == n, family
            if family not in ("random", "random_fan_in"):
                assert set(p.fan_in) == {n // b}
                assert set(np.bincount(p.indices, minlength=v)) == {n // v}, family


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: affine_plane(6), "no plane of order 6 exists .Bruck-Ryser.*nearest.*are 5 and 7"),
        (lambda: projective_plane(14), "no plane of order 14 exists .Bruck-Ryser"),
        (lambda: singer(10), "excluded by computer search.*are 9 and 11"),
        *[
            (lambda q=q: affine_plane(q), f"a plane of order {q} is not known to exist")
            for q in (12, 15, 18, 20, 28)
        ],
        (lambda: affine_plane(1), "whole number of at least 2, got 1"),
        (lambda: design.check_parameters(8, 3, 1), "is not whole .divisibility"),
        (lambda: design.check_parameters(16, 6, 1), "cannot exist: it would have 8 blocks.*Fisher"),
        (lambda: design.check_parameters(36, 6, 1), "no plane of order 6 exists"),
        (lambda: design.check_parameters(43, 7, 1), "no plane of order 6 exists"),
        (lambda: from_blocks(5, [[0, 1], [2, 5]]), "block 1 holds point 5; points are 0 to 4"),
        (lambda: from_blocks(5, [[0, 1, 1]]), "block 0 holds point 1 twice"),
        (lambda: make_pattern("bibd", 9, 9, nonzeros=5), "bibd has a count of its own"),
        (
            lambda: make_pattern("random", 9, 9, nonzeros=82),
            r"nonzeros must be in \[1, 81\].*got 82",
        ),
        (lambda: make_pattern("random", 9, 9, nonzeros=0), "nonzeros must be .* at least 1, got 0"),
        (lambda: make_pattern("tiled", 9, 8), "needs sizes that 4 divides, got 9 inputs"),
        (
            lambda: make_pattern("tiled-16", 64, 24),
            "needs sizes that 16 divides, got 64 inputs, 24",
        ),
        (lambda: make_pattern("tiled-4x5", 64, 64), "5 tiles are to be kept of lines that have 4"),
        (
            lambda: make_pattern("tiled-0", 64, 64),
            "unknown pattern 'tiled-0': did you mean 'tiled'",
        ),
        (lambda: make_pattern("tiled-16", 64, 64, nonzeros=64), "has a count of its own"),
        (lambda: make_pattern(affine_plane(3), 9, 9), "9 points, 12 blocks does not fit a layer"),
    ],
)
def test_what_cannot_be_says_why(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_possible_parameters_give_b_and_r():
    assert design.check_parameters(9, 3, 1) == (12, 4)
    assert design.check_parameters(7, 3, 1) == (7, 3)
    assert design.check_parameters(6, 3, 2) == (10, 5)


def test_build_work_is_linear_in_connections():
    """Counted, not timed: the tables a build allocates hold a small multiple of the connections."""
    import tracemalloc

    for v in (1024, 4096):
        tracemalloc.start()
        p = make_pattern("iddl", v, v)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 100 * p.nonzeros


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: from_blocks(4, [5]), r"block 0 is a list of points, got 5: from_blocks\(4"),
        (lambda: from_blocks(4, 7), "the blocks are lists of points, got 7"),
        (lambda: from_blocks(4, "01"), "the blocks are lists of points, got '01'"),
        (lambda: from_blocks(4, [[0], [0, None]]), "block 1 holds None; points are whole numbers"),
        (lambda: from_blocks(4, [[1, "2"]]), "block 0 holds '2'; points are whole numbers, 0 to 3"),
        (lambda: from_blocks(4, [[True, 2]]), "block 0 holds True; points are whole numbers"),
        (lambda: truncate(affine_plane(3), 1.5, 1), "whole numbers of at least 1, got 1.5 and 1"),
        (lambda: truncate(affine_plane(3), True, True), "whole numbers .* got True and True"),
        (lambda: tiled(affine_plane(3), 1.5), "a tile is a whole number of at least 1, got 1.5"),
        (lambda: tiled(affine_plane(3), "2"), "a tile is a whole number of at least 1, got '2'"),
        (lambda: tiled(affine_plane(3), True), "got True"),
        (lambda: tiled(affine_plane(3), None), "got None"),
        (lambda: modular(2.5), "a whole q of at least 2, got 2.5"),
        (lambda: from_mask(np.zeros((0, 3))), r"one block and one point, got shape \(0, 3\)"),
        (lambda: from_mask(np.zeros((3, 0))), r"one block and one point, got shape \(3, 0\)"),
    ],
)
def test_what_is_no_design_is_refused_in_words(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.filterwarnings("ignore:Sparse CSR")  # torch says that once
def test_masks_may_be_tensors_of_any_kind():
    torch = pytest.importorskip("torch")
    table = torch.tensor([[0.5, 0.0, -1.0], [0.0, 2.0, 0.0]], requires_grad=True)
    kinds = table.bfloat16(), table.half(), table.to_sparse(), table.to_sparse_csr(), table > 9
    for mask in kinds:
        want = mask.detach().to_dense().float().numpy() != 0
        assert (from_mask(mask).incidence() == want).all()
