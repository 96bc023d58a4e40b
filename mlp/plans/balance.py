"""Does balance help? Nets with as many connections under every pattern, at one q and at three."""

from dataclasses import replace

from harness.plan import Plan
from mlp.plans.config import Config

# Images of 32x32 pixels and a net 1024 -> q^2 -> q(q+1) -> 10, where each layer
# has as many connections under every pattern: at q = 16, 8192 + 4352.
BALANCE = Config(
    hidden=(256, 272),
    pad=2,
    relabel=True,
    validation=5000,
    batch_size=128,
    lr=0.1,
    momentum=0.9,
    cooldown=5,
    timed=False,
)
PATTERNS = {
    "bibd": "bibd",
    "iddl": "iddl",
    "biregular": "random_biregular",
    "fan-in": "random_fan_in",
    "random": "random",
    "grouped": "block_diagonal",
}
# Dense nets with as many connections: in all (within 0.2 %), or layer by layer (exactly).
NARROW = {8: (3, 21), 16: (14, 38), 32: (64, 156)}
BY_LAYER = (8, 544)
IMAGES = {"mnist": "mnist", "fashion": "fashion_mnist"}


def patterns_at(base: Config, q: int) -> dict[str, Config]:
    """Return nets of all patterns with equal counts at this q, and the narrow dense net."""
    nets = {k: replace(base, hidden=(q * q, q * (q + 1)), pattern=v) for k, v in PATTERNS.items()}
    return nets | {"narrow": replace(base, hidden=NARROW[q], pattern="dense")}


def balance_arms(base: Config) -> dict[str, Config]:
    """Return the nets of q = 16.

    `-canonical` arms keep the order of their design (lines of the image); `-slow` arms have a fifth
    of the rate, so that no arm loses for want of a rate that suits it.
    """
    arms = patterns_at(base, 16)
    for name in ("bibd", "iddl"):
        arms[f"{name}-canonical"] = replace(arms[name], relabel=False)
    arms["by-layer"] = replace(base, hidden=BY_LAYER, pattern="dense")
    arms["full"] = replace(base, pattern="dense")
    for name in ("bibd", "biregular", "narrow", "by-layer"):
        arms[f"{name}-slow"] = replace(arms[name], lr=base.lr / 5)
    return arms


def named(make, lengths: dict[str, dict]) -> dict[str, Config]:
    """Name the arms of `make` for both sets of images, as "<arm>-<images>-<length>"."""
    return {
        "-".join(filter(None, (name, short, length))): config
        for length, changes in lengths.items()
        for short, data in IMAGES.items()
        for name, config in make(replace(BALANCE, data=data, **changes)).items()
    }


def density_arms(base: Config) -> dict[str, Config]:
    """Return the nets of q = 8, 16 and 32."""
    return {f"{name}-{q}": config for q in NARROW for name, config in patterns_at(base, q).items()}


# Both cool down over their last five epochs; "flat" is 5 epochs without a lower validation loss.
LENGTHS = {"short": dict(epochs=10), "flat": dict(epochs=60, patience=5)}

BALANCE_PAIRS = tuple(
    (f"{first}-{short}-{length}", f"{second}-{short}-{length}")
    for length in LENGTHS
    for short in IMAGES
    for first, second in (
        *(("bibd", name) for name in ("biregular", "fan-in", "random", "iddl", "grouped")),
        ("biregular", "random"),
        ("iddl", "random"),
        ("bibd-canonical", "bibd"),
        ("bibd-canonical", "iddl-canonical"),
        ("bibd", "narrow"),
        ("bibd", "by-layer"),
        ("bibd", "full"),
        *(("bibd-slow", f"{name}-slow") for name in ("biregular", "narrow", "by-layer")),
    )
)

PLANS = {
    "balance": Plan(
        question="Does balance help? BIBD, random, modular, grouped at equal connections.",
        arms=named(balance_arms, LENGTHS),
        seeds=tuple(range(10)),
        minutes=50,
        expect="Open; the original study compared single runs of other widths and init.",
        compare=BALANCE_PAIRS,
        threads=1,
    ),
    "density": Plan(
        question="How does accuracy grow with connections, q = 8, 16, 32, for each pattern?",
        arms=named(density_arms, {"": LENGTHS["short"]}),
        seeds=tuple(range(10)),
        minutes=25,
        expect="Open; q = 16 is the net of plan balance.",
        compare=tuple(
            (f"bibd-{q}-{short}", f"{name}-{q}-{short}")
            for short in IMAGES
            for q in NARROW
            for name in ("biregular", "random", "iddl", "grouped", "narrow")
        ),
        threads=1,
    ),
}
