"""Trains members that do not know of each other, at once: other starts and orders, or bootstraps.

    training = Training(made(factory, 9, seed=0), x, y, epochs=10)
    for rows in training:                   # one row a member and epoch; ends by itself
        save(training.state_dict())         # goes on from there, bit for bit
    nets = training.members()

Members that can be are trained as one stack; else one after the other, and `looped` says why.
Member m of M is member m alone, within rounding, so the first n of M are an ensemble of n.
"""

import copy
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn

from ensemble.boosting.start import refuse_count
from ensemble.fit import failing
from ensemble.fit.bagging import bootstraps
from ensemble.fit.group import Group
from ensemble.fit.samples import answerable, checked, indexed, member_seed, weighted
from ensemble.fit.settings import refuse_other, settings
from ensemble.fit.stacking import Stacked, stacked
from ensemble.fit.task import Task, refuse_unknown
from ensemble.given import Factory as Factory
from ensemble.given import made as made
from ensemble.given import members_of
from ensemble.members import Ensemble


class Training:
    """Independent members in training.

    Args:
        nets: The members, in a list or an Ensemble; they learn in place.
        x: Samples, on the device of the nets.
        y: Their classes, int64.
        epochs: Passes over the samples, per member.
        seed: The members' seeds come from it, by their number.
        first: The number of the first one: so members can be trained alone, or added later.
        sample_weight: (samples,) for all members, or (members, samples); None: all alike.
        index: Which samples each member sees, (members, count); None: all.
        bootstrap: Each member sees as many samples as there are, drawn with replacement; in
            proportion to the weights if there are any.
        together: Train as one stack where that is the same.
        nan: "stop" with an error, or "leave out" a member whose loss is no longer finite.
        **task: batch_size, optimizer, schedule, batches, shuffle, way, of `Task`.

    Attributes:
        looped: Why members are trained one after the other; "" if they are one stack.
        redrawn: How many bootstraps of a member were thrown away, for want of a class.
        failed: What became of members that are left out, by number.
    """

    def __init__(
        self,
        nets: Iterable[nn.Module] | Ensemble,
        x: torch.Tensor,
        y: torch.Tensor,
        epochs: int,
        *,
        seed: int = 0,
        first: int = 0,
        sample_weight: Any = None,
        index: torch.Tensor | None = None,
        bootstrap: bool = False,
        together: bool = True,
        nan: str = "stop",
        **task: Any,
    ):
        refuse_unknown(task, Training.__init__.__kwdefaults__ or ())
        self.nets = members_of(nets)
        self.task = Task(*checked(x, y), epochs, **task)
        if not self.task.batches:  # (which may make of x what nets read)
            answerable(self.nets, self.task.x, self.task.y)
        self.nan = failing.checked(nan)
        self.numbers = list(range(first, first + len(self.nets)))
        self.seeds = [member_seed(seed, number) for number in self.numbers]
        self.failed: dict[int, str] = {}
        self.redrawn: dict[int, int] = {}
        weights = None if sample_weight is None else _each(sample_weight, len(self.nets), len(x))
        if bootstrap:
            index, weights = self._bagged(weights, index), None
        elif index is not None:
            index = indexed(index, len(self.nets), len(x))
        own = {"seed": seed, "first": first, "sample_weight": weights, "index": index}
        self.settings = settings(self.task, **own)
        self.groups, self.looped = self._grouped(weights, index, together)

    def _bagged(self, weights: torch.Tensor | None, index: Any) -> torch.Tensor:
        if index is not None:
            raise ValueError("bootstrap draws which samples a member sees: leave index out")
        found, thrown = bootstraps(self.task.y.cpu(), weights, self.seeds)
        self.redrawn = {m: count for m, count in zip(self.numbers, thrown, strict=True) if count}
        return found

    def _grouped(self, weights: Any, index: Any, together: bool) -> tuple[list[Group], str]:
        """Return one group of all, or one of each and the reason for it."""
        found: Stacked | str = "there is one member"
        if len(self.nets) > 1:
            found = self._together() if together else "asked for by together=False"
        if isinstance(found, Stacked):
            return [Group(found, self.seeds, self.task, weights, index)], ""
        groups = [
            Group(
                net,
                [self.seeds[m]],
                self.task,
                None if weights is None else weights[m : m + 1],
                None if index is None else index[m : m + 1],
            )
            for m, net in enumerate(self.nets)
        ]
        return groups, found

    def _together(self) -> Stacked | str:
        """Return a stack of the members, or the reason why they are looped."""
        if self.task.way:
            return "each makes its steps in a way of its own"
        found = stacked(self.nets)
        return found if isinstance(found, str) else found.mixed_by(self.task) or found

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        """Train; yields a row per member after each epoch, from where the state stands."""
        for group, nets in self._order():
            while group.epoch < self.task.epochs and (going := self._going(nets)):
                losses = group.run()
                columns = [nets.index(member) for member in going]
                yield [
                    self._row(m, losses[:, i], group.epoch)
                    for m, i in zip(going, columns, strict=True)
                ]

    def _order(self) -> list[tuple[Group, list[int]]]:
        """Return the groups, and the places of their members."""
        every = list(range(len(self.nets)))
        if len(self.groups) == 1:
            return [(self.groups[0], every)]
        return [(group, [m]) for m, group in zip(every, self.groups, strict=True)]

    def _going(self, places: list[int]) -> list[int]:
        return [m for m in places if self.numbers[m] not in self.failed]

    def _row(self, place: int, losses: torch.Tensor, epoch: int) -> dict[str, Any]:
        number, loss = self.numbers[place], float(losses.double().mean())
        row: dict[str, Any] = {"member": number, "epoch": epoch, "train_loss": loss}
        what = failing.broken(losses, self.nets[place], epoch)
        if what:
            failing.met(number, what, self.nan)
            self.failed[number] = row["failed"] = what
        return row

    def __repr__(self) -> str:
        done = sum(group.epoch for group in self.groups)
        whole = self.task.epochs * len(self.groups)
        how = f"one by one, {self.looped}" if self.looped else "as one stack"
        left = f", {len(self.failed)} left out" * bool(self.failed)
        return f"Training of {len(self.nets)} members, {done} of {whole} epochs, {how}{left}"

    def fit(self) -> list[nn.Module]:
        """Train to the end, from where the state stands; returns the members."""
        for _ in self:
            pass
        return self.members()

    def members(self) -> list[nn.Module]:
        """Return the members, without those that were left out."""
        left = [self.nets[m] for m in self._going(list(range(len(self.nets))))]
        return failing.some(left, len(self.nets))

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the state after the last whole epoch: tensors and plain values."""
        groups = [group.state_dict() for group in self.groups]
        return copy.deepcopy(
            {
                "members": len(self.nets),
                "settings": self.settings,
                "groups": groups,
                "failed": dict(self.failed),
            }
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there.

        Raises:
            ValueError: the state of another count of members, of members grouped otherwise, or of
                a training with other settings or samples.
        """
        refuse_other(state, self.settings, ("members", "groups", "failed"))
        refuse_count(state["members"], len(self.nets))
        if len(state["groups"]) != len(self.groups):
            raise ValueError(
                f"this is the state of {len(state['groups'])} groups of members, and here are "
                f"{len(self.groups)}: make the training with the same `together`"
            )
        for group, saved in zip(self.groups, copy.deepcopy(state["groups"]), strict=True):
            group.load_state_dict(saved)
        self.failed = dict(state["failed"])


def _each(sample_weight: Any, members: int, samples: int) -> torch.Tensor:
    """Return the weights of each member, (members, samples)."""
    w = torch.as_tensor(sample_weight, dtype=torch.float64).cpu()
    rows = w if w.ndim == 2 else w.expand(members, *w.shape)
    if len(rows) != members:
        raise ValueError(f"{members} members need as many rows of weights, got {len(rows)}")
    return torch.stack([weighted(row, samples) for row in rows])
