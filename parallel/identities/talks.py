"""Rules of two strategies for the oracle, by their definitions: push-sums, and machines."""

from collections.abc import Callable

from parallel.identities.oracle import Averages, Talk, Vectors, mean


class PushSums(Talk):
    """SGP: numerators x and masses m are halved and pushed; weights are the ratios x / m."""

    def __init__(self, talks: Callable[[int], list[tuple[int, int]]], workers: int):
        self.talks, self.masses, self.seen = talks, [1.0] * workers, []

    def displacements(self, step: int, w: Vectors) -> Vectors:
        """Return nothing to add, and remember what the step begins with."""
        self.seen = list(w)
        return super().displacements(step, w)

    def after(self, step: int, w: Vectors) -> Vectors:
        """Return the ratios, after the numerators have made the step and were pushed."""
        each = zip(self.seen, w, self.masses, strict=True)
        xs = [[m * z + (v - z) for z, v in zip(old, new, strict=True)] for old, new, m in each]
        masses = list(self.masses)
        for source, _ in self.talks(step):
            xs[source] = [a / 2 for a in xs[source]]
            masses[source] /= 2
        came, heavy = [list(x) for x in xs], list(masses)
        for source, target in self.talks(step):
            came[target] = [a + b for a, b in zip(came[target], xs[source], strict=True)]
            heavy[target] += masses[source]
        self.masses = heavy
        return [[a / m for a in x] for x, m in zip(came, heavy, strict=True)]


class Machines(Averages):
    """Gradients averaged within machines in every step, and weights of all where `late` says so."""

    def __init__(self, each: int, late: Callable[[int], bool], weighted: bool):
        super().__init__(lambda step: False, late, weighted)
        self.each = each

    def gradients(self, step: int, g: Vectors, counts: list[int]) -> Vectors:
        """Return the mean of one's machine, weighted by samples."""
        super().gradients(step, g, counts)
        return in_groups(g, counts if self.weighted else [1] * len(counts), self.each)


def in_groups(g: Vectors, counts: list[int], each: int) -> Vectors:
    """Return for each worker the weighted mean of its group, of so many in a row."""
    firsts = [i - i % each for i in range(len(g))]
    return [mean(g[i : i + each], counts[i : i + each]) for i in firsts]
