"""The strategies in plain Python: lists of floats, one sample at a time, no tensors.

What everything fast is held against. A net is a list of layers (weight rows, biases); ReLU between,
softmax cross-entropy at the end; SGD with momentum, Nesterov and weight decay by its definition.
Who talks to whom is read from the plan; what they then do is written down here once more.
"""

import math
from collections.abc import Callable, Iterator, Sequence

Layer = tuple[list[list[float]], list[float]]
Net = list[Layer]


def forward(net: Net, x: Sequence[float], masks=None, scales=None) -> list[list[float]]:
    """Return the inputs of each layer and then the logits; masks silence hidden neurons."""
    seen = [list(x)]
    for l, (rows, biases) in enumerate(net):  # noqa: E741
        scale = scales[l] if scales else 1.0
        z = [
            sum(w * v * scale for w, v in zip(row, seen[-1], strict=True)) + b
            for row, b in zip(rows, biases, strict=True)
        ]
        if l + 1 < len(net):
            keep = masks[l] if masks else [1.0] * len(z)
            z = [max(v, 0.0) * m for v, m in zip(z, keep, strict=True)]
        seen.append(z)
    return seen


def gradient(net: Net, xs, ys, masks=None, scales=None, steady=False) -> Net:
    """Return the gradient of the mean loss over these samples; zero where there are none.

    `steady`: gradients do not grow with a layer's scale; those of its weights shrink with it.
    """
    total = [([[0.0] * len(r) for r in rows], [0.0] * len(b)) for rows, b in net]
    for x, y in zip(xs, ys, strict=True):
        seen = forward(net, x, masks, scales)
        top = max(seen[-1])
        powers = [math.exp(v - top) for v in seen[-1]]
        delta = [p / sum(powers) - (k == y) for k, p in enumerate(powers)]
        for l in reversed(range(len(net))):  # noqa: E741
            scale, (rows, biases) = (scales[l] if scales else 1.0), total[l]
            own, below = (1 / scale, 1.0) if steady else (scale, scale)
            for i, d in enumerate(delta):
                biases[i] += d / len(xs)
                for j, v in enumerate(seen[l]):
                    rows[i][j] += d * v * own / len(xs)
            if l:
                back = [
                    sum(d * row[j] * below for d, row in zip(delta, net[l][0], strict=True))
                    for j in range(len(seen[l]))
                ]
                keep = masks[l - 1] if masks else [1.0] * len(back)
                alive = zip(back, keep, seen[l], strict=True)
                delta = [b * m if v > 0 else 0.0 for b, m, v in alive]
    return total


def flat(net: Net) -> list[float]:
    """Return all numbers in torch's order: weight by rows, bias, next layer."""
    return [v for rows, biases in net for part in (*rows, biases) for v in part]


def unflat(values: Sequence[float], like: Net) -> Net:
    """Return the net whose numbers, in torch's order, are these: the inverse of flat."""
    stream: Iterator[float] = iter(values)
    return [
        ([[next(stream) for _ in row] for row in rows], [next(stream) for _ in biases])
        for rows, biases in like
    ]


class SGD:
    """SGD by its definition: v <- gamma v + g ; w <- w - eta (v, or g + gamma v)."""

    def __init__(self, lr: float, momentum: float = 0.0, nesterov=False, weight_decay=0.0):
        self.lr, self.momentum, self.nesterov, self.decay = lr, momentum, nesterov, weight_decay
        self.buffer: list[float] | None = None

    def move(self, w: list[float], g: list[float]) -> list[float]:
        """Return the displacement of one step."""
        g = [a + self.decay * b for a, b in zip(g, w, strict=True)]
        if self.momentum:
            old = self.buffer
            m = self.momentum
            self.buffer = [m * v + a for v, a in zip(old, g, strict=True)] if old else list(g)
            v = self.buffer
            g = [a + m * b for a, b in zip(g, v, strict=True)] if self.nesterov else v
        return [-self.lr * a for a in g]


Vectors = list[list[float]]
Batches = Sequence[Sequence[Sequence[int]]]  # step, worker, samples


