"""Layers on a card beside their masked dense twin in float64: every tensor, with derived bounds."""

import copy
import gc
import pickle
import weakref

import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from bibd import DynamicLinear, SparseLinear
from bibd.kernels.gpu import card as cards
from bibd.kernels.gpu import check, products
from bibd.kernels.gpu import compile as compiling
from bibd.kernels.gpu.fit import Unfit
from bibd.linear import StackedSparseLinear
from tests.drawn import examples

F32, BF16 = torch.float32, torch.bfloat16
PATTERNS = "bibd", "iddl", "random", "random_biregular", "bibd_dual"


def made(inputs, outputs, pattern="bibd", dtype=F32, seed=0, **options):
    torch.manual_seed(seed)
    return SparseLinear(inputs, outputs, pattern, seed=seed, backend="cuda", dtype=dtype, **options)


def passed(layer, x, g):
    """Output and gradients."""
    x = x.detach().requires_grad_()
    y = layer(x)
    y.backward(g)
    grads = {k: p.grad for k, p in layer.named_parameters()}
    layer.zero_grad(set_to_none=True)
    return {"output": y.detach(), "input": x.grad, **grads}


def twin(layer, x, g, size=lambda t: t):
    """What the masked dense layer makes of it in float64; of the sizes of numbers with abs."""
    w, x, g = (size(t.detach().double()) for t in (layer.to_dense(), x, g))
    bias = 0 if layer.bias is None else size(layer.bias.detach().double())
    of_weight = (g.T @ x).flatten()[torch.from_numpy(layer.pattern.flat)]
    found = {"output": x @ w.T + bias, "input": g @ w, "weight": of_weight}
    return found | ({} if layer.bias is None else {"bias": g.sum(0)})


def compare(layer, x, g, got=None):
    """Hold all tensors to the bound of check.py; the bias is one more rounding of the output."""
    got = got or passed(layer, x, g)
    exact, scale = twin(layer, x, g), twin(layer, x, g, torch.abs)
    for name, t in got.items():
        rounded = torch.finfo(t.dtype).eps * scale[name] * (name in ("output", "bias"))
        terms = max(*layer.pattern.shape, len(x))
        check.close(name, t, (exact[name], scale[name] + rounded / (terms * check.UNIT)), terms)


@examples(30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.tuples(st.integers(30, 150), st.integers(20, 150)),
    batch=st.integers(1, 40),
    pattern=st.sampled_from(PATTERNS),
    dtype=st.sampled_from([F32, BF16]),
    bias=st.booleans(),
    seed=st.integers(0, 9),
)
def test_every_tensor_is_that_of_the_dense_twin(card, sizes, batch, pattern, dtype, bias, seed):
    layer = made(*sizes, pattern, dtype, seed, bias=bias)
    x, g = torch.randn(batch, sizes[0], dtype=dtype), torch.randn(batch, sizes[1], dtype=dtype)
    calls = sum(kernel.calls for kernel in card.values())
    compare(layer, x, g)
    assert sum(kernel.calls for kernel in card.values()) - calls == 3


@pytest.mark.parametrize("dtype", [F32, BF16])
def test_inputs_in_parts_and_wide_outputs(card, monkeypatch, dtype):
    monkeypatch.setattr(cards, "card", lambda device: cards.Card(2048, 4, True))
    layer = made(301, 290, dtype=dtype)
    compare(layer, torch.randn(21, 301, dtype=dtype), torch.randn(21, 290, dtype=dtype))
    assert all(form.chunks > 1 and form.edges for form in card)


def test_views_that_begin_anywhere_are_read_right(card):
    layer = made(64, 72, dtype=BF16)
    x = torch.randn(641, dtype=BF16)[1:].view(10, 64)
    g = torch.randn(72, 10, dtype=BF16).T
    compare(layer, x, g)
    whole = torch.randn(2, 5, 64, dtype=BF16)
    assert torch.equal(layer(whole), layer(whole.flatten(0, 1)).view(2, 5, 72))


