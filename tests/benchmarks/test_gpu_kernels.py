"""CUDA kernels of the card's measurements, run on the processor as they stand."""

import ctypes
import inspect
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.gpu import fine_cases, rivals
from bibd import SparseLinear
from bibd.kernels.gpu import forms as fine
from bibd.kernels.gpu import tiles
from bibd.pattern import make_pattern
from tests.bibd.kernels.gpu import card
from tests.bibd.kernels.gpu.test_products import compare
from tests.python import python

COMPILER = shutil.which("g++") or ""
needs_compiler = pytest.mark.skipif(not COMPILER, reason="no g++ here")
CALL = """
#include "{header}"
{source}
extern "C" void go(unsigned x, unsigned y, unsigned z, const void *a, const void *b, const void *c,
                   void *d, int batch, int inputs, int outputs, int last) {{
    using R = {real};
    launch([=] {{ {kernel}((const R *)a, (const {second} *)b, (const uint4 *)c, ({out} *)d, batch,
                           inputs, outputs, last); }}, x, y, z, {threads}, {shared});
}}
"""
SECOND = {"rows_mma": "uint2", "rows_lanes": "uint4"}


@pytest.fixture
def emulated(tmp_path):
    """What stands for compiled: a form compiled for the processor."""
    made = {}

    def call(form):
        if form not in made:
            path = tmp_path / f"kernel{len(made)}"
            path.with_suffix(".cpp").write_text(code(form))
            flags = ["-std=c++20", "-O1", "-w", "-fPIC", "-shared", "-pthread"]
            files = ["-o", path.with_suffix(".so"), path.with_suffix(".cpp")]
            subprocess.run([COMPILER, *flags, *files], check=True)
            made[form] = ctypes.CDLL(str(path.with_suffix(".so"))).go
        return lambda blocks, *args: made[form](
            *blocks, *(ctypes.c_void_p(a.data_ptr()) for a in args[:4]), *args[4:]
        )

    return call


def code(form):
    """The file as it stands, with a function that starts its kernel."""
    real = "float" if form.wide else "uint16_t"
    return CALL.format(
        header=Path(__file__).with_name("emulate.h"),
        source=form.source().replace("extern __shared__ uint4 tile[];", ""),
        real=real,
        kernel=form.kernel,
        second=SECOND.get(form.kernel, real),
        out="float" if form.kernel.startswith("weights") else real,
        threads=32 * form.warps,
        shared=form.shared,
    )


def setting(form, batch, inputs, outputs, seed=0):
    """A pattern with its connections dealt to slots, and values."""
    g = torch.Generator().manual_seed(seed)
    inputs, outputs = (inputs - 10, outputs - 14) if form.edges else (inputs, outputs)
    p = make_pattern("random_biregular", inputs, outputs, seed, nonzeros=outputs * 20)
    at, place = fine.slots(p.rows, p.indices, outputs, form)
    table, place = fine.laid_out(form, at, place)
    dtype = torch.float32 if form.wide else torch.bfloat16
    values = torch.randn(p.nonzeros, generator=g).to(dtype)
    x, d = (torch.randn(batch, n, generator=g).to(dtype) for n in (inputs, outputs))
    return p, np.ascontiguousarray(table).view(np.int16), np.ascontiguousarray(place), values, x, d


ROWS = [
    fine.Form("rows_mma", 2, 2, 1, 128, 1, 2),
    fine.Form("rows_mma", 4, 1, 4, 64, 2, 1, edges=1),
    fine.Form("rows_mma", 8, 2, 2, 64, 2, 1),
    fine.Form("rows_lanes", 2, 2, 1, 128, 1, 4, wide=1, edges=1),
    fine.Form("rows_lanes", 1, 1, 2, 64, 2, 2, wide=1),
    fine.Form("rows_lanes", 2, 1, 2, 64, 2, 2, mode=0, edges=1),
    fine.Form("rows_lanes", 2, 1, 1, 128, 1, 4, mode=1),
    fine.Form("rows_lanes", 4, 2, 1, 128, 1, 4, mode=2),
]


@needs_compiler
@pytest.mark.parametrize("form", ROWS, ids=fine.Form.said)
def test_rows_are_those_of_a_dense_twin(form, emulated):
    batch, inputs, outputs = 19, 128, 64
    p, table, place, values, x, _ = setting(form, batch, inputs, outputs)
    inputs, outputs = p.shape
    weights = torch.cat([values, values.new_zeros(1)])[torch.from_numpy(place)]
    y = x.new_full((batch, outputs), torch.nan)
    blocks, last = fine.grid(form, batch, outputs)
    emulated(form)(blocks, x, weights, torch.from_numpy(table), y, batch, inputs, outputs, last)
    dense = torch.zeros(outputs * inputs, dtype=torch.float64)
    dense[torch.from_numpy(p.flat)] = values.double()
    exact = x.double() @ dense.view(outputs, inputs).T
    scale = x.double().abs() @ dense.view(outputs, inputs).abs().T
    # 20 terms: in float32, or each of the products, or eight sums, rounded to bf16; then the result
    rounding = 24 * 2.0**-24 + (9 * form.mode > 0) * 9 * 2.0**-8 * (form.mode > 0)
    bound = rounding * scale + torch.finfo(x.dtype).eps * exact.abs()
    assert ((y.double() - exact).abs() <= bound).all()


