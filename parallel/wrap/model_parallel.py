"""`ModelParallel`: layers on several devices, one after the other, or as the stages of a pipeline.

    net = ModelParallel(style="basic", model=net, layer_split=[10, 20])

layers [0, 10) on device 0, [10, 20) on device 1, the rest on device 2. The model's own forward is
used; inputs travel to where a layer lives. With one device, or none, the parts are virtual: the
same numbers, bit for bit.

    net = ModelParallel(style="spectrain_v1", model=net, layer_split=[10, 20])

trains on the weights that the stages of a pipeline would see (parallel.wrap.late), and

    net = ModelParallel(style="1f1b", model=net, layer_split=[10, 20], micro=8)

on the gradient of the whole batch, which goes through in micro-batches (parallel.wrap.piped). The
loop stays as it was: `loss(net(x), y).backward(); optimizer.step()`.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import nn

from harness.names import check, uncalled
from parallel.pipeline.cut import free
from parallel.pipeline.weights import Policy
from parallel.wrap import split as splits
from parallel.wrap.by_name import by_name
from parallel.wrap.piped import piped
from parallel.wrap.resume import load_state, saved_state
from parallel.wrap.styles import STYLES, described, refuse


class ModelParallel(nn.Module):
    """A module that behaves like `model`; its layers live on several devices.

    Of style "basic", `parts` says which layer is where. The other styles cut batches (axis 0) into
    micro-batches in training, of which batch norm sees one at a time; eval() and state_dict() are
    the bare model's, with the newest weights.

    - naive, gpipe, 1f1b, interleaved, zb_h1, zbv: every step has the gradient of the whole batch.
      As the loss comes after the whole output, all forward passes, in the order of the schedule's
      table, come before all backward passes, which autograd takes in the opposite order. A schedule
      says besides which rank, and so which device, a stage lives on. In one process, on one device,
      this is the bare model, and no faster; several GPUs overlap.
    - vanilla, pipedream, ... (all of parallel.pipeline.policies): minibatch t sees the weights that
      stage k of N has after t - (N-1-k) steps, or what is predicted from them; its gradient
      is added to the newest. It is what a pipeline that never waits computes, not its memory and
      speed: stage k keeps the weights of N-1-k minibatches. Dropout follows `seed`; a copy begins
      anew, with nothing in flight. Running statistics of batch norm are those of the minibatches
      that have come (in a pipeline stage k has seen N-1-k more when update t is made). Clip the
      parameters of each stage by themselves to do what parallel.Pipeline(clip=...) does.

    Args:
        style: "basic", a schedule, or a weight policy (its name, or a Policy of yours).
        model: For "basic" a Sequential, or a module with a Sequential `features` or `stages` (what
            follows these lives with the last part). For others anything that can be cut where one
            tensor is handed on.
        layer_split: First layer of the second part, of the third, ...; None, not with "basic": by
            the work of the layers on the first batch, counted; "measured": by their times.
        devices: One per part (of a schedule with several stages a rank: per rank); default: the
            GPUs in turn, or the CPU.
        stages: Number of parts, where layer_split does not tell; default: the devices, or 2.
        micro: Micro-batches; default: as many as stages where steps wait (naive: 1), else as few as
            can be.
        chunks: Stages of each rank (interleaved, zb_h1).
        seed: Of dropout, where steps do not wait.
        **options: Those of the policy, such as spike=True; misspelled keywords are named.

    Raises:
        ValueError: unknown names, split points out of order or range, too few devices.
    """

    @by_name
    def __init__(
        self,
        style: str | Policy = "basic",
        *,
        model: nn.Module,
        layer_split: Sequence[int] | str | None = None,
        devices: Sequence[str | int | torch.device] | None = None,
        stages: int | None = None,
        micro: int | None = None,
        chunks: int | None = None,
        seed: int | None = None,
        **options: Any,
    ):
        if isinstance(style, type) or not isinstance(model, nn.Module):
            got = style if isinstance(style, type) else model
            what = "style is a name or a Policy" if got is style else "model is an nn.Module"
            raise ValueError(f"{what}, got {got!r}{uncalled(got)}")
        if callable(style) and not isinstance(style, Policy):
            raise ValueError(
                f"style={style!r}: a schedule of yours goes to parallel.train(net, data, "
                "strategy=Pipeline(stages, schedule=yours)); a style is a name or a Policy"
            )
        if not isinstance(style, Policy):
            check("style", style, STYLES)
        basic, cuts = style == "basic", cast(Sequence[int], layer_split or ())
        if basic if free(layer_split) else isinstance(layer_split, int | str):
            raise ValueError(
                f"layer_split is a list of numbers, such as [10, 20], got {layer_split!r}"
            )
        more = {"stages": stages, "micro": micro, "chunks": chunks, "seed": seed}
        options |= {key: value for key, value in more.items() if value is not None}
        super().__init__()
        self.model, self.style, self.pipe = model, style, None
        if basic:
            self._basic(list(cuts), devices, options)
        else:
            count = None if devices is None else len(devices)
            how = described(style, model, layer_split, count, options)
            self.pipe = piped(*how, splits.places(devices, how[0].ranks))

    def _basic(self, split: list[int], devices: Sequence | None, options: dict[str, Any]) -> None:
        refuse("ModelParallel", options, ("style", "model", "layer_split", "devices"))
        layers = splits.layers_of(self.model)
        splits.check(split, len(layers))
        self.devices = splits.places(devices, len(split) + 1)
        ends = [*split, len(layers)]
        self.parts: list[tuple[torch.device, list[str]]] = []
        for place, start, end in zip(self.devices, [0, *split], ends, strict=True):
            self.parts.append((place, [name for name, _ in layers[start:end]]))
        splits.put(self.model, dict(layers), self.parts)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the model's own forward returns."""
        if self.pipe is None:
            return self.model(*args, **kwargs)
        return self.pipe(self.model, self.training, args, kwargs)

    @property
    def layer_split(self) -> list[int] | None:
        """The split points; None as long as nothing was measured."""
        if self.pipe is not None:
            return self.pipe.split
        sizes = [len(names) for _, names in self.parts]
        return [sum(sizes[:i]) for i in range(1, len(sizes))]

    def extra_repr(self) -> str:
        """Return style and split, shown in front of the model."""
        return "" if self.pipe is None else f"style={self.style!r}, layer_split={self.layer_split}"

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return the model's own state."""
        return self.model.state_dict(*args, **kwargs)

    def training_state(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """Return all that it takes to go on to the bit, between two steps.

        The model, its optimizer, and of a style that does not wait the versions that are in use.
        """
        return saved_state(self, optimizer)

    def load_training_state(self, state: dict[str, Any], optimizer: torch.optim.Optimizer) -> None:
        """Go on from a training_state, with a wrapper and an optimizer made alike.

        Raises:
            ValueError: the state is of another style or optimizer, or cut elsewhere.
        """
        load_state(self, state, optimizer)

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Load a state of the bare model; a pipeline begins anew, with nothing in flight."""
        found = self.model.load_state_dict(state_dict, strict, assign)
        self._restart()
        return found

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        """Load as part of a larger module, whose state has the model's own names."""
        for name in self.model.state_dict():
            if prefix + name in state_dict:
                state_dict[f"{prefix}model.{name}"] = state_dict.pop(prefix + name)
        self._restart()

    def _restart(self) -> None:
        if self.pipe is not None:
            self.pipe.restart()

    def _apply(self, fn: Callable, recurse: bool = True) -> "ModelParallel":
        """Move or cast (`.to()`, `.double()`) also the weights that are in flight."""
        super()._apply(fn, recurse)
        if self.pipe is not None:
            self.pipe.moved(fn)
        return self