def test_a_stack_multiplies_each_member_by_its_own_connections(card):
    layers = [made(60, 44, "random_biregular", seed=seed) for seed in range(3)]
    stack = StackedSparseLinear(layers)
    assert stack.path(torch.randn(3, 9, 60)) == "cuda"
    x = torch.randn(3, 9, 60)
    for y, layer, one in zip(stack(x), layers, x, strict=True):
        assert torch.equal(y, layer(one))


def test_vmap_over_seeds_is_the_loop(card):
    layers = [made(64, 72, seed=seed) for seed in range(3)]
    for layer in layers:
        layer.pattern = layers[0].pattern
        layer._fill()
    weights = torch.stack([layer.weight.detach() for layer in layers])
    x = torch.randn(3, 7, 64)
    base = copy.deepcopy(layers[0])

    def call(weight, x):
        return torch.func.functional_call(base, {"weight": weight, "bias": base.bias}, (x,))

    got = torch.func.vmap(call)(weights, x)
    loop = torch.stack([call(w, one) for w, one in zip(weights, x, strict=True)])
    assert torch.equal(got, loop)
    grads = torch.func.vmap(torch.func.grad(lambda w, x: call(w, x).square().sum()))(weights, x)
    each = [
        torch.func.grad(lambda w, x=one: call(w, x).square().sum())(w)
        for w, one in zip(weights, x, strict=True)
    ]
    torch.testing.assert_close(grads, torch.stack(each))


