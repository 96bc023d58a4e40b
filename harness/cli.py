"""The command line of every study folder: `python -m <folder> <plan> [overrides]`.

`main(PLANS, "mlp")` knows the plans, and finds `mlp.train` (and `mlp.plot_mlp_experiments`) only
when something is to be trained: --help never pays for torch. The flags of a plan are the options
below and those fields of its config on which all arms agree; a field's docstring is its help.

Exit status: 0 done, 1 some run failed, 2 a wrong input, 130 interrupted.
"""

import ast
import importlib
import inspect
import json
import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import tyro

from harness import report, store
from harness.names import unknown
from harness.plan import Plan, parse_seeds
from harness.study import Study

RESERVED = ("costs", "certify", "draw", "explain", "bench", "verify", "gossip")


@dataclass(frozen=True)
class Options:
    """What every plan understands."""

    seeds: str = "plan"
    """How many seeds (5), a range (3-7), a list (0,2,9), or those of the plan."""
    arms: tuple[str, ...] = ()
    """Only these arms, by name; default: all."""
    data_root: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder of downloaded data sets; default: $IDDL_DATA, else ~/.cache/iddl."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU where there is one."""
    results: Path = Path("results")
    """Folder that the results go to."""
    jobs: int = 0
    """Arms that train at a time, each in its own process; 0: what suits the plan and the cores."""
    checkpoint_every: float = 5.0
    """Seconds between checkpoints within a run."""
    dump: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write this call's Experiment there, pickled."""
    pid: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write the process id there."""
    dry_run: bool = False
    """Show folders and status of every run, and stop."""
    quiet: bool = False
    """No progress, no table."""
    json: bool = False
    """Print one JSON document on stdout and nothing else."""


@dataclass(frozen=True)
class Verb:
    """A word beside the plans: one line of help and where its `main(argv)` is."""

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
    assert not set(plans) & set(RESERVED), "a reserved verb is never a plan name"
    try:
        if not argv or argv[0] in ("-h", "--help"):
            print(overview(plans, folder, verbs))
            return 0
        if "--list" in argv:
            return _list(plans, as_json="--json" in argv)
        if argv[0] in verbs:
            module, name = verbs[argv[0]].target.split(":")
            return getattr(importlib.import_module(module), name)(argv[1:])
        if argv[0] not in plans:
            raise unknown("plan", argv[0], [*plans, *verbs])
        return _plan(argv[0], plans[argv[0]], folder, argv[1:])
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1 if isinstance(error, OSError) else 2
    except KeyboardInterrupt:
        again = " ".join(["python -m", folder, *argv])
        print(f"\ninterrupted; nothing is lost. Go on with: {again}", file=sys.stderr)
        return 130


def overview(plans: Mapping[str, Plan], folder: str, verbs: Mapping[str, Verb]) -> str:
    """What --help prints: the plans and verbs, one line each, and what to type next."""
    entries = {name: plan.question for name, plan in plans.items()}
    entries |= {name: verb.help for name, verb in verbs.items()}
    lines = []
    for name, text in entries.items():
        minutes = f" (about {duration(plans[name].minutes)})" if name in plans else ""
        wrapped = textwrap.wrap(text + minutes, 84)
        lines += [f"  {name:<10} {wrapped[0]}", *(" " * 13 + more for more in wrapped[1:])]
    start, first = f"python -m {folder}", next(iter(plans))
    examples = {
        f"{start} --list": "the plans as a table (also --json)",
        f"{start} {first} --dry-run": "where results go, and what is done",
        f"{start} {first} --seeds 3 --epochs 2": "fewer seeds and epochs",
        f"{start} {first} --help": "all options of a plan",
    }
    return "\n".join(
        [
            f"usage: {start} PLAN [options]",
            "",
            *lines,
            "",
            "The same command again resumes: what is done is skipped. Commonly used:",
            *(f"  {command:<42} {text}" for command, text in examples.items()),
        ]
    )


def duration(minutes: float) -> str:
    """Minutes in words."""
    return f"{minutes:.0f} min" if minutes >= 1 else f"{minutes * 60:.0f} s"


def _list(plans: Mapping[str, Plan], as_json: bool) -> int:
    from harness import table

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
    if as_json:
        print(json.dumps(lines))
        return 0
    heads = ["plan", "question", "arms", "seeds", "estimate"]
    rows = [
        [
            x["name"],
            x["question"],
            str(len(x["arms"])),
            str(len(x["seeds"])),
            duration(x["minutes"]),
        ]
        for x in lines
    ]
    table.show("plans", heads, rows)
    return 0


def _plan(name: str, plan: Plan, folder: str, argv: list[str]) -> int:
    options, overrides = parse(name, plan, folder, argv)
    for arm in options.arms:
        if arm not in plan.arms:
            raise unknown("arm", arm, plan.arms)
    study = Study(folder, name, plan.override(overrides), options.results, overrides)
    seeds = plan.seeds if options.seeds == "plan" else parse_seeds(options.seeds)
    arms = options.arms or tuple(plan.arms)
    if options.dry_run:
        return _dry_run(study, arms, seeds, options.json)
    return _run(study, arms, seeds, options, [name, *argv])


def parse(name: str, plan: Plan, folder: str, argv: list[str]) -> tuple[Options, dict[str, Any]]:
    """Options and overrides of one plan, by tyro (which suggests the near one on a typo)."""
    config = next(iter(plan.arms.values()))
    hints, docs, shared = get_type_hints(type(config)), field_docs(type(config)), plan.shared()
    extra = []
    for f in fields(config):
        if f.name in shared:
            kind = Annotated[hints[f.name], tyro.conf.arg(help=docs.get(f.name, ""))]
            extra.append((f.name, kind, field(default=getattr(config, f.name))))
    flags = make_dataclass("Flags", extra, bases=(Options,), frozen=True)
    text = f"{plan.question}\n\nEstimate: {duration(plan.minutes)} on 2 cores. {plan.expect}"
    parsed = tyro.cli(
        flags,
        prog=f"python -m {folder} {name}",
        description=text,
        args=argv,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    options = Options(**{f.name: getattr(parsed, f.name) for f in fields(Options)})
    values = {k: getattr(parsed, k) for k in shared}
    return options, {k: v for k, v in values.items() if v != getattr(config, k)}


def field_docs(kind: type) -> dict[str, str]:
    """The string below each field of a class: what a reader sees is what --help says."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for line, after in zip(body.body, body.body[1:], strict=False):
        is_field = isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
        if is_field and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            found[line.target.id] = str(after.value.value)  # pyright: ignore
    return found


