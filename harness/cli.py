"""The command line of every study folder: `python -m <folder> <plan> [overrides]`.

`main(PLANS, "mlp", VERBS)` knows the plans and the other words of a study; its trainer and pictures
(harness.sweep.modules) are found only when something is to be trained: --help never pays for torch.

Exit status: 0 done, 1 some run failed, 2 a wrong input, 130 interrupted.
"""

import argparse
import importlib
import io
import json
import os
import shlex
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import flags
from harness.names import unknown
from harness.plan import Plan, duration, parse_seeds
from harness.record.study import Study
from harness.sweep.options import parse


@dataclass(frozen=True)
class Verb:
    """A word that a study offers beside its plans: its line of help and where its `main` is."""

    help: str
    target: str


def main(
    plans: Mapping[str, Plan],
    folder: str,
    verbs: Mapping[str, Verb] | None = None,
    argv: Sequence[str] | None = None,
) -> int:
    """Run the command line; returns the exit status."""
    verbs = verbs or {}
    argv = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without ± shows ? and the table
            stream.reconfigure(errors="replace")
    try:
        if both := sorted(set(plans) & set(verbs)):
            raise ValueError(f"{', '.join(both)}: a plan and a verb of one name; rename the plan")
        if not argv or argv[0] in ("-h", "--help"):
            print(overview(plans, folder, verbs))
            return 0
        if argv[0] == "--list":
            return _list(plans, folder, argv[1:])
        if argv[0] in verbs:
            module, name = verbs[argv[0]].target.split(":")
            return getattr(importlib.import_module(module), name)(argv[1:])
        if argv[0] not in plans:
            if argv[0] in getattr(sys.modules.get(folder), "__all__", ()):
                raise ValueError(f"{argv[0]} is a function: from {folder} import {argv[0]}")
            if argv[0].startswith("-"):  # (options of a plan come behind its name)
                raise unknown("option before a plan", argv[0], ["--list", "--help"])
            raise unknown("plan", argv[0], [*plans, *verbs])
        return _plan(argv[0], plans[argv[0]], folder, argv[1:])
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError) as error:
        print(f"error: {_text(error)}", file=sys.stderr)
        return 1 if isinstance(error, OSError) else 2
    except KeyboardInterrupt:
        again = shlex.join(["python", "-m", folder, *argv])
        kept = "; what is done is kept, a run in hand up to its last checkpoint. Go on with"
        print(f"\ninterrupted{'. Again' if argv[0] in verbs else kept}: {again}", file=sys.stderr)
        return 130


def _text(error: Exception) -> str:
    """Return an error of ours as its sentence, and one of the system with the file it is about."""
    reason = getattr(error, "strerror", None)
    file = getattr(error, "filename", None)
    return f"{file}: {reason}" if reason and file else str(reason or error)


def overview(plans: Mapping[str, Plan], folder: str, verbs: Mapping[str, Verb]) -> str:
    """Return what --help prints: a line for each plan and verb, and what to type next."""
    entries = {name: plan.question for name, plan in plans.items()}
    entries |= {name: verb.help for name, verb in verbs.items()}
    start = f"python -m {folder}"
    if not plans:
        return "\n".join([f"usage: {start} VERB [options]", "", *_hanging(entries)])
    first = next(iter(plans))
    for name, plan in plans.items():
        entries[name] += f" (about {duration(plan.minutes)})".replace(" min", "\u00a0min")
    examples = {
        f"{start} --list": "the plans as a table (also --json, --to plans.csv)",
        f"{start} {first} --dry-run": "where results go, and what is done",
        f"{start} {first} --seeds 3{_shorter(plans[first])}": "fewer seeds and epochs",
        f"{start} {first} --results mine": "train anew what is on record, in a folder of your own",
        f"{start} {first} --help": "all options of a plan",
    }
    return "\n".join(
        [
            f"usage: {start} PLAN [options]",
            "",
            *_hanging(entries),
            "",
            *textwrap.wrap(
                "The same command again resumes: what is done is skipped. Commonly used:",
                flags.width(),
            ),
            *_hanging(examples),
        ]
    )


def _shorter(plan: Plan) -> str:
    """Return the option that makes the trainings of a plan shorter, or nothing where none does."""
    shared = plan.shared() if plan.arms else {}
    return next((f" --{name} 2" for name in ("epochs", "each") if name in shared), "")


def _hanging(entries: Mapping[str, str]) -> list[str]:
    """Set words and their texts in two columns within the width of the terminal.

    The texts start behind the longest word, or below their words where that leaves them less than
    30 letters of the line.
    """
    width = flags.width()
    column = max(map(len, entries)) + 4
    below = width - column < 30
    indent = " " * (6 if below else column)
    lines = []
    for word, text in entries.items():
        wrapped = textwrap.wrap(text, max(20, width - len(indent)), break_on_hyphens=False)
        wrapped = [line.replace("\u00a0", " ") for line in wrapped]  # (kept together until here)
        if below:
            lines += [f"  {word}", *(indent + more for more in wrapped)]
        else:
            head, *rest = wrapped or [""]
            lines += [f"  {word}".ljust(column) + head, *(indent + more for more in rest)]
    return lines


def _list(plans: Mapping[str, Plan], folder: str, argv: Sequence[str]) -> int:
    """Show the plans as a table or as JSON, or write them to a file."""
    from harness.result import export, screen

    json_too, to = _list_options(folder, argv)
    export.check(to)
    lines = [
        {
            "name": name,
            "question": plan.question,
            "arms": list(plan.arms),
            "seeds": list(plan.seeds),
            "minutes": plan.minutes,
        }
        for name, plan in plans.items()
    ]
    heads = ["plan", "question", "arms", "seeds", "estimate"]
    rows = [
        [name, plan.question, str(len(plan.arms)), str(len(plan.seeds)), duration(plan.minutes)]
        for name, plan in plans.items()
    ]
    if to:
        export.write(to, lines, heads, rows)
    if json_too:
        print(json.dumps(lines))
    else:
        screen.show("plans", heads, rows, prose=("question",))
    return 0


def _list_options(folder: str, argv: Sequence[str]) -> tuple[bool, Path | None]:
    """Read the flags of --list: whether --json was given, and the file of --to."""
    parser = argparse.ArgumentParser(f"python -m {folder} --list", description="The plans.")
    parser.add_argument("--json", action="store_true", help="print a list of objects, one per plan")
    parser.add_argument("--to", type=Path, metavar="FILE", help="write it to a file as well")
    found = parser.parse_args(argv)
    return found.json, found.to


def _plan(name: str, plan: Plan, folder: str, argv: list[str]) -> int:
    from harness.result import export

    options, overrides = parse(name, plan, folder, argv)
    for arm in options.arms:
        if arm not in plan.arms:
            raise unknown("arm", arm, plan.arms)
    export.check(options.to)

    from harness.sweep import launch

    study = Study(folder, name, plan.override(overrides), options.results, overrides)
    seeds = plan.seeds if options.seeds == "plan" else parse_seeds(options.seeds)
    arms = options.arms or tuple(plan.arms)
    if options.dry_run:
        return launch.dry_run(study, arms, seeds, options.json)
    return launch.run(study, arms, seeds, options, [name, *argv])