def test_second_gradients_are_right(card):
    layer = made(40, 30, "random_biregular", bias=False)
    x = torch.randn(6, 40, requires_grad=True)
    (dx,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    (dw,) = torch.autograd.grad(dx.square().sum(), layer.weight)
    weight = layer.to_dense().detach().double().requires_grad_()
    u = x.detach().double()
    (exact,) = torch.autograd.grad((2 * u @ weight.T @ weight).square().sum(), weight)
    exact = exact.flatten()[layer.flat]
    assert (dw.double() - exact).norm() <= 1e-5 * exact.norm()  # (four products in a row)


@pytest.mark.slow  # (torch.compile takes seconds to begin)
def test_auto_is_compiled_with_symbols_for_sizes_too(card):
    """Under dynamic=True the sizes of layers are symbols, which decide nothing."""
    layer, x = SparseLinear(256, 272), torch.randn(9, 256)
    fast = torch.compile(layer, fullgraph=True, backend="aot_eager", dynamic=True)
    torch.testing.assert_close(fast(x), x @ layer.to_dense().T + layer.bias)


@pytest.mark.slow  # (torch.compile takes seconds to begin)
def test_compile_has_one_graph(card):
    layer = made(64, 72)
    x, g = torch.randn(9, 64), torch.randn(9, 72)
    fast = torch.compile(layer, fullgraph=True, backend="aot_eager")
    plain = passed(layer, x, g)
    for name, t in passed(fast, x, g).items():
        assert torch.equal(t, plain[name.removeprefix("_orig_mod.")])


def test_autocast_casts_and_operations_are_counted(card):
    layer, x = made(64, 72), torch.randn(9, 64)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype is BF16
        assert layer.path(x) == "cuda"
    with FlopCounterMode(display=False) as counter:
        layer(x)
    assert counter.get_total_flops() == 2 * 9 * layer.pattern.nonzeros


def test_copies_and_pickles_hold_no_table_and_answer_alike(card):
    layer, x = made(64, 72), torch.randn(4, 64)
    y = layer(x)
    assert torch.equal(copy.deepcopy(layer)(x), y)
    assert torch.equal(pickle.loads(pickle.dumps(layer))(x), y)
    assert not any(word in pickle.dumps(layer) for word in (b"Connections", b"Side", b"Form"))


def test_the_same_call_gives_the_same_bits_and_one_set_of_tables(card):
    layer = made(100, 90, "random_biregular", dtype=BF16)
    x, g = torch.randn(37, 100, dtype=BF16), torch.randn(37, 90, dtype=BF16)
    first, forms = passed(layer, x, g), len(card)
    again = passed(layer, x, g)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert len(card) == forms == 3


def test_what_no_form_takes_is_multiplied_densely_after_one_notice(card, capsys):
    layer = made(40, 40, "random", nonzeros=1500)
    for batch in (6, 7):
        compare(layer, torch.randn(batch, 40), torch.randn(batch, 40))
    said = capsys.readouterr().err
    assert said.count("iddl: no kernel of the card, the dense path does the work") == 1
    assert "1500 connections of 1600 are none or too many" in said
    assert not card


def test_what_no_form_takes_holds_nothing_of_a_call_that_is_over(card):
    """An error that is kept and raised again would hold the tensors of each call it came from."""
    layer = made(40, 40, "random", nonzeros=1500)
    gone = []
    for _ in range(3):
        x = torch.randn(6, 40, requires_grad=True)
        layer(x).sum().backward()
        gone.append(weakref.ref(x))
    del x
    gc.collect()
    assert [ref() for ref in gone] == [None] * 3


def test_a_kernel_that_does_not_compile_leaves_the_work_to_dense(card, monkeypatch, capsys):
    def broken(form, index=None):
        raise Unfit("nvrtc: no such file")

    monkeypatch.setattr(compiling, "compiled", broken)
    layer = made(64, 72)
    compare(layer, torch.randn(5, 64), torch.randn(5, 72))
    assert capsys.readouterr().err.count("nvrtc: no such file") == 1


def test_a_card_without_bf16_multiplies_float32(card, monkeypatch, capsys):
    monkeypatch.setattr(cards, "card", lambda device: cards.Card(48 << 10, 4, False))
    for dtype in (BF16, F32):
        compare(
            made(64, 72, dtype=dtype), torch.randn(5, 64).to(dtype), torch.randn(5, 72).to(dtype)
        )
    assert "does not multiply in bfloat16" in capsys.readouterr().err
    assert {form.wide for form in card} == {1}


def test_tables_of_a_graph_live_as_long_as_its_layer(card, monkeypatch):
    """A replay reads them at addresses that it was given once."""
    layer, x = made(64, 72), torch.randn(5, 64)
    layer(x)
    table = weakref.ref(products.found(layer.flat[None], (64, 72), 0))
    other = torch.tensor(sorted({*range(64 * 72)} - {*layer.flat.tolist()})[: len(layer.flat)])
    monkeypatch.setattr(cards, "capturing", lambda: True)
    layer(x)
    monkeypatch.setattr(cards, "capturing", lambda: False)
    layer.flat.copy_(other)
    assert products.found(layer.flat[None], (64, 72), 0) is not table()
    gc.collect()
    assert table() is not None
    del layer
    gc.collect()
    assert table() is None


def test_tables_of_what_was_written_over_go(card):
    layer = DynamicLinear(64, 72, "random", seed=0, nonzeros=400, backend="cuda")
    tables = []
    for seed in range(3):
        layer(torch.randn(5, 64)).sum().backward()
        tables.append(weakref.ref(products.found(layer.flat[None], (64, 72), 0)))
        free = sorted({*range(64 * 72)} - {*layer.flat.tolist()})
        layer.rewire(range(9), free[seed : seed + 9], None)
    layer(torch.randn(5, 64))
    gc.collect()
    assert [table() for table in tables] == [None] * 3


def test_a_table_is_not_built_while_a_graph_is_captured(card, monkeypatch):
    layer, x = made(64, 72), torch.randn(5, 64)
    with torch.no_grad():
        y = layer(x)
        monkeypatch.setattr(cards, "capturing", lambda: True)
        assert torch.equal(layer(x), y)
        with pytest.raises(RuntimeError, match="call the layer once"):
            made(48, 72)(torch.randn(5, 48))
