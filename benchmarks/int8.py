"""`python -m benchmarks.int8`: int8 beside float32, bfloat16 and sparse float32, in one run.

speed      answers of a net, all sides in turn, round by round, at batch 1, 32 and 128:
           float32        eager torch, channels last
           bf16           the same in bfloat16
           onnx           onnxruntime, float32
           onnx_static    quantize(net, x): int8, ranges from samples
           onnx_dynamic   onnxruntime's dynamic int8, which `explain` advises against
           torchao        quantize(net, x, "torchao")
           sparse         our net with the connections of a design, float32, eager
files      bytes of the nets in float32 and of their files in int8

Times are medians over the rounds of CPU time in one thread, wall time beside them; `over_` is how
many times faster than float32, `apart` how far logits move, as a share of the largest. Weights are
a start's: how accurate trained nets stay, `python -m compress int8` tells.
"""

import copy
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any, NamedTuple

import torch
import tyro
from torch import nn

from benchmarks.ensembles import in_turn, ratio
from benchmarks.telling import expect, told
from compress.int8 import extras, onnx_static
from compress.int8.asked import ask
from compress.int8.quantize import quantize
from compress.runs.int8 import Half, float32
from harness.record.provenance import collect
from harness.sweep.launch import keep_pages
from mlp.model import build
from mlp.plans.config import Config
from resnet.model import resnet

SIDES = ("float32", "bf16", "onnx", "onnx_static", "onnx_dynamic", "torchao", "sparse")
BATCHES = (1, 32, 128)
CALIBRATION = 256


class Net(NamedTuple):
    """How to make a net with some pattern, and the shape of a sample."""

    make: Callable[[str], nn.Module]
    shape: tuple[int, ...]


def perceptron(*widths: int) -> Net:
    """A fully connected net; the last width is that of its classes."""
    inputs, *hidden, classes = widths
    sizes = tuple(hidden)
    return Net(lambda pattern: build(Config(sizes, pattern), inputs, classes, 0), (inputs,))


NETS: dict[str, Net] = {
    "LeNet-300-100": perceptron(784, 300, 100, 10),
    "1024-1024-1056-10": perceptron(1024, 1024, 1056, 10),
    "ResNet-18, width 16": Net(lambda pattern: resnet(18, pattern, width=16), (3, 32, 32)),
    "ResNet-18, width 64": Net(lambda pattern: resnet(18, pattern, width=64), (3, 32, 32)),
}


@dataclass(frozen=True)
class Options:
    """Int8 beside float32, bfloat16 and sparse float32, in one run."""

    rounds: int = 9
    """Of each side, in turn."""
    only: str = ""
    """Nets whose name has this in it."""
    sides: tuple[str, ...] = SIDES
    """Which sides; float32 is always there."""
    batches: tuple[int, ...] = BATCHES
    """Samples at a time."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the record there."""
    json: bool = False
    """Print one JSON document and nothing else."""


def settled(net: nn.Module) -> nn.Module:
    """Return a net in evaluation whose batch norms have statistics of their own."""
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)  # pyright: ignore
    return net.eval()


def models(net: Net, sides: tuple[str, ...]) -> dict[str, Callable[[torch.Tensor], Any]]:
    """Return what answers a batch, for each side."""
    dense = settled(net.make("dense"))
    x = torch.randn(CALIBRATION, *net.shape, generator=torch.Generator().manual_seed(1))
    eager = copy.deepcopy(dense).to(memory_format=torch.channels_last)  # pyright: ignore
    makers: dict[str, Callable[[], Any]] = {
        "float32": lambda: eager,
        "bf16": lambda: Half(eager),
        "onnx": lambda: whole(dense, x),
        "onnx_static": lambda: quantize(dense, x),
        "onnx_dynamic": lambda: dynamic(dense, x),
        "torchao": lambda: quantize(dense, x, "torchao"),
        "sparse": lambda: settled(net.make("bibd")),
    }
    return {side: makers[side]() for side in SIDES if side in ("float32", *sides)}


