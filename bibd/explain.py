"""`python -m bibd explain --in 1024 --out 1024 --batch 256`: how a layer is computed here, and why.

Measures each way to compute the layer, as `auto` does when it first meets such a call, and shows
what `auto` has on file for this machine, which is what it goes by (`--again` measures that anew).
With `--device cuda` on a card; a path that cannot be taken there says why.
"""

import json
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from math import prod
from typing import Annotated, Any

import torch
import tyro

from bibd.conv import SparseConv2d
from bibd.kernels import build, card, modes, tune
from bibd.kernels.measure import Clock, clocked, measure
from bibd.layer import one_of
from bibd.linear import SparseLinear
from bibd.options import LayerOptions

MOST_THREADS = 8  # for each processor
MUCH = 2e11  # operations of a call that take a second or more
DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Options(LayerOptions):
    """The ways to compute a layer on this machine, and their times."""

    batch: int = 256
    """Samples at a time."""
    kernel: int = 0
    """Size of the window of a convolution; 0 is a linear layer."""
    hw: int = 32
    """Height and width of the images."""
    stride: int = 1
    """Step of the window."""
    groups: int = 1
    """Separate parts of channels."""
    threads: int = 0
    """Threads of torch; 0 leaves its default."""
    dtype: str = "float32"
    """float32, float64 or bfloat16."""
    device: str = "cpu"
    """cpu, or cuda (a number behind it names one of several cards: cuda:1)."""
    replayed: bool = False
    """As a CUDA graph replays such a call, which waits for no launch."""
    train: bool = False
    """Forward and backward pass; without, the forward pass alone."""
    again: bool = False
    """Measure anew what auto goes by, and keep that."""
    json: Annotated[bool, tyro.conf.arg(help="Print one JSON object.")] = False


def main(argv: Sequence[str]) -> int:
    """Measure, print, and return the exit status."""
    config = (tyro.conf.FlagCreatePairsOff,)
    o = tyro.cli(Options, prog="python -m bibd explain", args=list(argv), config=config)
    for name in ("batch", "hw", "stride", "groups"):
        if getattr(o, name) < 1:
            raise ValueError(f"--{name} must be at least 1, got {getattr(o, name)}")
    one_of("--dtype", o.dtype, tuple(DTYPES))
    _look_for(o.device)
    most = MOST_THREADS * (os.cpu_count() or 1)
    if o.kernel < 0 or not 0 <= o.threads <= most:
        raise ValueError(
            f"--kernel must be at least 0 and --threads 0 to {most} here, got {o.kernel} and "
            f"{o.threads}"
        )
    if not o.kernel and (o.groups, o.stride) != (1, 1):
        raise ValueError("--groups and --stride are for a convolution: add --kernel 3")
    if o.replayed and o.device == "cpu":
        raise ValueError("--replayed is for calls in a CUDA graph: add --device cuda")
    if o.threads:
        torch.set_num_threads(o.threads)
    try:
        with modes.replayed() if o.replayed else nullcontext():
            found = explain(o)
    except (card.Full, torch.OutOfMemoryError) as error:
        raise MemoryError(
            f"the memory of the card holds no such call (batch {o.batch}, {o.inputs} to "
            f"{o.outputs}): lower --batch, --hw or the sizes"
        ) from error
    print(json.dumps(found) if o.json else text(found))
    return 0


def explain(o: Options) -> dict[str, Any]:
    """Measure each way now; returns that with the choice of `auto` and the times it goes by."""
    made: Any = {"dtype": DTYPES[o.dtype], "device": o.device}
    named = {"pattern": o.pattern, "seed": o.seed, "nonzeros": o.nonzeros} | made
    if o.kernel:
        window = o.kernel, o.stride, o.kernel // 2, 1, o.groups
        layer = SparseConv2d(o.inputs, o.outputs, *window, **named)  # pyright: ignore
        x = torch.zeros(o.batch, o.inputs, o.hw, o.hw, **made)
    else:
        layer = SparseLinear(o.inputs, o.outputs, **named)
        x = torch.zeros(o.batch, o.inputs, **made)
    _estimate(layer, x, o.train)
    tune.used()
    with torch.set_grad_enabled(o.train), card.current(x):
        path = layer.path(x)
        kept = tune.used()
        calls = layer._trials(x)(o.batch, x.dtype, o.train)
        reasons = {name: why for name, call in calls.items() if (why := _reason(call))}
        left = {name: call for name, call in calls.items() if name not in reasons}
        times = measure(left, _tell, _clock(x))
        if o.again and kept:
            path = _anew(kept, layer, x, o)
    return {
        "name": str(layer),
        "path": path,
        "times_us": times.us,
        "median_us": times.median_us,
        "not_taken": reasons,
        "on_file": {call: tune.known()[call].us for call in kept if call in tune.known()},
        "doubtful": sorted(call for call in kept if _doubtful(call)),
        "threads": torch.get_num_threads(),
        "isa": build.isa() if not card.on_card(x) and build.library() else None,
        "card": card.circumstances(x.device, x.ndim == 4) if card.on_card(x) else None,
        "file": str(tune.path()),
    }


