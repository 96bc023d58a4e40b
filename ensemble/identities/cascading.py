"""Identities of cascades: their ends, their costs, and that running is what stored answers say.

A threshold of 1 is one that no score can pass, whatever the rounding, so thresholds above 1 are
not needed; with 0 every sample leaves after the first link.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from ensemble.cascade.bounds import upper
from ensemble.cascade.module import Cascade
from ensemble.cascade.rule import Rule
from ensemble.cascade.stored import answered, spent
from ensemble.combine import pooled
from ensemble.identities import oracle
from ensemble.identities.task import MEMBERS, answers
from harness.exits import attach
from harness.result.identity import Identity, apart, furthest

MACS = (3, 50, 7, 20, 400)
INPUTS, HIDDEN, CLASSES = 5, 6, 4
RULES = {
    "averaged while unsure": Rule(0.5),
    "replaced while unsure": Rule((0.3, 0.6), "replace", "margin"),
    "until two agree": Rule(agree=2, combine="hard"),
}


def identities() -> Iterator[Identity]:
    """Yield the identities of cascades."""
    for answer in ("average", "replace"):
        said = "all links together" if answer == "average" else "the last link"
        yield Identity(f"{answer}, threshold 1 = {said}", "bitwise", lambda a=answer: ends(a, 1.0))
        yield Identity(
            f"{answer}, threshold 0 = the first link", "bitwise", lambda a=answer: ends(a, 0.0)
        )
        title = f"{answer}: answers and links asked = plain-Python twin"
        yield Identity(title, "rounding", lambda a=answer: twin(a))
    yield Identity("cost = sum over the samples", "exact", summed)
    for words, rule in RULES.items():
        title = f"nets that run = stored answers, {words}"
        yield Identity(title, "rounding", lambda r=rule: running(r))
        title = f"rows that layers read = cost of stored answers, {words}"
        yield Identity(title, "exact", lambda r=rule: counted(r))
    yield Identity("bound on a loss = binomial sum, halved 200 times", "rounding", bounds)


def ends(answer: str, threshold: float) -> float:
    """Compare a cascade that leaves nobody out, or everybody at once, with what it then is."""
    logp, _ = answers()
    found = answered(logp, Rule(threshold, answer))
    last = pooled(logp) if answer == "average" else logp[-1]
    made, count = (last, MEMBERS) if threshold else (logp[0], 1)
    return furthest(apart(found.logp, made), float((found.asked != count).sum()))


def twin(answer: str) -> float:
    """Compare answers and links asked, with another threshold after each link."""
    logp, _ = answers()
    thresholds = [0.4, 0.9, 0.7, 0.5]
    found = answered(logp, Rule(thresholds, answer))
    rows, count = oracle.asked(logp.tolist(), thresholds, answer)
    other = sum(a != b for a, b in zip(found.asked.tolist(), count, strict=True))
    return furthest(apart(found.logp, found.logp.new_tensor(rows)), float(other))


def summed() -> float:
    """Compare the total cost with a sum over the samples, and the percentiles with sorted costs."""
    logp, _ = answers()
    asked = answered(logp, Rule(0.8)).asked
    each = sorted(sum(MACS[:count]) for count in asked.tolist())
    found = spent(asked, MACS)
    worst = abs(found["total"] - sum(each)) + abs(found["mean"] - sum(each) / len(each))
    for name, share in (("p50", 50), ("p99", 99)):
        worst += abs(found[name] - each[-(-share * len(each) // 100) - 1])
    return float(worst)


def chain(rule: Rule) -> Cascade:
    """Return a chain of a net and a net with an exit, which is asked three questions."""
    with torch.random.fork_rng():
        torch.manual_seed(11)
        first = nn.Linear(INPUTS, CLASSES)
        layers = nn.Linear(INPUTS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES)
        second = attach(nn.Sequential(*layers), (1,), (INPUTS,), CLASSES, "linear")
    net = Cascade([first, second], shape=(INPUTS,)).double().eval()
    for p in net.parameters():
        p.data *= 4  # (so that some are sure)
    net.rule = rule.fit_for(net.questions)
    return net


def inputs() -> torch.Tensor:
    """Return the samples that the chain answers."""
    return torch.randn(150, INPUTS, generator=torch.Generator().manual_seed(7)).double()


@torch.no_grad()
def running(rule: Rule) -> float:
    """Compare the nets that run on fewer and fewer samples with their answers to all of them."""
    net = chain(rule)
    found, made = net.ask(inputs()), answered(net.record(inputs(), 40), net.rule)
    assert len(set(found.asked.tolist())) > 1
    other = float((found.asked != made.asked).sum())
    return furthest(other, apart(found.logp, made.logp))


@torch.no_grad()
def counted(rule: Rule) -> float:
    """Compare the multiply-adds of the rows that each layer read with the cost that is reported."""
    net, macs = chain(rule), []

    def read(layer: Any, x: tuple[torch.Tensor], _: torch.Tensor) -> None:
        macs.append(len(x[0]) * layer.weight.numel())

    for layer in net.modules():
        if isinstance(layer, nn.Linear):
            layer.register_forward_hook(read)
    asked = net.ask(inputs()).asked
    return float(abs(sum(macs) - spent(asked, net.macs())["total"]))


def bounds() -> float:
    """Compare the bound on a share with one that solves the binomial sum."""
    cases = [(0, 5), (0, 300), (3, 10), (7, 200), (200, 200)]
    levels = (0.5, 0.9, 0.99)
    return furthest(
        *(abs(upper(d, n, c) - oracle.upper(d, n, c)) for d, n in cases for c in levels)
    )
