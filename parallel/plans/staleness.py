"""Plans that ask up to which rate each weight policy holds, at each number of stages.

    arm                      what it is
    sgd-8-0.01               plain MLP of 8 layers, no pipeline, rate .01
    pipedream-8-0.01         the same net, one layer a stage, weight stashing
    pipedream+spike-8-0.01   with spike compensation
    residual/sgd-8-0.01      the residual MLP

A residual MLP differs from a plain one from 3 layers on, so there is none of 2. By identity `lwp`
is `spectrain_v2` for SGD at a constant rate; both are here, and their difference shows what
rounding does. `two_bw` needs stages - 1 micro-batches; their number changes rounding only.
"""

from dataclasses import replace

from harness.plan import Plan
from parallel.plans.staged import POLICY_NAMES, Staged

RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
DEPTHS = (2, 4, 8, 16)
SPIKED = ("vanilla", "pipedream")
METHODS = ("sgd", *POLICY_NAMES, *(f"{name}+spike" for name in SPIKED))
PREDICTED = ("spectrain_v1", "spectrain_v2")
SEEDS = tuple(range(10))

DIGITS = Staged("sgd", epochs=12)
FASHION = Staged("sgd", data="fashion_mnist", first=10_000, epochs=4)


def method(base: Staged, name: str, stages: int, rate: float) -> Staged:
    """The config of one arm."""
    weights, _, spike = name.partition("+")
    micro = max(1, stages - 1) if weights == "two_bw" else 1
    return replace(base, weights=weights, spike=bool(spike), stages=stages, lr=rate, micro=micro)


def arms(base: Staged, depths: tuple[int, ...], head: str = "") -> dict[str, Staged]:
    """Each method at each depth and rate."""
    return {
        f"{head}{name}-{n}-{rate:g}": method(base, name, n, rate)
        for n in depths
        for rate in RATES
        for name in METHODS
    }


def both(base: Staged, depths: tuple[int, ...]) -> dict[str, Staged]:
    """Of plain nets and of residual ones."""
    other = replace(base, net="residual_mlp")
    return arms(base, depths) | arms(other, depths, "residual/")


def pairs(depths: tuple[int, ...], head: str = "") -> tuple[tuple[str, str], ...]:
    """What is compared: prediction with stashing, at each depth and rate."""
    return tuple(
        (f"{head}{name}-{n}-{rate:g}", f"{head}pipedream-{n}-{rate:g}")
        for n in depths
        for rate in RATES
        for name in PREDICTED
    )


EXPECT = "A probe, N = 8, rate .002: stash 72, vanilla 65, v1 87, v2 92, SGD 95."
PLANS = {
    "staleness": Plan(
        question="Up to which rate does each weight policy hold? Plain MLPs on digits.",
        arms=arms(DIGITS, DEPTHS),
        seeds=SEEDS,
        minutes=30,
        expect=EXPECT,
        compare=pairs(DEPTHS),
        threads=1,
    ),
    "staleness_residual": Plan(
        question="The same for residual MLPs.",
        arms=arms(replace(DIGITS, net="residual_mlp"), DEPTHS[1:]),
        seeds=SEEDS,
        minutes=28,
        compare=pairs(DEPTHS[1:]),
        threads=1,
    ),
    "staleness_fashion": Plan(
        question="The same for both on 10,000 images of Fashion-MNIST, 4 and 8 stages.",
        arms=both(FASHION, DEPTHS[1:3]),
        seeds=SEEDS,
        minutes=50,
        compare=pairs(DEPTHS[1:3]) + pairs(DEPTHS[1:3], "residual/"),
        threads=1,
    ),
}
