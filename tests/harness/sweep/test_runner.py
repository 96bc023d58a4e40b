"""Sweeps that are interrupted, killed, shared, or meet a bad run."""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from harness.data import DataError
from harness.experiment import FAILED
from harness.job import Job
from harness.plan import Plan
from harness.record import store, weights
from harness.record.study import Study
from harness.sweep.runner import Sweep
from harness.sweep.show import Bars, Lines, Quiet

TIMES = ("group_time", "train_time", "inference_time")


@dataclass(frozen=True)
class Config:
    """A walk of some steps."""

    pull: float
    epochs: int = 6


class Walk:
    """A trainer that is a random walk: no nets, but real state, seeds, and a checkpoint."""

    def __init__(self, stop=None):
        self.stop, self.calls = stop, []

    def train_stack(self, config, seeds, job):
        self.calls.append((config.pull, list(seeds)))
        walk = torch.nn.Linear(len(seeds), 1, bias=False)
        torch.nn.init.zeros_(walk.weight)
        for epoch in range(job.attach(walk=walk), config.epochs):
            if self.stop:
                self.stop(config, epoch)
            noise = [
                torch.randn((), generator=torch.Generator().manual_seed(99 * s + epoch))
                for s in seeds
            ]
            with torch.no_grad():
                walk.weight.mul_(config.pull).add_(torch.stack(noise))
            yield [
                {"epoch": epoch + 1, "test_accuracy": v} | self.extra(s, epoch)
                for s, v in zip(seeds, walk.weight[0].tolist(), strict=True)
            ]

    def extra(self, seed, epoch):
        return {}

    def describe(self, config, job):
        return {"flops": 1}


PLAN = Plan("how far?", {"a": Config(0.5), "b": Config(0.9)}, (0, 1, 2), 1)


def sweep(root, trainer, seeds=(0, 1, 2), plan=PLAN, every=0.0):
    study = Study("walk", "smoke", plan, Path(root))
    return Sweep(study, trainer, seeds, tuple(plan.arms), Quiet(), checkpoint_every=every)


def curves(experiment):
    return {
        (run.arm, run.seed): [{k: v for k, v in row.items() if k not in TIMES} for row in run.rows]
        for run in experiment.runs
    }


@pytest.fixture
def reference(tmp_path):
    return curves(sweep(tmp_path / "reference", Walk()).run())


def test_a_whole_sweep(tmp_path, reference):
    assert set(reference) == {(arm, s) for arm in "ab" for s in (0, 1, 2)}
    home = tmp_path / "reference" / "walk" / "smoke"
    assert store.load(home / "experiment.json") == store.load(home / "experiment.pkl")
    whole = store.load(home / "experiment.json")
    assert whole.runs[0].facts == {"flops": 1}
    assert whole.provenance[whole.runs[0].provenance]["versions"]["torch"] in torch.__version__
    assert not list(home.rglob("*.pt"))
    lines = (next(home.glob("a-*")) / "seed-1" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == whole.runs[1].rows


def test_the_same_again_does_nothing(tmp_path, reference):
    trainer = Walk()
    assert curves(sweep(tmp_path / "reference", trainer).run()) == reference
    assert trainer.calls == []


def test_more_seeds_train_only_those(tmp_path, reference):
    trainer = Walk()
    more = sweep(tmp_path / "reference", trainer, seeds=(0, 1, 2, 3)).run()
    assert trainer.calls == [(0.5, [3]), (0.9, [3])]
    assert {k: v for k, v in curves(more).items() if k[1] < 3} == reference


@pytest.mark.parametrize("moment", [("a", 0), ("a", 3), ("b", 5)])
def test_interrupted_then_resumed_is_bitwise_the_same(tmp_path, reference, moment):
    def stop(config, epoch):
        if ({0.5: "a", 0.9: "b"}[config.pull], epoch) == moment:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path, Walk(stop)).run()
    trainer = Walk()
    assert curves(sweep(tmp_path, trainer).run()) == reference
    assert len(trainer.calls) == (2 if moment[0] == "a" else 1)


def test_a_checkpoint_is_continued_not_repeated(tmp_path, reference):
    seen = []

    def stop(config, epoch):
        seen.append(epoch)
        if epoch == 4 and seen.count(4) == 1:
            raise KeyboardInterrupt

    trainer, one = Walk(stop), sweep(tmp_path, Walk())
    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path, trainer).run()
    file = one.study.seed_dir("a", 0) / "metrics.jsonl"
    with open(file, "a") as rows:  # as if killed after the checkpoint, in the middle of a line
        rows.write('{"epoch": 5, "test_accuracy": 9}\n{"epo')
    assert curves(sweep(tmp_path, trainer).run()) == reference
    assert seen == [0, 1, 2, 3, 4, 4, 5, 0, 1, 2, 3, 4, 5]
    written = [json.loads(line) for line in file.read_text().splitlines()]
    assert written == reference["a", 0]