def _dry_run(study: Study, arms: Sequence[str], seeds: Sequence[int], as_json: bool) -> int:
    whole = study.collect()
    lines = [
        {
            "name": f"{arm} seed {seed}",
            "status": study.state(arm, seed, whole),
            "path": str(study.seed_dir(arm, seed)),
        }
        for arm in arms
        for seed in seeds
    ]
    if as_json:
        print(json.dumps(lines))
    else:
        width = max(len(line["name"]) for line in lines)
        for line in lines:
            print(f"{line['name']:<{width}}  {line['status']:<20}  {line['path']}")
        print(f"results of this call: {study.out}")
    return 0


def _run(
    study: Study, arms: Sequence[str], seeds: Sequence[int], options: Options, argv: Sequence[str]
) -> int:
    from harness import show as shows
    from harness.finish import finish

    _check_writable(study.out)
    if options.data_root:
        os.environ["IDDL_DATA"] = options.data_root
    if os.environ.get("IDDL_MEMBER"):  # of a crew: tell the parent on stdout
        _sweep(study, arms, seeds, options, shows.Events())
        return 0
    quiet = options.quiet or options.json
    if not quiet:
        _banner(study, arms, seeds)
    if options.pid:
        store.write(options.pid, f"{os.getpid()}\n")
    show = shows.make_show(len(arms), quiet)
    try:
        _work(study, arms, seeds, options, show, argv)
    finally:
        show.close()
        whole = study.save()
        if options.dump and whole.runs:
            store.dump(whole, options.dump)
    left = [f"{a} seed {s}" for a in arms for s in study.to_do(a, tuple(seeds), whole)]
    return finish(study, whole, left, options.quiet, options.json)


def _work(study: Study, arms, seeds, options: Options, show, argv: Sequence[str]) -> None:
    """What is to do, by a crew or in this process."""
    from harness.crew import Crew, crew_size

    whole = study.collect()
    busy = [arm for arm in arms if study.to_do(arm, tuple(seeds), whole)]
    threads, cores = study.plan.threads, cores_here()
    size = crew_size(options.jobs, threads, cores, len(busy))
    if size < 2:
        if busy:
            _sweep(study, busy, seeds, options, show)
        return
    command = [sys.executable, "-m", study.folder, *argv, "--jobs", "1"]
    threads = threads or max(1, cores // size)
    if Crew(study, size, threads, show, report.Live(study)).run(command) == 2:
        raise ValueError("no arm could run; the reason stands above")


def _sweep(study: Study, arms, seeds, options: Options, show) -> None:
    from harness.runner import Sweep
    from harness.show import Events

    Sweep(
        study,
        importlib.import_module(f"{study.folder}.train"),
        tuple(seeds),
        tuple(arms),
        show,
        device=pick_device(options.device),
        data_root=options.data_root,
        checkpoint_every=options.checkpoint_every,
        live=None if isinstance(show, Events) else report.Live(study),
    ).run()


def cores_here() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _banner(study: Study, arms: Sequence[str], seeds: Sequence[int]) -> None:
    print(study.plan.question, file=sys.stderr)
    changed = ", ".join(f"{k}={v}" for k, v in study.overrides.items()) or "none"
    print(
        f"{len(arms)} arms x {len(seeds)} seeds; estimate for the whole plan "
        f"{duration(study.plan.minutes)} on 2 cores; overrides: {changed}\nresults: {study.out}",
        file=sys.stderr,
    )


def pick_device(name: str) -> str:
    """The device by name; auto takes a GPU where there is one."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"--device got {name!r}; expected auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"--device {name}: this machine has {torch.cuda.device_count()} CUDA GPUs")
    return name


def _check_writable(folder: Path) -> None:
    """Fail before the first epoch rather than after it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OSError(
            error.errno,
            f"the results folder {folder} cannot be written ({error.strerror}): name another one "
            "with --results DIR",
        ) from None