def run(
    nets: list[Net], xs, ys, batches: Batches, optimizer: Callable[[], SGD], talk: "Talk"
) -> Vectors:
    """Train in plain Python; returns the weights of all workers after all steps."""
    like, weights = nets[0], [flat(net) for net in nets]
    optimizers = [optimizer() for _ in nets]
    for step, shares in enumerate(batches, 1):
        gradients = []
        for w, own in zip(weights, shares, strict=True):
            some = [xs[i] for i in own], [ys[i] for i in own]
            gradients.append(flat(gradient(unflat(w, like), *some)))
        gradients = talk.gradients(step, gradients, [len(own) for own in shares])
        pushed = talk.displacements(step, weights)
        for i, o in enumerate(optimizers):
            moved = zip(weights[i], o.move(weights[i], gradients[i]), pushed[i], strict=True)
            weights[i] = [w + u + d for w, u, d in moved]
        weights = talk.after(step, weights)
    return weights


class Talk:
    """What a strategy does to gradients, displacements and weights: in this base class nothing."""

    def gradients(self, step: int, g: Vectors, counts: list[int]) -> Vectors:
        """Return the gradients of all workers that their steps are to take."""
        return g

    def displacements(self, step: int, w: Vectors) -> Vectors:
        """Return what is read from the weights before the step, and added after it."""
        return [[0.0] * len(w[0]) for _ in w]

    def after(self, step: int, w: Vectors) -> Vectors:
        """Return the weights after the step."""
        return w


class Averages(Talk):
    """Averages gradients in steps where `early` says so, and weights where `late` does."""

    def __init__(self, early: Callable[[int], bool], late: Callable[[int], bool], weighted=True):
        self.early, self.late, self.weighted, self.seen = early, late, weighted, []

    def gradients(self, step: int, g: Vectors, counts: list[int]) -> Vectors:
        """Average the gradients, weighted by samples."""
        counts = counts if self.weighted else [1] * len(counts)
        self.seen = [a + b for a, b in zip(self.seen or [0] * len(g), counts, strict=True)]
        if not self.early(step):
            return g
        self.seen = []
        return [mean(g, counts)] * len(g)

    def after(self, step: int, w: Vectors) -> Vectors:
        """Average the weights, weighted by samples since the last mean."""
        if not self.late(step):
            return w
        counts, self.seen = self.seen, []
        return [mean(w, counts)] * len(w)


class Outer(Averages):
    """DiLoCo by its definition: the mean is where an outer SGD with Nesterov momentum looks."""

    def __init__(self, start: list[float], late: Callable[[int], bool], weighted, rate, momentum):
        super().__init__(lambda step: False, late, weighted)
        self.sgd, self.anchor = SGD(rate, momentum, nesterov=True), list(start)

    def after(self, step: int, w: Vectors) -> Vectors:
        """Return the weights of everybody after an outer step, in steps that have one."""
        if not self.late(step):
            return w
        found = super().after(step, w)[0]
        gradient = [a - b for a, b in zip(self.anchor, found, strict=True)]
        moved = self.sgd.move(self.anchor, gradient)
        self.anchor = [a + b for a, b in zip(self.anchor, moved, strict=True)]
        return [list(self.anchor) for _ in w]


class Springs(Talk):
    """Elastic gossip, pull and push: `talks(step)` are pairs (from, to) with one rule for each."""

    def __init__(
        self, kind: str, talks: Callable[[int], list[tuple[int, int]]], alpha=0.5, rule=""
    ):
        self.kind, self.talks, self.alpha, self.rule = kind, talks, alpha, rule

    def displacements(self, step: int, w: Vectors) -> Vectors:
        """Return the displacements by the definition of each of the three rules."""
        talks = self.talks(step)
        partners = [[k for k, j in talks if j == i] for i in range(len(w))]
        moved = super().displacements(step, w)
        for i, others in enumerate(partners):
            for k in others:
                a = self._strength(len(others), len(partners[k]))
                moved[i] = [m - a * (x - y) for m, x, y in zip(moved[i], w[i], w[k], strict=True)]
        return moved

    def _strength(self, mine: int, theirs: int) -> float:
        if self.kind == "pull":
            return 0.5
        if self.kind == "push":
            return 1 / (1 + mine)
        return self.alpha if self.rule == "thesis" else 2 * self.alpha / (1 + max(mine, theirs))


