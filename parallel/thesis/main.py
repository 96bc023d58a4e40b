"""`python -m parallel gossip`: the experiments of the elastic-gossip thesis, with its options.

    python -m parallel gossip                                    Iris, 4 processes, all-reduce
    python -m parallel gossip --experiment mnist --agg-method elasticGossip --agg-prob 0.03125

Leaves logs/<exp-id>/rank_<r>.log (Bunyan's JSON lines), metadata.json, and if asked the last two
checkpoints of each rank, rank_<r>.cp.pt and rank_<r>.before.cp.pt.
"""

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from harness import flags
from harness.experiment import plain
from parallel.thesis.options import Options, unused


def main(argv: Sequence[str]) -> int:
    """Run the experiment that the command line asks for."""
    options = flags.read(Options, argv, "python -m parallel gossip")
    if options.version:
        from importlib.metadata import version

        print(version("iddl"))
        return 0
    say = lambda text: print(text, file=sys.stderr)  # noqa: E731
    if options.comm_backend == "tcp" and options.world == "procs":
        say("--comm-backend tcp: torch no longer has it; gloo is used")
    for names, why in unused(options):
        say(f"{' and '.join(names)}: no effect ({why})")
    if options.num_workers == 1 and options.agg_method != "local":
        say("one worker: --agg-method local")
    from parallel.thesis.run import run  # (after --help: this loads torch)
    from parallel.world.comm import NotFinite
    from parallel.world.faults import PeerLost
    from parallel.world.procs import WorkerError

    try:
        rows = list(run(options))
    except (WorkerError, PeerLost, NotFinite) as error:
        say(f"error: {error}")
        return 1
    if options.json:
        print(json.dumps(plain(rows[-1]) if rows else {}))
    elif rows:
        _show(options, rows[-1])
    return 0


def _show(options: Options, row: dict[str, Any]) -> None:
    for rank, accuracy in enumerate(row["worker_accuracy"]):
        print(f"worker {rank}: test accuracy {accuracy:.4f}")
    print(f"mean of the workers' weights: test accuracy {row['test_accuracy']:.4f}")
    print(
        f"{row['step']} updates, {row['bytes_payload'] / 1e6:.3f} MB sent by all workers "
        f"(formula: {row['bytes_theory'] / 1e6:.3f} MB); {row['split']}"
    )
    for note in row["notes"]:
        print(f"warning: {note}", file=sys.stderr)
    print(f"logs: {options.folder}{os.sep}rank_*.log (JSON lines of Bunyan), metadata.json")
