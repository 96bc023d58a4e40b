"""Several nets as one module, whose answer is the answer of all of them together.

    net = Ensemble([a, b, c])                 or Ensemble(factory, 9, seed=0)
    net(x)                                    log-probabilities (batch, classes) of all together
    net.members(x)                            logits (members, batch, classes)
    net.nets[2]                               a member, an ordinary module (to save it alone take
                                              copy.deepcopy: its numbers may lie in a stack of all)

    x --> nets[0] --> logits --> log_softmax --.
      --> nets[1] --> logits --> log_softmax ---> combine --> log-probabilities
      --> nets[2] --> logits --> log_softmax --'

Answers are combined in the type of the members' logits, in float32 where that is shorter; what is
scored comes from `members(x)` through `ensemble.log_probabilities`, in float64.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from ensemble.checks import choosing, nan_members, refuse_inputs, tensor
from ensemble.combine import RULES, Weights, combined, numbers
from ensemble.given import listed, refuse_other_count
from ensemble.reading import RAISED, blamed
from ensemble.together.joined import Joined
from harness import cost
from harness.cost import Cost
from harness.names import check

ALONE = ("soft", "geometric")  # in which one member is itself
NAN = ("stop", "leave out", "keep")


class Ensemble(nn.Module):
    """Nets that read the same inputs and answer in the same classes, pooled into one answer.

    Members start one by one from a number of their own: the first n of M are the ensemble of n.
    They are trained by `ensemble.Training(net, x, y, epochs=10).fit()`, each by a loss of its own;
    or by a loop of yours, whose loss is a sum over `members(x)`, not of the pooled answer.

    Args:
        nets: The members; or a function that makes one, called `count` times.
        count: How many to make.
        seed: Where members start: number m begins with the stream ("init", m) of it.
        combine: "soft", "geometric", "hard" or "weighted" (ensemble.combine).
        weights: One per member, not negative; None: all alike.
        nan: What happens where a member answers NaN, in eval mode: "stop" raises and names it,
            "leave out" pools the others with a warning that names it, "keep" answers NaN (and
            asks nothing of the values, as torch.export and vmap need it). In training NaN always
            stays, and where a single member is asked for itself.

    Raises:
        ValueError: no members, one of them twice, a count that is none, or weights that do not fit.
    """

    def __init__(
        self,
        nets: Sequence[nn.Module] | Callable[[], nn.Module],
        count: int | None = None,
        *,
        seed: int = 0,
        combine: str = "soft",
        weights: Weights = None,
        nan: str = "stop",
    ):
        super().__init__()
        check("combine", combine, RULES)
        check("nan", nan, NAN)
        self.nets = nn.ModuleList(listed(nets, count, seed))
        self.combine, self.nan = combine, nan
        self.weights = weights
        self._joined: Joined | None = None

    @property
    def weights(self) -> list[float] | None:
        """One weight per member, or None where all count alike; saved with the state."""
        return self._weights

    @weights.setter
    def weights(self, found: Weights) -> None:
        none = found is None and self.combine != "weighted"
        listed = None if found is None else numbers(found)
        if not none:  # (of two classes, so that what is wrong is said here and not in a call)
            combined(torch.zeros(len(self.nets), 1, 2), self.combine, listed)
        self._weights: list[float] | None = listed

    def __len__(self) -> int:
        return len(self.nets)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the log of the pooled probabilities (batch, classes).

        Raises:
            ValueError: members answer in different classes, or one answers NaN (nan="stop").
        """
        nets: Any = self._modules["nets"]
        if len(nets._modules) == 1 and self.combine in ALONE:
            (net,) = nets._modules.values()  # (twice as fast as nets[0])
            return log_softmax(choosing(tensor(self._asked(net, x), "member 0")))
        # (torch is some ten times slower where the classes are the last axis and few)
        logp = log_softmax(choosing(self.members(x)).mT, -2).mT
        found = combined(logp, self.combine, self.weights).contiguous()
        if self.training or self.nan == "keep" or not bool(found.isnan().any()):
            return found
        return self._without(logp, x)

    def _without(self, logp: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return what the members without NaN answer, or raise."""
        bad = nan_members(logp)
        who = f"member {', '.join(map(str, bad))}" if len(bad) == 1 else f"members {bad}"
        if self.nan == "stop" or len(bad) == len(logp):
            refuse_inputs(x, logp.isnan().any(-1).any(0), f"{who} of {len(logp)}")
            rest = '; Ensemble(..., nan="leave out") pools the others' * (len(bad) < len(logp))
            raise ValueError(f"{who} of {len(logp)} answered NaN: look at that net{rest}")
        warnings.warn(f"{who} of {len(logp)} answered NaN and was left out", stacklevel=3)
        rest = [m for m in range(len(logp)) if m not in bad]
        weights = self.weights and [self.weights[m] for m in rest]
        if weights and not any(weights):
            raise ValueError(f"{who} answered NaN, and the other members have the weight 0")
        return combined(logp[rest], self.combine, weights)

    def members(self, x: torch.Tensor, each: bool = False) -> torch.Tensor:
        """Return the logits (members, batch, classes) of all members.

        Args:
            x: The inputs that all members read.
            each: Whether x has a leading axis, and every member reads its own slice of it.

        Raises:
            ValueError: members answer in different classes, or cannot read such inputs.
        """
        joined = self._joined
        if joined is None or joined.nets is not self._modules["nets"]:
            joined = self.joined
        return self._asked(joined, x, each)

    def _asked(self, call: Callable[..., Any], x: torch.Tensor, *each: bool) -> Any:
        """Return what is answered; inputs that are plainly none for these members are said."""
        try:
            return call(x, *each)
        except RAISED as error:  # (no `with reading(...)`, which a net of one would feel)
            if said := blamed(self, x, error):
                raise ValueError(said) from error
            raise

    @property
    def joined(self) -> Joined:
        """The members together: `way(x)`, `explain(x)` and `leaves(x)` say how they are asked."""
        if self._joined is None or self._joined.nets is not self.nets:
            self._joined = Joined(self.nets)
        return self._joined

    def leaves(self, x: torch.Tensor, each: bool = False) -> list[nn.Parameter]:
        """Return what to give an optimizer that trains all members on inputs like these.

        `parameters()` works too. Where a stack is faster than a loop, these are the few large
        tensors of which the members' parameters are slices: steps are faster, and gradients come
        to these tensors, not to the members. Take the optimizer's state for one of them all.
        """
        return self.joined.leaves(x, each)

    def explain(self, x: torch.Tensor | None = None, each: bool = False) -> str:
        """Return in words whether members are one stack or a loop, and why."""
        return self.joined.explain(x, each)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is copied and pickled: a stack is made anew where it is needed."""
        return self.__dict__ | {"_joined": None}

    def cost(self, input_shape: Sequence[int], output_shape: Sequence[int]) -> dict[str, int]:
        """Return what all members cost for one sample, by the cost protocol of harness.cost.

        Args:
            input_shape: Of the input, the axis of samples in front, such as (1, 64).
            output_shape: Of the answer; not needed here.

        Raises:
            ValueError: an input without an axis of samples.
        """
        if len(input_shape) < 2:
            raise ValueError(
                "input_shape has the axis of samples in front, such as (1, 64); got "
                f"{tuple(input_shape)}"
            )
        shape = tuple(input_shape[1:])
        return asdict(sum((cost.total(net, shape) for net in self.nets), Cost()))

    def get_extra_state(self) -> dict[str, Any]:
        """Return how answers are combined, as plain values."""
        return {"combine": self.combine, "weights": self.weights}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take over how answers are combined."""
        self.combine, self.weights = state["combine"], state["weights"]

    def _load_from_state_dict(self, state_dict, prefix, *rest: Any) -> None:
        hint = ", or take those that you want one by one, ensemble.nets[m].load_state_dict(...)"
        parts = f"{prefix}nets.", len(self.nets), "members", "an ensemble"
        refuse_other_count(state_dict, *parts, hint)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def extra_repr(self) -> str:
        """Return how answers are combined, for print(model)."""
        weights = "" if self.weights is None else f", weights={self.weights}"
        return f"{len(self.nets)} members, combine={self.combine!r}{weights}"


def log_softmax(logits: torch.Tensor, axis: int = -1) -> torch.Tensor:
    """Return log-probabilities in the type of the logits, in float32 where that is shorter."""
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    return torch.log_softmax(logits, axis)