WEIGHTS = [
    fine.Form("weights_mma", 2, 2, 1, 128, 1, 2),
    fine.Form("weights_mma", 4, 1, 4, 64, 2, 1, edges=1),
    fine.Form("weights_lanes", 1, 1, 1, 128, 1, 4, wide=1),
    fine.Form("weights_lanes", 1, 1, 2, 64, 2, 2, wide=1, edges=1),
]


@needs_compiler
@pytest.mark.parametrize("form", WEIGHTS, ids=fine.Form.said)
def test_gradients_of_weights_are_those_of_a_dense_twin(form, emulated):
    batch, inputs, outputs = 45, 128, 64
    p, table, place, _, x, d = setting(form, batch, inputs, outputs)
    inputs, outputs = p.shape
    blocks, last = fine.grid(form, batch, outputs)
    dw = torch.full((blocks[0], place.size), torch.nan)
    emulated(form)(blocks, x, d, torch.from_numpy(table), dw, batch, inputs, outputs, last)
    flat = torch.from_numpy(p.flat)
    exact = (d.double().T @ x.double()).flatten()[flat]
    scale = (d.double().abs().T @ x.double().abs()).flatten()[flat]
    assert not dw.isnan().any()
    found = torch.empty(p.nonzeros + 1)
    found[torch.from_numpy(place.ravel())] = dw.sum(0)
    assert ((found[:-1].double() - exact).abs() <= 50 * 2.0**-24 * scale).all()


STEPS = [
    ("bf16", fine.Form("rows_mma", 2, 2, 2, 64, 1, 1), fine.Form("weights_mma", 2, 2, 2, 32, 2, 1)),
    (
        "fp32",
        fine.Form("rows_lanes", 2, 2, 1, 64, 1, 1, wide=1),
        fine.Form("weights_lanes", 1, 1, 1, 32, 2, 1, wide=1),
    ),
]


@needs_compiler
@pytest.mark.parametrize(("dtype", "form", "form_w"), STEPS, ids=lambda v: str(v)[:12])
def test_a_line_of_a_training_step_has_errors_of_all_three(
    dtype, form, form_w, emulated, monkeypatch
):
    """As on a card, but for the clock: a plane of order 8, weights laid out and gathered back."""

    def untimed(call, device):
        call(1)
        return 1.0

    monkeypatch.setattr(fine_cases, "compiled", emulated)
    for module in (fine_cases, rivals):
        monkeypatch.setattr(module, "timed", untimed)
    setting = 64, 8, dtype, 40, "bibd", "cpu:0"
    line = fine_cases.forward(setting, form)
    assert line["error"] <= fine_cases.CLOSE[dtype]
    assert line["forward ratio bf16"] == 1
    line = fine_cases.training(setting, form, form_w)
    assert list(line["error"]) == ["output", "input", "weight"]
    assert line["train ratio bf16"] == 1
    monkeypatch.setattr(fine_cases, "slots", lambda *a: [t[:, ::-1] for t in fine.slots(*a)])
    fine_cases.DEALT.clear()
    with pytest.raises(AssertionError, match="error"):
        fine_cases.forward(setting, form)
    fine_cases.DEALT.clear()


def test_slots_of_a_plane_lie_in_all_banks():
    """Only outputs of the one class of lines that stand still in a residue meet themselves."""
    form = fine.Form("rows_mma", 2, 1, 1, 1024, 1, 2)
    p = make_pattern("bibd", 1024, 1024)
    at, place = fine.slots(p.rows, p.indices, 1024, form)
    assert sorted(place.ravel()) == list(range(p.nonzeros))
    eights = np.sort(at.reshape(1024, 4, 8) % 8, axis=2)
    full = (eights == np.arange(8)).all((1, 2))
    assert full[32:].all()
    assert not full[:32].any()
    beside = np.sort(at[0, 32:].reshape(-1, 8, 32) % 8, axis=1)
    assert (beside == np.arange(8)[:, None]).all()


TILES = """
import torch
from benchmarks.gpu import tiled

s = tiled.Tiles(64, 16, 40, "cpu", torch.float16)
calls, results = tiled.launches(s, (32, 4, 1))
for name, call in calls.items():
    call(0)
    s.check(results[name], name)

import pytest
from bibd import SparseLinear
from bibd.kernels.gpu import compile
from tests.bibd.kernels.gpu import card
from tests.bibd.kernels.gpu.test_products import compare

card.put_in(pytest.MonkeyPatch())
for name, sizes, batch in (("tiled-16", (64, 96), 5), ("tiled-32x2", (128, 128), 33)):
    layer = SparseLinear(*sizes, name, seed=2, backend="triton")
    compare(layer, torch.randn(batch, sizes[0]), torch.randn(batch, sizes[1]))
assert not compile._said, compile._said
"""