def whole(net: nn.Module, x: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the net in float32 as onnxruntime runs it."""
    return _running(onnx_static.exported(ask(net, x)).SerializeToString())


def dynamic(net: nn.Module, x: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the net in onnxruntime's dynamic int8."""
    (q,) = extras.load("onnxruntime.quantization")
    model = onnx_static.exported(ask(net, x))
    with tempfile.TemporaryDirectory() as folder, extras.quiet():
        path = Path(folder) / "net.onnx"
        q.quantize_dynamic(model, path, weight_type=q.QuantType.QUInt8)
        return _running(path.read_bytes())


def _running(content: bytes) -> Callable[[torch.Tensor], torch.Tensor]:
    runner = onnx_static.session(content, torch.get_num_threads())
    name = runner.get_inputs()[0].name
    return lambda x: torch.from_numpy(runner.run(None, {name: x.contiguous().numpy()})[0])


def inputs(side: str, x: torch.Tensor) -> torch.Tensor:
    """Return a batch in the layout that a side is fastest with."""
    last = side in ("float32", "bf16") and x.ndim == 4
    return x.contiguous(memory_format=torch.channels_last) if last else x


def speed(name: str, net: Net, options: Options) -> list[dict[str, Any]]:
    """Return a line for each batch size."""
    found, calls = [], models(net, options.sides)
    for batch in options.batches:
        x = torch.randn(batch, *net.shape, generator=torch.Generator().manual_seed(2))
        asked = {side: asking(call, inputs(side, x)) for side, call in calls.items()}
        found.append({"name": f"{name}, batch {batch}", **line(asked, options.rounds)})
    return found


def asking(call: Callable[[torch.Tensor], Any], x: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Return a call without arguments or gradients."""

    @torch.inference_mode()
    def once() -> torch.Tensor:
        return call(x)

    return once


def line(calls: dict[str, Callable[[], torch.Tensor]], rounds: int) -> dict[str, Any]:
    """Return milliseconds of each side, its gain over float32, and how far its logits move."""
    right, found = calls["float32"](), {}
    times = in_turn(calls, rounds)
    for side, took in times.items():
        found[f"{side}_ms"] = 1e3 * median(cpu for cpu, _ in took)
        found[f"{side}_wall_ms"] = 1e3 * median(wall for _, wall in took)
        if side != "float32":
            found[f"over_{side}"] = ratio(times, "float32", side)
        if side not in ("float32", "sparse"):
            found[f"apart_{side}"] = float((calls[side]() - right).abs().max() / right.abs().max())
    return found


def files(name: str, net: Net) -> dict[str, Any]:
    """Return bytes in float32 and in int8, and their ratio."""
    dense = settled(net.make("dense"))
    x = torch.randn(CALIBRATION, *net.shape, generator=torch.Generator().manual_seed(1))
    found: dict[str, Any] = {"name": name, "float32": float32(dense)}
    for how in ("onnx_static", "torchao"):
        found[how] = quantize(dense, x, how).bytes
        found[f"{how}_ratio"] = found[how] / found["float32"]
    return found


def main() -> int:
    """Measure, print, and write the record if asked to."""
    options = tyro.cli(Options, prog="python -m benchmarks.int8")
    expect("side", options.sides, SIDES)
    torch.set_num_threads(1)
    keep_pages()
    warnings.simplefilter("ignore")
    chosen = {name: net for name, net in NETS.items() if options.only in name}
    document: dict[str, Any] = {
        "speed": [row for name, net in chosen.items() for row in speed(name, net, options)],
        "files": [files(name, net) for name, net in chosen.items()],
        "rounds": options.rounds,
        "provenance": collect(),
    }
    return told(options, document, ("speed", "files"))


if __name__ == "__main__":
    raise SystemExit(main())
