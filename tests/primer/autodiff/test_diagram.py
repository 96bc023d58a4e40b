"""A drawn graph: results stand above their inputs, and no two nodes at one place."""

from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from primer.autodiff import diagram
from tests.drawn import examples

PICKS = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), max_size=8)


@examples(30)
@given(PICKS)
def test_results_stand_above_their_inputs(picks):
    graph = [("x", ()), ("w", ())]
    for i, j in picks:
        graph.append(("add", (i % len(graph), j % len(graph))))
    at = diagram.places(graph)
    assert len(set(at)) == len(at)
    for node, (_, inputs) in enumerate(graph):
        assert all(at[i][1] < at[node][1] for i in inputs)


def test_each_node_is_drawn_with_its_name_and_each_edge():
    graph = (("x", ()), ("const", ()), ("matmul", (1, 0)), ("tanh", (2,)))
    ax = Figure().add_subplot()
    diagram.draw(ax, graph, {1: "W"})
    texts = [t.get_text() for t in ax.texts]
    assert [t for t in texts if t] == ["x", "W", "matmul", "tanh"]
    assert texts.count("") == 3
