"""Identities of combined answers: what averaging does to the losses, exactly.

    Jensen              NLL(mean p) <= mean NLL, sample by sample
    Krogh, Vedelsby     |p - y|^2 = mean |p_m - y|^2 - mean |p_m - p|^2, sample by sample
    geometric mean      NLL = mean NLL + log Z, with Z = sum_k exp(mean log p), and
                        -log Z = mean KL(p, p_m)

Bounds: with log-probabilities up to A in size, a logarithm of a sum over M members is off by at
most (M + 8) A roundings (the differences from the largest A, M additions, a logarithm, A again),
a mean of M losses by M A; the rest adds up in the same way. Equality with a twin is held to 1e-12,
which is more than these bounds come to for the small task.
"""

from collections.abc import Iterator

import torch

from ensemble.combine import RULES, decided, pooled
from ensemble.identities import oracle
from ensemble.identities.task import CLASSES, MEMBERS, answers
from ensemble.scores.answers import distances, losses
from harness.result.identity import Identity, apart, furthest, roundings

WEIGHTS = [0.5, 0.0, 2.0, 1.0, 0.25]


def identities() -> Iterator[Identity]:
    """Yield the identities of combined answers."""
    logp, _ = answers()
    size = float(logp.abs().max())
    soft, whole = MEMBERS + 8, MEMBERS + CLASSES + 8
    yield Identity(
        "Jensen: NLL of the mean <= mean NLL, each sample",
        "rounding",
        jensen,
        roundings(soft + MEMBERS, size),
    )
    yield Identity(
        "Krogh-Vedelsby: Brier = mean Brier - ambiguity, each sample",
        "rounding",
        krogh_vedelsby,
        roundings(8 * (soft + CLASSES), size),
    )
    yield Identity(
        "NLL of the geometric mean = mean NLL + log Z, each sample",
        "rounding",
        geometric,
        roundings(3 * whole, size),
    )
    yield Identity(
        "-log Z = mean divergence from the members, each sample",
        "rounding",
        divergence,
        roundings(4 * whole, size),
    )
    for rule in RULES:
        yield Identity(f"{rule} = plain-Python twin", "rounding", lambda rule=rule: twin(rule))
        yield Identity(f"{rule} alone is the member", *_alone(rule))
    yield Identity("ties go to the lowest class", "exact", ties)


def jensen() -> float:
    """Return by how much the loss of the mean exceeds the mean loss, at worst."""
    logp, y = answers()
    return float((losses(pooled(logp), y) - losses(logp, y).mean(0)).max().clamp(min=0))


def krogh_vedelsby() -> float:
    """Compare the squared distance of the mean with what it is made of."""
    logp, y = answers()
    p = logp.exp()
    ambiguity = (p - p.mean(0)).square().sum(-1).mean(0)
    made = distances(logp, y).mean(0) - ambiguity
    return apart(distances(pooled(logp), y), made)


def geometric() -> float:
    """Compare the loss of the geometric mean with the mean loss and the normalisation."""
    logp, y = answers()
    made = losses(logp, y).mean(0) + logp.mean(0).logsumexp(-1)
    return apart(losses(pooled(logp, "geometric"), y), made)


def divergence() -> float:
    """Compare the normalisation with the mean divergence of the geometric mean from a member."""
    logp, _ = answers()
    q = pooled(logp, "geometric")
    far = (q.exp() * (q - logp)).sum(-1).mean(0)
    return apart(far, -logp.mean(0).logsumexp(-1))


def twin(rule: str) -> float:
    """Compare a rule with its twin, weighted and (where it can be) not; -inf must be -inf."""
    logp, _ = answers()
    worst = 0.0
    for weights in (WEIGHTS, *([None] if rule != "weighted" else [])):
        found = pooled(logp, rule, weights)
        made = torch.tensor(oracle.pooled(logp.tolist(), rule, weights), dtype=torch.float64)
        worst = furthest(worst, apart(found, made))
    return worst


def _alone(rule: str) -> tuple:
    """Return what a single member fulfils: its own answer, or (votes) its own decision."""
    logp, _ = answers()
    weights = [2.0] if rule == "weighted" else None
    if rule in ("soft", "geometric"):
        return "bitwise", lambda: apart(pooled(logp[:1], rule), logp[0])
    return "exact", lambda: float((decided(logp[:1], rule, weights) != logp[0].argmax(-1)).sum())


def ties() -> float:
    """Count decisions that are not the lowest of the classes that are level."""
    level = torch.log_softmax(torch.zeros(2, 1, 4, dtype=torch.float64), -1)
    apart = torch.log_softmax(10 * torch.eye(4, dtype=torch.float64)[[3, 1]][:, None], -1)
    wrong = sum(int(decided(level, rule, [1, 1])[0] != 0) for rule in RULES)
    return float(wrong + sum(int(decided(apart, rule, [1, 1])[0] != 1) for rule in RULES))
