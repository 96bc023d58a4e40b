"""The layers of one stage, called on weights that are not their own; what goes wrong, in words.

A stage that writes into its input (ReLU(inplace=True) as its first layer) would write into what the
stage before has handed over, or what is kept for later: it is given a copy. The first call shows
whether it does.
"""

from collections.abc import Mapping

import torch
from torch import nn
from torch.func import functional_call

from parallel.pipeline.place import Placed

State = dict[str, torch.Tensor]


class Layers:
    """A module, called on tensors in place of its weights.

    Args:
        module: The layers.
        name: Of the stage, for messages.
    """

    def __init__(self, module: nn.Module, name: str):
        self.call, self.name = Placed(module), name
        self.writes: bool | None = None  # into its input; None: not known yet
        self.several = True  # joints (parallel.pipeline.halves), as far as is known

    def __call__(self, weights: Mapping[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        """Its outputs.

        Raises:
            ValueError: they cannot be handed on, or batch norm has too few samples.
        """
        given = x if self.writes is False else x.clone()
        before = given._version
        with in_words(self.name, x):
            y = self.call(weights, given)
        if self.writes is None:
            self.writes = given._version != before
        if not isinstance(y, torch.Tensor) or not y.is_floating_point():
            raise ValueError(
                f"{self.name} gives {kind(y)}, and one tensor of floating-point numbers can be "
                "handed on: cut the net elsewhere (layer_split)"
            )
        return y


def apart(module: nn.Module, weights: State, x: torch.Tensor) -> torch.Tensor:
    """What a module gives, without a trace in its inputs."""
    return functional_call(module, weights, (x.clone(),))


def kind(value: object) -> str:
    """What a layer gives, in words."""
    if isinstance(value, torch.Tensor):
        return f"a tensor of {value.dtype}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"no tensor but {type(value).__name__}"


class in_words:
    """Around calls of layers: says what to do where a batch or its numbers do not suit them.

    Args:
        name: Of what is called.
        x: Its inputs.
    """

    def __init__(self, name: str, x: torch.Tensor):
        self.name, self.x = name, x

    def __enter__(self) -> None:
        """Nothing, yet."""

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        """Raise a ValueError in better words, where an embedding or batch norm raised it."""
        if isinstance(error, IndexError) and not self.x.is_floating_point() and len(self.x):
            least, most = int(self.x.min()), int(self.x.max())
            raise ValueError(
                f"{self.name} was given whole numbers from {least} to {most}: {error}; an "
                f"Embedding of N words has 0 to N-1, so make it larger ({most + 1} or more)"
            ) from None
        if not isinstance(error, ValueError) or "more than 1 value per channel" not in str(error):
            return
        raise ValueError(
            f"{self.name} has batch norm and was given a micro-batch of {len(self.x)} sample, of "
            "which there is no variance: take a batch_size that leaves 2 or more for each "
            "micro-batch, also at the end of an epoch, fewer of them (micro), or GroupNorm in its "
            "place"
        ) from None
