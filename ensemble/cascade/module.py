"""A cascade of nets as a module: each link is asked only what the links before it left open.

    net = Cascade([sparse, dense], thresholds=0.9, answer="replace", shape=(784,)).eval()
    net(x)                   log-probabilities, in the order of the input
    net.ask(x)               and how many links each sample was asked
    net.fit(x, y, split="validation", loss=.005)

Time is saved with the multiply-adds because undecided samples are gathered into a smaller batch.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import nn

from ensemble.cascade.fitting import Fit, fitted
from ensemble.cascade.links import ask, costs, questions
from ensemble.cascade.rule import Asked, Rule
from ensemble.checks import held_out
from harness.cost import Cost, evaluating
from harness.exits.exits import EarlyExit


class Cascade(nn.Module):
    """Nets asked in turn.

    Args:
        links: Nets, ensembles (asked member by member) and nets with exits (exit by exit), the
            cheapest first; all answer with logits, or log-probabilities, of the same classes.
        thresholds: How sure is sure enough, one number or one after each question but the last.
        answer: "average" or "replace"; this and the rest as in `ensemble.cascade.Rule`.
        criterion: "max_probability", "entropy" or "margin".
        agree: Leave as soon as so many have one first choice, whatever the thresholds.
        combine: How answers are averaged.
        weights: One per question, for the average.
        shape: The shape of one input without the batch axis, for `macs`; needed where no link
            has exits, which know it.

    Raises:
        ValueError: no links, or a rule that does not fit them.
    """

    def __init__(
        self,
        links: Sequence[nn.Module],
        thresholds: float | Sequence[float] = 0.9,
        answer: str = "average",
        criterion: str = "max_probability",
        agree: int | None = None,
        combine: str = "soft",
        weights: Sequence[float] | None = None,
        shape: Sequence[int] | None = None,
    ):
        super().__init__()
        if not len(links):
            raise ValueError("no links: a cascade has at least one net")
        self.links = nn.ModuleList(links)
        self.shape = shape if shape is None else tuple(shape)
        rule = Rule(thresholds, answer, criterion, agree, combine, weights)
        self.rule = rule.fit_for(self.questions)

    @property
    def questions(self) -> int:
        """How many questions a sample is asked at most."""
        return sum(map(questions, self.links))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the log-probabilities of the answers, in float64 and in the order of the input.

        Raises:
            ValueError: the net is in training, or its links answer in different classes.
        """
        return self.ask(x).logp

    def ask(self, x: torch.Tensor) -> Asked:
        """Return answers, how many questions each sample was asked, and how sure each answer is.

        Raises:
            ValueError: the net is in training, or its links answer in different classes.
        """
        return self._asked(x, self.rule)

    def _asked(self, x: torch.Tensor, rule: Rule) -> Asked:
        if self.training:
            raise ValueError("a net in training leaves nobody out: call eval() first")
        rest, talk = torch.arange(len(x), device=x.device), self._talk(x)
        said, parts = _answer(next(talk), None), []
        for count, bound in enumerate(rule.bounds(self.questions), 1):
            now = rule.running(said)
            gone = rule.enough(rule.measure(said, now), bound)
            leave, stay = gone.nonzero().flatten(), (~gone).nonzero().flatten()
            if len(leave) or not len(stay):  # (also of a batch without samples)
                parts.append((rest[leave], now[leave], torch.full_like(leave, count)))
            if not len(stay):
                return _in_order(parts, rule)
            if len(leave):
                rest, said = rest[stay], said[:, stay]
            said = _answer(talk.send(stay), said)
        return _in_order(
            [*parts, (rest, rule.running(said), torch.full_like(rest, len(said)))], rule
        )

    def _talk(self, x: torch.Tensor):
        for link in self.links:
            x = yield from ask(link, x)

    @torch.no_grad()
    def record(self, x: torch.Tensor, batch: int = 250) -> torch.Tensor:
        """Return the log-probabilities (questions, samples, classes) of all links to all samples.

        `ensemble.cascade.answered` tries any rule on them without running the nets again.
        """
        with evaluating(self):
            return torch.cat([self._all(part) for part in x.split(batch)], 1)

    def _all(self, x: torch.Tensor) -> torch.Tensor:
        everybody, talk = torch.arange(len(x), device=x.device), self._talk(x)
        said = _answer(next(talk), None)
        for _ in range(1, self.questions):
            said = _answer(talk.send(everybody), said)
        return said

    def fit(self, x: torch.Tensor, y: Any, split: str, batch: int = 250, **options: Any) -> Fit:
        """Find thresholds on held-out samples, set them, and say what they lose and cost.

        Args:
            x: Inputs that trained no link.
            y: Targets: what is bounded is then the loss of accuracy; None: of agreement.
            split: The name of the part of the data that these are, such as "validation".
            batch: Samples at a time.
            **options: `loss` and `confidence`, as in `ensemble.cascade.fitted`.

        Raises:
            ValueError: what `fitted` refuses.
        """
        held_out(split, "thresholds cannot be fitted")
        macs = self.macs() if self._shape() else None
        found = fitted(self.record(x, batch), self.rule, split, y, macs=macs, **options)
        self.rule = found.rule
        return found

    def macs(self) -> list[int]:
        """Return the multiply-adds of each question beyond those before it, for one sample."""
        return [found.macs for found in self.costs()]

    def costs(self, shape: Sequence[int] | None = None) -> list[Cost]:
        """Return what each question costs beyond those before it, for one sample.

        Raises:
            ValueError: the shape of an input is not known.
        """
        if not (shape := shape or self._shape()):
            raise ValueError("costs are of one input: say its shape, Cascade(..., shape=(784,))")
        return [found for link in self.links for found in costs(link, tuple(shape))]

    def cost(self, input_shape, output_shape) -> dict[str, int]:
        """Return what all questions cost for one sample, by the cost protocol."""
        return asdict(sum(self.costs(input_shape[1:]), Cost()))

    def _shape(self) -> tuple[int, ...] | None:
        known = [link.shape for link in self.links if isinstance(link, EarlyExit)]
        return self.shape or (known[0] if known else None)

    def get_extra_state(self) -> dict[str, Any]:
        """Return the rule as plain values: what `fit` found is saved with the weights."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self.rule).items()}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take over a rule that was saved.

        Raises:
            ValueError: it is the rule of a chain of another length.
        """
        self.rule = replace(self.rule, **state).fit_for(self.questions)

    def extra_repr(self) -> str:
        """Return the rule, for print(model)."""
        return str(self.rule)


def _answer(logits: torch.Tensor, said: torch.Tensor | None) -> torch.Tensor:
    """Return what was said (questions, samples, classes) with one more answer, if it fits."""
    logp = torch.log_softmax(logits.double(), -1)[None]
    if said is None:
        return logp
    if logp.shape[-1] != said.shape[-1]:
        raise ValueError(
            f"question {len(said)} is answered in {logp.shape[-1]} classes, question 0 in "
            f"{said.shape[-1]}: all links of a cascade know the same classes"
        )
    return torch.cat([said, logp])


def _in_order(parts: list[tuple[torch.Tensor, ...]], rule: Rule) -> Asked:
    """Return answers, questions asked and scores in the order of the input."""
    places, answers, asked = (torch.cat(pieces) for pieces in zip(*parts, strict=True))
    back = places.argsort()
    return Asked(answers[back], asked[back], rule.score(answers)[back])
