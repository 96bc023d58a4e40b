"""The native kernels against masked dense layers in float64: every tensor, every kind of shape."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from bibd.kernels import build, native
from bibd.kernels.table import Table, table
from bibd.pattern import make_pattern
from tests.drawn import examples

pytestmark = pytest.mark.skipif(build.compiler() is None, reason="no compiler")
EXACT = {torch.float32: 3e-6, torch.float64: 1e-14, torch.bfloat16: 2**-8}
MANY = examples(150, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def drawn(rng, outputs, inputs, members=1):
    """Places of connections (members, n): ragged, with empty rows and unread inputs."""
    n = rng.integers(0, outputs * inputs + 1) if rng.random() < 0.7 else rng.integers(0, 4)
    n = min(int(n), outputs * inputs)
    rows = [np.sort(rng.choice(outputs * inputs, n, replace=False)) for _ in range(members)]
    return np.stack(rows).astype(np.int64)


def normal(rng, *size, dtype):
    return torch.from_numpy(rng.standard_normal(size)).to(dtype)


def full(values, flat, outputs, inputs):
    """Members of dense weights, in float64."""
    members = len(values)
    weight = torch.zeros(members, outputs * inputs, *values.shape[2:], dtype=torch.float64)
    for m in range(members):
        weight[m, torch.from_numpy(flat[m % len(flat)])] = values[m].double()
    return weight.view(members, outputs, inputs, *values.shape[2:])


def close(got, want, dtype, terms):
    """Within the rounding of a sum of so many terms (bfloat16 rounds once, at the end)."""
    scale = want.abs().max().clamp(min=1.0) if want.numel() else torch.ones(())
    allowed = EXACT[dtype] * (1 if dtype is torch.bfloat16 else max(1, terms) ** 0.5) * scale
    assert got.shape == want.shape
    assert got.dtype == dtype
    worst = (got.double() - want).abs().max() if want.numel() else torch.zeros(())
    assert worst <= allowed, f"{worst:.3g} > {allowed:.3g}"


def for_each_thread_count(call):
    """The result, which is the same to the bit with one thread, two and three."""
    found = []
    for count in (2, 1, 3):
        torch.set_num_threads(count)
        found.append(call())
    for other in found[1:]:
        assert torch.equal(found[0], other)
    return found[0]


@MANY
@given(
    seed=st.integers(0, 2**32),
    inputs=st.integers(1, 90),
    outputs=st.integers(1, 90),
    batch=st.sampled_from([0, 1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 33, 64, 65, 100, 129]),
    members=st.integers(1, 3),
    shared=st.booleans(),
    bias=st.booleans(),
    dtype=st.sampled_from(list(EXACT)),
)
def test_linear_equals_the_masked_dense_layer(
    seed, inputs, outputs, batch, members, shared, bias, dtype
):
    rng = np.random.default_rng(seed)
    flat = drawn(rng, outputs, inputs, 1 if shared else members)
    t = Table(flat, inputs, outputs)
    x = normal(rng, members, batch, inputs, dtype=dtype)
    values = normal(rng, members, flat.shape[1], dtype=dtype)
    b = normal(rng, members, outputs, dtype=dtype) if bias else None
    g = normal(rng, members, batch, outputs, dtype=dtype)
    weight = full(values, flat, outputs, inputs)
    want = x.double() @ weight.mT + (0 if b is None else b.double()[:, None])
    got = for_each_thread_count(lambda: native.linear(x, values, b, t, False, members))
    close(got, want, dtype, inputs)
    got = for_each_thread_count(lambda: native.linear(g, values, None, t, True, members))
    close(got, g.double() @ weight, dtype, outputs)
    product = (g.double().mT @ x.double()).reshape(members, -1)
    want = torch.stack([product[m, torch.from_numpy(flat[m % len(flat)])] for m in range(members)])
    close(for_each_thread_count(lambda: native.sampled(g, x, t, members)), want, dtype, batch)


@pytest.mark.parametrize(("inputs", "outputs"), [(784, 784), (1024, 1056), (529, 500), (4096, 300)])
@pytest.mark.parametrize("batch", [1, 3, 40])
def test_windows_of_planes_over_a_field(inputs, outputs, batch):
    """One sample by permuted registers, where the plane allows it: at full size."""
    pattern = make_pattern("bibd", inputs, outputs)
    t, rng = table(pattern), np.random.default_rng(0)
    assert t.by_output.window in (32, 64)  # else this test would say nothing of it
    x, values = (normal(rng, *s, dtype=torch.float32) for s in ((batch, inputs), (t.nonzeros,)))
    b = normal(rng, outputs, dtype=torch.float32)
    weight = full(values[None], pattern.flat[None], outputs, inputs)[0]
    got = for_each_thread_count(lambda: native.linear(x, values, b, t))
    close(got, x.double() @ weight.T + b.double(), torch.float32, 64)


def test_a_window_takes_nothing_from_what_is_not_connected():
    pattern = make_pattern("bibd", 784, 784)
    rng = np.random.default_rng(0)
    values = normal(rng, pattern.nonzeros, dtype=torch.float32)
    for bad in (float("inf"), float("nan")):
        x = normal(rng, 1, 784, dtype=torch.float32)
        x[0, 5] = bad
        y = native.linear(x, values, None, table(pattern))[0]
        connected = torch.from_numpy(pattern.mask()[:, 5])
        assert torch.isfinite(y[~connected]).all()
        assert not torch.isfinite(y[connected]).any()


@MANY
@given(
    seed=st.integers(0, 2**32),
    per_group=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    groups=st.integers(1, 3),
    images=st.sampled_from([0, 1, 2, 7, 8, 9, 15, 16, 17, 33]),
    size=st.tuples(st.integers(1, 19), st.integers(1, 19)),
    window=st.sampled_from([1, 3]),
    stride=st.sampled_from([1, 2]),
    padding=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    bias=st.booleans(),
    dtype=st.sampled_from(list(EXACT)),
)
def test_convolution_equals_the_masked_dense_layer(
    seed, per_group, groups, images, size, window, stride, padding, bias, dtype
):
    if min(n + 2 * p for n, p in zip(size, padding, strict=True)) < window:
        return
    rng = np.random.default_rng(seed)
    inputs, outputs = per_group[0] * groups, per_group[1] * groups
    flat = drawn(rng, outputs, per_group[0])
    t = Table(flat, inputs, outputs, groups)
    x = normal(rng, images, inputs, *size, dtype=dtype)
    values = normal(rng, flat.shape[1], window, window, dtype=dtype)
    b = normal(rng, outputs, dtype=dtype) if bias else None
    dense = [x.double().requires_grad_(), full(values[None], flat, outputs, per_group[0])[0]]
    dense[1].requires_grad_()
    want = F.conv2d(*dense, None if b is None else b.double(), stride, padding, 1, groups)
    g = normal(rng, *want.shape, dtype=dtype)
    of_x, of_weight = torch.autograd.grad(want, dense, g.double())
    shape = native.shape(images, size, t, window, stride, list(padding))
    got = for_each_thread_count(lambda: native.conv(x, values, b, t, shape, False))
    close(got, want.detach(), dtype, 9 * per_group[0])
    got = for_each_thread_count(lambda: native.conv(g, values, None, t, shape, True))
    close(got, of_x, dtype, 9 * per_group[1])
    got = for_each_thread_count(lambda: native.conv_sampled(g, x, t, shape))
    want = of_weight.reshape(-1, window, window)[torch.from_numpy(flat[0])]
    close(got, want, dtype, images * want.shape[-1] * g.shape[-1] * g.shape[-2])


@pytest.mark.parametrize(("channels", "size"), [(64, 32), (72, 16), (128, 8), (96, 4), (64, 7)])
@pytest.mark.parametrize("images", [1, 37])
@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions_at_the_sizes_of_a_resnet(channels, size, images, stride):
    pattern = make_pattern("bibd", channels, channels)
    t, rng = table(pattern), np.random.default_rng(1)
    x = normal(rng, images, channels, size, size, dtype=torch.float32)
    values = normal(rng, pattern.nonzeros, 3, 3, dtype=torch.float32)
    weight = full(values[None], pattern.flat[None], channels, channels)[0].float()
    leaves = x.clone().requires_grad_(), weight.requires_grad_()
    want = F.conv2d(*leaves, None, stride, 1)
    g = normal(rng, *want.shape, dtype=torch.float32)
    of_x, of_weight = torch.autograd.grad(want, leaves, g)
    shape = native.shape(images, (size, size), t, 3, stride, [1, 1])
    pairs = (
        (lambda: native.conv(x, values, None, t, shape, False), want.detach()),
        (lambda: native.conv(g, values, None, t, shape, True), of_x),
        (
            lambda: native.conv_sampled(g, x, t, shape),
            of_weight.reshape(-1, 3, 3)[torch.from_numpy(pattern.flat)],
        ),
    )
    for call, expected in pairs:
        torch.testing.assert_close(for_each_thread_count(call), expected, rtol=1e-4, atol=2e-3)


def test_bfloat16_is_summed_in_float32():
    t = Table(np.arange(4096)[None], 4096, 1)
    x = torch.ones(1, 4096, dtype=torch.bfloat16)
    values = torch.full((4096,), 2**-8, dtype=torch.bfloat16)  # in bfloat16 sums it would stop at 1
    assert native.linear(x, values, None, t).item() == 16.0
    assert native.linear(x.expand(40, -1), values, None, t).eq(16.0).all()
    nan = native.linear(x * float("nan"), values, None, t)
    assert nan.isnan().all()


def test_what_does_not_fit_is_refused_and_never_read():
    t = Table(np.array([[0, 5]]), 4, 2)
    x, values = torch.randn(3, 4), torch.randn(2)
    native.linear(x, values, None, t)
    for wrong, words in [
        ((x.half(), values.half()), "float32, float64, bfloat16"),
        ((x, values.double()), "of one dtype"),
        ((x.int(), values.int()), "ordinary CPU tensors"),
        ((x.to("meta"), values), "meta"),
        ((x.to_sparse(), values), "sparse"),
        ((x[:, :3], values), r"shape \(\.\.\., 4\), got \(3, 3\)"),
        ((x, values[:1]), "weight of 2 values"),
        ((torch.tensor(1.0), values), r"got \(\)"),
    ]:
        with pytest.raises(ValueError, match=words):
            native.linear(*wrong, None, t)
    with pytest.raises(ValueError, match="bias of 2 values"):
        native.linear(x, values, torch.randn(3), t)
    with pytest.raises(ValueError, match=r"shape \(3, batch, 4\)"):
        native.linear(x[:2], values.repeat(3), None, t, False, 3)
    gone = torch.randn(3, 4)
    gone.untyped_storage().resize_(0)
    with pytest.raises((ValueError, RuntimeError), match=r"memory|storage"):
        native.linear(gone, values, None, t)
    with pytest.raises(ValueError, match="no native kernel for a window of 5"):
        native.shape(1, (8, 8), t, 5, 1, [0, 0])


def test_any_strides_and_lazy_negation():
    rng = np.random.default_rng(3)
    pattern = make_pattern("random", 40, 30, 0, nonzeros=200)
    t, values = table(pattern), normal(rng, 200, dtype=torch.float32)
    base = normal(rng, 80, 80, dtype=torch.float32)
    negative = torch.view_as_complex(normal(rng, 20, 40, 2, dtype=torch.float32)).conj().imag
    assert negative.is_neg()
    for x in (base[:20, :80:2], base[:40, :20].t(), base[:1, :40].expand(20, 40), negative):
        want = native.linear(x.clone().contiguous(), values, None, t)
        assert torch.equal(native.linear(x, values, None, t), want)
    strided = torch.stack([values, values], 1)[:, 0]
    assert torch.equal(
        native.linear(base[:, :40], strided, None, t), native.linear(base[:, :40], values, None, t)
    )
