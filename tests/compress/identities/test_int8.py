"""What is wrong with int8 is found by its identities."""

import pytest
import torch

from bibd.onnx import dense
from compress.identities import int8, integers
from compress.int8 import graphs, norms
from harness.result.findings import find
from tests.compress.int8.needs import needs_export, needs_the_extra


def failed(word):
    """The titles with this word of what fails."""
    some = [each for each in int8.identities() if word in each.title]
    assert some
    return {e.title for e in some if not find("int8", e.title, e.kind, e.check, e.limit).ok}


def test_a_dense_copy_that_loses_a_connection_is_found(monkeypatch):
    right = dense.dense

    def lossy(layer):
        made = right(layer)
        with torch.no_grad():
            made.weight[0] = 0
        return made

    monkeypatch.setattr(dense, "dense", lossy)
    assert len(failed("exported")) == 3


@needs_export
def test_a_norm_that_forgets_its_eps_is_found(monkeypatch):
    right = torch.Tensor.rsqrt
    monkeypatch.setattr(torch.Tensor, "rsqrt", lambda x: right(x) * (1 + 1e-6))
    assert failed("norms") == {"norms as products and sums = norms"}
    assert norms.spread  # (the check has used it)


@needs_export
def test_a_graph_that_is_written_otherwise_is_found(monkeypatch):
    right = graphs._back
    monkeypatch.setattr(graphs, "_back", lambda v, n: 1e-3 if v == 1e-5 else right(v, n))
    monkeypatch.setattr(int8.norms, "spread", lambda graph: 2)
    assert failed("file = the graph") == {"a graph's file = the graph"}


@needs_the_extra
def test_an_oracle_that_rounds_away_from_zero_is_found(monkeypatch):
    right = integers.np.rint
    monkeypatch.setattr(integers.np, "rint", lambda x: right(x + 0.25))
    assert len(failed("do not allow")) == 3


@needs_the_extra
def test_an_oracle_without_biases_is_found(monkeypatch):
    right = integers._products
    monkeypatch.setattr(integers, "_products", lambda x, w, b: right(x, w, None))
    assert len(failed("do not allow")) == 3


@needs_the_extra
def test_the_oracle_leaves_nearly_nothing_open():
    """Else it would allow anything: the logits are known to a millionth of the largest."""
    made = int8.quantize(int8.conv(), int8.samples(int8.conv(), 2))
    (found,) = integers.logits(made.content, int8.samples(int8.conv()).numpy())
    narrow = found.high - found.low < 1e-5 * found.size.max()
    assert narrow.mean() > 0.5


@needs_the_extra
def test_a_node_that_the_oracle_does_not_know_is_named():
    net = torch.nn.Sequential(torch.nn.Linear(24, 4), torch.nn.Sigmoid(), torch.nn.Linear(4, 2))
    made = int8.quantize(net.eval(), torch.randn(99, 24))
    with pytest.raises(ValueError, match="the oracle knows no Sigmoid"):
        integers.logits(made.content, torch.zeros(1, 24).numpy())
