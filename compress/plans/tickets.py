"""Plans that replicate lottery tickets (arXiv 1803.03635), see compress.plans.levels.

plan              net                            what is asked
tickets           LeNet-300-100 on MNIST         do the claims replicate, by the paper's protocol?
tickets_conv      Conv-2 on CIFAR-10             the same, shortened
tickets_resnet    ResNet-20 on CIFAR-10          must weights go back to a later step? shortened

Shortened is what a CPU does in two hours: fewer channels and steps, several rounds at once.
"""

from dataclasses import replace

from compress.plans.levels import Tickets
from harness.plan import Plan


def rounds(share: float, count: int) -> float:
    """The share that goes where so many rounds of the paper are made at once, to four digits."""
    return round(1 - (1 - share) ** count, 4)


# Three rounds of the paper at once; half of its channels, a quarter of its steps.
CONV = Tickets(
    net="conv_2", width=32, levels=5, controls=(3,), iterations=4800, every=300, validation=2000,
    rate=rounds(0.2, 3), convolutions=rounds(0.1, 3), output=rounds(0.1, 3), lr=2e-4,
    data="cifar10", test_split="holdout",
)  # fmt: skip
# Four rounds at once: all, 41 %, 16.8 %; half of the channels, a fifth of the steps.
RESNET = Tickets(
    net="resnet_20", width=8, levels=3, controls=(), iterations=6000, every=500, validation=2000,
    also=(500, 2000), rate=rounds(0.2, 4), scope="global", optimizer="sgd", batch_size=32, lr=0.05,
    data="cifar10", test_split="holdout",
)  # fmt: skip
SMALL: dict = dict(data="digits", test_split="official", validation=200, every=20, iterations=80)
SMOKE = Tickets(
    (32, 24), levels=4, controls=(2,), iterations=200, every=20, data="digits", validation=200
)


def smoke(of: Tickets, **more) -> Tickets:
    """The same path on the embedded digits, with few channels and steps."""
    return replace(of, **SMALL | dict(width=4) | more)


PLANS = {
    "tickets": Plan(
        question="Do lottery tickets replicate? LeNet-300-100 on MNIST, the paper's protocol.",
        arms={"LeNet-300-100": Tickets()},
        seeds=tuple(range(5)),
        row="level",
        minutes=75,
        expect="The paper: at 21.1 % stopped 38 % sooner, at 13.5 % .3 points better, at 3.6 % as "
        "good as dense; a pre-registered reproduction: 21 % sooner, .21, .11 points.",
        threads=1,
        members=3,
    ),
    "tickets_conv": Plan(
        question="The same for Conv-2 on CIFAR-10, shortened: half of the channels, a quarter of "
        "the steps, three rounds at once.",
        arms={"Conv-2": CONV},
        seeds=tuple(range(4)),
        row="level",
        minutes=95,
        expect="The paper, Conv-2: tickets of 8.8 % stop up to 3.5 times sooner and are up to 3.4 "
        "points better than dense; new starts are worse.",
        threads=1,
    ),
    "tickets_resnet": Plan(
        question="Must weights go back to a later step? ResNet-20 on CIFAR-10, shortened: half of "
        "the channels, 6,000 steps, four rounds at once.",
        arms={"ResNet-20": RESNET},
        seeds=tuple(range(4)),
        row="level",
        minutes=92,
        expect="Frankle et al. (Stabilizing, Linear Mode Connectivity): at 16.8 % the start does "
        "not match dense, rewinding to 500 to 2,000 of 30,000 steps does.",
        threads=1,
    ),
    "tickets_smoke": Plan(
        question="The path of plan tickets on the embedded digits.",
        arms={"small": SMOKE},
        seeds=(0, 1),
        row="level",
        minutes=0.3,
        threads=1,
    ),
    "tickets_conv_smoke": Plan(
        question="The path of plan tickets_conv on the embedded digits.",
        arms={"Conv-2": smoke(CONV, levels=3, controls=(2,), lr=2e-3)},
        seeds=(0, 1),
        row="level",
        minutes=0.2,
        threads=1,
    ),
    "tickets_resnet_smoke": Plan(
        question="The path of plan tickets_resnet on the embedded digits.",
        arms={"ResNet-20": smoke(RESNET, also=(20, 40))},
        seeds=(0, 1),
        row="level",
        minutes=0.3,
        threads=1,
    ),
}
