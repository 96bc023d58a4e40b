"""Which form of a sparse product gains on this card, and how much: checked first, then timed.

    fine      single connections: fine.cu of bibd.kernels.gpu, in the forms below
    tiled     dense tiles on tensor cores (benchmarks.gpu.tiled)
    plane     a resolvable plane as batched products, a class of lines each

A line has the size (inputs and outputs), terms of an output, batch, type, form, its error beside a
float64 twin, milliseconds, those of dense products in the same run, and what was predicted: the
bytes that shared memory has to give, over 132 x 128 bytes a clock at 1.75 GHz. By that, 4096 square
with 64 terms at batch 4096 takes 0.073 ms in bf16 (dense: 0.2) and 0.145 ms in float32 (dense:
2.8); 16384 with 128 terms 0.58 ms (dense: 3.1). Weights and tables come from L2 once for each tile
of samples: 4 bytes for 16 samples are 0.05 ms in the first case, hidden or not.
"""

import gc
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import torch

from benchmarks.gpu import plane, tiled
from benchmarks.gpu.fine_cases import diagnosis, forward, training
from benchmarks.gpu.rivals import dense
from bibd.kernels.gpu.compile import compiled
from bibd.kernels.gpu.forms import Form

Checks = list[tuple[str, Callable[[], dict[str, Any]]]]
SIZES = ((4096, 4096), (16384, 4096), (1024, 4096), (4096, 256), (1024, 256), (16384, 256))
MMA, LANES = partial(Form, "rows_mma"), partial(Form, "rows_lanes")
DW_MMA, DW_LANES = partial(Form, "weights_mma"), partial(Form, "weights_lanes")
ONE = dict(chunk=4096, chunks=1)

# (size, terms of an output, type): forms of rows, forms of gradients of weights; the first ones
# make up the training step.
FORMS = {
    (4096, 64, "bf16"): (
        [
            MMA(2, 16, 1, steps=4, **ONE),
            MMA(2, 16, 2, steps=4, **ONE),
            MMA(2, 32, 1, steps=4, **ONE),
            MMA(2, 8, 2, steps=4, **ONE),
            MMA(4, 16, 8, 2048, 2, 2),
            MMA(8, 16, 4, 1024, 4, 1),
            MMA(2, 8, 16, 2048, 2, 2, blocks=2),
            MMA(4, 8, 8, 1024, 4, 1, blocks=2),
            LANES(2, 16, 1, steps=8, mode=0, **ONE),
            LANES(2, 16, 1, steps=8, mode=1, **ONE),
            LANES(2, 16, 1, steps=8, mode=2, **ONE),
            LANES(1, 16, 1, steps=8, mode=0, **ONE),
        ],
        [
            DW_MMA(2, 16, 4, steps=4, **ONE),
            DW_MMA(4, 16, 8, 2048, 2, 2),
        ],
    ),
    (16384, 128, "bf16"): (
        [
            MMA(2, 16, 16, 4096, 4, 2),
            MMA(4, 16, 8, 2048, 8, 1),
            MMA(2, 8, 16, 2048, 8, 1, blocks=2),
            LANES(2, 16, 8, 4096, 4, 4, mode=2),
        ],
        [DW_MMA(2, 16, 8, 4096, 4, 2)],
    ),
    (4096, 64, "fp32"): (
        [
            LANES(2, 16, 1, steps=8, wide=1, **ONE),
            LANES(2, 32, 1, steps=8, wide=1, **ONE),
            LANES(1, 16, 1, steps=8, wide=1, blocks=2, **ONE),
        ],
        [DW_LANES(1, 16, 1, steps=8, wide=1, **ONE)],
    ),
    (1024, 32, "bf16"): (
        [
            MMA(2, 16, 1, 1024, 1, 2, blocks=2),
            MMA(4, 16, 1, 1024, 1, 2, blocks=2),
            MMA(8, 16, 1, 1024, 1, 2),
        ],
        [DW_MMA(2, 16, 8, 1024, 1, 2)],
    ),
    (1024, 32, "fp32"): (
        [LANES(2, 16, 1, 1024, 1, 4, wide=1, blocks=2)],
        [DW_LANES(1, 16, 2, 1024, 1, 4, wide=1)],
    ),
    (4096, 16, "bf16"): (
        [MMA(2, 16, 1, steps=1, **ONE), MMA(2, 16, 2, steps=1, **ONE)],
        [DW_MMA(2, 16, 4, steps=1, **ONE)],
    ),
    (16384, 128, "fp32"): (
        [LANES(2, 16, 8, 4096, 4, 4, wide=1)],
        [DW_LANES(1, 16, 2, 4096, 4, 4, wide=1)],
    ),
}
SMALL = {(64, 8, "bf16"): FORMS[4096, 16, "bf16"], (64, 8, "fp32"): FORMS[4096, 64, "fp32"]}


def checks(device: str, small: bool) -> Checks:
    """The rivals; then forms by what is asked first of them: large batches, then small ones."""
    sizes = [(64, 32)] if small else SIZES
    found: Checks = [] if device == "cpu" else [("compile", compile_all)]
    for size, batch in sizes:
        for precision in ("bf16", "tf32", "fp32"):
            call = partial(dense, size, batch, precision, device)
            found.append((f"dense {size}, {batch}, {precision}", call))
    forms = SMALL if small else FORMS
    for batch in (32,) if small else (4096, 256):
        for count, key in enumerate(forms):
            found += fine_checks(key, forms[key], batch, device)
            if count == 0 and batch == 4096:
                found += diagnosis_checks(device)
            if count == min(2, len(forms) - 1):
                found += tiled.checks(device, small, batch)
    return [(name, partial(kept, call)) for name, call in found + plane.checks(device, small)]


def compile_all() -> dict[str, Any]:
    """All forms at a time; one that fails says so in its own line."""
    gc.freeze()  # each capture of a graph collects garbage: not all of torch every time
    forms = [form for groups in FORMS.values() for group in groups for form in group]

    def one(form: Form) -> float:
        torch.zeros(1, device="cuda")  # makes the card current in this thread
        begin = time.perf_counter()
        with suppress(Exception):
            compiled(form)
        return round(time.perf_counter() - begin, 2)

    with ThreadPoolExecutor(8) as pool:
        took = list(pool.map(one, sorted(forms, key=lambda f: -f.sets * f.steps)))
    return {"forms": len(forms), "longest s": max(took), "sum s": round(sum(took), 1)}


def fine_checks(key: tuple, forms: tuple, batch: int, device: str) -> Iterator:
    """Forward in every form, then the training step."""
    setting = *key, batch, "random_biregular" if key[1] ** 2 < key[0] else "bibd", device
    name = "fine {} x {}, {}".format(*key) + f", {batch}"
    for form in forms[0] if batch != 256 else forms[0][:3]:
        yield f"{name}: {form.said()}", partial(forward, setting, form)
    for form in forms[1]:
        yield f"{name}: train, {form.said()}", partial(training, setting, forms[0][0], form)


def diagnosis_checks(device: str) -> Iterator:
    """What the first form spends its time on."""
    setting = 4096, 64, "bf16", 4096, "bibd", device
    first = FORMS[4096, 64, "bf16"][0][0]
    for what in ("load only", "multiply only", "unsorted table", "random table"):
        yield f"diagnosis 4096 x 64: {what}", partial(diagnosis, setting, first, what)


def kept(call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a call gives, or the long text of what it said when it failed."""
    try:
        return call()
    except Exception as error:
        return {"ok": False, "error": f"{type(error).__name__}: {error}"[:1500]}
