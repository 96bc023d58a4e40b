"""`python -m bibd certify --in 64 --out 72 --pattern bibd`: what a pattern really is."""

import importlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import tyro

from bibd import families
from bibd.certificate import Certificate, certify
from bibd.options import LayerOptions
from bibd.pattern import make_pattern

VERBS = {
    "explain": "the ways to compute a layer here, their times, and the one that is taken",
    "bench": "sparse layers against dense ones and other sparse ways, on this machine",
    "certify": "the certificate of a pattern: label, parameters, pair coverage, spectrum",
    "draw": "its graph, table and pairs, or (--conv) its kernels, as PNG and EPS",
}


@dataclass(frozen=True)
class Options(LayerOptions):
    """The certificate of the pattern that a layer of this size would have."""

    json: bool = False
    """Print one JSON object."""


def main(argv: Sequence[str]) -> int:
    """Run a verb; the exit status."""
    try:
        if not argv or argv[0] in ("-h", "--help"):
            print("usage: python -m bibd VERB [options], or --list for the patterns\n")
            print("\n".join(f"  {name:<10} {text}" for name, text in VERBS.items()))
            print("\n  python -m bibd certify --in 64 --out 72 --pattern bibd")
            print("  python -m bibd draw --in 16 --out 20 --pattern bibd")
            print("  python -m bibd explain --in 1024 --out 1024 --batch 256")
            return 0
        if argv[0] == "--list":
            return _list("--json" in argv)
        if argv[0] not in VERBS:
            raise ValueError(f"unknown verb {argv[0]!r}: there are {', '.join(VERBS)} and --list")
        if argv[0] != "certify":  # (these load torch or matplotlib)
            return importlib.import_module(f"bibd.{argv[0]}").main(argv[1:])
        return _certify(argv[1:])
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1 if isinstance(error, OSError) else 2


def _certify(argv: Sequence[str]) -> int:
    config = (tyro.conf.FlagCreatePairsOff,)
    options = tyro.cli(Options, prog="python -m bibd certify", args=list(argv), config=config)
    sizes = options.inputs, options.outputs
    pattern = make_pattern(options.pattern, *sizes, options.seed, options.nonzeros)
    found = certify(pattern.design())
    print(json.dumps(found.to_dict()) if options.json else text(found))
    return 0


def text(c: Certificate) -> str:
    """The certificate for people, one fact a line."""
    pairs = ", ".join(f"{n:,} in {met}" for met, n in c.pair_coverage.items())
    ramanujan = "" if c.ramanujan_bound is None else f", Ramanujan bound {c.ramanujan_bound:.4f}"
    lines = {
        "label": c.label,
        "parameters": f"v={c.v} b={c.b} r={c.r} k={c.k} lam={c.lam}"
        + " (None: not constant)" * (None in (c.r, c.k, c.lam)),
        "connections": f"{c.nonzeros:,}",
        "fan-in": _range(c.row_weights),
        "fan-out": _range(c.column_weights),
        "pairs of inputs": f"{pairs} outputs" if pairs else "none",
        "shared at most": f"{c.largest_intersection} inputs by two outputs",
        "left out": f"{c.unconnected_inputs} inputs, {c.empty_blocks} outputs",
        "components": str(c.components),
        "sigma 2": f"{c.sigma2:.4f} (sigma 1 {c.sigma1:.4f}), at least {c.sigma2_lower_bound:.4f}"
        + ramanujan,
    }
    return "\n".join([c.name, *(f"  {key:<16} {value}" for key, value in lines.items())])


def _range(ends: tuple[int, int]) -> str:
    return str(ends[0]) if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def _list(as_json: bool) -> int:
    found = {name: (f.__doc__ or "").splitlines()[0] for name, f in families.FAMILIES.items()}
    if as_json:
        print(json.dumps([{"name": name, "text": line} for name, line in found.items()]))
    else:
        print("\n".join(f"{name:<18} {line}" for name, line in found.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
