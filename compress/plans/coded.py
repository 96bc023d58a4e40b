"""Plans that ask whether *where* to connect is worth its bits: accuracy over bytes on the disk.

    arm              what it is                                          places in the file
    narrow-16        784-16-16-10, dense                                 none needed
    bibd-256         a design, 1024-256-272-10 on pictures with a border    family and size
    fan_in-256       as many random connections                          family, size and seed
    subset-256       a quarter of that design, pruned to it              which of its places
    rigl-2           LeNet-300-100, 2 % of its weights, grown by gradients  all places
    gradual-2        ... pruned gradually                                all places

At the end of a run the weights of each layer share 2^bits values, which are trained further; the
file is written, read back and tested, for each number of bits.
"""

from dataclasses import dataclass, replace

from compress.plans.dynamic import Dynamic
from harness.plan import Plan


@dataclass(frozen=True)
class Coded(Dynamic):
    """A net that is trained, and whose file is made."""

    bits: tuple[int, ...] = (2, 3, 4, 5, 8)
    """2^bits values are shared by the weights of each layer."""
    sharing: int = 2
    """Passes that train the shared values."""
    shared_lr: float = 0.1
    """First rate of these passes, which falls along a cosine to 0."""

    def __post_init__(self):
        super().__post_init__()
        if not self.bits or not all(1 <= b <= 8 for b in self.bits):
            raise ValueError(f"bits are 1 to 8, got {self.bits}")
        if self.sharing < 1 or not self.shared_lr > 0:
            got = f"{self.sharing} and {self.shared_lr}"
            raise ValueError(f"sharing must be at least 1 and shared_lr above 0, got {got}")


BASE = Coded("dense", epochs=30)
WIDTHS = (4, 8, 16, 32, 64)
PERCENTS = (8.0, 4.0, 2.0, 1.0)
SUBSETS = {128: 0.03, 256: 0.0115, 1024: 0.009}  # about half of a design's connections, or less
PLANES = {128: (128, 144), 256: (256, 272), 1024: (1024, 1056)}


def arms(base: Coded) -> dict[str, Coded]:
    """Dense narrow nets, designs with their random twins and subsets, moved and pruned ones."""
    found = {f"narrow-{w}": replace(base, hidden=(w, w)) for w in WIDTHS}
    for width, hidden in PLANES.items():
        plane = replace(base, hidden=hidden, pad=2, densities="bibd")
        found[f"bibd-{width}"] = replace(plane, method="bibd")
        found[f"fan_in-{width}"] = replace(plane, method="fan_in")
        found[f"subset-{width}"] = replace(plane, method="subset", density=SUBSETS[width])
    for percent in PERCENTS:
        for method in ("rigl", "gradual"):
            found[f"{method}-{percent:g}"] = replace(base, method=method, density=percent / 100)
    return found


def pairs() -> tuple[tuple[str, str], ...]:
    """What is compared before coding: designs with chance, gradients with pruning."""
    found = [(f"bibd-{w}", f"fan_in-{w}") for w in PLANES]
    return (*found, *((f"rigl-{p:g}", f"gradual-{p:g}") for p in PERCENTS))


SMOKE = Coded(
    "dense", (32, 24), data="digits", epochs=6, every=10, batch_size=32, bits=(3, 5), sharing=1
)
PLANS = {
    "bytes": Plan(
        question="Is where to connect worth its bits? Accuracy over bytes on the disk, MNIST.",
        arms=arms(BASE),
        seeds=tuple(range(5)),
        minutes=75,
        expect="A probe: at 6.6 to 7.7 KB pruned nets 97.8 to 98.05 %, designs 96.9 to 97.1 %.",
        compare=pairs(),
        threads=1,
    ),
    "bytes_smoke": Plan(
        question="The path of plan bytes on the embedded digits.",
        arms={
            "narrow-16": replace(SMOKE, hidden=(16, 16)),
            "bibd-64": replace(SMOKE, method="bibd", hidden=(64, 72), densities="bibd"),
            "fan_in-64": replace(SMOKE, method="fan_in", hidden=(64, 72), densities="bibd"),
            "subset-64": replace(SMOKE, method="subset", hidden=(64, 72), density=0.1),
            "rigl-20": replace(SMOKE, method="rigl", density=0.2),
            "gradual-20": replace(SMOKE, method="gradual", density=0.2),
        },
        seeds=(0, 1),
        minutes=0.3,
        compare=(("bibd-64", "fan_in-64"), ("rigl-20", "gradual-20")),
        threads=1,
    ),
}
