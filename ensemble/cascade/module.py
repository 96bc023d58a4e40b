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

from bibd.pattern import check_whole
from ensemble.cascade.asking import asked, said_by_all
from ensemble.cascade.fitting import Fit, fitted
from ensemble.cascade.links import costs, questions_of
from ensemble.cascade.rule import Asked, Rule
from ensemble.checks import held_out, module, nan_members, refuse_inputs
from ensemble.given import different, inside, refuse_other_count
from ensemble.reading import reading, samples
from harness.cost import Cost, evaluating
from harness.exits.exits import EarlyExit
from harness.names import check, kind_of


class Cascade(nn.Module):
    """Nets asked in turn.

    Args:
        links: Nets, ensembles (asked member by member) and nets with exits (exit by exit), the
            cheapest first; all answer with logits, or log-probabilities, of the same classes. An
            ensemble that is to be one question, and to answer as a whole where answers are
            replaced, is nn.Sequential(ensemble).
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
        self.links = nn.ModuleList(_listed(links))
        if shape is not None and not isinstance(shape, Sequence):
            raise ValueError(f"shape= is the shape of one input, such as (784,); got {shape!r}")
        self.shape = shape if shape is None else tuple(shape)
        rule = Rule(thresholds, answer, criterion, agree, combine, weights)
        self.rule = rule.fit_for(self.questions)
        for number, link in enumerate(self.links):
            _refuse_own_rule(number, link, self.rule)

    @property
    def questions(self) -> int:
        """How many questions a sample is asked at most."""
        return questions_of(self.links)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the log-probabilities of the answers, in float64 and in the order of the input.

        Raises:
            ValueError: the net is in training, or its links answer in different classes.
        """
        return self.ask(x).logp

    def ask(self, x: torch.Tensor) -> Asked:
        """Return answers, how many questions each sample was asked, and how sure each answer is.

        Raises:
            ValueError: the net is in training, or its links answer in different classes, or the
                answer to a sample is NaN.
        """
        if self.training:
            raise ValueError("a net in training leaves nobody out: call eval() first")
        with reading(self, samples(x), "links"):
            found = asked(self.links, x, self.rule)
        if found.logp.sum().isnan():  # (no log-probability is above 0: none makes up for another)
            self._refuse_nan(x, found.logp.isnan().any(-1))
        return found

    def _refuse_nan(self, x: torch.Tensor, bad: torch.Tensor) -> None:
        """Raise ValueError that names the first question to which the answer is NaN."""
        said = nan_members(said_by_all(self.links, x[bad]))
        who = f"question {said[0]} of {self.questions}" if said else "the cascade"
        refuse_inputs(x, bad, who)
        raise ValueError(f"{who} answered NaN to sample {int(bad.nonzero()[0])}: look at that net")

    @torch.no_grad()
    def record(self, x: torch.Tensor, batch: int = 250) -> torch.Tensor:
        """Return the log-probabilities (questions, samples, classes) of all links to all samples.

        `ensemble.cascade.answered` tries any rule on them without running the nets again.
        """
        check_whole("batch", batch, 1)
        with evaluating(self), reading(self, samples(x), "links"):
            return torch.cat([said_by_all(self.links, part) for part in x.split(batch)], 1)

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
        for name in options:
            check("option", name, ("loss", "confidence"))
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

    def _load_from_state_dict(self, state_dict, prefix, *rest: Any) -> None:
        parts = f"{prefix}links.", len(self.links), "links", "a cascade"
        refuse_other_count(state_dict, *parts, "")
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def extra_repr(self) -> str:
        """Return the rule, for print(model)."""
        return str(self.rule)


def _refuse_own_rule(number: int, link: Any, rule: Rule) -> None:
    """Raise ValueError where an ensemble combines answers otherwise than the cascade would."""
    if inside(link) is None or rule.answer == "replace" or rule.agree is not None:
        return
    how, weights = link.combine, link.weights
    said = ""
    if how != rule.combine:
        said = f"it combines by {how!r}, the cascade by {rule.combine!r}: Cascade(combine={how!r})"
    elif weights is not None and rule.weights is None:
        said = f"its weights {weights} are not the cascade's: Cascade(weights=, one per question)"
    if said:
        raise ValueError(
            f"link {number} is an ensemble, asked member by member, and {said}; "
            "nn.Sequential(ensemble) is one question"
        )


def _listed(links: Any) -> list[nn.Module]:
    """Return the links that were given.

    Raises:
        ValueError: one net (whose layers would be links), what makes nets, none, one net twice.
    """
    if not isinstance(links, Sequence | nn.ModuleList):
        what = f"one {type(links).__name__}" if isinstance(links, nn.Module) else kind_of(links)
        raise ValueError(
            f"a cascade is made of a list of nets, the cheapest first, got {what}: "
            "Cascade([small, large]), or Cascade([net]) of one ensemble or net with exits"
        )
    if not len(links):
        raise ValueError("no links: a cascade has at least one net")
    return different([module(net, f"link {m}") for m, net in enumerate(links)], "link")
