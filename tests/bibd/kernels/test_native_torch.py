"""The native kernels as torch sees them: gradients of gradients, transforms, compile, counts."""

import copy
import gc
import pickle
import weakref

import pytest
import torch
from torch import nn
from torch._dynamo.backends.common import aot_autograd
from torch.func import functional_call, grad, jvp, stack_module_state, vmap
from torch.fx import GraphModule
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from bibd import SparseConv2d, SparseLinear
from bibd.kernels import build
from bibd.kernels.library import given
from harness.stack import stack

pytestmark = [
    pytest.mark.skipif(build.compiler() is None, reason="no compiler"),
    pytest.mark.filterwarnings("ignore:There is a performance drop"),  # of the dense twin
    pytest.mark.filterwarnings("ignore:`torch.jit"),
    pytest.mark.filterwarnings("ignore:Please use `torch.vmap`"),  # torch 2.6, of its own
]
F64 = torch.float64


def linear(backend="native", dtype=F64, seed=1, **options):
    torch.manual_seed(seed)
    return SparseLinear(
        20, 14, "random", seed=seed, nonzeros=50, backend=backend, dtype=dtype, **options
    )


def conv(backend="native", dtype=F64, seed=1, stride=1, groups=2, window=3):
    torch.manual_seed(seed)
    return SparseConv2d(
        6,
        4,
        window,
        stride,
        1,
        groups=groups,
        pattern="random",
        seed=seed,
        backend=backend,
        dtype=dtype,
    )


CASES = {
    "linear": (linear, (5, 20)),
    "linear, no bias": (lambda *a, **k: linear(*a, bias=False, **k), (2, 3, 20)),
    "conv": (conv, (3, 6, 7, 5)),
    "conv, stride 2": (lambda *a, **k: conv(*a, stride=2, **k), (2, 6, 6, 5)),
    "conv 1 x 1": (lambda *a, **k: conv(*a, window=1, groups=1, **k), (2, 6, 4, 4)),
}


@pytest.fixture(params=list(CASES))
def pair(request):
    """A layer with the native path, the same with the dense one, and an input."""
    make, size = CASES[request.param]
    layer = make()
    twin = copy.deepcopy(layer)
    twin.backend = "dense"
    return layer, twin, torch.randn(*size, dtype=F64)


def values(layer):
    return {k: v.detach() for k, v in layer.named_parameters()}


def loss_of(layer):
    return lambda p, x: functional_call(layer, p, (x,)).square().sum()


def same(got, want):
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)


def test_the_native_path_is_taken(pair):
    layer, twin, x = pair
    assert (layer.path(x), twin.path(x)) == ("native", "dense")
    same(layer(x), twin(x))


def test_finite_differences(pair):
    layer, _, x = pair
    named = list(layer.named_parameters())

    def call(x, *tensors):
        return functional_call(layer, dict(zip([k for k, _ in named], tensors, strict=True)), (x,))

    leaves = [x.requires_grad_(), *(v.detach().requires_grad_() for _, v in named)]
    assert torch.autograd.gradcheck(call, leaves)
    assert torch.autograd.gradgradcheck(call, leaves)
    assert torch.autograd.gradcheck(call, leaves, check_batched_grad=True, raise_exception=True)


def test_only_what_is_needed_gets_a_gradient(pair):
    layer, twin, x = pair
    for frozen in ("weight", "bias"):
        if getattr(layer, frozen) is None:
            continue
        for net in (layer, twin):
            getattr(net, frozen).requires_grad_(False)
            net.zero_grad()
            net(x.requires_grad_()).square().sum().backward()
            assert getattr(net, frozen).grad is None
            getattr(net, frozen).requires_grad_(True)
        for (_, p), (_, q) in zip(layer.named_parameters(), twin.named_parameters(), strict=True):
            assert (p.grad is None) == (q.grad is None)
            if p.grad is not None:
                same(p.grad, q.grad)