def test_a_group_that_was_cut_short_goes_on_as_it_was_when_more_seeds_are_asked(
    tmp_path, reference
):
    def stop(config, epoch):
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path, Walk(stop), seeds=(0, 2)).run()
    trainer = Walk()
    assert curves(sweep(tmp_path, trainer).run()) == reference
    assert trainer.calls[:2] == [(0.5, [0, 2]), (0.5, [1])]


def test_a_bad_arm_is_listed_and_the_others_are_kept(tmp_path, reference):
    def stop(config, epoch):
        if config.pull == 0.5 and epoch == 2:
            raise RuntimeError("out of luck")

    whole = sweep(tmp_path, Walk(stop)).run()
    failed = [run for run in whole.runs if run.status == FAILED]
    assert {run.arm for run in failed} == {"a"}
    assert failed[0].error == "RuntimeError: out of luck"
    assert len(failed[0].rows) == 2
    assert {k: v for k, v in curves(whole).items() if k[0] == "b"} == {
        k: v for k, v in reference.items() if k[0] == "b"
    }
    assert curves(sweep(tmp_path, Walk()).run()) == reference  # failed runs are tried again


def test_a_bad_seed_does_not_stop_its_group(tmp_path, reference):
    class Nan(Walk):
        def extra(self, seed, epoch):
            return (
                {"failed": f"the loss became nan at step 7 of epoch {epoch + 1}"}
                if (seed == 1 and epoch >= 3)
                else {}
            )

    whole = sweep(tmp_path, Nan()).run()
    failed = [run for run in whole.runs if run.status == FAILED]
    assert [(run.arm, run.seed, len(run.rows)) for run in failed] == [("a", 1, 4), ("b", 1, 4)]
    assert failed[0].error == "the loss became nan at step 7 of epoch 4"
    for key, rows in curves(whole).items():
        if key[1] != 1:
            assert rows == reference[key]


def test_missing_data_stops_the_sweep_at_once(tmp_path):
    def stop(config, epoch):
        raise DataError("no files")

    trainer = Walk(stop)
    with pytest.raises(DataError):
        sweep(tmp_path, trainer).run()
    assert len(trainer.calls) == 1


def test_a_seed_that_ends_before_the_others_keeps_its_own_length(tmp_path, capsys):
    class Ending(Walk):
        def train_stack(self, config, seeds, job):
            for epoch, rows in enumerate(super().train_stack(config, seeds, job)):
                yield [r if epoch < 4 or r is rows[1] else None for r in rows]

    whole = sweep(tmp_path, Ending()).run()
    assert {run.seed: len(run.rows) for run in whole.runs if run.arm == "a"} == {0: 4, 1: 6, 2: 4}
    assert not [run for run in whole.runs if run.status == FAILED]
    for show in (Lines(1), Bars(1)):
        show.begin("a", [0, 1], 9, Job())
        show.rows("a", [0, 1], [None, {"epoch": 3, "train_loss": 0.5}])
        show.end("a", [0, 1])
        show.close()
    assert "loss 0.5000" in capsys.readouterr().err


def test_trainers_of_single_seeds(tmp_path):
    def train(config, seed, job):
        yield {"epoch": 1, "test_accuracy": float(seed)}

    whole = sweep(tmp_path, SimpleNamespace(train=train)).run()
    assert whole.final("b", "test_accuracy") == {0: 0.0, 1: 1.0, 2: 2.0}


def test_single_seeds_are_shared_one_by_one_and_their_weights_kept(tmp_path):
    """Another process holds one seed of an arm: the rest of the arm is done all the same."""
    done = []

    def train(config, seed, job):
        net = torch.nn.Linear(1, 1)
        torch.nn.init.constant_(net.weight, seed)
        job.attach(net=net)
        done.append((config.pull, seed))
        yield {"epoch": 1, "test_accuracy": 0.5}

    s = sweep(tmp_path, SimpleNamespace(train=train), plan=replace(PLAN, keep=True))
    with store.claim(s.study.seed_dir("a", 1)) as mine:
        assert mine
        whole = s.run()
    assert done == [(0.5, 0), (0.5, 2), (0.9, 0), (0.9, 1), (0.9, 2)]
    assert len(whole.done()) == 5
    net = torch.nn.Linear(1, 1)
    weights.load(s.study.seed_dir("b", 2) / weights.FILE, net)
    assert net.weight.item() == 2
    assert not list(tmp_path.rglob("group-*.pt"))


def test_the_tracked_aggregate_counts_as_done(tmp_path, reference):
    home = tmp_path / "reference" / "walk" / "smoke"
    clone = tmp_path / "clone" / "walk" / "smoke"
    clone.mkdir(parents=True)
    (clone / "experiment.json").write_text((home / "experiment.json").read_text())
    trainer = Walk()
    whole = sweep(tmp_path / "clone", trainer).run()
    assert trainer.calls == []
    assert curves(whole) == reference
    assert whole.provenance


def test_a_changed_default_under_the_same_hash_is_refused(tmp_path, reference):
    path = tmp_path / "reference" / "walk" / "smoke" / "experiment.json"
    path.write_text(path.read_text().replace('"epochs":6', '"epochs":5'))
    with pytest.raises(ValueError, match="was made with epochs=5, now it is 6"):
        sweep(tmp_path / "reference", Walk()).run()


