"""The twelve models of the original study: an input of 784 pixels (64 for digits), ten classes.

(M, N) = (q^2, q(q+1)) for q = 4..7, so that the second sparse layer is the whole table of its q.

    name        hidden      connections on 784 inputs
    MLP-3-1     16, 20      13064       B-MLP-3-1, R-MLP-3-1     728
    MLP-3-2     25, 30      20650       B-MLP-3-2, R-MLP-3-2    1150
    MLP-3-3     36, 42      30156       B-MLP-3-3, R-MLP-3-3    1680
    MLP-3-4     49, 56      41720       B-MLP-3-4, R-MLP-3-4    2324

B- layers follow the pattern `iddl`, R- layers hold as many connections anywhere, anew per seed.
"""

from dataclasses import replace

from harness.plan import Plan
from mlp.plans.config import Config

HIDDEN = {"3-1": (16, 20), "3-2": (25, 30), "3-3": (36, 42), "3-4": (49, 56)}
FAMILIES = {"MLP": "dense", "B-MLP": "iddl", "R-MLP": "random"}

# The original study's settings: sparse layers start by dense fan-in and have no bias.
ORIGINAL = Config(hidden=(1,), init="dense", sparse_bias=False)


def twelve(base: Config) -> dict[str, Config]:
    """Return the twelve models with the settings of `base`."""
    return {
        f"{family}-{size}": replace(base, hidden=hidden, pattern=pattern)
        for family, pattern in FAMILIES.items()
        for size, hidden in HIDDEN.items()
    }


SPARSE_PAIRS = tuple((f"B-MLP-{size}", f"R-MLP-{size}") for size in HIDDEN)
DENSE_PAIRS = tuple((f"B-MLP-{size}", f"MLP-{size}") for size in HIDDEN)

# The accuracies that the original study published: one unseeded run each, last of 10 epochs. The
# last three are the 112-56 models of its notebook.
PUBLISHED = {
    "MLP-3-1": 0.9486,
    "MLP-3-2": 0.9556,
    "MLP-3-3": 0.9583,
    "MLP-3-4": 0.9646,
    "B-MLP-3-1": 0.8396,
    "B-MLP-3-2": 0.8665,
    "B-MLP-3-3": 0.8884,
    "B-MLP-3-4": 0.8925,
    "R-MLP-3-1": 0.8289,
    "R-MLP-3-2": 0.8462,
    "R-MLP-3-3": 0.8837,
    "R-MLP-3-4": 0.8831,
    "MLP": 0.9689,
    "B-MLP": 0.8998,
    "R-MLP": 0.9004,
}

PLANS = {
    "smoke": Plan(
        question="The whole path on the embedded digits: twelve small MLPs, five seeds.",
        arms=twelve(replace(ORIGINAL, data="digits", epochs=20, lr=0.1)),
        seeds=tuple(range(5)),
        minutes=0.34,
        expect="Dense nets at 0.93 to 0.97; sparse ones below, by less the wider they are.",
        compare=SPARSE_PAIRS + DENSE_PAIRS,
        threads=1,
    ),
    "paper": Plan(
        question="How much accuracy do sparse MLPs lose on MNIST, and does the pattern matter?",
        arms=twelve(ORIGINAL),
        seeds=tuple(range(10)),
        minutes=2.5,
        expect="Published, one run each: 0.949 to 0.965 dense, 0.829 to 0.893 sparse.",
        compare=SPARSE_PAIRS + DENSE_PAIRS,
        threads=1,
    ),
    "fashion": Plan(
        question="The same twelve models and settings on Fashion-MNIST.",
        arms=twelve(replace(ORIGINAL, data="fashion_mnist")),
        seeds=tuple(range(10)),
        minutes=2.5,
        expect="Nothing published to compare with.",
        compare=SPARSE_PAIRS + DENSE_PAIRS,
        threads=1,
    ),
    "notebook": Plan(
        question="The 112-56 MLP of the original notebook on MNIST.",
        arms={
            family: replace(ORIGINAL, hidden=(112, 56), pattern=pattern)
            for family, pattern in FAMILIES.items()
        },
        seeds=tuple(range(10)),
        minutes=1.5,
        expect="Published, one run each: MLP 0.9689, B-MLP 0.8998, R-MLP 0.9004.",
        compare=(("B-MLP", "R-MLP"), ("B-MLP", "MLP")),
        threads=1,
    ),
}
