"""Certificates against numpy and against walks, and the labels that they give."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibd import certificate
from bibd.__main__ import main
from bibd.certificate import certify
from bibd.design import from_blocks
from bibd.pattern import make_pattern
from tests.drawn import examples


@examples(80)
@given(
    v=st.integers(1, 40),
    b=st.integers(1, 40),
    density=st.floats(0.0, 1.0),
    seed=st.integers(0, 10**6),
)
def test_certificates_of_any_table(v, b, density, seed):
    """Every count against dense linear algebra."""
    n = np.random.default_rng(seed).random((b, v)) < density
    d = from_blocks(v, [np.nonzero(row)[0] for row in n])
    c = certify(d)
    n = n.astype(int)
    pairs = (n.T @ n)[np.triu_indices(v, 1)]
    assert c.pair_coverage == {int(k): int((pairs == k).sum()) for k in np.unique(pairs)}
    blocks = (n @ n.T)[np.triu_indices(b, 1)]
    assert c.largest_intersection == max(blocks, default=0)
    assert c.row_weights == (n.sum(1).min(), n.sum(1).max())
    assert c.unconnected_inputs == (n.sum(0) == 0).sum()
    assert c.empty_blocks == (n.sum(1) == 0).sum()
    values = np.linalg.svd(n.astype(float), compute_uv=False)
    assert c.sigma1 == pytest.approx(values[0], abs=1e-9)
    assert c.components == components_by_walking(n)
    assert c.sigma2 >= c.sigma2_lower_bound - 1e-9
    json.dumps(c.to_dict())


def components_by_walking(n):
    b, v = n.shape
    unseen, parts = {("p", i) for i in range(v)} | {("b", j) for j in range(b)}, 0
    while unseen:
        parts, edge = parts + 1, [unseen.pop()]
        while edge:
            kind, i = edge.pop()
            line = n[:, i] if kind == "p" else n[i]
            found = {("b" if kind == "p" else "p", int(j)) for j in np.nonzero(line)[0]} & unseen
            unseen -= found
            edge += found
    return parts


def test_lanczos_is_the_full_decomposition(monkeypatch):
    monkeypatch.setattr(certificate, "SMALL", 0)
    cases = [make_pattern("random", 200, 150, 1), make_pattern("block_diagonal", 144, 144)]
    cases += [make_pattern("bibd", 121, 132), make_pattern("iddl", 100, 110)]
    for p in cases:  # (block_diagonal has one value many times over)
        values = np.linalg.svd(p.mask().astype(float), compute_uv=False)
        assert certificate.singular_values(p.design()) == pytest.approx(tuple(values[:2]), rel=1e-6)


LABELS = [
    *[("bibd", v, b, "BIBD") for v, b in [(49, 56), (64, 72), (81, 90), (256, 272), (57, 57)]],
    *[("iddl", v, b, "irregular") for v, b in [(64, 72), (36, 42), (256, 272), (16, 20)]],
    *[("iddl", v, b, "BIBD") for v, b in [(25, 30), (49, 56)]],
    ("iddl", 784, 49, "packing"),
    ("bibd", 784, 49, "packing"),
    ("cyclic", 57, 57, "BIBD"),
    ("random", 49, 56, "irregular"),
]


@pytest.mark.parametrize(("family", "v", "b", "label"), LABELS)
def test_labels(family, v, b, label):
    assert certify(make_pattern(family, v, b).design()).label == label
    if family != "random":
        assert certify(make_pattern(family, v, b, seed=7).design()).label == label


def test_a_large_plane_is_certified():
    c = certify(make_pattern("bibd", 4096, 4160).design())
    assert (c.label, c.r, c.k, c.lam, c.pair_coverage) == ("BIBD", 65, 64, 1, {1: 4096 * 4095 // 2})
    assert c.sigma2 == pytest.approx(8.0, abs=1e-6)
    assert c.sigma2_lower_bound == pytest.approx(8.0, abs=1e-6)


def test_certify_on_the_command_line(capsys):
    assert main(["certify", "--in", "64", "--out", "72", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {k: found[k] for k in ("label", "v", "b", "r", "k", "lam")} == {
        "label": "BIBD",
        "v": 64,
        "b": 72,
        "r": 9,
        "k": 8,
        "lam": 1,
    }
    assert main(["certify", "--in", "36", "--out", "42", "--pattern", "iddl"]) == 0
    assert "label            irregular" in capsys.readouterr().out
    assert main(["--list"]) == 0
    assert all(name in capsys.readouterr().out for name in ["random_biregular"])
    assert main(["certify", "--in", "36", "--out", "42", "--pattern", "bibdd"]) == 2
    assert "did you mean 'bibd'" in capsys.readouterr().err
    assert main(["draww"]) == 2
