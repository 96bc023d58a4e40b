"""The plan that compares independent subnets with averaged whole nets: width, accuracy, bytes.

local-sgd       weights, averaged every `period` steps
ist             slices of the net, dealt and collected every `period` steps
ist-unscaled    the same, and a subnet does not make up for absent neurons
"""

from dataclasses import dataclass, replace

from harness.plan import Plan
from parallel.plans.config import Config


@dataclass(frozen=True)
class Subnets(Config):
    """A strategy in which a worker may hold a slice of every layer."""

    rescale: bool = True
    """Subnets make up for absent neurons (ist)."""


# Rates chosen on held-out training images (0.5 to 0.005, 3 epochs, widths 128 and 1024): where a
# subnet makes up for absent neurons, its gradients grow with it.
WIDE = Subnets("local_sgd", data="mnist", first=12800, epochs=8, lr=0.2, period=20)
SUBNET_RATE = 0.03
WIDTHS = (128, 256, 512, 1024)


def ist_arms(base: Subnets) -> dict[str, Subnets]:
    """Return local SGD on the whole net and independent subnets, at each width."""
    arms = {}
    for width in WIDTHS:
        wide = replace(base, hidden=(width, width))
        arms[f"local-sgd-{width}"] = wide
        arms[f"ist-{width}"] = replace(wide, strategy="ist", lr=SUBNET_RATE)
        arms[f"ist-unscaled-{width}"] = replace(wide, strategy="ist", rescale=False)
    return arms


PLANS = {
    "ist": Plan(
        question="Independent subnets: width against accuracy, bytes and time.",
        arms=ist_arms(WIDE),
        seeds=tuple(range(3)),
        minutes=3,
        expect="The wider the net, the less accuracy the subnets lose.",
        compare=tuple((f"ist-{w}", f"local-sgd-{w}") for w in WIDTHS)
        + tuple((f"ist-{w}", f"ist-unscaled-{w}") for w in WIDTHS),
        threads=1,
    ),
}
