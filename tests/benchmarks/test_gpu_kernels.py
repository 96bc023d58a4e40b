"""CUDA kernels of the card's measurements, run on the processor as they stand."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.gpu import fine
from bibd.pattern import make_pattern

COMPILER = shutil.which("g++")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no g++ here")
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
def run(tmp_path):
    """Compiles a form for the processor and runs it."""

    def go(form, batch, inputs, outputs, x, second, table, out):
        real = "float" if form.wide else "uint16_t"
        weights = form.kernel.startswith("weights")
        code = CALL.format(
            header=Path(__file__).with_name("emulate.h"),
            source=form.source().replace("extern __shared__ uint4 tile[];", ""),
            real=real,
            kernel=form.kernel,
            second=SECOND.get(form.kernel, real),
            out="float" if weights else real,
            threads=32 * form.warps,
            shared=form.shared,
        )
        path = tmp_path / "kernel.cpp"
        path.write_text(code)
        made = [COMPILER, "-std=c++20", "-O1", "-w", "-fPIC", "-shared", "-pthread", "-o"]
        subprocess.run([*made, tmp_path / "kernel.so", path], check=True)
        blocks, last = fine.grid(form, batch, outputs)
        call = ctypes.CDLL(str(tmp_path / "kernel.so")).go
        given = [ctypes.c_void_p(t.data_ptr()) for t in (x, second, table, out)]
        call(*blocks, *given, batch, inputs, outputs, last)
        return blocks

    return go


def setting(form, batch, inputs, outputs, seed=0):
    """A pattern with its connections dealt to slots, and values."""
    g = torch.Generator().manual_seed(seed)
    p = make_pattern("random_biregular", inputs, outputs, seed, nonzeros=outputs * 20)
    at, place = fine.slots(p.rows, p.indices, outputs, form)
    table, place = fine.laid_out(form, at, place)
    dtype = torch.float32 if form.wide else torch.bfloat16
    values = torch.randn(p.nonzeros, generator=g).to(dtype)
    x, d = (torch.randn(batch, n, generator=g).to(dtype) for n in (inputs, outputs))
    return p, np.ascontiguousarray(table), np.ascontiguousarray(place), values, x, d


ROWS = [
    fine.Form("rows_mma", 2, 2, 1, 128, 1, 2),
    fine.Form("rows_mma", 4, 1, 4, 64, 2, 1),
    fine.Form("rows_mma", 8, 2, 2, 64, 2, 1),
    fine.Form("rows_lanes", 2, 2, 1, 128, 1, 4, wide=1),
    fine.Form("rows_lanes", 1, 1, 2, 64, 2, 2, wide=1),
    fine.Form("rows_lanes", 2, 1, 2, 64, 2, 2, mode=0),
    fine.Form("rows_lanes", 2, 1, 1, 128, 1, 4, mode=1),
    fine.Form("rows_lanes", 4, 2, 1, 128, 1, 4, mode=2),
]


@needs_compiler
@pytest.mark.parametrize("form", ROWS, ids=fine.Form.said)
def test_rows_are_those_of_a_dense_twin(form, run):
    batch, inputs, outputs = 19, 128, 64
    p, table, place, values, x, _ = setting(form, batch, inputs, outputs)
    weights = torch.cat([values, values.new_zeros(1)])[torch.from_numpy(place)]
    y = x.new_full((batch, outputs), torch.nan)
    run(form, batch, inputs, outputs, x, weights, torch.from_numpy(table.view(np.int16)), y)
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
    fine.Form("weights_mma", 4, 1, 4, 64, 2, 1),
    fine.Form("weights_lanes", 1, 1, 1, 128, 1, 4, wide=1),
    fine.Form("weights_lanes", 1, 1, 2, 64, 2, 2, wide=1),
]


@needs_compiler
@pytest.mark.parametrize("form", WEIGHTS, ids=fine.Form.said)
def test_gradients_of_weights_are_those_of_a_dense_twin(form, run):
    batch, inputs, outputs = 45, 128, 64
    p, table, place, values, x, d = setting(form, batch, inputs, outputs)
    (splits, _, _), _ = fine.grid(form, batch, outputs)
    dw = torch.full((splits, place.size), torch.nan)
    run(form, batch, inputs, outputs, x, d, torch.from_numpy(table.view(np.int16)), dw)
    flat = torch.from_numpy(p.flat)
    exact = (d.double().T @ x.double()).flatten()[flat]
    scale = (d.double().abs().T @ x.double().abs()).flatten()[flat]
    assert not dw.isnan().any()
    found = torch.empty(p.nonzeros + 1)
    found[torch.from_numpy(place.ravel())] = dw.sum(0)
    assert ((found[:-1].double() - exact).abs() <= 50 * 2.0**-24 * scale).all()


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


def test_what_does_not_fit_a_form_is_refused():
    form = fine.Form("rows_mma", 2, 2, 1, 128, 1, 1)
    p = make_pattern("random_biregular", 128, 64, 0, nonzeros=64 * 20)
    with pytest.raises(ValueError, match="20 slots are needed"):
        fine.slots(p.rows, p.indices, 64, form)