def test_vmap_grad_and_both(pair):
    layer, twin, x = pair
    many = torch.stack([x, 2 * x, x.flip(0)])
    same(vmap(layer)(many), vmap(twin)(many))
    same(vmap(layer, in_dims=1, out_dims=1)(x.unsqueeze(1)), twin(x).unsqueeze(1))
    p = values(layer)
    same(grad(loss_of(layer))(p, x), grad(loss_of(twin))(p, x))
    each = vmap(grad(loss_of(layer)), in_dims=(None, 0))(p, many)
    same(each, vmap(grad(loss_of(twin)), in_dims=(None, 0))(p, many))
    stacked = {k: torch.stack([v, v + 1]) for k, v in p.items()}
    got = vmap(grad(loss_of(layer)), in_dims=(0, None))(stacked, x)
    same(got, vmap(grad(loss_of(twin)), in_dims=(0, None))(stacked, x))
    both = vmap(vmap(grad(loss_of(layer)), in_dims=(None, 0)), in_dims=(0, None))(stacked, many)
    same(both, vmap(vmap(grad(loss_of(twin)), in_dims=(None, 0)), in_dims=(0, None))(stacked, many))
    second = grad(lambda p: grad(loss_of(layer), argnums=1)(p, x).square().sum())(p)
    same(second, grad(lambda p: grad(loss_of(twin), argnums=1)(p, x).square().sum())(p))


@pytest.mark.parametrize("make", [linear, conv])
def test_layers_of_different_patterns_under_vmap(make):
    """stack_module_state brings the tables along with the values."""
    layers = [make(seed=s) for s in range(3)]
    params, buffers = stack_module_state(layers)
    x = torch.randn(*((4, 20) if make is linear else (2, 6, 5, 5)), dtype=F64)

    def loss(p, b):
        return functional_call(layers[0], {**p, **b}, (x,)).square().sum()

    got = vmap(grad(loss))(params, buffers)
    for i, layer in enumerate(layers):
        want = torch.autograd.grad(layer(x).square().sum(), list(layer.parameters()))
        for g, w in zip(got.values(), want, strict=True):
            same(g[i], w)


def test_forward_mode_takes_the_dense_path_with_a_notice(pair):
    layer, twin, x = pair
    with pytest.warns(UserWarning, match="no rule for forward-mode AD: 'dense' computes"):
        got = jvp(layer, (x,), (x,))
    same(got, jvp(twin, (x,), (x,)))
    layer.backend = "auto"  # takes the dense path there without a word
    same(jvp(layer, (x,), (x,)), got)


@pytest.mark.parametrize("dynamic", [False, True])
def test_compile_sees_one_graph(pair, dynamic):
    layer, twin, x = pair
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    for part in (x, x[:1], x.repeat(3, *[1] * (x.ndim - 1))):
        a, b = part.clone().requires_grad_(), part.clone().requires_grad_()
        y, want = compiled(a), twin(b)
        same(y, want)
        same(
            torch.autograd.grad(y.square().sum(), [a, *layer.parameters()]),
            torch.autograd.grad(want.square().sum(), [b, *twin.parameters()]),
        )


def operators(graph):
    """The operators that a graph calls, by name (its printed code holds paths of files too)."""
    calls = (n for g in graph.modules() if isinstance(g, GraphModule) for n in g.graph.nodes)
    return {str(n.target) for n in calls if n.op == "call_function"}


def ours(graph):
    return {name for name in operators(graph) if name.startswith("iddl.")}


def test_auto_under_compile_takes_the_native_operator():
    torch._dynamo.reset()
    graphs = []

    def keep(graph, inputs):
        graphs.append(graph)
        return graph

    layer = SparseLinear(600, 500, "iddl")
    x = torch.randn(3, 600)
    compiled = torch.compile(layer, backend=aot_autograd(fw_compiler=keep), fullgraph=True)
    torch.testing.assert_close(compiled(x), layer(x))
    assert ours(graphs[0]) == {"iddl.multiply.default"}


