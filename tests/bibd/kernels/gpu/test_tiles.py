"""Dense tiles on a card: which patterns are tiles, their lists, and layers beside a dense twin.

tests/benchmarks/test_gpu_kernels.py runs the kernels themselves, in Triton's interpreter.
"""

import sys

import numpy as np
import pytest
import torch

from bibd import SparseLinear, from_mask, make_pattern
from bibd.kernels import library, tune
from bibd.kernels.gpu import card as cards
from bibd.kernels.gpu import tiles
from bibd.kernels.gpu.fit import Unfit
from bibd.linear import StackedSparseLinear
from tests.bibd.kernels.gpu.test_products import compare


def by_the_book(self, name, blocks, *given, **how):
    """What tile_kernels write, from the same lists; counts its calls."""
    by_the_book.calls += 1
    if name == "rows":
        x, w, y, first, other, start, pitch, batch, _, outputs, t, samples, back, _ = given
        assert blocks == (outputs // t * -(-batch // samples),)  # (a second axis ends at 65,535)
        y.fill_(torch.nan)
        for o in range(outputs // t):
            total = torch.zeros(batch, t, dtype=torch.float64)
            for at in range(first[o], first[o + 1]):
                begin = w.storage_offset() + int(start[at])
                tile = w.as_strided((t, t), (int(pitch[at]), 1), begin).double()
                total += x[:, other[at] * t : (other[at] + 1) * t].double() @ (
                    tile if back else tile.T
                )
            y[:, o * t : (o + 1) * t] = total.to(y.dtype)
        return
    x, g, dw, own, other, start, pitch, *_, t, _, _ = given
    assert blocks == (len(own),)
    dw.fill_(torch.nan)
    for o, i, at, apart in zip(own, other, start, pitch, strict=True):
        part = g[:, o * t : (o + 1) * t].double().T @ x[:, i * t : (i + 1) * t].double()
        dw.as_strided((t, t), (int(apart), 1), int(at)).copy_(part)


@pytest.fixture
def book(card, monkeypatch):
    by_the_book.calls = 0
    monkeypatch.setattr(tiles.Tiles, "_start", by_the_book)


@pytest.fixture
def compiled(card, monkeypatch):
    """Put one function, of what a start is given, in the place of the compiled kernel of rows."""

    def put(start):
        class Kernels:
            class rows:
                def __class_getitem__(cls, blocks):
                    return start

        monkeypatch.setitem(sys.modules, "bibd.kernels.gpu.tile_kernels", Kernels)
        monkeypatch.setattr(sys.modules["bibd.kernels.gpu"], "tile_kernels", Kernels, raising=False)

    return put


@pytest.mark.parametrize(
    ("name", "sizes", "side"),
    [
        ("tiled-16", (64, 96), 16), ("tiled-32", (128, 128), 32), ("tiled-64x2", (512, 256), 64),
        ("tiled-128", (512, 512), 128), ("tiled-256", (1024, 1024), 128), ("dense", (48, 32), 16),
        ("tiled-8", (64, 64), 0), ("bibd", (64, 72), 0), ("random", (256, 256), 0),
        ("block_diagonal", (256, 256), 16), ("dense", (40, 40), 0),
    ],
)  # fmt: skip
def test_the_side_of_tiles_is_found(name, sizes, side):
    p = make_pattern(name, *sizes)
    assert tiles.side_of(p.flat, *sizes) == side
    assert SparseLinear(*sizes, p)._tile == side


def test_one_connection_elsewhere_is_no_tile():
    p = make_pattern("tiled-16", 64, 64)
    free = np.setdiff1d(np.arange(64 * 64), p.flat)
    moved = np.sort(np.r_[p.flat[:-1], free[-1]])
    assert tiles.side_of(moved, 64, 64) == 0
    with pytest.raises(Unfit, match="no tiles of 16 x 16"):
        tiles.Tiles(moved[None], 64, 64, tile=16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("name", "sizes"), [("tiled-16", (144, 80)), ("tiled-32x2", (288, 384))])
def test_every_tensor_is_that_of_the_dense_twin(book, name, sizes, dtype):
    for seed in (None, 1):
        layer = SparseLinear(*sizes, name, seed=seed, backend="triton", dtype=dtype)
        x = torch.randn(21, sizes[0]).to(dtype)
        assert layer.path(x) == "triton"
        compare(layer, x, torch.randn(21, sizes[1]).to(dtype))
    assert by_the_book.calls == 6


def test_values_that_lie_apart_are_read_where_they_lie(book):
    layer, x = SparseLinear(64, 96, "tiled-16", backend="triton"), torch.randn(5, 64)
    apart = torch.stack([layer.weight.detach(), torch.full_like(layer.weight, 9)], 1)
    given = {"weight": apart[:, 0], "bias": layer.bias}
    assert torch.equal(torch.func.functional_call(layer, given, (x,)), layer(x))
    call = lambda weight: torch.func.functional_call(layer, given | {"weight": weight}, (x,))  # noqa: E731
    assert torch.equal(torch.vmap(call, 1)(apart)[0], layer(x))


def test_a_stack_of_different_tiles(book):
    layers = [SparseLinear(64, 96, "tiled-16", seed=seed, backend="triton") for seed in range(3)]
    stack, x = StackedSparseLinear(layers), torch.randn(3, 5, 64)
    for y, layer, one in zip(stack(x), layers, x, strict=True):
        assert torch.equal(y, layer(one))


def test_what_is_no_tile_or_does_not_compile_is_multiplied_densely(card, capsys, monkeypatch):
    layer = SparseLinear(64, 72, backend="triton")
    compare(layer, torch.randn(5, 64), torch.randn(5, 72))
    monkeypatch.setitem(sys.modules, "bibd.kernels.gpu.tile_kernels", None)
    layer = SparseLinear(64, 64, "tiled-16", backend="triton")
    compare(layer, torch.randn(5, 64), torch.randn(5, 64))
    said = capsys.readouterr().err
    assert said.count("iddl: no kernel of the card") == 1
    assert not card


def test_a_pattern_without_tiles_is_not_sorted_through_at_each_call(card, monkeypatch):
    """That would wait for the card, which no CUDA graph can hold."""
    layer, x = SparseLinear(64, 72, backend="triton"), torch.randn(5, 64)
    monkeypatch.setattr(library, "_build", lambda *given: pytest.fail("places were read"))
    layer(x).sum().backward()


def test_a_kernel_that_fails_takes_no_other_with_it(compiled, capsys):
    """Its type and its shape: a batch that asks for too much says nothing of smaller ones."""
    started = []

    def start(*given, **how):
        started.append(given[-3])
        if given[-3] > 16:
            raise RuntimeError("too many resources requested for launch")
        given[2].zero_()

    compiled(start)
    layer = SparseLinear(64, 64, "tiled-16", backend="triton")
    with torch.no_grad():
        for batch in (10, 100, 10, 100):
            layer(torch.randn(batch, 64))
    assert started == [16, 64, 16]
    assert capsys.readouterr().err.count("too many resources requested") == 1


def test_auto_times_tiles_too(book, monkeypatch):
    def clock(call):
        before = by_the_book.calls
        call()
        return 1e-5 if by_the_book.calls > before else 1e-4

    monkeypatch.setattr(cards, "clock", clock)
    layer, x = SparseLinear(256, 256, "tiled-16"), torch.randn(9, 256)
    assert layer.path(x) == "triton"
    (times,) = tune.known().values()
    assert set(times.us) == {"cuda", "dense", "triton"}
    compare(layer, x, torch.randn(9, 256))
    flat = torch.randperm(256 * 256, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(256 * 256, dtype=torch.bool).index_fill_(0, flat[: len(layer.flat)], True)
    other = SparseLinear(256, 256, from_mask(mask.view(256, 256)))
    assert other.path(x) != "triton"  # (as many connections, but no tiles)
    assert [set(times.us) for times in tune.known().values()].count({"cuda", "dense"}) == 1


@pytest.mark.parametrize("fits", [2, 1, 0])
def test_stages_that_ask_for_too_much_memory_are_fewer_from_then_on(compiled, fits, capsys):
    started = []

    class OutOfResources(Exception):
        """Of Triton, which asks the card as it loads a kernel."""

    def start(*given, num_warps, num_stages):
        started.append(num_stages)
        if num_stages > fits:
            raise OutOfResources("shared memory, Required: 294912")
        given[2].zero_()

    compiled(start)
    layer = SparseLinear(64, 64, "tiled-16", backend="triton")
    with torch.no_grad():
        for _ in range(2):
            layer(torch.randn(10, 64))
    assert started == [*range(4, max(fits, 1) - 1, -1), *[fits] * (fits > 0)]
    assert ("Required: 294912" in capsys.readouterr().err) == (fits == 0)
