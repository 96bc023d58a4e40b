"""What the pages say of speed, from the records of the benchmarks here: see `make pages`."""

import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks import pages_gpu, pages_steps
from benchmarks.sparse.goals import DENSE, PEERS
from compress.plans.dynamic import Dynamic
from compress.plots import dynamic
from harness.result.pages import Rows, fixed

HERE = Path(__file__).resolve().parent
OTHERS = "best other sparse way", "grouped"


@cache
def record(name: str) -> dict[str, Any]:
    """A record, read once."""
    return json.loads((HERE / f"{name}.json").read_text())


def speed() -> Rows:
    """Sparse layers: one line a case, both numbers of threads in each cell."""
    yield "case", "q", "ours, µs", "oneDNN, or best dense conv", "F.linear", *OTHERS
    lines = [row for row in record("sparse_speed")["cases"] if "q" in row]
    for name in dict.fromkeys(row["name"] for row in lines):
        rows = [row for row in lines if row["name"] == name]
        cells = [", ".join(_time(row["us"]["ours"]) for row in rows)]
        for sides in ((*DENSE, "oneDNN"), ("F.linear",), PEERS, ("grouped",)):
            cells.append(", ".join(filter(None, (_ratio(row, sides) for row in rows))))
        yield name, f"{rows[0]['q']:g}", *cells


def _time(us: float) -> str:
    return fixed(us, 1 if us < 100 else 0)


def _ratio(row: dict[str, Any], sides: Sequence[str]) -> str:
    """How much longer the best of these sides takes; † where more was asked."""
    there = {side: row["us"][side] for side in sides if side in row["us"]}
    if not there:
        return ""
    best = min(there, key=lambda side: there[side])
    short = any(g.get("side") == best and g["reached"] == "no" for g in row["goals"])
    return f"{fixed(there[best] / row['us']['ours'], 1)}{'†' if short else ''}"


def over_dense(*words: str) -> str:
    """The least and the most that a layer beats the best dense one by, over cases and threads."""
    found = []
    for row in record("sparse_speed")["cases"]:
        there = [
            row["us"][side] for side in (*DENSE, "oneDNN", "F.linear") if side in row.get("us", {})
        ]
        if there and any(row["name"].startswith(word) for word in words):
            found.append(min(there) / row["us"]["ours"])
    return f"{fixed(min(found), 1)} to {fixed(max(found), 1)}"


def studies() -> Rows:
    """Seconds of one model-run of plan paper: everybody's loops, and seeds side by side."""
    yield (
        "model", "DataLoader over MNIST, s", "DataLoader over tensors, s", "one seed, s",
        "ten stacked, s each", "times faster than each", "price of ten seeds, in ones",
    )  # fmt: skip
    for line in record("mlp_study")["table"]:
        seconds = [fixed(line[f"{k}, s"], 1) for k in ("loader", "tensors", "ours, 1 seed")]
        seconds.append(fixed(line["ours stacked, s per model-run"], 2))
        ratios = [line[f"times faster than {k}"] for k in ("loader", "tensors")]
        cells = ", ".join(fixed(r, 0 if r >= 10 else 1) for r in ratios)
        yield line["name"], *seconds, cells, fixed(line["price of ten seeds, in ones"], 1)


def ten() -> str:
    """The least and the most that ten stacked seeds cost, in runs of one seed."""
    found = [line["price of ten seeds, in ones"] for line in record("mlp_study")["table"]]
    return f"{fixed(min(found), 1)} to {fixed(max(found), 1)}"


def sparse_steps() -> Rows:
    """A training step of a sparse layer, and how much longer dense and SparseLab's take."""
    yield "layer, connections", "ours, ms", "dense", "SparseLab"
    for row in record("compression")["steps"]:
        over = [fixed(row[f"over_{side}"], 1) for side in ("dense", "sparselab")]
        yield row["name"], fixed(row["ours_ms"], 2), *over


def moving() -> Rows:
    """What a change of connections takes, and what all of them add to a training."""
    head = "method, connections", "a step, ms", "with a change", "the one after"
    yield *head, "while they move, %", "of a training, %"
    for row in record("compression")["changes"]:
        times = [fixed(row[f"{kind}_ms"], 2) for kind in ("step", "change", "after")]
        shares = row["share"], of_training(row["share"], Dynamic("rigl").until)
        yield row["name"], *times, *(fixed(100 * share, 1) for share in shares)


