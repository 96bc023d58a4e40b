"""Small made-up records of the plans of pipelines, for tests of what is told of them."""

from collections.abc import Callable
from dataclasses import asdict

from harness.experiment import Experiment, Run
from parallel.plans import optimizers, spectrain, staleness

PLANS = {**staleness.PLANS, **spectrain.PLANS, **optimizers.PLANS}


def run(name, config, seed, accuracy):
    """One finished run of one row."""
    row = {"epoch": 1, "train_loss": 1.0, "test_loss": 1.0, "test_accuracy": accuracy}
    return Run(name, seed, name, asdict(config), [row], {"split": "360 others"})


def made(
    plan: str,
    value: Callable[[str, int], float],
    seeds=(0, 1, 2),
    wanted: Callable[[str], bool] = bool,
) -> Experiment:
    """A record of the arms that are wanted; value(arm, seed) is an accuracy."""
    runs = [
        run(name, config, seed, value(name, seed))
        for name, config in PLANS[plan].arms.items()
        if wanted(name)
        for seed in seeds
    ]
    return Experiment("parallel", plan, "?", runs)