def _anew(kept: dict[str, str], layer: Any, x: torch.Tensor, o: Options) -> str:
    """Replace the times on file by new ones; returns the path that they choose."""
    for call in kept:
        batch = 1 << tune.bucket(o.batch)
        calls = layer._trials(x)(batch, x.dtype, o.train)
        tune.remember(call, measure(calls, clock=_clock(x)), again=True)
        tune.forget(call)
    return layer.path(x)


def _look_for(device: str) -> None:
    """Refuse a device that is not here."""
    kind, _, number = device.partition(":")
    if device != "cpu" and (kind != "cuda" or (":" in device and not number.isdecimal())):
        raise ValueError(f"--device must be cpu, cuda or cuda:N, got {device!r}")
    if device != "cpu" and not torch.cuda.is_available():
        raise ValueError(
            f"--device {device}: torch {torch.__version__} sees no GPU here, so nothing can be "
            "measured; leave --device out for the CPU (on a machine with a card, `nvidia-smi` "
            "shows whether its driver runs)"
        )
    if number and int(number) >= torch.cuda.device_count():
        there = torch.cuda.device_count()
        raise ValueError(f"--device {device}: this machine has {there} CUDA GPUs, from cuda:0 on")


def _clock(x: torch.Tensor) -> Clock:
    return card.clock if card.on_card(x) else clocked


def _reason(call: Any) -> str:
    """Return why a path cannot be taken, and what it said."""
    try:
        call()
    except ValueError as why:
        return str(why)
    return ""


def _doubtful(call: str) -> bool:
    found = tune.known().get(call)
    return found is not None and found.doubtful


def _estimate(layer: Any, x: torch.Tensor, train: bool) -> None:
    """Say beforehand, where it will take a while, that it will."""
    pixels = x.shape[2] * x.shape[3] if x.ndim == 4 else 1
    dense = prod(layer.shape) * pixels * len(x) * (6 if train else 2)
    if dense > MUCH:
        print(
            f"the dense way is {dense / 1e9:,.0f} GFLOP a call, which takes a while; smaller "
            "--batch, --hw and sizes are quicker",
            file=sys.stderr,
        )


def _tell(path: str, seconds: float) -> None:
    if seconds > 1:
        print(f"{path}: {seconds:,.1f} s a call", file=sys.stderr, flush=True)


def text(found: dict[str, Any]) -> str:
    """Return the findings as text for people."""
    lines = [found["name"], f"  threads   {found['threads']}"]
    if found["card"]:
        lines.append(f"  card      {found['card']}")
    else:
        lines.append(f"  native    {found['isa'] or 'no library: see the notice above'}")
    best = min(found["times_us"].values())
    for path, time in sorted(found["times_us"].items(), key=lambda pair: pair[1]):
        taken = "  <- auto" if path == found["path"] else ""
        lines.append(f"  {path:<9} {time:>12,.1f} us  {time / best:6.2f}x{taken}")
    lines += [f"  {path:<9} not taken: {why}" for path, why in found["not_taken"].items()]
    if found["on_file"]:
        lines.append(f"auto goes by what was measured once on this machine ({found['file']}):")
        for call, times in found["on_file"].items():
            kept = ", ".join(f"{path} {time:,.1f} us" for path, time in times.items())
            lines.append(f"  {call}: {kept}")
            if call in found["doubtful"]:
                lines.append("  (on a busy machine, or they disagreed: --again measures anew)")
    else:
        lines.append("auto takes the dense path here without measuring (small, or no native shape)")
    return "\n".join(lines)
