"""What the pages say of a card: sparse products beside dense ones, and what has run there."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from benchmarks.gpu.check import PARTS, is_skipped
from benchmarks.gpu.layers import fastest
from harness.experiment import Run
from harness.plan import Plan
from harness.result import pages
from harness.result.pages import Rows, fixed
from parallel.experiments import PLANS as PARALLEL
from resnet.experiments import PLANS as RESNET

HERE = Path(__file__).resolve().parent / "gpu" / "records"
TYPES = ("bf16", "tf32", "fp32")
SIDES = ("forward", "train")
Line = dict[str, Any]


def of(depth: int) -> Plan:
    """The published nets of this depth."""
    paper = RESNET["paper"]
    return replace(paper, arms={k: c for k, c in paper.arms.items() if c.depth == depth})


# What `python -m benchmarks.gpu.studies` trains: its line, the record, the plan.
STUDIES: dict[str, tuple[tuple[str, str, Plan], ...]] = {
    "pipelines": (
        ("parallel", "spectrain_full", PARALLEL["spectrain_full"]),
        ("parallel", "spectrain_texts", PARALLEL["spectrain_texts"]),
    ),
    "narrow": (
        ("parallel", "spectrain_images2", PARALLEL["spectrain_images2"]),
        ("parallel", "spectrain_images3", PARALLEL["spectrain_images3"]),
        ("parallel", "spectrain_images", PARALLEL["spectrain_images"]),
    ),
    **{f"paper-{depth}": (("resnet", "paper/autocast-True", of(depth)),) for depth in (18, 34, 50)},
    "designs": (("resnet", "designs/autocast-True", RESNET["designs"]),),
    "float32": tuple(
        ("resnet", f"paper/epochs-10{more}", replace(of(18), seeds=(0,)))
        for more in ("", "_autocast-True")
    ),
    "exits": (("resnet", "exits/width-64_first-0_epochs-50_autocast-True", RESNET["exits"]),),
    "groups": (("resnet", "groups/width-64_first-0_epochs-30_autocast-True", RESNET["groups"]),),
}


@cache
def lines(record: str, part: str) -> list[Line]:
    """The lines of a part of a record, which is read once; []: there are none."""
    path = HERE / f"{record}.json"
    return json.loads(path.read_text())["parts"].get(part, []) if path.exists() else []


def kernels() -> Rows:
    """Sparse products in the best form of each case; both batches in a cell."""
    yield (
        "product", "q", "type", "forward, ms", *(f"dense {t} / it" for t in TYPES),
        "training step, ms", *(f"dense {t} / it" for t in TYPES),
    )  # fmt: skip
    for (case, dtype), found in cases().items():
        q = fixed(found[0]["size"] / _terms(found[0]), 0)
        yield case, q, dtype, *(cell for side in SIDES for cell in _cells(found, side))


def cases() -> dict[tuple[str, str], list[Line]]:
    """The timed lines by what is multiplied, in the order of the record."""
    found: dict[tuple[str, str], list[Line]] = {}
    for line in lines("kernels-h100", "kernels"):
        if line["ok"] and line.get("batch") and not line["name"].startswith("diagnosis"):
            found.setdefault((_case(line), line["dtype"]), []).append(line)
    return dict(sorted(found.items(), key=lambda item: _kind(item[1][0])))


def layers() -> Rows:
    """Layers through `auto` beside nn.Linear, called and replayed; a cell has all batches."""
    yield "card", "layer", "type", "pass", "path (batch)", "nn.Linear / it", "replayed"
    groups: dict[tuple[str, ...], list[Line]] = {}
    for record in records():
        for line in (x for x in lines(record, "layers") if x["ok"]):
            name = f"{line['pattern']}, {line['size']:,} square, {fixed(line['terms'], 0)} a row"
            side = "training" if line["train"] else "forward"
            key = card(record).split()[1], name, line["dtype"], side
            groups.setdefault(key, []).append(line)
    for key, of in groups.items():
        of = sorted(of, key=lambda line: line["batch"])
        paths = ", ".join(f"{line['path']} ({line['batch']:,})" for line in of)
        ratios = ", ".join(fixed(line["ratio"], 1) for line in of)
        yield *key, paths, ratios, ", ".join(filter(None, map(_replayed, of)))


def _replayed(line: Line) -> str:
    best = fastest(line)
    return f"{best[0]} {fixed(best[1], 1)}" if best else ""


def large(pattern: str) -> str:
    """The range of how many times longer nn.Linear takes than the largest layers, replayed."""
    found = [line for record in records() for line in lines(record, "layers") if line["ok"]]
    best = [(line["size"], fastest(line)) for line in found if line["pattern"] == pattern]
    most = max(size for size, fast in best if fast)
    ratios = [fast[1] for size, fast in best if fast and size == most]
    return f"{fixed(min(ratios), 1)} to {fixed(max(ratios), 1)}"


def records() -> list[str]:
    """The names of all records."""
    return [path.stem for path in sorted(HERE.glob("*.json"))]


def card(record: str) -> str:
    """The card of a record."""
    return lines(record, "machine")[0]["card"]["name"]


def _kind(line: Line) -> int:
    return ("fine", "tiled", "plane").index(line["name"].split()[0])


def _case(line: Line) -> str:
    size = f"{line['size']:,} square"
    kinds = {
        "fine": f"single connections, {size}",
        "tiled": f"tiles of {line.get('tile')}, {size}",
        "plane": f"plane as batched products, {size}",
    }
    return f"{kinds[line['name'].split()[0]]}, {fixed(_terms(line), 0)} a row"


def _terms(line: Line) -> float:
    """Connections of an output; of a plane as many as a line has points."""
    if "terms" in line:
        return line["terms"]
    return line["size"] * line["density"] if "density" in line else line["size"] ** 0.5


def _cells(found: list[Line], side: str) -> Iterator[str]:
    """Milliseconds of the best form, and dense ones over it, by batch."""
    best = [line for batch in batches(found) if (line := quickest(found, batch, side))]
    yield ", ".join(fixed(line[f"{side} ms"], 3) for line in best)
    for dtype in TYPES:
        ratios = [over(line, side, dtype) for line in best]
        yield ", ".join(fixed(ratio, 1 if ratio >= 0.1 else 2) for ratio in ratios)


def batches(found: list[Line]) -> list[int]:
    """The batches of a case, the larger first."""
    return sorted({line["batch"] for line in found}, reverse=True)


def quickest(found: list[Line], batch: int, side: str) -> Line | None:
    """The fastest form, if one was timed."""
    there = [line for line in found if line["batch"] == batch and f"{side} ms" in line]
    return min(there, key=lambda line: line[f"{side} ms"], default=None)


def over(line: Line, side: str, dtype: str) -> float:
    """How many times longer the dense product takes, in the same run."""
    name = f"dense {line['size']}, {line['batch']}, {dtype}"
    (dense,) = (d for d in lines("kernels-h100", "kernels") if d["name"] == name)
    return dense[side] / line[f"{side} ms"]


def gains(kind: str, side: str = "forward") -> str:
    """The least and the most that a kind beats dense bf16 by, in its best form of each case."""
    found = [
        over(line, side, "bf16")
        for case in cases().values()
        if case[0]["name"].startswith(kind)
        for batch in batches(case)
        if (line := quickest(case, batch, side))
    ]
    return f"{fixed(min(found), 1)} to {fixed(max(found), 1)}"


def ran() -> Rows:
    """What has run on a card: the parts of the check, then the studies."""
    yield "command", "what has run", "on"
    for part in PARTS:
        of = [record for record in records() if lines(record, part)]
        for words in dict.fromkeys(_part(part, record) for record in of) or [("not run", "")]:
            yield f"`python -m benchmarks.gpu.check --parts {part}`", *words
    for line, plans in STUDIES.items():
        for words in plans:
            yield f"`python -m benchmarks.gpu.studies {line}`", *_plan(*words)


def _part(part: str, record: str) -> tuple[str, str]:
    found = lines(record, part)
    late = [x for x in found if not x["ok"] and x.get("error", "").startswith("TooLate")]
    skipped = sum(map(is_skipped, found))
    good = sum(line["ok"] for line in found) - skipped
    bad = "; ".join(line["name"] for line in found if not line["ok"] and line not in late)
    said = f"{good} of {len(found) - len(late) - skipped} checks passed"
    said += f" (not: {bad})" * bool(bad) + f", {skipped} had nothing to run" * bool(skipped)
    return said + f", {len(late)} not reached in its time" * bool(late), card(record)


def _plan(study: str, name: str, plan: Plan) -> tuple[str, str]:
    whole = pages.recorded(study, name)
    done = [run for run in whole.done() if run.arm in plan.arms] if whole else []
    if whole is None or not done:
        return f"`{name}`: not run", ""
    part = (
        f"`{name}`: {len(done)} of {len(plan.arms) * len(plan.seeds)} runs ({_share(plan, done)})"
    )
    where = (whole.provenance.get(run.provenance or "", {}) for run in done)
    return part, ", ".join(dict.fromkeys(said.get("gpu") or said.get("cpu", "") for said in where))


def _share(plan: Plan, done: list[Run]) -> str:
    """How much of each net is done: all its arms with all seeds, or how many arms are."""
    nets = {arm: getattr(config, "net", arm) for arm, config in plan.arms.items()}
    counts = Counter(run.arm for run in done)
    whole = Counter(nets[arm] for arm, n in counts.items() if n >= len(plan.seeds))
    all_of = Counter(nets.values())
    begun = dict.fromkeys(nets[arm] for arm in counts)
    part = {net: f"in part, {whole[net]} of {all_of[net]} arms" for net in begun}
    return "; ".join(
        f"{net} {'whole' if whole[net] == all_of[net] else part[net]}" for net in begun
    )


TABLES: dict[str, Callable[[], Rows]] = {
    "kernels": kernels,
    "layers": layers,
    "gpu": ran,
}
VALUES: dict[str, Callable[[], str]] = {
    "fine": partial(gains, "fine"),
    "fine_train": partial(gains, "fine", "train"),
    "tiled": partial(gains, "tiled"),
    "tiled_train": partial(gains, "tiled", "train"),
    "large_fine": partial(large, "bibd"),
    "large_tiled": partial(large, "tiled-64"),
}
