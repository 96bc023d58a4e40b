"""The plan that asks which optimizers bear late weights: one update late, or as late as stashing.

    arm                    what it is
    sgd-adamw-4-0.001      AdamW, no pipeline, MLP of 4 layers
    two_bw-adamw-4-0.001   every stage one update late
    pipedream-muon-8-0.02  stage k late by 7-k

No layer has a bias, because Muon steps matrices only. Rates differ by optimizer, three for each.
"""

from dataclasses import replace
from itertools import product

from harness.plan import Plan
from parallel.plans.staged import Staged

RATES: dict[str, tuple[float, float, float]] = {
    "sgd": (0.002, 0.005, 0.01),
    "adamw": (0.0005, 0.001, 0.003),
    "nadam": (0.0005, 0.001, 0.003),
    "muon": (0.005, 0.01, 0.02),
}
TITLES = {"sgd": "SGD", "adamw": "AdamW", "nadam": "NAdam", "muon": "Muon"}
MOMENTUM = {"sgd": 0.9, "adamw": 0.9, "nadam": 0.99, "muon": 0.95}
METHODS = ("sgd", "two_bw", "pipedream")
STAGES = (4, 8)
BASE = Staged("sgd", bias=False)


def arms(base: Staged) -> dict[str, Staged]:
    """Each optimizer at its rates, without a pipeline and with two."""
    found = {}
    for n, (name, rates), method in product(STAGES, RATES.items(), METHODS):
        for rate in rates:
            micro = n - 1 if method == "two_bw" else 1
            own = dict(optimizer=name, momentum=MOMENTUM[name], lr=rate, stages=n, micro=micro)
            found[f"{method}-{name}-{n}-{rate:g}"] = replace(base, weights=method, **own)
    return found


PLANS = {
    "optimizers": Plan(
        question="Which optimizers bear late weights? SGD, AdamW, NAdam, Muon on digits.",
        arms=arms(BASE),
        seeds=tuple(range(10)),
        minutes=25,
        expect="2606.30634, language models: one update late costs AdamW much and Muon little.",
        compare=tuple(
            (f"{method}-{name}-{n}-{rate:g}", f"sgd-{name}-{n}-{rate:g}")
            for n, (name, rates), method in product(STAGES, RATES.items(), METHODS[1:])
            for rate in rates
        ),
        threads=1,
    ),
}
