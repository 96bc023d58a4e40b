"""Three ways, one graph; and what each of them loses."""

import numpy as np
import pytest
import torch

from primer.count import counting
from primer.graphs import example, probes
from primer.graphs.built import build
from primer.graphs.graph import Graph
from primer.graphs.source import read, rewritten
from primer.graphs.traced import trace
from primer.tape import Tape, grad

NAMES = ("x", "w", "u", "b")


def given(inputs=3, width=4):
    draw = np.random.default_rng(0).standard_normal
    shapes = [(inputs, 1), (width, inputs), (width, width), (width, 1)]
    return {name: draw(shape) for name, shape in zip(NAMES, shapes, strict=True)}


def all_ways(turns):
    values = given()
    return [
        build(example.cell, *NAMES, turns=turns),
        read(example.cell, *NAMES, turns=turns),
        trace(example.cell, {"turns": turns}, **values),
    ]


@pytest.mark.parametrize("turns", [1, 2, 5])
def test_one_graph_three_ways_with_the_nodes_and_products_of_the_formulas(turns):
    built, source, traced = all_ways(turns)
    assert built == source == traced
    assert len(built.nodes) == example.nodes(turns)
    with counting() as count:
        built.evaluate(**given())
    assert count.macs == example.macs(3, 4, turns)


def test_a_graph_computes_what_the_function_does_and_its_gradients_are_torchs():
    graph, values = all_ways(2)[0], given()
    tape = Tape()
    right = example.cell(*(tape.leaf(v) for v in values.values())).value
    assert graph.evaluate(**values) == right
    leaves = [torch.tensor(v, requires_grad=True) for v in values.values()]
    h = leaves[1] @ leaves[0] + leaves[3]
    for _ in range(2):
        h = leaves[2] @ torch.tanh(h) + leaves[3]
    h = torch.tanh(h)
    (torch.exp(h * h) * torch.sin(h)).sum().backward()
    names = list(values)
    found = grad(lambda *a: graph.evaluate(**dict(zip(names, a, strict=True))), *values.values())
    for ours, leaf in zip(found, leaves, strict=True):
        np.testing.assert_allclose(ours, leaf.grad, rtol=0, atol=1e-12)


def test_other_functions_have_other_graphs():
    one = build(lambda x: (x * x).exp(), "x")
    assert one != build(lambda x: (x + x).exp(), "x")
    assert one != build(lambda x: x * x.exp(), "x")
    assert one == build(lambda x: (x * x).exp(), "x")


def test_what_no_result_needs_is_left_out():
    graph = Graph((("x", ()), ("y", ()), ("exp", (1,)), ("sin", (1,))), (3,)).tidy()
    assert graph == Graph((("y", ()), ("sin", (0,))), (1,))
    assert graph.count("sin") == 1


KEPT = {
    "built": {"branch": "refused", "loop": "refused", "print": "lost", "call": "kept"},
    "source": {"branch": "kept", "loop": "refused", "print": "kept", "call": "refused"},
    "traced": {"branch": "lost", "loop": "lost", "print": "lost", "call": "kept"},
}


def test_each_way_loses_something():
    assert probes.table(probes.WAYS) == KEPT


def test_what_is_refused_says_why():
    with pytest.raises(TypeError, match="no value yet, so Python cannot branch on it: read the so"):
        build(probes.branch, "x")
    with pytest.raises(TypeError, match="line 3: how often `while` goes round is in no source"):
        read(probes.loop, "x")
    with pytest.raises(TypeError, match="unsupported operand"):
        read(probes.calls, "x")


def divided(x):
    return x / x


def test_source_without_a_rule_is_refused_with_the_rules_that_there_are():
    with pytest.raises(TypeError, match=r"no rule for Div: there are \['matmul', 'add', 'mul'"):
        rewritten(divided)


def twice(x):
    y = x * x
    z = x + x
    if x > 1.0:
        z = y * z
        if y > 9.0:
            y = z.sin()
    else:
        y = y + 3.0
    return y * z


@pytest.mark.parametrize("x", [-2.0, 0.5, 2.0, 4.0])
def test_branches_in_branches_are_all_in_the_graph_of_the_source(x):
    graph = read(twice, "x")
    assert graph.count("select") == 3
    tape = Tape()
    assert graph.evaluate(x=np.asarray(x)) == twice(tape.leaf(x, "x")).value


def test_a_function_without_source_or_result_is_refused():
    place: dict = {}
    exec("def typed(x): return x * x", place)
    for f in (lambda x: x * x, np.sin, place["typed"], len):
        with pytest.raises(TypeError, match="a def with its source is needed, got"):
            read(f, "x")


def three(x):
    return 3.0


def test_a_function_that_does_not_use_its_argument_has_no_graph():
    for way in (build, read, lambda f, name: trace(f, **{name: np.ones(1)})):
        with pytest.raises(TypeError, match=r"returns float 3\.0, which is not computed from"):
            way(three, "x")
