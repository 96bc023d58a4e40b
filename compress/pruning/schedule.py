"""How the density goes down: at once, in equal ratios, or along a cubic while training goes on.

    steps(0.1, 3)                 .464, .215, .1
    Gradual(0.1, begin=200, steps=2000, every=100)
        density(t) = d + (1 - d) (1 - (t - begin) / steps)^3, asked for at every `every` steps

Zhu & Gupta 2017 for the cubic: s(t) = s_f + (s_i - s_f)(1 - (t - t0) / T)^3 of sparsities s.
"""

from dataclasses import dataclass

from compress.pruning.densities import check


def steps(density: float, count: int, start: float = 1.0) -> list[float]:
    """Return `count` densities in equal ratios, the last of them exactly `density`.

    Args:
        density: Where they end.
        count: How many.
        start: Where they come from; not one of them.

    Raises:
        ValueError: a density out of range or above the start, no whole count.
    """
    check(density)
    check(start, "start")
    if density > start:
        raise ValueError(f"a density goes down: {density} is above the start, {start}")
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"the count of steps is a whole number of at least 1, got {count!r}")
    return [start * (density / start) ** (k / count) for k in range(1, count)] + [density]


@dataclass(frozen=True)
class Gradual:
    """Densities along a cubic: much goes early, while the net can still recover.

    Args:
        density: Where it ends.
        begin: The first step at which weights go.
        steps: How many steps until it ends.
        every: Masks are due this often.
        start: Where it comes from.
    """

    density: float
    begin: int
    steps: int
    every: int = 100
    start: float = 1.0

    def __post_init__(self):
        check(self.density)
        check(self.start, "start")
        if self.density > self.start:
            raise ValueError(f"a density goes down: {self.density} is above the start {self.start}")
        for name, least in {"begin": 0, "steps": 1, "every": 1}.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} is a whole number of at least {least}, got {value!r}")

    def at(self, step: int) -> float:
        """Return the density that a net has after this step."""
        past = min(max(step - self.begin, 0), self.steps) / self.steps
        return self.density + (self.start - self.density) * (1 - past) ** 3

    def due(self, step: int) -> bool:
        """Return whether new masks are to be made after this step."""
        end = self.begin + self.steps
        inside = self.begin <= step <= end
        return inside and ((step - self.begin) % self.every == 0 or step == end)
