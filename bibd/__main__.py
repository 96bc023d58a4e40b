"""`python -m bibd certify --in 64 --out 72 --pattern bibd`: what a pattern really is."""

import difflib
import importlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import tyro

from bibd import families
from bibd.certificate import certify
from bibd.options import LayerOptions
from bibd.pattern import make_pattern

VERBS = {
    "explain": "the ways to compute a layer here, their times, and the one that is taken",
    "bench": "sparse layers against dense ones and other sparse ways, on this machine",
    "certify": "the certificate of a pattern: label, parameters, pair coverage, spectrum",
    "export": "a net with sparse layers as a file in ONNX, of standard operators",
    "draw": "its graph, table and pairs, or (--conv) its kernels, as PNG and EPS",
}


@dataclass(frozen=True)
class Options(LayerOptions):
    """The certificate of the pattern that a layer of this size would have."""

    json: bool = False
    """Print one JSON object."""


def main(argv: Sequence[str]) -> int:
    """Run a verb and return the exit status."""
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
            near = difflib.get_close_matches(argv[0], VERBS, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            known = f"there are {', '.join(VERBS)} and --list"
            raise ValueError(f"unknown verb {argv[0]!r}: {hint}{known}")
        if argv[0] != "certify":  # (these load torch or matplotlib)
            return importlib.import_module(f"bibd.{argv[0]}").main(argv[1:])
        return _certify(argv[1:])
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError as error:
        print(f"error: too large for the memory here ({error}): smaller sizes", file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1 if isinstance(error, OSError) else 2


def _certify(argv: Sequence[str]) -> int:
    config = (tyro.conf.FlagCreatePairsOff,)
    options = tyro.cli(Options, prog="python -m bibd certify", args=list(argv), config=config)
    sizes = options.inputs, options.outputs
    pattern = make_pattern(options.pattern, *sizes, options.seed, options.nonzeros)
    found = certify(pattern)
    print(json.dumps(found.to_dict()) if options.json else found)
    return 0


def _list(as_json: bool) -> int:
    found = {name: (f.__doc__ or "").splitlines()[0] for name, f in families.FAMILIES.items()}
    if as_json:
        print(json.dumps([{"name": name, "text": line} for name, line in found.items()]))
    else:
        print("\n".join(f"{name:<18} {line}" for name, line in found.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