def test_tiles_are_those_of_a_dense_twin_alone_and_in_a_layer(monkeypatch):
    """In Triton's interpreter (without bfloat16: it multiplies that as if it were integers)."""
    pytest.importorskip("triton")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    done = python("-c", TILES)
    assert done.returncode == 0, done.stderr


IMAGES = """
import pytest
import torch
from bibd import SparseConv2d
from bibd.kernels.gpu import compile
from tests.bibd.kernels.gpu import card
from tests.bibd.kernels.gpu.test_windows import compare

card.put_in(pytest.MonkeyPatch())
for channels, side, stride, padding, groups, size, last in (
    ((48, 64), 3, 1, 1, 1, (5, 4), False),
    ((64, 48), 3, 2, 1, 1, (6, 5), True),
    ((96, 64), 1, 2, 0, 2, (5, 7), True),
    ((48, 48), 3, 2, 2, 1, (3, 4), False),
):
    layer = SparseConv2d(
        *channels, side, stride, padding, groups=groups, pattern="tiled-16", seed=2,
        backend="triton",
    )
    x = torch.randn(3, channels[0], *size)
    compare(layer, x.to(memory_format=torch.channels_last) if last else x)
layer = SparseConv2d(64, 64, 1, pattern="tiled-16", seed=2, backend="triton")
compare(layer, torch.randn(4, 64, 16, 17))  # (sums in parts, of which the last is not full)
assert not compile._said, compile._said
"""


def test_convolutions_in_tiles_are_those_of_a_dense_twin(monkeypatch):
    pytest.importorskip("triton")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    done = python("-c", IMAGES)
    assert done.returncode == 0, done.stderr


CARDS = {
    80: 163 << 10,
    90: 227 << 10,
}  # compute capability, and shared memory that a block may have
KERNELS = {
    "rows": dict(BACK=False),
    "weights": {},
    "pixels": dict(WINDOW=3, STRIDE=2, BACK=True),
    "windows": dict(WINDOW=3, STRIDE=1),
}
LISTS = dict.fromkeys(("first", "tiles", "start", "pitch", "of_output", "of_input"), "*i32")


@pytest.mark.slow  # (compilers)
@pytest.mark.parametrize(
    ("tile", "dtype", "capability"),
    [(16, torch.bfloat16, 80), (64, torch.bfloat16, 90), (128, torch.float32, 90)],
)
@pytest.mark.parametrize("name", KERNELS)
def test_tile_kernels_compile_for_cards_that_are_not_here(
    name, tile, dtype, capability, monkeypatch, tmp_path
):
    """To machine code, with no more shared memory than a block has (if need be in one stage)."""
    triton = pytest.importorskip("triton")
    compiler = pytest.importorskip("triton.backends.compiler")
    if "constexprs" not in inspect.signature(triton.compiler.ASTSource.__init__).parameters:
        pytest.skip("an older Triton compiles by other words")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TRITON_DEFAULT_FP_FUSION", "1")  # (as it was by default, before it warned)
    from bibd.kernels.gpu import tile_kernels

    kernel = getattr(tile_kernels, name)
    samples, warps, stages = tiles.shape(tile, 10**6, dtype)
    fixed = dict(T=tile, HOW="tf32" if dtype is torch.float32 else "ieee") | KERNELS[name]
    by_batch = name in ("rows", "pixels")
    fixed |= dict(BM=samples) if by_batch else dict(BK=min(64, samples))
    values = "*fp32" if dtype is torch.float32 else "*bf16"
    types = dict.fromkeys("xwyg", values) | LISTS
    types["dw"] = "*fp32" if name == "windows" else values
    signature = {n: "constexpr" if n in fixed else types.get(n, "i32") for n in kernel.arg_names}
    source = triton.compiler.ASTSource(fn=kernel, signature=signature, constexprs=fixed)
    target = compiler.GPUTarget("cuda", capability, 32)
    for fewer in range(stages if by_batch else 3, 0, -1):
        options = dict(num_warps=warps if by_batch else 4, num_stages=fewer)
        made = triton.compile(source, target=target, options=options)
        if made.metadata.shared <= CARDS[capability]:
            break
    assert made.metadata.shared <= CARDS[capability]
    assert len(made.asm["cubin"]) > 1000


def test_what_does_not_fit_a_form_is_refused():
    form = fine.Form("rows_mma", 2, 2, 1, 128, 1, 1)
    p = make_pattern("random_biregular", 128, 64, 0, nonzeros=64 * 20)
    with pytest.raises(ValueError, match="20 slots are needed"):
        fine.slots(p.rows, p.indices, 64, form)


@needs_compiler
@pytest.mark.slow  # (six kernels are compiled)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_layer_by_the_kernels_as_they_stand(dtype, emulated, monkeypatch):
    """Odd sizes, of which nothing is full, and a second batch with the same tables."""
    card.put_in(monkeypatch, emulated)
    layer = SparseLinear(119, 51, "random_biregular", seed=3, backend="cuda", dtype=dtype)
    for batch in (1, 21):
        compare(layer, torch.randn(batch, 119).to(dtype), torch.randn(batch, 51).to(dtype))
