"""Boosts nets: each member learns on the weights that those before it have left.

    boosting = Boosting(factory, x, y, members=9, epochs=2, learning_rate=0.1)
    for row in boosting:                    # one row an epoch; a member's last one has its error
        save(boosting.state_dict())         # goes on from there, bit for bit
    boosting.nets, boosting.course.alphas

How weights are used: "loss" (a factor of the sample's loss), "resample" (as many samples are drawn
in proportion), or "repeat" (the published ensemble: samples stay in place, and a batch is stepped
on once or twice by the largest weight in it). Errors are measured on x in eval mode, not augmented.
"""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from ensemble.boosting.course import Course
from ensemble.boosting.rules import repeats
from ensemble.boosting.start import refuse_count
from ensemble.fit import failing
from ensemble.fit.bagging import resampled
from ensemble.fit.group import Group
from ensemble.fit.samples import answers, as_given, checked, member_seed, same_classes
from ensemble.fit.settings import refuse_other, settings
from ensemble.fit.task import Task, refuse_unknown
from ensemble.given import Factory, check_factory, made, warn_alike
from harness.names import check

WEIGHTS = ("loss", "resample", "repeat")


class Boosting:
    """Nets in boosting.

    Args:
        factory: Makes an untrained net, on the device of x.
        x: Samples.
        y: Their classes, int64, 0 to K-1, each there at least once.
        members: How many at most.
        epochs: Passes over the samples, per member.
        rule: "samme", or "iddl" (raises the right samples, as the published ensemble did).
        learning_rate: Shrinks what a member says and how far it moves the weights; 1 is the
            textbook, which fails on nets: the first errors then weigh some 45 times more.
        weights: "loss", "resample" or "repeat".
        sample_weight: Where to start from; None: all alike.
        seed: The members' seeds come from it, by their number.
        nan: "stop" with an error, or "leave out" a member whose loss is no longer finite.
        **task: batch_size, optimizer, schedule, batches, way, of `Task`.

    Attributes:
        nets: The members that were kept.
        course: Weights, alphas, errors, effective samples, and why it ended.
        failed: What became of members that were left out, by number.
    """

    def __init__(
        self,
        factory: Factory,
        x: torch.Tensor,
        y: torch.Tensor,
        members: int,
        epochs: int,
        *,
        rule: str = "samme",
        learning_rate: float = 0.1,
        weights: str = "loss",
        sample_weight: Any = None,
        seed: int = 0,
        nan: str = "stop",
        **task: Any,
    ):
        check_factory(factory)
        refuse_unknown(task, Boosting.__init__.__kwdefaults__ or ())
        self.how = check("weights", weights, WEIGHTS)
        self.factory, self.seed, self.nan = factory, seed, failing.checked(nan)
        options: dict[str, Any] = {"shuffle": weights != "repeat", **task}
        self.task = Task(*checked(x, y), epochs, **options)
        self.target = self.task.y.cpu().numpy()
        self.classes = _classes(self.target)
        start = np.ones(len(x)) if sample_weight is None else as_given(sample_weight, len(x))
        self.course = Course(start, self.classes, members, rule, learning_rate)
        own = {"seed": seed, "rule": rule, "learning_rate": learning_rate, "weights": weights}
        first = torch.from_numpy(self.course.weights)
        self.settings = settings(self.task, **own, sample_weight=first)
        self.nets: list[nn.Module] = []
        self._start: nn.Module | None = None  # the first one, untrained
        self.kept: list[int] = []  # their numbers
        self.failed: dict[int, str] = {}
        self.tried = 0  # members that are done, kept or not
        self.group: Group | None = None

    @property
    def ended(self) -> str:
        """Why there is no further member; "" while there is."""
        if not self.course.ended and self.tried == self.course.members:
            return f"{len(self.failed)} of {self.tried} members were left out"
        return self.course.ended

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Train; yields a row after each epoch, from where the state stands."""
        while not self.ended:
            self.group = self.group or self._begun(self._net(self.tried))
            if self.group.epoch < self.task.epochs:
                losses = self.group.run()[:, 0]
            else:  # (it was interrupted after its last epoch, before it was judged)
                losses = torch.empty(0)
            yield self._row(losses)

    def _net(self, member: int) -> nn.Module:
        (net,) = made(self.factory, 1, self.seed, first=member)
        if member == 0:
            self._start = copy.deepcopy(net)
        elif member == 1 and self._start is not None:
            warn_alike(self._start, net)
            self._start = None
        same_classes([net], self.task.x, self.classes)
        return net

    def _begun(self, net: nn.Module) -> Group:
        """Return the next member, about to learn on the weights as they stand."""
        w = torch.from_numpy(self.course.begin())
        scaled = (w * (len(w) / w.sum()))[None]
        seed = member_seed(self.seed, self.tried)
        use: dict[str, Any] = {
            "loss": lambda: {"weights": scaled},
            "resample": lambda: {"index": resampled(self.task.y.cpu(), w, seed)[None]},
            "repeat": lambda: {"repeats": torch.from_numpy(repeats(w.numpy()))},
        }[self.how]()
        return Group(net, [seed], self.task, **use)

    def _row(self, losses: torch.Tensor) -> dict[str, Any]:
        """Return the row of an epoch; after a member's last one it is judged."""
        assert self.group
        member, group = self.tried, self.group
        loss = float(losses.double().mean()) if len(losses) else None
        row: dict[str, Any] = {"member": member, "epoch": group.epoch, "train_loss": loss}
        what = failing.broken(losses, group.net, group.epoch)
        if what:
            failing.met(member, what, self.nan)
            self.failed[member] = row["failed"] = what
        elif group.epoch == self.task.epochs:
            row |= self._judged(group.net)
        if what or group.epoch == self.task.epochs:
            self.group, self.tried = None, member + 1
        return row

    def _judged(self, net: nn.Module) -> dict[str, Any]:
        """Keep or drop a trained member, and return what is to be said of it."""
        wrong = answers(net, self.task.x).argmax(1).cpu().numpy() != self.target
        if not self.course.end(wrong):
            return {"dropped": self.course.ended}
        self.nets.append(net)
        self.kept.append(self.tried)
        names = {"alpha": "alphas", "error": "errors", "effective_sample": "effective"}
        return {name: getattr(self.course, values)[-1] for name, values in names.items()}

    def __repr__(self) -> str:
        done = f"{len(self.nets)} of {self.course.members} members"
        return f"Boosting, {done}, {self.ended or 'not at its end'}"

    def fit(self) -> list[nn.Module]:
        """Train to the end, from where the state stands; returns the members."""
        for _ in self:
            pass
        return failing.some(self.nets, self.tried)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the state after the last whole epoch: tensors and plain values."""
        return copy.deepcopy(
            {
                "members": self.course.members,
                "settings": self.settings,
                "course": self.course.state_dict(),
                "nets": [net.state_dict() for net in self.nets],
                "kept": list(self.kept),
                "failed": dict(self.failed),
                "tried": self.tried,
                "group": self.group.state_dict() if self.group else None,
            }
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there.

        Raises:
            ValueError: the state of another count of members, or of a training with other settings
                or samples.
        """
        needs = ("members", "course", "nets", "kept", "failed", "tried", "group")
        refuse_other(state, self.settings, needs)
        refuse_count(state["members"], self.course.members)
        state = copy.deepcopy(state)
        self.course.load_state_dict(state["course"])
        self.kept, self.failed, self.tried = state["kept"], state["failed"], state["tried"]
        self.nets = [self._net(member) for member in self.kept]
        for net, saved in zip(self.nets, state["nets"], strict=True):
            net.load_state_dict(saved)
        self.group = None
        if state["group"] is not None:
            self.group = self._begun(self._net(self.tried))
            self.group.load_state_dict(state["group"])


def _classes(y: np.ndarray) -> int:
    """Return how many classes there are, if they are 0 to K-1."""
    found = np.unique(y)
    if not np.array_equal(found, np.arange(len(found))):
        raise ValueError(
            f"y has classes {found.tolist()}: number them 0 to {len(found) - 1}, without a gap"
        )
    return len(found)
