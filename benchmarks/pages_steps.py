"""What the pages say of steps of ResNets on a card: eager, replayed, compiled, side by side."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from benchmarks import pages_gpu
from benchmarks.gpu.steps import PRECISIONS, WAYS
from harness.result.pages import Rows, fixed

SPARSE, DENSE = "B-ResNet-18", "ResNet-18"
RECORDS = {"steps": "layers-h100", "compiled": "compiled-h200"}  # the cards that the page names
Line = dict[str, Any]


def found(part: str) -> Iterator[tuple[str, Line]]:
    """Name and line of every check of a part that passed."""
    for line in pages_gpu.lines(RECORDS[part], part):
        if line["ok"]:
            yield line["name"], line


def steps() -> Rows:
    """Milliseconds of a step of each net, eager and replayed."""
    yield "net", *(f"{precision}, {way}" for precision in PRECISIONS for way in WAYS)
    timed = {name: line["ms"]["median"] for name, line in found("steps") if "ms" in line}
    for net in dict.fromkeys(name.split(", ")[0] for name in timed):
        names = (f"{net}, {precision}, {way}" for precision in PRECISIONS for way in WAYS)
        yield net, *(fixed(timed[name], 1) for name in names)


def compiled() -> Rows:
    """What torch.compile makes of a step, and the seconds that it takes first."""
    yield "net, bf16 autocast", "first steps, s", "eager, ms", "graph, ms"
    for net, line in found("compiled"):
        times = (fixed(line[f"{way} ms"]["median"], 1 + (way == "graph")) for way in WAYS)
        yield net, fixed(line["eager s"], 0), *times


def beside() -> Rows:
    """Steps a second that several seeds make together, on streams and in processes."""
    yield "seeds of ResNet-18 at a time", "on streams of one process", "in processes"
    rates = {name: line["steps a second"] for name, line in found("steps") if "ms" not in line}
    for count in dict.fromkeys(name.split(" ")[0] for name in rates):
        ways = (rates[f"{count} seeds, {way}"] for way in ("streams", "processes"))
        yield count, *(fixed(rate, 0) for rate in ways)


def step(net: str, way: str) -> str:
    """Milliseconds of a step of a net in bfloat16."""
    times = dict(found("steps"))
    return fixed(times[f"{net}, bf16 autocast, {way}"]["ms"]["median"], 1)


def compiled_step(net: str) -> str:
    """Milliseconds of a compiled and replayed step."""
    times = dict(found("compiled"))
    return fixed(times[net]["graph ms"]["median"], 2)


def over(part: str) -> str:
    """How much longer a step of the sparse net takes than one of the dense, both replayed."""
    ms = {
        "steps": lambda net: (f"{net}, bf16 autocast, graph", "ms"),
        "compiled": lambda net: (net, "graph ms"),
    }[part]
    lines = dict(found(part))
    sparse, dense = (lines[name][key]["median"] for name, key in map(ms, (SPARSE, DENSE)))
    return fixed(sparse / dense, 2)


TABLES: dict[str, Callable[[], Rows]] = {"steps": steps, "compiled": compiled, "beside": beside}
VALUES: dict[str, Callable[[], str]] = {
    "eager_step": partial(step, DENSE, "eager"),
    "graph_step": partial(step, DENSE, "graph"),
    "compiled_step": partial(compiled_step, DENSE),
    "sparse_over": partial(over, "steps"),
    "sparse_over_compiled": partial(over, "compiled"),
}
