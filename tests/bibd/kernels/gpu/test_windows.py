"""Convolutions with dense tiles of channels on a card: layers beside a dense twin in float64.

tests/benchmarks/test_gpu_kernels.py runs the kernels themselves, in Triton's interpreter.
"""

import copy
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from bibd import DynamicConv2d, SparseConv2d, make_pattern
from bibd.kernels import conv_ops, modes, tune
from bibd.kernels.gpu import card as cards
from bibd.kernels.gpu import check, check_conv, tiles, windows
from bibd.kernels.gpu.fit import Unfit
from tests.bibd.kernels.gpu.test_products import passed
from tests.drawn import examples

F32, BF16 = torch.float32, torch.bfloat16


def by_the_book(self, name, blocks, *given, **how):
    """What tile_kernels write, from the same lists; counts its calls."""
    by_the_book.calls += 1
    {"pixels": pixels, "windows": sums}[name](blocks, *given)


def tile_of(values, taps, start, pitch, t):
    """One tile (T, T, window, window) of values that lie (window * window, connections)."""
    found = [v.as_strided((t, t), (int(pitch), 1), v.storage_offset() + int(start)) for v in values]
    side = round(taps**0.5)
    return torch.stack(found, 2).double().unflatten(2, (side, side))


def pixels(blocks, x, w, y, first, tiles_, start, pitch, images, count, columns, *rest):
    high, wide, rows, cols, top, left, t, _, samples, side, stride, back = rest[8:]
    assert rest[:8] == (*x.stride(), *y.stride())
    assert ((high, wide), (rows, cols)) == (x.shape[2:], y.shape[2:])
    assert w.shape == (side**2, count)
    assert w.is_contiguous()
    assert blocks == (columns * -(-images * rows * cols // samples),)
    y.fill_(torch.nan)
    for o in range(columns):
        total = torch.zeros(images, t, rows, cols, dtype=torch.float64)
        for at in range(first[o], first[o + 1]):
            tile = tile_of(w, side**2, start[at], pitch[at], t)
            part = x[:, tiles_[at] * t : (tiles_[at] + 1) * t].double()
            how = stride, (top, left)
            if back:
                total += torch.nn.grad.conv2d_input(total.shape, tile, part, *how)
            else:
                total += F.conv2d(part, tile, None, *how)
        y[:, o * t : (o + 1) * t] = total.to(y.dtype)


def sums(blocks, x, g, dw, own, other, start, pitch, images, connections, count, length, *rest):
    high, wide, rows, cols, top, left, t, _, samples, side, stride = rest[8:]
    assert rest[:8] == (*x.stride(), *g.stride())
    assert ((high, wide), (rows, cols)) == (x.shape[2:], g.shape[2:])
    parts, many = len(dw), images * rows * cols
    assert blocks == (count * side**2 * parts,)
    assert dw.shape == (parts, side**2, connections)
    assert length % samples == 0
    assert (parts - 1) * length < many <= parts * length
    dw.fill_(torch.nan)
    for part in range(parts):
        mine = torch.zeros(images, rows, cols, dtype=torch.bool)
        mine.view(-1)[part * length : (part + 1) * length] = True
        kept = (g * mine[:, None]).double()
        for o, i, at, apart in zip(own, other, start, pitch, strict=True):
            left_, right = kept[:, o * t : (o + 1) * t], x[:, i * t : (i + 1) * t].double()
            shape = t, t, side, side
            found = torch.nn.grad.conv2d_weight(right, shape, left_, stride, (top, left))
            for place, one in zip(dw[part], found.flatten(2).unbind(2), strict=True):
                place.as_strided((t, t), (int(apart), 1), place.storage_offset() + int(at)).copy_(
                    one
                )


def made(inputs, outputs, side, pattern="tiled-16", **options):
    given = dict(padding=side // 2, backend="triton", seed=1) | options
    return SparseConv2d(inputs, outputs, side, pattern=pattern, **given)


def twin(layer, x, g, size=lambda t: t):
    """What the masked dense layer makes of it in float64; of the sizes of numbers with abs."""
    w, x, g = (size(t.detach().double()).requires_grad_() for t in (layer.to_dense(), x, g))
    bias = None if layer.bias is None else size(layer.bias.detach().double())
    y = F.conv2d(x, w, bias, layer.stride, layer.padding, layer.dilation, layer.groups)
    of_x, of_w = torch.autograd.grad(y, (x, w), g.detach())
    found = {"output": y.detach(), "input": of_x, "weight": of_w.flatten(0, 1)[layer.flat]}
    return found | ({} if bias is None else {"bias": g.detach().sum((0, 2, 3))})


def compare(layer, x, got=None):
    """Hold all tensors to the bound of check.py; the bias is one more rounding of the output."""
    g = torch.randn(layer(x).shape, generator=torch.Generator().manual_seed(0)).to(x.dtype)
    got = got or passed(layer, x, g)
    exact, scale = twin(layer, x, g), twin(layer, x, g, torch.abs)
    for name, t in got.items():
        rounded = torch.finfo(t.dtype).eps * scale[name] * (name in ("output", "bias"))
        places = max(layer.in_channels, layer.out_channels) * layer.kernel_size[0] ** 2
        terms = max(places, g[:, 0].numel())
        check.close(name, t, (exact[name], scale[name] + rounded / (terms * check.UNIT)), terms)
    return got


@examples(20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    grid=st.tuples(st.integers(3, 5), st.integers(3, 6)),
    side=st.sampled_from([1, 3]),
    stride=st.sampled_from([1, 2]),
    padding=st.integers(0, 2),
    size=st.tuples(st.integers(3, 6), st.integers(3, 7)),
    images=st.integers(1, 3),
    bias=st.booleans(),
    last=st.booleans(),
    dtype=st.sampled_from([F32, BF16]),
)
def test_every_tensor_is_that_of_the_dense_twin(
    book, grid, side, stride, padding, size, images, bias, last, dtype
):
    inputs, outputs = (16 * n for n in grid)
    options = dict(stride=stride, padding=padding, bias=bias, dtype=dtype)
    layer = made(inputs, outputs, side, **options)
    x = torch.randn(images, inputs, *size).to(dtype)
    x = x.to(memory_format=torch.channels_last) if last else x
    assert layer.path(x) == "triton"
    calls = by_the_book.calls
    got = compare(layer, x)
    assert by_the_book.calls - calls == 4
    order = torch.channels_last if last else torch.contiguous_format
    assert got["output"].is_contiguous(memory_format=order)


def test_groups_have_tiles_of_their_own(book):
    layer = made(128, 96, 3, pattern="tiled-16", groups=2)
    assert layer._tile == 16
    compare(layer, torch.randn(2, 128, 5, 4))
    flat = layer.pattern.flat[None]
    alone = windows.ungrouped(flat, 128, 96, 2)
    full = torch.zeros(96, 128, 3, 3)
    full.view(-1, 3, 3)[torch.from_numpy(alone[0])] = layer.weight.detach()
    x = torch.randn(2, 128, 5, 4)
    torch.testing.assert_close(F.conv2d(x, full, layer.bias, 1, 1), layer(x))


def test_sums_go_in_parts_where_a_card_would_stand_idle(book, monkeypatch):
    monkeypatch.setattr(cards, "card", lambda device: cards.Card(64 << 10, 132, True))
    layer, x = made(48, 48, 1), torch.randn(9, 48, 16, 16)
    assert windows.shared(9 * 256, 64, len(layer.pattern.flat) // 256, 132)[0] > 1
    compare(layer, x)


@pytest.mark.parametrize("programs", [1, 7, 5000])
@pytest.mark.parametrize("many", [1, 63, 64, 4097, 131072])
def test_parts_hold_all_pixels_once(many, programs):
    parts, length = windows.shared(many, 64, programs, 132)
    assert length % 64 == 0
    assert (parts - 1) * length < many <= parts * length
    assert parts == 1 or length >= 64 * windows.STEPS
    assert parts * programs <= windows.WAVES * 132 + programs


def test_what_is_no_tile_or_does_not_compile_is_convolved_densely(card, capsys, monkeypatch):
    compare(SparseConv2d(16, 20, 3, 2, 1, backend="triton"), torch.randn(2, 16, 6, 5))
    monkeypatch.setitem(sys.modules, "bibd.kernels.gpu.tile_kernels", None)
    for last in (torch.contiguous_format, torch.channels_last):
        x = torch.randn(2, 64, 6, 5).to(memory_format=last)
        assert compare(made(64, 48, 3), x)["output"].is_contiguous(memory_format=last)
        compare(made(64, 64, 3, groups=2, stride=2), x)
    said = capsys.readouterr().err
    assert "the connections are no dense tiles of 128, 64, 32, 16 a side" in said
    assert said.count("iddl: no kernel of the card") == 1


def test_an_unusual_window_or_dilation_is_dense(book):
    for layer in (made(64, 64, 5), made(64, 64, 3, dilation=2), made(64, 64, 3, stride=3)):
        x = torch.randn(2, 64, 9, 9)
        assert layer.path(x) == "dense"
        compare(layer, x)
    assert by_the_book.calls == 0


def test_padding_of_another_kind_and_one_picture(book):
    layer = made(64, 48, 3, padding_mode="circular")
    x = torch.randn(64, 5, 5)
    full = F.pad(x[None], (1, 1, 1, 1), mode="circular")
    torch.testing.assert_close(layer(x), F.conv2d(full, layer.to_dense(), layer.bias)[0])
    assert by_the_book.calls == 1


def test_a_large_batch_of_gradients_and_second_gradients(book):
    layer, x = made(48, 48, 3, bias=False), torch.randn(2, 48, 4, 4, requires_grad=True)
    (dx,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    (dw,) = torch.autograd.grad(dx.square().sum(), layer.weight)
    weight, u = (t.detach().double().requires_grad_() for t in (layer.to_dense(), x))
    (exact,) = torch.autograd.grad(
        F.conv2d(u, weight, None, 1, 1).square().sum(), u, create_graph=True
    )
    (exact,) = torch.autograd.grad(exact.square().sum(), weight)
    exact = exact.flatten(0, 1)[layer.flat]
    assert (dw.double() - exact).norm() <= 1e-5 * exact.norm()  # (four products in a row)


def test_vmap_over_values_is_the_loop(book):
    layer, x = made(48, 48, 3), torch.randn(2, 48, 4, 4)
    values = torch.stack([layer.weight, -layer.weight]).detach()

    def call(weight):
        return torch.func.functional_call(layer, {"weight": weight, "bias": layer.bias}, (x,))

    mapped = torch.vmap(call)(values)
    assert torch.equal(mapped, torch.stack([call(weight) for weight in values]))


@pytest.mark.slow  # (torch.compile takes seconds to begin)
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dynamic", [False, True])
def test_compile_has_one_graph(book, last, dynamic):
    layer, x = made(48, 48, 3), torch.randn(2, 48, 4, 4)
    x = x.to(memory_format=torch.channels_last) if last else x
    fast = torch.compile(layer, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    g = torch.randn(2, 48, 4, 4)
    plain = passed(layer, x, g)
    for name, t in passed(fast, x, g).items():
        known = plain[name.removeprefix("_orig_mod.")]
        if "bias" in name:  # (a sum of torch's own, in the order of its layout)
            torch.testing.assert_close(t, known)
        else:
            assert torch.equal(t, known)
        assert t.stride() == plain[name.removeprefix("_orig_mod.")].stride()
    auto = made(256, 256, 3, backend="auto")
    fast = torch.compile(auto, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    x = torch.randn(2, 256, 4, 4)
    torch.testing.assert_close(fast(x), auto._dense(x, 1))


def test_autocast_casts_operations_are_counted_and_copies_answer_alike(book):
    layer, x = made(48, 48, 3), torch.randn(2, 48, 4, 4)
    with torch.autocast("cpu", BF16):
        assert layer(x).dtype is BF16
    with FlopCounterMode(display=False) as counter:
        y = layer(x)
    assert counter.get_total_flops() == 2 * 2 * 16 * 9 * layer.pattern.nonzeros
    assert torch.equal(copy.deepcopy(layer)(x), y)


@pytest.mark.parametrize("train", [False, True])
def test_auto_times_tiles_and_takes_them_where_they_are_faster(book, monkeypatch, train):
    def clock(call):
        before = by_the_book.calls
        call()
        return 1e-5 if by_the_book.calls > before else 1e-4

    monkeypatch.setattr(cards, "clock", clock)
    layer, x = made(64, 64, 3, backend="auto"), torch.randn(3, 64, 8, 8)
    with torch.set_grad_enabled(train):
        assert layer.path(x) == "triton"
    ((name, times),) = tune.known().items()
    nonzeros, use = layer.pattern.nonzeros, "train" if train else "infer"
    sizes = f"64 64 {nonzeros} 3 1 1 1 8 8 x1 batch 4"
    tf32 = ", tf32" * modes.tf32_of_images()
    assert name == f"conv in tiles of 16, {sizes} float32 on a card{tf32} {use}"
    assert set(times.us) == {"dense", "triton"}
    with torch.set_grad_enabled(train):
        layer(x)
    fine = SparseConv2d(64, 64, 3, padding=1)
    assert fine.path(x) == "dense"  # (single connections between channels have no kernel there)
    assert len(tune.known()) == 1


@pytest.mark.parametrize("wrong", ["output", "input", "weight"])
def test_a_kernel_that_answers_wrong_is_never_taken(book, monkeypatch, capsys, wrong):
    right = windows.Windows.pixels, windows.Windows.kernels

    def pixels(self, x, values, of, back):
        y = right[0](self, x, values, of, back)
        y[-1, -1, -1, -1] += 100.0 * (wrong == ("input" if back else "output"))
        return y

    def kernels(self, g, x, of):
        found = right[1](self, g, x, of)
        found[-1] *= 1.01 if wrong == "weight" else 1
        return found

    monkeypatch.setattr(windows.Windows, "pixels", pixels)
    monkeypatch.setattr(windows.Windows, "kernels", kernels)
    monkeypatch.setattr(cards, "clock", lambda call: call() is not None)
    layer = made(64, 64, 3, backend="auto")
    assert layer.path(torch.randn(2, 64, 6, 6)) == "dense"
    assert f"of the {wrong} are above their bound" in capsys.readouterr().err
    (times,) = tune.known().values()
    assert list(times.us) == ["dense"]


def test_the_check_passes_what_is_right(book):
    for groups, stride, dtype in ((1, 1, F32), (2, 2, BF16)):
        layer = made(64, 96, 3, groups=groups, stride=stride, dtype=dtype)
        x = torch.randn(9, 64, 6, 6).to(dtype)
        of = conv_ops.window_of(layer._geometry(x))
        given = layer.weight, layer.flat[None], (64, 96, groups), of, 16, True
        assert check.held(x, *given, by=check_conv.hold) == ""
        assert "no tiles of 32 x 32" in check.held(x, *given[:4], 32, True, by=check_conv.hold)


def test_moved_connections_are_no_tiles_any_more(book, capsys):
    layer = DynamicConv2d(64, 64, 3, padding=1, pattern="tiled-16", seed=0, backend="triton")
    assert layer._tile == 16
    free = sorted({*range(64 * 64)} - {*layer.flat.tolist()})
    layer.rewire(range(9), free[:9], None)
    assert layer._tile == 0
    compare(layer, torch.randn(1, 64, 4, 4))
    assert by_the_book.calls == 0
    assert "no dense tiles" in capsys.readouterr().err


def test_tiles_that_are_none_are_refused():
    flat = make_pattern("tiled-16", 64, 64).flat[None]
    free = np.setdiff1d(np.arange(64 * 64), flat[0])
    moved = np.sort(np.r_[flat[0, :-1], free[-1]])[None]
    with pytest.raises(Unfit, match="no tiles of 16 x 16"):
        windows.Windows(moved, 64, 64, 1, 16)


def test_tf32_is_that_of_convolutions_and_a_call_of_its_own(book, monkeypatch):
    """Torch convolves in TF32 if nobody forbids it, and multiplies so only if somebody allows it."""
    monkeypatch.setattr(cards, "clock", lambda call: call() is not None)
    layer, x, seen = made(64, 64, 3, backend="auto"), torch.randn(2, 64, 6, 6), []
    start = tiles.Tiles._start
    monkeypatch.setattr(
        tiles.Tiles, "_start", lambda *given, **how: seen.append(given) or start(*given, **how)
    )
    for images, said in ((True, "tf32"), (False, "ieee")):
        monkeypatch.setattr(modes, "tf32_of_images", lambda images=images: images)
        seen.clear()
        layer._route(x)
        assert {word for given in seen for word in given if word in ("tf32", "ieee")} == {said}
    assert {", tf32 " in name for name in tune.known()} == {True, False}
