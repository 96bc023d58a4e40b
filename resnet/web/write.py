"""Writes the folder of the page, and says what it takes and what the net is."""

from pathlib import Path
from typing import Any

from harness.data import Data
from harness.exits import EarlyExit
from harness.record import store
from harness.result import onefile
from harness.result.page import plain, table
from resnet.plans.config import Config
from resnet.web import packed, runtime
from resnet.web.facts import last

ALLOWED = "'self' 'wasm-unsafe-eval' blob:"  # what the runtime needs
TEMPLATE = Path(__file__).with_name("exits.html")


def write(
    out: Path, engine: runtime.Runtime, parts: list[bytes], known: dict[str, Any], words: str
) -> dict[str, int]:
    """Write the folder; returns the bytes of each file."""
    files = {
        "ort.js": engine.face,
        "runtime.js": packed.script(engine.core),
        "net.js": packed.script({f"part.{k}": part for k, part in enumerate(parts)}),
    }
    texts = {
        "about": words,
        "size": sizes(engine, parts, {name: len(text.encode()) for name, text in files.items()}),
        "net": onefile.data(known),
    }
    files["index.html"] = onefile.filled(TEMPLATE, ("run", "screen"), texts, ALLOWED)
    return {name: store.write(out / name, text).stat().st_size for name, text in files.items()}


def sizes(engine: runtime.Runtime, parts: list[bytes], files: dict[str, int]) -> str:
    """Return in words what the page loads."""
    name = f"onnxruntime-web {engine.version}".rstrip()
    load, net = files["ort.js"] + files["runtime.js"], files["net.js"]
    return (
        f"Beside this page lie {said(load + net)}: {name}, {said(load)} "
        f"({said(engine.size)} unpacked), and the net in {len(parts)} parts, {said(net)} "
        f"({said(sum(map(len, parts)))} in ONNX)."
    )


def about(net: EarlyExit, config: Config, data: Data, folder: Path) -> str:
    """Return what a reader should know of the net: what it is, and how good on the test set."""
    right = last(folder).get("exit_accuracy", ())
    heads = ["exit", "multiply-adds, in all", *(["right, of all test pictures"] if right else [])]
    costs = [f"{cost.macs:,}" for cost in net.costs()]
    columns = [[f"exit {k + 1}" for k in range(net.exits)], costs]
    columns += [[f"{share:.1%}" for share in right]] if right else []
    words = (
        f"A ResNet-{config.depth} of width {config.width}, pattern {config.pattern}, "
        f"{config.groups} group{'s' * (config.groups > 1)}, trained on {data.name} for "
        f"{config.epochs} epochs ({data.split}), one seed. "
        f"An exit is sure by its {net.criterion.replace('_', ' ')}."
    )
    if config.pattern != "dense":
        words += " Multiply-adds are those of its connections; the runtime computes all others too."
    rows = list(map(list, zip(*columns, strict=True)))
    return f"<p>{plain(words)}</p>{table(heads, rows, 'what each exit costs')}"


def said(size: int) -> str:
    """Return bytes in megabytes, or in kilobytes where these are few."""
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.0f} kB"
