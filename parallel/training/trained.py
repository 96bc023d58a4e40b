"""What `parallel.train` gives: rows as they come, and the trained net.

    trained = train(net, data, steps=1000, world=World.procs(4))
    for row in trained:
        print(row["step"], row["test_accuracy"])
    torch.save(trained.state_dict(), "net.pt")
    trained.model(x)
    trained.layer_split                        of a pipeline: where it was cut
    trained.facts()["versions_counted"]        in a simulation with train(..., measured=True)

The net is the one that the last row was tested with: of a pipeline the newest weights of all
stages, of replicas and subnets what stands for all of them (their consensus). The net that was
given to `train` stays as it was.
"""

import copy
from collections.abc import Callable, Generator, Iterator
from typing import Any

import torch
from torch import nn

# what a training hands out: of a pipeline where it is cut, rows, and in the end the net
SPLIT, ROW, FACTS, STATE = "split", "row", "facts", "state"


class Trained(Iterator[dict[str, Any]]):
    """An iterator of rows; nothing is trained before the first is asked for.

    Args:
        found: Pairs of ROW and a row; before them SPLIT and where a pipeline is cut; in the end
            FACTS and a dict, where there are any, and STATE and a state dict (or None).
        model: The net as it was given, or what makes it from a rank.
    """

    def __init__(
        self,
        found: Generator[tuple[str, Any], None, None],
        model: nn.Module | Callable[[int], nn.Module],
    ):
        self._found, self._given = found, model
        self._state: dict[str, torch.Tensor] | None = None
        self._net: nn.Module | None = None
        self._facts: dict[str, Any] | None = None
        self._split: list[int] | None = None

    def __next__(self) -> dict[str, Any]:
        kind, what = next(self._found)
        if kind == SPLIT:
            self._split = what
            return next(self)
        if kind == FACTS:
            self._facts = what
            return next(self)
        if kind == STATE:
            self._state = what
            return next(self)  # (which is the end)
        return what

    def close(self) -> None:
        """Stop training; there is no trained net then."""
        self._found.close()

    @property
    def layer_split(self) -> list[int] | None:
        """Where a pipeline has cut the net; None before the first row, and without a pipeline."""
        return self._split

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the state dict of the net after the last step, once what is left is trained.

        Raises:
            ValueError: it is not here: training was stopped, or is on several machines and this
                rank of a pipeline is not the first.
        """
        for _ in self:
            pass
        if self._state is None:
            raise ValueError(
                "there is no trained net here: a training that was stopped or has failed has none, "
                "and under torchrun that of a pipeline is on rank 0: ask there only"
            )
        return self._state

    def facts(self) -> dict[str, Any]:
        """Return what a pipeline is and was, once what is left is trained.

        Theory stands beside what was counted, simulated beside measured: bubbles, delays, versions,
        activations, bytes, samples in a second (parallel.training.facts).

        Raises:
            ValueError: training was stopped, or nobody has counted.
        """
        for _ in self:
            pass
        if self._facts is None:
            raise ValueError(
                "there are no facts: they are of a pipeline that was trained to its end, in "
                "processes or, in a simulation, with train(..., strategy=Pipeline(...), "
                "measured=True)"
            )
        return self._facts

    @property
    def model(self) -> nn.Module:
        """A copy of the given net, with the trained weights; in its mode, train or eval."""
        state = self.state_dict()
        if self._net is None:
            given = self._given
            net = copy.deepcopy(given) if isinstance(given, nn.Module) else given(0)
            net.load_state_dict(state)
            self._net = net
        return self._net
