"""A Study: where the files of a plan are, and which of its runs are done.

A run is done if the aggregate has it (the tracked experiment.json: so a fresh clone skips what
somebody has already run) or its own folder does. An override makes another folder of arms and an
aggregate of its own, so that it cannot touch the record of the plan as written.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

from harness.experiment import DONE, Experiment, Run
from harness.plan import Plan, arm_key, as_dict, digest
from harness.record import rows as protocol
from harness.record import store
from harness.record.checkpoint import load_checkpoint


@dataclass(frozen=True)
class Study:
    """One plan of one study with the overrides of this call, under a results root."""

    folder: str
    name: str
    plan: Plan
    root: Path
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """The folder of the plan, results/<folder>/<plan>."""
        return self.root / self.folder / self.name

    @property
    def out(self) -> Path:
        """The folder of the aggregate, report and figures of this call."""
        if not self.overrides:
            return self.home
        words = "_".join(f"{k}-{v}" for k, v in self.overrides.items())
        slug = re.sub(r"[^A-Za-z0-9_.+-]+", "-", words)
        return self.home / (slug if len(slug) <= 60 else digest(dict(self.overrides)))

    def arm_dir(self, arm: str) -> Path:
        """Return the folder of one arm."""
        return self.home / arm_key(arm, self.plan.arms[arm])

    def seed_dir(self, arm: str, seed: int) -> Path:
        """Return the folder of one run."""
        return self.arm_dir(arm) / f"seed-{seed}"

    def checkpoint(self, arm: str, seeds: list[int]) -> Path:
        """Return the checkpoint file of seeds that train side by side."""
        return self.arm_dir(arm) / f"group-{digest({'seeds': seeds})}.pt"

    def new_run(self, arm: str, seed: int) -> Run:
        """Return an empty run of this arm."""
        config = self.plan.arms[arm]
        return Run(arm, seed, arm_key(arm, config), as_dict(config))

    def aggregate(self) -> Experiment:
        """Return the stored aggregate, or an empty one.

        Raises:
            ValueError: it was made with another config under the same hash; names the field.
        """
        path = self.out / "experiment.json"
        if not path.exists():
            return Experiment(self.folder, self.name, self.plan.question)
        stored = store.load(path)
        stored.question = self.plan.question
        keys = {arm_key(k, v): as_dict(v) for k, v in self.plan.arms.items()}
        stored.runs = [run for run in stored.runs if run.key in keys]
        for run in stored.runs:
            store.compare_config(run.config, keys[run.key], f"{path} ({run.arm}, seed {run.seed})")
        return stored

    def collect(self) -> Experiment:
        """Return aggregate and run folders together in the order of the plan; folders win."""
        whole = self.aggregate()
        runs = {(run.arm, run.seed): run for run in whole.runs}
        for run, provenance in self._folders():
            runs[run.arm, run.seed] = run
            if run.provenance:
                whole.provenance[run.provenance] = provenance
        rank = {arm: i for i, arm in enumerate(self.plan.arms)}
        whole.runs = sorted(runs.values(), key=lambda run: (rank[run.arm], run.seed))
        used = {run.provenance for run in whole.runs}
        whole.provenance = {k: v for k, v in whole.provenance.items() if k in used}
        for run in whole.runs:
            protocol.tell_broken(run)
        return whole

    def save(self, known: Experiment | None = None) -> Experiment:
        """Bring the aggregate up to all there is; safe beside other processes.

        A file that says the same already is left as it is, to the byte: it may be tracked.

        Args:
            known: What collect() gave a moment ago, where nothing was trained since. It saves
                reading the run folders again unless the aggregate lacks some of it.
        """
        with store.locked(self.home / ".lock"):
            whole = known or self.collect()
            if whole.runs and not self._says_the_same(whole):
                whole = self.collect() if known else whole
                self._keep_what_the_plan_dropped()
                store.save(whole, self.out)
            elif whole.runs and not (self.out / "experiment.pkl").exists():
                store.dump(whole, self.out / "experiment.pkl")
        return whole

    def _says_the_same(self, whole: Experiment) -> bool:
        """Return whether the stored aggregate holds these runs, whatever version wrote it."""
        path = self.out / "experiment.json"
        if not path.exists():
            return False
        stored = store.load(path)
        key = attrgetter("arm", "seed")
        same_runs = sorted(stored.runs, key=key) == sorted(whole.runs, key=key)
        return same_runs and whole.provenance.items() <= stored.provenance.items()

    def _keep_what_the_plan_dropped(self) -> None:
        """Put a record aside that holds runs of arms that have left the plan."""
        path = self.out / "experiment.json"
        keys = {arm_key(k, v) for k, v in self.plan.arms.items()}
        if path.exists() and any(run.key not in keys for run in store.load(path).runs):
            content = path.read_bytes()
            name = f"experiment-before-{hashlib.sha256(content).hexdigest()[:8]}.json"
            store.write(self.out / name, content)

    def check_configs(self) -> None:
        """Refuse, before anything runs, a folder that was made with another config.

        Raises:
            ValueError: names the folder and the field.
        """
        for arm, config in self.plan.arms.items():
            for path in sorted(self.arm_dir(arm).glob("seed-*/config.json")):
                store.check_config(path.parent, as_dict(config))

    def abandoned(self, arm: str, seed: int) -> bool:
        """Return whether this run is neither done nor in the hands of a process."""
        folder = self.seed_dir(arm, seed)
        with store.claim(folder) as mine:
            return mine and store.load_run(folder) is None

    def _folders(self) -> Iterator[tuple[Run, dict[str, Any]]]:
        for arm in self.plan.arms:
            for folder in sorted(self.arm_dir(arm).glob("seed-*")):
                run = store.load_run(folder)
                if run is None:
                    continue
                store.compare_config(run.config, as_dict(self.plan.arms[arm]), str(folder))
                path = self.home / "provenance" / f"{run.provenance}.json"
                yield run, store.read_json(path) if path.exists() else {}

    def save_provenance(self, facts: dict[str, Any]) -> str:
        """Keep where and with what this call ran; returns the key that its runs carry."""
        key = digest(facts)
        store.write(self.home / "provenance" / f"{key}.json", store.to_json(facts))
        return key

    def state(self, arm: str, seed: int, whole: Experiment) -> str:
        """Return "done", "failed", "partial" (with the epoch) or "to do"."""
        return self.states((arm,), (seed,), whole)[arm, seed]

    def states(
        self, arms: Sequence[str], seeds: Sequence[int], whole: Experiment
    ) -> dict[tuple[str, int], str]:
        """Return the state of every run of these arms and seeds, reading what is there once."""
        found = {(arm, seed): "to do" for arm in arms for seed in seeds}
        for arm in arms:
            for path in self.arm_dir(arm).glob("group-*.pt"):
                saved = load_checkpoint(path) or {"seeds": ()}
                for seed in saved["seeds"]:
                    found[arm, seed] = f"partial (epoch {saved['epochs']})"
        found |= {(run.arm, run.seed): run.status for run in whole.runs}
        return found

    def to_do(self, arm: str, seeds: Sequence[int], whole: Experiment) -> list[int]:
        """Return the seeds of this arm that are not done."""
        return self.opened((arm,), seeds, whole)[arm]

    def opened(
        self, arms: Sequence[str], seeds: Sequence[int], whole: Experiment
    ) -> dict[str, list[int]]:
        """Return the seeds of each arm that are not done, in one pass over the record."""
        done = {(run.arm, run.seed) for run in whole.runs if run.status == DONE}
        return {arm: [seed for seed in seeds if (arm, seed) not in done] for arm in arms}
