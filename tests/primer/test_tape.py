"""The tape: gradients against torch's, its bytes against Python's own count of them."""

import gc
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from primer.autodiff import sides
from primer.autodiff.dual import jvp
from primer.autodiff.ops import OPS
from primer.autodiff.overloaded import Overloaded
from primer.count import counting
from primer.graphs.built import build
from primer.tape import Tape, grad, vjp
from tests.drawn import examples


def program(steps, x, y):
    """A random function of two squares: each step makes a value of two that are there."""
    values = [x, y]
    for op, i, j in steps:
        a, b = values[i % len(values)], values[j % len(values)]
        found = {"matmul": lambda a, b: a @ b, "add": lambda a, b: a + b, "mul": lambda a, b: a * b}
        values.append(found[op](a, b) if op in found else getattr(a, op)())
    return values[-1]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["matmul", "add", "mul", "tanh", "sin"]),
        st.integers(0, 9),
        st.integers(0, 9),
    ),
    min_size=1,
    max_size=6,
)


@examples(30)
@given(STEPS, st.integers(0, 99))
def test_gradients_are_those_of_torch(steps, seed):
    x, y = np.random.default_rng(seed).uniform(-0.5, 0.5, (2, 3, 3))
    a, b = (torch.tensor(v, requires_grad=True) for v in (x, y))
    there = program(steps, a, b).sum()
    there.backward()
    found = grad(lambda x, y: program(steps, x, y).total(), x, y)
    for ours, theirs in zip(found, (a.grad, b.grad), strict=True):
        theirs = np.zeros((3, 3)) if theirs is None else theirs.numpy()
        # entries below .5 and six steps: no term grows above 1, so 1e-12 is thousands of roundings
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


@examples(30)
@given(STEPS, st.integers(0, 99))
def test_a_gradient_costs_three_evaluations_at_most(steps, seed):
    x, y = np.random.default_rng(seed).uniform(-0.5, 0.5, (2, 3, 3))
    if any(op != "add" for op, *_ in steps):
        assert sides.forwards(lambda x, y: (program(steps, x, y) * x).total(), x, y) <= 3


def test_one_rule_that_is_wrong_is_noticed(monkeypatch):
    x = np.full((3, 3), 0.3)
    right = grad(lambda x: (x @ x).total(), x)[0]
    wrong = OPS["matmul"].__class__(**{**vars(OPS["matmul"]), "pulls": OPS["mul"].pulls})
    monkeypatch.setitem(OPS, "matmul", wrong)
    assert abs(grad(lambda x: (x @ x).total(), x)[0] - right).max() > 0.1


def test_the_tape_keeps_what_python_says_that_it_keeps():
    """NumPy tells tracemalloc of each buffer; the results that nobody reads are gone."""
    shape = (500, 300, 400)
    matrices, x = sides.weights(shape), np.ones((500, 1))
    tape = Tape()
    leaf = tape.leaf(x, "x", active=True)
    gc.collect()
    tracemalloc.start()
    try:
        y = sides.net(matrices, leaf)
        gc.collect()
        domain = [tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)]
        traced = tracemalloc.take_snapshot().filter_traces(domain)
    finally:
        tracemalloc.stop()
    assert sum(t.size for t in traced.traces) == sum(a.nbytes for a in tape.saved()) == 8 * 700
    assert any(y.value is a for a in tape.saved())


def test_the_graph_is_data_and_has_no_number_in_it():
    tape = Tape()
    x = tape.leaf(np.ones((2, 1)), "x", active=True)
    (np.ones((2, 2)) @ x + x).tanh()
    assert tape.graph() == (
        ("x", ()), ("const", ()), ("matmul", (1, 0)), ("add", (2, 0)), ("tanh", (3,)),
    )  # fmt: skip


def test_what_has_no_influence_has_gradient_zero():
    _, pull = vjp(lambda x, y: x.total(), np.ones((2, 2)), np.ones((3, 1)))
    gx, gy = pull(1.0)
    assert gx.tolist() == [[1, 1], [1, 1]]
    assert gy.tolist() == [[0], [0], [0]]


def test_a_value_that_is_repeated_by_broadcasting_is_refused():
    """The pulls of add and mul do not sum: the gradient would have the wrong shape."""
    row, square = np.ones((1, 3)), np.ones((3, 3))
    for f in (lambda a: a + square, lambda a: (square * a).total()):
        with pytest.raises(ValueError, match=r"repeats a value of shape \(1, 3\) to \(3, 3\)"):
            vjp(f, row)
    (there,) = grad(lambda a: (np.ones((3, 1)) @ a + square).total(), row)
    assert there.tolist() == [[3, 3, 3]]
    (scaled,) = grad(lambda a: (0.5 * a).total(), square)  # a number has no gradient
    assert np.array_equal(scaled, square / 2)


def test_values_that_do_not_say_what_an_operation_does_say_so():
    with pytest.raises(NotImplementedError, match="Overloaded does not say what 'sin' does"):
        Overloaded().sin()


def test_what_has_no_gradient_is_refused_in_words():
    x = np.ones((2, 1))
    for f in (lambda x: 3.0, lambda x: None, lambda x: x.value):
        for way in (lambda f: grad(f, x), lambda f: jvp(f, x, x)):
            with pytest.raises(TypeError, match="which is not computed from its arguments: return"):
                way(f)
    with pytest.raises(ValueError, match=r"got shape \(2, 1\): add \.total\(\), or take vjp"):
        grad(lambda x: x * x, x)


@pytest.mark.parametrize(
    "f", [lambda x: 1 - x, lambda x: x - 1, lambda x: -x, lambda x: x / x, lambda x: 1 / x,
          lambda x: x**2, lambda x: 2**x, lambda x: np.ones((2, 1)) - x],
)  # fmt: skip
def test_operators_that_there_are_not_say_which_there_are(f):
    for way in (lambda x: grad(f, x), lambda x: jvp(f, x, x), lambda x: build(f, "x")):
        with pytest.raises(TypeError, match=r"there are @, \+, \*, .tanh.*write a \+ -1\.0 \* b"):
            way(np.ones((2, 1)))


def test_a_tape_puts_nothing_together_where_nobody_counts(monkeypatch):
    """Its time is that of the way back, and not of what a count would ask on it."""
    calls = []
    saved = Tape.saved
    monkeypatch.setattr(Tape, "saved", lambda tape: calls.append(tape) or saved(tape))
    found = [grad(lambda x: (x * x).tanh().total(), np.ones((2, 1)))[0]]
    assert not calls
    with counting() as count:
        found += grad(lambda x: (x * x).tanh().total(), np.ones((2, 1)))
    assert len(calls) == 1
    assert count.most > 0
    assert np.array_equal(*found)
