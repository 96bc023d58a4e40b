"""What shapes cross the boundaries, told once for each boundary and size of a micro-batch.

A header goes before the first message of its kind: the number of axes, the type and the lengths.
Gradients have the shape of the outputs that they belong to, so only outputs are told.
"""

from collections.abc import Callable

import torch

from parallel.pipeline.actions import Action

DTYPES = torch.float32, torch.float64, torch.bfloat16, torch.float16
AXES = 8  # of a tensor that is handed on, at most

Kind = tuple[int, int]  # a boundary, samples of the micro-batch


class Shapes:
    """Those known to this rank, and those that it has told.

    Args:
        samples: Of a micro-batch (t, j).
    """

    def __init__(self, samples: Callable[[int, int], int]):
        self.samples = samples
        self.known: dict[Kind, torch.Tensor] = {}  # tensors of that shape, without memory
        self.told: set[Kind] = set()

    def kind(self, receiving: Action) -> Kind:
        """Which tensors have one shape, by the action that needs them."""
        boundary = receiving.stage - (receiving.op == "F")
        return boundary, self.samples(receiving.minibatch, receiving.micro)

    def header(self, action: Action, value: torch.Tensor) -> torch.Tensor | None:
        """What to say before a message; None if that is known.

        Raises:
            ValueError: such a tensor cannot be handed on.
        """
        kind = action.stage, self.samples(action.minibatch, action.micro)
        if action.op != "F" or kind in self.told:
            return None
        self.told.add(kind)
        self.known[kind] = torch.empty_like(value, device="meta")
        if value.dim() > AXES or value.dtype not in DTYPES:
            raise ValueError(
                f"stage {action.stage} gives a tensor of {value.dim()} axes of {value.dtype}: up "
                f"to {AXES} of a floating-point type can be handed on"
            )
        header = blank()
        header[0], header[1] = value.dim(), DTYPES.index(value.dtype)
        header[2 : 2 + value.dim()] = torch.tensor(value.shape)
        return header

    def learn(self, kind: Kind, header: torch.Tensor) -> None:
        """The inverse."""
        axes, dtype, *lengths = header.tolist()
        self.known[kind] = torch.empty(lengths[:axes], dtype=DTYPES[dtype], device="meta")

    def state_dict(self) -> dict[str, list]:
        """Both ends have to go on from the same knowledge."""
        known = [(kind, tuple(v.shape), DTYPES.index(v.dtype)) for kind, v in self.known.items()]
        return {"known": known, "told": list(self.told)}

    def load_state_dict(self, state: dict[str, list]) -> None:
        """The inverse."""
        self.told = {(k, n) for k, n in state["told"]}
        self.known = {
            (k, n): torch.empty(shape, dtype=DTYPES[dtype], device="meta")
            for (k, n), shape, dtype in state["known"]
        }


def blank() -> torch.Tensor:
    """A header to write to, or to receive into."""
    return torch.zeros(AXES + 2, dtype=torch.int64)
