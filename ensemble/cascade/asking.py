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
from ensemble.checks import tensor, warn_of_probabilities


def asked(links: Iterable[nn.Module], x: torch.Tensor, rule: Rule) -> Asked:
    """Return answers, how many questions each sample was asked, and how sure each answer is.

    Raises:
        ValueError: the links answer in different classes.
    """
    talk, rest = _talk(links, x), None  # (who is left: all)
    said = _said(next(talk), 0)[None]
    answers = now = rule.running(said)
    count = torch.ones(len(x), dtype=torch.int64, device=now.device)
    for number, bound in enumerate(rule.bounds(questions_of(links)), 1):
        stay = (~rule.enough(rule.measure(said, now), bound)).nonzero().flatten()
        if not len(stay):
            break
        if len(stay) < len(now):
            rest = stay if rest is None else rest[stay]
            said = said[:, stay] if rule.remembers else said
        said = _with(talk.send(stay), said, number, rule.remembers)
        now = rule.running(said)
        # (a copy: autograd holds what was answered before)
        answers = now if rest is None else answers.index_copy(0, rest, now)
        count = count + 1 if rest is None else count.index_fill_(0, rest, number + 1)
    return Asked(answers, count, rule.score(answers))


def said_by_all(links: Iterable[nn.Module], x: torch.Tensor) -> torch.Tensor:
    """Return the log-probabilities (questions, samples, classes) of all links to all samples.

    Of a net that answers with probabilities it is a warning: none of its answers would seem sure.

    Raises:
        ValueError: the links answer in different classes.
    """
    everybody, talk = torch.arange(len(x), device=x.device), _talk(links, x)
    said = _said(logits := next(talk), 0)[None]
    for number in range(1, questions_of(links)):
        warn_of_probabilities(logits)
        said = _with(logits := talk.send(everybody), said, number)
    warn_of_probabilities(logits)
    return said


def _talk(
    links: Iterable[nn.Module], x: torch.Tensor
) -> Generator[torch.Tensor, torch.Tensor, Any]:
    for link in links:
        x = yield from ask(link, x)


def _said(logits: torch.Tensor, number: int) -> torch.Tensor:
    if tensor(logits, f"question {number}").ndim != 2:
        raise ValueError(
            f"question {number} is answered with shape {tuple(logits.shape)}, expected (samples, "
            "classes): of one sample alone give x[None], which has the axis of samples"
        )
    return torch.log_softmax(logits, -1, dtype=torch.float64)


def _with(
    logits: torch.Tensor, said: torch.Tensor, number: int, remembers: bool = True
) -> torch.Tensor:
    """Return what was said (questions, samples, classes), if an answer fits what was said before.

    Args:
        logits: The answer.
        said: What was said before.
        number: Of the question.
        remembers: Whether that is kept, too.
    """
    logp = _said(logits, number)[None]
    if logp.shape[-1] != said.shape[-1]:
        raise ValueError(
            f"question {number} is answered in {logp.shape[-1]} classes, question 0 in "
            f"{said.shape[-1]}: all links of a cascade know the same classes"
        )
    return torch.cat([said, logp]) if remembers else logp
