"""`python -m resnet bench`: how long the trained nets of plan `exits` take to leave early.

for each batch size: the full net, all exits with nobody leaving, and a curve of thresholds,
in turn on the same test images: p50, p99 and mean of a call, beside accuracy and expected MACs
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro

from harness import flags
from harness.data.pictures import images
from harness.engine.machine import pick_device
from harness.exits import EarlyExit, Outcome, measure, record, sweep
from harness.job import Job
from harness.names import check
from harness.record import weights
from harness.record.provenance import collect
from harness.result import export, figure, screen
from harness.sweep import start
from resnet.experiments import PLANS
from resnet.trainer import build, layout, read

HEADS = ["net and threshold", "batch", "accuracy", "expected MACs (M)", "p50 ms", "p99 ms"]
CALLS = {1: 500, 128: 40}  # batch size: calls of each side


@dataclass(frozen=True)
class Options:
    """Time early exits against the full net, with the weights that plan `exits` left."""

    arms: tuple[str, ...] = ("ResNet-18-EE", "B-ResNet-18-EE")
    """Arms of plan exits."""
    seed: int = 0
    """Whose weights."""
    steps: int = 9
    """Thresholds on the curve."""
    threads: int = 0
    """Of torch; 0: as many as it takes."""
    device: str = "auto"
    """cpu or cuda."""
    results: Path = Path("results")
    """Where the plan's runs are."""
    data_root: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder of downloaded data sets."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="STEM")] = None
    """Also write STEM.json, .png and .eps."""
    json: bool = False
    """Print one JSON document on stdout and nothing else."""
    to: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the table there: as .csv, .tex, .md or .json, by the name's ending."""

    def __post_init__(self):
        for arm in self.arms:
            check("arm", arm, PLANS["exits"].arms)
        if not self.arms or self.steps < 2 or self.seed < 0 or self.threads < 0:
            raise ValueError(
                "bench needs an arm, --steps of at least 2, --seed and --threads not below 0; got "
                f"{len(self.arms)} arms, {self.steps}, {self.seed}, {self.threads}"
            )


def main(argv: Sequence[str]) -> int:
    """Measure the nets, and write the record and its picture."""
    options = flags.read(Options, argv, "python -m resnet bench", pairs=True)
    export.check(options.to)
    if options.threads:
        torch.set_num_threads(options.threads)
    lines = [line for arm in options.arms for line in bench(arm, options)]
    document: dict[str, Any] = {"table": lines, "calls": CALLS}
    document["provenance"] = collect(_job(options).device)
    config = PLANS["exits"].arms[options.arms[0]]
    document["split"] = read(config, _job(options)).split
    document |= {"data": config.data, "width": config.width, "epochs": config.epochs}
    document["seed"] = options.seed
    if options.out:
        save(document, options.out)
    if options.to:
        export.write(options.to, lines, HEADS, cells(lines))
    if options.json:
        print(json.dumps(document))
    else:
        screen.show(f"early exits, {torch.get_num_threads()} threads", HEADS, cells(lines))
    return 0


def cells(lines: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Return the texts of the table."""
    return [
        [x["name"], str(x["batch"]), f"{x['accuracy']:.4f}", f"{x['macs'] / 1e6:.2f}"]
        + [f"{x[key]:.2f}" for key in ("p50", "p99")]
        for x in lines
    ]


def save(document: dict[str, Any], stem: Path) -> None:
    """Write the record and its picture."""
    from resnet.plots import exits as plot_exits

    fig = plot_exits.times(document)
    print(f"figure: {figure.brief(figure.save(fig, stem, document))}", file=sys.stderr)


def bench(arm: str, options: Options) -> list[dict[str, Any]]:
    """Return one object per batch size and setting of one trained net."""
    config = PLANS["exits"].arms[arm]
    trained = start.path("resnet", "exits", arm, options.seed, options.results)
    data = read(config, _job(options))
    net = build(config, data, options.seed)
    assert isinstance(net, EarlyExit)
    lay = layout(config, _job(options).device)
    weights.load(trained, net)
    net.to(data.test_x.device).to(memory_format=lay)  # pyright: ignore
    test = images(data.test_x, data, lay)
    curve = sweep(record(net, test, data.test_y), options.steps)
    lines = []
    for batch, calls in CALLS.items():
        bounds = [point["thresholds"][0] for point in curve]
        for line in measure(net, test, batch, calls, bounds):
            point = _point(line["name"], curve, net)
            lines.append({**line, **point, "arm": arm, "name": f"{arm}, {line['name']}"})
    return lines


def _job(options: Options) -> Job:
    return Job(pick_device(options.device), options.data_root)


def _point(name: str, curve: Sequence[Outcome], net: EarlyExit) -> dict[str, Any]:
    """Return accuracy and cost of what was timed; the full net has no heads to pay for."""
    found = next((p for p in curve if str(p["thresholds"][0]) == name), curve[-1])
    macs = found["macs"]
    if name == "full net":
        macs = net.trunk().macs
    return {"accuracy": found["accuracy"], "macs": macs, "shares": found["shares"]}
