"""Reads the flags of a plan: those of every plan, and the config fields that all arms share.

A field's docstring is its help text: what a reader of the code sees is what --help says. `{}` in
it stands for the words that WORDS of the module has for this field, so that help never goes stale.
"""

import ast
import inspect
import sys
import textwrap
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import tyro

from harness.engine import ENGINES
from harness.engine.protocol import Place
from harness.flags import empty, unchecked, wrapped
from harness.names import check
from harness.plan import Plan, duration


@dataclass(frozen=True)
class Options:
    """What every plan understands."""

    seeds: str = "plan"
    """How many seeds (5), a range (3-7), a list (0,2,9), or those of the plan."""
    arms: Annotated[tuple[str, ...], tyro.conf.arg(help_behavior_hint="(default: all)")] = ()
    """Only these arms, by name."""
    data_root: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder of downloaded data sets; default: $IDDL_DATA, else ~/.cache/iddl."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU where there is one."""
    results: Path = Path("results")
    """Folder that the results go to; another one (mine) trains anew what is on record here."""
    jobs: int = 0
    """Arms that train at a time, each in its own process (on a card: on the same one, whose memory
    they share); 0: what suits the plan and the cores, one at a time on a card."""
    engine: str = "local"
    """Where arms train: local (processes on this machine), slurm or ray (many machines)."""
    partition: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Slurm's partition."""
    time: Annotated[str | None, tyro.conf.arg(metavar="TIME")] = None
    """Slurm's limit of time for a task, such as 2:00:00."""
    slurm: Annotated[str, tyro.conf.arg(metavar="OPTIONS")] = ""
    """More of sbatch's options, as one word: --slurm "--account=me --constraint=avx512"."""
    detach: bool = False
    """Leave Slurm's job running as soon as a task has begun; the same command looks in on it."""
    ray_address: Annotated[str | None, tyro.conf.arg(metavar="HOST:PORT")] = None
    """Ray's cluster; default: the one that this machine belongs to."""
    ray_open: bool = False
    """Accept a Ray cluster without a token, in a network that is yours alone."""
    checkpoint_every: float = 5.0
    """Seconds between checkpoints within a run."""
    keep_weights: bool = False
    """Keep the trained weights beside each run (seeds that train as one stack have none apart)."""
    dump: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write this call's Experiment there, pickled."""
    pid: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write the process id there."""
    figures: Annotated[bool, tyro.conf.arg(help_behavior_hint="(default: save them)")] = True
    """Save no figures beside the report (which holds them in any case)."""
    dry_run: bool = False
    """Show folders and status of every run, and stop."""
    quiet: bool = False
    """No progress, no table."""
    json: bool = False
    """Print one JSON document on stdout and nothing else."""
    to: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the table there: as .csv, .tex, .md or .json, by the name's ending."""

    @property
    def place(self) -> Place:
        """What the options say about machines, for the engine."""
        return Place(**{f.name: getattr(self, f.name) for f in fields(Place)})

    def __post_init__(self):
        check("engine", self.engine, ENGINES)
        _check_place(self.engine, self.place)
        if self.jobs < 0 or self.checkpoint_every < 0:
            raise ValueError(
                "--jobs and --checkpoint-every must not be negative, got "
                f"{self.jobs} and {self.checkpoint_every}"
            )


def _check_place(engine: str, place: Place) -> None:
    """Refuse words about machines that the chosen engine would not heed."""
    for f in fields(Place):
        of = "ray" if f.name.startswith("ray") else "slurm"
        if getattr(place, f.name) != f.default and of != engine:
            flag = f"--{f.name.replace('_', '-')}"
            raise ValueError(f"{flag} is for --engine {of}, and the engine is {engine}")


def parse(name: str, plan: Plan, folder: str, argv: list[str]) -> tuple[Options, dict[str, Any]]:
    """Read options and overrides of one plan by tyro, which suggests the near one on a typo."""
    config = next(iter(plan.arms.values()))
    hints, docs, shared = get_type_hints(type(config)), field_docs(type(config)), plan.shared()
    extra = []
    for f in fields(config):
        if f.name in shared:
            value = getattr(config, f.name)
            words = help_of(docs.get(f.name, ""), value)
            extra.append((f.name, Annotated[hints[f.name], words], field(default=value)))
    flags = unchecked(Options, extra)  # (Options checks itself below)
    text = f"{plan.question}\n\nEstimate: {duration(plan.minutes)} on 2 cores. {plan.expect}"
    varied = [f.name.replace("_", "-") for f in fields(config) if f.name not in shared]
    _refuse_varied(name, plan, varied, argv)
    _refuse_derived(name, config, argv)
    text += f"\n\nWhat differs between the arms is no option: {', '.join(varied)}." * bool(varied)
    parsed = tyro.cli(
        flags,
        prog=f"python -m {folder} {name}",
        description=wrapped(text),
        args=argv,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    options = Options(**{f.name: getattr(parsed, f.name) for f in fields(Options)})
    values = {k: getattr(parsed, k) for k in shared}
    return options, {k: v for k, v in values.items() if v != getattr(config, k)}


def help_of(text: str, value: Any) -> Any:
    """Return what --help says of an option; one that is on by default can only be turned off."""
    text = " ".join(text.split())
    if value is True:
        text = f"Turn off: {text[:1].lower()}{text[1:]}"
        return tyro.conf.arg(help=text, help_behavior_hint="(default: on)")
    return tyro.conf.arg(help=text, help_behavior_hint=empty if value == () else None)


def _refuse_varied(name: str, plan: Plan, varied: list[str], argv: list[str]) -> None:
    """Say of a flag that is a field of the arms why it is none, and what to type instead."""
    for word in argv:
        flag = word.split("=")[0].replace("_", "-").removeprefix("--")
        if word.startswith("--") and flag.removeprefix("no-") in varied:
            arms = " ".join(list(plan.arms)[:2])
            raise ValueError(
                f"--{flag} is no option of {name}: it is what differs between its arms. Pick arms "
                f"with --arms, such as --arms {arms}; there are {', '.join(plan.arms)}"
            )


def _refuse_derived(name: str, config: Any, argv: list[str]) -> None:
    """Say of a flag that is a property of the config what it follows from."""
    for word in argv:
        flag = word.split("=")[0].removeprefix("--").replace("-", "_")
        found = getattr(type(config), flag, None)
        if word.startswith("--") and isinstance(found, property):
            words = " ".join((found.__doc__ or "").split())
            raise ValueError(f"{word.split('=')[0]} is no option of {name}, it follows: {words}")


def field_docs(kind: type) -> dict[str, str]:
    """Return the string below each field of a class and of those that it inherits from."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        words = getattr(sys.modules[base.__module__], "WORDS", {})
        for name, text in _strings(base).items():
            found[name] = text.replace("{}", ", ".join(map(str, words.get(name, ()))))
    return found


def _strings(kind: type) -> dict[str, str]:
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for line, after in zip(body.body, body.body[1:], strict=False):
        is_field = isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
        if is_field and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            found[line.target.id] = str(after.value.value)  # pyright: ignore
    return found
