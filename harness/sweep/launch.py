"""Leads from parsed options to a finished study: where it runs, by how many, what is left."""

import contextlib
import ctypes
import itertools
import json
import os
import shlex
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from harness.data.names import CSV, DATASETS
from harness.engine import ENGINES, guest
from harness.engine.machine import pick_device
from harness.engine.protocol import Detached, Group
from harness.experiment import Experiment
from harness.job import Job
from harness.plan import duration
from harness.record import store
from harness.record.study import Study
from harness.result import report
from harness.sweep import modules, stands
from harness.sweep.crew import Crew
from harness.sweep.options import Options
from harness.sweep.runner import Sweep, check_arm
from harness.sweep.show import Events, Quiet, make_show


def dry_run(study: Study, arms: Sequence[str], seeds: Sequence[int], as_json: bool) -> int:
    """Show status and folder of every run, without touching anything.

    Raises:
        ValueError: an arm could not train.
    """
    _check_files(study, arms, seeds)
    whole = study.collect()
    if study.overrides:  # (a plan as written is known to train: no need to pay for torch)
        todo = study.opened(arms, seeds, whole)
        check_arms(study, [arm for arm in arms if todo[arm]])
    states = study.states(arms, seeds, whole)
    lines = [
        {
            "name": f"{arm} seed {seed}",
            "status": states[arm, seed],
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


def run(
    study: Study, arms: Sequence[str], seeds: Sequence[int], options: Options, argv: Sequence[str]
) -> int:
    """Run what is not done, write aggregate, figures and report; returns the exit status.

    `argv` is the command line without the folder, for the members of a crew to repeat.
    """
    from harness.sweep.finish import finish

    if not os.environ.get("IDDL_MEMBER"):
        _check_files(study, arms, seeds)
    _check_writable(study.out)
    if options.data_root:
        os.environ["IDDL_DATA"] = options.data_root
    _heed_signals()
    if os.environ.get("IDDL_MEMBER"):  # (it is where the engine has put it: this machine's device)
        return _member(study, arms, seeds, options)
    device = ENGINES[options.engine].device(options.device, study.plan.gpus)
    quiet = options.quiet or options.json
    if not quiet:
        _banner(study, arms, seeds)
    if options.pid:
        store.write(options.pid, f"{os.getpid()}\n")
    whole = study.collect()
    study.check_configs()
    todo = study.opened(arms, seeds, whole)
    busy = [arm for arm in arms if todo[arm]]
    if options.keep_weights and len(busy) < len(arms):
        print(
            "runs that are done are not trained again for their weights; --results DIR trains them "
            "in another folder",
            file=sys.stderr,
        )
    if not busy and not quiet:
        anew = shlex.join(["python", "-m", study.folder, *_elsewhere(argv, study.root)])
        print(
            f"nothing to train: all of these runs are on record in {study.out}; to train them "
            f"anew, in a folder of your own: {anew}",
            file=sys.stderr,
        )
    try:
        if busy:
            whole = _work(study, busy, seeds, whole, options, device, quiet, argv)
        else:
            whole = study.save(whole)
    except Detached as gone:
        print(gone, file=sys.stderr)
        return 0
    except BaseException:
        whole = study.save()  # what is done so far
        raise
    finally:
        if options.dump and whole.runs:
            store.dump(whole, options.dump)
    return finish(study, whole, arms, tuple(seeds), options)


def _elsewhere(argv: Sequence[str], root: Path) -> list[str]:
    """Return the same command line with results in another folder of one's own."""
    words = [*argv]
    for i, word in enumerate(argv):
        if word.split("=")[0] == "--results":
            del words[i : i + (1 if "=" in word else 2)]
            break
    return [*words, "--results", _another(root)]


def _another(root: Path) -> str:
    """Return the name `mine`, or one that is free where results are in such a folder already."""
    if not root.name.startswith("mine"):
        return "mine"
    return next(name for n in itertools.count(2) if not Path(name := f"mine-{n}").exists())


def _member(study: Study, arms: Sequence[str], seeds: Sequence[int], options: Options) -> int:
    """Train what is free, and tell it; on another machine only after a look around."""
    try:
        guest.enter()
    except guest.Refused as error:
        Events().refused(str(error), error.everywhere)
        return 0
    _sweep(study, arms, seeds, options, pick_device(options.device), Events())
    return 0


def _groups(
    study: Study, busy: Sequence[str], seeds: Sequence[int], whole: Experiment
) -> list[Group]:
    """Return the trainings that there are: a stack of seeds is one, where they train so."""
    trainer, found = modules.trainer(study.folder), list[Group]()
    for arm, todo in study.opened(busy, seeds, whole).items():
        alone = not modules.together(trainer, study.plan.arms[arm])
        stacks = [(seed,) for seed in todo] if alone else study.plan.stacked(todo)
        found += [(arm, stack) for stack in stacks]
    return found


def _work(
    study: Study, busy, seeds, whole: Experiment, options: Options, device: str, quiet: bool, argv
) -> Experiment:
    """Run by a crew or in this process, with equally many threads, so that bits do not change."""
    groups, engine = _groups(study, busy, seeds, whole), ENGINES[options.engine]
    threads = study.plan.threads if device == "cpu" else None
    size, each = engine.share(options.jobs, threads, len(groups))
    show = make_show(len(groups), quiet, study.plan.measure.name, study.plan.row)
    try:
        if not size:
            if threads:
                _set_threads(threads)
            return _sweep(study, busy, seeds, options, device, show, whole)
        command = [sys.executable, "-m", study.folder, *argv, "--jobs", "1"]
        command += [] if engine is ENGINES["local"] else ["--device", device]
        live, place = report.Live(study), options.place
        card = int(device != "cpu")  # where the plan does not say how many
        if Crew(study, groups, size, each, show, live, engine, place, card).run(command) == 2:
            raise ValueError("no arm could run; the reason stands above")
        return study.save()
    finally:
        show.close()


def _sweep(
    study: Study,
    arms,
    seeds,
    options: Options,
    device: str,
    show: Quiet,
    whole: Experiment | None = None,
) -> Experiment:
    keep_pages()
    return Sweep(
        study,
        modules.trainer(study.folder),
        tuple(seeds),
        tuple(arms),
        show,
        device=device,
        data_root=options.data_root,
        checkpoint_every=options.checkpoint_every,
        keep=options.keep_weights,
        live=None if isinstance(show, Events) else report.Live(study),
        whole=whole,
    ).run()


def check_arms(study: Study, arms: Sequence[str]) -> None:
    """Ask the trainer, before anything runs, whether these arms can train on embedded data.

    Raises:
        ValueError: names the arm and what does not fit.
    """
    trainer = modules.trainer(study.folder)
    for arm in arms:
        config = study.plan.arms[arm]
        home = str(DATASETS.get(getattr(config, "data", ""), ""))
        if home.startswith("harness.data.embedded:"):  # (others might have to be fetched)
            check_arm(trainer, arm, config, Job())


def _check_files(study: Study, arms: Sequence[str], seeds: Sequence[int]) -> None:
    """Read the CSV files of the arms that are to train, before a folder or a process is made.

    Raises:
        DataError: a file is missing or is no table, or is not the one that runs on record have.
    """
    data = {arm: getattr(study.plan.arms[arm], "data", "") for arm in arms}
    if not any(name.startswith(CSV) for name in data.values()):
        return
    from harness.data import load

    whole = study.collect()
    todo = study.opened(arms, seeds, whole)
    for arm, name in data.items():
        if name.startswith(CSV) and todo[arm]:
            load(name)
    stands.check(study, whole)


def keep_pages() -> None:
    """Have glibc keep the memory that tensors free.

    It gives blocks above 32 MiB back to the system after every operation and fetches them again,
    page by page. A training step of B-ResNet-18, width 64, batch 128, two threads, took 0.73 s so
    and 0.43 s with this (medians of three rounds in turn); at width 16 no difference was seen.
    """
    mmap_max, trim_threshold = -4, -1  # mallopt's own numbers for what it can set
    with contextlib.suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, -1)


def _set_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _heed_signals() -> None:
    """Let interrupt and termination end a run in order, also in a shell's background."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)


def _banner(study: Study, arms: Sequence[str], seeds: Sequence[int]) -> None:
    print(study.plan.question, file=sys.stderr)
    changed = ", ".join(f"{k}={v}" for k, v in study.overrides.items()) or "none"
    print(
        f"{_count(len(arms), 'arm')} x {_count(len(seeds), 'seed')}; {estimate(study, arms, seeds)}"
        f"; overrides: {changed}\nresults: {study.out}",
        file=sys.stderr,
    )


def estimate(study: Study, arms: Sequence[str], seeds: Sequence[int]) -> str:
    """Say how long this call may take: the plan's time, by its share of the plan's runs.

    What an override makes longer or shorter is not known.
    """
    whole = study.plan.minutes
    share = len(arms) * len(seeds) / (len(study.plan.arms) * len(study.plan.seeds))
    part = f" (the whole plan: {duration(whole)})" * (share != 1)
    own = ", with the plan's own settings" * bool(study.overrides)
    return f"estimate {duration(whole * share)} on 2 cores{part}{own}"


def _count(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


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