class Centre(Talk):
    """EASGD by its definition: springs to a centre, in every so many steps."""

    def __init__(self, start: list[float], alpha: float, period: int):
        self.centre, self.alpha, self.period = list(start), alpha, period

    def displacements(self, step: int, w: Vectors) -> Vectors:
        """Return the displacements of the workers; the centre moves the other way."""
        if step % self.period:
            return super().displacements(step, w)
        a, c = self.alpha, self.centre
        moved = [[-a * (x - y) for x, y in zip(own, c, strict=True)] for own in w]
        self.centre = [y - sum(m[j] for m in moved) for j, y in enumerate(c)]
        return moved


def mean(vectors: Vectors, counts: Sequence[float]) -> list[float]:
    """Return the weighted mean of vectors, which is plain where all weights are zero."""
    whole = sum(counts)
    shares = [c / whole for c in counts] if whole else [1 / len(vectors)] * len(vectors)
    return [
        sum(s * v for s, v in zip(shares, col, strict=True)) for col in zip(*vectors, strict=True)
    ]


def subnets(
    net: Net, xs, ys, batches: Batches, optimizer, period: int, parts, rescale: bool | str
) -> list[float]:
    """Train independent subnets as masked full nets: `parts(step)[worker][layer]` are neurons.

    Under "auto" gradients are steady.
    """
    master, sizes = flat(net), [len(biases) for _, biases in net[:-1]]
    buffer: list[float] | None = None
    for start in range(0, len(batches), period):
        split, ends, buffers, counts = parts(start + 1), [], [], []
        for i in range(len(split)):
            w, o = list(master), optimizer()
            o.buffer = list(buffer) if buffer else None
            masks = [
                [float(j in own) for j in range(n)] for own, n in zip(split[i], sizes, strict=True)
            ]
            lost = [n / len(own) for own, n in zip(split[i], sizes, strict=True)]
            scales = [1.0, *(lost if rescale else [1.0] * len(lost))]
            active = _active(net, masks)
            for shares in batches[start : start + period]:
                some = [xs[k] for k in shares[i]], [ys[k] for k in shares[i]]
                g = flat(gradient(unflat(w, net), *some, masks, scales, rescale == "auto"))
                moved = o.move([a * b for a, b in zip(w, active, strict=True)], g)
                w = [v + u * a for v, u, a in zip(w, moved, active, strict=True)]
            ends.append(w)
            buffers.append(o.buffer)
            counts.append(sum(len(s[i]) for s in batches[start : start + period]))
        owners = _owners(net, [[set(own) for own in part] for part in split])
        master = _assemble(master, ends, owners, counts)
        if buffers[0] is not None:
            buffer = _assemble(buffer or [0.0] * len(master), buffers, owners, counts)
    return master


def _active(net: Net, masks) -> list[float]:
    return [
        float((k == len(masks) or masks[k][i] > 0) and (j is None or k == 0 or masks[k - 1][j] > 0))
        for k, i, j in _places(net)
    ]


def _owners(net: Net, split) -> list[int | None]:
    """Return whose each number is: -1 is shared by all, None is nobody's in this round."""
    found: list[int | None] = []
    for k, i, j in _places(net):
        who = [
            w
            for w, part in enumerate(split)
            if (k == len(part) or i in part[k]) and (j is None or k == 0 or j in part[k - 1])
        ]
        found.append(-1 if len(who) == len(split) > 1 else who[0] if who else None)
    return found


def _assemble(master, ends, owners, counts) -> list[float]:
    shared = mean(ends, counts)
    return [
        old if who is None else shared[k] if who == -1 else ends[who][k]
        for k, (old, who) in enumerate(zip(master, owners, strict=True))
    ]


def _places(net: Net) -> Iterator[tuple[int, int, int | None]]:
    """Yield layer, row and column of each number in order; biases have no column."""
    for l, (rows, biases) in enumerate(net):  # noqa: E741
        yield from ((l, i, j) for i, row in enumerate(rows) for j in range(len(row)))
        yield from ((l, i, None) for i in range(len(biases)))