def test_export_and_traces(pair):
    layer, twin, x = pair
    program = torch.export.export(layer, (x,))
    assert ours(program.graph_module)
    same(program.module()(x), twin(x))
    layer.backend = "auto"
    if isinstance(layer, SparseLinear):
        layer = SparseLinear(600, 500, "iddl", dtype=F64)
        x = torch.randn(3, 600, dtype=F64)
    program = torch.export.export(layer, (x,))  # for other run-times: plain operators
    if hasattr(torch.compiler, "is_exporting"):  # (torch 2.6 does not tell)
        assert not ours(program.graph_module)
    same(torch.jit.trace(layer, (x,))(x), layer(x))


def test_meta_tensors_and_autocast(pair):
    layer, twin, x = pair
    on_meta = copy.deepcopy(layer).to("meta")
    assert on_meta(x.to("meta")).shape == twin(x).shape
    layer, twin, x = layer.float(), twin.float(), x.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got, want = layer(x), twin(x)
        leaves = torch.autograd.grad(got.float().square().sum(), list(layer.parameters()))
    assert got.dtype == want.dtype == torch.bfloat16
    torch.testing.assert_close(got, want, rtol=0.05, atol=0.1)
    assert all(p.dtype == torch.float32 for p in leaves)


def test_autocast_to_what_the_library_does_not_know_is_dense(pair):
    layer, twin, x = (part.float() for part in pair)
    with torch.autocast("cpu", dtype=torch.float16):
        got, want = layer(x), twin(x)
    assert got.dtype == want.dtype == torch.float16
    torch.testing.assert_close(got, want)


def test_checkpointing(pair):
    layer, twin, x = pair
    for reentrant in (False, True):
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        y = checkpoint(layer, a, use_reentrant=reentrant)
        y.square().sum().backward()
        twin(b).square().sum().backward()
        same(a.grad, b.grad)


def test_flops_are_those_of_the_connections(pair):
    layer, _, x = pair
    x.requires_grad_()
    with FlopCounterMode(display=False) as forward:
        y = layer(x)
    positions = y.numel() // (14 if isinstance(layer, SparseLinear) else 4)
    assert forward.get_total_flops() == 2 * positions * layer.weight.numel()
    with FlopCounterMode(display=False) as both:
        layer(x).sum().backward()
    assert both.get_total_flops() == 3 * forward.get_total_flops()
    big = SparseLinear(600, 500, "iddl")  # auto counts the same where it is sparse
    with FlopCounterMode(display=False) as auto:
        big(torch.randn(4, 600))
    assert auto.get_total_flops() == 2 * 4 * big.weight.numel()


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_a_stack_is_its_members(alike, bias):
    members = [linear(seed=1 if alike else s, bias=bias) for s in range(3)]
    with torch.no_grad():
        for i, m in enumerate(members):
            m.weight.mul_(1 + i)
    both = stack(members)
    x = torch.randn(3, 6, 20, dtype=F64, requires_grad=True)
    assert both.path(x) == "native"
    assert len(both.table.flat) == (1 if alike else 3)
    y = both(x)
    same(y, torch.stack([m(part) for m, part in zip(members, x, strict=True)]))
    got = torch.autograd.grad(y.square().sum(), [x, *both.parameters()], create_graph=True)
    for i, m in enumerate(members):
        part = x[i].detach().requires_grad_()
        want = torch.autograd.grad(m(part).square().sum(), [part, *m.parameters()])
        for g, w in zip(got, want, strict=True):
            same(g[i].reshape(w.shape), w)
    with FlopCounterMode(display=False) as counted:
        both(x)
    assert counted.get_total_flops() == 2 * 6 * both.weight.numel()
    twin = copy.deepcopy(both)
    assert torch.equal(twin(x), y)


def test_operators_refuse_what_is_no_table():
    x, v = torch.randn(1, 3, 4), torch.randn(1, 2)
    call = torch.ops.iddl.multiply
    good = torch.tensor([[0, 5]])
    assert call(x, v, good, 4, 2, False).shape == (1, 3, 2)
    for flat, words in [
        (torch.tensor([[0, 8]]), "places below 8"),
        (torch.tensor([[-1, 3]]), "places below 8"),
        (torch.tensor([[5, 0]]), "ascending"),
        (torch.tensor([[3, 3]]), "ascending"),
        (torch.tensor([[0.0, 1.0]]), "int64"),
        (torch.tensor([0]), "int64"),
        (torch.tensor([[0, 1, 2]]), "weight of 3 values"),
    ]:
        with pytest.raises(ValueError, match=words):
            call(x, v, flat, 4, 2, False)
    with pytest.raises(ValueError, match="no layer of"):
        call(x, v, good, 0, 2, False)
    with pytest.raises(ValueError, match="members"):
        call(x, v.expand(2, -1), good, 4, 2, False)


