"""Which form a pattern gets: those that were fastest on a card, filled up where sizes are odd."""

import json
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch

from bibd.kernels.gpu import compile as compiling
from bibd.kernels.gpu.fit import Card, Unfit, fitted
from bibd.kernels.gpu.forms import Form, grid, slots
from bibd.pattern import make_pattern
from tests.tree import ROOT

H100 = Card(227 << 10, 132, True)
SMALL = Card(99 << 10, 40, True)  # what a block may have on cards for workstations


def form(product, p, dtype=torch.bfloat16, card=H100):
    return fitted(product, dtype is torch.bfloat16, p.rows, p.indices, p.shape, card)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize(("size", "terms"), [(1024, 32), (4096, 16)])
def test_forms_are_among_those_that_were_timed(size, terms, dtype):
    record = json.loads((ROOT / "benchmarks/gpu/records/kernels-h100.json").read_text())
    short = "bf16" if dtype is torch.bfloat16 else "fp32"
    same = [x for x in record["parts"]["kernels"] if x.get("size") == size and x["ok"]]
    said = {x["variant"] for x in same if (x.get("terms"), x.get("dtype")) == (terms, short)}
    if not said:
        pytest.skip("not timed")
    p = make_pattern("random_biregular", size, size, 0, nonzeros=size * terms)
    p = make_pattern("bibd", size, size) if terms**2 == size else p
    for product in ("rows", "weights"):
        found = form(product, p, dtype)
        assert found.said() in said
        assert not found.edges


@pytest.mark.parametrize("card", [H100, SMALL])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize(
    ("name", "sizes"),
    [("bibd", (5000, 300)), ("random", (1001, 77)), ("iddl", (30, 3000)), ("random", (9000, 16))],
)
def test_every_connection_has_a_slot_and_every_block_has_room(name, sizes, dtype, card):
    p = make_pattern(name, *sizes, seed=1)
    for product in ("rows", "weights"):
        found = form(product, p, dtype, card)
        assert found.shared <= card.shared
        assert found.chunk * found.chunks >= sizes[0]
        assert found.s * found.chunk <= 1 << 16  # what an entry can name
        _, place = slots(p.rows, p.indices, sizes[1], found)
        assert place.shape[1] % found.group == 0
        assert sorted(place[place < p.nonzeros]) == list(range(p.nonzeros))


def test_tiles_of_samples_are_dealt_to_all_blocks_whatever_their_number():
    f = Form("weights_mma", 2, 16, 4, 4096, 1, 4)
    for batch in (1, 15, 16, 17, 4096, 5000):
        (splits, groups, chunks), tiles = grid(f, batch, 4096)
        assert (groups, chunks) == (8, 1)
        assert splits * tiles * f.samples >= batch > (splits - 1) * tiles * f.samples
        assert splits <= 132 // 8


def test_what_no_form_takes_says_why():
    dense, uneven = make_pattern("dense", 64, 64), np.arange(4096)
    with pytest.raises(Unfit, match="4096 connections of 4096 are none or too many"):
        form("rows", dense)
    with pytest.raises(Unfit, match="does not multiply in bfloat16"):
        form("rows", make_pattern("bibd", 64, 72), card=replace_bf16(H100))
    with pytest.raises(Unfit, match="slots for 4096 connections"):  # one output reads everything
        fitted("rows", True, np.zeros(4096, int), uneven, (4096, 4096), H100)
    with pytest.raises(Unfit, match="100 bytes of shared memory"):
        form("rows", make_pattern("bibd", 64, 72), card=Card(100, 1, True))


def replace_bf16(card):
    return card._replace(bf16=False)


@pytest.mark.slow  # (a second each)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("product", ["rows", "weights"])
def test_torchs_own_compiler_takes_the_kernels(product, dtype):
    """NVRTC compiles for a card that is not here; nothing runs."""
    utils = pytest.importorskip("torch.cuda._utils")
    compile_, arguments = getattr(utils, "_nvrtc_compile", None), ("90", None, None)
    try:
        utils._get_nvrtc_library()
    except (AttributeError, OSError):
        pytest.skip("this torch comes without NVRTC")
    found = form(product, make_pattern("bibd", 1000, 1010), dtype)
    for one in (found, replace(found, edges=0)):
        code, name = compile_(one.source(), one.kernel, *arguments)
        assert name == one.kernel
        assert len(code) > 1000
    with pytest.raises(RuntimeError, match=r"undefined|error"):
        compile_(found.source().replace("WARPS +", "NOBODY +"), found.kernel, *arguments)


def test_a_form_is_compiled_once_and_a_failure_is_kept(monkeypatch):
    tried = []

    def fails(form):
        tried.append(form)
        raise OSError("libnvrtc.so.13: cannot open shared object file")

    monkeypatch.setattr(compiling, "by_torch", fails)
    monkeypatch.setattr(compiling, "_made", {})
    monkeypatch.setattr(torch.cuda, "device", lambda index: nullcontext())
    one = Form("rows_mma", 2, 16, 1, 64, 1, 1)
    for _ in range(2):
        with pytest.raises(Unfit, match=r"torch: OSError: libnvrtc.* \| CuPy: "):
            compiling.compiled(one, 0)
    assert tried == [one]
    monkeypatch.setattr(compiling, "by_torch", lambda form: form.said)
    other = replace(one, steps=2)
    assert compiling.compiled(other, 0)() == other.said()
    assert compiling.compiled(other, 0) is compiling.compiled(other, 0)
