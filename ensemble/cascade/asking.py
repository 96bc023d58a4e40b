"""Asks links in turn: who is answered leaves, the others go on in a smaller batch.

samples    0 1 2 3 4
link 1     0 . 2 . .     0 and 2 are sure enough
link 2       1   3 4     reads a batch of three; 3 is sure
link 3       1     4     the last one answers whoever comes to it
"""

from collections.abc import Generator, Iterable
from typing import Any

import torch
from torch import nn

from ensemble.cascade.links import ask, questions_of
from ensemble.cascade.rule import Asked, Rule
from ensemble.checks import tensor

Parts = list[tuple[torch.Tensor, ...]]


def asked(links: Iterable[nn.Module], x: torch.Tensor, rule: Rule) -> Asked:
    """Return answers, how many questions each sample was asked, and how sure each answer is.

    Raises:
        ValueError: the links answer in different classes.
    """
    rest, talk = torch.arange(len(x), device=x.device), _talk(links, x)
    said, parts = _with(next(talk), None), []
    for count, bound in enumerate(rule.bounds(questions_of(links)), 1):
        now = rule.running(said)
        gone = rule.enough(rule.measure(said, now), bound)
        leave, stay = gone.nonzero().flatten(), (~gone).nonzero().flatten()
        if len(leave) or not len(stay):  # (also of a batch without samples)
            parts.append((rest[leave], now[leave], torch.full_like(leave, count)))
        if not len(stay):
            return _in_order(parts, rule)
        if len(leave):
            rest, said = rest[stay], said[:, stay]
        said = _with(talk.send(stay), said)
    return _in_order([*parts, (rest, rule.running(said), torch.full_like(rest, len(said)))], rule)


def said_by_all(links: Iterable[nn.Module], x: torch.Tensor) -> torch.Tensor:
    """Return the log-probabilities (questions, samples, classes) of all links to all samples.

    Raises:
        ValueError: the links answer in different classes.
    """
    everybody, talk = torch.arange(len(x), device=x.device), _talk(links, x)
    said = _with(next(talk), None)
    for _ in range(1, questions_of(links)):
        said = _with(talk.send(everybody), said)
    return said


def _talk(
    links: Iterable[nn.Module], x: torch.Tensor
) -> Generator[torch.Tensor, torch.Tensor, Any]:
    for link in links:
        x = yield from ask(link, x)


def _with(logits: torch.Tensor, said: torch.Tensor | None) -> torch.Tensor:
    """Return what was said (questions, samples, classes) with one more answer, if it fits."""
    number = 0 if said is None else len(said)
    logp = torch.log_softmax(tensor(logits, f"question {number}").double(), -1)[None]
    if said is None:
        return logp
    if logp.shape[-1] != said.shape[-1]:
        raise ValueError(
            f"question {number} is answered in {logp.shape[-1]} classes, question 0 in "
            f"{said.shape[-1]}: all links of a cascade know the same classes"
        )
    return torch.cat([said, logp])


def _in_order(parts: Parts, rule: Rule) -> Asked:
    """Return answers, questions asked and scores in the order of the input."""
    places, answers, count = (torch.cat(pieces) for pieces in zip(*parts, strict=True))
    back = places.argsort()
    return Asked(answers[back], count[back], rule.score(answers)[back])
