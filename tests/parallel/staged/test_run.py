"""The trainer of the pipeline studies: rows, arms that diverge, resuming, and what is refused."""

import json
import math
from dataclasses import replace

import pytest
import torch

from harness.job import Job
from harness.plan import Plan, arm_key
from harness.record.study import Study
from harness.sweep.runner import Sweep
from harness.sweep.show import Quiet
from parallel import trainer
from parallel.experiments import PLANS
from parallel.pipeline.policies import POLICIES
from parallel.plans import optimizers, spectrain, staleness
from parallel.plans.staged import POLICY_NAMES, Staged
from parallel.staged import nets, run, setting

TINY = Staged("spectrain_v1", first=96, epochs=3)
IMAGES = dict(data="synthetic_images", first=12, batch_size=6, epochs=1, test_split="holdout")
NETS = {"vgg16": 1, "resnet50": 4, "densenet121": 2, "googlenet": 8}


def test_the_names_of_policies_are_those_that_there_are():
    official = {name for name in POLICIES if name.endswith("_official")}
    assert set(POLICY_NAMES) == set(POLICIES) - official


@pytest.mark.parametrize(
    "plan", [*staleness.PLANS, *spectrain.PLANS, *optimizers.PLANS], ids=lambda name: name
)
def test_a_dry_run_of_a_plan_says_where_every_run_would_go(plan, command):
    done = command("parallel", plan, "--dry-run", "--seeds", "1", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == len(PLANS[plan].arms)


@pytest.mark.parametrize("plan", [*staleness.PLANS, *spectrain.PLANS, *optimizers.PLANS])
def test_arms_have_keys_of_their_own_and_what_is_compared_is_there(plan):
    arms = PLANS[plan].arms
    assert len({arm_key(name, config) for name, config in arms.items()}) == len(arms)
    assert {name for pair in PLANS[plan].compare for name in pair} <= set(arms)


def test_every_arm_of_texts_makes_enough_updates_to_leave_chance():
    for config in PLANS["spectrain_texts"].arms.values():
        assert config.epochs * math.ceil(config.first / config.batch_size) >= 1250


@pytest.mark.parametrize("name", staleness.METHODS)
def test_every_method_trains_and_tells_a_row_per_epoch(name):
    config = staleness.method(TINY, name, 4, 0.01)
    rows = list(run.train_stack(config, [0, 1], Job()))
    assert [[row["epoch"] for row in both] for both in rows] == [[1, 1], [2, 2], [3, 3]]
    last = rows[-1][0]
    assert last["train_loss"] < rows[0][0]["train_loss"]
    assert last["test_accuracy"] == round(last["test_accuracy"], 4)


def test_a_run_that_diverges_ends_with_the_accuracy_of_guessing():
    """Alone and in a stack, it tells all its rows and fails nothing."""
    config = replace(TINY, stages=8, lr=5.0)
    alone = list(run.train(config, 0, Job()))
    together = list(run.train_stack(config, [0, 1], Job()))
    for row in (alone[-1], *together[-1]):
        assert row["test_accuracy"] == 0.1
        assert row["train_loss"] is row["test_loss"] is None
    assert [len(alone), len(together)] == [3, 3]
    assert "failed" not in alone[-1]


def test_a_run_that_has_diverged_goes_on_as_such():
    config = replace(TINY, stages=8, lr=5.0)
    job = Job()
    rows = run.train(config, 0, job)
    first = [next(rows), next(rows)]
    rest = list(run.train(config, 0, Job(saved=job.state(2))))
    assert [row["epoch"] for row in first + rest] == [1, 2, 3]
    assert rest == [first[1] | {"epoch": 3}]


@pytest.mark.parametrize("weights", ["sgd", "spectrain_v1", "two_bw"])
def test_a_resumed_run_is_the_uninterrupted_one(weights, tmp_path):
    """Through the runner and a file, cut off in the third epoch."""
    plan = Plan("?", {"a": staleness.method(TINY, weights, 4, 0.01)}, (0, 1), 1)

    def sweep(folder, stop):
        def train_stack(config, seeds, job):
            for epoch, rows in enumerate(trainer.train_stack(config, seeds, job)):
                if stop and epoch == 2:
                    raise KeyboardInterrupt
                yield rows

        class Trainer:
            describe = staticmethod(trainer.describe)

        Trainer.train_stack = staticmethod(train_stack)
        study = Study("parallel", "tried", plan, tmp_path / folder)
        return Sweep(study, Trainer, (0, 1), ("a",), Quiet(), checkpoint_every=0.0).run()

    whole = sweep("whole", False)
    with pytest.raises(KeyboardInterrupt):
        sweep("parts", True)
    parts = sweep("parts", False)
    assert [r.rows for r in parts.runs] == [r.rows for r in whole.runs]
    assert len(parts.runs[0].rows) == 3


def test_an_arm_alone_goes_on_bitwise_too():
    config = replace(TINY, net="residual_mlp", weights="vanilla")
    whole = list(run.train(config, 0, Job()))
    job = Job()
    rows = run.train(config, 0, job)
    next(rows)
    rest = list(run.train(config, 0, Job(saved=job.state(1))))
    keys = "epoch", "train_loss", "test_loss", "test_accuracy"
    assert [[r[k] for k in keys] for r in rest] == [[r[k] for k in keys] for r in whole[1:]]


def test_seeds_stack_where_layers_are_linear_and_the_optimizer_goes_by_element():
    assert trainer.stacks(TINY)
    assert not trainer.stacks(replace(TINY, optimizer="muon", bias=False))
    assert not trainer.stacks(PLANS["spectrain_images"].arms["vgg16-sgd"])
    assert not trainer.stacks(PLANS["workers"].arms["all-reduce-1"])


@pytest.mark.parametrize("stages", [1, 2, 4])
@pytest.mark.parametrize("net", NETS)
def test_nets_of_images_are_cut_at_their_places_and_train(net, stages):
    weights = "sgd" if stages == 1 else "vanilla"
    config = Staged(weights, net=net, width=NETS[net], stages=stages, **IMAGES)
    training = run.opened(config, 0, Job())
    assert len(training.copies.each[0].parts.modules) == stages
    training.step()
    training.step()
    assert math.isfinite(sum(float(loss) for loss, _ in training.tally.losses))


def test_the_arms_of_an_image_net_without_a_pipeline_are_plain_training():
    """By hand, with torch's own loop: the first updates of VGG16 without dropout."""
    config = Staged("sgd", stages=1, net="vgg16", width=1, **IMAGES)
    training = run.opened(config, 3, Job())
    data, net = setting.read(config, Job()), nets.build(config, training.data, 3)
    for part in (net, training.model):
        for module in part.modules():
            if hasattr(module, "p"):
                module.p = 0.0
    optimizer = setting.optimizer(config)(net.parameters())
    for step in (1, 2):
        index = training.shards.at(step)[0]
        optimizer.zero_grad()
        out = net(data.train_x[index])
        torch.nn.functional.cross_entropy(out, data.train_y[index]).backward()
        optimizer.step()
        training.step()
    for name, value in training.consensus().items():
        torch.testing.assert_close(value, net.state_dict()[name])


def test_wrong_settings_are_refused_with_what_would_do():
    with pytest.raises(ValueError, match="did you mean 'pipedream'"):
        Staged("pipedraem")
    with pytest.raises(ValueError, match="vgg16 is cut into 2 or 4 stages"):
        Staged("vanilla", net="vgg16", stages=3)
    with pytest.raises(ValueError, match="spike goes with optimizer='sgd'"):
        Staged("vanilla", optimizer="adamw", spike=True)
    with pytest.raises(ValueError, match="needs micro=7 or more"):
        trainer.check(Staged("two_bw", stages=8), Job())


def test_a_torch_without_muon_is_told_so(monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    with pytest.raises(ValueError, match="has no Muon"):
        trainer.check(Staged("sgd", optimizer="muon", bias=False), Job())