def test_connections_written_over_are_read_again():
    flat = torch.tensor([[0, 5]])
    first = given(flat, 4, 2)
    assert given(flat, 4, 2) is first
    flat[0, 1] = 6
    assert given(flat, 4, 2) is not first
    for i in range(300):  # no tensor that is gone stands for one that came to its place
        other = torch.tensor([[0, 1 + i % 7]])
        assert given(other, 4, 2).flat.tolist() == other.tolist()


def test_tables_live_as_long_as_their_connections_however_many_there_are():
    many = [torch.tensor([[0, 1 + i % 7]]) for i in range(300)]
    first = [weakref.ref(given(flat, 4, 2)) for flat in many]
    assert all(given(flat[:], 4, 2) is ref() for flat, ref in zip(many, first, strict=True))
    assert torch.equal(copy.deepcopy(many[3]), many[3])
    loaded = pickle.loads(pickle.dumps(many[3]))
    assert given(loaded, 4, 2) is not first[3]()
    del many
    gc.collect()
    assert not any(ref() for ref in first)


def test_inference_mode_and_moves():
    layer = linear(dtype=torch.float32)
    x = torch.randn(5, 20)
    with torch.inference_mode():
        inside = layer(x)
    assert torch.equal(inside, layer(x).detach())
    assert layer.double()(x.double()).dtype == F64
    with torch.inference_mode():
        for kind in (F64, torch.float32):
            torch.testing.assert_close(layer.to(kind)(x.to(kind)).float(), inside)


def test_a_backend_can_be_changed_at_any_time():
    layer = linear(dtype=torch.float32)
    x = torch.randn(5, 20)
    paths = []
    for backend in ("native", "dense", "bag", "auto", "native"):
        layer.backend = backend
        layer(x)
        paths.append(layer._route(x))
    assert paths == ["native", "dense", "bag", "dense", "native"]


def test_parametrized_and_pruned_weights():
    layer = linear()
    nn.utils.parametrizations.weight_norm(layer, dim=None)  # of the values as of the matrix
    twin = copy.deepcopy(layer)
    twin.backend = "dense"
    x = torch.randn(3, 20, dtype=F64)
    same(layer(x), twin(x))
    layer(x).sum().backward()
    twin(x).sum().backward()
    for p, q in zip(layer.parameters(), twin.parameters(), strict=True):
        same(p.grad, q.grad)


def test_autocast_leaves_float64_alone():
    x = torch.randn(4, 20, dtype=F64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert linear()(x).dtype == linear("dense")(x).dtype == F64


def test_stacks_refuse_other_shapes_on_every_path():
    for members in (1, 4):
        both = stack([linear(dtype=torch.float32, seed=s) for s in range(members)])
        for size in [(8, 20), (members + 1, 2, 20), (members, 2, 3, 20)]:
            with pytest.raises(ValueError, match=r"batch, 20\), got"):
                both(torch.ones(size))
            with (
                torch.autocast("cpu", dtype=torch.bfloat16),
                pytest.raises(ValueError, match=r"batch, 20\), got"),
            ):
                both(torch.ones(size))


def test_the_whole_of_a_stack_may_be_a_layer():
    both = stack([linear(seed=s) for s in range(3)])
    whole = SparseLinear(60, 42, pattern=both.pattern, backend="native", dtype=F64)
    for _ in range(2):
        assert both(torch.ones(3, 2, 20, dtype=F64)).shape == (3, 2, 14)
        assert whole(torch.ones(2, 60, dtype=F64)).shape == (2, 42)
