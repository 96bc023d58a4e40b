"""Says where weights are between two passes: in the models, or, under zero3, in slices alone."""

import contextlib
from typing import Any

import torch
from torch import nn

from parallel.replicas.hollow import hollow
from parallel.world.comm import Comm
from parallel.zero.passes import Passes
from parallel.zero.reducer import Reducer
from parallel.zero.slices import Slices


class Room:
    """The weights of the models here.

    Args:
        models: One of each worker here.
        units: Names of parameters, by the module whose unit they are.
        stage: Of ZeRO; from 3 on, models have weights only while they are computed.
    """

    def __init__(self, models: list[nn.Module], units: dict[str, list[str]], stage: int):
        self.units, self.passes, self.whole = list(units.values()), None, None
        if stage == 3:
            self.whole = hollow(models[0])  # to copy what is looked at from
            self.passes = Passes(models, list(units))

    def attach(self, slices: Slices, gradients: Reducer, comm: Comm) -> None:
        """Begin, once slices have what they need."""
        if self.passes:
            self.passes.attach(slices, comm)
            gradients.freed, slices.moved = self.passes.free, self.passes.rest
            gradients.doubt = self.passes.doubt

    def refuse_late(self, slices: Slices) -> None:
        """Refuse to train what was frozen when the weights were cut.

        Raises:
            ValueError: names it.
        """
        for model in _models(slices):
            for name, p in model.named_parameters():
                if p.requires_grad and name not in slices.layout.places:
                    raise ValueError(
                        f"{name} was frozen when DataParallel was made, so that nobody has its "
                        "slice: unfreeze it in the bare model, and wrap that anew (its weights "
                        "are net.state_dict()), or take style all_reduce"
                    )

    def even(self) -> None:
        """Before a step: count what workers without samples would have got."""
        if self.passes:
            self.passes.even()

    def everything(self) -> Any:
        """Return a context in which the models here have all weights."""
        return self.passes.everything() if self.passes else contextlib.nullcontext()

    def saved(self, slices: Slices) -> dict[str, Any]:
        """Return what models and slices hold; no rank has to ask another for it."""
        state = slices.members.state_dict()
        if not self.passes:
            return state
        rest = {
            k: rest_of(one, m) for (k, one), m in zip(state.items(), _models(slices), strict=True)
        }
        pieces = [(slices.ranks[i], *part, p.detach()) for (i, part), p in slices.pieces.items()]
        return {"rest": rest, "pieces": pieces}

    @torch.no_grad()
    def restore(self, slices: Slices, state: dict[str, Any]) -> None:
        """Take back what `saved` gave."""
        if not self.passes:
            return slices.members.load_state_dict(state)
        for i, model in enumerate(_models(slices)):
            model.load_state_dict(state["rest"][str(i)], strict=False)
        held = {(rank, *part): value for rank, *part, value in state["pieces"]}
        for (i, part), piece in slices.pieces.items():
            piece.copy_(held[slices.ranks[i], *part])


def _models(slices: Slices) -> list[nn.Module]:
    return slices.members.modules()


def rest_of(state: dict[str, Any], model: nn.Module) -> dict[str, Any]:
    """Return what of a state is in no slice: statistics, counters, frozen weights."""
    named = model.named_parameters(remove_duplicate=False)
    sliced = {name for name, p in named if p.requires_grad}
    return {k: v for k, v in state.items() if k not in sliced}