def test_a_full_disk_ends_the_sweep_with_old_files_intact(tmp_path, reference, monkeypatch):
    root = tmp_path / "reference"
    before = (root / "walk" / "smoke" / "experiment.json").read_text()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        sweep(root, Walk(), seeds=(0, 5)).run()
    assert (root / "walk" / "smoke" / "experiment.json").read_text() == before


def test_overrides_go_to_folders_of_their_own(tmp_path, reference):
    root = tmp_path / "reference"
    path = root / "walk" / "smoke" / "experiment.json"
    before = path.read_text()
    study = Study("walk", "smoke", PLAN.override({"epochs": 2}), root, {"epochs": 2})
    whole = Sweep(study, Walk(), (0,), ("a",), Quiet()).run()
    assert len(whole.runs) == 1
    assert len(whole.runs[0].rows) == 2
    assert study.out == root / "walk" / "smoke" / "epochs-2"
    assert path.read_text() == before


def test_a_run_that_has_just_failed_elsewhere_is_not_tried_again(tmp_path, monkeypatch):
    """Two members of a crew: the second comes to an arm at which the first has failed."""

    def stop(config, epoch):
        raise RuntimeError("no")

    first, second = Walk(stop), Walk(stop)
    late = sweep(tmp_path, second)
    before = late.study.collect()
    sweep(tmp_path, first).run()
    late.study.collect()
    late._arm("a", late.study.to_do("a", late.seeds, before))
    assert second.calls == []
    sweep(tmp_path, second).run()  # a later call does try
    assert len(second.calls) == 2


def test_a_record_with_arms_that_the_plan_dropped_is_put_aside(tmp_path, reference):
    root = tmp_path / "reference"
    smaller = Plan("how far?", {"b": PLAN.arms["b"]}, (0, 1, 2), 1)
    sweep(root, Walk(), plan=smaller).run()
    (kept,) = (root / "walk" / "smoke").glob("experiment-before-*.json")
    assert curves(store.load(kept)) == reference


def test_configs_are_checked_before_anything_runs(tmp_path, reference):
    study = sweep(tmp_path / "reference", Walk()).study
    study.check_configs()
    path = study.seed_dir("b", 1) / "config.json"
    path.write_text(path.read_text().replace("0.9", "0.8"))
    with pytest.raises(ValueError, match=r"seed-1 was made with pull=0\.8, now it is 0\.9"):
        study.check_configs()


def test_status_tells_what_a_checkpoint_holds(tmp_path):
    def stop(config, epoch):
        if epoch == 3:
            raise KeyboardInterrupt

    late = sweep(tmp_path / "late", Walk(stop), every=1000.0)
    early = sweep(tmp_path / "early", Walk(stop))
    for one in (late, early):
        with pytest.raises(KeyboardInterrupt):
            one.run()
    whole = late.study.collect()
    assert late.study.state("a", 0, whole) == "to do"
    assert early.study.state("a", 0, whole) == "partial (epoch 3)"
    assert early.study.state("b", 0, whole) == "to do"


def test_a_trainer_of_both_kinds_says_which_arms_train_as_one_stack(tmp_path):
    class Both(Walk):
        """Seeds of arm a side by side, those of arm b one by one."""

        def stacks(self, config):
            return config.pull == 0.5

        def train(self, config, seed, job):
            for (row,) in super().train_stack(config, [seed], job):
                yield row

    trainer = Both()
    whole = sweep(tmp_path / "both", trainer).run()
    assert trainer.calls == [(0.5, [0, 1, 2]), (0.9, [0]), (0.9, [1]), (0.9, [2])]
    assert curves(whole) == curves(sweep(tmp_path / "stack", Walk()).run())


def test_stacks_have_the_same_members_whichever_are_left(tmp_path, reference):
    plan, trainer = replace(PLAN, members=2), Walk()
    sweep(tmp_path / "apart", trainer, seeds=(1,), plan=plan).run()
    assert curves(sweep(tmp_path / "apart", trainer, plan=plan).run()) == reference
    calls = [(1,), (0,), (2,)]
    assert [seeds for pull, seeds in trainer.calls if pull == 0.5] == [list(c) for c in calls]
    assert plan.stacked((0, 1, 2, 5, 4)) == [(0, 1), (2,), (5, 4)]
    assert PLAN.stacked((0, 2)) == [(0, 2)]
    with pytest.raises(ValueError, match="members of a stack are at least 1, got 0"):
        replace(PLAN, members=0)


def test_an_interrupted_stack_goes_on_beside_the_others(tmp_path, reference):
    plan = replace(PLAN, members=2)

    def stop(config, epoch):
        if config.pull == 0.9 and epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path / "apart", Walk(stop), plan=plan).run()
    trainer = Walk()
    assert curves(sweep(tmp_path / "apart", trainer, plan=plan).run()) == reference
    assert trainer.calls == [(0.9, [0, 1]), (0.9, [2])]
