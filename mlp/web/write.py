"""Writes the page of a net: template, style, program, weights, and how good the net is."""

from pathlib import Path
from typing import Any

from harness import cost
from harness.exits import EarlyExit
from harness.record import store
from harness.result import onefile
from mlp.plans.config import Config
from mlp.web.exit import Exits
from mlp.web.packed import packed

HERE = Path(__file__).parent
SIDE = 28  # of a picture
HEADS = "exit", "multiply-adds", "right, of all", "leave here"


def write(net: EarlyExit, config: Config, found: Exits, arm: str, out: Path, int8: bool) -> Path:
    """Write the page of a net; one in int8 has been through `round8`."""
    texts = {
        "about": about(net, config, found, arm, int8),
        "table": _table(net, found),
        "net": onefile.data(_facts(net, config, found) | packed(net, int8)),
    }
    page = onefile.filled(HERE / "digit.html", ("digit", "way", "screen"), texts)
    return store.write(out, page)


def about(net: EarlyExit, config: Config, found: Exits, arm: str, int8: bool) -> str:
    """Return what a reader should know of the net, in words."""
    hidden = " and ".join(map(str, config.hidden))
    count = cost.total(net, net.shape).nonzeros
    return (
        f"An MLP with {hidden} hidden units, arm {arm}, trained on MNIST; pattern "
        f"{config.pattern}, {count:,} connections in {'int8' if int8 else 'float32'}. An exit "
        f"after the first hidden layer answers where it is sure. On the {found.samples:,} test "
        "images:"
    )


def _facts(net: EarlyExit, config: Config, found: Exits) -> dict[str, Any]:
    """Return what the page knows of the net besides its weights."""
    widths = [(SIDE + 2 * config.pad) ** 2, *config.hidden]
    classes = net.heads[0][1].out_features  # pyright: ignore
    dense = sum(a * b for a, b in zip(widths, [*config.hidden, classes], strict=True))
    return {
        "pad": config.pad,
        "exits": net.exits,
        "threshold": found.threshold,
        "macs": net.costs()[-1].macs,
        "dense": dense + config.hidden[0] * classes,
    }


def _table(net: EarlyExit, found: Exits) -> str:
    """Return what each exit costs and how often it is right, as a table."""
    together = found.together
    rows = [
        (f"exit {i + 1}", f"{c.macs:,}", f"{right:.2%}", f"{share:.1%}")
        for i, (c, right, share) in enumerate(
            zip(net.costs(), found.alone, together["shares"], strict=True)
        )
    ]
    bound = f"leaving at {found.threshold:.0%}"
    rows.append((bound, f"{together['macs']:,.0f} (mean)", f"{together['accuracy']:.2%}", ""))
    head = "".join(f'<th scope="col">{word}</th>' for word in HEADS)
    lines = [
        f'<th scope="row">{name}</th>' + "".join(f"<td>{word}</td>" for word in rest)
        for name, *rest in rows
    ]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in (head, *lines)) + "</table>"