def of_training(share: float, until: float) -> float:
    """Return the share of a training's time that changes take, if they stop before its end.

    Args:
        share: Of the time until then.
        until: The part of the steps that are before.
    """
    added = until * share / (1 - share)  # for each step without a change
    return added / (1 + added)


def sparse_tickets() -> Rows:
    """A step of five tickets side by side, held as masked dense nets and as sparse ones."""
    yield "weights left, %", "masked, ms", "sparse, ms", "times as fast"
    for row in record("tickets")["lines"]:
        times = [fixed(row[f"{side}_ms"], 1) for side in ("masked", "sparse")]
        yield fixed(100 * row["remaining"], 1), *times, fixed(row["masked_over_sparse"], 1)


def coders() -> Rows:
    """The bytes of one net's whole numbers: our file's, and how much more others take."""
    yield "weights left, bits", "file", "of it whole numbers", "DeepCABAC", "bz2", "xz"
    for row in record("coders")["lines"]:
        over = [fixed(row[side] / row["ours"], 3) for side in ("deepcabac", "bz2", "xz")]
        yield row["name"], f"{row['file']:,}", f"{row['ours']:,}", *(f"{x} x" for x in over)


SIDES = {
    "bf16": "bfloat16",
    "onnx": "onnxruntime float32",
    "onnx_static": "int8, onnxruntime",
    "onnx_dynamic": "int8, dynamic",
    "torchao": "int8, torchao",
    "sparse": "sparse float32, ours",
}


def int8() -> Rows:
    """Answers of float32 in eager torch, and how many times faster the other sides are."""
    yield "net", "float32 eager, ms", *SIDES.values()
    if not (HERE / "int8.json").exists():
        yield "not measured yet", *[""] * (1 + len(SIDES))
        return
    for row in record("int8")["speed"]:
        over = [fixed(row[f"over_{side}"], 1) if f"over_{side}" in row else "" for side in SIDES]
        yield row["name"], fixed(row["float32_ms"], 2), *over


def training_memory() -> Rows:
    """What trainings hold and by how much their processes grow, net by net."""
    lines = record("training_memory")["lines"]
    nets = list(dict.fromkeys(row["net"] for row in lines))
    yield "", *(f"{net}: {what}, MiB" for net in nets for what in ("held", "peak"))
    for arm in dict.fromkeys(row["arm"] for row in lines):
        rows = [row for net in nets for row in lines if (row["net"], row["arm"]) == (net, arm)]
        yield _named(arm), *(fixed(row[k] / 2**20, 1) for row in rows for k in ("held", "peak"))


def stacks() -> Rows:
    """Members in a loop, how many times faster a stack is, and what Ensemble adds to the better."""
    yield "members", "training, a loop, ms", "a stack", "through Ensemble", "answers, a loop, ms", \
        "a stack", "through Ensemble"  # fmt: skip
    cases = {row["name"]: row for row in record("ensembles")["cases"]}
    for name in dict.fromkeys(name.rpartition(",")[0] for name in cases):
        cells = []
        for use in ("training", "answers"):
            row = cases[f"{name}, {use}"]
            cells.append(fixed(row["loop_ms"], 2))
            cells += [fixed(row["stack_gain"], 1), fixed(row["ensemble_gain"], 1)]
        yield name, *cells


def _named(arm: str) -> str:
    method, _, percent = arm.partition("-")
    name = dynamic.ALONE.get(arm) or dynamic.NAMES[method]
    return f"{name}, {percent} %" if percent else name


TABLES: dict[str, Callable[[], Rows]] = {
    "sparse_steps": sparse_steps,
    "moving": moving,
    "sparse_tickets": sparse_tickets,
    "coders": coders,
    "int8": int8,
    "training_memory": training_memory,
    "speed": speed,
    "stacks": stacks,
    "studies": studies,
    **pages_gpu.TABLES,
    **pages_steps.TABLES,
}
VALUES: dict[str, Callable[[], str]] = {
    "linear": lambda: over_dense("linear"),
    "conv": lambda: over_dense("conv"),
    "ten": ten,
    **pages_gpu.VALUES,
    **pages_steps.VALUES,
}
